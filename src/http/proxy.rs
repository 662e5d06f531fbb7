//! Predicts which requests libcurl sends through a proxy of the environment (libcurl-env(3);
//! `proxy_check_noproxy` and `proxy_detect_proxy` in `lib/proxy.c` of 8.22). libcurl reads the
//! environment itself.

use std::net::IpAddr;
use url::{Host, Url};

/// The environment's proxies, read once.
pub(super) struct Proxies {
    http: bool,
    https: bool,
    /// `no_proxy`: hosts without a proxy.
    exceptions: String,
}

impl Proxies {
    /// `variable` looks up an environment variable; empty ones count as unset. Logs the names of the variables
    /// that are used, not their values, which may contain a password.
    pub(super) fn new(variable: impl Fn(&str) -> Option<String>) -> Proxies {
        let set = |names: &[&'static str]| {
            names.iter().find_map(|&name| {
                let value = variable(name).filter(|value| !value.is_empty())?;
                Some((name, value))
            })
        };
        let proxy = |names: &[&'static str]| {
            let found = set(names).or_else(|| set(&["all_proxy", "ALL_PROXY"]));
            if let Some((name, _)) = &found {
                log::info!("using the proxy that ${name} names");
            }
            found.is_some()
        };
        Proxies {
            // HTTP_PROXY is ignored: in a CGI program it would come from a request header.
            http: proxy(&["http_proxy"]),
            https: proxy(&["https_proxy", "HTTPS_PROXY"]),
            exceptions: set(&["no_proxy", "NO_PROXY"]).map_or(String::new(), |(_, value)| value),
        }
    }

    /// A request for `url` uses a proxy.
    pub(super) fn apply_to(&self, url: &Url) -> bool {
        self.name_one_for(url) && !url.host().is_some_and(|host| self.excepts(&host))
    }

    /// There is a proxy for the scheme of `url`. For a request without one libcurl needn't look at the
    /// environment.
    pub(super) fn name_one_for(&self, url: &Url) -> bool {
        match url.scheme() {
            "https" => self.https,
            _ => self.http,
        }
    }

    fn excepts(&self, host: &Host<&str>) -> bool {
        self.exceptions == "*"
            || tokens(&self.exceptions).any(|token| match host {
                Host::Domain(name) => is_in_domain(name, token),
                Host::Ipv4(address) => is_in_network((*address).into(), token),
                Host::Ipv6(address) => is_in_network((*address).into(), token),
            })
    }
}

/// Splits at commas with optional blanks; a blank without a comma ends the list.
fn tokens(list: &str) -> impl Iterator<Item = &str> {
    let is_blank = |c| c == ' ' || c == '\t';
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        let text = rest?.trim_start_matches(is_blank);
        let end = text.find(|c| c == ',' || is_blank(c)).unwrap_or(text.len());
        let (token, after) = text.split_at(end);
        let after = after.trim_start_matches(is_blank);
        rest = after
            .starts_with(',')
            .then(|| after.trim_start_matches(','));
        Some(token)
    })
    .filter(|token| !token.is_empty())
}

/// `example.com`, `.example.com` and `example.com.` match the domain and its subdomains. A token with a port,
/// such as `example.com:8080`, matches nothing.
fn is_in_domain(name: &str, token: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let domain = token.strip_suffix('.').unwrap_or(token);
    let domain = domain.strip_prefix('.').unwrap_or(domain);
    match name.len().checked_sub(domain.len()) {
        Some(0) => name.eq_ignore_ascii_case(domain),
        Some(before) => {
            name.as_bytes()[before - 1] == b'.'
                && name.as_bytes()[before..].eq_ignore_ascii_case(domain.as_bytes())
        }
        None => false,
    }
}

/// Matches `192.0.2.7`, `192.0.2.0/24`, `2001:db8::/32` (no brackets). A prefix of 0 bits means all bits.
fn is_in_network(address: IpAddr, token: &str) -> bool {
    let (network, bits) = match token.split_once('/') {
        Some((network, bits)) => match bits.parse() {
            Ok(bits) => (network, bits),
            Err(_) => return false,
        },
        None => (token, 0),
    };
    let in_common = |difference: u128, width: u32| {
        bits <= width
            && difference.leading_zeros() - (128 - width) >= if bits == 0 { width } else { bits }
    };
    match (address, network.parse()) {
        (IpAddr::V4(a), Ok(IpAddr::V4(b))) => {
            in_common(u128::from(u32::from(a) ^ u32::from(b)), 32)
        }
        (IpAddr::V6(a), Ok(IpAddr::V6(b))) => in_common(u128::from(a) ^ u128::from(b), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        Proxies::new(|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn applies(proxies: &Proxies, url: &str) -> bool {
        proxies.apply_to(&Url::parse(url).expect("a URL"))
    }

    #[track_caller]
    fn excepts(no_proxy: &str, hosts: &[&str], others: &[&str]) {
        let proxies = proxies(&[("all_proxy", "http://127.0.0.1:1"), ("no_proxy", no_proxy)]);
        for host in hosts {
            assert!(
                !applies(&proxies, &format!("https://{host}/")),
                "{no_proxy} {host}"
            );
        }
        for host in others {
            assert!(
                applies(&proxies, &format!("https://{host}/")),
                "{no_proxy} {host}"
            );
        }
    }

    #[test]
    fn the_variable_of_the_scheme_counts_then_the_one_for_all() {
        let p = "http://p:1";
        let told = |variables: &[(&str, &str)]| {
            let proxies = proxies(variables);
            (
                applies(&proxies, "http://h/"),
                applies(&proxies, "https://h/"),
            )
        };
        assert_eq!(told(&[]), (false, false));
        assert_eq!(told(&[("http_proxy", p)]), (true, false));
        assert_eq!(told(&[("HTTP_PROXY", p)]), (false, false));
        assert_eq!(told(&[("https_proxy", p)]), (false, true));
        assert_eq!(told(&[("HTTPS_PROXY", p)]), (false, true));
        assert_eq!(told(&[("ALL_PROXY", p)]), (true, true));
        assert_eq!(
            told(&[("http_proxy", ""), ("all_proxy", "")]),
            (false, false)
        );
        assert_eq!(told(&[("all_proxy", p), ("NO_PROXY", "h")]), (false, false));
        let empty_first = [("all_proxy", p), ("no_proxy", ""), ("NO_PROXY", "h")];
        assert_eq!(told(&empty_first), (false, false));
    }

    #[test]
    fn a_domain_excepts_all_below_it() {
        let below = [
            "example.com",
            "www.example.com",
            "EXAMPLE.com",
            "example.com.",
        ];
        let others = ["nonexample.com", "example.com.org", "com"];
        for list in ["example.com", ".example.com", "example.com.", "Example.COM"] {
            excepts(list, &below, &others);
        }
        excepts("example.com:443", &[], &["example.com"]);
    }

    #[test]
    fn lists_have_commas_and_blanks() {
        let both = ["a.example", "b.example"];
        excepts(" a.example , b.example", &both, &["c.example"]);
        excepts("a.example,,\tb.example,", &both, &["c.example"]);
        excepts("a.example b.example", &["a.example"], &["b.example"]);
        excepts("*", &["anything", "192.0.2.1", "[::1]"], &[]);
        excepts("a.example,*", &["a.example"], &["anything"]);
        excepts("*.example", &[], &["a.example"]);
    }

    #[test]
    fn addresses_are_excepted_by_network() {
        excepts(
            "127.0.0.1",
            &["127.0.0.1", "127.1"],
            &["127.0.0.2", "localhost"],
        );
        excepts("192.0.2.0/24", &["192.0.2.255"], &["192.0.3.0"]);
        excepts(
            "192.0.2.128/25,::1",
            &["192.0.2.129", "[::1]"],
            &["192.0.2.127", "[::2]"],
        );
        excepts(
            "2001:db8::/33",
            &["[2001:db8:7fff::1]"],
            &["[2001:db8:8000::1]"],
        );
        excepts("10.0.0.0/0", &["10.0.0.0"], &["10.0.0.1"]);
        excepts("10.0.0.0/33, 10.0.0.0/x", &[], &["10.0.0.0"]);
        excepts("[::1], 127.0.0.1:80", &[], &["[::1]", "127.0.0.1"]);
        excepts("0.0.1", &[], &["127.0.0.1"]);
    }
}
