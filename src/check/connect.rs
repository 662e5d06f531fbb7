//! A TCP connection to a host by name, made as curl makes it: whichever of its addresses answers
//! first ("happy eyeballs", RFC 8305).

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

/// An address gets so much of a start before the next one is tried too (RFC 8305 section 5).
const HEAD_START: Duration = Duration::from_millis(250);
/// Addresses tried of a name that has many.
const ADDRESSES: usize = 8;

/// Where to connect to.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    /// A name, or an address without brackets.
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) ip: IpVersion,
}

/// A connection, and what it took.
pub(super) struct Connection {
    pub(super) socket: Async<TcpStream>,
    pub(super) address: SocketAddr,
    /// The look-up; next to nothing for an address.
    pub(super) dns: Duration,
    pub(super) connect: Duration,
}

impl Connection {
    /// What it took, as the beginning of a check's phases.
    pub(super) fn phases(&self) -> Phases {
        Phases {
            dns: self.dns,
            connect: self.connect,
            ..Phases::default()
        }
    }
}

/// Why a check came to nothing, and the address it was tried with, as far as the name resolved.
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

/// There was no answer.
impl From<CheckFailure> for Outcome {
    fn from(failed: CheckFailure) -> Outcome {
        Outcome {
            address: failed.address,
            ..Outcome::new(Err(failed.failure), None)
        }
    }
}

impl Target<'_> {
    /// Looks the name up and connects.
    ///
    /// # Errors
    ///
    /// Of several addresses that failed, the one whose failure tells most.
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

/// The families in turn, beginning with the one that the system prefers (RFC 8305 section 4).
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

/// Attempts, of which the first that succeeds wins; each gets a head start before the next. The
/// others are closed with it.
pub(super) struct Race {
    waiting: VecDeque<SocketAddr>,
    /// What may bring more of them: a family that hadn't come yet.
    late: Option<Lookup>,
    running: Vec<(SocketAddr, Connecting)>,
    /// When the next one starts.
    due: Timer,
    /// What failed, of which one is reported.
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
    /// Of those that failed, the one whose failure tells most.
    pub(super) async fn run(
        mut self,
        deadline: Deadline,
    ) -> Result<(Async<TcpStream>, SocketAddr), CheckFailure> {
        match deadline.bound(poll_fn(|cx| self.poll(cx))).await {
            Some(Ok(first)) => Ok(first),
            Some(Err(())) | None => Err(self.failed(deadline)),
        }
    }

    /// Whether more addresses have come.
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

    /// `Err` when none is left.
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

    /// After the end, or the deadline. An answer tells more than silence, and silence more than
    /// that this machine has no way there.
    fn failed(self, deadline: Deadline) -> CheckFailure {
        let silent = self.running.into_iter().map(|(address, _)| {
            let error = io::Error::from(io::ErrorKind::TimedOut);
            (error, address)
        });
        let rank = |(error, address): &(io::Error, SocketAddr)| match error.kind() {
            // That address was not tried at all: it might have answered.
            _ if machine::local_fault(error).is_some() => 0,
            _ if is_no_route(error, *address) => 3,
            io::ErrorKind::TimedOut => 2,
            _ => 1,
        };
        // The first of its rank.
        match self.errors.into_iter().chain(silent).min_by_key(rank) {
            Some((error, address)) => {
                CheckFailure::new(connect_failure(&error, address, deadline), address.ip())
            }
            // Not to be: there is an address, and the first attempt is made at once.
            None => CheckFailure::new(deadline.missed("no connection"), None),
        }
    }
}
