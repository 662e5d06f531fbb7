//! `[listen]`: `/metrics`, `/healthz` and `/push/NAME` by HTTP (docs/metrics.md), and nothing else.
//!
//! Everything is bounded: the connections, a request's size and time, an answer's time. It runs in the
//! agent's executor; what only the agent knows is asked by [`Ask`].

pub mod push;
pub mod request;

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

/// Connections at once.
pub const CONNECTIONS: usize = 16;
/// With so many open a connection ends with its answer: idle ones must not keep others out.
const BUSY: usize = CONNECTIONS / 2;
/// From a connection, or the first byte on one that was kept, to the end of the request.
const REQUEST_WITHIN: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The whole of an answer, however slowly it is read.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// What still comes after a refusal is read for so long: the client would else lose the answer by a reset.
const LINGER: Duration = Duration::from_secs(1);
/// And so many parts of it, of at most 1 KiB: one that sends for ever is not read for as long as it can send.
const LINGER_PARTS: usize = 4096;
/// A port that cannot be had is tried again after this.
const RETRY: Duration = Duration::from_secs(60);
/// After an error of accept(2), which may go on (no descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// Bytes of metrics that are gathered to know the answer's length before it is sent; a longer one is sent part by part.
const GATHERED: usize = 64 * 1024;

/// Where to listen, and what is wanted for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub address: SocketAddr,
    /// What `/metrics` wants.
    pub token: Option<Secret>,
}

/// What the agent is asked or told. One that is not answered is dropped with its sender.
#[derive(Debug)]
pub enum Ask {
    Metrics(Sender<Metrics>),
    /// The scheduler makes progress.
    Healthy(Sender<bool>),
    /// There is a `push:` site of that name, and this is its token.
    MayPush(Push, Sender<bool>),
    /// Answered once it is on disk.
    Push(Push, ReportKind, Sender<ReportAnswer>),
    /// The address cannot be had; a sentence. Told once.
    Unavailable(String),
}

/// An answer that is complete.
struct Answer {
    status: &'static str,
    /// Lines of its head.
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

/// Listens until it is dropped, and with it all its connections end.
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
                    reason(&error)
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
                // One is given up when another client is there, which may be a good one.
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
            // How a client leaves is its own affair.
            let _ = shared.serve(&stream).await;
            shared.open.set(shared.open.get() - 1);
            drop(permit);
        };
        tasks.push(executor.spawn(connection.boxed_local()));
    }
}

/// The system's own words for an error, without Rust's `(os error 98)`.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error ").unwrap_or(text.len());
    text[..end].to_owned()
}

struct Shared {
    settings: Settings,
    asks: Sender<Ask>,
    permits: Arc<Semaphore>,
    /// Connections.
    open: Cell<usize>,
    /// Clients that are to send or to take something.
    waiting: Waiting,
}

/// What a request is answered with.
enum Reply {
    Complete(Answer),
    Metrics(Metrics),
}

impl Shared {
    /// Takes requests until the connection is to end.
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
            // More than one request at a time is not answered: where the first ends could be a trick.
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

    /// The agent's answer; `None` when it has none, as it ends.
    async fn ask<T>(&self, ask: impl FnOnce(Sender<T>) -> Ask) -> Option<T> {
        let (sender, answer): (_, Receiver<T>) = async_channel::bounded(1);
        self.asks.send(ask(sender)).await.ok()?;
        answer.recv().await.ok()
    }

    /// What only the client delays: an error after that time, or when its place is wanted for another one.
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

    /// Ends our side, and lets the client end its own.
    async fn linger(&self, mut stream: &Async<TcpStream>) -> io::Result<()> {
        stream.get_ref().shutdown(Shutdown::Write)?;
        self.within(LINGER, async {
            let mut rest = [0; 1024];
            for _ in 0..LINGER_PARTS {
                if stream.read(&mut rest).await? == 0 {
                    break;
                }
                // There may always be more: all else would wait for it.
                yield_now().await;
            }
            Ok(())
        })
        .await
    }
}

/// The next request with its body; what comes behind it stays in `buffer`. `None`: the
/// client has left.
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

/// Whether there was more.
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

/// Status line and headers that every answer has.
fn head(status: &str, content_type: &str, keep: bool) -> String {
    let connection = if keep { "keep-alive" } else { "close" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nCache-Control: no-store\r\n\
         Connection: {connection}\r\n"
    )
}

/// In chunks, where it is long and another request may follow.
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
        // The end of the connection is that of the answer.
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
