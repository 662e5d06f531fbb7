//! Servers that end TCP without ending TLS first (no close_notify): they have answered all the same.
//!
//! libcurl's rustls backend throws away what it has read when that end comes with it
//! (`cr_recv` in `lib/vtls/rustls.c` of 8.22 returns the error, not the bytes before it), so a good
//! answer was told as none. The linker puts this between the two (`--wrap`, see `build.rs`): the
//! end is an orderly one, as it is for libcurl on OpenSSL. That nothing was cut off is seen from
//! Content-Length and chunks.
//!
//! Test: `check::tests::https::a_server_that_ends_tcp_without_ending_tls_has_answered`.

use std::ffi::c_void;

// `rustls_result` of rustls-ffi 0.15.
const OK: u32 = 7000;
const UNEXPECTED_EOF: u32 = 7010;

unsafe extern "C" {
    /// rustls-ffi's own `rustls_connection_read`.
    fn __real_rustls_connection_read(
        connection: *mut c_void,
        buffer: *mut u8,
        count: usize,
        read: *mut usize,
    ) -> u32;
}

/// What libcurl calls as `rustls_connection_read`.
///
/// # Safety
///
/// As for `rustls_connection_read`: a connection of rustls-ffi, `count` writable bytes at `buffer`,
/// and a place for their number; libcurl gives all of these.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_rustls_connection_read(
    connection: *mut c_void,
    buffer: *mut u8,
    count: usize,
    read: *mut usize,
) -> u32 {
    // SAFETY: the caller's promises, passed on.
    let result = unsafe { __real_rustls_connection_read(connection, buffer, count, read) };
    if result != UNEXPECTED_EOF || read.is_null() {
        return result;
    }
    // SAFETY: not null, and the caller's to write to.
    unsafe { *read = 0 };
    OK
}
