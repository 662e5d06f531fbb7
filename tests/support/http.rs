//! HTTP/1.1 from the server's side: read one request, write one answer.

use std::io::{self, BufRead, BufReader, Read, Write};

const MAX_HEAD: u64 = 64 * 1024;
const MAX_BODY: u64 = 16 * 1024 * 1024;

/// A request as received.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// Returns the first header `name` (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn wants_close(&self) -> bool {
        self.header("connection")
            .is_some_and(|v| v.eq_ignore_ascii_case("close"))
    }
}

/// A stream with buffered reads and unbuffered writes.
pub struct Wire<S> {
    buffered: BufReader<S>,
}

impl<S: Read + Write> Wire<S> {
    pub fn new(stream: S) -> Wire<S> {
        let buffered = BufReader::new(stream);
        Wire { buffered }
    }

    /// Waits for the first byte of the next request. Returns false at the end of the connection.
    pub fn has_more(&mut self) -> bool {
        self.buffered
            .fill_buf()
            .is_ok_and(|bytes| !bytes.is_empty())
    }

    /// Reads one request with its body (`Content-Length` or chunked), and answers `Expect:
    /// 100-continue`.
    pub fn read_request(&mut self) -> io::Result<Request> {
        let mut head = (&mut self.buffered).take(MAX_HEAD);
        let line = read_line(&mut head)?;
        let mut words = line.split(' ');
        let (Some(method), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(malformed(format!("request line {line:?}")));
        };
        let (method, target) = (method.to_owned(), target.to_owned());
        let mut headers = Vec::new();
        loop {
            let line = read_line(&mut head)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| malformed(format!("header {line:?}")))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut request = Request {
            method,
            target,
            headers,
            body: Vec::new(),
        };
        if request.header("expect").is_some() {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        request.body = self.read_body(&request)?;
        Ok(request)
    }

    fn read_body(&mut self, request: &Request) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if request.header("transfer-encoding") == Some("chunked") {
            loop {
                let line = read_line(&mut self.buffered)?;
                let size = u64::from_str_radix(&line, 16).map_err(|e| malformed(e.to_string()))?;
                self.read_exactly(size, &mut body)?;
                read_line(&mut self.buffered)?;
                if size == 0 {
                    return Ok(body);
                }
            }
        }
        if let Some(length) = request.header("content-length") {
            let length = length.parse().map_err(|_| malformed(length.to_owned()))?;
            self.read_exactly(length, &mut body)?;
        }
        Ok(body)
    }

    fn read_exactly(&mut self, size: u64, body: &mut Vec<u8>) -> io::Result<()> {
        if size.saturating_add(body.len() as u64) > MAX_BODY {
            return Err(malformed("a body over 16 MiB".into()));
        }
        let read = (&mut self.buffered).take(size).read_to_end(body)?;
        if read as u64 != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.buffered.get_mut();
        stream.write_all(bytes)?;
        stream.flush()
    }

    /// Discards everything until the peer closes, or until the read timeout of the stream, if it
    /// has one.
    pub fn swallow(&mut self) -> io::Result<()> {
        loop {
            let read = self.buffered.fill_buf()?.len();
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.buffered.consume(read);
        }
    }
}

/// Returns a whole answer with `Content-Length`.
pub fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = head(status, headers);
    let length = format!("Content-Length: {}\r\n\r\n", body.len());
    bytes.extend_from_slice(length.as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Returns status line and headers, without the empty line that ends them.
pub fn head(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.into_bytes()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

fn read_line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    stream.take(MAX_HEAD).read_until(b'\n', &mut line)?;
    match line.strip_suffix(b"\r\n") {
        Some(line) => String::from_utf8(line.to_vec()).map_err(|e| malformed(e.to_string())),
        None if line.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
        None => Err(malformed("a line without CR LF".into())),
    }
}

fn malformed(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
