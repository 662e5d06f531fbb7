//! Keeps public servers from redirecting checks into private networks (docs/redirects.md,
//! `private_redirects`).

use super::deadline::Deadline;
use super::explain::{OTHER_FAMILY_WAIT, addresses, unresolved};
use crate::http::{Client, bare_host, literal};
use crate::monitor::site::HttpCheck;
use crate::monitor::site::network::is_internal;
use crate::monitor::site::outcome::{Failure, FailureKind};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use url::{Host, Url};

/// Maximum number of addresses that are dialled.
const ADDRESSES: usize = 4;

/// The path of one request along its redirects.
pub(super) struct Way<'a> {
    client: &'a Client,
    check: &'a HttpCheck,
    deadline: Deadline,
    begin: Url,
    /// Whether the first response came from a private network; `None` before it.
    begins_inside: Option<bool>,
    /// The next response must come from a public address.
    guarded: bool,
    /// Addresses that the next request must be sent to; if empty, the name is resolved as usual.
    pub(super) dial: Vec<SocketAddr>,
    /// Time that resolving `dial` took.
    pub(super) looked_up: Duration,
}

impl<'a> Way<'a> {
    /// Starts with the request for `begin`, an address of the configuration.
    pub(super) fn from(
        begin: &Url,
        client: &'a Client,
        check: &'a HttpCheck,
        deadline: Deadline,
    ) -> Way<'a> {
        Way {
            client,
            check,
            deadline,
            begin: begin.clone(),
            begins_inside: None,
            guarded: false,
            dial: Vec::new(),
            looked_up: Duration::ZERO,
        }
    }

    /// Allows or refuses a redirect to `to` in a response of `from`, which came from `address`.
    ///
    /// # Errors
    ///
    /// `Redirected` if the redirect must not be followed; another kind if `to` cannot be resolved.
    pub(super) async fn lead(
        &mut self,
        from: &Url,
        address: Option<SocketAddr>,
        to: &Url,
    ) -> Result<(), Failure> {
        let is_public = self.is_public(from, address);
        let begins_inside = *self.begins_inside.get_or_insert(!is_public);
        // A private site may send its visitors to a public login and back.
        let is_way_back = begins_inside && to.host() == self.begin.host();
        self.guarded = is_public && !is_way_back && !self.check.private_redirects;
        self.dial = Vec::new();
        self.looked_up = Duration::ZERO;
        // The certificate proves that this is the same server: its connection may be reused.
        let is_proven = to.scheme() == "https" && self.check.verify && from.origin() == to.origin();
        if self.guarded && !is_proven {
            let start = Instant::now();
            self.dial = self.destinations(to).await?;
            self.looked_up = start.elapsed();
        }
        Ok(())
    }

    /// Returns why a response of `url` that came from `address` must be discarded.
    pub(super) fn strayed(&self, url: &Url, address: Option<IpAddr>) -> Option<Failure> {
        let address = address.filter(|address| self.guarded && is_internal(*address))?;
        Some(refused(url, Some(address)))
    }

    /// For a proxied request the peer's address says nothing: the host in the URL decides.
    fn is_public(&self, url: &Url, address: Option<SocketAddr>) -> bool {
        match address.filter(|_| !self.client.is_proxied(url, &self.check.proxy)) {
            Some(address) => !is_internal(address.ip()),
            None => !is_plainly_internal(url),
        }
    }

    /// Resolves `to` to public addresses, which the request is then sent to: resolving twice would allow DNS
    /// rebinding. Empty behind a proxy, which resolves names itself.
    async fn destinations(&self, to: &Url) -> Result<Vec<SocketAddr>, Failure> {
        if self.client.is_proxied(to, &self.check.proxy) {
            return match is_plainly_internal(to) {
                true => Err(refused(to, literal(to))),
                false => Ok(Vec::new()),
            };
        }
        let host = bare_host(to).unwrap_or_default();
        let port = to.port_or_known_default().unwrap_or_default();
        let found = addresses(self.client, &host, port, self.check.ip, OTHER_FAMILY_WAIT);
        let found = self.deadline.bound(found).await;
        let mut all = found.unwrap_or_else(|| Err(unresolved(&host, self.deadline)))?;
        match all.iter().find(|address| is_internal(address.ip())) {
            Some(address) => Err(refused(to, Some(address.ip()))),
            None => {
                all.truncate(ADDRESSES);
                Ok(all)
            }
        }
    }
}

/// The URL's host is a private address or `localhost` (RFC 6761, section 6.3).
fn is_plainly_internal(url: &Url) -> bool {
    match (literal(url), url.host()) {
        (Some(address), _) => is_internal(address),
        (None, Some(Host::Domain(name))) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        (None, _) => false,
    }
}

/// Has the kind that a captive portal causes, too: the core probes the uplink before it takes the site
/// for down.
fn refused(to: &Url, address: Option<IpAddr>) -> Failure {
    let host = bare_host(to).unwrap_or_default();
    let place = match address {
        Some(address) if literal(to).is_none() => format!("{host} at {address}"),
        _ => host,
    };
    let detail = format!(
        "redirected from a public address to {place} (set private_redirects = true if that is meant)"
    );
    Failure::new(FailureKind::Redirected, detail)
}
