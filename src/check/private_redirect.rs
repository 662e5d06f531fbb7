//! A public server has no business to lead a check into the networks that only we can reach
//! (docs/redirects.md, `private_redirects`).

use super::deadline::Deadline;
use super::explain::{OTHER_FAMILY_WAIT, addresses, unresolved};
use crate::http::{Client, bare_host, literal};
use crate::monitor::site::HttpCheck;
use crate::monitor::site::network::is_internal;
use crate::monitor::site::outcome::{Failure, FailureKind};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use url::{Host, Url};

/// Addresses dialled of a name that has many.
const ADDRESSES: usize = 4;

/// The way of one request from redirect to redirect.
pub(super) struct Way<'a> {
    client: &'a Client,
    check: &'a HttpCheck,
    deadline: Deadline,
    begin: Url,
    /// The first answer came from a network of ours. `None`: there is none yet.
    begins_inside: Option<bool>,
    /// The next answer must come from a public address.
    guarded: bool,
    /// Where the next request must go instead of to where its name leads, if anywhere.
    pub(super) dial: Vec<SocketAddr>,
    /// What it took to find `dial`.
    pub(super) looked_up: Duration,
}

impl<'a> Way<'a> {
    /// Before the request for `begin`, an address of the configuration.
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

    /// Before `to` is asked for, to which an answer of `from` redirects that came from `address`.
    ///
    /// # Errors
    ///
    /// `Redirected`: not to be followed. Any other kind: the name of `to` has no address.
    pub(super) async fn lead(
        &mut self,
        from: &Url,
        address: Option<SocketAddr>,
        to: &Url,
    ) -> Result<(), Failure> {
        let is_public = self.is_public(from, address);
        let begins_inside = *self.begins_inside.get_or_insert(!is_public);
        // A site of our own network may have its visitors sent elsewhere and back, to log in.
        let is_way_back = begins_inside && to.host() == self.begin.host();
        self.guarded = is_public && !is_way_back && !self.check.private_redirects;
        self.dial = Vec::new();
        self.looked_up = Duration::ZERO;
        // The certificate shows that it is still the same server: its connection may be used.
        let is_proven = to.scheme() == "https" && self.check.verify && from.origin() == to.origin();
        if self.guarded && !is_proven {
            let start = Instant::now();
            self.dial = self.destinations(to).await?;
            self.looked_up = start.elapsed();
        }
        Ok(())
    }

    /// Why an answer of `url` that came from `address` must not count after all.
    pub(super) fn strayed(&self, url: &Url, address: Option<IpAddr>) -> Option<Failure> {
        let address = address.filter(|address| self.guarded && is_internal(*address))?;
        Some(refused(url, Some(address)))
    }

    /// Of a proxied request its address says nothing, and what the URL itself says counts.
    fn is_public(&self, url: &Url, address: Option<SocketAddr>) -> bool {
        match address.filter(|_| !self.client.is_proxied(url, &self.check.proxy)) {
            Some(address) => !is_internal(address.ip()),
            None => !is_plainly_internal(url),
        }
    }

    /// Each is public, and the very address that was judged, so that the name can't lead elsewhere
    /// a moment later. None behind a proxy, which looks names up itself.
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

/// An address of the URL itself, or the one name that always leads to this machine (RFC 6761, 6.3).
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

/// The kind is that of what a captive portal shows: the core asks the uplink's probes for one
/// before it believes that the site is to blame.
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
