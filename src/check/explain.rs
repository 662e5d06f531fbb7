//! Finds out why a connection failed and which address was tried. isahc passes on libcurl's error code
//! and, if a connection was established, its address; probes fill in the rest.

use super::body::Search;
use super::connect::CheckFailure;
use super::deadline::Deadline;
use super::tls_cause::{WANTS_CERTIFICATE, certificate_cause, refused_hello};
use crate::http::{
    Client, TransferError, TransferErrorKind, Unresolved, bare_host, handshake, literal,
};
use crate::machine;
use crate::monitor::site::outcome::{Failure, FailureKind, Outcome};
use crate::monitor::site::{HttpCheck, IpVersion};
use crate::timeout::at_most;
use async_io::Async;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;
use url::Url;

/// Minimum time left for a probe; with less, libcurl's error code is the cause.
const LEAST_TIME: Duration = Duration::from_millis(20);
/// Maximum duration of a probe.
const PROBE_WITHIN: Duration = Duration::from_secs(5);
/// Maximum duration of a probe after the deadline: a name that was resolved is cached, and a server that
/// accepts connections does so at once.
const AFTERWARDS: Duration = Duration::from_millis(150);
/// Maximum duration of a lookup that is to find out why a name does not resolve.
const RESOLVE_WITHIN: Duration = Duration::from_secs(2);
/// How long to wait for the other address family once one has been resolved (RFC 8305, section 3).
pub(super) const OTHER_FAMILY_WAIT: Duration = Duration::from_millis(50);
/// Maximum number of addresses that are tried.
const ADDRESSES: usize = 4;
/// libcurl's limit on the size of a response head (`MAX_HTTP_RESP_HEADER_SIZE`, http.h).
const HEAD: usize = 300 * 1024;

/// Turns `fault` into an outcome, and probes the server within `deadline` if that can explain more.
/// `dialled` is the address that the request was sent to in place of the resolved one.
pub(super) async fn explain(
    client: &Client,
    check: &HttpCheck,
    url: &Url,
    dialled: &[SocketAddr],
    fault: TransferError,
    deadline: Deadline,
) -> Outcome {
    let host = bare_host(url).unwrap_or_default();
    let known = fault.failure(&host, deadline.timeout);
    if client.is_proxied(url, &check.proxy) {
        // The peer was the proxy: its address is not the site's.
        let failure = match fault.what {
            TransferErrorKind::Connect => {
                Failure::new(FailureKind::Proxy, "cannot connect to the proxy")
            }
            TransferErrorKind::ConnectTimeout if client.is_dead(&check.proxy, AFTERWARDS).await => {
                Failure::new(FailureKind::Proxy, "the proxy doesn't answer")
            }
            _ => known,
        };
        return CheckFailure::new(failure, literal(url)).into();
    }
    let mut probe = Probe {
        client,
        check,
        url,
        dialled,
        host: &host,
        // libcurl omits the interface.
        address: fault.address.map(|address| {
            let known = dialled.iter().find(|known| known.ip() == address.ip());
            known.copied().unwrap_or(address)
        }),
        tried: fault.address.map(|address| address.ip()).or(literal(url)),
        deadline,
    };
    let known = match fault.what {
        TransferErrorKind::Resolve => unanswered(&host),
        _ => known,
    };
    if fault.what == TransferErrorKind::ConnectTimeout {
        let failure = probe.connect_timeout(known).await;
        return CheckFailure::new(failure, probe.tried).into();
    }
    let left = deadline.left();
    let within = match fault.what {
        _ if left < LEAST_TIME => return CheckFailure::new(known, probe.tried).into(),
        TransferErrorKind::Resolve
        | TransferErrorKind::Request(_)
        | TransferErrorKind::Roots(_) => left.min(RESOLVE_WITHIN),
        TransferErrorKind::Connect
        | TransferErrorKind::Certificate
        | TransferErrorKind::Handshake
        | TransferErrorKind::Unreadable => left.min(PROBE_WITHIN),
        // A server that requires a client certificate says so after the handshake.
        TransferErrorKind::Empty if url.scheme() == "https" => left.min(PROBE_WITHIN),
        _ => return CheckFailure::new(known, probe.tried).into(),
    };
    let found = at_most(within, probe.run(&fault.what)).await;
    CheckFailure::new(found.flatten().unwrap_or(known), probe.tried).into()
}

/// Probes for the reason of a failed transfer. Each returns `None` if it finds out nothing more.
struct Probe<'a> {
    client: &'a Client,
    check: &'a HttpCheck,
    url: &'a Url,
    dialled: &'a [SocketAddr],
    host: &'a str,
    /// The peer's address, if a connection was established.
    address: Option<SocketAddr>,
    /// The address to report: the peer's, or the one that the name resolves to.
    tried: Option<IpAddr>,
    deadline: Deadline,
}

impl Probe<'_> {
    async fn run(&mut self, what: &TransferErrorKind) -> Option<Failure> {
        match what {
            TransferErrorKind::Resolve => self.addresses().await.err(),
            TransferErrorKind::Request(_) | TransferErrorKind::Roots(_) => {
                // Only resolved to report the address.
                if self.tried.is_none() {
                    let _ = self.addresses().await;
                }
                None
            }
            TransferErrorKind::Connect => self.connection().await,
            TransferErrorKind::Unreadable => self.head().await,
            _ => self.handshake(what).await,
        }
    }

    /// No connection in time. libcurl's connect phase includes name resolution and TLS handshake, so this
    /// finds out which of them took too long.
    async fn connect_timeout(&mut self, known: Failure) -> Failure {
        match at_most(AFTERWARDS, self.addresses()).await {
            Some(Err(denied)) if is_known(&denied) => denied,
            None | Some(Err(_)) => unresolved(self.host, self.deadline),
            Some(Ok(all)) if self.url.scheme() == "https" => {
                match at_most(AFTERWARDS, answering(&all)).await.flatten() {
                    Some(address) => {
                        self.tried = Some(address);
                        self.deadline.missed(NO_HANDSHAKE)
                    }
                    None => known,
                }
            }
            Some(Ok(_)) => known,
        }
    }

    /// Connects again for the errno.
    async fn connection(&mut self) -> Option<Failure> {
        let mut worst: Option<(io::Error, SocketAddr)> = None;
        let addresses = match self.addresses().await {
            Ok(all) => all,
            // libcurl does not try an address of the wrong family.
            Err(failure) => return Some(failure).filter(is_known),
        };
        for address in addresses {
            self.tried = Some(address.ip());
            let error = Async::<TcpStream>::connect(address).await.err()?;
            if let Some(local_fault) = machine::local_fault(&error) {
                return Some(Failure::local(local_fault));
            }
            // Prefer the error of the address family that has a route.
            if worst.is_none() || !is_no_route(&error, address) {
                worst = Some((error, address));
            }
        }
        let (error, address) = worst?;
        self.tried = Some(address.ip());
        Some(connect_failure(&error, address, self.deadline))
    }

    /// Requests the path alone and reads the response head.
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
        let mut is_interim = false;
        while (is_interim || !ending.found) && size <= HEAD {
            let got = stream.read(&mut chunk).await.ok()?;
            if got == 0 {
                return None;
            }
            // `HTTP/1.1 103`: an interim response, whose end is not that of the head.
            is_interim |= size == 0 && chunk.get(9) == Some(&b'1');
            size += got;
            ending.feed(&chunk[..got]);
            chunked.feed(&chunk[..got]);
        }
        let what = match (ending.found && !is_interim, chunked.found) {
            (false, _) => TransferErrorKind::HeadersTooLarge,
            (true, true) => TransferErrorKind::BadChunk,
            (true, false) => return None,
        };
        let address = self.address;
        Some(TransferError { what, address }.failure(self.host, self.deadline.timeout))
    }

    /// Shakes hands again, for the reason, dates and names in the certificate.
    async fn handshake(&mut self, what: &TransferErrorKind) -> Option<Failure> {
        let address = match self.address {
            Some(address) => address,
            None => *self.addresses().await.ok()?.first()?,
        };
        let bundle = self
            .client
            .bundle(self.check.ca_file.as_deref())
            .await
            .ok()?;
        let (kind, detail) = match handshake(address, self.host, &bundle).await {
            Ok(peer) if peer.wants_certificate && *what == TransferErrorKind::Empty => {
                (FailureKind::Tls, WANTS_CERTIFICATE.to_owned())
            }
            Ok(peer) if self.check.verify && *what != TransferErrorKind::Empty => {
                certificate_cause(&peer, self.host)?
            }
            Ok(_) => return None,
            Err(error) => (
                FailureKind::Tls,
                refused_hello(&error, address, self.host).await,
            ),
        };
        Some(Failure::new(kind, detail))
    }

    /// Resolves the host to at least one address of the wanted family, or a failure.
    async fn addresses(&mut self) -> Result<Vec<SocketAddr>, Failure> {
        let port = self.url.port_or_known_default().unwrap_or_default();
        let mut all = match self.dialled {
            [] => {
                addresses(
                    self.client,
                    self.host,
                    port,
                    self.check.ip,
                    OTHER_FAMILY_WAIT,
                )
                .await?
            }
            dialled => dialled.to_vec(),
        };
        all.truncate(ADDRESSES);
        self.tried = self.tried.or(all.first().map(SocketAddr::ip));
        Ok(all)
    }
}

/// A failed lookup whose reason is known.
fn is_known(failure: &Failure) -> bool {
    matches!(failure.kind, FailureKind::NoName | FailureKind::Local(_))
}

/// The link-local address of `url` with its interface, as resolvers accept it.
pub(super) fn zoned(url: &Url, check: &HttpCheck) -> Option<String> {
    let zone = check.zone.as_ref()?;
    match literal(url)? {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some(format!("{v6}%{zone}")),
        _ => None,
    }
}

/// Returns the first of `addresses` that accepts a connection.
async fn answering(addresses: &[SocketAddr]) -> Option<IpAddr> {
    for address in addresses {
        if Async::<TcpStream>::connect(*address).await.is_ok() {
            return Some(address.ip());
        }
    }
    None
}

/// Cause when the connection was established and nothing more came in time.
pub(super) const NO_HANDSHAKE: &str = "no end of the TLS handshake";

/// Resolves `host` to at least one address of the wanted family, or a failure. If both families are
/// wanted, waits up to `moment` for the second.
pub(super) async fn addresses(
    client: &Client,
    host: &str,
    port: u16,
    ip: IpVersion,
    moment: Duration,
) -> Result<Vec<SocketAddr>, Failure> {
    let mut lookup = client.lookup(host, port, ip);
    let found = lookup.addresses(moment).await;
    found.map_err(|why| unfound(host, ip, why))
}

pub(super) fn unfound(host: &str, ip: IpVersion, why: Unresolved) -> Failure {
    let why = match (why, ip) {
        (Unresolved::LocalFault(local_fault), _) => return Failure::local(local_fault),
        (Unresolved::NoAnswer, _) => return unanswered(host),
        (Unresolved::NoName, _) => "no such name",
        (Unresolved::NoAddress, IpVersion::Any) => "no address",
        (Unresolved::NoAddress, IpVersion::V4) => "no IPv4 address",
        (Unresolved::NoAddress, IpVersion::V6) => "no IPv6 address",
    };
    Failure::new(FailureKind::NoName, format!("cannot resolve {host}: {why}"))
}

pub(super) fn unresolved(host: &str, deadline: Deadline) -> Failure {
    let late = deadline.missed(&format!("cannot resolve {host}"));
    Failure::new(FailureKind::Dns, late.detail)
}

fn unanswered(host: &str) -> Failure {
    let detail = format!("cannot resolve {host}: no answer from the resolver");
    Failure::new(FailureKind::Dns, detail)
}

/// Whether this machine has no route to `address`. Without IPv6 the kernel may also report that it has
/// no source address, or that the address family is not supported.
pub(super) fn is_no_route(error: &io::Error, address: SocketAddr) -> bool {
    error.kind() == io::ErrorKind::NetworkUnreachable
        || address.is_ipv6()
            && (error.kind() == io::ErrorKind::AddrNotAvailable
                || error.raw_os_error() == Some(libc::EAFNOSUPPORT))
}

pub(super) fn connect_failure(
    error: &io::Error,
    address: SocketAddr,
    deadline: Deadline,
) -> Failure {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, TimedOut};
    if let Some(local_fault) = machine::local_fault_of_path(error, address.ip()) {
        return Failure::local(local_fault);
    }
    let of_server = |common, server| Failure::of_server(FailureKind::Connect, common, server);
    match error.kind() {
        _ if is_no_route(error, address) => {
            Failure::new(FailureKind::NoRoute, "network unreachable")
        }
        TimedOut => deadline.missed("no connection"),
        ConnectionRefused => of_server("connection refused", format!("by {address}")),
        HostUnreachable => of_server("no route to host", address.ip().to_string()),
        ConnectionReset => Failure::new(FailureKind::Connect, "connection reset"),
        _ => of_server("cannot connect", format!("to {address}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::site::outcome::LocalFault;

    #[test]
    fn a_failed_connect_is_told_by_its_errno() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        let failure = |error: io::Error, address| {
            let failure = connect_failure(&error, address, Deadline::new(Duration::from_secs(10)));
            (failure.kind, failure.detail)
        };
        let told = |kind: io::ErrorKind| failure(kind.into(), address);
        assert_eq!(
            told(io::ErrorKind::ConnectionRefused),
            (
                FailureKind::Connect,
                "connection refused by 127.0.0.1:8080".to_owned()
            )
        );
        assert_eq!(
            told(io::ErrorKind::HostUnreachable),
            (
                FailureKind::Connect,
                "no route to host 127.0.0.1".to_owned()
            )
        );
        assert_eq!(
            told(io::ErrorKind::NetworkUnreachable),
            (FailureKind::NoRoute, "network unreachable".to_owned())
        );
        assert_eq!(
            told(io::ErrorKind::TimedOut),
            (FailureKind::Timeout, "no connection within 10s".to_owned())
        );
        let v6 = SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 80));
        for code in [libc::ENETUNREACH, libc::EADDRNOTAVAIL, libc::EAFNOSUPPORT] {
            let told = failure(io::Error::from_raw_os_error(code), v6);
            assert_eq!(told.0, FailureKind::NoRoute);
        }
        let here = failure(io::Error::from_raw_os_error(libc::EADDRNOTAVAIL), address);
        assert_eq!(here.0, FailureKind::Local(LocalFault::Ports));
        let full = failure(io::Error::from_raw_os_error(libc::EMFILE), address);
        assert_eq!(full.0, FailureKind::Local(LocalFault::Descriptors));
    }
}
