//! ICMP checks: three echo requests, of which one reply is enough.
//!
//! Uses a datagram ICMP socket, which needs no privilege if `net.ipv4.ping_group_range` includes the
//! user's group (icmp(7)), else a raw one. The errors that Linux queues (`IP_RECVERR`, ip(7)) tell an
//! unreachable host from a silent one.

use super::connect::CheckFailure;
use super::deadline::Deadline;
use super::explain::{addresses, is_no_route, unresolved};
use super::wire::icmp::{Echo, Family, behind_ipv4_header, read_quoted, read_reply, request};
use crate::http::Client;
use crate::machine;
use crate::monitor::site::outcome::{Failure, FailureKind, LocalFault, Outcome, Phases};
use crate::monitor::site::{IcmpCheck, Site};
use crate::timeout::before;
use async_io::Async;
use futures_lite::future::pending;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long to wait for the other address family once one has been resolved. One address is pinged,
/// IPv4 if there is one; this wait is not part of the measured time.
const OTHER_FAMILY_WAIT: Duration = Duration::from_millis(500);
/// Requests per check.
const REQUESTS: usize = 3;
/// Interval between requests.
const REQUEST_INTERVAL: Duration = Duration::from_millis(200);
/// How long to wait for the other replies after the last request, once one has come.
const STRAGGLER_WAIT: Duration = Duration::from_secs(1);
/// Maximum number of packets read in a row: a flood must not delay the deadline.
const MAX_READ_AT_ONCE: usize = 64;

/// Checks once. The timeout starts now.
pub(super) async fn run(client: &Client, site: &Site, check: &IcmpCheck) -> Outcome {
    let deadline = Deadline::new(site.timeout);
    let found = addresses(client, &check.host, 0, check.ip, OTHER_FAMILY_WAIT);
    let all = match deadline.bound(found).await {
        Some(Ok(all)) => all,
        Some(Err(failure)) => return CheckFailure::new(failure, None).into(),
        None => return CheckFailure::new(unresolved(&check.host, deadline), None).into(),
    };
    let looked_up = deadline.start.elapsed();
    let mut outcome = Outcome::failed(FailureKind::Internal, "no address");
    for to in chosen(&all) {
        let address = to.ip();
        let open = |kind| socket(address, kind);
        outcome = match ping(to, deadline, &open).await {
            Ok(tally) => Outcome {
                verdict: Ok(()),
                took: Some(tally.best),
                phases: Some(Phases {
                    dns: looked_up,
                    first_byte: tally.best,
                    total: deadline.start.elapsed(),
                    ..Phases::default()
                }),
                address: Some(address),
                warning: check.loss.and_then(|limit| tally.beyond(limit)),
                detail: Some(tally.to_string()),
            },
            Err(failure) => CheckFailure::new(failure, address).into(),
        };
        let no_route = |failure: &Failure| {
            use FailureKind::{Local, NoRoute};
            matches!(failure.kind, NoRoute | Local(LocalFault::Address))
        };
        if !outcome.verdict.as_ref().is_err_and(no_route) {
            break;
        }
    }
    outcome
}

/// Returns the first address of each wanted family, IPv4 before IPv6. The second is pinged if this
/// machine has no route to the first.
fn chosen(all: &[SocketAddr]) -> Vec<SocketAddr> {
    let first = |wanted: fn(&SocketAddr) -> bool| all.iter().copied().find(wanted);
    let both = [first(SocketAddr::is_ipv4), first(SocketAddr::is_ipv6)];
    both.into_iter().flatten().collect()
}

/// Statistics of the replies.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) answered: usize,
    pub(super) best: Duration,
    pub(super) mean: Duration,
    pub(super) worst: Duration,
}

impl Tally {
    /// Returns the cause if more than `limit` percent are lost.
    pub(super) fn beyond(&self, limit: u32) -> Option<String> {
        let lost = REQUESTS - self.answered;
        let is_beyond = lost * 100 > limit as usize * REQUESTS;
        is_beyond.then(|| format!("{lost} of {REQUESTS} echo requests lost, limit {limit} %"))
    }
}

/// Prints minimum, mean and maximum: `3 of 3 answered, 0.05/0.06/0.08 ms`.
impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |time: Duration| {
            let ms = time.as_secs_f64() * 1000.0;
            match ms {
                0.0..10.0 => format!("{ms:.2}"),
                10.0..100.0 => format!("{ms:.1}"),
                _ => format!("{ms:.0}"),
            }
        };
        let (best, mean, worst) = (ms(self.best), ms(self.mean), ms(self.worst));
        let answered = self.answered;
        write!(
            f,
            "{answered} of {REQUESTS} answered, {best}/{mean}/{worst} ms"
        )
    }
}

/// Sockets that can send an echo request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The kernel chooses the identifier and delivers the replies to this socket alone.
    Datagram,
    /// Receives every ICMP message from the address.
    Raw,
}

/// Sends three requests to an address, whose port is ignored, over a socket that `open` creates.
pub(super) async fn ping(
    to: SocketAddr,
    deadline: Deadline,
    open: &dyn Fn(Kind) -> io::Result<OwnedFd>,
) -> Result<Tally, Failure> {
    let address = to.ip();
    let (socket, kind) = permitted(open, address)?;
    // A connected socket receives errors, and no replies of other hosts.
    rustix::net::connect(&socket, &to).map_err(|error| send_failure(&error.into(), address))?;
    want_errors(&socket, address);
    let socket = Async::new(socket).map_err(|error| no_socket(&error))?;
    let mut pings = Pings::new(address, kind, socket);
    pings.exchange(deadline.end()).await;
    pings.tally().ok_or_else(|| match pings.trouble {
        Some(Trouble::Unsent(error)) => send_failure(&error, address),
        Some(Trouble::Undelivered(error)) => delivery_failure(&error, address),
        None => deadline.missed("no echo"),
    })
}

pub(super) fn socket(address: IpAddr, kind: Kind) -> io::Result<OwnedFd> {
    let (family, protocol) = match address {
        IpAddr::V4(_) => (AddressFamily::INET, rustix::net::ipproto::ICMP),
        IpAddr::V6(_) => (AddressFamily::INET6, rustix::net::ipproto::ICMPV6),
    };
    let kind = match kind {
        Kind::Datagram => SocketType::DGRAM,
        Kind::Raw => SocketType::RAW,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(
        family,
        kind,
        flags,
        Some(protocol),
    )?)
}

/// Opens the first kind of socket that this user may open.
fn permitted(
    open: &dyn Fn(Kind) -> io::Result<OwnedFd>,
    address: IpAddr,
) -> Result<(OwnedFd, Kind), Failure> {
    if let Ok(socket) = open(Kind::Datagram) {
        return Ok((socket, Kind::Datagram));
    }
    match open(Kind::Raw) {
        Ok(socket) => Ok((socket, Kind::Raw)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(Failure::new(
            FailureKind::Connect,
            "not allowed to ping: set net.ipv4.ping_group_range to include this user's group, \
             or give the binary cap_net_raw",
        )),
        Err(error) if is_no_route(&error, SocketAddr::new(address, 0)) => {
            Err(send_failure(&error, address))
        }
        Err(error) => Err(no_socket(&error)),
    }
}

fn no_socket(error: &io::Error) -> Failure {
    if let Some(local_fault) = machine::local_fault(error) {
        return Failure::local(local_fault);
    }
    Failure::new(FailureKind::Internal, "cannot open a socket to ping with")
}

/// Has Linux report "host unreachable". Without this option a socket can ping nevertheless.
fn want_errors(socket: &OwnedFd, address: IpAddr) {
    let (level, option) = match address {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_RECVERR),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
    };
    let on: libc::c_int = 1;
    let size = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the kernel reads `size` bytes of `on`, which outlives the call. Neither std nor
    // rustix has a safe call for this option.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size,
        )
    };
}

/// Why a request has no reply, as far as the kernel reports.
enum Trouble {
    /// This machine could not send it.
    Unsent(io::Error),
    /// A router, or this machine later on, reported that it cannot be delivered.
    Undelivered(io::Error),
}

struct Pings {
    family: Family,
    kind: Kind,
    socket: Async<OwnedFd>,
    /// The identifier on a raw socket; on a datagram socket the kernel sets its own.
    id: u16,
    /// Part of every request: replies to other programs lack it.
    token: [u8; 16],
    sent: Vec<Instant>,
    round_trips: [Option<Duration>; REQUESTS],
    lost: [bool; REQUESTS],
    trouble: Option<Trouble>,
}

impl Pings {
    fn new(address: IpAddr, kind: Kind, socket: Async<OwnedFd>) -> Pings {
        Pings {
            family: match address {
                IpAddr::V4(_) => Family::V4,
                IpAddr::V6(_) => Family::V6,
            },
            kind,
            socket,
            id: fastrand::u16(..),
            token: fastrand::u128(..).to_be_bytes(),
            sent: Vec::with_capacity(REQUESTS),
            round_trips: [None; REQUESTS],
            lost: [false; REQUESTS],
            trouble: None,
        }
    }

    /// Sends and receives until all requests are answered or have failed, or until `deadline`.
    async fn exchange(&mut self, deadline: Instant) {
        loop {
            let now = Instant::now();
            let end = self.end(deadline);
            if now >= end || self.all_known() {
                return;
            }
            let next = match self.sent.last() {
                _ if self.sent.len() == REQUESTS => end,
                Some(&last) => end.min(last + REQUEST_INTERVAL),
                None => now,
            };
            if now >= next {
                self.send();
                continue;
            }
            let readable = async {
                if self.socket.readable().await.is_err() {
                    pending::<()>().await;
                }
            };
            before(next, readable).await;
            self.receive();
        }
    }

    fn end(&self, deadline: Instant) -> Instant {
        match self.sent.last() {
            Some(&last) if self.sent.len() == REQUESTS && self.has_answer() => {
                deadline.min(last + STRAGGLER_WAIT)
            }
            _ => deadline,
        }
    }

    fn has_answer(&self) -> bool {
        self.round_trips.iter().any(Option::is_some)
    }

    fn all_known(&self) -> bool {
        let mut each = self.round_trips.iter().zip(self.lost);
        each.all(|(answer, lost)| answer.is_some() || lost)
    }

    fn send(&mut self) {
        let number = self.sent.len();
        let echo = Echo {
            id: self.id,
            number: number as u16,
            payload: &self.token,
        };
        let packet = request(self.family, echo);
        self.sent.push(Instant::now());
        let mut result = rustix::net::send(&self.socket, &packet, SendFlags::empty());
        if result.is_err() {
            // The error may be of an earlier request: receiving it clears it.
            self.receive();
            result = rustix::net::send(&self.socket, &packet, SendFlags::empty());
        }
        if let Err(error) = result {
            self.lost[number] = true;
            self.trouble = Some(Trouble::Unsent(error.into()));
        }
    }

    /// Receives all pending packets.
    fn receive(&mut self) {
        // Longer than any reply with our token.
        let mut buffer = [0; 256];
        for _ in 0..MAX_READ_AT_ONCE {
            match rustix::net::recv(&self.socket, &mut buffer, RecvFlags::empty()) {
                Ok((size, _)) => self.packet(&buffer[..size]),
                Err(error) => {
                    // The socket stays readable until the queued error is fetched.
                    let quoted = rustix::net::recv(&self.socket, &mut buffer, RecvFlags::ERRQUEUE);
                    match quoted {
                        Ok((size, _)) => self.undelivered(&buffer[..size], error.into()),
                        Err(_) => return,
                    }
                }
            }
        }
    }

    fn packet(&mut self, bytes: &[u8]) {
        let now = Instant::now();
        let message = match (self.kind, self.family) {
            (Kind::Raw, Family::V4) => behind_ipv4_header(bytes),
            _ => Some(bytes),
        };
        let Some(echo) = message.and_then(|message| read_reply(self.family, message)) else {
            return;
        };
        let number = usize::from(echo.number);
        if self.is_ours(echo.id)
            && echo.payload == self.token
            && let Some(&sent) = self.sent.get(number)
        {
            self.round_trips[number].get_or_insert(now.duration_since(sent));
        }
    }

    /// Notes that the request in `quoted` was not delivered because of `error`.
    fn undelivered(&mut self, quoted: &[u8], error: io::Error) {
        let Some((id, number)) = read_quoted(self.family, quoted) else {
            return;
        };
        let number = usize::from(number);
        if self.is_ours(id) && number < self.sent.len() {
            self.lost[number] = true;
            self.trouble = Some(Trouble::Undelivered(error));
        }
    }

    fn is_ours(&self, id: u16) -> bool {
        self.kind == Kind::Datagram || id == self.id
    }

    /// `None` without a reply.
    fn tally(&self) -> Option<Tally> {
        let times = || self.round_trips.iter().flatten().copied();
        let answered = times().count();
        Some(Tally {
            answered,
            best: times().min()?,
            mean: times().sum::<Duration>() / answered as u32,
            worst: times().max()?,
        })
    }
}

/// The failure for a request that this machine did not send.
fn send_failure(error: &io::Error, address: IpAddr) -> Failure {
    use io::ErrorKind::{HostUnreachable, PermissionDenied};
    if let Some(local_fault) = machine::local_fault_of_path(error, address) {
        return Failure::local(local_fault);
    }
    if is_no_route(error, SocketAddr::new(address, 0)) {
        return Failure::new(FailureKind::NoRoute, "network unreachable");
    }
    let (common, server) = match error.kind() {
        HostUnreachable => ("no route to host", address.to_string()),
        PermissionDenied => ("this machine doesn't allow a ping", format!("to {address}")),
        _ => ("cannot send", format!("to {address}")),
    };
    Failure::of_server(FailureKind::Connect, common, server)
}

/// The failure for a request that was sent and not delivered.
fn delivery_failure(error: &io::Error, address: IpAddr) -> Failure {
    use io::ErrorKind::{ConnectionRefused, PermissionDenied};
    let (common, server) = match error.kind() {
        ConnectionRefused => ("ping refused", format!("by {address}")),
        PermissionDenied => ("ping forbidden on the way", format!("to {address}")),
        _ => ("no route to host", address.to_string()),
    };
    Failure::of_server(FailureKind::Connect, common, server)
}
