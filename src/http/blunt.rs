//! Servers that end a TLS connection without a goodbye (`close_notify`), as Python's `http.server`
//! and many a small device do. libcurl's rustls backend drops the answer when that end is read
//! together with it (`cr_recv` in 8.22 returns its error before the bytes), and a server that is
//! well would be called down. So such an answer is fetched once more, over a session of our own:
//! only a GET or HEAD, only HTTP/1.1, and only as much as a check looks at.

use super::handshake::{Refusal, secure};
use super::transfer::Ask;
use super::{Client, bare_host};
use async_io::Async;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use isahc::http::{HeaderName, HeaderValue, Method, Response, StatusCode, Version, header};
use isahc::{AsyncBody, ResponseExt};
use std::net::{SocketAddr, TcpStream};

/// As libcurl's bound on a head.
const HEAD: usize = 300 * 1024;
/// A little more of a body than is looked at: then it is known to go on.
const BODY: usize = 1024 * 1024 + 1;

impl Client {
    /// The answer of `address` to `ask`, without redirects; `None` when it can't be asked for so,
    /// or there is none. Has no timeout.
    pub(super) async fn plainly(
        &self,
        ask: &Ask<'_>,
        address: SocketAddr,
    ) -> Option<Response<AsyncBody>> {
        if !matches!(ask.method, Method::GET | Method::HEAD) || ask.basic.is_some() {
            return None;
        }
        let host = bare_host(ask.url)?;
        let port = ask.url.port_or_known_default()?;
        let trust = match ask.verify {
            true => Some(self.trust(&host, port, ask.ca_file).await.ok()?),
            false => None,
        };
        let socket = Async::<TcpStream>::connect(address).await.ok()?;
        let bundle = trust.as_ref().map(|trust| &*trust.bundle);
        let mut session = match secure(socket, &host, bundle).await {
            Ok(secured) => secured.session,
            Err(Refusal::Certificate(_) | Refusal::Handshake(_)) => return None,
        };
        session.write_all(&self.request_text(ask)?).await.ok()?;
        session.flush().await.ok()?;
        let mut received = Vec::new();
        let mut chunk = vec![0; 16 * 1024];
        while received.len() < HEAD + BODY {
            // However it ends: what counts is whether the answer is whole.
            match session.read(&mut chunk).await.unwrap_or(0) {
                0 => break,
                got => received.extend_from_slice(&chunk[..got]),
            }
        }
        let mut response = Answer::read(&received, ask.method == Method::HEAD)?.response()?;
        response.extensions_mut().insert(SpokenTo(address));
        Some(response)
    }

    fn request_text(&self, ask: &Ask<'_>) -> Option<Vec<u8>> {
        let path = &ask.url[url::Position::BeforePath..url::Position::AfterQuery];
        let host = &ask.url[url::Position::BeforeHost..url::Position::AfterPort];
        let mut text = format!("{} {path} HTTP/1.1\r\n", ask.method).into_bytes();
        let mut line = |name: &str, value: &[u8]| {
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                text.extend_from_slice(part);
            }
        };
        let ours = [header::HOST, header::USER_AGENT, header::ACCEPT];
        let agent = self.user_agent().clone();
        for (name, value) in ours.iter().zip([host, agent.as_str(), "*/*"]) {
            if !ask.headers.contains_key(name) {
                line(name.as_str(), value.as_bytes());
            }
        }
        line("connection", b"close");
        for (name, value) in ask.headers {
            line(name.as_str(), value.as_bytes());
        }
        text.extend_from_slice(b"\r\n");
        Some(text)
    }
}

#[derive(Clone, Copy)]
struct SpokenTo(SocketAddr);

/// Where `response` came from.
pub fn address(response: &Response<AsyncBody>) -> Option<SocketAddr> {
    let own = || {
        response
            .extensions()
            .get()
            .map(|SpokenTo(address)| *address)
    };
    response.remote_addr().or_else(own)
}

/// An answer, as much of it as counts.
#[derive(Debug, PartialEq)]
struct Answer<'a> {
    status: u16,
    headers: Vec<(&'a str, &'a [u8])>,
    body: Vec<u8>,
}

impl<'a> Answer<'a> {
    /// `None`: not all of it has come, or it is none. `bodiless`: the head is all.
    fn read(received: &'a [u8], bodiless: bool) -> Option<Answer<'a>> {
        let end = received.windows(4).position(|four| four == b"\r\n\r\n")?;
        let (head, body) = (&received[..end], &received[end + 4..]);
        let mut lines = head.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
        let status = std::str::from_utf8(lines.next()?).ok()?;
        let (version, rest) = status.split_once(' ')?;
        let status = rest.get(..3)?.parse().ok()?;
        if !version.starts_with("HTTP/1.") || status < 200 {
            return None;
        }
        let headers: Vec<_> = lines.filter_map(field).collect();
        let value = |wanted: &str| {
            let mut all = headers
                .iter()
                .filter(|(n, _)| n.eq_ignore_ascii_case(wanted));
            all.next_back().map(|(_, value)| *value)
        };
        let length = value("content-length").and_then(|v| std::str::from_utf8(v).ok());
        let is_chunked =
            value("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case(b"chunked"));
        let body = if bodiless || matches!(status, 204 | 304) {
            Vec::new()
        } else if is_chunked {
            unchunked(body)?
        } else {
            let wanted = match length {
                Some(length) => length.parse().ok()?,
                None => body.len(),
            };
            body.get(..wanted.min(BODY))?.to_vec()
        };
        Some(Answer {
            status,
            headers,
            body,
        })
    }

    fn response(self) -> Option<Response<AsyncBody>> {
        let mut response = Response::new(AsyncBody::from(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).ok()?;
        *response.version_mut() = Version::HTTP_11;
        for (name, value) in self.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
                response.headers_mut().append(name, value);
            }
        }
        Some(response)
    }
}

fn field(line: &[u8]) -> Option<(&str, &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let name = std::str::from_utf8(&line[..colon]).ok()?;
    Some((name, line[colon + 1..].trim_ascii()))
}

/// The body that stands in these chunks, to its end or as much as counts; `None`: more is to come,
/// or they are none.
fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).ok()?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Some(body);
        }
        let chunk = &rest[..size.min(rest.len())];
        body.extend_from_slice(chunk);
        if body.len() >= BODY {
            body.truncate(BODY);
            return Some(body);
        }
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Status and body of `text` once its sender has gone.
    fn read(text: &str) -> Option<(u16, String)> {
        let answer = Answer::read(text.as_bytes(), false)?;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        Some((answer.status, body))
    }

    #[test]
    fn a_whole_answer_is_read_and_half_of_one_is_none() {
        for (text, wanted) in [
            ("HTTP/1.0 200 OK\r\nA: b\r\n\r\nhi", Some((200, "hi"))),
            (
                "HTTP/1.1 503\r\nContent-Length: 2\r\n\r\nhi there",
                Some((503, "hi")),
            ),
            ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi", None),
            (
                "HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n",
                Some((204, "")),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2;x=y\r\nhi\r\n1\r\n!\r\n0\r\n\r\n",
                Some((200, "hi!")),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
                None,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n0\r\n\r\n",
                None,
            ),
            ("HTTP/1.1 100 Continue\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\nA: b\r\n", None),
            ("SSH-2.0-x\r\n\r\n", None),
            ("", None),
        ] {
            let wanted = wanted.map(|(status, body)| (status, body.to_owned()));
            assert_eq!(read(text), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_was_cut_into_chunks_comes_back(
            parts in proptest::collection::vec("[a-z\r\n]{1,40}", 0..8),
        ) {
            let mut text = String::new();
            for part in &parts {
                text.push_str(&format!("{:x}\r\n{part}\r\n", part.len()));
            }
            text.push_str("0\r\n\r\n");
            prop_assert_eq!(unchunked(text.as_bytes()), Some(parts.concat().into_bytes()));
            let cut = &text.as_bytes()[..text.len() - 5];
            prop_assert_eq!(unchunked(cut), None);
        }

        #[test]
        fn nothing_that_comes_makes_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..300), head: bool,
        ) {
            let mut text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            text.extend_from_slice(&bytes);
            for text in [&bytes, &text] {
                if let Some(answer) = Answer::read(text, head) {
                    prop_assert!(answer.body.len() <= text.len());
                    let _ = answer.response();
                }
            }
        }
    }
}
