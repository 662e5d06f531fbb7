//! Bytes that are no body: chunk extensions, padding and empty frames of HTTP/2, PINGs and GOAWAYs,
//! TLS records without content, interim answers.
//!
//! Upstream (libcurl 8.22): all of these are read for as long as the request's timeout allows, at
//! the speed of the line: 1.3 GB in a check of 5 s on loopback. Only bodies are counted
//! (`CURLINFO_SIZE_DOWNLOAD`), and isahc tells of a connection no more than its addresses.
//!
//! Here: the linker puts these three between isahc and libcurl, and between libcurl's own files
//! (`--wrap`, see `build.rs`): [`know`] before each event of a socket (`curl_multi_socket_action`),
//! [`moved`] behind each `recv` (`curlx_sztouz`, by which libcurl reads its result), and [`forget`]
//! before a socket is closed (`Curl_multi_will_close`). How much a connection has received the kernel
//! knows (`TCP_INFO`, Linux 4.1 and later; before that there is no limit): it is asked whenever
//! libcurl has read another 512 KiB from whatever sockets. What was read as a body, and all there
//! was before the end of a request, doesn't count; over the limit a connection is aborted.
//!
//! Tests: `check::tests::floods`, which fail when libcurl or isahc call otherwise. Upstream would
//! have to count all bytes of a transfer, and to have a limit for them.

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

/// Received by one request before its body ended or was cut, the body itself not counted.
const MAX_BYTES: u64 = 8 << 20;
/// Over this a connection is followed: what is read of it as a body is excused.
const FOLLOWED_FROM: u64 = 1 << 20;
/// Bytes read by libcurl for each look.
const LOOK_EVERY_BYTES: usize = 512 << 10;
/// How long a connection that was cut is remembered, for the requests that end with it.
const CUT_REMEMBERED_FOR: Duration = Duration::from_secs(10);

struct Connection {
    socket: RawFd,
    /// As of the last look.
    received: u64,
    /// Received, but not to be counted.
    excused: u64,
    /// Known of one that is followed.
    ends: Option<Ends>,
}

/// A connection's own address and its peer's. Its own alone soon is another connection's.
pub(in crate::http) type Ends = (SocketAddr, SocketAddr);

struct Table {
    /// As many as libcurl has, so not many.
    open: Vec<Connection>,
    /// The newest last.
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
/// Connections that are followed.
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

    /// Aborts it when it is over the limit.
    fn look(&mut self, cut: &mut VecDeque<Cut>) {
        let Some(received) = received(self.socket) else {
            return;
        };
        self.received = received;
        let counted = received.saturating_sub(self.excused);
        if counted > FOLLOWED_FROM && self.ends.is_none() {
            self.follow(ends(self.socket));
        }
        // What libcurl has not read yet may be a body.
        if counted > MAX_BYTES && counted.saturating_sub(waiting(self.socket)) > MAX_BYTES {
            abort(self.socket, self.ends, TransferErrorKind::TooMuch, cut);
        }
    }
}

/// `count` bytes of a body were read that came by the connection between `ends`.
pub(in crate::http) fn read(ends: Ends, count: usize) {
    of(ends, |connection| connection.excused += count as u64);
}

/// A request on the connection between `ends` has ended.
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

/// Why the connection between `ends` was cut here, if it was.
pub(in crate::http) fn why_cut(ends: Ends) -> Option<TransferErrorKind> {
    let cut = &mut table().cut;
    cut.retain(|cut| cut.at.elapsed() < CUT_REMEMBERED_FOR);
    let known = cut.iter().rev().find(|cut| cut.ends == ends)?;
    Some(known.why.clone())
}

/// Cuts libcurl's connection at `socket`, if it is one.
#[cfg(feature = "http2")]
pub(super) fn cut(socket: RawFd, why: TransferErrorKind) {
    if socket >= 0 {
        abort(socket, ends(socket), why, &mut table().cut);
    }
}

/// libcurl has a connection at `socket`.
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

/// libcurl has read `count` bytes from some socket. (Some other counts come by as well, which make
/// for more probes only.)
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

/// `socket` is about to be closed, and its number to be another's.
fn forget(socket: RawFd) {
    let mut table = table();
    if let Some(at) = table.open.iter().position(|c| c.socket == socket) {
        table.open.swap_remove(at).follow(None);
    }
}

/// `struct tcp_info` of linux/tcp.h up to what is wanted.
#[repr(C)]
struct TcpInfo {
    _states: [u8; 8],
    _figures: [u32; 24],
    _rates_and_acked: [u64; 3],
    received: u64,
}

/// Bytes that have come to a TCP socket since it was connected.
fn received(socket: RawFd) -> Option<u64> {
    const { assert!(offset_of!(TcpInfo, received) == 128) };
    let mut info = TcpInfo {
        _states: [0; 8],
        _figures: [0; 24],
        _rates_and_acked: [0; 3],
        received: 0,
    };
    let mut size = size_of::<TcpInfo>() as libc::socklen_t;
    // SAFETY: `size` writable bytes, of which every pattern is a value; a number that is no socket
    // is an error.
    let result = unsafe {
        let to = (&raw mut info).cast();
        libc::getsockopt(socket, libc::IPPROTO_TCP, libc::TCP_INFO, to, &mut size)
    };
    (result == 0 && size as usize >= size_of::<TcpInfo>()).then_some(info.received)
}

/// Bytes that have come and are not read.
fn waiting(socket: RawFd) -> u64 {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int.
    let result = unsafe { libc::ioctl(socket, libc::FIONREAD, &raw mut count) };
    if result == 0 { count.max(0) as u64 } else { 0 }
}

fn ends(socket: RawFd) -> Option<Ends> {
    // SAFETY: libcurl's, and open: it is forgotten before it is closed.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    let own = rustix::net::getsockname(socket).ok()?.try_into().ok()?;
    let peer = rustix::net::getpeername(socket).ok()??.try_into().ok()?;
    Some((own, peer))
}

/// The peer gets a reset, libcurl an error at its next read; the number stays libcurl's to close.
fn abort(socket: RawFd, ends: Option<Ends>, why: TransferErrorKind, cut: &mut VecDeque<Cut>) {
    cut.retain(|cut| cut.at.elapsed() < CUT_REMEMBERED_FOR);
    let at = Instant::now();
    cut.extend(ends.map(|ends| Cut { ends, at, why }));
    // SAFETY: all zeros is a value of the type: an address of no family, which connect(2) takes for
    // the end of a connection.
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

/// What isahc calls as `curl_multi_socket_action`.
///
/// # Safety
///
/// As for `curl_multi_socket_action`.
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
    // SAFETY: the caller's promises, passed on.
    unsafe { __real_curl_multi_socket_action(multi, socket, events, running) }
}

/// What libcurl calls as `Curl_multi_will_close`.
///
/// # Safety
///
/// As for `Curl_multi_will_close`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_Curl_multi_will_close(data: *mut c_void, socket: RawFd) {
    forget(socket);
    // SAFETY: the caller's promises, passed on.
    unsafe { __real_Curl_multi_will_close(data, socket) }
}

/// What libcurl calls as `curlx_sztouz`.
///
/// # Safety
///
/// As for `curlx_sztouz`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_curlx_sztouz(size: isize, positive: *mut usize) -> bool {
    moved(size.max(0) as usize);
    // SAFETY: the caller's promises, passed on.
    unsafe { __real_curlx_sztouz(size, positive) }
}
