//! Bytes over a TLS session: rustls keeps the protocol, and this moves what it reads and writes.
//!
//! futures-rustls 0.26 takes as many bytes, but reads on without end while records without content
//! come, and tells nothing of a session that was not established.

use async_io::Async;
use futures_lite::future::poll_once;
use futures_lite::{AsyncRead, AsyncWrite, AsyncWriteExt};
use rustls::{ClientConnection, ProtocolVersion};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A server that sends records without content as fast as they are read doesn't keep all other
/// tasks waiting: so many, and it is their turn.
const ROUNDS: usize = 16;

/// An established session.
pub struct Session {
    socket: Async<TcpStream>,
    tls: ClientConnection,
}

impl Session {
    pub(super) fn new(socket: Async<TcpStream>, tls: ClientConnection) -> Session {
        Session { socket, tls }
    }

    /// `TLS 1.3`.
    pub fn version(&self) -> &'static str {
        match self.tls.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            _ => "TLS",
        }
    }

    /// Says that there is nothing more to say, if that goes at once.
    pub async fn end(&mut self) {
        let _ = poll_once(self.close()).await;
    }

    /// Writes what is to be sent; pending while the socket takes no more.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Session { socket, tls } = self;
        while tls.wants_write() {
            match tls.write_tls(&mut Polled { socket, cx }) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The end of a session and that of its connection are one: the reader knows what must come.
impl AsyncRead for Session {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        for _ in 0..ROUNDS {
            // A server that takes nothing more may still have something to say.
            let _ = self.poll_out(cx);
            let Session { socket, tls } = &mut *self;
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Ok(0));
                }
                read => return Poll::Ready(read),
            }
            match tls.read_tls(&mut Polled { socket, cx }) {
                Ok(_) => tls.process_new_packets().map_err(io::Error::other)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            };
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncWrite for Session {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // Not before everything earlier has gone out.
        ready!(self.poll_out(cx))?;
        let taken = self.tls.writer().write(bytes)?;
        // What fails now fails the next time too.
        let _ = self.poll_out(cx);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_out(cx)
    }

    /// Says goodbye; the connection ends when the session is dropped.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tls.send_close_notify();
        self.poll_out(cx)
    }
}

/// The socket as rustls wants it: what can't be done now is `WouldBlock`, and the task is woken
/// when it can.
struct Polled<'a, 'b> {
    socket: &'a mut Async<TcpStream>,
    cx: &'a mut Context<'b>,
}

impl Polled<'_, '_> {
    fn now(poll: Poll<io::Result<usize>>) -> io::Result<usize> {
        match poll {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Read for Polled<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Polled::now(Pin::new(&mut *self.socket).poll_read(self.cx, buffer))
    }
}

impl Write for Polled<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Polled::now(Pin::new(&mut *self.socket).poll_write(self.cx, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
