//! Interprets errors of transfers by libcurl's code.

use super::quirks::wire_bytes;
use crate::monitor::site::outcome::{Failure, FailureKind};
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

/// A failed transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferError {
    pub what: TransferErrorKind,
    /// The peer's address, if a connection was established.
    pub address: Option<SocketAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferErrorKind {
    /// The request could not be built.
    Request(String),
    /// There are no trusted roots, or their file is unusable.
    Roots(String),
    Resolve,
    /// No TCP connection; the code does not say why.
    Connect,
    /// No connection in time; the name may not even have been resolved.
    ConnectTimeout,
    /// The server's certificate was rejected.
    Certificate,
    Handshake,
    Reset,
    /// A reset, an oversized head or a bad chunk: libcurl has one code for all.
    Unreadable,
    /// No body came in time; the head may have come.
    AnswerTimeout,
    /// The body began in time and did not end.
    EndTimeout,
    Empty,
    NotHttp,
    NotHttp2,
    /// The response violates HTTP/2; the field at fault, if known.
    BadHttp2(Option<String>),
    BrokenOff,
    BadChunk,
    BadEncoding,
    HeadersTooLarge,
    /// Over 8 MiB came, and no end.
    TooMuch,
    Other(String),
}

impl From<TransferErrorKind> for TransferError {
    /// Without an address.
    fn from(what: TransferErrorKind) -> TransferError {
        TransferError {
            what,
            address: None,
        }
    }
}

impl TransferError {
    /// `began`: the head of the response had come. `https`: the connection uses TLS.
    pub(super) fn new(error: &isahc::error::Error, https: bool, began: bool) -> TransferError {
        let ends = error.local_addr().zip(error.remote_addr());
        let cut = ends.and_then(wire_bytes::why_cut);
        TransferError {
            what: cut.unwrap_or_else(|| what(error, https, began)),
            address: error.remote_addr(),
        }
    }

    /// For an error while reading the body.
    pub fn of_body(error: std::io::Error, https: bool) -> TransferError {
        match error.kind() {
            // Not libcurl's: the transfer ended without an error, or our own deadline passed.
            std::io::ErrorKind::ConnectionAborted => TransferErrorKind::BrokenOff.into(),
            _ => TransferError::new(&isahc::error::Error::from(error), https, true),
        }
    }

    /// Describes the cause as far as libcurl knows it. `timeout` is the whole check's.
    pub fn failure(&self, host: &str, timeout: Duration) -> Failure {
        use FailureKind::{Connect, Dns, Internal, Protocol, Timeout, Tls, TooLarge};
        let within = within(timeout);
        let (kind, detail) = match &self.what {
            TransferErrorKind::Request(why) => (Internal, why.clone()),
            TransferErrorKind::Roots(why) => (Tls, why.clone()),
            TransferErrorKind::Resolve => (Dns, format!("cannot resolve {host}")),
            TransferErrorKind::Connect => (Connect, format!("cannot connect to {host}")),
            TransferErrorKind::ConnectTimeout => {
                (Timeout, format!("no connection within {within}"))
            }
            TransferErrorKind::Certificate => (Tls, "certificate not trusted".to_owned()),
            TransferErrorKind::Handshake => (Tls, "TLS handshake failed".to_owned()),
            TransferErrorKind::Reset | TransferErrorKind::Unreadable => {
                (Connect, "connection reset".to_owned())
            }
            TransferErrorKind::AnswerTimeout => (Timeout, format!("no answer within {within}")),
            TransferErrorKind::EndTimeout => {
                (Timeout, format!("no end of the answer within {within}"))
            }
            TransferErrorKind::Empty => (
                Protocol,
                "server closed the connection without an answer".to_owned(),
            ),
            TransferErrorKind::NotHttp => (Protocol, "answer is not HTTP".to_owned()),
            TransferErrorKind::NotHttp2 => (Protocol, "answer is not HTTP/2".to_owned()),
            TransferErrorKind::BadHttp2(None) => {
                (Protocol, "answer is malformed HTTP/2".to_owned())
            }
            TransferErrorKind::BadHttp2(Some(field)) => (
                Protocol,
                format!("answer is malformed HTTP/2 (header field {field})"),
            ),
            TransferErrorKind::BrokenOff => (Protocol, "answer broken off".to_owned()),
            TransferErrorKind::BadChunk => (Protocol, "bad chunk in the answer".to_owned()),
            TransferErrorKind::BadEncoding => {
                (Protocol, "answer cannot be decompressed".to_owned())
            }
            TransferErrorKind::HeadersTooLarge => {
                (TooLarge, "answer's headers are too large".to_owned())
            }
            TransferErrorKind::TooMuch => (
                TooLarge,
                "more than 8 MiB received before the answer ended".to_owned(),
            ),
            TransferErrorKind::Other(why) => (Protocol, why.clone()),
        };
        Failure::new(kind, detail)
    }
}

/// Formats a duration as in the configuration: `10s`, `1500ms`, `5m`.
pub fn within(timeout: Duration) -> String {
    match (timeout.as_secs(), timeout.subsec_millis()) {
        (secs, 0) if secs >= 60 && secs.is_multiple_of(60) => format!("{}m", secs / 60),
        (secs, 0) => format!("{secs}s"),
        _ => format!("{}ms", timeout.as_millis()),
    }
}

/// isahc's kinds are coarser than libcurl's codes (curl.h, `CURLcode`), which only the text of the source
/// error shows: `[28] Timeout was reached`. libcurl's own messages are lost: isahc 2.0.2 takes the results
/// of transfers without them.
fn what(error: &isahc::error::Error, https: bool, began: bool) -> TransferErrorKind {
    let source = error.source();
    if error.is_timeout() && source.is_none_or(|source| source.is::<std::io::Error>()) {
        return TransferErrorKind::EndTimeout;
    }
    let code = source.map(ToString::to_string).and_then(|text| {
        let digits = text.strip_prefix('[')?.split(']').next()?;
        digits.parse().ok()
    });
    let connected = error.remote_addr().is_some();
    classify(code.unwrap_or(0), connected, https, began)
}

fn classify(code: u32, connected: bool, https: bool, began: bool) -> TransferErrorKind {
    match code {
        6 => TransferErrorKind::Resolve,
        5 | 7 => TransferErrorKind::Connect,
        28 if began => TransferErrorKind::EndTimeout,
        28 if connected => TransferErrorKind::AnswerTimeout,
        28 => TransferErrorKind::ConnectTimeout,
        35 | 59 => TransferErrorKind::Handshake,
        51 | 60 => TransferErrorKind::Certificate,
        77 => TransferErrorKind::Roots("the trusted root certificates cannot be read".to_owned()),
        52 => TransferErrorKind::Empty,
        18 => TransferErrorKind::BrokenOff,
        // A reset, or over TLS a missing close_notify.
        55 | 56 if began => TransferErrorKind::BrokenOff,
        55 | 56 if https => TransferErrorKind::Empty,
        55 => TransferErrorKind::Reset,
        56 => TransferErrorKind::Unreadable,
        1 | 8 => TransferErrorKind::NotHttp,
        // isahc aborts a transfer whose header lines it cannot parse.
        23 if !began => TransferErrorKind::NotHttp,
        16 if !https && !began => TransferErrorKind::NotHttp2,
        16 | 92 => TransferErrorKind::Other("HTTP/2 stream broken off".to_owned()),
        61 => TransferErrorKind::BadEncoding,
        100 => TransferErrorKind::HeadersTooLarge,
        _ => TransferErrorKind::Other(format!("transfer failed (libcurl error {code})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_says_how_far_it_came() {
        assert_eq!(
            classify(28, false, true, false),
            TransferErrorKind::ConnectTimeout
        );
        assert_eq!(
            classify(28, true, true, false),
            TransferErrorKind::AnswerTimeout
        );
        assert_eq!(
            classify(28, true, true, true),
            TransferErrorKind::EndTimeout
        );
    }

    #[test]
    fn what_is_not_known_is_told_by_its_number_alone() {
        let fault = TransferError {
            what: classify(99, true, true, false),
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
