//! What is watched and how it is to be judged: plain data made by the configuration.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// One site of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// Unique, 1 to 64 characters.
    pub name: String,
    /// The address as the file has it: `$NAME` not filled in, a password in it masked. Safe to show.
    pub url: String,
    /// Time between checks, at least 1 s.
    pub interval: Duration,
    /// For the whole check, connect to last byte; waiting for a permit is not counted.
    pub timeout: Duration,
    /// Failures in a row that make it down, 1 to 100.
    pub tries: u32,
    /// Time between tries after a first failure.
    pub retry: Duration,
    /// Successes in a row that make it up again, 1 to 100.
    pub recover: u32,
    /// Time between repeats of a down alert that nobody acknowledged; `None` = never.
    pub remind: Option<Duration>,
    /// Slower than this is degraded.
    pub slow: Option<Duration>,
    /// Name of the site this one depends on: while that one is down, this one is unreachable.
    pub after: Option<String>,
    /// Label for `/status` and `/check`.
    pub group: Option<String>,
    /// Configured but not checked.
    pub paused: bool,
    /// These chats alone are told of it; `None` = all.
    pub chats: Option<Vec<i64>>,
    /// What is asked of it.
    pub check: Check,
}

impl Site {
    /// It needs a certificate, and so a clock that is set.
    pub fn is_https(&self) -> bool {
        let Check::Http(check) = &self.check;
        check.url.starts_with("https:")
    }

    /// The host of its address, without brackets.
    pub fn host(&self) -> &str {
        let Check::Http(check) = &self.check;
        let rest = check.url.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, h)| h);
        match host.strip_prefix('[') {
            Some(v6) => v6.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        }
    }

    /// The address, when the host is one and not a name.
    pub fn literal(&self) -> Option<IpAddr> {
        self.host().parse().ok()
    }
}

/// What a check does; one variant a protocol.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    Http(HttpCheck),
}

/// An HTTP request and the conditions on its answer.
#[derive(Clone, PartialEq)]
pub struct HttpCheck {
    /// Absolute `http:` or `https:` URL with everything filled in. May hold secrets: never show it.
    pub url: String,
    pub method: String,
    /// Extra request headers, filled in. May hold secrets.
    pub headers: Vec<(String, String)>,
    /// Request body, filled in. May hold secrets.
    pub send: Option<String>,
    pub auth: Option<Auth>,
    /// Wanted status codes.
    pub status: StatusSet,
    /// Text that must occur in the first 1 MiB of the body.
    pub body: Option<String>,
    /// Text that must not occur in the first 1 MiB of the body.
    pub body_not: Option<String>,
    /// Redirects followed at most; 0 = none, the redirect itself is judged.
    pub redirects: u32,
    pub version: HttpVersion,
    pub ip: IpVersion,
    /// Check trust and host name of a TLS server.
    pub verify: bool,
    /// PEM file of a private CA for this site.
    pub ca_file: Option<PathBuf>,
}

/// Only what is safe to show: everything else may hold secrets.
impl std::fmt::Debug for HttpCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpCheck")
            .field("method", &self.method)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Credentials sent with the first request and to the same host and port after a redirect.
#[derive(Clone, PartialEq)]
pub enum Auth {
    Basic { user: String, password: String },
    Bearer(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    Any,
    Http11,
    Http2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    Any,
    V4,
    V6,
}

/// A set of status codes as the user wrote it, e.g. `200-299,401`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusSet {
    /// Inclusive ranges within 100..=599.
    pub ranges: Vec<(u16, u16)>,
}

impl StatusSet {
    pub fn contains(&self, code: u16) -> bool {
        self.ranges
            .iter()
            .any(|&(from, to)| from <= code && code <= to)
    }
}

impl std::fmt::Display for StatusSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, (from, to)) in self.ranges.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            if from == to {
                write!(f, "{from}")?;
            } else {
                write!(f, "{from}-{to}")?;
            }
        }
        Ok(())
    }
}
