//! The kinds of sites, named by the scheme of their URL.

use super::keys;
use Scheme::{Dns, Exec, Host, Http, Https, Icmp, Push, Tcp, Tls};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
    Tcp,
    Tls,
    Dns,
    Icmp,
    /// This machine.
    Host,
    /// A program.
    Exec,
    /// A job that reports to us.
    Push,
}

impl Scheme {
    pub const ALL: [Scheme; 9] = [Http, Https, Tcp, Tls, Dns, Icmp, Host, Exec, Push];

    /// The scheme without `:` and `//`.
    pub fn word(self) -> &'static str {
        match self {
            Http => "http",
            Https => "https",
            Tcp => "tcp",
            Tls => "tls",
            Dns => "dns",
            Icmp => "icmp",
            Host => "host",
            Exec => "exec",
            Push => "push",
        }
    }

    /// The start of a URL.
    pub fn prefix(self) -> String {
        let slashes = if self.has_host() { "://" } else { ":" };
        format!("{}{slashes}", self.word())
    }

    /// The cargo feature of this kind, if this build lacks it.
    pub fn missing(self) -> Option<&'static str> {
        match self {
            Dns if !cfg!(feature = "dns") => Some("dns"),
            Icmp if !cfg!(feature = "icmp") => Some("icmp"),
            Host if !cfg!(feature = "host") => Some("host"),
            Exec if !cfg!(feature = "exec") => Some("exec"),
            _ => None,
        }
    }

    /// Returns the scheme of `url`, whose case is ignored.
    pub fn of(url: &str) -> Option<Scheme> {
        let (word, rest) = url.split_once(':')?;
        let mut all = Scheme::ALL.into_iter();
        all.find(|scheme| scheme.word().eq_ignore_ascii_case(word))
            .filter(|scheme| scheme.has_host() == rest.starts_with("//"))
    }

    /// Its URLs have a host after `//`.
    pub fn has_host(self) -> bool {
        !matches!(self, Host | Exec | Push)
    }

    /// Sites of this kind have `key`.
    pub fn has(self, key: &str) -> bool {
        homes(key).contains(&self)
    }

    /// Says why a site of this kind must not have `key`; `None` if it may.
    pub fn refusal(self, key: &str) -> Option<String> {
        if self.has(key) {
            return None;
        }
        let words: Vec<&str> = homes(key).iter().map(|scheme| scheme.word()).collect();
        let remedy = match (key, self) {
            ("expect", Http | Https) => "; `body` looks in the answer",
            ("body", Tcp | Tls) => "; `expect` looks in the answer",
            ("tries" | "retry" | "recover" | "interval" | "timeout", Push) => {
                "; one bad or missing report is down, and the next good one up"
            }
            ("slow", Host) => "; `warn` in its URL makes it degraded",
            _ => "",
        };
        Some(format!(
            "`{key}` is for {} sites, this one is {}{remedy}",
            listed(&words, "and"),
            self.word()
        ))
    }
}

/// Returns the kinds of sites that have `key`; all if none has it.
fn homes(key: &str) -> &'static [Scheme] {
    keys::SITE.key(key).map_or(&Scheme::ALL, |key| key.sites)
}

/// Formats `a, b and c`.
pub fn listed(words: &[&str], and: &str) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} {and} {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_does_not_fit_says_where_it_would() {
        assert_eq!(Https.refusal("cert"), None);
        assert_eq!(Icmp.refusal("domain"), None);
        assert_eq!(Icmp.refusal("nonsense"), None);
        for (scheme, key, what) in [
            (
                Tcp,
                "cert",
                "`cert` is for https and tls sites, this one is tcp",
            ),
            (
                Dns,
                "send",
                "`send` is for http, https, tcp and tls sites, this one is dns",
            ),
            (
                Host,
                "slow",
                "`slow` is for http, https, tcp, tls, dns, icmp and exec sites, this one is host; `warn` in its URL makes it degraded",
            ),
            (
                Http,
                "expect",
                "`expect` is for tcp, tls and dns sites, this one is http; `body` looks in the answer",
            ),
            (
                Tcp,
                "body",
                "`body` is for http and https sites, this one is tcp; `expect` looks in the answer",
            ),
        ] {
            assert_eq!(scheme.refusal(key).as_deref(), Some(what));
        }
    }

    #[test]
    fn the_scheme_is_read_in_any_case() {
        assert_eq!(Scheme::of("TLS://h:1"), Some(Tls));
        assert_eq!(Scheme::of("tls:h"), None);
        assert_eq!(Scheme::of("Host:load?max=4"), Some(Host));
        assert_eq!(Scheme::of("host://load"), None);
        assert_eq!(Scheme::of("ftp://h"), None);
    }
}
