//! HTTP/2 responses that violate the protocol: fields of HTTP/1.1 (`connection`, `transfer-encoding`), upper
//! case in a name, a missing status, a wrong length (RFC 9113, sections 8.1.1 and 8.2), invalid frames.
//!
//! Upstream (libcurl 8.22, `lib/http2.c`): nghttp2 gives up such a connection with a GOAWAY and does not tell
//! its caller: it discards whatever follows, and closes no stream. libcurl notices
//! (`should_close_session`) only when it is called again for the transfer, that is when the server sends
//! more or closes. If the server waits, the check runs until its timeout.
//!
//! Here: the linker puts [`__wrap_nghttp2_session_client_new3`] between libcurl and nghttp2 (`--wrap`, see
//! `build.rs`), which adds two callbacks. One records the field that nghttp2 rejects; the other aborts the
//! connection before such a GOAWAY is sent, which ends all its transfers.
//!
//! Tests: `check::tests::http2`. Upstream should check `nghttp2_session_want_read` after sending, too, and
//! not only before receiving.

use super::wire_bytes;
use crate::http::TransferErrorKind;
use std::cell::RefCell;
use std::ffi::{c_char, c_int, c_void};
use std::os::fd::RawFd;

// lib/includes/nghttp2/nghttp2.h of 1.68.
const GOAWAY: u8 = 7;
const NO_ERROR: u32 = 0;

/// The common `nghttp2_frame_hd` at the start of every `nghttp2_frame`, and the needed fields of a
/// `nghttp2_goaway`.
#[repr(C)]
struct Frame {
    _length: usize,
    _stream: i32,
    kind: u8,
    _flags_and_reserved: [u8; 2],
    _last_stream: i32,
    error_code: u32,
}

type BeforeFrameSend = unsafe extern "C" fn(*mut c_void, *const Frame, *mut c_void) -> c_int;
type OnError = unsafe extern "C" fn(*mut c_void, c_int, *const c_char, usize, *mut c_void) -> c_int;

unsafe extern "C" {
    fn __real_nghttp2_session_client_new3(
        session: *mut *mut c_void,
        callbacks: *mut c_void,
        filter: *mut c_void,
        option: *const c_void,
        memory: *mut c_void,
    ) -> c_int;
    fn nghttp2_session_callbacks_set_before_frame_send_callback(
        callbacks: *mut c_void,
        callback: BeforeFrameSend,
    );
    fn nghttp2_session_callbacks_set_error_callback2(callbacks: *mut c_void, callback: OnError);
    /// libcurl's own (`lib/cfilters.c`). The second argument is a transfer, which no filter below HTTP/2 uses.
    fn Curl_conn_cf_get_socket(filter: *mut c_void, data: *mut c_void) -> RawFd;
}

thread_local! {
    /// The field that nghttp2 rejected last while reading from a connection.
    static FIELD: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Replaces `nghttp2_session_client_new3` for libcurl.
///
/// # Safety
///
/// The same as for `nghttp2_session_client_new3`; `filter` is a `struct Curl_cfilter`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_nghttp2_session_client_new3(
    session: *mut *mut c_void,
    callbacks: *mut c_void,
    filter: *mut c_void,
    option: *const c_void,
    memory: *mut c_void,
) -> c_int {
    // SAFETY: the caller's guarantees are passed on. libcurl does not set the first callback, and the second
    // only for logging.
    unsafe {
        nghttp2_session_callbacks_set_before_frame_send_callback(callbacks, before_frame_send);
        nghttp2_session_callbacks_set_error_callback2(callbacks, on_error);
        __real_nghttp2_session_client_new3(session, callbacks, filter, option, memory)
    }
}

/// A callback of nghttp2.
unsafe extern "C" fn on_error(
    _session: *mut c_void,
    _code: c_int,
    text: *const c_char,
    len: usize,
    _filter: *mut c_void,
) -> c_int {
    // SAFETY: nghttp2 guarantees `len` bytes.
    let text = unsafe { std::slice::from_raw_parts(text.cast(), len) };
    FIELD.set(invalid_field(&String::from_utf8_lossy(text)));
    0
}

/// Parses `Invalid HTTP header field was received: frame type: 1, stream: 1, name: [te], value: [x]`. The
/// text for ignored fields begins differently.
fn invalid_field(text: &str) -> Option<String> {
    let (_, name) = text
        .strip_prefix("Invalid HTTP header field")?
        .split_once("name: [")?;
    let (name, _) = name.split_once("], value: [")?;
    Some(name.chars().take(40).collect())
}

/// A callback of nghttp2. libcurl's own GOAWAY, when it closes a connection, has no error code.
unsafe extern "C" fn before_frame_send(
    _session: *mut c_void,
    frame: *const Frame,
    filter: *mut c_void,
) -> c_int {
    // SAFETY: nghttp2 passes a frame; the kind is checked before its GOAWAY fields.
    let gives_up = unsafe { (*frame).kind == GOAWAY && (*frame).error_code != NO_ERROR };
    if gives_up {
        // SAFETY: the filter for which the session was created outlives it.
        let socket = unsafe { Curl_conn_cf_get_socket(filter, std::ptr::null_mut()) };
        wire_bytes::cut(socket, TransferErrorKind::BadHttp2(FIELD.take()));
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_invalid_field_is_taken_from_nghttp2() {
        let invalid = "Invalid HTTP header field was received: frame type: 1, stream: 1, name: [te], value: [a], value: [b]";
        assert_eq!(invalid_field(invalid).as_deref(), Some("te"));
        let ignored = "Ignoring received invalid HTTP header field: frame type: 1, stream: 1, name: [te], value: []";
        assert_eq!(invalid_field(ignored), None);
        assert_eq!(invalid_field("Too many frames"), None);
    }
}
