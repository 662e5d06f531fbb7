//! Connects to a host over TCP, as curl does: the first of its addresses that answers wins
//! ("happy eyeballs", RFC 8305).

use super::deadline::Deadline;
use super::explain::{OTHER_FAMILY_WAIT, connect_failure, is_no_route, unfound, unresolved};
use crate::http::{Client, Lookup};
use crate::machine;
use crate::monitor::site::IpVersion;
use crate::monitor::site::outcome::{Failure, Outcome, Phases};
use crate::timer::Timer;
use async_io::Async;
use futures_lite::FutureExt;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Delay between two connection attempts (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);
/// Maximum number of addresses that are tried.
const ADDRESSES: usize = 8;

/// The endpoint to connect to.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    /// A host name, or an IP address without brackets.
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) ip: IpVersion,
}

/// An established connection and the time that each phase took.
pub(super) struct Connection {
    pub(super) socket: Async<TcpStream>,
    pub(super) address: SocketAddr,
    /// Duration of the name resolution.
    pub(super) dns: Duration,
    pub(super) connect: Duration,
}

impl Connection {
    /// Returns the first phases of a check; those after the connect are zero.
    pub(super) fn phases(&self) -> Phases {
        Phases {
            dns: self.dns,
            connect: self.connect,
            ..Phases::default()
        }
    }
}

/// Why a check failed, and the address that was tried, if the name was resolved.
#[derive(Debug, PartialEq)]
pub(super) struct CheckFailure {
    pub(super) failure: Failure,
    pub(super) address: Option<IpAddr>,
}

impl CheckFailure {
    pub(super) fn new(failure: Failure, address: impl Into<Option<IpAddr>>) -> CheckFailure {
        CheckFailure {
            failure,
            address: address.into(),
        }
    }
}

impl From<CheckFailure> for Outcome {
    fn from(failed: CheckFailure) -> Outcome {
        Outcome {
            address: failed.address,
            ..Outcome::new(Err(failed.failure), None)
        }
    }
}

impl Target<'_> {
    /// Resolves the name and connects.
    ///
    /// # Errors
    ///
    /// If all addresses fail, returns the most informative failure: see [`Race::failed`].
    pub(super) async fn connect(
        &self,
        client: &Client,
        deadline: Deadline,
    ) -> Result<Connection, CheckFailure> {
        let literal = self.host.split('%').next();
        let literal = literal.and_then(|host| host.parse::<IpAddr>().ok());
        let start = Instant::now();
        let mut lookup = client.lookup(self.host, self.port, self.ip);
        let found = match deadline.bound(lookup.addresses(OTHER_FAMILY_WAIT)).await {
            Some(found) => found.map_err(|why| unfound(self.host, self.ip, why)),
            None => Err(unresolved(self.host, deadline)),
        };
        let found = found.map_err(|failure| CheckFailure::new(failure, literal))?;
        let resolved = Instant::now();
        let mut race = Race::new(alternate(&found));
        race.late = Some(lookup);
        let (socket, address) = race.run(deadline).await?;
        Ok(Connection {
            socket,
            address,
            dns: resolved - start,
            connect: resolved.elapsed(),
        })
    }
}

/// Interleaves the address families, the one that the system prefers first (RFC 8305, section 4).
pub(super) fn alternate(found: &[SocketAddr]) -> Vec<SocketAddr> {
    let preferred = found.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = found
        .iter()
        .copied()
        .partition(|address| address.is_ipv6() == preferred);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::new();
    for _ in found {
        turns.extend(first.next());
        turns.extend(second.next());
    }
    turns.truncate(ADDRESSES);
    turns
}

type Connecting = Pin<Box<dyn Future<Output = io::Result<Async<TcpStream>>> + Send>>;

/// Staggered connection attempts. The first that succeeds wins and the others are closed.
pub(super) struct Race {
    waiting: VecDeque<SocketAddr>,
    /// The lookup, while the addresses of one family are still missing.
    late: Option<Lookup>,
    running: Vec<(SocketAddr, Connecting)>,
    /// Expires when the next attempt starts.
    due: Timer,
    errors: Vec<(io::Error, SocketAddr)>,
}

impl Race {
    pub(super) fn new(addresses: Vec<SocketAddr>) -> Race {
        Race {
            waiting: addresses.into(),
            late: None,
            running: Vec::new(),
            due: Timer::never(),
            errors: Vec::new(),
        }
    }

    /// # Errors
    ///
    /// If all attempts fail, returns the most informative failure: see [`Race::failed`].
    pub(super) async fn run(
        mut self,
        deadline: Deadline,
    ) -> Result<(Async<TcpStream>, SocketAddr), CheckFailure> {
        match deadline.bound(poll_fn(|cx| self.poll(cx))).await {
            Some(Ok(first)) => Ok(first),
            Some(Err(())) | None => Err(self.failed(deadline)),
        }
    }

    /// Takes addresses that the lookup found since. Returns whether there were any.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> bool {
        while let Some(late) = &mut self.late {
            match late.poll_next(cx) {
                Poll::Ready(Some(Ok(found))) => {
                    self.waiting.extend(found.into_iter().take(ADDRESSES));
                    return true;
                }
                Poll::Ready(Some(Err(_))) => {}
                Poll::Ready(None) => self.late = None,
                Poll::Pending => break,
            }
        }
        false
    }

    /// Ready with an error when every attempt has failed.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Async<TcpStream>, SocketAddr), ()>> {
        loop {
            let before = self.errors.len();
            let mut at = 0;
            while let Some((address, attempt)) = self.running.get_mut(at) {
                match attempt.as_mut().poll(cx) {
                    Poll::Pending => at += 1,
                    Poll::Ready(Ok(socket)) => return Poll::Ready(Ok((socket, *address))),
                    Poll::Ready(Err(error)) => {
                        self.errors.push((error, *address));
                        drop(self.running.remove(at));
                    }
                }
            }
            let failed = self.errors.len() > before;
            let due = self.poll_late(cx)
                || failed
                || self.running.is_empty()
                || self.due.poll(cx).is_ready();
            if !due {
                return Poll::Pending;
            }
            match self.waiting.pop_front() {
                Some(address) => {
                    let attempt = Box::pin(Async::<TcpStream>::connect(address));
                    self.running.push((address, attempt));
                    self.due = Timer::after(HEAD_START);
                }
                None if self.running.is_empty() && self.late.is_none() => {
                    return Poll::Ready(Err(()));
                }
                None => {
                    self.due = Timer::never();
                    return Poll::Pending;
                }
            }
        }
    }

    /// Chooses the failure to report: a refusal before a timeout, a timeout before "no route".
    fn failed(self, deadline: Deadline) -> CheckFailure {
        let silent = self.running.into_iter().map(|(address, _)| {
            let error = io::Error::from(io::ErrorKind::TimedOut);
            (error, address)
        });
        let rank = |(error, address): &(io::Error, SocketAddr)| match error.kind() {
            // A fault of this machine: the address was not tried and might have answered.
            _ if machine::local_fault(error).is_some() => 0,
            _ if is_no_route(error, *address) => 3,
            io::ErrorKind::TimedOut => 2,
            _ => 1,
        };
        match self.errors.into_iter().chain(silent).min_by_key(rank) {
            Some((error, address)) => {
                CheckFailure::new(connect_failure(&error, address, deadline), address.ip())
            }
            // Unreachable: there is at least one address, and its attempt starts at once.
            None => CheckFailure::new(deadline.missed("no connection"), None),
        }
    }
}
