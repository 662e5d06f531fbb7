//! `[listen]`: serves `/metrics`, `/healthz` and `/push/NAME` over HTTP (docs/metrics.md), and
//! nothing else.
//!
//! Everything is bounded: the connections, the size and duration of a request, the duration of an
//! answer. The listener runs in the agent's executor and asks the agent by an [`Ask`].

pub mod push;
pub mod request;

use crate::files;
use crate::monitor::render::metrics::{Metrics, MetricsText};
use crate::monitor::site::report::{ReportAnswer, ReportKind};
use crate::peers::Waiting;
use crate::secret::{Secret, equal};
use crate::timer::Timer;
use async_channel::{Receiver, Sender};
use async_io::Async;
use async_lock::Semaphore;
use futures_lite::future::yield_now;
use futures_lite::{AsyncReadExt, AsyncWriteExt, FutureExt};
use push::Push;
use request::{LARGEST, Refusal, Request};
use smol::{LocalExecutor, Task};
use std::cell::Cell;
use std::fmt::Write;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Maximum number of connections.
pub const CONNECTIONS: usize = 16;
/// With this many open, a connection ends with its answer: idle ones must not keep others out.
const BUSY: usize = CONNECTIONS / 2;
/// Timeout of a request, from the connect, or from its first byte on a kept connection, to its end.
const REQUEST_WITHIN: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Timeout of a whole answer, however slowly it is read.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Time for which input is still read after the last answer. Without it, a reset could discard the
/// answer before the client has read it.
const LINGER: Duration = Duration::from_secs(1);
/// Maximum number of reads in that time, of at most 1 KiB each, for clients that never stop
/// sending.
const LINGER_PARTS: usize = 4096;
/// Delay before the next attempt to bind the address.
const RETRY: Duration = Duration::from_secs(60);
/// Pause after an error of accept(2), which may persist (no descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// Metrics up to this size in bytes are collected to know their length; longer ones are sent in
/// parts.
const GATHERED: usize = 64 * 1024;

/// Address and token of the listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub address: SocketAddr,
    /// Token that `/metrics` requires.
    pub token: Option<Secret>,
}

/// A question or message to the agent. The sender of a question that has no answer is dropped.
#[derive(Debug)]
pub enum Ask {
    Metrics(Sender<Metrics>),
    /// Whether the scheduler makes progress.
    Healthy(Sender<bool>),
    /// Whether there is a `push:` site of that name with that token.
    MayPush(Push, Sender<bool>),
    /// A report. It is answered once it is on disk.
    Push(Push, ReportKind, Sender<ReportAnswer>),
    /// The address cannot be bound: a sentence for the user. Sent once.
    Unavailable(String),
}

/// An answer with a fixed text.
struct Answer {
    status: &'static str,
    /// Additional lines of its head.
    headers: &'static str,
    body: &'static str,
}

const OK: Answer = Answer::plain("200 OK", "ok\n");
const NOT_FOUND: Answer = Answer::plain("404 Not Found", "not found\n");
const UNAVAILABLE: Answer = Answer::plain("503 Service Unavailable", "no progress\n");

impl Answer {
    const fn plain(status: &'static str, body: &'static str) -> Answer {
        Answer {
            status,
            headers: "",
            body,
        }
    }
}

impl Refusal {
    fn answer(self) -> Answer {
        match self {
            Refusal::Malformed => Answer::plain("400 Bad Request", "bad request\n"),
            Refusal::BodyTooLarge => Answer::plain("413 Content Too Large", "too large\n"),
            Refusal::HeadTooLarge => {
                Answer::plain("431 Request Header Fields Too Large", "too large\n")
            }
        }
    }
}

/// Listens until it is dropped, which ends all connections.
pub async fn run(settings: Settings, executor: Rc<LocalExecutor<'static>>, asks: Sender<Ask>) {
    let address = settings.address;
    let mut told = false;
    let listener = loop {
        match Async::<TcpListener>::bind(address) {
            Ok(listener) => break listener,
            Err(error) if !told => {
                told = true;
                let text = format!(
                    "Cannot listen on {address}: {}. It is tried every minute.",
                    files::reason(&error)
                );
                let _ = asks.send(Ask::Unavailable(text)).await;
            }
            Err(_) => {}
        }
        Timer::after(RETRY).await;
    };
    log::info!("listening on http://{address}/metrics");
    let shared = Rc::new(Shared {
        settings,
        asks,
        permits: Arc::new(Semaphore::new(CONNECTIONS)),
        open: Cell::new(0),
        waiting: Waiting::default(),
    });
    let mut tasks: Vec<Task<()>> = Vec::with_capacity(CONNECTIONS);
    loop {
        let permit = match shared.permits.try_acquire_arc() {
            Some(permit) => permit,
            None => {
                // A client is given up only when another one waits, which may be a good one.
                if listener.readable().await.is_ok() {
                    shared.waiting.give_up_oldest();
                }
                shared.permits.acquire_arc().await
            }
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::debug!("no connection can be accepted: {error}");
                Timer::after(ACCEPT_PAUSE).await;
                continue;
            }
        };
        tasks.retain(|task| !task.is_finished());
        let shared = shared.clone();
        let connection = async move {
            shared.open.set(shared.open.get() + 1);
            // An I/O error only ends the connection.
            let _ = shared.serve(&stream).await;
            shared.open.set(shared.open.get() - 1);
            drop(permit);
        };
        tasks.push(executor.spawn(connection.boxed_local()));
    }
}

struct Shared {
    settings: Settings,
    asks: Sender<Ask>,
    permits: Arc<Semaphore>,
    /// Number of open connections.
    open: Cell<usize>,
    /// Clients that are to send or to read something.
    waiting: Waiting,
}

/// The answer to a request.
enum Reply {
    Complete(Answer),
    Metrics(Metrics),
}

impl Shared {
    /// Serves requests until the connection is to end.
    async fn serve(&self, mut stream: &Async<TcpStream>) -> io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            let request = read_request(stream, &mut buffer);
            let request = self.within(REQUEST_WITHIN, request).await?;
            let (request, body) = match request {
                Some(Ok(request)) => request,
                Some(Err(refusal)) => {
                    let answer = refusal.answer();
                    let sent = send(stream, &answer, true, false);
                    self.within(ANSWER_WITHIN, sent).await?;
                    return self.linger(stream).await;
                }
                None => return Ok(()),
            };
            // What follows the request isn't read as another request, as it could be a smuggled
            // one.
            let alone = buffer.is_empty();
            let keep = request.keep_alive && alone && self.open.get() < BUSY;
            let head_only = request.method == "HEAD";
            let sent = match self.answer(&request, &body, head_only).await {
                Reply::Complete(answer) => {
                    let sent = send(stream, &answer, !head_only, keep);
                    self.within(ANSWER_WITHIN, sent).await
                }
                Reply::Metrics(metrics) => {
                    let sent = send_metrics(stream, metrics, &request, keep);
                    self.within(ANSWER_WITHIN, sent).await
                }
            };
            sent?;
            if !keep {
                return self.linger(stream).await;
            }
            self.within(KEEP_ALIVE, async {
                let mut first = [0; 1];
                let read = stream.read(&mut first).await?;
                buffer.extend_from_slice(&first[..read]);
                Ok(())
            })
            .await?;
            if buffer.is_empty() {
                return Ok(());
            }
        }
    }

    async fn answer(&self, request: &Request, body: &[u8], head_only: bool) -> Reply {
        let reads = head_only || request.method == "GET";
        let answer = match request.path.as_str() {
            "/metrics" | "/healthz" if !reads => Answer {
                headers: "Allow: GET, HEAD\r\n",
                ..Answer::plain("405 Method Not Allowed", "only GET\n")
            },
            "/metrics" if !self.may_read(request) => Answer {
                headers: "WWW-Authenticate: Bearer\r\n",
                ..Answer::plain("401 Unauthorized", "the token of [listen] is wanted\n")
            },
            "/metrics" => match self.ask(Ask::Metrics).await {
                Some(metrics) => return Reply::Metrics(metrics),
                None => UNAVAILABLE,
            },
            "/healthz" => match self.ask(Ask::Healthy).await {
                Some(true) => OK,
                _ => UNAVAILABLE,
            },
            _ => match push::read(request, body) {
                Some(_) if head_only || !reads && request.method != "POST" => Answer {
                    headers: "Allow: GET, POST\r\n",
                    ..Answer::plain("405 Method Not Allowed", "only GET and POST\n")
                },
                Some(push) => self.push(push).await,
                None => NOT_FOUND,
            },
        };
        Reply::Complete(answer)
    }

    async fn push(&self, push: Push) -> Answer {
        let asked = push.clone();
        match (self.ask(|a| Ask::MayPush(asked, a)).await, push.kind) {
            (Some(true), Some(kind)) => match self.ask(|a| Ask::Push(push, kind, a)).await {
                Some(ReportAnswer::Saved) => OK,
                Some(ReportAnswer::Unknown) => NOT_FOUND,
                Some(ReportAnswer::Unsaved) | None => Answer {
                    body: "not saved\n",
                    ..UNAVAILABLE
                },
            },
            (Some(true), None) => Answer::plain("400 Bad Request", "status is up, start or down\n"),
            _ => NOT_FOUND,
        }
    }

    fn may_read(&self, request: &Request) -> bool {
        match &self.settings.token {
            None => true,
            Some(token) => equal(token.expose(), request.bearer.as_deref().unwrap_or("")),
        }
    }

    /// Asks the agent; returns `None` if it doesn't answer because it ends.
    async fn ask<T>(&self, ask: impl FnOnce(Sender<T>) -> Ask) -> Option<T> {
        let (sender, answer): (_, Receiver<T>) = async_channel::bounded(1);
        self.asks.send(ask(sender)).await.ok()?;
        answer.recv().await.ok()
    }

    /// Limits work that only the client can delay. Returns an error after `limit`, or when the
    /// place is needed for another client.
    async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let late = async {
            Timer::after(limit).or(self.waiting.given_up()).await;
            Err(io::ErrorKind::TimedOut.into())
        };
        work.or(late).await
    }

    /// Closes our side, and waits for the client to close its own.
    async fn linger(&self, mut stream: &Async<TcpStream>) -> io::Result<()> {
        stream.get_ref().shutdown(Shutdown::Write)?;
        self.within(LINGER, async {
            let mut rest = [0; 1024];
            for _ in 0..LINGER_PARTS {
                if stream.read(&mut rest).await? == 0 {
                    break;
                }
                // The client may always have more to send: lets other tasks run.
                yield_now().await;
            }
            Ok(())
        })
        .await
    }
}

/// Reads the next request with its body; further input stays in `buffer`. Returns `None` if the
/// client has closed the connection.
async fn read_request(
    mut stream: &Async<TcpStream>,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<Result<(Request, Vec<u8>), Refusal>>> {
    let mut known = 0;
    let head = loop {
        if let Some(end) = request::head_end(buffer, known) {
            break end;
        }
        known = buffer.len();
        if known >= LARGEST {
            return Ok(Some(Err(Refusal::HeadTooLarge)));
        }
        if !read_more(&mut stream, buffer).await? {
            return Ok(None);
        }
    };
    if head > LARGEST {
        return Ok(Some(Err(Refusal::HeadTooLarge)));
    }
    let request = match request::read(&buffer[..head]) {
        Ok(request) => request,
        Err(refusal) => return Ok(Some(Err(refusal))),
    };
    let whole = head + request.body_length;
    if request.waits && buffer.len() < whole {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    while buffer.len() < whole {
        if !read_more(&mut stream, buffer).await? {
            return Ok(None);
        }
    }
    let body = buffer[head..whole].to_vec();
    buffer.drain(..whole);
    Ok(Some(Ok((request, body))))
}

/// Reads once more; returns false at the end of the input.
async fn read_more(stream: &mut &Async<TcpStream>, buffer: &mut Vec<u8>) -> io::Result<bool> {
    let mut part = [0; 1024];
    let read = stream.read(&mut part).await?;
    buffer.extend_from_slice(&part[..read]);
    Ok(read > 0)
}

async fn send(
    mut stream: &Async<TcpStream>,
    answer: &Answer,
    with_body: bool,
    keep: bool,
) -> io::Result<()> {
    let Answer {
        status,
        headers,
        body,
    } = answer;
    let mut text = head(status, "text/plain; charset=utf-8", keep);
    // Writing to a String cannot fail.
    let _ = write!(text, "{headers}Content-Length: {}\r\n\r\n", body.len());
    if with_body {
        text.push_str(body);
    }
    stream.write_all(text.as_bytes()).await
}

/// Returns the status line and the headers that every answer has.
fn head(status: &str, content_type: &str, keep: bool) -> String {
    let connection = if keep { "keep-alive" } else { "close" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nCache-Control: no-store\r\n\
         Connection: {connection}\r\n"
    )
}

/// Sends metrics, in chunks if they are long and another request may follow.
async fn send_metrics(
    mut stream: &Async<TcpStream>,
    metrics: Metrics,
    request: &Request,
    keep: bool,
) -> io::Result<()> {
    let format = request.format;
    let mut text = head("200 OK", format.content_type(), keep);
    let mut parts = MetricsText::new(metrics, format);
    let mut body = String::new();
    let mut ended = false;
    while !ended && body.len() < GATHERED {
        match parts.next() {
            Some(part) => body.push_str(&part),
            None => ended = true,
        }
    }
    let chunked = !ended && keep;
    let _ = match (ended, chunked) {
        (true, _) => write!(text, "Content-Length: {}\r\n\r\n", body.len()),
        (false, true) => write!(text, "Transfer-Encoding: chunked\r\n\r\n"),
        // The answer ends with the connection.
        (false, false) => write!(text, "\r\n"),
    };
    if request.method == "HEAD" {
        return stream.write_all(text.as_bytes()).await;
    }
    let mut next = Some(body);
    while let Some(part) = next {
        if chunked {
            let _ = write!(text, "{:x}\r\n{part}\r\n", part.len());
        } else {
            text.push_str(&part);
        }
        stream.write_all(text.as_bytes()).await?;
        text.clear();
        next = parts.next();
    }
    if chunked {
        stream.write_all(b"0\r\n\r\n").await?;
    }
    Ok(())
}
