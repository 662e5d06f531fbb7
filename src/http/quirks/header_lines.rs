//! Header lines that isahc cannot parse, and header lines that look like status lines.
//!
//! Upstream (isahc 2.0.2, `RequestHandler::header`): every line of a head is first parsed as a status line,
//! so `HTTP/1.1 200 OK: really` among the headers of a 500 replaces the status. A line that is valid
//! neither as a status line nor as a header ends the transfer: a blank or a bracket in a name, a control
//! character in a value, a head that ends with a bare LF, a status line with leading blanks or without one
//! after its code. curl and browsers accept all of these.
//!
//! Here: libcurl knows which line is the status line (`CLIENTWRITE_STATUS`, lib/sendf.h of 8.22) and passes
//! on each line of a head by `Curl_client_write`. The linker puts [`usable`] in between (`--wrap`,
//! `build.rs`): it normalises the status line and the end of the head for isahc, and drops header lines
//! that isahc cannot parse. libcurl has evaluated them (length, coding, connection) by then.
//!
//! The lines of a chunked body's trailer pass through `Curl_verify_header` instead, which rejects those
//! without a colon. Before that, [`blank`] turns a line that isahc cannot parse into an empty header.
//!
//! Lines that no code here reads (see [`READ`]) are dropped, too. libcurl copies each line and isahc parses
//! it into a map: a head just under libcurl's limits (300 KiB, 5000 lines) took 2 MiB. Heads over
//! [`MAX_READ`] (including interim responses) are rejected just before libcurl would do so with the error
//! code of a reset (`CURLE_RECV_ERROR`).
//!
//! Tests: those below, and `check::tests::header_lines`, which fails when a new libcurl passes on heads
//! differently. Upstream should take the status from libcurl (`CURLINFO_RESPONSE_CODE`) and skip lines
//! that it cannot parse.

use crate::lock::lock;
use isahc::http::{HeaderName, HeaderValue, header};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::ffi::{c_int, c_long, c_void};
use std::sync::Mutex;

// lib/sendf.h of libcurl 8.22.
const CLIENTWRITE_HEADER: c_int = 1 << 2;
const CLIENTWRITE_STATUS: c_int = 1 << 3;
const CURLE_OK: c_int = 0;
const CURLE_TOO_LARGE: c_int = 100;

/// Maximum bytes of a head that are passed on; further lines are dropped. They are cookies, for which the
/// jar has no room anyway.
const MAX_PASSED_ON: usize = 64 * 1024;
/// Maximum bytes of a transfer's heads. libcurl's limit (`MAX_HTTP_RESP_HEADER_SIZE`, lib/http.h) is 300 KiB.
const MAX_READ: usize = 298 * 1024;
/// Maximum number of heads that are remembered, more than there are transfers.
const HEADS_KNOWN: usize = 1024;

/// The names of all response headers that this crate or isahc (Content-Length) reads. A new one must be
/// added here.
static READ: [HeaderName; 7] = [
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::DATE,
    header::LOCATION,
    header::RETRY_AFTER,
    header::SET_COOKIE,
];

unsafe extern "C" {
    /// libcurl's original `Curl_client_write`.
    fn __real_Curl_client_write(
        data: *mut c_void,
        kind: c_int,
        line: *const u8,
        len: usize,
    ) -> c_int;
    /// libcurl's original `Curl_verify_header`.
    fn __real_Curl_verify_header(data: *mut c_void, line: *const u8, len: usize) -> c_int;
}

/// Replaces `Curl_client_write` for libcurl.
///
/// # Safety
///
/// The same as for `Curl_client_write`: `data` is an easy handle and `len` bytes at `line` are readable,
/// as libcurl guarantees.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_Curl_client_write(
    data: *mut c_void,
    kind: c_int,
    line: *const u8,
    len: usize,
) -> c_int {
    if kind & CLIENTWRITE_HEADER == 0 || line.is_null() {
        // SAFETY: the caller's guarantees are passed on.
        return unsafe { __real_Curl_client_write(data, kind, line, len) };
    }
    // SAFETY: not null, and the caller guarantees `len` readable bytes.
    let given = unsafe { std::slice::from_raw_parts(line, len) };
    let is_status = kind & CLIENTWRITE_STATUS != 0;
    let line = usable(is_status, given);
    // Bytes of this transfer's earlier heads, with interim responses and those of a proxy.
    let mut before: c_long = 0;
    // SAFETY: the handle is alive, and this information is written to one `long`.
    unsafe {
        let info = curl_sys::CURLINFO_HEADER_SIZE;
        curl_sys::curl_easy_getinfo(data.cast(), info, &raw mut before)
    };
    let read = usize::try_from(before).unwrap_or(0) + len;
    match (room(data as usize, is_status, read, line.as_deref()), line) {
        (Room::Passes, Some(line)) => unsafe {
            // SAFETY: the caller's guarantees are passed on; libcurl keeps no pointer to the line.
            __real_Curl_client_write(data, kind, line.as_ptr(), line.len())
        },
        (Room::TooLarge, _) => CURLE_TOO_LARGE,
        _ => CURLE_OK,
    }
}

/// Replaces `Curl_verify_header`, which libcurl calls for a trailer and, with some linkers, for heads.
///
/// # Safety
///
/// The same as for `Curl_verify_header`, and `line` is writable: both callers in libcurl pass a buffer of
/// their own.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_Curl_verify_header(
    data: *mut c_void,
    line: *mut u8,
    len: usize,
) -> c_int {
    if !line.is_null() && is_in_trailer(data as usize) {
        // SAFETY: not null, and the caller guarantees `len` writable bytes.
        blank(unsafe { std::slice::from_raw_parts_mut(line, len) });
    }
    // SAFETY: the caller's guarantees are passed on.
    unsafe { __real_Curl_verify_header(data, line, len) }
}

/// Replaces a header line that isahc cannot parse by an empty header of the same length.
fn blank(line: &mut [u8]) {
    let text = line.trim_ascii_end();
    // The status line of the next head comes while the previous head has ended.
    let is_status = text.trim_ascii_start().starts_with(b"HTTP/");
    if text.is_empty() || is_status || name_and_value(text).is_some() {
        return;
    }
    // After the text there is a line end of one or two bytes.
    if let [name, colon, blanks @ .., end] = line {
        (*name, *colon, *end) = (b'x', b':', b'\n');
        blanks.fill(b' ');
    }
}

/// Parses a header line without its end, as isahc does.
fn name_and_value(text: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = text.iter().position(|&byte| byte == b':')?;
    let name = HeaderName::from_bytes(&text[..colon]).ok()?;
    let value = HeaderValue::from_bytes(text[colon + 1..].trim_ascii()).ok()?;
    Some((name, value))
}

/// The head of a transfer, and how many of its bytes were passed on.
#[derive(Clone, Copy)]
struct Head {
    of: usize,
    passed: usize,
    has_ended: bool,
}

static HEADS: Mutex<VecDeque<Head>> = Mutex::new(VecDeque::new());

/// The head of `transfer` has ended: the next line belongs to a trailer.
fn is_in_trailer(transfer: usize) -> bool {
    let is_over = |head: &Head| head.of == transfer && head.has_ended;
    lock(&HEADS).iter().any(is_over)
}

#[derive(Debug, PartialEq, Eq)]
enum Room {
    Passes,
    /// This line is dropped.
    LeftOut,
    TooLarge,
}

/// Accounts for a line of the head of `transfer`, of which `line` is to be passed on. `read`: bytes of all
/// its heads up to the end of the line.
fn room(transfer: usize, is_status: bool, read: usize, line: Option<&[u8]>) -> Room {
    let mut heads = lock(&HEADS);
    let known = heads.iter().position(|head| head.of == transfer);
    let known = known.and_then(|at| heads.remove(at));
    let has_ended = !is_status && line == Some(b"\r\n");
    let mut head = known.filter(|_| !is_status).unwrap_or(Head {
        of: transfer,
        passed: 0,
        has_ended,
    });
    head.has_ended = has_ended;
    head.passed += line.filter(|_| !is_status).map_or(0, <[u8]>::len);
    // The oldest belong to transfers that have ended.
    heads.truncate(HEADS_KNOWN - 1);
    heads.push_front(head);
    match line {
        _ if has_ended => Room::Passes,
        _ if read > MAX_READ => Room::TooLarge,
        Some(_) if head.passed <= MAX_PASSED_ON => Room::Passes,
        _ => Room::LeftOut,
    }
}

/// Returns `line` in a form that isahc parses correctly; `None`: it is dropped.
fn usable(is_status: bool, line: &[u8]) -> Option<Cow<'_, [u8]>> {
    if is_status {
        return Some(status_line(line));
    }
    let text = line.trim_ascii_end();
    if text.is_empty() {
        return Some(Cow::Borrowed(b"\r\n"));
    }
    let colon = text.iter().position(|&byte| byte == b':')?;
    // Most lines are not read: they are not parsed either.
    let is_read = |name: &HeaderName| text[..colon].eq_ignore_ascii_case(name.as_str().as_bytes());
    let is_usable = READ.iter().any(is_read) && name_and_value(text).is_some();
    is_usable.then_some(Cow::Borrowed(line))
}

/// Returns version and code only: `HTTP/1.1 200`.
fn status_line(line: &[u8]) -> Cow<'_, [u8]> {
    let line = line.trim_ascii_start();
    let mut words = line.splitn(2, |byte| byte.is_ascii_whitespace());
    let version = words.next().unwrap_or_default();
    let rest = words.next().unwrap_or_default().trim_ascii_start();
    let code = &rest[..rest.len().min(3)];
    Cow::Owned([version, b" ", code, b"\r\n"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(line: &str) -> Option<String> {
        usable(false, line.as_bytes()).map(|line| String::from_utf8_lossy(&line).into_owned())
    }

    fn status(line: &str) -> String {
        let line = usable(true, line.as_bytes()).unwrap_or_default();
        String::from_utf8_lossy(&line).into_owned()
    }

    #[test]
    fn header_lines_that_cannot_be_used_are_left_out() {
        for good in [
            "Content-Type: text/html\r\n",
            "location:\r\n",
            "Location:\ta\tb \n",
            "Set-Cookie: \u{e9}t\u{e9}\r\n",
        ] {
            assert_eq!(header(good).as_deref(), Some(good));
        }
        for bad in [
            "X-Trace: a\r\n",
            "X Trace: a\r\n",
            "X-Opt[0]: a\r\n",
            "Location: a\u{7}b\r\n",
            "Location: \u{7f}\r\n",
            "Location : a\r\n",
            ": a\r\n",
            "no colon\r\n",
            "HTTP/1.1 200 OK: really\r\n",
            "HTTP/2 200\r\n",
        ] {
            assert_eq!(header(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn trailer_lines_that_cannot_be_used_become_empty_headers() {
        let blanked = |line: &str| {
            let mut line = line.as_bytes().to_vec();
            blank(&mut line);
            String::from_utf8(line).expect("ASCII")
        };
        for good in [
            "A: b\r\n",
            "a:\r\n",
            "\r\n",
            "\n",
            "",
            "HTTP/1.1 200 OK\r\n",
        ] {
            assert_eq!(blanked(good), good);
        }
        for bad in [
            "a b: c\r\n",
            "no colon\r\n",
            ": c\r\n",
            "a: \u{7}\r\n",
            "a\rb: c\r\n",
            "ab\r\n",
            "a\r\n",
            "a\n",
        ] {
            let line = blanked(bad);
            assert_eq!(line.len(), bad.len());
            if line.len() > 2 {
                assert!(line.starts_with("x:") && line.ends_with('\n'), "{line:?}");
                assert_eq!(line.trim_end(), "x:");
            }
        }
    }

    #[test]
    fn a_head_has_room_for_so_many_bytes() {
        let line = [b'x'; 1000];
        let header = |of| room(of, false, line.len(), Some(&line));
        let status = |of| room(of, true, 14, Some(b"HTTP/1.1 200\r\n"));
        // Handles that no other test uses.
        let (one, two) = (1, 2);
        assert_eq!((status(one), status(two)), (Room::Passes, Room::Passes));
        for _ in 0..MAX_PASSED_ON / line.len() {
            assert_eq!(header(one), Room::Passes);
        }
        assert_eq!(header(one), Room::LeftOut);
        assert_eq!(header(two), Room::Passes, "each has its own");
        assert_eq!((status(one), header(one)), (Room::Passes, Room::Passes));
        assert_eq!(room(one, false, 2, Some(b"\r\n")), Room::Passes);
        // The bytes count even if the line is dropped.
        assert_eq!(room(one, false, MAX_READ, None), Room::LeftOut);
        assert_eq!(room(one, false, MAX_READ + 1, None), Room::TooLarge);
        assert_eq!(room(one, true, MAX_READ + 1, Some(b"")), Room::TooLarge);
    }

    #[test]
    fn the_end_of_a_head_has_one_form() {
        assert_eq!(header("\r\n").as_deref(), Some("\r\n"));
        assert_eq!(header("\n").as_deref(), Some("\r\n"));
    }

    #[test]
    fn a_status_line_has_one_form() {
        assert_eq!(status("HTTP/1.1 200 OK\r\n"), "HTTP/1.1 200\r\n");
        assert_eq!(status("  HTTP/1.0\t404\n"), "HTTP/1.0 404\r\n");
        assert_eq!(status("HTTP/1.1 200OK\r\n"), "HTTP/1.1 200\r\n");
        assert_eq!(status("HTTP/2 204 \r\n"), "HTTP/2 204\r\n");
    }

    proptest! {
        #[test]
        fn what_passes_is_no_status_line_and_has_a_name(line in "[ -~]{0,20}[:\r\n\t ]{0,2}[\\x00-\\x7f]{0,20}") {
            if let Some(passed) = header(&line) {
                prop_assert!(passed == "\r\n" || passed.contains(':'));
                let first = passed.split_ascii_whitespace().next().unwrap_or_default();
                prop_assert!(!first.starts_with("HTTP/") || first.contains(':'));
            }
        }
    }
}
