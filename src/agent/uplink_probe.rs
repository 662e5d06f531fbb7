//! A probe of the uplink: TCP connections to the `uplink` targets, and the way to Telegram.
//!
//! It takes no check permits: it is requested when checks fail, and its result may excuse them. It
//! opens at most two sockets at once.

use crate::config::Target;
use crate::http::{self, Bundle, Client, Peer, Unresolved, bare_host, handshake};
use crate::machine;
use crate::monitor::site::{IpVersion, Proxy};
use crate::monitor::uplink::ProbeResult;
use crate::timer::Timer;
use async_io::Async;
use async_lock::Semaphore;
use futures_lite::{FutureExt, future};
use rustls::CertificateError;
use smol::LocalExecutor;
use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::{Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};
use url::Url;

const SOCKETS: usize = 2;
/// Timeout of each lookup, of the attempts on a target over one IP version, and of the whole probe
/// of the way to Telegram.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Additional time for IPv6 after IPv4 connected. After that, IPv6 counts as not working.
const IPV6_GRACE: Duration = Duration::from_secs(2);
/// Maximum wait for a name's addresses of one family when those of the other have arrived.
const OTHER_FAMILY_WAIT: Duration = Duration::from_secs(1);
/// Maximum number of addresses of one family that are tried for a name.
const ADDRESSES: usize = 2;
/// Delay before a probe is repeated for which descriptors or memory were lacking.
const LOCAL_FAULT_PAUSE: Duration = Duration::from_secs(2);
/// Address whose route is looked up; nothing is sent to it (Quad9, like the usual targets).
const FAR_IPV6: Ipv6Addr = Ipv6Addr::new(0x2620, 0xfe, 0, 0, 0, 0, 0, 9);

/// Threads for lookups, kept between probes because getaddrinfo can't be cancelled. They are
/// separate from the client's, which may hang in the names of sites whose own name servers are
/// dead: that says nothing about the uplink.
#[derive(Clone)]
pub(super) struct Resolvers {
    uplink: Arc<http::Resolvers>,
    telegram: Arc<http::Resolvers>,
}

impl Resolvers {
    pub(super) fn new() -> Resolvers {
        Resolvers {
            uplink: Arc::new(http::Resolvers::new(2)),
            telegram: Arc::new(http::Resolvers::new(1)),
        }
    }
}

/// One probe of the uplink.
pub(super) struct UplinkProbe {
    pub client: Client,
    pub resolvers: Resolvers,
    pub uplink: Vec<Target>,
    /// URL of the Bot API server and its proxy, if the way to Telegram is probed too.
    pub telegram: Option<(String, Proxy)>,
}

impl UplinkProbe {
    /// Runs the probe, which takes about [`TIMEOUT`], or longer if more than two targets hang. A
    /// probe that lacked descriptors or memory says nothing and is repeated. Dropping the future
    /// ends it.
    pub(super) async fn report(&self) -> ProbeResult {
        loop {
            let began = Instant::now();
            let report = self.probe_once().await;
            let bad = !report.up || report.names == Some(false);
            if !bad || machine::lacked_since(began).is_none() {
                return report;
            }
            Timer::after(LOCAL_FAULT_PAUSE).await;
        }
    }

    async fn probe_once(&self) -> ProbeResult {
        let sockets = Semaphore::new(SOCKETS);
        let uplink = Uplink::new(&self.resolvers.uplink, &sockets);
        let ((up, ipv6), (names, trusted)) =
            future::zip(uplink.look(&self.uplink), self.way_to_telegram(&sockets)).await;
        let ipv6 = ipv6.or_else(|| (!has_ipv6_route()).then_some(false));
        ProbeResult {
            up,
            ipv6,
            names,
            trusted,
        }
    }

    /// Returns whether the server's name resolves, and whether it shows its own certificate.
    async fn way_to_telegram(&self, sockets: &Semaphore) -> (Option<bool>, Option<bool>) {
        let Some((api, proxy)) = &self.telegram else {
            return (None, None);
        };
        let Some(url) = far_name(api) else {
            return (None, None);
        };
        if self.client.is_proxied(&url, proxy) {
            // The proxy resolves the server's name.
            return (None, None);
        }
        // Stays false if the lookup doesn't end in time.
        let resolved = Cell::new(false);
        let probe = async {
            let (host, port) = (bare_host(&url)?, url.port_or_known_default()?);
            let addresses = resolve(&self.resolvers.telegram, &host, port).await;
            let addresses = addresses.unwrap_or_default();
            resolved.set(!addresses.is_empty());
            if url.scheme() != "https" {
                return None;
            }
            let bundle = self.client.bundle(None).await.ok()?;
            self.certificate(&addresses, &host, &bundle, sockets).await
        };
        let trusted = probe.or(late(None)).await;
        (Some(resolved.get()), trusted)
    }

    async fn certificate(
        &self,
        addresses: &[SocketAddr],
        host: &str,
        bundle: &Bundle,
        sockets: &Semaphore,
    ) -> Option<bool> {
        // IPv4 first, because IPv6 is more often broken.
        let (first, second): (Vec<_>, Vec<_>) = addresses.iter().partition(|a| a.is_ipv4());
        for &address in first.into_iter().chain(second).take(ADDRESSES) {
            let _socket = sockets.acquire().await;
            if let Ok(peer) = handshake(address, host, bundle).await {
                return own_certificate(&peer);
            }
        }
        None
    }
}

/// Returns the URL `api` if its host is a name other than loopback's.
fn far_name(api: &str) -> Option<Url> {
    let url = Url::parse(api).ok()?;
    let name = url.domain()?;
    let local = name == "localhost" || name.ends_with(".localhost");
    (!local).then_some(url)
}

/// Returns `Some(false)` for another server's certificate. A certificate that only expired says
/// nothing about the uplink.
fn own_certificate(peer: &Peer) -> Option<bool> {
    use CertificateError as E;
    match &peer.trust {
        Ok(_) => Some(true),
        Err(E::UnknownIssuer | E::NotValidForName | E::NotValidForNameContext { .. }) => {
            Some(false)
        }
        Err(
            E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. },
        ) => None,
        Err(_) => peer.is_self_signed().then_some(false),
    }
}

/// The targets of a probe, which are all tried at once.
struct Uplink<'a> {
    resolvers: &'a http::Resolvers,
    sockets: &'a Semaphore,
    ipv4: Family,
    ipv6: Family,
}

/// Attempts over one IP version.
#[derive(Default)]
struct Family {
    connected: Cell<bool>,
    failed: Cell<bool>,
    under_way: Cell<usize>,
}

impl<'a> Uplink<'a> {
    fn new(resolvers: &'a http::Resolvers, sockets: &'a Semaphore) -> Uplink<'a> {
        Uplink {
            resolvers,
            sockets,
            ipv4: Family::default(),
            ipv6: Family::default(),
        }
    }

    /// Returns whether a target accepted a connection, and whether IPv6 works, if that is known.
    async fn look(&self, targets: &[Target]) -> (bool, Option<bool>) {
        let (ended, ends) = async_channel::unbounded::<()>();
        let executor = LocalExecutor::new();
        // IPv6 comes last: where it is broken, its attempts would occupy both sockets for a while.
        let is_ipv6 = |target: &&Target| target.host.parse::<Ipv6Addr>().is_ok();
        let (ipv6, others): (Vec<_>, Vec<_>) = targets.iter().partition(is_ipv6);
        for target in others.into_iter().chain(ipv6) {
            let reach = self.reach(target, ended.clone()).boxed_local();
            executor.spawn(reach).detach();
        }
        drop(ended);
        let settle = async {
            // The channel is closed when all attempts have ended.
            while ends.recv().await.is_ok() {
                if self.ipv6.connected.get() {
                    return;
                }
                if self.ipv4.connected.get() {
                    break;
                }
            }
            let rest = async {
                while self.ipv6.under_way.get() > 0
                    && !self.ipv6.connected.get()
                    && ends.recv().await.is_ok()
                {}
            };
            let enough = async {
                Timer::after(IPV6_GRACE).await;
                let still = self.ipv6.under_way.get() > 0;
                self.ipv6.failed.set(self.ipv6.failed.get() || still);
            };
            rest.or(enough).await;
        };
        executor.run(settle).await;
        let (v4, v6) = (self.ipv4.connected.get(), self.ipv6.connected.get());
        let ipv6 = match v6 {
            true => Some(true),
            false => (v4 && self.ipv6.failed.get()).then_some(false),
        };
        (v4 || v6, ipv6)
    }

    async fn reach(&self, target: &Target, ended: async_channel::Sender<()>) {
        let resolve = resolve(self.resolvers, &target.host, target.port);
        let addresses = resolve.or(late(Err(Unresolved::NoAnswer))).await;
        let addresses = addresses.unwrap_or_default();
        let (ipv4, ipv6): (Vec<_>, Vec<_>) = addresses.into_iter().partition(SocketAddr::is_ipv4);
        future::zip(
            self.connect(&ipv4, &self.ipv4, &ended),
            self.connect(&ipv6, &self.ipv6, &ended),
        )
        .await;
    }

    async fn connect(
        &self,
        addresses: &[SocketAddr],
        family: &Family,
        ended: &async_channel::Sender<()>,
    ) {
        if addresses.is_empty() {
            return;
        }
        family.under_way.set(family.under_way.get() + 1);
        let _socket = self.sockets.acquire().await;
        let try_all = async {
            for &address in addresses.iter().take(ADDRESSES) {
                match Async::<TcpStream>::connect(address).await {
                    Ok(_) => return true,
                    Err(error) => {
                        machine::local_fault(&error);
                        log::debug!("uplink {address}: {error}");
                    }
                }
            }
            false
        };
        match try_all.or(late(false)).await {
            true => family.connected.set(true),
            false => family.failed.set(true),
        }
        family.under_way.set(family.under_way.get() - 1);
        let _ = ended.try_send(());
    }
}

/// Resolves `host`, a name or an IP address without brackets.
async fn resolve(
    resolvers: &http::Resolvers,
    host: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, Unresolved> {
    let mut lookup = resolvers.lookup(host, port, IpVersion::Any);
    lookup.addresses(OTHER_FAMILY_WAIT).await
}

async fn late<T>(instead: T) -> T {
    Timer::after(TIMEOUT).await;
    instead
}

/// Returns whether there is an IPv6 route. Connecting a UDP socket looks it up and sends nothing.
fn has_ipv6_route() -> bool {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0));
    let way = socket.and_then(|socket| socket.connect((FAR_IPV6, 443)));
    !matches!(way, Err(error) if is_no_route(&error))
}

fn is_no_route(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable | ErrorKind::HostUnreachable
    ) || error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

#[cfg(test)]
#[path = "uplink_probe_tests.rs"]
mod tests;
