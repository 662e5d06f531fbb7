//! Why a site is checked but not judged: what it depends on is down, or our own connection is at fault.

/// Why a site is checked but not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suppression {
    /// What it depends on is down.
    Unreachable,
    /// Our own connection is at fault.
    Offline(Fault),
}

/// Why a site is unreachable: what it depends on is down.
pub fn behind(parent: &str) -> String {
    format!("behind {parent}")
}

/// What is wrong with the uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nothing outside can be reached.
    NoConnection,
    /// No resolver answers, but addresses can be reached.
    Names,
    /// Something answers in place of every server: a captive portal.
    Portal,
    /// IPv6 is gone, IPv4 is not.
    Ipv6,
    /// A proxy by which sites are asked cannot be reached.
    Proxy,
}

impl Fault {
    /// The word of the state file.
    pub fn word(self) -> &'static str {
        match self {
            Fault::NoConnection => "line",
            Fault::Names => "names",
            Fault::Portal => "portal",
            Fault::Ipv6 => "ipv6",
            Fault::Proxy => "proxy",
        }
    }

    pub fn from_word(word: &str) -> Option<Fault> {
        [
            Fault::NoConnection,
            Fault::Names,
            Fault::Portal,
            Fault::Ipv6,
            Fault::Proxy,
        ]
        .into_iter()
        .find(|t| t.word() == word)
    }

    /// Why a site is not judged.
    pub fn reason(self) -> &'static str {
        match self {
            Fault::NoConnection => "our own line is down",
            Fault::Names => "DNS on this network doesn't answer",
            Fault::Portal => "something answers in its place",
            Fault::Ipv6 => "IPv6 on this line is gone",
            Fault::Proxy => "its proxy doesn't answer",
        }
    }
}
