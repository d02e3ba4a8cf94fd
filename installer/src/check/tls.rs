//! A TLS handshake, and how long the certificate lasts.
//!
//! The chain is not judged: a self-signed certificate of the host's own may be just what is wanted, and
//! whether clients trust it is asked by an HTTP check. That the other side holds the key is proved.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chom_format::UnitName;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};

use super::kind::{Asking, CheckKind};
use super::{Answer, Miss, certificate, tcp};

const DAY: i64 = 86_400;

/// See [`chom_format::Probe::Tls`].
pub(super) struct TlsCheck<'a> {
    pub(super) address: &'a str,
    pub(super) name: &'a str,
    pub(super) min_days: u32,
}

impl CheckKind for TlsCheck<'_> {
    /// Shakes hands once.
    fn ask(&self, _: &Asking<'_>, timeout: Duration) -> Answer {
        let Self { address, name, min_days } = *self;
        let server = ServerName::try_from(name.to_owned())
            .map_err(|_| Miss::new(format!("`{name}` is not a name that a certificate can have")))?;
        let mut stream = tcp::connect(address, timeout)?;
        let timeouts =
            stream.set_read_timeout(Some(timeout)).and_then(|()| stream.set_write_timeout(Some(timeout)));
        timeouts.map_err(|error| Miss::new(format!("{address}: {error}")))?;
        let witness = Arc::new(Witness::new());
        let failed =
            |error: &dyn std::fmt::Display| Miss::new(format!("no TLS handshake with {address}: {error}"));
        let config = ClientConfig::builder_with_provider(Arc::clone(&witness.provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&witness) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        let mut connection =
            ClientConnection::new(Arc::new(config), server.clone()).map_err(|error| failed(&error))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).map_err(|error| failed(&error))?;
        }
        let der = witness.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        judge(&der.unwrap_or_default(), &server, name, min_days, jiff::Timestamp::now().as_second())
    }

    fn remedy(&self) -> String {
        let Self { address, name, .. } = self;
        let connect = format!("openssl s_client -connect {address} -servername {name} </dev/null");
        format!("{connect} | openssl x509 -noout -dates")
    }

    fn unit(&self) -> Option<&UnitName> {
        None
    }
}

fn judge(der: &[u8], server: &ServerName<'_>, name: &str, min_days: u32, now: i64) -> Answer {
    let der = CertificateDer::from(der);
    let parsed =
        ParsedCertificate::try_from(&der).map_err(|error| Miss::new(format!("the certificate: {error}")))?;
    verify_server_name(&parsed, server)
        .map_err(|_| Miss::new(format!("the certificate is not for {name}")))?;
    let end = certificate::not_after(&der).ok_or_else(|| Miss::new("the certificate has no readable end"))?;
    let days = (end - now).div_euclid(DAY);
    if days < i64::from(min_days) {
        let left =
            if days < 0 { format!("ended {} days ago", -days) } else { format!("lasts {days} days more") };
        return Err(Miss::new(format!("the certificate for {name} {left}, wanted are {min_days}")));
    }
    Ok(format!("the certificate for {name} lasts {days} days more"))
}

// Keeps the certificate instead of judging its chain.
#[derive(Debug)]
struct Witness {
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<Vec<u8>>>,
}

impl Witness {
    fn new() -> Self {
        Self { provider: Arc::new(rustls::crypto::ring::default_provider()), seen: Mutex::new(None) }
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(end_entity.to_vec());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
