//! Confirms the wall clock while it is doubted. Two sources can confirm it: the kernel, if its
//! clock is kept synchronised, and a server whose certificate is valid at the doubted time and
//! whose `Date` agrees with it. The monitor decides what is doubted
//! ([`crate::monitor::time::wall_clock`]).

use super::{Agent, Input};
use crate::check::cookie_date;
use crate::clock::{BUILT, Clock, kernel_synchronised};
use crate::http::{Client, TransferRequest};
use crate::monitor::Event;
use crate::monitor::site::{Check, HttpVersion};
use crate::monitor::time::wall_clock::AGREES;
use crate::timer::Timer;
use async_channel::Sender;
use futures_lite::{FutureExt, future};
use isahc::http::{HeaderMap, Method, header};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use url::Url;

/// Interval at which the kernel is asked and the wall clock is compared with the monotonic one.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Interval at which a server is asked.
const SERVER_INTERVAL: Duration = Duration::from_secs(60);
/// Timeout of the whole request, once it has its permit.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Change against the monotonic clock, in seconds, beyond which the wall clock has been set.
const SET: i64 = 1;

impl Agent {
    /// Passes the monitor's judgement on to the clock, and runs the watch while the clock is
    /// doubted.
    pub(super) fn follow_clock(&mut self) {
        let doubted = self.monitor.doubts_clock();
        self.clock.judge(!doubted);
        if doubted == self.clock_watch.is_some() {
            return;
        }
        self.clock_watch = doubted.then(|| {
            let watch = Watch {
                clock: self.clock.clone(),
                client: self.client.clone(),
                server: self.clock_server(),
                report: self.report.clone(),
            };
            self.spawn(async move { watch.run().await })
        });
    }

    /// Returns the server of the Bot API, or the first site whose certificate is verified if the
    /// API is not in use or has no TLS, which proves nothing.
    fn clock_server(&self) -> Option<Server> {
        let telegram = self.config.telegram.as_ref();
        let api = telegram.filter(|_| !self.transport.is_console());
        let api = api.and_then(|telegram| Server::of(&telegram.api, None));
        api.or_else(|| {
            self.config.sites.iter().find_map(|site| match &site.check {
                Check::Http(check) if check.verify && !site.paused => {
                    Server::of(check.url.as_str(), check.ca_file.clone())
                }
                _ => None,
            })
        })
    }
}

/// A server that is asked for the time.
struct Server {
    /// Without path, query, user and password.
    url: Url,
    ca_file: Option<PathBuf>,
}

impl Server {
    fn of(url: &str, ca_file: Option<PathBuf>) -> Option<Server> {
        let mut url = Url::parse(url).ok().filter(|url| url.scheme() == "https")?;
        url.set_path("/");
        url.set_query(None);
        url.set_fragment(None);
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        Some(Server { url, ca_file })
    }
}

struct Watch {
    clock: Clock,
    client: Client,
    server: Option<Server>,
    report: Sender<Input>,
}

impl Watch {
    /// Runs until it is dropped.
    async fn run(&self) {
        future::zip(self.look(), self.ask()).await;
    }

    async fn look(&self) {
        let begun = Instant::now();
        let ahead = || {
            let up = i64::try_from(begun.elapsed().as_secs()).unwrap_or(i64::MAX);
            self.clock.wall().saturating_sub(up)
        };
        let mut before = ahead();
        loop {
            let now = ahead();
            if self.clock.wall() >= BUILT && kernel_synchronised() == Some(true) {
                self.tell(Event::ClockConfirmed).await;
            } else if now.saturating_sub(before).abs() > SET {
                self.tell(Event::Due).await;
            }
            before = now;
            Timer::after(LOOK_INTERVAL).await;
        }
    }

    async fn ask(&self) {
        let Some(server) = &self.server else { return };
        loop {
            if self.clock.wall() < BUILT {
                Timer::after(LOOK_INTERVAL).await;
                continue;
            }
            match self.date(server).await {
                Ok(date) if date.saturating_sub(self.clock.wall()).abs() <= AGREES => {
                    self.tell(Event::ClockConfirmed).await;
                }
                Ok(_) => log::debug!("the clock is doubted: a verified server has another time"),
                Err(cause) => log::debug!("the clock is doubted and cannot be confirmed: {cause}"),
            }
            Timer::after(SERVER_INTERVAL).await;
        }
    }

    /// Requests the `Date` (RFC 9110, section 6.6.1) of the server, in Unix seconds.
    async fn date(&self, server: &Server) -> Result<i64, String> {
        let permit = self.client.check_permit().await;
        let deadline = Instant::now() + TIMEOUT;
        let headers = HeaderMap::new();
        let request = TransferRequest {
            method: Method::HEAD,
            version: HttpVersion::Http11,
            ca_file: server.ca_file.as_deref(),
            // Only a new handshake verifies the certificate.
            fresh: true,
            close: true,
            permit: Some(&permit),
            ..TransferRequest::get(&server.url, &headers, deadline)
        };
        let call = async {
            let answer = self.client.send(&request).await;
            let answer = answer.map_err(|fault| fault.failure("the server", TIMEOUT).detail)?;
            let date = answer.headers().get(header::DATE);
            let date = date.and_then(|date| cookie_date::parse(date.to_str().ok()?));
            date.ok_or_else(|| "the answer has no Date".to_owned())
        };
        let late = async {
            Timer::at(deadline).await;
            Err("no answer within 10s".to_owned())
        };
        call.or(late).await
    }

    async fn tell(&self, event: Event) {
        let _ = self.report.send(Input::Event(event)).await;
    }
}
