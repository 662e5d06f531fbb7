//! Our own line: is it the site that is gone, or are we?

/// What a look at our own line found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// One of the `uplink` targets took a connection.
    pub up: bool,
    /// IPv6 works; `None` when that could not be told (no IPv6 target, but a route).
    pub ipv6: Option<bool>,
    /// The name of the Telegram server resolved; `None` when not asked, or there is none to ask.
    pub names: Option<bool>,
    /// The Telegram server showed its own certificate; `None` when not asked or it did not answer.
    pub trusted: Option<bool>,
}
