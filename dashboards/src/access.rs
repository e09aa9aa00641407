//! Who may ask: keeps pages of other sites from reading balances through a manager's browser.
//!
//! In: the `Host` and `Origin` headers. Out: yes or no. Two doors are closed. A foreign page that opens the WebSocket (which
//! browsers allow across origins) shows its `Origin`. A foreign name that was pointed at this address (DNS rebinding) shows
//! in `Host`, so only addresses, `localhost` and listed names are answered. Does not: know users; that is a proxy's job.

use std::net::{IpAddr, SocketAddr};

#[derive(Clone, Debug)]
pub(crate) struct Access {
    on_loopback: bool,
    origins: Vec<String>,
}

/// Host name without port and brackets, of `host:port`.
fn name_of(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    authority.split(':').next().unwrap_or_default()
}

/// `host:port` of `scheme://host:port`.
fn authority_of(origin: &str) -> Option<&str> {
    origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))
}

fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl Access {
    /// `origins` like `https://fuel.example.com` are allowed beside our own.
    pub(crate) fn new(listen: SocketAddr, origins: &[String]) -> Self {
        let origins = origins.iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()).collect();
        Self { on_loopback: listen.ip().is_loopback(), origins }
    }

    /// Whether a request for `host` is for us. Without the header it does not come from a browser.
    pub(crate) fn admits_host(&self, host: Option<&str>) -> bool {
        let Some(name) = host.map(name_of) else { return true };
        is_loopback(name)
            || name.parse::<IpAddr>().is_ok()
            || self
                .origins
                .iter()
                .filter_map(|origin| authority_of(origin))
                .any(|authority| name_of(authority).eq_ignore_ascii_case(name))
    }

    /// Whether a page of `origin` may open the WebSocket on `host`. Without the header it is no page.
    pub(crate) fn admits_origin(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin.map(str::to_ascii_lowercase) else { return true };
        if self.origins.contains(&origin) {
            return true;
        }
        let Some(authority) = authority_of(&origin) else { return false };
        let same = host.is_some_and(|host| host.eq_ignore_ascii_case(authority));
        same || (self.on_loopback && is_loopback(name_of(authority)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(listen: &str) -> Access {
        Access::new(listen.parse().expect("an address"), &["https://Fuel.Example.com/".to_owned()])
    }

    #[test]
    fn addresses_localhost_and_listed_names_are_answered() {
        let access = access("127.0.0.1:8080");
        for host in
            ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "10.0.0.7", "fuel.example.com", "FUEL.example.com:443"]
        {
            assert!(access.admits_host(Some(host)), "{host}");
        }
        assert!(access.admits_host(None));
        for host in ["evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", ""] {
            assert!(!access.admits_host(Some(host)), "{host}");
        }
    }

    #[test]
    fn only_our_own_and_listed_pages_may_connect() {
        let access = access("127.0.0.1:8080");
        let host = Some("localhost:8080");
        for origin in
            ["http://localhost:8080", "http://127.0.0.1:8080", "http://localhost:5173", "https://fuel.example.com"]
        {
            assert!(access.admits_origin(Some(origin), host), "{origin}");
        }
        assert!(access.admits_origin(None, host));
        for origin in [
            "https://evil.example",
            "null",
            "",
            "http://localhost.evil.example",
            "https://fuel.example.com.evil.example",
            "file://",
        ] {
            assert!(!access.admits_origin(Some(origin), host), "{origin}");
        }
    }

    #[test]
    fn off_loopback_a_page_of_the_viewers_own_machine_is_foreign() {
        let access = access("0.0.0.0:8080");
        assert!(access.admits_origin(Some("http://10.0.0.7:8080"), Some("10.0.0.7:8080")));
        assert!(!access.admits_origin(Some("http://localhost:5173"), Some("10.0.0.7:8080")));
    }
}
