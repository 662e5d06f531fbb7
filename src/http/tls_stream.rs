//! Reads and writes over a TLS session of rustls.
//!
//! futures-rustls 0.26 adds as many bytes to the binary, but loops without yielding while records without
//! content arrive, and exposes nothing of a failed session.

use async_io::Async;
use futures_lite::future::poll_once;
use futures_lite::{AsyncRead, AsyncWrite, AsyncWriteExt};
use rustls::{ClientConnection, ProtocolVersion};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Rounds before a read yields: a server that sends records without content as fast as they are read must
/// not block other tasks.
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

    /// E.g. `TLS 1.3`.
    pub fn version(&self) -> &'static str {
        match self.tls.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            _ => "TLS",
        }
    }

    /// Sends close_notify if that is possible at once.
    pub async fn end(&mut self) {
        let _ = poll_once(self.close()).await;
    }

    /// Writes pending records; pending while the socket is full.
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

/// Its end may be an unclean one of the connection: the reader knows which data must come.
impl AsyncRead for Session {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        for _ in 0..ROUNDS {
            // A server that reads no more may still send.
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
        // Only after all earlier records were written.
        ready!(self.poll_out(cx))?;
        let taken = self.tls.writer().write(bytes)?;
        // A failure now is reported by the next write.
        let _ = self.poll_out(cx);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_out(cx)
    }

    /// Sends close_notify; dropping the session closes the connection.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tls.send_close_notify();
        self.poll_out(cx)
    }
}

/// The socket as rustls expects it: returns `WouldBlock` where the task would wait, and registers its
/// waker.
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
