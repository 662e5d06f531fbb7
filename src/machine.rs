//! Faults of this machine that make a check fail: such a failure says nothing about the site.

use crate::lock::lock;
use crate::monitor::site::outcome::LocalFault;
use libc::{c_int, sockaddr, sockaddr_in, sockaddr_in6};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, OwnedFd};
use std::ptr;
use std::sync::Mutex;
use std::time::Instant;

/// Descriptors that one check may need at a time: a socket, and the files and sockets of a lookup.
const HEADROOM: usize = 4;
/// Descriptors of an idle agent: standard streams, epoll, timers, signals, pipes, the state's
/// files, the connections to Telegram.
const AT_REST: usize = 40;
/// Descriptors of one running check: its socket, and those of two lookups.
const PER_CONNECTION: usize = 5;

/// Minimum number of connections: three for Telegram, one for the checks.
const FEWEST: usize = 4;

type Notice = Option<(Instant, LocalFault)>;

/// The last refusal by the system, and its time.
#[cfg(not(test))]
fn noticed() -> &'static Mutex<Notice> {
    static NOTICED: Mutex<Notice> = Mutex::new(None);
    &NOTICED
}

/// One per thread, because tests run in parallel.
#[cfg(test)]
fn noticed() -> &'static Mutex<Notice> {
    thread_local! {
        static NOTICED: &'static Mutex<Notice> = Box::leak(Box::default());
    }
    NOTICED.with(|noticed| *noticed)
}

/// Returns what this machine has run out of according to `error`: descriptors or memory.
pub fn local_fault(error: &io::Error) -> Option<LocalFault> {
    let local_fault = match error.raw_os_error()? {
        libc::EMFILE | libc::ENFILE => LocalFault::Descriptors,
        libc::ENOMEM | libc::ENOBUFS => LocalFault::Memory,
        _ => return None,
    };
    notice(local_fault);
    Some(local_fault)
}

/// Like [`local_fault`] for an attempt to reach `to`: this machine may also lack a port or an
/// address of its own. If only IPv6 is missing, that is a fault of the uplink
/// (`monitor::uplink::UplinkFault::NoIpv6`).
pub fn local_fault_of_path(error: &io::Error, to: IpAddr) -> Option<LocalFault> {
    if let Some(local_fault) = local_fault(error) {
        return Some(local_fault);
    }
    if to.is_loopback() {
        let no_port = error.raw_os_error() == Some(libc::EADDRNOTAVAIL);
        return no_port.then_some(LocalFault::Ports);
    }
    let unreachable = matches!(
        error.raw_os_error(),
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EADDRNOTAVAIL)
    );
    match unreachable.then(|| has_address(false) || to.is_ipv6() && has_address(true)) {
        Some(false) => Some(LocalFault::Address),
        Some(true) if to.is_ipv4() && error.raw_os_error() == Some(libc::EADDRNOTAVAIL) => {
            Some(LocalFault::Ports)
        }
        _ => None,
    }
}

/// Records a fault whose error isn't passed on.
pub fn notice(local_fault: LocalFault) {
    *lock(noticed()) = Some((Instant::now(), local_fault));
}

/// Returns the fault that was recorded since `began`, or that exists now. libcurl and the C library
/// don't pass on the reason for a failure.
pub fn lacked_since(began: Instant) -> Option<LocalFault> {
    let noticed = lock(noticed()).filter(|(at, _)| *at >= began);
    noticed
        .map(|(_, local_fault)| local_fault)
        .or_else(no_headroom)
}

/// Tests whether [`HEADROOM`] more descriptors can be opened.
fn no_headroom() -> Option<LocalFault> {
    let stdin = io::stdin();
    let mut spare: Vec<OwnedFd> = Vec::with_capacity(HEADROOM);
    for _ in 0..HEADROOM {
        match stdin.as_fd().try_clone_to_owned() {
            Ok(one) => spare.push(one),
            Err(error) => return local_fault(&error),
        }
    }
    None
}

/// Returns whether an interface that is up and running has an address of this family; loopback
/// addresses don't count.
fn has_address(ipv6: bool) -> bool {
    let mut list = ptr::null_mut();
    // SAFETY: `list` receives the result (getifaddrs(3)).
    if unsafe { libc::getifaddrs(&mut list) } != 0 {
        // Unknown: report no fault.
        return true;
    }
    let running = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_uint;
    let mut found = false;
    let mut next = list;
    // SAFETY: `next` is null or an entry of the list, which isn't freed yet.
    while let Some(entry) = unsafe { next.as_ref() } {
        // SAFETY: an entry's address is null or has the size of its family.
        let address = unsafe { socket_address(entry.ifa_addr, 0) };
        let is_wanted = |it: SocketAddr| it.is_ipv6() == ipv6 && !it.ip().is_loopback();
        found |= entry.ifa_flags & running == running && address.is_some_and(is_wanted);
        next = entry.ifa_next;
    }
    // SAFETY: `list` is from getifaddrs, and isn't used any more.
    unsafe { libc::freeifaddrs(list) };
    found
}

/// Converts an address of the C library; returns `None` for families other than IP.
///
/// # Safety
///
/// `address` is null or has the size of its family.
pub unsafe fn socket_address(address: *const sockaddr, port: u16) -> Option<SocketAddr> {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match c_int::from(address.as_ref()?.sa_family) {
            libc::AF_INET => {
                let v4 = address.cast::<sockaddr_in>().read_unaligned();
                let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
                Some(SocketAddr::new(ip.into(), port))
            }
            libc::AF_INET6 => {
                let v6 = address.cast::<sockaddr_in6>().read_unaligned();
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                Some(SocketAddrV6::new(ip, port, 0, v6.sin6_scope_id).into())
            }
            _ => None,
        }
    }
}

/// Raises the soft limit on descriptors to what `connections` need. Returns how many connections
/// may be open under the new limit, and a warning if they are fewer. `clients` is the number of
/// sockets of incoming connections.
pub fn make_room(connections: usize, clients: usize) -> (usize, Option<String>) {
    let at_rest = AT_REST + clients;
    let needed = at_rest + PER_CONNECTION * connections;
    let limit = getrlimit(Resource::Nofile);
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed as u64);
    if enough(limit.current) {
        return (connections, None);
    }
    let wanted = limit
        .maximum
        .map_or(needed as u64, |most| most.min(needed as u64));
    let raised = Rlimit {
        current: Some(wanted),
        maximum: limit.maximum,
    };
    let now = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => wanted,
        Err(_) => limit.current.unwrap_or(wanted),
    };
    if enough(Some(now)) {
        return (connections, None);
    }
    let now = usize::try_from(now).unwrap_or(usize::MAX);
    let fit = now.saturating_sub(at_rest) / PER_CONNECTION;
    let text = format!(
        "this process may open {now} files, and {needed} may be needed: raise the limit (ulimit -n, \
         LimitNOFILE=, or procd's limits) or lower `max_connections`"
    );
    (fit.clamp(FEWEST.min(connections), connections), Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: i32, to: IpAddr) -> Option<LocalFault> {
        local_fault_of_path(&io::Error::from_raw_os_error(code), to)
    }

    #[test]
    fn what_the_system_refuses_for_want_of_something_is_told_from_a_servers_refusal() {
        let far = IpAddr::from([192, 0, 2, 1]);
        for (code, local_fault) in [
            (libc::EMFILE, Some(LocalFault::Descriptors)),
            (libc::ENFILE, Some(LocalFault::Descriptors)),
            (libc::ENOMEM, Some(LocalFault::Memory)),
            (libc::ENOBUFS, Some(LocalFault::Memory)),
            (libc::ECONNREFUSED, None),
            (libc::ECONNRESET, None),
            (libc::ETIMEDOUT, None),
        ] {
            assert_eq!(of(code, far), local_fault, "{code}");
        }
        let here = IpAddr::from(Ipv4Addr::LOCALHOST);
        assert_eq!(of(libc::EADDRNOTAVAIL, here), Some(LocalFault::Ports));
        // Loopback always has an address.
        assert_eq!(of(libc::ENETUNREACH, here), None);
    }

    #[test]
    fn what_was_noticed_during_a_check_counts_for_it() {
        let began = Instant::now();
        assert_eq!(
            of(libc::ENFILE, [192, 0, 2, 1].into()),
            Some(LocalFault::Descriptors)
        );
        assert!(lacked_since(began).is_some());
    }
}
