//! The only HTTP client of the process. Permits limit the number of checks, so that no transfer waits
//! within libcurl, where its timeout would run, and Telegram always has a connection.

mod body_permits;
mod bot_api_transport;
mod handshake;
mod idle_connections;
mod provider;
mod proxy;
mod quirks;
mod resolver;
mod root_file;
mod roots;
mod route_failure;
mod tls_stream;
mod transfer;
mod transfer_error;
mod trust;
mod tunnel;

pub use body_permits::BodyPermit;
pub use bot_api_transport::{Answer, CallError, CallOptions};
pub use handshake::{
    Bundle, ClientCertificateWanted, Peer, Refusal, Secured, Way, chain, handshake, secure, signs,
};
pub use isahc::http::HeaderValue;
pub use resolver::{Lookup, Resolvers, Unresolved};
pub use tls_stream::Session;
pub use transfer::{GRACE, TransferRequest};
pub use transfer_error::{TransferError, TransferErrorKind, within};
pub use trust::Trust;

use crate::lock::lock;
use crate::monitor::site::{IpVersion, Proxy};
use crate::offload::offload;
use crate::timer::Timer;
use async_io::Async;
use async_lock::{Semaphore, SemaphoreGuardArc};
use isahc::config::{Configurable, RedirectPolicy};
use isahc::net::dns::DnsCache;
use isahc::{AsyncBody, HttpClient};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};
use url::Url;

/// Connections reserved for Telegram: one for the long poll and two for sending, so that a stalled upload
/// does not delay a reply.
const FOR_TELEGRAM: usize = 3;
/// Lookup threads per address family. As many as libcurl has, so that a few names whose servers are dead
/// do not delay the others.
const RESOLVERS: usize = 20;

/// Limits of the client.
pub struct Limits {
    /// Maximum number of HTTP connections of checks and Telegram, including idle ones; at least 4.
    pub max_connections: usize,
    /// Maximum number of idle connections; 0 = none.
    pub idle_connections: usize,
    /// Whole seconds after which an idle connection is not reused. It is closed within two minutes.
    pub idle_timeout: Duration,
    pub user_agent: String,
    /// Trusted roots in place of the system's.
    pub ca_file: Option<PathBuf>,
}

#[cfg(test)]
impl Limits {
    pub fn of_tests() -> Limits {
        Limits {
            max_connections: 4,
            idle_connections: 1,
            idle_timeout: Duration::from_secs(1),
            user_agent: "test".to_owned(),
            ca_file: None,
        }
    }
}

/// Cheap to clone; all clones are the same client. Uses the proxies of the environment (`http_proxy` etc.,
/// as libcurl reads them), and logs that it does.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    isahc: Engine,
    idle_timeout: Duration,
    user_agent: Mutex<String>,
    permits: Arc<Semaphore>,
    check_permits: usize,
    lag: Mutex<Duration>,
    resolvers: Resolvers,
    body_permits: Arc<body_permits::BodyPermits>,
    roots: roots::Roots,
    /// The complete bundle that was read last. Large: only one at a time, and shared while in use.
    bundle: Arc<async_lock::Mutex<Option<InUse>>>,
    /// One at a time: its socket comes in addition to the client's.
    learning: Semaphore,
    proxies: proxy::Proxies,
    idle: Arc<IdleBook>,
    /// Addresses of open plain HTTP connections by authority: see `Client::apart`.
    open: Mutex<HashMap<String, (SocketAddr, Instant)>>,
}

/// libcurl. Dropping it waits for pending lookups, and getaddrinfo cannot be cancelled: so it is dropped
/// on another thread.
struct Engine(Option<HttpClient>);

impl Engine {
    fn get(&self) -> &HttpClient {
        match &self.0 {
            Some(isahc) => isahc,
            None => unreachable!("it is there until it is dropped"),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let isahc = self.0.take();
        let drop = move || drop(isahc);
        // If there is no thread, the client is dropped here.
        let _ = std::thread::Builder::new().spawn(drop);
    }
}

/// A complete bundle while it is in use.
struct InUse {
    file: PathBuf,
    /// The file's version before it was read.
    stamp: Option<root_file::Stamp>,
    bundle: Weak<Bundle>,
}

/// The permit for one check's connection. Shared by the check and its transfers, and released when the
/// last of them is dropped.
#[derive(Clone)]
pub struct Permit {
    _guard: Arc<SemaphoreGuardArc>,
}

impl Client {
    /// To be called once per process.
    pub fn new(limits: &Limits) -> Result<Client, String> {
        provider::install();
        let isahc = HttpClient::builder()
            .max_connections(limits.max_connections)
            .connection_cache_size(limits.idle_connections)
            .connection_cache_ttl(limits.idle_timeout)
            // A cached address would count as a resolved name: DNS is part of what a check checks.
            .dns_cache(DnsCache::Disable)
            .redirect_policy(RedirectPolicy::None)
            // libcurl decompresses whole buffers, up to five codings deep, and buffers the excess output: a few
            // hundred bytes could take all memory of a router.
            .automatic_decompression(false)
            .build()
            .map_err(|error| format!("cannot start the HTTP client: {error}"))?;
        let check_permits = limits.max_connections.saturating_sub(FOR_TELEGRAM).max(1);
        Ok(Client {
            shared: Arc::new(Shared {
                isahc: Engine(Some(isahc)),
                idle_timeout: limits.idle_timeout,
                user_agent: Mutex::new(limits.user_agent.clone()),
                permits: Arc::new(Semaphore::new(check_permits)),
                check_permits,
                lag: Mutex::default(),
                resolvers: Resolvers::new(RESOLVERS),
                body_permits: Arc::new(body_permits::BodyPermits::new()),
                roots: roots::Roots::new(limits.ca_file.clone()),
                bundle: Arc::default(),
                learning: Semaphore::new(1),
                proxies: proxy::Proxies::new(|name| std::env::var(name).ok()),
                idle: Arc::new(IdleBook::new()),
                open: Mutex::default(),
            }),
        })
    }

    /// Sets the user agent and trusted roots of the following requests. The limits cannot be changed.
    pub fn reconfigure(&self, user_agent: String, ca_file: Option<PathBuf>) {
        *lock(&self.shared.user_agent) = user_agent;
        self.shared.roots.reconfigure(ca_file);
        self.shared.body_permits.reconfigure();
    }

    /// Number of concurrent checks: `max_connections` minus three, at least 1.
    pub fn check_permits(&self) -> usize {
        self.shared.check_permits
    }

    /// Waits without a limit. Every check acquires one before its timeout starts.
    pub async fn check_permit(&self) -> Permit {
        Permit {
            _guard: Arc::new(self.shared.permits.acquire_arc().await),
        }
    }

    /// Acquires the permit to buffer a body of `site`, up to 1 MiB. Waits without a limit. The holder must not
    /// wait for another one.
    pub async fn body_permit(&self, site: &str) -> BodyPermit {
        self.shared.body_permits.acquire(site).await
    }

    #[cfg(test)]
    pub(crate) fn body_permits_free(&self) -> usize {
        self.shared.body_permits.free()
    }

    pub fn permits_in_use(&self) -> usize {
        self.shared
            .check_permits
            .saturating_sub(self.shared.permits.available_permits())
    }

    /// How long the last transfer waited for libcurl's thread and for ours.
    pub fn note_lag(&self, lag: Duration) {
        *lock(&self.shared.lag) = lag;
    }

    /// The lag that was noted last, once.
    pub fn take_lag(&self) -> Duration {
        std::mem::take(&mut lock(&self.shared.lag))
    }

    /// Connections that have been idle for longer are not reused.
    pub fn idle_timeout(&self) -> Duration {
        self.shared.idle_timeout
    }

    /// A request for `url` uses a proxy, the environment's or the given one.
    pub fn is_proxied(&self, url: &Url, proxy: &Proxy) -> bool {
        match proxy {
            Proxy::Environment => self.shared.proxies.apply_to(url),
            Proxy::None => false,
            Proxy::Server(_) => true,
        }
    }

    /// Closes connections that have been idle for two minutes while there are no transfers (see
    /// `idle_connections.rs`). Never returns.
    pub async fn tidy(&self) {
        let book = &self.shared.idle;
        loop {
            let Some(due) = book.lock().due() else {
                // Never closed: the sender is in `book`.
                let _ = book.woken.recv().await;
                continue;
            };
            Timer::at(book.start + due).await;
            let stands = book.lock().due().is_some_and(|due| due <= book.now());
            if stands {
                self.nudge().await;
            }
        }
    }

    /// Runs a dummy transfer without network: its socket does not exist. libcurl looks for idle connections
    /// before it notices that.
    async fn nudge(&self) {
        self.shared.idle.started();
        let request = isahc::Request::get("http://localhost/")
            .dial(isahc::net::Dialer::unix_socket("/nonexistent/sitemon"))
            .proxy(None)
            .timeout(Duration::from_secs(1))
            .body(AsyncBody::empty());
        if let Ok(request) = request {
            let _ = self.shared.isahc.get().send_async(request).await;
        }
    }

    /// Looks up the addresses of `host` (a name, or an IP address without brackets) in the wanted family, or
    /// in both.
    pub fn lookup(&self, host: &str, port: u16, ip: IpVersion) -> Lookup {
        self.shared.resolvers.lookup(host, port, ip)
    }

    /// Returns the parsed roots for a site with this `ca_file`, or a cause.
    pub async fn bundle(&self, ca_file: Option<&Path>) -> Result<Arc<Bundle>, String> {
        let file = self.shared.roots.bundle(ca_file)?;
        self.shared.roots.refresh(&file).await?;
        self.read_bundle(&file).await
    }

    /// Reads a file whose version is known, unless a bundle of this version is still in use.
    async fn read_bundle(&self, path: &Path) -> Result<Arc<Bundle>, String> {
        let mut last = self.shared.bundle.clone().lock_arc().await;
        let stamp = self.shared.roots.stamp(path);
        let fits = |last: &&InUse| last.file == path && stamp.is_some() && last.stamp == stamp;
        if let Some(bundle) = last.as_ref().filter(fits).and_then(|l| l.bundle.upgrade()) {
            return Ok(bundle);
        }
        let file = path.to_owned();
        let bundle = offload(move || {
            let bundle = Arc::new(Bundle::read(&file)?);
            // Held by the reading task, which continues if the caller is dropped.
            *last = Some(InUse {
                file,
                stamp,
                bundle: Arc::downgrade(&bundle),
            });
            Ok(bundle)
        });
        match bundle.await {
            Ok(bundle) if !bundle.is_empty() => Ok(bundle),
            Ok(_) => Err(self.shared.roots.defect(path, None)),
            Err(error) => Err(self.shared.roots.defect(path, Some(&error))),
        }
    }

    /// To be called after every https response of a verified server: learns the host's root in a handshake of
    /// its own if that pays (see `roots.rs`). Has no timeout.
    pub async fn learn(&self, url: &Url, ca_file: Option<&Path>, address: SocketAddr) {
        let roots = &self.shared.roots;
        let (Some(host), Ok(path)) = (bare_host(url), roots.bundle(ca_file)) else {
            return;
        };
        let name = authority(url);
        let Some(_alone) = self.shared.learning.try_acquire() else {
            return;
        };
        if self.is_proxied(url, &Proxy::Environment) || !roots.verified(&path, &name) {
            return;
        }
        // Only fetches the chain. The next transfer verifies the host with the learnt root.
        let root = async {
            let socket = Async::<TcpStream>::connect(address).await.ok()?;
            self.root_of(&path, &chain(socket, &host).await.ok()?).await
        };
        let root = root.await;
        let not = if root.is_some() { "" } else { "not " };
        log::debug!("{host}: root certificate {not}learnt");
        roots.learn(&path, &name, root.as_deref());
    }

    #[cfg(test)]
    pub(crate) fn has_learnt_root(&self, url: &str) -> bool {
        let url = Url::parse(url).expect("a URL");
        let bundle = self.shared.roots.bundle(None).expect("a bundle");
        self.shared
            .roots
            .learnt(&bundle, &authority(&url))
            .is_some()
    }

    /// Returns the address of a plain HTTP connection to `url`'s host and port that may be open: the origin of
    /// the last response, as long as its connection may be reused.
    fn open_at(&self, url: &Url) -> Option<SocketAddr> {
        let open = lock(&self.shared.open);
        let &(address, since) = open.get(&authority(url))?;
        (since.elapsed() <= self.shared.idle_timeout + Duration::from_secs(1)).then_some(address)
    }

    fn note_open(&self, url: &Url, address: SocketAddr) {
        const MANY: usize = 256;
        let mut open = lock(&self.shared.open);
        if open.len() >= MANY {
            let limit = self.shared.idle_timeout + Duration::from_secs(1);
            open.retain(|_, (_, since)| since.elapsed() <= limit);
        }
        open.insert(authority(url), (address, Instant::now()));
    }
}

/// Returns `host:port`.
fn authority(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or(0);
    name(&bare_host(url).unwrap_or_default(), port)
}

fn name(host: &str, port: u16) -> String {
    format!("{host}:{port}")
}

/// Returns the host as resolvers and certificates name it: an IPv6 address without brackets.
pub fn bare_host(url: &Url) -> Option<String> {
    Some(match url.host()? {
        url::Host::Ipv6(address) => address.to_string(),
        _ => url.host_str()?.to_owned(),
    })
}

/// Returns the IP address in `url`, if its host is one.
pub fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        url::Host::Domain(_) => None,
        url::Host::Ipv4(address) => Some(address.into()),
        url::Host::Ipv6(address) => Some(address.into()),
    }
}

/// [`idle_connections::Idle`] with this process's clock, shared with the transfers.
struct IdleBook {
    start: Instant,
    idle: Mutex<idle_connections::Idle>,
    wake: async_channel::Sender<()>,
    woken: async_channel::Receiver<()>,
}

impl IdleBook {
    fn new() -> IdleBook {
        let (wake, woken) = async_channel::bounded(1);
        IdleBook {
            start: Instant::now(),
            idle: Mutex::default(),
            wake,
            woken,
        }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn started(&self) {
        let now = self.now();
        self.lock().started(now);
    }

    fn ended(&self) {
        let now = self.now();
        if self.lock().ended(now) {
            // If the channel is full, a wake-up is pending already.
            let _ = self.wake.try_send(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, idle_connections::Idle> {
        lock(&self.idle)
    }
}
