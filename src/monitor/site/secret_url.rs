//! A URL that holds a secret, and what of it may be shown.

use std::fmt;

/// `Display` and `Debug` show scheme, host and port, and `***` for a user and a path.
#[derive(Clone, Eq)]
pub struct SecretUrl {
    url: String,
    shown: String,
    parts: Vec<String>,
}

impl SecretUrl {
    /// `parts` are what texts of others must not say: a user, a password, a path.
    pub fn new(url: String, shown: String, parts: Vec<String>) -> SecretUrl {
        SecretUrl { url, shown, parts }
    }

    /// The URL itself, for the one place that needs it on the wire.
    pub fn expose(&self) -> &str {
        &self.url
    }

    /// Its secret parts, to be looked for in a text.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(String::as_str)
    }
}

/// Two are the same if they are on the wire.
impl PartialEq for SecretUrl {
    fn eq(&self, other: &SecretUrl) -> bool {
        self.url == other.url
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}
