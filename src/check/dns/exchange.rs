//! Sends one query to one server: over UDP, and over TCP if the response is truncated (RFC 1035 section
//! 4.2).
//!
//! A response is accepted if it comes from the server's address to the port that the system chose at
//! random, and has the id and the question of the query (RFC 5452 section 9.1). Other datagrams are
//! ignored while the wait goes on.

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

/// Number of foreign datagrams that are read at once. Each further one is preceded by a pause, so that a
/// flood costs little.
const MAX_STRAYS: u32 = 32;
const PAUSE: Duration = Duration::from_millis(5);
/// Time after which a query without a response is sent again.
const RESEND_AFTER: Duration = Duration::from_secs(1);

/// One query to one server.
pub(super) struct TransferRequest<'a> {
    pub(super) question: &'a Question,
    pub(super) server: SocketAddr,
    pub(super) until: Instant,
    /// The deadline of the whole check, for causes.
    pub(super) deadline: Deadline,
}

impl TransferRequest<'_> {
    /// Returns the response. `connect` is set to the duration of a TCP connect.
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
        // Datagrams get lost, and those with EDNS, or long responses to them, may be dropped on purpose
        // (RFC 6891 section 6.2.2): the second query is sent without EDNS.
        let third = self.until.saturating_duration_since(now) / 3;
        let mut again = Some(now + third.min(RESEND_AFTER));
        let mut strays = 0;
        // Some servers send more than EDNS allows them to.
        let mut buffer = vec![0; 4 * usize::from(UDP)];
        socket.send(&query).await.map_err(failed)?;
        loop {
            let due = again.unwrap_or(self.until);
            if strays > MAX_STRAYS {
                Timer::at(due.min(Instant::now() + PAUSE)).await;
            }
            // In a flood the socket would always be readable before the deadline is looked at.
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
                // The server may not support EDNS, whatever code it returns (RFC 6891 section 7 has FORMERR).
                Some(rcode) if extended && rcode.refuses() => {
                    extended = false;
                    query = self.question.encode(false);
                    socket.send(&query).await.map_err(failed)?;
                }
                Some(_) => return Ok(message.to_vec()),
            }
        }
    }

    /// A connected socket receives from the server only, and learns that its port is closed.
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

    /// Each message is preceded by its length in two bytes.
    async fn exchange(&self, mut stream: Async<TcpStream>) -> io::Result<Vec<u8>> {
        // EDNS is for UDP.
        let query = self.question.encode(false);
        let length = u16::try_from(query.len()).map_err(io::Error::other)?;
        // In one segment: servers need not wait for a second one (RFC 7766 section 8).
        let framed = [length.to_be_bytes().as_slice(), &query].concat();
        stream.write_all(&framed).await?;
        let mut length = [0; 2];
        // A connection closed before the first byte is no response; after it, a broken one.
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

/// Why a server gave no response.
pub(super) enum NoAnswer {
    /// Timeout. `strays`: datagrams came, but no response to this query.
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
