//! What went wrong with a transfer, read from libcurl's code and text.

use crate::monitor::outcome::{Failure, FailureKind};
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

/// A transfer that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub what: What,
    /// The address that was spoken to, when a connection had been made.
    pub address: Option<SocketAddr>,
}

/// Few kinds, so that a cause doesn't hang on libcurl's wording where it needn't.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The request can't be made of what was asked for.
    Request(String),
    /// No trusted roots, or the file that holds them can't be used.
    Roots(String),
    Resolve,
    ResolveTimeout,
    /// No TCP connection; libcurl doesn't say why.
    Connect,
    ConnectTimeout,
    /// The server's certificate wasn't accepted; rustls' word for it.
    Certificate(String),
    HandshakeTimeout,
    Handshake(String),
    Reset,
    /// Nothing came in time.
    AnswerTimeout,
    /// It began in time and didn't end.
    EndTimeout,
    Empty,
    NotHttp,
    NotHttp2,
    BrokenOff,
    BadChunk,
    BadEncoding,
    HeadersTooLarge,
    Other(String),
}

impl Fault {
    /// `began`: the head of the answer had come before. `https`: the connection is a TLS one.
    pub(super) fn new(error: &isahc::error::Error, https: bool, began: bool) -> Fault {
        Fault {
            what: what(error, https, began),
            address: error.remote_addr(),
        }
    }

    /// The cause as libcurl knows it. `timeout` is the whole check's.
    pub fn failure(&self, host: &str, timeout: Duration) -> Failure {
        use FailureKind::{Connect, Dns, Internal, Protocol, Timeout, Tls, TooLarge};
        let within = within(timeout);
        let (kind, detail) = match &self.what {
            What::Request(why) => (Internal, why.clone()),
            What::Roots(why) => (Tls, why.clone()),
            What::Resolve => (Dns, format!("cannot resolve {host}")),
            What::ResolveTimeout => (Dns, format!("cannot resolve {host} within {within}")),
            What::Connect => (Connect, format!("cannot connect to {host}")),
            What::ConnectTimeout => (Timeout, format!("no connection within {within}")),
            What::Certificate(why) => (Tls, certificate(why, host)),
            What::HandshakeTimeout => (Timeout, format!("no TLS handshake within {within}")),
            What::Handshake(why) => (Tls, handshake(why)),
            What::Reset => (Connect, "connection reset".to_owned()),
            What::AnswerTimeout => (Timeout, format!("no answer within {within}")),
            What::EndTimeout => (Timeout, format!("no end of the answer within {within}")),
            What::Empty => (
                Protocol,
                "server closed the connection without an answer".to_owned(),
            ),
            What::NotHttp => (Protocol, "answer is not HTTP".to_owned()),
            What::NotHttp2 => (Protocol, "answer is not HTTP/2".to_owned()),
            What::BrokenOff => (Protocol, "answer broken off".to_owned()),
            What::BadChunk => (Protocol, "bad chunk in the answer".to_owned()),
            What::BadEncoding => (Protocol, "answer cannot be decompressed".to_owned()),
            What::HeadersTooLarge => (TooLarge, "answer's headers are too large".to_owned()),
            What::Other(why) => (Protocol, why.clone()),
        };
        Failure::new(kind, detail)
    }
}

/// `10s`, `1500ms`, `5m`: as the configuration writes it.
pub fn within(timeout: Duration) -> String {
    match (timeout.as_secs(), timeout.subsec_millis()) {
        (secs, 0) if secs >= 60 && secs.is_multiple_of(60) => format!("{}m", secs / 60),
        (secs, 0) => format!("{secs}s"),
        _ => format!("{}ms", timeout.as_millis()),
    }
}

/// isahc's kinds are coarser than libcurl's codes (curl.h, `CURLcode`), which only its source's
/// text shows: `[28] Timeout was reached (Operation timed out …)`.
fn what(error: &isahc::error::Error, https: bool, began: bool) -> What {
    let text = match error.source() {
        Some(source) => source.to_string(),
        None => error.to_string(),
    };
    let code = text
        .strip_prefix('[')
        .and_then(|t| t.split(']').next())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0u32);
    classify(code, &text, error.remote_addr().is_some(), https, began)
}

fn classify(code: u32, text: &str, connected: bool, https: bool, began: bool) -> What {
    match code {
        6 => What::Resolve,
        5 | 7 => What::Connect,
        28 if text.contains("Resolving timed out") || text.contains("Failed to resolve") => {
            What::ResolveTimeout
        }
        28 if began || text.contains(" out of ") => What::EndTimeout,
        28 if text.contains("Operation timed out") => What::AnswerTimeout,
        28 if connected && https => What::HandshakeTimeout,
        28 => What::ConnectTimeout,
        35 if text.contains("closed abruptly") => {
            What::Handshake("server closed the connection".to_owned())
        }
        35 if reset(text) => What::Handshake("connection reset".to_owned()),
        35 | 59 => What::Handshake(tail(text)),
        51 | 60 => What::Certificate(tail(text)),
        77 => What::Roots("the trusted root certificates cannot be read".to_owned()),
        18 => What::BrokenOff,
        52 => What::Empty,
        1 | 8 => What::NotHttp,
        // isahc stops a transfer whose header lines it can't read.
        23 if !began => What::NotHttp,
        16 if text.contains("Remote peer returned unexpected data") || !https && !began => {
            What::NotHttp2
        }
        61 => What::BadEncoding,
        100 => What::HeadersTooLarge,
        _ if text.contains("oo large response headers") || text.contains("oo many response") => {
            What::HeadersTooLarge
        }
        _ if text.contains("chunk") => What::BadChunk,
        _ if reset(text) => What::Reset,
        _ if text.contains("peer closed TCP connection") && began => What::BrokenOff,
        _ if text.contains("peer closed TCP connection") => What::Empty,
        16 | 92 => What::Other("HTTP/2 stream broken off".to_owned()),
        _ => What::Other(format!("transfer failed (libcurl error {code})")),
    }
}

fn reset(text: &str) -> bool {
    text.contains("Connection reset") || text.contains("Broken pipe")
}

/// The last part of `[35] SSL connect error (rustls_connection_…: received fatal alert: X)`.
fn tail(text: &str) -> String {
    let inner = text.split_once(" (").map_or(text, |(_, inner)| inner);
    let inner = inner.trim_end_matches(')');
    inner
        .strip_prefix("rustls_connection_process_new_packets: ")
        .unwrap_or(inner)
        .to_owned()
}

fn handshake(why: &str) -> String {
    if why.contains("corrupt message") {
        return "not a TLS server".to_owned();
    }
    format!("TLS handshake failed: {why}")
}

/// Without dates and names: those come from a look of our own.
fn certificate(why: &str, host: &str) -> String {
    if why.contains("NotValidYet") || why.contains("not valid yet") {
        "certificate not yet valid".to_owned()
    } else if why.contains("NotValidForName") || why.contains("not valid for name") {
        format!("certificate is not for {host}")
    } else if why.contains("xpired") {
        "certificate expired".to_owned()
    } else if why.contains("UnknownIssuer") {
        "certificate not trusted (unknown issuer)".to_owned()
    } else {
        "certificate not trusted".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_says_how_far_it_came() {
        let text = |t: &str| format!("[28] Timeout was reached ({t})");
        let connected = |t: &str, connected| classify(28, &text(t), connected, true, false);
        assert_eq!(
            connected("Resolving timed out after 1000 milliseconds", false),
            What::ResolveTimeout
        );
        assert_eq!(
            connected("Connection timed out after 1000 milliseconds", false),
            What::ConnectTimeout
        );
        assert_eq!(
            connected("Connection timed out after 1000 milliseconds", true),
            What::HandshakeTimeout
        );
        assert_eq!(
            connected("Operation timed out after 9 milliseconds with 0 bytes received", true),
            What::AnswerTimeout
        );
        assert_eq!(
            connected(
                "Operation timed out after 9 milliseconds with 0 out of 5 bytes received",
                true
            ),
            What::EndTimeout
        );
    }

    #[test]
    fn a_cause_never_shows_more_than_the_host() {
        let fault = Fault {
            what: classify(99, "[99] odd (https://u:p@h/?token=x)", true, true, false),
            address: None,
        };
        let failure = fault.failure("h", Duration::from_secs(10));
        assert_eq!(failure.detail, "transfer failed (libcurl error 99)");
    }

    #[test]
    fn durations_read_as_in_the_configuration() {
        assert_eq!(within(Duration::from_secs(10)), "10s");
        assert_eq!(within(Duration::from_millis(1500)), "1500ms");
        assert_eq!(within(Duration::from_secs(300)), "5m");
    }
}
