//! Sends a report to the agent.

use super::wire::{Reply, encode};
use crate::monitor::site::report::Report;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Minimum timeout of a socket operation: for setsockopt(2), zero means no timeout.
const LEAST: Duration = Duration::from_millis(10);

/// Sends a report and waits for the reply, at most until `until`.
///
/// # Errors
///
/// Returns an error if there is no agent, or `TimedOut` if it doesn't reply: then it is unknown
/// whether it has taken the report.
pub fn send(socket: &Path, report: &Report, until: Instant) -> io::Result<Reply> {
    send_now(socket, report, until).map_err(|e| match e.kind() {
        // How a timeout of a socket is reported (socket(7)).
        ErrorKind::WouldBlock | ErrorKind::UnexpectedEof => ErrorKind::TimedOut.into(),
        _ => e,
    })
}

/// Returns whether an agent listens at `socket`. Doesn't block, even if that agent hangs and the queue
/// of its socket is full.
pub fn has_listener(socket: &Path) -> bool {
    let connected = || {
        let address = SocketAddrUnix::new(socket)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&fd, &address)
    };
    matches!(connected(), Ok(()) | Err(Errno::AGAIN))
}

fn send_now(socket: &Path, report: &Report, until: Instant) -> io::Result<Reply> {
    let left = || Some(until.saturating_duration_since(Instant::now()).max(LEAST));
    let address = SocketAddrUnix::new(socket)?;
    let flags = SocketFlags::CLOEXEC;
    let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Before connect(2), which blocks if an agent hangs and the queue of its socket is full.
    set_socket_timeout(&fd, Timeout::Send, left())?;
    connect(&fd, &address)?;
    set_socket_timeout(&fd, Timeout::Send, left())?;
    let mut stream = UnixStream::from(fd);
    // An agent that refuses us doesn't read the whole report. Its reply counts, not the error.
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
