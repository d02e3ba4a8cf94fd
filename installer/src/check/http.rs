//! HTTP and HTTPS questions: no proxy, no redirects, a deadline, and a body of bounded size.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use chom_format::check::JsonExpect;
use chom_format::{HostPath, UnitName};
use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use super::kind::{Asking, CheckKind};
use super::{Answer, Miss, json};
use crate::redact;
use crate::sys::{RealSys, Sys as _, bytes_of};

// A body beyond this is cut: what a check looks for stands in front, and memory is small.
const LARGEST_BODY: u64 = 4 << 20;

/// One GET.
pub(super) struct Get<'a> {
    pub(super) url: &'a str,
    pub(super) headers: &'a BTreeMap<String, String>,
    pub(super) ca_file: Option<&'a HostPath>,
    pub(super) insecure: bool,
}

/// See [`chom_format::Probe::Http`].
pub(super) struct HttpCheck<'a> {
    pub(super) get: Get<'a>,
    pub(super) status: &'a [u16],
    pub(super) expect_headers: &'a BTreeMap<String, String>,
    pub(super) contains: Option<&'a str>,
    pub(super) json: &'a [JsonExpect],
}

impl CheckKind for HttpCheck<'_> {
    /// Asks once and compares with what is wanted.
    fn ask(&self, asking: &Asking<'_>, timeout: Duration) -> Answer {
        let Self { get, status, expect_headers, contains, json } = self;
        let url = get.url;
        let got = asking.http.get(get, timeout)?;
        let body = String::from_utf8_lossy(&got.body);
        if !status.contains(&got.status) {
            let wanted: Vec<String> = status.iter().map(ToString::to_string).collect();
            return Err(Miss::with(
                format!("{url} answered {}, not {}", got.status, wanted.join(" or ")),
                &body,
            ));
        }
        for (name, wanted) in *expect_headers {
            match got.headers.get(&name.to_ascii_lowercase()) {
                Some(value) if value == wanted => {}
                Some(value) => return Err(Miss::new(format!("header {name} is {value:?}, not {wanted:?}"))),
                None => return Err(Miss::new(format!("the answer has no header {name}"))),
            }
        }
        if let Some(text) = contains.filter(|text| !body.contains(text)) {
            return Err(Miss::with(format!("the answer does not contain {text:?}"), &body));
        }
        if !json.is_empty() {
            let value =
                serde_json::from_slice(&got.body).map_err(|_| Miss::with("the answer is no JSON", &body))?;
            if let Some(lack) = json::missing(&value, json) {
                return Err(Miss::with(lack, &body));
            }
        }
        Ok(format!("{url} answered {}", got.status))
    }

    fn remedy(&self) -> String {
        format!("curl -v '{}'", redact::text(self.get.url))
    }

    fn unit(&self) -> Option<&UnitName> {
        None
    }
}

/// What came back.
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

/// Agents by whom they trust, each made when it is first needed: reading the system's roots takes longer than
/// a plain question.
#[derive(Default)]
pub(super) struct Client {
    plain: OnceLock<Agent>,
    system: OnceLock<Agent>,
    insecure: OnceLock<Agent>,
    own: Mutex<BTreeMap<HostPath, Agent>>,
}

impl Client {
    /// Asks once.
    pub(super) fn get(&self, get: &Get<'_>, timeout: Duration) -> Result<Got, Miss> {
        let agent = self.agent(get)?;
        let miss = |error: ureq::Error| Miss::new(format!("{} does not answer: {error}", get.url));
        let mut request = agent.get(get.url).config().timeout_global(Some(timeout)).build();
        for (name, value) in get.headers {
            request = request.header(name, value);
        }
        let mut response = request.call().map_err(miss)?;
        let status = response.status().as_u16();
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| {
            (name.as_str().to_ascii_lowercase(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        let headers = headers.collect();
        let mut body = Vec::new();
        let read = response.body_mut().as_reader().take(LARGEST_BODY).read_to_end(&mut body);
        read.map_err(|error| Miss::new(format!("{} broke off its answer: {error}", get.url)))?;
        Ok(Got { status, headers, body })
    }

    fn agent(&self, get: &Get<'_>) -> Result<Agent, Miss> {
        if !get.url.starts_with("https:") {
            return Ok(self.plain.get_or_init(|| agent(tls(RootCerts::new_with_certs(&[]), false))).clone());
        }
        if get.insecure {
            return Ok(self
                .insecure
                .get_or_init(|| agent(tls(RootCerts::new_with_certs(&[]), true)))
                .clone());
        }
        let Some(file) = get.ca_file else {
            return Ok(self.system.get_or_init(|| agent(tls(system_roots(), false))).clone());
        };
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = own.get(file) {
            return Ok(agent.clone());
        }
        // Not kept when it cannot be read: the file may come while we poll.
        let made = agent(tls(roots_of(file)?, false));
        own.insert(file.clone(), made.clone());
        Ok(made)
    }
}

fn agent(tls: TlsConfig) -> Agent {
    let config = Agent::config_builder()
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("chom-install/", env!("CARGO_PKG_VERSION")))
        // A connection kept from before a restart would be tried, and fail, first.
        .max_idle_connections(0)
        .tls_config(tls)
        .build();
    Agent::with_parts(config, DefaultConnector::default(), AddressFirst(DefaultResolver::default()))
}

/// An address is taken as it stands. The system's resolver would take a thread and a dozen calls for it.
#[derive(Debug)]
struct AddressFirst(DefaultResolver);

impl Resolver for AddressFirst {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().map(|host| host.trim_start_matches('[').trim_end_matches(']'));
        let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(usual);
        let Some(Ok(address)) = host.map(str::parse::<IpAddr>) else {
            return self.0.resolve(uri, config, timeout);
        };
        let mut addresses = self.empty();
        addresses.push(SocketAddr::new(address, port));
        Ok(addresses)
    }
}

fn tls(roots: RootCerts, insecure: bool) -> TlsConfig {
    TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(roots)
        .disable_verification(insecure)
        .build()
}

fn system_roots() -> RootCerts {
    let found = rustls_native_certs::load_native_certs().certs;
    let certificates: Vec<_> = found.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    RootCerts::new_with_certs(&certificates)
}

fn roots_of(file: &HostPath) -> Result<RootCerts, Miss> {
    let sys = RealSys::new("/");
    let read = sys.resolve(file).and_then(|path| path.map_or(Ok(None), |path| bytes_of(&sys, &path)));
    let pem = read
        .map_err(|error| Miss::new(error.to_string()))?
        .ok_or_else(|| Miss::new(format!("{file} is not there")))?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(Miss::new(format!("{file} holds no certificate")));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}
