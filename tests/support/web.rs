//! Test sites: an HTTP or HTTPS server on loopback whose answers and faults are set per path, and
//! which counts its connections.

use super::http::{Request, Wire, answer, head};
use super::listener::{Connection, Listener, Serve, locked};
use super::tls::Certificate;
use super::web_bodies::{self, Body};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What a path does with a request.
#[derive(Clone, Debug)]
pub enum Behaviour {
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// 302 to this URL, of any scheme.
    Redirect(String),
    /// Reads the request and never answers.
    Hang,
    /// Waits, then does the inner behaviour.
    Delay(Duration, Box<Behaviour>),
    /// Closes without an answer.
    Close,
    /// These bytes instead of HTTP, then closes.
    Garbage(Vec<u8>),
    /// Status 200, then endlessly one byte of the body at a time, in this interval.
    Drip(Duration),
    /// The first bytes instead of HTTP, then the second ones endlessly; if those are empty,
    /// silence.
    Flood(Vec<u8>, Vec<u8>),
    /// Status 200 and a body of that many bytes.
    Big(u64),
    /// Announces this many bytes more than it sends, then closes.
    Short(u64),
    /// A gzip body of this many zero bytes after decompression (compressed about 158 to 1).
    GzipBomb(u64),
    /// This many header lines before a good answer.
    ManyHeaders(u64),
}

impl Behaviour {
    /// 200 with a small body.
    pub fn ok() -> Behaviour {
        Behaviour::body("hello")
    }

    /// 200 with this body.
    pub fn body(body: &str) -> Behaviour {
        Behaviour::Answer {
            status: 200,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// This status, with a small body where the status allows one.
    pub fn status(status: u16) -> Behaviour {
        let bodiless = matches!(status, 100..=199 | 204 | 304);
        let body = if bodiless { "" } else { "status" };
        Behaviour::Answer {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// Adds a header to an answer.
    pub fn with_header(mut self, name: &str, value: &str) -> Behaviour {
        if let Behaviour::Answer { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Waits before this behaviour.
    pub fn after(self, delay: Duration) -> Behaviour {
        Behaviour::Delay(delay, Box::new(self))
    }
}

type Handler = dyn Fn(&Request) -> Behaviour + Send + Sync;

pub struct Web {
    listener: Listener,
    site: Arc<Site>,
}

struct Site {
    handler: Box<Handler>,
    state: Mutex<SiteState>,
}

struct SiteState {
    paths: HashMap<String, Behaviour>,
    /// `None`: plain HTTP.
    tls: Option<Arc<ServerConfig>>,
    seen: VecDeque<Request>,
}

const REMEMBERED_REQUESTS: usize = 100;

impl Web {
    /// Starts a plain HTTP server on which every path answers 200 until [`Web::set`] changes it.
    pub fn new() -> Web {
        Web::start(|_| Behaviour::ok())
    }

    /// Starts a plain HTTP server on which `handler` decides about paths that were not set.
    pub fn start(handler: impl Fn(&Request) -> Behaviour + Send + Sync + 'static) -> Web {
        Web::launch(Box::new(handler), None, Listener::start)
    }

    /// As [`Web::new`], for clients that connect to `ip`, an address of this machine.
    pub fn at(ip: Ipv4Addr) -> Web {
        Web::launch(Box::new(|_| Behaviour::ok()), None, |serve| {
            Listener::start_at(ip, None, serve)
        })
    }

    /// Starts a server, with TLS if there is a certificate, for clients that connect to `ip` on
    /// `port`. `handler` decides about its requests.
    pub fn at_port(
        ip: Ipv4Addr,
        port: u16,
        certificate: Option<&Certificate>,
        handler: impl Fn(&Request) -> Behaviour + Send + Sync + 'static,
    ) -> Web {
        let tls = certificate.map(Certificate::server_config);
        Web::launch(Box::new(handler), tls, |serve| {
            Listener::start_at(ip, Some(port), serve)
        })
    }

    /// As [`Web::new`], with TLS.
    pub fn tls(certificate: &Certificate) -> Web {
        let config = certificate.server_config();
        Web::launch(Box::new(|_| Behaviour::ok()), Some(config), Listener::start)
    }

    /// Sets the behaviour of a path while building.
    pub fn on(self, path: &str, behaviour: Behaviour) -> Web {
        self.set(path, behaviour);
        self
    }

    /// Sets the behaviour of `path` (without query) from the next request on.
    pub fn set(&self, path: &str, behaviour: Behaviour) {
        let mut state = locked(&self.site.state);
        state.paths.insert(path.to_owned(), behaviour);
    }

    /// Uses another certificate from the next connection on.
    pub fn set_certificate(&self, certificate: &Certificate) {
        locked(&self.site.state).tls = Some(certificate.server_config());
    }

    pub fn url(&self, path: &str) -> String {
        let tls = locked(&self.site.state).tls.is_some();
        let scheme = if tls { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.listener.address())
    }

    /// Returns `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.listener.address().to_string()
    }

    /// Returns the last requests, at most 100, the oldest first.
    pub fn seen(&self) -> Vec<Request> {
        locked(&self.site.state).seen.iter().cloned().collect()
    }

    /// Counts the requests since the start.
    pub fn requests(&self) -> usize {
        self.listener.counts().requests
    }

    /// Counts the open connections.
    pub fn open(&self) -> usize {
        self.listener.counts().open()
    }

    /// Returns the most connections that were open at once.
    pub fn max_open(&self) -> usize {
        self.listener.counts().max_open
    }

    /// Counts the connections since the start.
    pub fn accepted(&self) -> u64 {
        self.listener.counts().accepted
    }

    /// Counts the open connections with no request in progress.
    pub fn idle_open(&self) -> usize {
        self.listener.counts().idle()
    }

    /// Waits for at least `n` requests since the start.
    #[track_caller]
    pub fn wait_requests(&self, n: usize) {
        self.listener
            .wait(&format!("{n} requests"), |counts| counts.requests >= n);
    }

    /// Waits until exactly `n` connections are open.
    #[track_caller]
    pub fn wait_open(&self, n: usize) {
        self.listener
            .wait(&format!("{n} open connections"), |counts| {
                counts.open() == n
            });
    }

    /// Refuses connections and cuts those that are open.
    pub fn stop(&self) {
        self.listener.close();
    }

    /// Listens again, on the same port.
    #[track_caller]
    pub fn start_again(&self) {
        self.listener.open_again();
    }

    /// Cuts the open connections, as a restarting server does.
    pub fn cut_all(&self) {
        self.listener.cut_all();
    }

    fn launch(
        handler: Box<Handler>,
        tls: Option<Arc<ServerConfig>>,
        listen: impl FnOnce(Box<Serve>) -> Listener,
    ) -> Web {
        let site = Arc::new(Site {
            handler,
            state: Mutex::new(SiteState {
                paths: HashMap::new(),
                tls,
                seen: VecDeque::new(),
            }),
        });
        let for_threads = Arc::clone(&site);
        let listener = listen(Box::new(move |stream, connection| {
            // Errors are caused by the client; the counters show them.
            let _ = for_threads.serve_connection(stream, connection);
        }));
        Web { listener, site }
    }
}

impl Site {
    fn serve_connection(&self, stream: &TcpStream, connection: &Connection) -> io::Result<()> {
        let tls = locked(&self.state).tls.clone();
        match tls {
            None => self.serve(Wire::new(stream), stream, connection),
            Some(config) => {
                let session = ServerConnection::new(config).map_err(io::Error::other)?;
                let mut encrypted = StreamOwned::new(session, stream);
                let served = self.serve(Wire::new(&mut encrypted), stream, connection);
                encrypted.conn.send_close_notify();
                let _ = encrypted.flush();
                served
            }
        }
    }

    fn serve<S: Read + Write>(
        &self,
        mut wire: Wire<S>,
        stream: &TcpStream,
        connection: &Connection,
    ) -> io::Result<()> {
        while wire.has_more() {
            connection.begin();
            let request = wire.read_request()?;
            let behaviour = self.choose(&request);
            let keep_alive = !request.wants_close();
            let mut exchange = Exchange {
                wire: &mut wire,
                stream,
                keep_alive,
                without_body: request.method == "HEAD",
            };
            let reusable = exchange.act(&behaviour)?;
            if !(reusable && keep_alive) {
                return Ok(());
            }
            connection.end();
        }
        Ok(())
    }

    fn choose(&self, request: &Request) -> Behaviour {
        let mut state = locked(&self.state);
        state.seen.push_back(request.clone());
        if state.seen.len() > REMEMBERED_REQUESTS {
            state.seen.pop_front();
        }
        let set = state.paths.get(request.path()).cloned();
        drop(state);
        set.unwrap_or_else(|| (self.handler)(request))
    }
}

/// One request that is being answered.
struct Exchange<'a, S> {
    wire: &'a mut Wire<S>,
    stream: &'a TcpStream,
    keep_alive: bool,
    without_body: bool,
}

impl<S: Read + Write> Exchange<'_, S> {
    /// Answers the request, and returns whether the connection can be used again.
    fn act(&mut self, behaviour: &Behaviour) -> io::Result<bool> {
        match behaviour {
            Behaviour::Answer {
                status,
                headers,
                body,
            } => self.answer(*status, headers, body),
            Behaviour::Redirect(to) => {
                self.answer(302, &[("Location".to_owned(), to.clone())], b"")
            }
            Behaviour::Delay(delay, then) => {
                self.linger(Some(*delay))?;
                self.act(then)
            }
            Behaviour::Hang => self.linger(None).map(|()| false),
            Behaviour::Close => Ok(false),
            Behaviour::Garbage(bytes) => self.wire.write(bytes).map(|()| false),
            Behaviour::Drip(every) => {
                self.begin_body("Content-Type: text/plain\r\n\r\n")?;
                self.drip(*every)
            }
            Behaviour::Flood(first, again) => {
                self.wire.write(first)?;
                if again.is_empty() {
                    return self.linger(None).map(|()| false);
                }
                loop {
                    self.wire.write(again)?;
                }
            }
            Behaviour::Big(size) => {
                self.begin_body(&format!("Content-Length: {size}\r\n\r\n"))?;
                self.pour(web_bodies::letters(*size))?;
                Ok(true)
            }
            Behaviour::Short(missing) => {
                let length = missing + 5;
                self.begin_body(&format!("Content-Length: {length}\r\n\r\nhello"))?;
                Ok(false)
            }
            Behaviour::GzipBomb(size) => {
                self.begin_body("Content-Encoding: gzip\r\nConnection: close\r\n\r\n")?;
                self.pour(web_bodies::gzip_of_zeros(*size))
            }
            Behaviour::ManyHeaders(count) => {
                self.begin_body("")?;
                self.pour(web_bodies::headers(*count))?;
                self.wire.write(b"Content-Length: 2\r\n\r\nok")?;
                Ok(true)
            }
        }
    }

    fn answer(&mut self, status: u16, more: &[(String, String)], body: &[u8]) -> io::Result<bool> {
        let mut headers: Vec<(&str, &str)> = Vec::new();
        if !self.keep_alive {
            headers.push(("Connection", "close"));
        }
        headers.extend(more.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        let mut bytes = answer(status, &headers, body);
        if self.without_body {
            bytes.truncate(bytes.len() - body.len());
        }
        self.wire.write(&bytes)?;
        Ok(true)
    }

    fn begin_body(&mut self, rest: &str) -> io::Result<()> {
        let mut bytes = head(200, &[]);
        bytes.extend_from_slice(rest.as_bytes());
        self.wire.write(&bytes)
    }

    fn pour(&mut self, body: Body) -> io::Result<bool> {
        for chunk in body {
            self.wire.write(&chunk)?;
        }
        Ok(false)
    }

    fn drip(&mut self, every: Duration) -> io::Result<bool> {
        loop {
            self.wire.write(b"x")?;
            self.linger(Some(every))?;
        }
    }

    /// Waits for `time`, or without end for `None`. Fails as soon as the client closes.
    fn linger(&mut self, time: Option<Duration>) -> io::Result<()> {
        let until = time.map(|time| Instant::now() + time);
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return self.stream.set_read_timeout(None);
            }
            self.stream.set_read_timeout(left)?;
            match self.wire.swallow() {
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock) => {}
                ended => ended?,
            }
        }
    }
}
