//! HTTP checks.

use super::body::{BufferedBody, Coding, MAX_BODY, Reader, Search, Trouble};
use super::charset::Charset;
use super::connect::CheckFailure;
use super::cookies::Jar;
use super::deadline::Deadline;
use super::explain::{addresses, explain, zoned};
use super::json;
use super::private_redirect::Way;
use super::redirect;
use super::redirect_request::{Body, Hop};
use crate::http::{
    Client, GRACE, Permit, TransferError, TransferErrorKind, TransferRequest, literal,
};
use crate::monitor::site::outcome::{Failure, FailureKind, Outcome, Phases};
use crate::monitor::site::{HttpCheck, HttpVersion, IpVersion, Site, StatusSet};
use crate::timeout::{at_most, before};
use isahc::http::{HeaderMap, HeaderValue, Version, header};
use isahc::prelude::*;
use isahc::{AsyncBody, Response};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use url::Url;

/// Maximum bytes of an irrelevant body that are read so that the connection can be reused.
const MAX_DRAINED: usize = 64 * 1024;
/// Maximum duration of that.
const DRAIN_WITHIN: Duration = Duration::from_millis(500);
/// Time limit of each address but the last when several are dialled in turn, including the handshake.
const DIAL_WITHIN: Duration = Duration::from_secs(3);
/// Time limit for learning a root.
const LEARN_WITHIN: Duration = Duration::from_secs(5);

/// Checks once. The timeout starts now.
pub(super) async fn run(
    client: &Client,
    site: &Site,
    check: &HttpCheck,
    fresh: bool,
    permit: Permit,
) -> Outcome {
    let deadline = Deadline::new(site.timeout);
    let mut run = Run {
        client,
        site,
        check,
        fresh,
        // Later checks could not reuse the connection.
        close: fresh || site.interval >= client.idle_timeout(),
        deadline,
        permit,
        tried: None,
        verified: Vec::new(),
        logging_in: false,
        jar: Jar::default(),
    };
    let late = || CheckFailure::new(deadline.missed("no answer"), None).into();
    let outcome = before(deadline.end() + GRACE, run.whole()).await;
    let mut outcome = outcome.unwrap_or_else(late);
    outcome.address = outcome.address.or(run.tried);
    if run.logging_in
        && let Err(failure) = &mut outcome.verdict
    {
        *failure = failure.clone().reworded(|text| format!("login: {text}"));
    }
    run.learn().await;
    outcome
}

/// A check that is in progress.
pub(super) struct Run<'a> {
    pub(super) client: &'a Client,
    pub(super) site: &'a Site,
    pub(super) check: &'a HttpCheck,
    fresh: bool,
    close: bool,
    deadline: Deadline,
    permit: Permit,
    /// The address of the current hop, once it is known.
    tried: Option<IpAddr>,
    /// Servers whose certificates were verified on the way.
    verified: Vec<(Url, SocketAddr)>,
    /// The login is not finished; the site's own request follows.
    pub(super) logging_in: bool,
    jar: Jar,
}

/// A response that is not a redirect, or one that is not followed.
pub(super) struct FinalResponse {
    /// The URL of the last request.
    pub(super) url: Url,
    pub(super) response: Response<AsyncBody>,
    /// The status of the first response, before any redirect.
    pub(super) first: u16,
    /// What was withheld from `url`, whose response may be due to that.
    pub(super) left_out: Option<String>,
    sent: Instant,
    /// Duration of our own lookup of `url`'s name.
    looked_up: Duration,
}

impl FinalResponse {
    /// Appends to `detail` what was withheld from the server.
    pub(super) fn explained(&self, detail: String) -> String {
        match &self.left_out {
            Some(left_out) => format!("{detail}; {left_out}"),
            None => detail,
        }
    }
}

impl Run<'_> {
    async fn whole(&mut self) -> Outcome {
        let answer = async {
            if let Some(login) = &self.check.login {
                self.log_in(login).await?;
            }
            let hop = Hop::first(self.check).map_err(unsendable)?;
            let final_response = self.follow(hop, self.check.redirects).await?;
            Ok::<Outcome, Box<Outcome>>(self.judge(final_response).await)
        };
        answer.await.unwrap_or_else(|failed| *failed)
    }

    /// Sends requests along redirects until there is a response to judge.
    pub(super) async fn follow(
        &mut self,
        mut hop: Hop,
        most: u32,
    ) -> Result<FinalResponse, Box<Outcome>> {
        let mut followed = 0;
        let mut first = None;
        let (client, check) = (self.client, self.check);
        let mut way = Way::from(&hop.url, client, check, self.deadline);
        loop {
            let (sent, looked_up) = (Instant::now(), way.looked_up);
            let before = std::mem::replace(&mut self.tried, literal(&hop.url));
            let on_link = self.on_link(&hop.url).await?;
            let dial = match &on_link {
                Some(address) => std::slice::from_ref(address),
                None => &way.dial,
            };
            let mut response = self.send(&hop, dial).await?;
            let address = response.remote_addr();
            if !self.client.is_proxied(&hop.url, &self.check.proxy) {
                // A proxy's address is not the site's.
                self.tried = address.map(|address| address.ip()).or(self.tried);
            }
            self.jar.take(&hop.named(), response.headers());
            let status = response.status().as_u16();
            let first = *first.get_or_insert(status);
            let final_response = |hop: Hop, response| FinalResponse {
                left_out: hop.left_out().filter(|_| matches!(status, 401 | 403)),
                url: hop.url,
                response,
                first,
                sent,
                looked_up,
            };
            if let Some(refused) = way.strayed(&hop.url, self.tried) {
                self.tried = before;
                return Err(self.judged(&final_response(hop, response), Err(refused)));
            }
            if let Some(address) = address
                && hop.url.scheme() == "https"
                && self.check.verify
                && !self.client.is_proxied(&hop.url, &self.check.proxy)
            {
                self.verified.push((hop.url.clone(), address));
            }
            if let Err(failure) = version_wanted(self.check, response.version()) {
                return Err(self.judged(&final_response(hop, response), Err(failure)));
            }
            let target = redirect::target(most, &hop.url, status, response.headers(), followed);
            let target = match target {
                Ok(Some(url)) => match hop.leak(status, &url) {
                    Some(leak) => Err(leak),
                    None => way.lead(&hop.url, address, &url).await.map(|()| Some(url)),
                },
                other => other,
            };
            match target {
                Ok(Some(url)) => {
                    drain(response.body_mut()).await;
                    followed += 1;
                    hop.follow(status, url);
                }
                Ok(None) => return Ok(final_response(hop, response)),
                Err(failure) if failure.kind != FailureKind::Redirected => {
                    // The name of the next hop has no address to report.
                    self.tried = None;
                    return Err(Box::new(Outcome::failed(failure.kind, failure.detail)));
                }
                Err(failure) => {
                    drain(response.body_mut()).await;
                    return Err(self.judged(&final_response(hop, response), Err(failure)));
                }
            }
        }
    }

    /// Resolves a link-local address in a URL, with the interface that the site configures.
    async fn on_link(&self, url: &Url) -> Result<Option<SocketAddr>, Box<Outcome>> {
        let Some(host) = zoned(url, self.check) else {
            return Ok(None);
        };
        let port = url.port_or_known_default().unwrap_or_default();
        let found = addresses(self.client, &host, port, IpVersion::V6, Duration::ZERO).await;
        match found {
            Ok(found) => Ok(found.first().copied()),
            Err(failure) => Err(Box::new(Outcome::failed(failure.kind, failure.detail))),
        }
    }

    /// Sends the request to the first of `dial` that accepts a connection, or to the address that the name
    /// resolves to if `dial` is empty.
    async fn send(
        &self,
        hop: &Hop,
        dial: &[SocketAddr],
    ) -> Result<Response<AsyncBody>, Box<Outcome>> {
        let headers = self.headers(hop);
        let mut rest = dial.iter();
        loop {
            let mut ask = self.ask(hop, &headers);
            ask.dial = rest.next().copied();
            let others = rest.len() as u32;
            ask.connect_within =
                (others > 0).then(|| (self.deadline.left() / (others + 1)).min(DIAL_WITHIN));
            match self.client.send(&ask).await {
                Ok(response) => return Ok(response),
                // Nothing was sent.
                Err(TransferError {
                    what: TransferErrorKind::Connect | TransferErrorKind::ConnectTimeout,
                    ..
                }) if others > 0 => {}
                Err(fault) => return Err(self.failed(&hop.url, dial, fault).await),
            }
        }
    }

    /// Headers with the cookies of the check, and `Accept-Encoding` unless the site configures its own.
    fn headers(&self, hop: &Hop) -> HeaderMap {
        let mut headers = hop.headers().into_owned();
        if let Some(cookies) = self.jar.header(&hop.named(), &headers) {
            headers.insert(header::COOKIE, cookies);
        }
        let gzip = HeaderValue::from_static("gzip");
        headers.entry(header::ACCEPT_ENCODING).or_insert(gzip);
        headers
    }

    fn ask<'h>(&'h self, hop: &'h Hop, headers: &'h HeaderMap) -> TransferRequest<'h> {
        TransferRequest {
            method: hop.method.clone(),
            body: hop.body.as_ref().map(Body::text).map(str::as_bytes),
            basic: hop.basic(),
            version: self.check.version,
            ip: self.check.ip,
            proxy: &self.check.proxy,
            verify: self.check.verify,
            ca_file: self.check.ca_file.as_deref(),
            fresh: self.fresh,
            // The next step of a login may reuse the connection.
            close: self.close && (self.fresh || !self.logging_in),
            permit: Some(&self.permit),
            ..TransferRequest::get(&hop.url, headers, self.deadline.end())
        }
    }

    /// Judges the status, then the body.
    async fn judge(&self, mut final_response: FinalResponse) -> Outcome {
        let status = final_response.response.status().as_u16();
        let verdict = if self.check.status.contains(status) {
            match self.judge_body(&mut final_response).await {
                Ok(verdict) => verdict,
                Err(failed) => return *failed,
            }
        } else {
            drain(final_response.response.body_mut()).await;
            Err(unwanted(&final_response, Some(&self.check.status)))
        };
        *self.judged(&final_response, verdict)
    }

    /// Judges the texts in the body, then its JSON.
    async fn judge_body(
        &self,
        final_response: &mut FinalResponse,
    ) -> Result<Result<(), Failure>, Box<Outcome>> {
        let texts = [&self.check.body, &self.check.body_not];
        let charset = Charset::of_headers(final_response.response.headers());
        let search = |text: &str| Search::in_page(text, charset.clone());
        let mut searches = texts.map(|text| text.as_deref().map(search));
        let mut kept = BufferedBody::new(self.client, &self.site.name);
        let is_json = !self.check.json.is_empty();
        let to_keep = is_json.then_some(&mut kept);
        let cut = self.read(final_response, &mut searches, to_keep).await?;
        let fail = |detail| Ok(Err(Failure::new(FailureKind::Body, detail)));
        let [wanted, banned] = searches;
        if let Some(search) = wanted.filter(|search| !search.found) {
            return fail(format!("body lacks {}", quoted(&self.check.body, &search)));
        }
        if let Some(search) = banned.filter(|search| search.found) {
            return fail(format!(
                "body has {}",
                quoted(&self.check.body_not, &search)
            ));
        }
        match is_json {
            true => Ok(json::judge(&kept.bytes, cut, &self.check.json)),
            false => Ok(Ok(())),
        }
    }

    /// Reads up to [`MAX_BODY`] bytes of the body for `searches` and `kept`, which alone fail if it cannot be
    /// decompressed. Returns whether the body is truncated.
    pub(super) async fn read(
        &self,
        final_response: &mut FinalResponse,
        searches: &mut [Option<Search>],
        mut kept: Option<&mut BufferedBody<'_>>,
    ) -> Result<bool, Box<Outcome>> {
        let is_seen = kept.is_some() || searches.iter().any(Option::is_some);
        let coding = Coding::of(final_response.response.headers());
        let body = final_response.response.body_mut();
        let mut reader = Reader::new(body, coding, MAX_BODY, !is_seen);
        let read = async {
            while reader.advance().await? {
                for search in searches.iter_mut().flatten() {
                    search.feed(reader.piece());
                }
                if let Some(kept) = &mut kept {
                    kept.add(reader.piece()).await;
                }
            }
            for search in searches.iter_mut().flatten() {
                search.finish();
            }
            Ok(reader.is_cut())
        };
        let fault = match read.await {
            Ok(cut) => return Ok(cut),
            Err(Trouble::Transfer(error)) => {
                TransferError::of_body(error, final_response.url.scheme() == "https")
            }
            Err(Trouble::Damaged(cause)) => TransferErrorKind::Other(cause.to_owned()).into(),
            Err(Trouble::Coded(names)) => TransferErrorKind::Other(self.unasked(&names)).into(),
            Err(Trouble::TooMuch) => TransferErrorKind::TooMuch.into(),
        };
        Err(self.failed(&final_response.url, &[], fault).await)
    }

    fn unasked(&self, names: &str) -> String {
        let asks = |name: &String| name.eq_ignore_ascii_case(header::ACCEPT_ENCODING.as_str());
        let why = match self.check.headers.iter().any(|(name, _)| asks(name)) {
            true => "cannot be undone",
            false => "was not asked for",
        };
        format!("answer is compressed with {names}, which {why}")
    }

    /// The outcome of a check that got a complete response.
    pub(super) fn judged(
        &self,
        final_response: &FinalResponse,
        verdict: Result<(), Failure>,
    ) -> Box<Outcome> {
        Box::new(Outcome {
            phases: self.phases(final_response),
            address: self.tried,
            ..Outcome::new(verdict, Some(self.deadline.start.elapsed()))
        })
    }

    /// Converts isahc's times, which run from the start of the transfer. A reused connection has
    /// neither lookup nor connect time.
    fn phases(&self, final_response: &FinalResponse) -> Option<Phases> {
        let metrics = final_response.response.metrics()?;
        let (dns, connect, tls) = (
            metrics.name_lookup_time(),
            metrics.connect_time(),
            metrics.secure_connect_time(),
        );
        let took = final_response.sent.elapsed();
        self.client
            .note_lag(took.saturating_sub(metrics.total_time()));
        Some(Phases {
            dns: dns + final_response.looked_up,
            connect,
            tls,
            first_byte: metrics
                .transfer_start_time()
                .saturating_sub(dns + connect + tls),
            total: took + final_response.looked_up,
            reused: connect.is_zero(),
        })
    }

    /// The outcome of a check that got no response, or not all of it.
    async fn failed(
        &self,
        url: &Url,
        dialled: &[SocketAddr],
        fault: TransferError,
    ) -> Box<Outcome> {
        let (client, check, deadline) = (self.client, self.check, self.deadline);
        Box::new(explain(client, check, url, dialled, fault, deadline).await)
    }

    /// Runs within the permit, after the verdict.
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
        at_most(self.deadline.left().min(LEARN_WITHIN), learn).await;
    }
}

/// Quotes `text`, and notes how it was searched for if the charset is unknown.
fn quoted(text: &Option<String>, search: &Search) -> String {
    let text = text.as_deref().unwrap_or_default();
    match search.unknown_charset() {
        Some(name) => {
            format!("\"{text}\" (compared byte by byte: charset {name} is not supported)")
        }
        None => format!("\"{text}\""),
    }
}

/// The outcome of a request that cannot be built.
pub(super) fn unsendable(why: String) -> Box<Outcome> {
    Box::new(Outcome::failed(FailureKind::Internal, why))
}

/// The failure for a status that is not in `wanted`.
pub(super) fn unwanted(final_response: &FinalResponse, wanted: Option<&StatusSet>) -> Failure {
    let status = final_response.response.status().as_u16();
    let detail = match wanted {
        Some(wanted) => format!("HTTP {status}, wanted {wanted}"),
        None => format!("HTTP {status}"),
    };
    let detail = final_response.explained(detail);
    let kind = match redirect::location(status, final_response.response.headers()) {
        Some(_) => FailureKind::Redirected,
        None => FailureKind::Status,
    };
    Failure::new(kind, detail)
}

/// Reads what is left of an irrelevant body, within bounds.
pub(super) async fn drain(body: &mut AsyncBody) {
    let end = async {
        let mut reader = Reader::new(body, Coding::Plain, MAX_DRAINED, true);
        while reader.advance().await.is_ok_and(|more| more) {}
    };
    at_most(DRAIN_WITHIN, end).await;
}

fn version_wanted(check: &HttpCheck, version: Version) -> Result<(), Failure> {
    if check.version != HttpVersion::Http2 || version == Version::HTTP_2 {
        return Ok(());
    }
    let detail = format!("server speaks {version:?}, wanted HTTP/2");
    Err(Failure::new(FailureKind::Protocol, detail))
}
