//! One request to one address: http, https or a file of this machine.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::sync::Arc;
use std::time::Duration;

use ureq::http::Response;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy};

use super::options::FetchOptions;
use super::proxy::Proxies;

const REDIRECTS: usize = 8;

/// A client for all downloads of a run.
#[derive(Debug, Clone)]
pub(super) struct Client {
    agent: Agent,
    proxies: Proxies,
}

/// What an address gave.
pub(super) struct Answer {
    /// Where in the object the bytes begin: 0 when the server does not resume.
    pub(super) from: u64,
    /// How many bytes are to come, when the server says it.
    pub(super) length: Option<u64>,
    /// The bytes.
    pub(super) body: Box<dyn Read>,
}

/// Why an address gave nothing.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It does not have it, and will not have it on the next try.
    Gone,
    /// It has no such range: what is there of the object is not what it thinks.
    Range,
    /// It does not give it, and will not on the next try.
    Never(String),
    /// The next try may do better, perhaps after a pause that the server asked for.
    Later(String, Option<Duration>),
}

impl Client {
    /// A client that trusts what this machine trusts, and goes through its proxy.
    pub(super) fn new(options: &FetchOptions) -> Self {
        let native = rustls_native_certs::load_native_certs();
        let certificates: Vec<Certificate<'static>> =
            native.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
        if certificates.is_empty() {
            let reasons: Vec<String> = native.errors.iter().map(ToString::to_string).collect();
            log::warn!("no certificates on this machine, https will not work: {}", reasons.join("; "));
        }
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::from(certificates))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_resolve(Some(options.connect))
            .timeout_connect(Some(options.connect))
            .timeout_recv_response(Some(options.connect))
            .timeout_per_read(Some(options.stall))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("chom-bundle/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .proxy(None)
            .build();
        Self { agent: config.into(), proxies: Proxies::from_environment() }
    }

    /// Asks for an object from its byte `from` on; the whole exchange may take `left`.
    pub(super) fn get(&self, url: &str, from: u64, left: Duration) -> Result<Answer, Refusal> {
        if let Some(path) = url.strip_prefix("file://") {
            return open(path, from);
        }
        let mut at = url.to_owned();
        // Followed by hand: each host on the way has a proxy of its own, and a failure names the host it is about.
        for _ in 0..REDIRECTS {
            let response = self.once(&at, from, left).map_err(|refusal| refusal.at(url, &at))?;
            match next(&at, &response) {
                Some(next) => at = next,
                None => return answer(response, from).map_err(|refusal| refusal.at(url, &at)),
            }
        }
        Err(Refusal::Never(format!("more than {REDIRECTS} redirections")))
    }

    fn once(&self, url: &str, from: u64, left: Duration) -> Result<Response<Body>, Refusal> {
        let mut request = self.agent.get(url);
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
        }
        let proxy = match self.proxies.of(url).map(Proxy::new) {
            Some(Err(error)) => return Err(Refusal::Never(format!("the proxy of the environment: {error}"))),
            Some(Ok(proxy)) => Some(proxy),
            None => None,
        };
        let request = request.config().timeout_global(Some(left)).proxy(proxy).build();
        request.call().map_err(|error| refusal_of(&error))
    }
}

impl Refusal {
    // Whom it is about, when that is not whom was asked.
    fn at(self, asked: &str, at: &str) -> Self {
        let tell = |reason: String| {
            if asked == at { reason } else { format!("redirected to {}: {reason}", origin(at)) }
        };
        match self {
            Self::Gone | Self::Range => self,
            Self::Never(reason) => Self::Never(tell(reason)),
            Self::Later(reason, pause) => Self::Later(tell(reason), pause),
        }
    }
}

// Where a response sends on to.
fn next(at: &str, response: &Response<Body>) -> Option<String> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get("location")?.to_str().ok()?.trim();
    if location.starts_with("http://") || location.starts_with("https://") {
        return Some(location.to_owned());
    }
    let rest = location
        .strip_prefix("//")
        .map(|rest| (at.split_once(':').map_or("https", |(scheme, _)| scheme), rest));
    match rest {
        Some((scheme, rest)) => Some(format!("{scheme}://{rest}")),
        None if location.starts_with('/') => Some(format!("{}{location}", origin(at))),
        None => Some(format!("{}/{location}", at.rsplit_once('/').map_or(at, |(folder, _)| folder))),
    }
}

// Scheme and host; what follows may be a signed address of hundreds of letters.
fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url.get(start..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| start + at);
    url.get(..end).unwrap_or(url)
}

fn answer(response: Response<Body>, asked: u64) -> Result<Answer, Refusal> {
    let header =
        |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let from = match response.status().as_u16() {
        200 => 0,
        206 => {
            let start = header("content-range").as_deref().and_then(range_start);
            // Bytes of another place would only be found out by the digest, after all of them have come.
            start
                .filter(|start| *start == asked)
                .ok_or_else(|| Refusal::Later("a wrong range came".to_owned(), None))?
        }
        404 | 410 => return Err(Refusal::Gone),
        416 => return Err(Refusal::Range),
        status @ (408 | 425 | 429 | 500..=599) => {
            let pause =
                header("retry-after").and_then(|value| value.trim().parse().ok()).map(Duration::from_secs);
            return Err(Refusal::Later(format!("status {status}"), pause));
        }
        status => return Err(Refusal::Never(format!("status {status}"))),
    };
    let length = header("content-length").and_then(|value| value.trim().parse().ok());
    let body = response.into_body().into_with_config().limit(u64::MAX).reader();
    Ok(Answer { from, length, body: Box::new(body) })
}

// `bytes 100-199/200`
fn range_start(value: &str) -> Option<u64> {
    value.trim().strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

fn refusal_of(error: &ureq::Error) -> Refusal {
    match error {
        ureq::Error::BadUri(_)
        | ureq::Error::Http(_)
        | ureq::Error::TooManyRedirects
        | ureq::Error::Rustls(_) => Refusal::Never(error.to_string()),
        _ => Refusal::Later(error.to_string(), None),
    }
}

fn open(path: &str, from: u64) -> Result<Answer, Refusal> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Refusal::Gone,
        _ => Refusal::Never(error.to_string()),
    };
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let from = if from < length { from } else { 0 };
    file.seek(SeekFrom::Start(from)).map_err(failed)?;
    Ok(Answer { from, length: Some(length - from), body: Box::new(file) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections() {
        let at = "https://a.example/x/y.zip";
        for (location, to) in [
            ("https://b.example/z?s=1", "https://b.example/z?s=1"),
            ("//b.example/z", "https://b.example/z"),
            ("/z", "https://a.example/z"),
            ("z", "https://a.example/x/z"),
        ] {
            let builder = Response::builder().status(302).header("Location", location);
            let response = builder.body(Body::builder().data(Vec::new())).unwrap();
            assert_eq!(next(at, &response).as_deref(), Some(to));
        }
        let response = Response::builder().status(200).body(Body::builder().data(Vec::new())).unwrap();
        assert_eq!(next(at, &response), None);
        assert_eq!(origin("https://a.example:8080/x"), "https://a.example:8080");
        assert_eq!(origin("https://a.example"), "https://a.example");
    }

    #[test]
    fn the_start_of_a_range() {
        assert_eq!(range_start("bytes 100-199/200"), Some(100));
        assert_eq!(range_start("bytes */200"), None);
        assert_eq!(range_start("200"), None);
    }
}
