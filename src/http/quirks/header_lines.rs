//! Header lines that isahc cannot use, and status lines that are none.
//!
//! Upstream (isahc 2.0.2, `RequestHandler::header`): every line of a head is tried as a status line
//! first, so `HTTP/1.1 200 OK: really` among the headers of a 500 replaces the status. A line that
//! neither its status line nor its header parser takes ends the transfer: a blank or a bracket in a
//! name, a control character in a value, a head that ends with a bare LF, a status line with blanks
//! before it or none behind its code. curl and browsers take all of these.
//!
//! Here: libcurl knows which line the status line is (`CLIENTWRITE_STATUS`, lib/sendf.h of 8.22) and
//! hands over every line of a head by `Curl_client_write`. The linker puts [`usable`] in between
//! (`--wrap`, `build.rs`): the status line and the end of a head pass in the one form that isahc
//! takes, header lines that it cannot take are left out. What they said to libcurl itself (lengths,
//! codings, connection) has counted by then.
//!
//! The lines of a chunked body's trailer go another way, past `Curl_verify_header`, which refuses
//! those without a colon. [`blank`] makes one that isahc cannot take an empty header before that.
//!
//! Lines that are read by nothing here (see [`READ`]) are left out too. libcurl keeps a copy of each
//! line and isahc parses it into a map: a head just under libcurl's limits (300 KiB, 5000 lines) took
//! 2 MiB. Heads over [`MAX_READ`] (one answer's with the interim ones before it) are refused just before
//! libcurl would, whose code for that is the one for a reset (`CURLE_RECV_ERROR`).
//!
//! Tests: those below, and `check::tests::header_lines`, which fails when a new libcurl passes heads
//! otherwise. Upstream would have to take the status line from libcurl (`CURLINFO_RESPONSE_CODE`)
//! and to skip lines that it cannot read.

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

/// Bytes of a head that are passed on; lines beyond that are left out. Cookies: no jar has room for
/// so many.
const MAX_PASSED_ON: usize = 64 * 1024;
/// Bytes of a transfer's heads that are read. libcurl's bound (`MAX_HTTP_RESP_HEADER_SIZE`, lib/http.h) is 300 KiB.
const MAX_READ: usize = 298 * 1024;
/// Heads that are known at once, more than there are transfers.
const HEADS_KNOWN: usize = 1024;

/// The names of all header fields of answers that anything in this crate reads, isahc included
/// (Content-Length). One that is to be read has to be added.
const READ: [HeaderName; 7] = [
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::DATE,
    header::LOCATION,
    header::RETRY_AFTER,
    header::SET_COOKIE,
];

unsafe extern "C" {
    /// libcurl's own `Curl_client_write`.
    fn __real_Curl_client_write(
        data: *mut c_void,
        kind: c_int,
        line: *const u8,
        len: usize,
    ) -> c_int;
    /// libcurl's own `Curl_verify_header`.
    fn __real_Curl_verify_header(data: *mut c_void, line: *const u8, len: usize) -> c_int;
}

/// What libcurl calls as `Curl_client_write`.
///
/// # Safety
///
/// As for `Curl_client_write`: an easy handle, and `len` readable bytes at `line`; libcurl gives
/// both.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_Curl_client_write(
    data: *mut c_void,
    kind: c_int,
    line: *const u8,
    len: usize,
) -> c_int {
    if kind & CLIENTWRITE_HEADER == 0 || line.is_null() {
        // SAFETY: the caller's promises, passed on.
        return unsafe { __real_Curl_client_write(data, kind, line, len) };
    }
    // SAFETY: not null, and the caller promises that `len` bytes can be read there.
    let given = unsafe { std::slice::from_raw_parts(line, len) };
    let is_status = kind & CLIENTWRITE_STATUS != 0;
    let line = usable(is_status, given);
    // Of this transfer, interim answers and a proxy's included.
    let mut before: c_long = 0;
    // SAFETY: the handle is alive; this information is written to one `long`.
    unsafe {
        let info = curl_sys::CURLINFO_HEADER_SIZE;
        curl_sys::curl_easy_getinfo(data.cast(), info, &raw mut before)
    };
    let read = usize::try_from(before).unwrap_or(0) + len;
    match (room(data as usize, is_status, read, line.as_deref()), line) {
        (Room::Passes, Some(line)) => unsafe {
            // SAFETY: the caller's promises, passed on; libcurl keeps nothing of the line.
            __real_Curl_client_write(data, kind, line.as_ptr(), line.len())
        },
        (Room::TooLarge, _) => CURLE_TOO_LARGE,
        _ => CURLE_OK,
    }
}

/// What libcurl calls as `Curl_verify_header`: for a trailer and, with some linkers, for heads.
///
/// # Safety
///
/// As for `Curl_verify_header`, and `line` is the caller's to write to: for libcurl's two callers
/// it is a buffer of their own.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_Curl_verify_header(
    data: *mut c_void,
    line: *mut u8,
    len: usize,
) -> c_int {
    if !line.is_null() && is_in_trailer(data as usize) {
        // SAFETY: not null, and the caller promises `len` bytes that may be written to.
        blank(unsafe { std::slice::from_raw_parts_mut(line, len) });
    }
    // SAFETY: the caller's promises, passed on.
    unsafe { __real_Curl_verify_header(data, line, len) }
}

/// A header line that isahc cannot take becomes one of the same length that says nothing.
fn blank(line: &mut [u8]) {
    let text = line.trim_ascii_end();
    // The next status line comes while the last head is the one that has ended.
    let is_status = text.trim_ascii_start().starts_with(b"HTTP/");
    if text.is_empty() || is_status || name_and_value(text).is_some() {
        return;
    }
    // There is a line end behind the text, of one byte or two.
    if let [name, colon, blanks @ .., end] = line {
        (*name, *colon, *end) = (b'x', b':', b'\n');
        blanks.fill(b' ');
    }
}

/// What is wanted of a header line, without its end, if isahc can take it.
fn name_and_value(text: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = text.iter().position(|&byte| byte == b':')?;
    let name = HeaderName::from_bytes(&text[..colon]).ok()?;
    let value = HeaderValue::from_bytes(text[colon + 1..].trim_ascii()).ok()?;
    Some((name, value))
}

/// A transfer's head, and how many bytes of it have passed.
#[derive(Clone, Copy)]
struct Head {
    of: usize,
    passed: usize,
    has_ended: bool,
}

static HEADS: Mutex<VecDeque<Head>> = Mutex::new(VecDeque::new());

/// Whether the head of `transfer` has ended: a line that comes now is one of a trailer.
fn is_in_trailer(transfer: usize) -> bool {
    let is_over = |head: &Head| head.of == transfer && head.has_ended;
    lock(&HEADS).iter().any(is_over)
}

#[derive(Debug, PartialEq, Eq)]
enum Room {
    Passes,
    /// The head goes on without that line.
    LeftOut,
    TooLarge,
}

/// Takes note of a line of the head of `transfer`, and of what is to be passed on of it. `read` bytes
/// of heads have come up to the line's end.
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
    // Those of transfers that are over are the oldest.
    heads.truncate(HEADS_KNOWN - 1);
    heads.push_front(head);
    match line {
        _ if has_ended => Room::Passes,
        _ if read > MAX_READ => Room::TooLarge,
        Some(_) if head.passed <= MAX_PASSED_ON => Room::Passes,
        _ => Room::LeftOut,
    }
}

/// `line` in a form that isahc takes for what it is; `None`: to be left out.
fn usable(is_status: bool, line: &[u8]) -> Option<Cow<'_, [u8]>> {
    if is_status {
        return Some(status_line(line));
    }
    let text = line.trim_ascii_end();
    if text.is_empty() {
        return Some(Cow::Borrowed(b"\r\n"));
    }
    let (name, _) = name_and_value(text)?;
    READ.contains(&name).then_some(Cow::Borrowed(line))
}

/// Version and code alone: `HTTP/1.1 200`.
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
        // Numbers that no transfer of another test has.
        let (one, two) = (1, 2);
        assert_eq!((status(one), status(two)), (Room::Passes, Room::Passes));
        for _ in 0..MAX_PASSED_ON / line.len() {
            assert_eq!(header(one), Room::Passes);
        }
        assert_eq!(header(one), Room::LeftOut);
        assert_eq!(header(two), Room::Passes, "each has its own");
        assert_eq!((status(one), header(one)), (Room::Passes, Room::Passes));
        assert_eq!(room(one, false, 2, Some(b"\r\n")), Room::Passes);
        // What has been read counts, whatever the line is.
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
