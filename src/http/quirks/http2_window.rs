//! How much of a stream of HTTP/2 a server may send ahead.
//!
//! Upstream (libcurl 8.22, `cf_h2_update_local_win` in `lib/http2.c`): 10 MiB, and as much again,
//! since the window is raised by `nghttp2_session_set_local_window_size`, which tells the server,
//! and then by `nghttp2_submit_window_update` once more. A transfer that isn't read for a moment
//! is paused, and all of that is kept in memory: one server can fill that of a router.
//!
//! Here: the linker puts these between libcurl and nghttp2 (`--wrap`, see `build.rs`). A stream's
//! window is never over 128 KiB: 1 MiB from a server 200 ms away takes 1.6 s. What libcurl tells
//! the server after that is what has been received and not been told: after a pause nothing else
//! opens the window again.
//!
//! Test: `check::tests::floods::a_stream_that_is_not_read_is_not_sent_far_ahead`. Upstream would
//! have to make the window an option.

use std::ffi::{c_int, c_void};

/// In bytes; the protocol starts with half of it.
const WINDOW: i32 = 128 * 1024;

unsafe extern "C" {
    fn __real_nghttp2_session_set_local_window_size(
        session: *mut c_void,
        flags: u8,
        stream: i32,
        size: i32,
    ) -> c_int;
    fn __real_nghttp2_submit_window_update(
        session: *mut c_void,
        flags: u8,
        stream: i32,
        increment: i32,
    ) -> c_int;
    fn nghttp2_session_get_stream_effective_recv_data_length(
        session: *mut c_void,
        stream: i32,
    ) -> i32;
}

/// What libcurl calls as `nghttp2_session_set_local_window_size`.
///
/// # Safety
///
/// As for `nghttp2_session_set_local_window_size`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_nghttp2_session_set_local_window_size(
    session: *mut c_void,
    flags: u8,
    stream: i32,
    size: i32,
) -> c_int {
    // Stream 0 is the connection: that of all streams together.
    let size = if stream == 0 { size } else { size.min(WINDOW) };
    // SAFETY: the caller's promises, passed on.
    unsafe { __real_nghttp2_session_set_local_window_size(session, flags, stream, size) }
}

/// What libcurl calls as `nghttp2_submit_window_update`.
///
/// # Safety
///
/// As for `nghttp2_submit_window_update`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_nghttp2_submit_window_update(
    session: *mut c_void,
    flags: u8,
    stream: i32,
    increment: i32,
) -> c_int {
    match stream {
        // SAFETY: the caller's promises, passed on.
        0 => unsafe { __real_nghttp2_submit_window_update(session, flags, stream, increment) },
        // SAFETY: likewise. -1: there is no such stream.
        _ => unsafe {
            let received = nghttp2_session_get_stream_effective_recv_data_length(session, stream);
            __real_nghttp2_submit_window_update(session, flags, stream, received.max(0))
        },
    }
}
