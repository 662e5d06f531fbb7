//! The heartbeat: one GET request at a time, so that a service elsewhere notices when they stop.

use crate::clock::Clock;
use crate::http::{Client, TransferError, TransferRequest};
use crate::secret::Secret;
use crate::timer::Timer;
use futures_lite::{AsyncReadExt, FutureExt};
use isahc::http::HeaderMap;
use log::Level;
use std::cell::Cell;
use std::time::{Duration, Instant};
use url::Url;

/// Timeout of the whole request, once it has its permit.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Added to the transfer's own timeout, in case libcurl doesn't keep it.
const GRACE: Duration = Duration::from_millis(250);
/// Maximum number of bytes that are read of the answer's body, which is not used.
const MAX_BODY: u64 = 16 * 1024;

pub(super) struct HeartbeatSender {
    client: Client,
    clock: Clock,
    beating: Cell<bool>,
    /// The last request failed.
    failing: Cell<bool>,
}

impl HeartbeatSender {
    pub(super) fn new(client: Client, clock: Clock) -> HeartbeatSender {
        HeartbeatSender {
            client,
            clock,
            beating: Cell::new(false),
            failing: Cell::new(false),
        }
    }

    /// Requests `url` once and logs failures and recoveries. The URL is secret, because with it
    /// the outside alarm could be kept silent. Does nothing while a request is under way.
    pub(super) async fn beat(&self, url: &Secret) {
        if self.beating.replace(true) {
            return;
        }
        let _over = Over(&self.beating);
        let Ok(url) = Url::parse(url.expose()) else {
            return;
        };
        if url.scheme() == "https" && !self.clock.is_believed() {
            log::debug!("the heartbeat waits: clock not set");
            return;
        }
        if let Some((level, text)) = self.note(self.ask(&url).await) {
            log::log!(level, "{text}");
        }
    }

    async fn ask(&self, url: &Url) -> Result<(), String> {
        let permit = self.client.check_permit().await;
        let deadline = Instant::now() + TIMEOUT;
        let failed = |fault: TransferError| fault.failure("its host", TIMEOUT).detail;
        let call = async {
            let headers = HeaderMap::new();
            let request = TransferRequest {
                // Requests are a minute apart.
                close: true,
                permit: Some(&permit),
                ..TransferRequest::get(url, &headers, deadline)
            };
            let mut response = self.client.send(&request).await.map_err(failed)?;
            if !response.status().is_success() {
                return Err(format!("HTTP {}", response.status().as_u16()));
            }
            // The body is read only for the sake of the connection.
            let mut rest = Vec::new();
            let _ = response
                .body_mut()
                .take(MAX_BODY)
                .read_to_end(&mut rest)
                .await;
            Ok(())
        };
        let late = async {
            Timer::at(deadline + GRACE).await;
            Err("no answer within 10s".to_owned())
        };
        call.or(late).await
    }

    /// Returns the log line for an outcome, if it is worth one.
    fn note(&self, taken: Result<(), String>) -> Option<(Level, String)> {
        let failed_before = self.failing.replace(taken.is_err());
        match (taken, failed_before) {
            (Ok(()), false) => None,
            (Ok(()), true) => Some((Level::Info, "the heartbeat is taken again".to_owned())),
            (Err(cause), before) => {
                let level = if before { Level::Debug } else { Level::Warn };
                Some((level, format!("the heartbeat was not taken: {cause}")))
            }
        }
    }
}

/// Clears the flag when it is dropped.
struct Over<'a>(&'a Cell<bool>);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Limits;
    use crate::timer;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};

    fn heartbeat(clock: Clock) -> HeartbeatSender {
        let limits = Limits::of_tests();
        HeartbeatSender::new(Client::new(&limits).expect("a client"), clock)
    }

    /// Answers each connection with the next of `answers`; the thread returns the request lines.
    fn server(answers: &'static [&'static str]) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("an address");
        let serve = move || {
            let mut lines = Vec::new();
            for answer in answers {
                let (stream, _) = listener.accept().expect("a client");
                let mut request = BufReader::new(&stream).lines().map_while(Result::ok);
                lines.extend(request.next());
                for _header in request.take_while(|line| !line.is_empty()) {}
                let _ = (&stream).write_all(answer.as_bytes());
            }
            lines
        };
        (
            format!("http://{address}/ping/SECRET"),
            thread::spawn(serve),
        )
    }

    const GONE: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    const TAKEN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK";

    #[test]
    fn a_beat_is_one_get() {
        let (url, served) = server(&[TAKEN, GONE]);
        let heartbeat = heartbeat(Clock::system());
        timer::block_on(heartbeat.beat(&Secret::new(url.clone())));
        assert!(!heartbeat.failing.get());
        timer::block_on(heartbeat.beat(&Secret::new(url)));
        assert!(heartbeat.failing.get());
        let lines = served.join().expect("served");
        assert_eq!(lines, ["GET /ping/SECRET HTTP/1.1"; 2]);
        // A permit lives as long as its transfer, which libcurl's thread ends a moment later.
        while heartbeat.client.permits_in_use() > 0 {
            thread::yield_now();
        }
    }

    #[test]
    fn a_head_without_end_is_told() {
        let flood = "HTTP/1.1 200 OK\r\n".to_owned() + &"X-Y: z\r\n".repeat(50_000);
        let answers: &'static [&'static str] = Box::leak(Box::new([&*flood.leak()]));
        let (url, served) = server(answers);
        let url = Url::parse(&url).expect("a URL");
        let cause = timer::block_on(heartbeat(Clock::system()).ask(&url));
        assert_eq!(cause, Err("answer's headers are too large".to_owned()));
        served.join().expect("served");
    }

    #[test]
    fn there_is_never_a_second_one_under_way() {
        let (url, served) = server(&[TAKEN]);
        let (heartbeat, url) = (heartbeat(Clock::system()), Secret::new(url));
        timer::block_on(futures_lite::future::zip(
            heartbeat.beat(&url),
            heartbeat.beat(&url),
        ));
        assert!(!heartbeat.failing.get() && !heartbeat.beating.get());
        assert_eq!(served.join().expect("served").len(), 1);
    }

    #[test]
    fn over_https_it_waits_for_the_clock() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        listener.set_nonblocking(true).expect("not blocking");
        let address = listener.local_addr().expect("an address");
        let heartbeat = heartbeat(Clock::showing(|| 60));
        timer::block_on(heartbeat.beat(&Secret::new(format!("https://{address}/"))));
        assert!(!heartbeat.failing.get());
        assert!(listener.accept().is_err(), "no connection was made");
    }

    #[test]
    fn the_first_failure_in_a_row_is_a_warning_and_the_url_is_in_none() {
        let heartbeat = heartbeat(Clock::system());
        let url = Url::parse("http://127.0.0.1:1/SECRET").expect("a URL");
        let cause = timer::block_on(heartbeat.ask(&url)).expect_err("the port is closed");
        assert_eq!(cause, "cannot connect to its host");
        let text = format!("the heartbeat was not taken: {cause}");
        assert_eq!(heartbeat.note(Ok(())), None);
        let failed = || heartbeat.note(Err(cause.clone()));
        assert_eq!(failed(), Some((Level::Warn, text.clone())));
        assert_eq!(failed(), Some((Level::Debug, text)));
        let (level, _) = heartbeat.note(Ok(())).expect("news");
        assert_eq!(level, Level::Info);
        assert_eq!(heartbeat.note(Ok(())), None);
    }
}
