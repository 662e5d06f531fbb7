//! A standard stream, whatever it is. Its flags are left alone: the other processes at a terminal
//! have the same ones.

use crate::offload::offload;
use async_io::Async;
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;

/// A pipe that is writable takes so much without waiting (`PIPE_BUF`, pipe(7)).
pub const PIECE: usize = 4096;

pub enum Stream {
    /// Terminals, pipes, sockets.
    Polled(Async<File>),
    /// Regular files and `/dev/null`, which epoll refuses (EPERM): they are always ready.
    Plain(File),
}

impl Stream {
    pub fn new(file: File) -> io::Result<Stream> {
        let spare = file.try_clone()?;
        match Async::new_nonblocking(file) {
            Ok(polled) => Ok(Stream::Polled(polled)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Ok(Stream::Plain(spare))
            }
            Err(error) => Err(error),
        }
    }

    /// Reads once, when there is something to read.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Stream::Polled(polled) = self {
            polled.readable().await?;
        }
        self.file().read(buffer)
    }

    /// Writes all of it, and waits for its reader, but not on this thread: a stopped terminal, a
    /// pipe that others fill too and a file on a dead server block all the same.
    pub async fn write_all(self: &Arc<Stream>, text: &str) -> io::Result<()> {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            if let Stream::Polled(polled) = &**self {
                polled.writable().await?;
            }
            let stream = self.clone();
            let piece = rest[..rest.len().min(PIECE)].to_vec();
            match offload(move || stream.file().write(&piece)).await {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => rest = &rest[written..],
                Err(error) if self.again(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn again(&self, error: &io::Error) -> bool {
        match error.kind() {
            io::ErrorKind::Interrupted => true,
            // Another process made it so, and was faster.
            io::ErrorKind::WouldBlock => matches!(self, Stream::Polled(_)),
            _ => false,
        }
    }

    fn file(&self) -> &File {
        match self {
            Stream::Polled(polled) => polled.get_ref(),
            Stream::Plain(file) => file,
        }
    }
}
