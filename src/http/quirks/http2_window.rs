//! How much of an HTTP/2 stream a server may send ahead.
//!
//! Upstream (libcurl 8.22, `cf_h2_update_local_win` in `lib/http2.c`): 10 MiB, twice: the window is raised by
//! `nghttp2_session_set_local_window_size`, which informs the server, and again by
//! `nghttp2_submit_window_update`. A transfer that is not read for a moment is paused and buffers all of
//! that: one server can fill the memory of a router.
//!
//! Here: the linker puts these functions between libcurl and nghttp2 (`--wrap`, see `build.rs`). They limit
//! a stream's window to 128 KiB: 1 MiB from a server 200 ms away takes 1.6 s. Later updates announce what
//! was received and not yet announced: after a pause nothing else reopens the window.
//!
//! Test: `check::tests::floods::a_stream_that_is_not_read_is_not_sent_far_ahead`. Upstream should make the
//! window an option.

use std::ffi::{c_int, c_void};

/// Window in bytes; the protocol's default is half of it.
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

/// Replaces `nghttp2_session_set_local_window_size` for libcurl.
///
/// # Safety
///
/// The same as for `nghttp2_session_set_local_window_size`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_nghttp2_session_set_local_window_size(
    session: *mut c_void,
    flags: u8,
    stream: i32,
    size: i32,
) -> c_int {
    // Stream 0 is the connection with all its streams.
    let size = if stream == 0 { size } else { size.min(WINDOW) };
    // SAFETY: the caller's guarantees are passed on.
    unsafe { __real_nghttp2_session_set_local_window_size(session, flags, stream, size) }
}

/// Replaces `nghttp2_submit_window_update` for libcurl.
///
/// # Safety
///
/// The same as for `nghttp2_submit_window_update`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_nghttp2_submit_window_update(
    session: *mut c_void,
    flags: u8,
    stream: i32,
    increment: i32,
) -> c_int {
    match stream {
        // SAFETY: the caller's guarantees are passed on.
        0 => unsafe { __real_nghttp2_submit_window_update(session, flags, stream, increment) },
        // SAFETY: as above. -1: there is no such stream.
        _ => unsafe {
            let received = nghttp2_session_get_stream_effective_recv_data_length(session, stream);
            __real_nghttp2_submit_window_update(session, flags, stream, received.max(0))
        },
    }
}
