//! One question to one server: over UDP, over TCP when the answer doesn't fit (RFC 1035 section
//! 4.2).
//!
//! An answer is believed when it comes from where the question went, to the port that the system
//! chose at random, with the id and the question (RFC 5452 section 9.1). Everything else that
//! comes is passed over, and the wait goes on.

use crate::check::deadline::Deadline;
use crate::check::explain::connect_failure;
use crate::check::wire::dns::{Malformed, Question, UDP};
use crate::monitor::site::outcome::{Failure, FailureKind};
use crate::timeout::before;
use crate::timer::Timer;
use async_io::Async;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// So many datagrams that are no answer are read as they come; further ones with a pause before
/// each, so that a flood of them costs little.
const MAX_STRAYS: u32 = 32;
const PAUSE: Duration = Duration::from_millis(5);
/// A question that has no answer by then is asked once more.
const RESEND_AFTER: Duration = Duration::from_secs(1);

/// One server, one question.
pub(super) struct TransferRequest<'a> {
    pub(super) question: &'a Question,
    pub(super) server: SocketAddr,
    pub(super) until: Instant,
    /// The whole check's, for the texts.
    pub(super) deadline: Deadline,
}

impl TransferRequest<'_> {
    /// A message that is an answer to the question. `connect`: what a connection took.
    pub(super) async fn answer(&self, connect: &mut Duration) -> Result<Vec<u8>, NoAnswer> {
        let message = self.over_udp().await?;
        let answer = self.question.answer(&message).ok_or(Malformed)?;
        if !answer.truncated {
            return Ok(message);
        }
        self.over_tcp(connect).await.map_err(|failure| {
            let detail = format!("answer is truncated; over TCP: {}", failure.detail);
            NoAnswer::Failed(Failure::new(failure.kind, detail))
        })
    }

    async fn over_udp(&self) -> Result<Vec<u8>, NoAnswer> {
        let failed = |error: io::Error| {
            NoAnswer::Failed(connect_failure(&error, self.server, self.deadline))
        };
        let socket = self.socket().map_err(failed)?;
        let mut query = self.question.encode(true);
        let mut extended = true;
        let now = Instant::now();
        // A datagram may get lost, and one with EDNS, or the long answer to it, be dropped on
        // purpose (RFC 6891 section 6.2.2): so the second time without.
        let third = self.until.saturating_duration_since(now) / 3;
        let mut again = Some(now + third.min(RESEND_AFTER));
        let mut strays = 0;
        // Some send more than they were asked to.
        let mut buffer = vec![0; 4 * usize::from(UDP)];
        socket.send(&query).await.map_err(failed)?;
        loop {
            let due = again.unwrap_or(self.until);
            if strays > MAX_STRAYS {
                Timer::at(due.min(Instant::now() + PAUSE)).await;
            }
            // A flood of them would always be there before the time is looked at.
            let received = match Instant::now() < due {
                true => before(due, socket.recv(&mut buffer)).await,
                false => None,
            };
            let Some(received) = received else {
                if again.take().is_none() {
                    return Err(NoAnswer::Silent { strays: strays > 0 });
                }
                extended = false;
                query = self.question.encode(false);
                socket.send(&query).await.map_err(failed)?;
                continue;
            };
            let message = &buffer[..received.map_err(failed)?];
            match self.question.answer(message).map(|answer| answer.rcode) {
                None => strays += 1,
                // It may not know EDNS: whatever it says then (RFC 6891 section 7 has FORMERR).
                Some(rcode) if extended && rcode.refuses() => {
                    extended = false;
                    query = self.question.encode(false);
                    socket.send(&query).await.map_err(failed)?;
                }
                Some(_) => return Ok(message.to_vec()),
            }
        }
    }

    /// Connected: the kernel passes on nothing from elsewhere, and tells of a closed port.
    fn socket(&self) -> io::Result<Async<UdpSocket>> {
        let any: IpAddr = match self.server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(self.server)?;
        Async::new(socket)
    }

    async fn over_tcp(&self, connect: &mut Duration) -> Result<Vec<u8>, Failure> {
        let start = Instant::now();
        let connecting = Async::<TcpStream>::connect(self.server);
        let connected = before(self.until, connecting).await;
        *connect = start.elapsed();
        let connected = connected.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()));
        let failed = |error: io::Error| connect_failure(&error, self.server, self.deadline);
        let stream = connected.map_err(failed)?;
        let Some(message) = before(self.until, self.exchange(stream)).await else {
            return Err(self.deadline.missed("no answer"));
        };
        let message = message.map_err(|error| broken(&error))?;
        match self.question.answer(&message) {
            Some(_) => Ok(message),
            None => Err(Failure::new(FailureKind::Protocol, "malformed answer")),
        }
    }

    /// Each message comes after its length, in two bytes.
    async fn exchange(&self, mut stream: Async<TcpStream>) -> io::Result<Vec<u8>> {
        // Without EDNS, which is for UDP.
        let query = self.question.encode(false);
        let length = u16::try_from(query.len()).map_err(io::Error::other)?;
        // In one segment: a server need not wait for the second (RFC 7766 section 8).
        let framed = [length.to_be_bytes().as_slice(), &query].concat();
        stream.write_all(&framed).await?;
        let mut length = [0; 2];
        // No byte of it is no answer; one of them is a broken one.
        if stream.read(&mut length[..1]).await? == 0 {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        stream.read_exact(&mut length[1..]).await?;
        let mut message = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut message).await?;
        Ok(message)
    }
}

fn broken(error: &io::Error) -> Failure {
    let (kind, detail) = match error.kind() {
        io::ErrorKind::ConnectionAborted => (
            FailureKind::Protocol,
            "server closed the connection without an answer",
        ),
        io::ErrorKind::ConnectionReset => (FailureKind::Connect, "connection reset"),
        _ => (FailureKind::Protocol, "answer broken off"),
    };
    Failure::new(kind, detail)
}

/// Why a server has no answer.
pub(super) enum NoAnswer {
    /// Nothing came in time. `strays`: nothing but what is no answer to this question.
    Silent {
        strays: bool,
    },
    Failed(Failure),
}

impl From<Malformed> for NoAnswer {
    fn from(Malformed: Malformed) -> NoAnswer {
        NoAnswer::Failed(Failure::new(FailureKind::Protocol, "malformed answer"))
    }
}
