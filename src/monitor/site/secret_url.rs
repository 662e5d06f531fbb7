//! A URL that holds secrets, and the form of it that may be shown.

use std::fmt;

/// A URL with secrets. `Display` and `Debug` show scheme, host and port, and `***` for user and
/// path.
#[derive(Clone, Eq)]
pub struct SecretUrl {
    url: String,
    shown: String,
    parts: Vec<String>,
}

impl SecretUrl {
    /// `parts` are the secret parts to mask in other texts: user, password, path.
    pub fn new(url: String, shown: String, parts: Vec<String>) -> SecretUrl {
        SecretUrl { url, shown, parts }
    }

    /// Returns the URL in clear text, for the request itself.
    pub fn expose(&self) -> &str {
        &self.url
    }

    /// Iterates over the secret parts in clear text, for masking.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(String::as_str)
    }
}

/// Compares the URLs as sent.
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
