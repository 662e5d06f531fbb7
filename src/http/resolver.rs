//! Resolves names by the C library. Each address family is looked up separately and used as soon as it
//! arrives (RFC 8305 section 3): getaddrinfo for both would wait for both, until the check's deadline if
//! a resolver answers A and never AAAA. The standard library offers only that.

use crate::machine;
use crate::monitor::site::IpVersion;
use crate::monitor::site::outcome::LocalFault;
use crate::offload::offload;
use crate::timeout::at_most;
use async_lock::Semaphore;
use libc::{addrinfo, c_int};
use std::ffi::CString;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Why a name has no addresses, in order of severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unresolved {
    /// A resolver answered: there is no such name.
    NoName,
    /// A resolver answered: there is no address of the wanted family.
    NoAddress,
    /// No resolver answered, or none could tell.
    NoAnswer,
    /// This machine could not send the query.
    LocalFault(LocalFault),
}

/// Threads for lookups, which may hang as getaddrinfo cannot be cancelled. Each address family has its
/// own, so that lookups of one that hang do not block the other.
pub struct Resolvers {
    v4: Arc<Semaphore>,
    v6: Arc<Semaphore>,
}

impl Resolvers {
    /// `threads`: per address family.
    pub fn new(threads: usize) -> Resolvers {
        let threads = || Arc::new(Semaphore::new(threads));
        Resolvers {
            v4: threads(),
            v6: threads(),
        }
    }

    /// Occupies all threads until the result is dropped.
    #[cfg(test)]
    pub(crate) fn hanging(&self) -> impl Sized + use<> {
        [&self.v4, &self.v6].map(|threads| {
            let all = std::iter::from_fn(|| threads.try_acquire_arc());
            all.collect::<Vec<_>>()
        })
    }

    /// Looks up the addresses of `host`: a name, or an address without brackets. Starts when the result is
    /// polled.
    pub fn lookup(&self, host: &str, port: u16, ip: IpVersion) -> Lookup {
        let families = [(IpVersion::V6, &self.v6), (IpVersion::V4, &self.v4)];
        let wanted = |family| ip == IpVersion::Any || ip == family;
        let families = families.into_iter().filter(|(family, _)| wanted(*family));
        let literal = host.parse::<IpAddr>().ok();
        let running = families.map(|(family, threads)| -> Running {
            if let Some(literal) = literal {
                let fits = literal.is_ipv4() == (family == IpVersion::V4);
                let found = fits.then(|| vec![SocketAddr::new(literal, port)]);
                return Box::pin(std::future::ready(found.ok_or(Unresolved::NoAddress)));
            }
            let (host, threads) = (host.to_owned(), threads.clone());
            Box::pin(async move {
                let guard = threads.acquire_arc().await;
                let found = offload(move || {
                    // Held by the lookup, which continues if the caller is dropped.
                    let _guard = guard;
                    Ok(addresses(&host, port, family))
                });
                found.await.unwrap_or_else(|error| {
                    // No thread could be created (pthread_create(3), EAGAIN).
                    let local_fault =
                        (error.kind() == io::ErrorKind::WouldBlock).then_some(LocalFault::Memory);
                    local_fault.inspect(|local_fault| machine::notice(*local_fault));
                    let local_fault = local_fault.or_else(|| machine::local_fault(&error));
                    Err(local_fault.map_or(Unresolved::NoAnswer, Unresolved::LocalFault))
                })
            })
        });
        Lookup {
            running: running.collect(),
        }
    }
}

type Found = Result<Vec<SocketAddr>, Unresolved>;
type Running = Pin<Box<dyn Future<Output = Found> + Send>>;

/// The lookups of one name, one per wanted address family.
pub struct Lookup {
    running: Vec<Running>,
}

impl Lookup {
    /// Returns the result of the next lookup that ends; `None` after all have ended.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Found>> {
        for at in 0..self.running.len() {
            if let Poll::Ready(found) = self.running[at].as_mut().poll(cx) {
                drop(self.running.remove(at));
                return Poll::Ready(Some(found));
            }
        }
        match self.running.is_empty() {
            true => Poll::Ready(None),
            false => Poll::Pending,
        }
    }

    /// Returns the addresses of the family that arrives first, and of the other one if it arrives within
    /// `moment` after it; preferred addresses first. [`Lookup::poll_next`] returns what arrives later.
    ///
    /// # Errors
    ///
    /// If no wanted family has any address.
    pub async fn addresses(&mut self, moment: Duration) -> Found {
        let mut why = Unresolved::NoName;
        let mut all = loop {
            match poll_fn(|cx| self.poll_next(cx)).await {
                Some(Ok(found)) => break found,
                Some(Err(error)) => why = why.max(error),
                None => return Err(why),
            }
        };
        let others = at_most(moment, poll_fn(|cx| self.poll_next(cx))).await;
        if let Some(Ok(others)) = others.flatten() {
            all.extend(others);
        }
        let ipv6 = all.iter().find(|address| address.is_ipv6());
        let prefers_ipv6 = ipv6.is_some_and(|address| prefers(*address));
        // The sort is stable: the resolver has sorted each family.
        all.sort_by_key(|address| address.is_ipv6() != prefers_ipv6);
        Ok(all)
    }
}

/// Whether this IPv6 address precedes IPv4 addresses by the rules of RFC 6724 that compare families: it is
/// reachable from a source address of its scope, and is no unique local, 6to4 or Teredo address.
fn prefers(to: SocketAddr) -> bool {
    let is_special = |address: Ipv6Addr| match address.segments() {
        [0x2002, ..] | [0x2001, 0, ..] => true,
        _ => address.is_unique_local(),
    };
    // Sends nothing: the kernel chooses route and source address.
    let from = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect(to)?;
        socket.local_addr()
    });
    let (IpAddr::V6(to), Ok(from)) = (to.ip(), from) else {
        return false;
    };
    let IpAddr::V6(from) = from.ip() else {
        return false;
    };
    let is_link_local = Ipv6Addr::is_unicast_link_local;
    !is_special(to) && !is_special(from) && is_link_local(&from) == is_link_local(&to)
}

/// Returns at least one address of `host`. Blocks as long as the resolver does.
fn addresses(host: &str, port: u16, family: IpVersion) -> Found {
    let Ok(host) = CString::new(host) else {
        return Err(Unresolved::NoName);
    };
    // SAFETY: zero is valid for all its fields.
    let mut hints: addrinfo = unsafe { MaybeUninit::zeroed().assume_init() };
    hints.ai_family = match family {
        IpVersion::Any => libc::AF_UNSPEC,
        IpVersion::V4 => libc::AF_INET,
        IpVersion::V6 => libc::AF_INET6,
    };
    // Without this each address comes once for each kind of socket.
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut list = ptr::null_mut();
    // SAFETY: a NUL-terminated host, no service, valid hints, and a place for the result.
    let code = unsafe { libc::getaddrinfo(host.as_ptr(), ptr::null(), &hints, &mut list) };
    if code != 0 {
        return Err(unresolved(code, &io::Error::last_os_error()));
    }
    let mut found = Vec::new();
    let mut next = list;
    // SAFETY: entries are valid until the list is freed; the last one's `ai_next` is null.
    while let Some(entry) = unsafe { next.as_ref() } {
        // SAFETY: an entry's address has the size of its family.
        found.extend(unsafe { machine::socket_address(entry.ai_addr, port) });
        next = entry.ai_next;
    }
    // SAFETY: getaddrinfo returned the list, and it is not used any more.
    unsafe { libc::freeaddrinfo(list) };
    match found.is_empty() {
        true => Err(Unresolved::NoAddress),
        false => Ok(found),
    }
}

/// Maps an error code of getaddrinfo.
fn unresolved(code: c_int, errno: &io::Error) -> Unresolved {
    /// Specific to glibc, and missing in `libc`.
    const EAI_ADDRFAMILY: c_int = -9;
    match code {
        libc::EAI_NONAME => Unresolved::NoName,
        libc::EAI_NODATA | EAI_ADDRFAMILY => Unresolved::NoAddress,
        libc::EAI_MEMORY => {
            machine::notice(LocalFault::Memory);
            Unresolved::LocalFault(LocalFault::Memory)
        }
        libc::EAI_SYSTEM => {
            machine::local_fault(errno).map_or(Unresolved::NoAnswer, Unresolved::LocalFault)
        }
        _ => Unresolved::NoAnswer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timer::{Timer, block_on};

    #[test]
    fn a_name_that_cannot_be_is_denied_without_a_question() {
        for family in [IpVersion::V4, IpVersion::V6] {
            assert_eq!(addresses("", 80, family), Err(Unresolved::NoName));
            assert_eq!(addresses("a\0b", 80, family), Err(Unresolved::NoName));
        }
    }

    #[test]
    fn what_no_resolver_could_tell_is_not_denied() {
        let refused = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        for code in [libc::EAI_AGAIN, libc::EAI_FAIL, libc::EAI_SYSTEM] {
            assert_eq!(unresolved(code, &refused), Unresolved::NoAnswer);
        }
    }

    #[test]
    fn what_this_machine_could_not_ask_for_is_its_own_fault() {
        let full = io::Error::from_raw_os_error(libc::EMFILE);
        for (code, local_fault) in [
            (libc::EAI_MEMORY, LocalFault::Memory),
            (libc::EAI_SYSTEM, LocalFault::Descriptors),
        ] {
            assert_eq!(unresolved(code, &full), Unresolved::LocalFault(local_fault));
        }
    }

    #[test]
    fn the_hosts_file_counts_and_the_family_is_the_wanted_one() {
        let found = |ip| {
            let mut lookup = Resolvers::new(1).lookup("localhost", 80, ip);
            block_on(lookup.addresses(Duration::from_secs(9))).expect("addresses")
        };
        let all = found(IpVersion::V4);
        assert!(
            all.iter()
                .all(|address| address.is_ipv4() && address.ip().is_loopback())
        );
        assert!(found(IpVersion::Any).len() >= all.len());
    }

    #[test]
    fn an_address_is_found_at_once_or_of_the_wrong_family() {
        let found = |host, ip| {
            let mut lookup = Resolvers::new(1).lookup(host, 80, ip);
            block_on(lookup.addresses(Duration::ZERO))
        };
        let v4 = Ok(vec![SocketAddr::from(([192, 0, 2, 1], 80))]);
        assert_eq!(found("192.0.2.1", IpVersion::Any), v4);
        assert_eq!(found("192.0.2.1", IpVersion::V4), v4);
        let none = Err(Unresolved::NoAddress);
        assert_eq!(found("192.0.2.1", IpVersion::V6), none);
        assert_eq!(found("2001:db8::1", IpVersion::V4), none);
    }

    /// Lookups that end with these results after these times.
    fn running(all: Vec<(u64, Found)>) -> Lookup {
        let run = |(millis, found)| -> Running {
            Box::pin(async move {
                Timer::after(Duration::from_millis(millis)).await;
                found
            })
        };
        Lookup {
            running: all.into_iter().map(run).collect(),
        }
    }

    #[test]
    fn what_comes_is_used_and_the_other_family_waited_for_a_moment_only() {
        let moment = Duration::from_millis(100);
        let never = 3_600_000;
        let (v4, v6) = (([192, 0, 2, 1], 80), (Ipv6Addr::LOCALHOST, 80));
        let (v4, v6) = (SocketAddr::from(v4), SocketAddr::from(v6));
        let found = |all| block_on(running(all).addresses(moment));
        for (first, second) in [(v4, v6), (v6, v4)] {
            assert_eq!(
                found(vec![(never, Ok(vec![second])), (0, Ok(vec![first]))]),
                Ok(vec![first])
            );
            let both = found(vec![(0, Ok(vec![first])), (1, Ok(vec![second]))]);
            assert_eq!(both.map(|all| all.len()), Ok(2));
            for error in [
                Unresolved::NoName,
                Unresolved::NoAddress,
                Unresolved::NoAnswer,
            ] {
                let one = found(vec![(0, Err(error)), (300, Ok(vec![second]))]);
                assert_eq!(one, Ok(vec![second]), "however long it takes");
            }
        }
        let mut late = running(vec![(0, Ok(vec![v6])), (300, Ok(vec![v4]))]);
        assert_eq!(block_on(late.addresses(moment)), Ok(vec![v6]));
        assert_eq!(
            block_on(poll_fn(|cx| late.poll_next(cx))),
            Some(Ok(vec![v4]))
        );
        assert_eq!(block_on(poll_fn(|cx| late.poll_next(cx))), None);
        use Unresolved::{NoAddress, NoAnswer, NoName};
        for (one, other, why) in [
            (NoName, NoName, NoName),
            (NoAddress, NoName, NoAddress),
            (NoAnswer, NoAddress, NoAnswer),
            (NoName, NoAnswer, NoAnswer),
        ] {
            assert_eq!(found(vec![(0, Err(one)), (1, Err(other))]), Err(why));
        }
    }

    #[test]
    fn what_cannot_be_reached_is_not_preferred() {
        let to = |text: &str| SocketAddr::new(text.parse().expect("an address"), 80);
        assert!(!prefers(to("fd00::1")) && !prefers(to("2002:c000:201::1")));
        assert!(!prefers(to("192.0.2.1")));
    }
}
