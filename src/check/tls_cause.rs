//! Explains why a TLS handshake failed.

use super::wire::legacy_hello::{ALERT, ANSWER_NEEDED, accepted, hello, is_handshake};
use crate::http::{ClientCertificateWanted, Peer};
use crate::monitor::render::text;
use crate::monitor::site::outcome::FailureKind;
use crate::timeout::at_most;
use async_io::Async;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;
use webpki::Error as PathError;

pub(super) const WANTS_CERTIFICATE: &str = "server wants a client certificate";
/// Servers that support legacy suites answer such a hello at once.
const LEGACY_WITHIN: Duration = Duration::from_millis(500);

/// Like [`handshake_cause`] for a handshake with the server at `address`. A server that refused every
/// offer gets another hello that tells whether it supports legacy suites only.
pub(super) async fn refused_hello(error: &io::Error, address: SocketAddr, host: &str) -> String {
    use rustls::Error::{AlertReceived, PeerIncompatible};
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    let refused = matches!(
        tls,
        Some(AlertReceived(AlertDescription::HandshakeFailure) | PeerIncompatible(_))
    );
    let legacy = at_most(LEGACY_WITHIN, legacy_version(address, host));
    if refused && let Some(Ok(Some(0x0303))) = legacy.await {
        // rustls has none of them, by design.
        return "server offers only TLS 1.2 suites that are out of date (CBC, RSA or DHE key exchange)"
            .to_owned();
    }
    handshake_cause(error)
}

/// Returns the version in which the server accepts a hello with legacy suites only.
async fn legacy_version(address: SocketAddr, host: &str) -> io::Result<Option<u16>> {
    // SNI takes no IP address, with or without an interface.
    let is_name = |host: &&str| !host.contains('%') && host.parse::<IpAddr>().is_err();
    let name = Some(host).filter(is_name);
    let mut stream = Async::<TcpStream>::connect(address).await?;
    stream.write_all(&hello(name)).await?;
    let mut answer = [0; ANSWER_NEEDED];
    // Shorter answers are alerts.
    let (first, rest) = answer.split_at_mut(ALERT);
    stream.read_exact(first).await?;
    if is_handshake(first) {
        stream.read_exact(rest).await?;
    }
    Ok(accepted(&answer))
}

pub(super) fn handshake_cause(error: &io::Error) -> String {
    use rustls::Error as E;
    let inner = error.get_ref();
    if inner.is_some_and(|inner| inner.is::<ClientCertificateWanted>()) {
        return WANTS_CERTIFICATE.to_owned();
    }
    let why = match inner.and_then(|inner| inner.downcast_ref()) {
        Some(E::InvalidMessage(_)) => return "not a TLS server".to_owned(),
        Some(E::AlertReceived(AlertDescription::ProtocolVersion)) => {
            "server speaks no TLS 1.2 or newer".to_owned()
        }
        Some(E::AlertReceived(alert)) => format!("server sent alert {alert:?}"),
        Some(E::PeerIncompatible(_)) => "no TLS version or cipher in common".to_owned(),
        // The certificate was accepted; the signature with its key was not.
        Some(E::InvalidCertificate(_)) => {
            "server's signature cannot be verified (an RSA key under 2048 bits?)".to_owned()
        }
        Some(_) => "server broke the protocol".to_owned(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "server closed the connection".to_owned()
        }
        None if error.kind() == io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        None => return "TLS handshake failed".to_owned(),
    };
    format!("TLS handshake failed: {why}")
}

/// `None` if the certificate is trusted this time.
pub(super) fn certificate_cause(peer: &Peer, host: &str) -> Option<(FailureKind, String)> {
    use CertificateError as E;
    use FailureKind::{Tls, Untrusted};
    let error = peer.trust.as_ref().err()?;
    let tls = |detail: &str| (Tls, detail.to_owned());
    let untrusted = |detail: &str| (Untrusted, detail.to_owned());
    Some(match error {
        E::ExpiredContext { time, not_after } => {
            let ago = span(*not_after, *time);
            (Tls, format!("certificate expired {ago} ago"))
        }
        E::NotValidYetContext { time, not_before } => {
            let left = span(*time, *not_before);
            (Tls, format!("certificate not yet valid, starts in {left}"))
        }
        E::NotValidForNameContext { presented, .. } => (Untrusted, names(presented, host)),
        _ if peer.is_self_signed() => untrusted("self-signed certificate"),
        E::UnknownIssuer => untrusted("certificate not trusted (unknown issuer)"),
        E::Revoked => tls("certificate revoked"),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            tls("certificate is not for a server")
        }
        E::BadEncoding => tls("certificate cannot be read"),
        E::BadSignature => tls("certificate has a wrong signature"),
        E::Other(other) => tls(path_cause(other.0.downcast_ref())),
        E::UnsupportedSignatureAlgorithmContext { .. }
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => tls(
            "certificate not trusted (signed by an algorithm or key size that is not supported)",
        ),
        _ => tls("certificate not trusted"),
    })
}

/// Errors of webpki that have no counterpart in rustls.
fn path_cause(error: Option<&PathError>) -> &'static str {
    use PathError as E;
    match error {
        Some(E::NameConstraintViolation | E::UnsupportedNameType | E::MalformedNameConstraint) => {
            "certificate not trusted (name constraints of its issuer that are violated, or of a kind that is not supported)"
        }
        Some(E::UnsupportedCriticalExtension) => {
            "certificate not trusted (a critical extension that is not supported)"
        }
        Some(E::UnsupportedCertVersion) => "certificate not trusted (not X.509 version 3)",
        Some(E::CaUsedAsEndEntity) => "certificate not trusted (it is an issuer's, not a server's)",
        Some(E::EndEntityUsedAsCa | E::PathLenConstraintViolated) => {
            "certificate not trusted (an issuer in its chain may not issue)"
        }
        Some(
            E::MaximumPathDepthExceeded
            | E::MaximumPathBuildCallsExceeded
            | E::MaximumSignatureChecksExceeded,
        ) => "certificate not trusted (its chain is too long)",
        _ => "certificate not trusted",
    }
}

/// rustls prints names as `DnsName("a.example")` and `IpAddress(1.2.3.4)`.
fn names(presented: &[String], host: &str) -> String {
    let plain = |name: &String| {
        let inner = name
            .split_once('(')
            .map_or(name.as_str(), |(_, inner)| inner);
        inner.trim_end_matches(')').trim_matches('"').to_owned()
    };
    let shown: Vec<String> = presented.iter().take(2).map(plain).collect();
    let whose = match (shown.as_slice(), presented.len()) {
        ([], _) => return format!("certificate is not for {host}"),
        (_, count @ 3..) => format!("{} and {} more", shown.join(", "), count - 2),
        _ => shown.join(" and "),
    };
    format!("certificate is for {whose}, not for {host}")
}

/// `3 days`, rounded.
fn span(from: UnixTime, to: UnixTime) -> String {
    let seconds = to.as_secs().saturating_sub(from.as_secs());
    let (number, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    text::count(number as usize, unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_a_certificate_are_listed_in_short() {
        let dns = |names: &[&str]| -> Vec<String> {
            names
                .iter()
                .map(|name| format!("DnsName(\"{name}\")"))
                .collect()
        };
        assert_eq!(
            names(&dns(&["other.example"]), "blog.example"),
            "certificate is for other.example, not for blog.example"
        );
        assert_eq!(
            names(&dns(&["a", "b", "c", "d"]), "h"),
            "certificate is for a, b and 2 more, not for h"
        );
        assert_eq!(names(&[], "h"), "certificate is not for h");
    }

    #[test]
    fn spans_are_told_in_the_largest_unit() {
        let at = |secs| UnixTime::since_unix_epoch(Duration::from_secs(secs));
        assert_eq!(span(at(0), at(3 * 86_400 + 5)), "3 days");
        assert_eq!(span(at(0), at(3600)), "1 hour");
        assert_eq!(span(at(9), at(5)), "0 seconds");
    }
}
