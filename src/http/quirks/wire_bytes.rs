//! Limits bytes that are not part of a body: chunk extensions, padding and empty frames of HTTP/2, PINGs and
//! GOAWAYs, TLS records without content, interim responses.
//!
//! Upstream (libcurl 8.22): all of these are read until the request's timeout, at line speed: 1.3 GB in a
//! check of 5 s on loopback. Only bodies are counted (`CURLINFO_SIZE_DOWNLOAD`), and isahc exposes only the
//! addresses of a connection.
//!
//! Here: the linker puts these three functions between isahc and libcurl, and between libcurl's own files
//! (`--wrap`, see `build.rs`): [`know`] before each event of a socket (`curl_multi_socket_action`), [`moved`]
//! after each `recv` (`curlx_sztouz`, which converts its result), and [`forget`] before a socket is closed
//! (`Curl_multi_will_close`). The kernel counts the bytes that a connection has received (`TCP_INFO`, since
//! Linux 4.1; older ones have no limit): it is queried whenever libcurl has read another 512 KiB from any
//! sockets. Bytes of a body, and all bytes before the end of a request, do not count; over the limit the
//! connection is aborted.
//!
//! Tests: `check::tests::floods`, which fail when libcurl or isahc call these functions differently. Upstream
//! should count all bytes of a transfer and offer a limit for them.

use crate::http::TransferErrorKind;
use crate::lock::lock;
use std::collections::VecDeque;
use std::ffi::c_void;
use std::io;
use std::mem::{offset_of, size_of};
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Maximum bytes received for one request before its body ended or was truncated, without the body.
const MAX_BYTES: u64 = 8 << 20;
/// Bytes above which a connection is tracked: what is then read of it as a body is excused.
const FOLLOWED_FROM: u64 = 1 << 20;
/// Bytes read by libcurl between two looks.
const LOOK_EVERY_BYTES: usize = 512 << 10;
/// How long an aborted connection is remembered, for the requests that end with it.
const CUT_REMEMBERED_FOR: Duration = Duration::from_secs(10);

struct Connection {
    socket: RawFd,
    /// At the last look.
    received: u64,
    /// Received bytes that do not count.
    excused: u64,
    /// Known if the connection is tracked.
    ends: Option<Ends>,
}

/// A connection's local address and its peer's. The local one alone is soon reused.
pub(in crate::http) type Ends = (SocketAddr, SocketAddr);

struct Table {
    /// As many as libcurl has, so not many.
    open: Vec<Connection>,
    /// Newest last.
    cut: VecDeque<Cut>,
}

/// A connection that was aborted here.
struct Cut {
    ends: Ends,
    at: Instant,
    why: TransferErrorKind,
}

static TABLE: Mutex<Table> = Mutex::new(Table {
    open: Vec::new(),
    cut: VecDeque::new(),
});
/// Bytes read by libcurl since the last look.
static MOVED: AtomicUsize = AtomicUsize::new(0);
/// Number of tracked connections.
static FOLLOWED: AtomicUsize = AtomicUsize::new(0);

fn table() -> MutexGuard<'static, Table> {
    lock(&TABLE)
}

impl Connection {
    fn follow(&mut self, ends: Option<Ends>) {
        match (self.ends.is_some(), ends.is_some()) {
            (false, true) => FOLLOWED.fetch_add(1, Ordering::Relaxed),
            (true, false) => FOLLOWED.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
        self.ends = ends;
    }

    /// Aborts the connection if it is over the limit.
    fn look(&mut self, cut: &mut VecDeque<Cut>) {
        let Some(received) = received(self.socket) else {
            return;
        };
        self.received = received;
        let counted = received.saturating_sub(self.excused);
        if counted > FOLLOWED_FROM && self.ends.is_none() {
            self.follow(ends(self.socket));
        }
        // Bytes that libcurl has not read yet may belong to a body.
        if counted > MAX_BYTES && counted.saturating_sub(waiting(self.socket)) > MAX_BYTES {
            abort(self.socket, self.ends, TransferErrorKind::TooMuch, cut);
        }
    }
}

/// Notes that `count` bytes of a body were read from the connection between `ends`.
pub(in crate::http) fn read(ends: Ends, count: usize) {
    of(ends, |connection| connection.excused += count as u64);
}

/// Notes the end of a request on the connection between `ends`.
pub(in crate::http) fn ended(ends: Ends) {
    of(ends, |connection| {
        connection.excused = connection.excused.max(connection.received);
        connection.follow(None);
    });
}

fn of(ends: Ends, act: impl FnOnce(&mut Connection)) {
    if FOLLOWED.load(Ordering::Relaxed) == 0 {
        return;
    }
    let mut table = table();
    if let Some(connection) = table.open.iter_mut().find(|c| c.ends == Some(ends)) {
        act(connection);
    }
}

/// Returns why the connection between `ends` was aborted here, if it was.
pub(in crate::http) fn why_cut(ends: Ends) -> Option<TransferErrorKind> {
    let cut = &mut table().cut;
    cut.retain(|cut| cut.at.elapsed() < CUT_REMEMBERED_FOR);
    let known = cut.iter().rev().find(|cut| cut.ends == ends)?;
    Some(known.why.clone())
}

/// Aborts the connection at `socket` if it is one of libcurl's.
#[cfg(feature = "http2")]
pub(super) fn cut(socket: RawFd, why: TransferErrorKind) {
    if socket >= 0 {
        abort(socket, ends(socket), why, &mut table().cut);
    }
}

/// Notes that libcurl has a connection at `socket`.
fn know(socket: RawFd) {
    let mut table = table();
    if table.open.iter().all(|c| c.socket != socket) {
        table.open.push(Connection {
            socket,
            received: 0,
            excused: 0,
            ends: None,
        });
    }
}

/// Notes that libcurl has read `count` bytes from a socket. (It converts some other numbers as well, which
/// only causes more looks.)
fn moved(count: usize) {
    if MOVED.fetch_add(count, Ordering::Relaxed) + count < LOOK_EVERY_BYTES {
        return;
    }
    MOVED.store(0, Ordering::Relaxed);
    let Table { open, cut } = &mut *table();
    for connection in open {
        connection.look(cut);
    }
}

/// Forgets `socket`, which is about to be closed: its number may be reused.
fn forget(socket: RawFd) {
    let mut table = table();
    if let Some(at) = table.open.iter().position(|c| c.socket == socket) {
        table.open.swap_remove(at).follow(None);
    }
}

/// The start of `struct tcp_info` (linux/tcp.h).
#[repr(C)]
struct TcpInfo {
    _states: [u8; 8],
    _figures: [u32; 24],
    _rates_and_acked: [u64; 3],
    received: u64,
}

/// Returns the bytes that a TCP socket has received since it was connected.
fn received(socket: RawFd) -> Option<u64> {
    const { assert!(offset_of!(TcpInfo, received) == 128) };
    let mut info = TcpInfo {
        _states: [0; 8],
        _figures: [0; 24],
        _rates_and_acked: [0; 3],
        received: 0,
    };
    let mut size = size_of::<TcpInfo>() as libc::socklen_t;
    // SAFETY: `size` writable bytes, for which every pattern is valid; a number that is no socket causes an
    // error.
    let result = unsafe {
        let to = (&raw mut info).cast();
        libc::getsockopt(socket, libc::IPPROTO_TCP, libc::TCP_INFO, to, &mut size)
    };
    (result == 0 && size as usize >= size_of::<TcpInfo>()).then_some(info.received)
}

/// Returns the received bytes that are not read yet.
fn waiting(socket: RawFd) -> u64 {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int.
    let result = unsafe { libc::ioctl(socket, libc::FIONREAD, &raw mut count) };
    if result == 0 { count.max(0) as u64 } else { 0 }
}

fn ends(socket: RawFd) -> Option<Ends> {
    // SAFETY: libcurl's open socket: it is forgotten before it is closed.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    let own = rustix::net::getsockname(socket).ok()?.try_into().ok()?;
    let peer = rustix::net::getpeername(socket).ok()??.try_into().ok()?;
    Some((own, peer))
}

/// Sends a reset to the peer; libcurl gets an error at its next read, and closes the descriptor.
fn abort(socket: RawFd, ends: Option<Ends>, why: TransferErrorKind, cut: &mut VecDeque<Cut>) {
    cut.retain(|cut| cut.at.elapsed() < CUT_REMEMBERED_FOR);
    let at = Instant::now();
    cut.extend(ends.map(|ends| Cut { ends, at, why }));
    // SAFETY: all zeros is valid for the type: an address without a family, with which connect(2) dissolves
    // a connection.
    let result = unsafe {
        let nowhere: libc::sockaddr = std::mem::zeroed();
        let size = size_of::<libc::sockaddr>() as libc::socklen_t;
        libc::connect(socket, &raw const nowhere, size)
    };
    if result != 0 {
        log::debug!("cannot abort a connection: {}", io::Error::last_os_error());
    }
}

unsafe extern "C" {
    fn __real_curl_multi_socket_action(
        multi: *mut c_void,
        socket: RawFd,
        events: libc::c_int,
        running: *mut libc::c_int,
    ) -> libc::c_int;
    fn __real_Curl_multi_will_close(data: *mut c_void, socket: RawFd);
    fn __real_curlx_sztouz(size: isize, positive: *mut usize) -> bool;
}

/// Replaces `curl_multi_socket_action` for isahc.
///
/// # Safety
///
/// The same as for `curl_multi_socket_action`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_curl_multi_socket_action(
    multi: *mut c_void,
    socket: RawFd,
    events: libc::c_int,
    running: *mut libc::c_int,
) -> libc::c_int {
    // CURL_SOCKET_TIMEOUT is -1.
    if socket >= 0 {
        know(socket);
    }
    // SAFETY: the caller's guarantees are passed on.
    unsafe { __real_curl_multi_socket_action(multi, socket, events, running) }
}

/// Replaces `Curl_multi_will_close` for libcurl.
///
/// # Safety
///
/// The same as for `Curl_multi_will_close`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_Curl_multi_will_close(data: *mut c_void, socket: RawFd) {
    forget(socket);
    // SAFETY: the caller's guarantees are passed on.
    unsafe { __real_Curl_multi_will_close(data, socket) }
}

/// Replaces `curlx_sztouz` for libcurl.
///
/// # Safety
///
/// The same as for `curlx_sztouz`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_curlx_sztouz(size: isize, positive: *mut usize) -> bool {
    moved(size.max(0) as usize);
    // SAFETY: the caller's guarantees are passed on.
    unsafe { __real_curlx_sztouz(size, positive) }
}
