//! Servers that close TCP without closing TLS first (no close_notify), after a complete response.
//!
//! Upstream: libcurl's rustls backend discards what it has read together with that end (`cr_recv` in
//! `lib/vtls/rustls.c` of 8.22 returns the error instead of the bytes before it), so a good response is
//! reported as none. Here: the linker puts this function between the two (`--wrap`, see `build.rs`) and
//! makes the end an orderly one, as with libcurl on OpenSSL. Truncation is detected by Content-Length and
//! chunks.
//!
//! Test: `check::tests::https::a_server_that_ends_tcp_without_ending_tls_has_answered`.

use std::ffi::c_void;

// `rustls_result` of rustls-ffi 0.15.
const OK: u32 = 7000;
const UNEXPECTED_EOF: u32 = 7010;

unsafe extern "C" {
    /// rustls-ffi's original `rustls_connection_read`.
    fn __real_rustls_connection_read(
        connection: *mut c_void,
        buffer: *mut u8,
        count: usize,
        read: *mut usize,
    ) -> u32;
}

/// Replaces `rustls_connection_read` for libcurl.
///
/// # Safety
///
/// The same as for `rustls_connection_read`: a connection of rustls-ffi, `count` writable bytes at `buffer`,
/// and a place for their number, as libcurl guarantees.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_rustls_connection_read(
    connection: *mut c_void,
    buffer: *mut u8,
    count: usize,
    read: *mut usize,
) -> u32 {
    // SAFETY: the caller's guarantees are passed on.
    let result = unsafe { __real_rustls_connection_read(connection, buffer, count, read) };
    if result != UNEXPECTED_EOF || read.is_null() {
        return result;
    }
    // SAFETY: not null, and writable for the caller.
    unsafe { *read = 0 };
    OK
}
