//! A TCP listener with a thread for each connection, which counts them and can be closed and
//! opened again on the same port.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long any wait of a test may take before it fails. Generous, since the machine may be busy.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Polls until `done` returns true.
#[track_caller]
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let give_up = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < give_up, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub type Serve = dyn Fn(&TcpStream, &Connection) + Send + Sync;

pub struct Listener {
    /// The address that clients connect to.
    address: SocketAddr,
    bound: SocketAddr,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Listener {
    /// Listens on 127.0.0.1 and calls `serve` on a new thread for each connection, which is closed
    /// when `serve` returns.
    pub fn start(serve: impl Fn(&TcpStream, &Connection) + Send + Sync + 'static) -> Listener {
        let socket = bind_to_lasting_port(Ipv4Addr::LOCALHOST);
        let address = socket.local_addr().expect("a bound socket has an address");
        Listener::on(socket, address, serve)
    }

    /// Listens for clients that connect to `ip`, on `port` or on a port of its own. Bound to all
    /// addresses, so that it survives the removal of `ip`.
    pub fn start_at(
        ip: Ipv4Addr,
        port: Option<u16>,
        serve: impl Fn(&TcpStream, &Connection) + Send + Sync + 'static,
    ) -> Listener {
        let socket = match port {
            Some(port) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).expect("a free port"),
            None => bind_to_lasting_port(Ipv4Addr::UNSPECIFIED),
        };
        let bound = socket.local_addr().expect("a bound socket has an address");
        Listener::on(socket, (ip, bound.port()).into(), serve)
    }

    fn on(
        socket: TcpListener,
        address: SocketAddr,
        serve: impl Fn(&TcpStream, &Connection) + Send + Sync + 'static,
    ) -> Listener {
        let listener = Listener {
            address,
            bound: socket.local_addr().expect("a bound socket has an address"),
            shared: Arc::new(Shared {
                serve: Box::new(serve),
                closing: AtomicBool::new(false),
                counts: Mutex::default(),
                changed: Condvar::new(),
            }),
            thread: Mutex::new(None),
        };
        listener.accept_on(socket);
        listener
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Refuses connections from now on and cuts those that are open.
    pub fn close(&self) {
        let Some(thread) = locked(&self.thread).take() else {
            return;
        };
        self.shared.closing.store(true, SeqCst);
        // accept() cannot be interrupted: a connection wakes it. Should that fail, the backlog is
        // full and accept() returns anyway.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.bound.port()));
        let _ = thread.join();
        for connection in locked(&self.shared.counts).open.values() {
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
    }

    /// Listens again after [`Listener::close`], on the same port.
    #[track_caller]
    pub fn open_again(&self) {
        if locked(&self.thread).is_some() {
            return;
        }
        let give_up = Instant::now() + LIMIT;
        loop {
            match TcpListener::bind(self.bound) {
                Ok(socket) => {
                    self.shared.closing.store(false, SeqCst);
                    return self.accept_on(socket);
                }
                Err(e) if Instant::now() > give_up => panic!("cannot bind again: {e}"),
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Cuts the connections that are open. New ones are accepted.
    pub fn cut_all(&self) {
        for connection in locked(&self.shared.counts).open.values() {
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
    }

    /// Locks the counters.
    pub fn counts(&self) -> MutexGuard<'_, Counts> {
        locked(&self.shared.counts)
    }

    /// Waits until the counters satisfy `wanted`; panics after [`LIMIT`].
    #[track_caller]
    pub fn wait(&self, what: &str, wanted: impl Fn(&Counts) -> bool) {
        let (counts, timeout) = self
            .shared
            .changed
            .wait_timeout_while(self.counts(), LIMIT, |counts| !wanted(counts))
            .unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            let report = counts.report();
            drop(counts);
            panic!("waited in vain for {what}: {report}");
        }
    }

    fn accept_on(&self, socket: TcpListener) {
        let shared = Arc::clone(&self.shared);
        *locked(&self.thread) = Some(thread::spawn(move || accept_all(&socket, &shared)));
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}

struct Shared {
    serve: Box<Serve>,
    closing: AtomicBool,
    counts: Mutex<Counts>,
    changed: Condvar,
}

/// The connections as the server sees them.
#[derive(Default)]
pub struct Counts {
    open: HashMap<u64, Open>,
    /// Connections accepted since the start.
    pub accepted: u64,
    pub max_open: usize,
    /// Requests of which at least one byte arrived.
    pub requests: usize,
}

impl Counts {
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Counts the connections with no request in progress.
    pub fn idle(&self) -> usize {
        self.open.values().filter(|c| !c.busy).count()
    }

    fn report(&self) -> String {
        format!(
            "{} requests, {} connections open ({} idle), at most {}, accepted {}",
            self.requests,
            self.open(),
            self.idle(),
            self.max_open,
            self.accepted
        )
    }
}

struct Open {
    stream: TcpStream,
    busy: bool,
}

/// One connection's entry in the counters, removed when this value is dropped.
pub struct Connection {
    id: u64,
    shared: Arc<Shared>,
}

impl Connection {
    fn new(stream: &TcpStream, shared: &Arc<Shared>) -> io::Result<Connection> {
        let stream = stream.try_clone()?;
        let mut counts = locked(&shared.counts);
        counts.accepted += 1;
        let id = counts.accepted;
        let busy = false;
        counts.open.insert(id, Open { stream, busy });
        counts.max_open = counts.max_open.max(counts.open.len());
        shared.changed.notify_all();
        Ok(Connection {
            id,
            shared: Arc::clone(shared),
        })
    }

    /// Counts the beginning of a request.
    pub fn begin(&self) {
        locked(&self.shared.counts).requests += 1;
        self.set_busy(true);
    }

    /// Marks the request as answered, and the connection as idle.
    pub fn end(&self) {
        self.set_busy(false);
    }

    fn set_busy(&self, busy: bool) {
        if let Some(open) = locked(&self.shared.counts).open.get_mut(&self.id) {
            open.busy = busy;
        }
        self.shared.changed.notify_all();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(open) = locked(&self.shared.counts).open.remove(&self.id) {
            let _ = open.stream.shutdown(Shutdown::Both);
        }
        self.shared.changed.notify_all();
    }
}

/// Takes a poisoned lock, too: the panic of one thread must not hide the message of the test.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept_all(socket: &TcpListener, shared: &Arc<Shared>) {
    for stream in socket.incoming() {
        if shared.closing.load(SeqCst) {
            // A process that another test starts has a copy of the socket until it executes its
            // program, which would go on listening.
            let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Both);
            return;
        }
        let Ok(stream) = stream else { continue };
        let Ok(connection) = Connection::new(&stream, shared) else {
            continue;
        };
        thread::spawn(move || {
            let _ = stream.set_nodelay(true);
            (connection.shared.serve)(&stream, &connection);
        });
    }
}

/// Binds to a port below the range of the kernel's ephemeral ports: while the listener is closed,
/// no outgoing connection can take the port, nor connect to itself.
fn bind_to_lasting_port(ip: Ipv4Addr) -> TcpListener {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id().wrapping_mul(61) as u16;
    for _ in 0..1000 {
        let offset = start.wrapping_add(NEXT.fetch_add(1, SeqCst)) % 12_000;
        if let Ok(socket) = TcpListener::bind((ip, 20_000 + offset)) {
            return socket;
        }
    }
    TcpListener::bind((ip, 0)).expect("a port")
}
