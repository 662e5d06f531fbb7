//! What hands a report to the agent.

use super::wire::{Reply, encode};
use crate::monitor::site::report::Report;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// The least that is waited for, whatever the time is: no time-out at all would be none to setsockopt(2).
const LEAST: Duration = Duration::from_millis(10);

/// Hands it over and waits for the answer, until then.
///
/// # Errors
///
/// There is no agent; or it does not answer (`TimedOut`): what became of the report is not known.
pub fn send(socket: &Path, report: &Report, until: Instant) -> io::Result<Reply> {
    send_now(socket, report, until).map_err(|e| match e.kind() {
        // What a time-out of a socket looks like (socket(7)).
        ErrorKind::WouldBlock | ErrorKind::UnexpectedEof => ErrorKind::TimedOut.into(),
        _ => e,
    })
}

fn send_now(socket: &Path, report: &Report, until: Instant) -> io::Result<Reply> {
    let left = || Some(until.saturating_duration_since(Instant::now()).max(LEAST));
    let address = SocketAddrUnix::new(socket)?;
    let flags = SocketFlags::CLOEXEC;
    let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Before: an agent that hangs takes up no connection, and the queue of them may be full.
    set_socket_timeout(&fd, Timeout::Send, left())?;
    connect(&fd, &address)?;
    set_socket_timeout(&fd, Timeout::Send, left())?;
    let mut stream = UnixStream::from(fd);
    // One that refuses us does not read it all: its answer counts.
    let written = stream.write_all(encode(report).as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
    let mut word = Vec::new();
    let mut part = [0; 64];
    loop {
        set_socket_timeout(&stream, Timeout::Recv, left())?;
        match stream.read(&mut part) {
            Ok(read @ 1..) if word.len() < part.len() => word.extend_from_slice(&part[..read]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            ended => {
                let reply = Reply::of(&word).ok_or(ErrorKind::UnexpectedEof.into());
                return reply.or_else(|none| written.and(ended).and(Err(none)));
            }
        }
    }
}
