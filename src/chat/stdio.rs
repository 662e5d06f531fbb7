//! A standard stream of any kind. Its file status flags aren't changed, because other processes
//! share them.

use crate::offload::offload;
use async_io::Async;
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;

/// Number of bytes that a writable pipe accepts without blocking (`PIPE_BUF`, pipe(7)).
pub const PIECE: usize = 4096;

pub enum Stream {
    /// A terminal, pipe or socket.
    Polled(Async<File>),
    /// A regular file or `/dev/null`, which epoll refuses (EPERM) and which is always ready.
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

    /// Waits until there is something to read, and reads once.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Stream::Polled(polled) = self {
            polled.readable().await?;
        }
        self.file().read(buffer)
    }

    /// Writes all of `text`. The writes are made on another thread, because a stopped terminal, a
    /// pipe that other processes fill too, and a file on an unreachable server block in spite of
    /// polling.
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
            // Another process set O_NONBLOCK, and filled the pipe before this write.
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
