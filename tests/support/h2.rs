//! A server of HTTP/2 frames (RFC 9113) without TLS, for clients with prior knowledge.

use std::io::{self, Read, Write};
use std::net::TcpStream;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;

pub const END_STREAM: u8 = 1;
const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;

/// `:status: 200`, from the static table (RFC 7541, appendix A).
pub const OK: &[u8] = &[0x88];

/// One connection, after its preface has been read and the settings sent.
pub struct H2 {
    stream: TcpStream,
    /// Send window of the stream of the last request, in bytes.
    pub window: i64,
    /// Initial send window of a stream, in bytes.
    first_window: i64,
    /// Stream of the last request.
    pub id: u32,
}

impl H2 {
    pub fn accept(mut stream: TcpStream) -> io::Result<H2> {
        stream.read_exact(&mut [0; 24])?;
        let mut h2 = H2 {
            stream,
            window: 0,
            first_window: 65_535,
            id: 0,
        };
        h2.send(SETTINGS, 0, 0, &[])?;
        Ok(h2)
    }

    pub fn send(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) -> io::Result<()> {
        self.stream.write_all(&frame(kind, flags, id, payload))
    }

    pub fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        self.stream.write_all(frames)
    }

    /// Reads up to the next request.
    pub fn request(&mut self) -> io::Result<u32> {
        let before = self.id;
        while self.id == before {
            self.take()?;
        }
        Ok(self.id)
    }

    /// Sends data on the stream of the last request, once its window has room.
    pub fn data(&mut self, flags: u8, payload: &[u8]) -> io::Result<()> {
        while self.window < payload.len() as i64 {
            self.take()?;
        }
        self.window -= payload.len() as i64;
        self.send(DATA, flags, self.id, payload)
    }

    /// Reads one frame.
    fn take(&mut self) -> io::Result<()> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head)?;
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u32::from(*byte));
        let mut payload = vec![0; number(&head[..3]) as usize];
        self.stream.read_exact(&mut payload)?;
        let (kind, flags, id) = (head[3], head[4], number(&head[5..]));
        match kind {
            HEADERS => (self.id, self.window) = (id, self.first_window),
            SETTINGS if flags & ACK == 0 => {
                for setting in payload.chunks_exact(6) {
                    // SETTINGS_INITIAL_WINDOW_SIZE
                    if number(&setting[..2]) == 4 {
                        self.first_window = i64::from(number(&setting[2..]));
                    }
                }
                self.send(SETTINGS, ACK, 0, &[])?;
            }
            WINDOW_UPDATE if id != 0 && id == self.id => {
                self.window += i64::from(number(&payload));
            }
            _ => {}
        }
        Ok(())
    }
}

pub fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u32;
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(id.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Encodes a field as a literal without indexing (RFC 7541, section 6.2.2). Name and value have at
/// most 126 bytes.
pub fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let length = |text: &[u8]| vec![text.len() as u8];
    [&[0][..], &length(name), name, &length(value), value].concat()
}
