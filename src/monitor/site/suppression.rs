//! Why a site is checked but not judged: its parent is down, or our own connection has a fault.

/// Why a site is checked but not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suppression {
    /// The site that it depends on is down or unreachable.
    Unreachable,
    /// Our own connection has a fault.
    Offline(UplinkFault),
}

/// Returns the reason that is shown for an unreachable site.
pub fn behind(parent: &str) -> String {
    format!("behind {parent}")
}

/// What is wrong with the uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UplinkFault {
    /// No connection to the outside.
    NoConnection,
    /// No resolver answers, but addresses are reachable.
    Dns,
    /// A captive portal answers in place of every server.
    CaptivePortal,
    /// No IPv6 connection, while IPv4 works.
    NoIpv6,
    /// A proxy of the sites is not reachable.
    Proxy,
}

impl UplinkFault {
    /// Returns the word for the state file.
    pub fn word(self) -> &'static str {
        match self {
            UplinkFault::NoConnection => "line",
            UplinkFault::Dns => "names",
            UplinkFault::CaptivePortal => "portal",
            UplinkFault::NoIpv6 => "ipv6",
            UplinkFault::Proxy => "proxy",
        }
    }

    pub fn from_word(word: &str) -> Option<UplinkFault> {
        [
            UplinkFault::NoConnection,
            UplinkFault::Dns,
            UplinkFault::CaptivePortal,
            UplinkFault::NoIpv6,
            UplinkFault::Proxy,
        ]
        .into_iter()
        .find(|t| t.word() == word)
    }

    /// Returns the reason that is shown for a site that is not judged.
    pub fn reason(self) -> &'static str {
        match self {
            UplinkFault::NoConnection => "our own line is down",
            UplinkFault::Dns => "DNS on this network doesn't answer",
            UplinkFault::CaptivePortal => "something on this network answers in place of servers",
            UplinkFault::NoIpv6 => "IPv6 on this line is gone",
            UplinkFault::Proxy => "its proxy doesn't answer",
        }
    }
}
