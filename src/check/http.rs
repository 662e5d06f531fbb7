//! The HTTP check.

use super::body::{self, Search};
use super::explain::explain;
use super::redirect::{self, Hop};
use crate::http::{Ask, Client, Fault, Permit, literal, within};
use crate::monitor::outcome::{Failure, FailureKind, Outcome, Phases};
use crate::monitor::site::{HttpCheck, HttpVersion, Site};
use async_io::Timer;
use futures_lite::FutureExt;
use isahc::http::Version;
use isahc::prelude::*;
use isahc::{AsyncBody, Response};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use url::Url;

/// Bodies over this are cut, counted after decompression, and judged by what was read.
const BODY: usize = 1024 * 1024;
/// What is read of a body that doesn't count, so that its connection can be reused…
const DRAIN: usize = 64 * 1024;
/// … and how long that may take.
const DRAIN_WITHIN: Duration = Duration::from_millis(500);
/// Over a transfer's own timeout, for the case that libcurl doesn't keep it.
const GRACE: Duration = Duration::from_millis(250);
/// Learning a root is given no longer than this.
const LEARN_WITHIN: Duration = Duration::from_secs(5);

/// One HTTP check. The clock starts here.
pub(super) async fn run(
    client: &Client,
    site: &Site,
    check: &HttpCheck,
    fresh: bool,
    permit: Permit,
) -> Outcome {
    let start = Instant::now();
    let mut run = Run {
        client,
        check,
        timeout: site.timeout,
        fresh,
        // Later checks couldn't reuse it.
        close: fresh || site.interval >= client.idle_timeout(),
        start,
        deadline: start + site.timeout,
        permit,
        tried: None,
        verified: Vec::new(),
    };
    let late = run.deadline + GRACE;
    let timeout = format!("no answer within {}", within(site.timeout));
    let mut outcome = run
        .follow()
        .or(async {
            Timer::at(late).await;
            Outcome::failed(FailureKind::Timeout, timeout)
        })
        .await;
    outcome.address = outcome.address.or(run.tried);
    run.learn().await;
    outcome
}

struct Run<'a> {
    client: &'a Client,
    check: &'a HttpCheck,
    timeout: Duration,
    fresh: bool,
    close: bool,
    start: Instant,
    deadline: Instant,
    permit: Permit,
    /// The address of the present hop, as soon as it is known.
    tried: Option<IpAddr>,
    /// Servers whose certificates were verified on the way.
    verified: Vec<(Url, SocketAddr)>,
}

impl Run<'_> {
    /// Request by request, until one is to be judged.
    async fn follow(&mut self) -> Outcome {
        let mut hop = match Hop::first(self.check) {
            Ok(hop) => hop,
            Err(why) => return Outcome::failed(FailureKind::Internal, why),
        };
        let mut followed = 0;
        loop {
            let sent = Instant::now();
            self.tried = literal(&hop.url);
            let mut response = match self.client.send(&self.ask(&hop)).await {
                Ok(response) => response,
                Err(fault) => return self.failed(&hop.url, fault).await,
            };
            let address = response.remote_addr();
            if !self.client.is_proxied(&hop.url) {
                // A proxy's address would say nothing of where the site is.
                self.tried = address.map(|address| address.ip()).or(self.tried);
            }
            if let Some(address) = address
                && hop.url.scheme() == "https"
                && self.check.verify
            {
                self.verified.push((hop.url.clone(), address));
            }
            if let Err(failure) = version_wanted(self.check, response.version()) {
                return self.judged(sent, &response, Err(failure));
            }
            let status = response.status().as_u16();
            match redirect::target(self.check, &hop.url, status, response.headers(), followed) {
                Ok(Some(url)) => {
                    drain(response.body_mut()).await;
                    followed += 1;
                    hop.follow(status, url);
                }
                Ok(None) => return self.judge(&hop.url, sent, response).await,
                Err(failure) => {
                    drain(response.body_mut()).await;
                    return self.judged(sent, &response, Err(failure));
                }
            }
        }
    }

    fn ask<'h>(&'h self, hop: &'h Hop) -> Ask<'h> {
        Ask {
            url: &hop.url,
            method: hop.method.clone(),
            headers: &hop.headers,
            body: hop.body.as_deref(),
            basic: hop
                .basic
                .as_ref()
                .map(|(user, password)| (user.as_str(), password.as_str())),
            version: self.check.version,
            ip: self.check.ip,
            verify: self.check.verify,
            ca_file: self.check.ca_file.as_deref(),
            fresh: self.fresh,
            close: self.close,
            deadline: self.deadline,
            permit: Some(&self.permit),
        }
    }

    /// The status first, then the body.
    async fn judge(&self, url: &Url, sent: Instant, mut response: Response<AsyncBody>) -> Outcome {
        let status = response.status().as_u16();
        if !self.check.status.contains(status) {
            drain(response.body_mut()).await;
            let detail = format!("HTTP {status}, wanted {}", self.check.status);
            let kind = match redirect::location(status, response.headers()) {
                Some(_) => FailureKind::Redirected,
                None => FailureKind::Status,
            };
            let failure = Failure::new(kind, detail);
            return self.judged(sent, &response, Err(failure));
        }
        let mut wanted = self.check.body.as_deref().map(Search::new);
        let mut unwanted = self.check.body_not.as_deref().map(Search::new);
        let mut searches: Vec<&mut Search> = wanted.iter_mut().chain(&mut unwanted).collect();
        let read = body::read(response.body_mut(), BODY, &mut searches).await;
        if let Err(error) = read {
            let fault = Fault::of_body(error, url.scheme() == "https");
            return self.failed(url, fault).await;
        }
        let quoted = |text: &Option<String>| text.clone().unwrap_or_default();
        let verdict = if wanted.is_some_and(|search| !search.found) {
            let detail = format!("body lacks \"{}\"", quoted(&self.check.body));
            Err(Failure::new(FailureKind::Body, detail))
        } else if unwanted.is_some_and(|search| search.found) {
            let detail = format!("body has \"{}\"", quoted(&self.check.body_not));
            Err(Failure::new(FailureKind::Body, detail))
        } else {
            Ok(())
        };
        self.judged(sent, &response, verdict)
    }

    /// There was an answer, and this is what it was worth.
    fn judged(
        &self,
        sent: Instant,
        response: &Response<AsyncBody>,
        verdict: Result<(), Failure>,
    ) -> Outcome {
        Outcome {
            verdict,
            took: Some(self.start.elapsed()),
            phases: phases(response, sent.elapsed()),
            address: self.tried,
            detail: None,
        }
    }

    /// There was no answer, or not a whole one.
    async fn failed(&self, url: &Url, fault: Fault) -> Outcome {
        let (client, check) = (self.client, self.check);
        explain(client, check, url, fault, self.timeout, self.deadline).await
    }

    /// Within the permit, after the verdict.
    async fn learn(&self) {
        if self.verified.is_empty() {
            return;
        }
        let learn = async {
            for (url, address) in &self.verified {
                let ca_file = self.check.ca_file.as_deref();
                self.client.learn(url, ca_file, *address).await;
            }
        };
        let until = self.deadline.min(Instant::now() + LEARN_WITHIN);
        learn
            .or(async {
                Timer::at(until).await;
            })
            .await;
    }
}

/// Reads what is left of a body that doesn't count, in reason.
async fn drain(body: &mut AsyncBody) {
    let end = async {
        let _ = body::read(body, DRAIN, &mut []).await;
    };
    end.or(async {
        Timer::after(DRAIN_WITHIN).await;
    })
    .await;
}

fn version_wanted(check: &HttpCheck, version: Version) -> Result<(), Failure> {
    if check.version != HttpVersion::Http2 || version == Version::HTTP_2 {
        return Ok(());
    }
    let detail = format!("server speaks {version:?}, wanted HTTP/2");
    Err(Failure::new(FailureKind::Protocol, detail))
}

/// isahc's times run from the start of the request. A connection that was open already has
/// neither a look-up nor a connect time.
fn phases(response: &Response<AsyncBody>, total: Duration) -> Option<Phases> {
    let metrics = response.metrics()?;
    let (dns, connect, tls) = (
        metrics.name_lookup_time(),
        metrics.connect_time(),
        metrics.secure_connect_time(),
    );
    Some(Phases {
        dns,
        connect,
        tls,
        first_byte: metrics
            .transfer_start_time()
            .saturating_sub(dns + connect + tls),
        total,
        reused: connect.is_zero(),
    })
}
