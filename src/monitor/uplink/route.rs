//! Routes to Telegram.

use crate::monitor::site::secret_url::SecretUrl;
use std::fmt;

/// A way to reach the Bot API. `Display` writes its name for log and chats, without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The Bot API server itself, through the environment's proxy if there is one.
    Direct,
    /// The Bot API server through a proxy: `http://`, `socks5://` or `socks5h://`.
    Proxy(SecretUrl),
    /// An `https://` URL without a slash at its end, which forwards `/bot<token>/<method>`.
    Relay(SecretUrl),
}

impl Route {
    /// Returns its secret parts, to find them in a text.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let url = match self {
            Route::Direct => None,
            Route::Proxy(url) | Route::Relay(url) => Some(url),
        };
        url.into_iter().flat_map(SecretUrl::parts)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Route::Direct => f.write_str("direct"),
            Route::Proxy(url) | Route::Relay(url) => url.fmt(f),
        }
    }
}
