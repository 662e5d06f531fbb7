//! A text that must never be shown: the bot token.

use std::fmt;

/// A secret whose `Debug` and `Display` are `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the one place that needs it on the wire.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `text` with every occurrence of the secret replaced by `***`: error
    /// texts of the HTTP library may quote the URL, and the Bot API's URL holds
    /// the token.
    pub fn scrub(&self, text: &str) -> String {
        if self.0.is_empty() {
            return text.to_owned();
        }
        text.replace(&self.0, "***")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown_and_is_scrubbed_from_texts() {
        let token = Secret::new("123456:ABC-DEF");
        assert_eq!(format!("{token} {token:?}"), "*** ***");
        assert_eq!(
            token.scrub("cannot reach https://api/bot123456:ABC-DEF/getMe"),
            "cannot reach https://api/bot***/getMe"
        );
    }
}
