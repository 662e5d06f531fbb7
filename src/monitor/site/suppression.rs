//! Why a site is checked but not judged: what it depends on is down, or our own connection is at fault.

/// Why a site is checked but not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suppression {
    /// What it depends on is down.
    Unreachable,
    /// Our own connection is at fault.
    Offline(UplinkFault),
}

/// Why a site is unreachable: what it depends on is down.
pub fn behind(parent: &str) -> String {
    format!("behind {parent}")
}

/// What is wrong with the uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UplinkFault {
    /// Nothing outside can be reached.
    NoConnection,
    /// No resolver answers, but addresses can be reached.
    Dns,
    /// Something answers in place of every server: a captive portal.
    CaptivePortal,
    /// IPv6 is gone, IPv4 is not.
    NoIpv6,
    /// A proxy by which sites are asked cannot be reached.
    Proxy,
}

impl UplinkFault {
    /// The word of the state file.
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

    /// Why a site is not judged.
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
