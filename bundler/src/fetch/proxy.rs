//! Which proxy an address is reached through. Pure but for the thin end that reads the environment.

/// What is known of proxies.
#[derive(Debug, Clone, Default)]
pub(super) struct Proxies {
    http: Option<String>,
    https: Option<String>,
    none_for: Vec<String>,
}

impl Proxies {
    /// What the environment says: `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, in either case.
    pub(super) fn from_environment() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| {
            let value = variable(name).or_else(|| variable(&name.to_ascii_uppercase()));
            value.filter(|value| !value.trim().is_empty())
        };
        let none_for = get("no_proxy").unwrap_or_default();
        Self {
            http: get("http_proxy").or_else(|| get("all_proxy")),
            https: get("https_proxy").or_else(|| get("all_proxy")),
            none_for: none_for
                .split([',', ' '])
                .map(|name| name.trim().trim_start_matches("*.").trim_start_matches('.').to_ascii_lowercase())
                .filter(|name| !name.is_empty())
                .collect(),
        }
    }

    /// The proxy for an address; none when it is reached directly.
    pub(super) fn of(&self, url: &str) -> Option<&str> {
        let (scheme, rest) = url.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let host = host(authority.rsplit('@').next()?).to_ascii_lowercase();
        // A proxy would look for these on its own machine.
        if ["localhost", "127.0.0.1", "::1"].contains(&host.as_str()) || self.spares(&host) {
            return None;
        }
        if scheme == "https" { self.https.as_deref() } else { self.http.as_deref() }
    }

    fn spares(&self, host: &str) -> bool {
        self.none_for.iter().any(|name| {
            name == "*"
                || host == name
                || host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'))
        })
    }
}

// `mirror.example:8080`, `[::1]:80`
fn host(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => authority.split(':').next().unwrap_or(authority),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        Proxies::read(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let both = proxies(&[
            ("http_proxy", "http://p:1"),
            ("HTTPS_PROXY", "http://p:2"),
            ("all_proxy", "http://p:3"),
        ]);
        assert_eq!(both.of("http://mirror.example/x"), Some("http://p:1"));
        assert_eq!(both.of("https://mirror.example/x"), Some("http://p:2"));
        let all = proxies(&[("ALL_PROXY", "socks5://p:3"), ("http_proxy", " ")]);
        assert_eq!(all.of("http://mirror.example"), Some("socks5://p:3"));
        assert_eq!(proxies(&[]).of("http://mirror.example"), None);
    }

    #[test]
    fn some_hosts_are_reached_directly() {
        let some = proxies(&[
            ("http_proxy", "http://p:1"),
            ("no_proxy", "a.example, .b.example,*.c.example 10.0.0.1"),
        ]);
        for url in [
            "http://a.example/x",
            "http://sub.a.example",
            "http://b.example:8080/x",
            "http://x.c.example/",
            "http://10.0.0.1/",
            "http://localhost:1/",
            "http://127.0.0.1:1/",
            "http://[::1]:80/",
            "http://user@A.example/",
        ] {
            assert_eq!(some.of(url), None, "{url}");
        }
        for url in ["http://aa.example/", "http://example/", "http://10.0.0.10/"] {
            assert!(some.of(url).is_some(), "{url}");
        }
        assert_eq!(proxies(&[("http_proxy", "http://p:1"), ("no_proxy", "*")]).of("http://x.example"), None);
    }
}
