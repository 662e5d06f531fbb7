//! What hands a report to the agent.

use super::wire::{Reply, encode};
use crate::monitor::site::report::Report;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// An agent whose flash is slow has answered after this.
const PATIENCE: Duration = Duration::from_secs(10);

/// Hands it over and waits for the answer.
///
/// # Errors
///
/// There is no agent, or it does not answer: what became of the report is not known.
pub fn send(socket: &Path, report: &Report) -> io::Result<Reply> {
    let address = SocketAddrUnix::new(socket)?;
    let flags = SocketFlags::CLOEXEC;
    let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Before: an agent that hangs takes up no connection, and the queue of them may be full.
    set_socket_timeout(&fd, Timeout::Send, Some(PATIENCE))?;
    set_socket_timeout(&fd, Timeout::Recv, Some(PATIENCE))?;
    connect(&fd, &address)?;
    let mut stream = UnixStream::from(fd);
    // One that refuses us does not read it all: its answer counts.
    let written = stream.write_all(encode(report).as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
    let mut word = Vec::new();
    let read = stream.take(64).read_to_end(&mut word);
    let reply = Reply::of(&word);
    match (reply, written.and(read)) {
        (Some(reply), _) => Ok(reply),
        (None, Err(e)) if e.kind() != io::ErrorKind::WouldBlock => Err(e),
        (None, _) => Err(io::Error::other("it does not answer")),
    }
}
