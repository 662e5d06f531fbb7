//! Parses the head of a request from an untrusted client: a subset of RFC 9112 that no two parsers
//! can read differently.

use crate::monitor::render::metrics::Format;
use httparse::{EMPTY_HEADER, Header};

/// Maximum size of a request in bytes, its body included.
pub const LARGEST: usize = 8 * 1024;
const MAX_HEADERS: usize = 48;

/// Why a request is refused; the connection ends after the refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Status 400.
    Malformed,
    /// Status 413.
    BodyTooLarge,
    /// Status 431.
    HeadTooLarge,
}

/// A parsed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// As it was sent, up to a `?`. It need not begin with `/`.
    pub path: String,
    /// The part after the `?`, as it was sent.
    pub query: String,
    /// Token of `Authorization: Bearer`.
    pub bearer: Option<String>,
    /// The format that `Accept` prefers.
    pub format: Format,
    /// HTTP/1.1 or later: the client understands chunks.
    pub chunks: bool,
    pub keep_alive: bool,
    /// The client may wait for a `100 Continue` before it sends the body (RFC 9110, section
    /// 10.1.1).
    pub waits: bool,
    /// Size of the body in bytes; at most [`LARGEST`] together with the head.
    pub body_length: usize,
}

/// Returns the length of the head that `bytes` begins with, if its end is there. The first `known`
/// bytes have been searched before.
pub fn head_end(bytes: &[u8], known: usize) -> Option<usize> {
    let from = known.saturating_sub(3);
    let mut windows = bytes.get(from..)?.windows(4);
    let at = windows.position(|window| window == b"\r\n\r\n")?;
    Some(from + at + 4)
}

/// Parses a complete head.
///
/// # Errors
///
/// Returns how the request is refused.
pub fn read(head: &[u8]) -> Result<Request, Refusal> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
        _ => return Err(Refusal::Malformed),
    }
    // httparse lets a lone line feed end a line, other parsers don't (RFC 9112, section 2.2).
    let alone = |at: usize| head[at] == b'\n' && (at == 0 || head[at - 1] != b'\r');
    if (0..head.len()).any(alone) {
        return Err(Refusal::Malformed);
    }
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(Refusal::Malformed);
    };
    let headers = &*parsed.headers;
    let chunks = version >= 1;
    // RFC 9112, sections 3.2 and 6.3: refuses what another server may read differently.
    let hosts = named(headers, "Host").count();
    let lengths = named(headers, "Content-Length").count();
    let encoded = named(headers, "Transfer-Encoding").next().is_some();
    if hosts > 1 || hosts == 0 && chunks || lengths > 1 || encoded {
        return Err(Refusal::Malformed);
    }
    let body_length = match named(headers, "Content-Length").next() {
        None => 0,
        Some(digits) if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) => {
            return Err(Refusal::Malformed);
        }
        Some(digits) => match digits.parse::<usize>() {
            Ok(length) if length <= LARGEST - head.len().min(LARGEST) => length,
            _ => return Err(Refusal::BodyTooLarge),
        },
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut bearers = named(headers, "Authorization").map(|value| {
        let (scheme, token) = value.split_once(' ')?;
        let bearer = scheme.eq_ignore_ascii_case("Bearer");
        bearer.then(|| token.trim_matches(' ').to_owned())
    });
    let bearer = match (bearers.next(), bearers.next()) {
        (Some(bearer), None) => bearer,
        _ => None,
    };
    let closes = named(headers, "Connection").any(|value| {
        let mut options = value.split(',');
        options.any(|option| option.trim().eq_ignore_ascii_case("close"))
    });
    let waits = named(headers, "Expect").any(|value| value.eq_ignore_ascii_case("100-continue"));
    Ok(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        bearer,
        format: preferred(named(headers, "Accept")),
        chunks,
        keep_alive: chunks && !closes,
        waits: chunks && waits,
        body_length,
    })
}

/// Returns the values of all headers of that name; a value that is not UTF-8 counts as empty.
fn named<'h>(headers: &'h [Header], name: &'static str) -> impl Iterator<Item = &'h str> {
    let named = headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name));
    named.map(|header| {
        let value = str::from_utf8(header.value).unwrap_or_default();
        value.trim_matches([' ', '\t'])
    })
}

/// Returns OpenMetrics if it is accepted and nothing is preferred to it (RFC 9110, section 12.5.1).
fn preferred<'h>(accepts: impl Iterator<Item = &'h str>) -> Format {
    let (mut open, mut text) = (0.0, 0.0);
    for range in accepts.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let (mut quality, mut known) = (1.0, true);
        for parameter in parts {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => quality = value.trim().parse::<f64>().unwrap_or(0.0),
                "version" => known = value.trim().trim_matches('"') == "1.0.0",
                _ => {}
            }
        }
        match media_type.as_str() {
            "application/openmetrics-text" if known => open = quality.max(open),
            "text/plain" | "text/*" | "*/*" => text = quality.max(text),
            _ => {}
        }
    }
    match open > 0.0 && open >= text {
        true => Format::OpenMetrics,
        false => Format::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(head: &str) -> Result<Request, Refusal> {
        let bytes = head.as_bytes();
        assert_eq!(head_end(bytes, 0), Some(bytes.len()), "{head:?}");
        read(bytes)
    }

    fn with(headers: &str) -> Result<Request, Refusal> {
        of(&format!(
            "GET /metrics HTTP/1.1\r\nHost: a\r\n{headers}\r\n"
        ))
    }

    #[test]
    fn an_ordinary_request_is_read() {
        let request = of("POST /push/a%20b?token=x&status=up HTTP/1.1\r\nhost: a\r\n\
             authorization: bearer  abc \r\ncontent-length: 12\r\n\r\n");
        assert_eq!(
            request,
            Ok(Request {
                method: "POST".to_owned(),
                path: "/push/a%20b".to_owned(),
                query: "token=x&status=up".to_owned(),
                bearer: Some("abc".to_owned()),
                format: Format::Text,
                chunks: true,
                keep_alive: true,
                waits: false,
                body_length: 12,
            })
        );
        let old = of("GET / HTTP/1.0\r\n\r\n").expect("a request");
        assert!(!old.keep_alive && !old.chunks);
        assert!(!with("Connection: x, Close\r\n").expect("one").keep_alive);
        let waits = with("Expect: 100-Continue\r\nContent-Length: 5\r\n");
        assert!(waits.expect("a request").waits);
        let old = of("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n");
        assert!(!old.expect("a request").waits, "it knows of no such answer");
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for headers in [
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            "Content-Length: 1\r\nContent-Length: 2\r\n",
            "Content-Length: 1, 1\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 0x1\r\n",
            "Content-Length: 1 1\r\n",
            "Content-Length:\r\n",
            "Content-Length : 1\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "transfer-encoding:\tchunked\r\nContent-Length: 5\r\n",
            "Transfer-Encoding : chunked\r\n",
            "X: a\r\n Transfer-Encoding: chunked\r\n",
            "Host: b\r\n",
            "X: a\nTransfer-Encoding: chunked\r\n",
            "X: a\n\r\n",
            "X: a\rb\r\n",
            "X: a\0b\r\n",
            "X\0: a\r\n",
            "no colon\r\n",
        ] {
            assert_eq!(with(headers), Err(Refusal::Malformed), "{headers:?}");
        }
        for head in [
            "GET /metrics HTTP/1.1\r\n\r\n",
            "GET /metrics\r\n\r\n",
            "GET /metrics HTTP/2.0\r\nHost: a\r\n\r\n",
            "GET /met\0rics HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /met rics HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /metrics HTTP/1.1\nHost: a\r\n\r\n",
            " GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert_eq!(of(head), Err(Refusal::Malformed), "{head:?}");
        }
    }

    #[test]
    fn bodies_and_heads_have_their_limits() {
        let large = with("Content-Length: 9000\r\n");
        assert_eq!(large, Err(Refusal::BodyTooLarge));
        let huge = with("Content-Length: 99999999999999999999999999\r\n");
        assert_eq!(huge, Err(Refusal::BodyTooLarge));
        let many = "X: y\r\n".repeat(MAX_HEADERS);
        assert_eq!(with(&many), Err(Refusal::HeadTooLarge));
    }

    #[test]
    fn an_end_is_found_over_parts() {
        let head = b"GET / HTTP/1.0\r\n\r\nrest";
        for known in 0..head.len() - 5 {
            let found = head_end(head, known.min(17));
            assert_eq!(found, Some(18), "{known}");
        }
        assert_eq!(head_end(b"\r\n\r", 0), None);
        assert_eq!(head_end(b"", 0), None);
    }

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, format) in [
            (prometheus, Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            (
                "Application/OpenMetrics-Text; Version=1.0.0",
                Format::OpenMetrics,
            ),
            ("application/openmetrics-text;version=2.0.0", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
            (
                "application/openmetrics-text;q=0.2,text/plain",
                Format::Text,
            ),
            ("application/openmetrics-text;q=x", Format::Text),
            ("text/html,*/*;q=0.8", Format::Text),
            ("", Format::Text),
            (";;,;=;q", Format::Text),
        ] {
            let request = with(&format!("Accept: {accept}\r\n")).expect("a request");
            assert_eq!(request.format, format, "{accept}");
        }
        let two = with("Accept: text/html\r\nAccept: application/openmetrics-text\r\n");
        assert_eq!(two.expect("a request").format, Format::OpenMetrics);
    }

    #[test]
    fn two_tokens_are_none() {
        let two = with("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n");
        assert_eq!(two.expect("a request").bearer, None);
        let basic = with("Authorization: Basic a\r\n").expect("a request");
        assert_eq!(basic.bearer, None);
    }
}
