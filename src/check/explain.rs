//! Why a connection failed: libcurl's code is all that arrives of its knowledge.

use super::body::Search;
use crate::http::{Client, Fault, Peer, What, bare_host, handshake, within};
use crate::monitor::outcome::{Failure, FailureKind};
use crate::monitor::site::{HttpCheck, IpVersion};
use async_io::{Async, Timer};
use futures_lite::{AsyncReadExt, AsyncWriteExt, FutureExt};
use rustls::CertificateError;
use rustls::pki_types::UnixTime;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use url::Url;

/// With less time than this left, libcurl's word has to do.
const LEAST: Duration = Duration::from_millis(20);
/// A look of our own takes no longer than this.
const LOOK_WITHIN: Duration = Duration::from_secs(5);
/// A look-up after the deadline: a name that was resolved is in somebody's cache.
const LOOKUP_WITHIN: Duration = Duration::from_millis(150);
/// Addresses tried of a name that has many.
const ADDRESSES: usize = 4;
/// libcurl's bound on the head of an answer (`MAX_HTTP_RESP_HEADER_SIZE`, http.h).
const HEAD: usize = 300 * 1024;

/// The failure that `fault` is; looks again where that tells more, within `deadline`.
pub(super) async fn explain(
    client: &Client,
    check: &HttpCheck,
    url: &Url,
    fault: Fault,
    timeout: Duration,
    deadline: Instant,
) -> Failure {
    let host = bare_host(url).unwrap_or_default();
    let known = fault.failure(&host, timeout);
    if client.is_proxied(url) {
        return match fault.what {
            What::Connect => Failure::new(FailureKind::Connect, "cannot connect through the proxy"),
            _ => known,
        };
    }
    let left = deadline.saturating_duration_since(Instant::now());
    let within = match fault.what {
        What::ConnectTimeout => LOOKUP_WITHIN,
        What::Connect | What::Certificate | What::Handshake | What::Unreadable if left >= LEAST => {
            left.min(LOOK_WITHIN)
        }
        _ => return known,
    };
    let look = Look {
        client,
        check,
        url,
        host: &host,
        address: fault.address,
        timeout,
    };
    let found = async {
        match fault.what {
            What::ConnectTimeout => look.name().await,
            What::Connect => look.connection().await,
            What::Unreadable => look.head().await,
            _ => look.handshake().await,
        }
    };
    let nothing = async {
        Timer::after(within).await;
        match fault.what {
            What::ConnectTimeout => Some(look.unresolved()),
            _ => None,
        }
    };
    found.or(nothing).await.unwrap_or(known)
}

/// One look of our own at what a transfer failed at. Each answers `None` when it can't tell more.
struct Look<'a> {
    client: &'a Client,
    check: &'a HttpCheck,
    url: &'a Url,
    host: &'a str,
    /// The address that was spoken to, when there was one.
    address: Option<SocketAddr>,
    timeout: Duration,
}

impl Look<'_> {
    /// No connection in time: or was it the name?
    async fn name(&self) -> Option<Failure> {
        match self.addresses().await {
            Some(_) => None,
            None => Some(self.unresolved()),
        }
    }

    fn unresolved(&self) -> Failure {
        let detail = format!(
            "cannot resolve {} within {}",
            self.host,
            within(self.timeout)
        );
        Failure::new(FailureKind::Dns, detail)
    }

    /// Connects, for the errno.
    async fn connection(&self) -> Option<Failure> {
        let mut worst: Option<(io::Error, SocketAddr)> = None;
        for address in self.addresses().await? {
            let error = Async::<TcpStream>::connect(address).await.err()?;
            // Of two families the one that has a route tells more.
            let routed = error.kind() != io::ErrorKind::NetworkUnreachable;
            if worst.is_none() || routed {
                worst = Some((error, address));
            }
        }
        let (error, address) = worst?;
        Some(connect_failure(&error, address, self.timeout))
    }

    /// Asks for nothing but the path, and reads the head of the answer.
    async fn head(&self) -> Option<Failure> {
        let mut stream = Async::<TcpStream>::connect(self.address?).await.ok()?;
        let mut request = format!("GET {} HTTP/1.1\r\n", self.url.path());
        request.push_str(&format!("Host: {}\r\n", self.url.host_str()?));
        request.push_str("Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut chunk = vec![0; 4096];
        let mut ending = Search::new("\r\n\r\n");
        let mut chunked = Search::new("chunked");
        let mut size = 0;
        while !ending.found && size <= HEAD {
            let got = stream.read(&mut chunk).await.ok()?;
            if got == 0 {
                return None;
            }
            size += got;
            ending.feed(&chunk[..got]);
            chunked.feed(&chunk[..got]);
        }
        let what = match (ending.found, chunked.found) {
            (false, _) => What::HeadersTooLarge,
            (true, true) => What::BadChunk,
            (true, false) => return None,
        };
        let address = self.address;
        Some(Fault { what, address }.failure(self.host, self.timeout))
    }

    /// A handshake, for the reason, dates and names.
    async fn handshake(&self) -> Option<Failure> {
        let address = match self.address {
            Some(address) => address,
            None => *self.addresses().await?.first()?,
        };
        let bundle = self
            .client
            .bundle(self.check.ca_file.as_deref())
            .await
            .ok()?;
        let detail = match handshake(address, self.host, &bundle).await {
            Ok(peer) if self.check.verify => certificate_cause(&peer, self.host)?,
            Ok(_) => return None,
            Err(error) => handshake_cause(&error),
        };
        Some(Failure::new(FailureKind::Tls, detail))
    }

    async fn addresses(&self) -> Option<Vec<SocketAddr>> {
        let port = self.url.port_or_known_default()?;
        let mut all = self.client.resolve(self.host, port).await.ok()?;
        all.retain(|address| match self.check.ip {
            IpVersion::Any => true,
            IpVersion::V4 => address.is_ipv4(),
            IpVersion::V6 => address.is_ipv6(),
        });
        all.truncate(ADDRESSES);
        (!all.is_empty()).then_some(all)
    }
}

fn connect_failure(error: &io::Error, address: SocketAddr, timeout: Duration) -> Failure {
    use io::ErrorKind::{
        ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, TimedOut,
    };
    let detail = match error.kind() {
        ConnectionRefused => format!("connection refused by {address}"),
        HostUnreachable => format!("no route to host {}", address.ip()),
        NetworkUnreachable => "network unreachable".to_owned(),
        ConnectionReset => "connection reset".to_owned(),
        TimedOut => {
            let detail = format!("no connection within {}", within(timeout));
            return Failure::new(FailureKind::Timeout, detail);
        }
        _ => format!("cannot connect to {address}"),
    };
    Failure::new(FailureKind::Connect, detail)
}

fn handshake_cause(error: &io::Error) -> String {
    use rustls::Error as E;
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    let why = match tls {
        Some(E::InvalidMessage(_)) => return "not a TLS server".to_owned(),
        Some(E::AlertReceived(alert)) => format!("server sent alert {alert:?}"),
        Some(E::PeerIncompatible(_)) => "no TLS version or cipher in common".to_owned(),
        Some(_) => "server broke the protocol".to_owned(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "server closed the connection".to_owned()
        }
        None if error.kind() == io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        None => return "TLS handshake failed".to_owned(),
    };
    format!("TLS handshake failed: {why}")
}

/// `None` when this time it was trusted.
fn certificate_cause(peer: &Peer, host: &str) -> Option<String> {
    use CertificateError as E;
    let error = peer.trust.as_ref().err()?;
    Some(match error {
        E::ExpiredContext { time, not_after } => {
            format!("certificate expired {} ago", span(*not_after, *time))
        }
        E::NotValidYetContext { time, not_before } => {
            format!(
                "certificate not yet valid, starts in {}",
                span(*time, *not_before)
            )
        }
        E::NotValidForNameContext { presented, .. } => names(presented, host),
        _ if peer.is_self_signed() => "self-signed certificate".to_owned(),
        E::UnknownIssuer => "certificate not trusted (unknown issuer)".to_owned(),
        E::Revoked => "certificate revoked".to_owned(),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "certificate is not for a server".to_owned()
        }
        E::BadEncoding => "certificate cannot be read".to_owned(),
        E::BadSignature => "certificate has a wrong signature".to_owned(),
        _ => "certificate not trusted".to_owned(),
    })
}

/// rustls lists them as `DnsName("a.example")` and `IpAddress(1.2.3.4)`.
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

/// `3 days`, roughly.
fn span(from: UnixTime, to: UnixTime) -> String {
    let seconds = to.as_secs().saturating_sub(from.as_secs());
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_connect_is_told_by_its_errno() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        let told = |kind: io::ErrorKind| {
            connect_failure(&kind.into(), address, Duration::from_secs(10)).detail
        };
        assert_eq!(
            told(io::ErrorKind::ConnectionRefused),
            "connection refused by 127.0.0.1:8080"
        );
        assert_eq!(
            told(io::ErrorKind::HostUnreachable),
            "no route to host 127.0.0.1"
        );
        assert_eq!(
            told(io::ErrorKind::NetworkUnreachable),
            "network unreachable"
        );
        assert_eq!(told(io::ErrorKind::TimedOut), "no connection within 10s");
    }

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
