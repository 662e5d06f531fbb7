//! The look at a site's certificates: until when they hold. Whether they are trusted is for the
//! check to say.

use super::connect::{Connection, Deadline, Target};
use super::explain::zoned;
use super::starttls;
use super::tls_cause::handshake_cause;
use super::wire::x509::{Certificate, first_to_end};
use crate::http::{Client, bare_host, chain, signs};
use crate::monitor::site::outcome::{Expiry, Failure, FailureKind, Inspection};
use crate::monitor::site::{Check, HttpCheck, Site, TlsCheck};
use std::path::Path;
use url::Url;

/// Looks at the certificate chain of an https or tls site, in a full handshake of its own with the
/// site's host (of an https site the URL's, wherever it redirects to): which certificate ends first
/// on the way from the site's own to a trusted root; of several ways, the one that holds longest. A
/// chain that is expired or not trusted, or that isn't verified, is told like any other. A root in
/// the site's own `ca_file` is one of the certificates; one of this machine's bundle is told apart.
///
/// Waits for a permit first, as a check does, and has the same time as one.
pub(super) async fn look(client: &Client, site: &Site) -> Result<Inspection, Failure> {
    let whose = Whose::of(&site.check)?;
    let host = whose.host();
    let _permit = client.check_permit().await;
    let deadline = Deadline::new(site.timeout);
    let connection = whose.connect(client, deadline).await?;
    let chain = match deadline.bound(chain(&connection.socket, &host)).await {
        Some(Ok(chain)) => chain,
        Some(Err(error)) => {
            return Err(Failure::new(FailureKind::Tls, handshake_cause(&error)));
        }
        None => {
            let detail = format!("no certificate within {}", deadline.within());
            return Err(Failure::new(FailureKind::Timeout, detail));
        }
    };
    drop(connection);
    let end_of = |der: &[u8]| Certificate::read(der).map(|one| one.ends());
    let own = whose.verify() && client.is_own(whose.ca_file());
    let way = client.longest_way(whose.ca_file(), &chain, end_of, own);
    let way = deadline.bound(way).await.flatten();
    let first = match &way {
        Some(way) => Certificate::read(&way.first_to_end),
        // Not trusted, or not in time: names and keys have to do.
        None => first_to_end(&chain, |issuer, other| {
            signs(issuer.der, other.signed, other.signature)
        }),
    };
    // Where nothing is verified, nothing relies on a root.
    let shared = way.as_ref().filter(|_| whose.verify() && !own);
    let root = shared.and_then(|way| Certificate::read(&way.root));
    match first {
        Some(first) => Ok(Inspection {
            first: expiry(&first, &host),
            root: root.map(|root| expiry(&root, "unknown")),
        }),
        None => {
            let detail = "certificate cannot be read";
            Err(Failure::new(FailureKind::Tls, detail))
        }
    }
}

/// Whose certificates are to be looked at.
enum Whose<'a> {
    Https { url: Url, check: &'a HttpCheck },
    Tls(&'a TlsCheck),
}

impl<'a> Whose<'a> {
    fn of(check: &'a Check) -> Result<Whose<'a>, Failure> {
        match check {
            Check::Http(check) => Url::parse(&check.url)
                .ok()
                .filter(|url| url.scheme() == "https")
                .map(|url| Whose::Https { url, check })
                .ok_or_else(none),
            Check::Tls(check) => Ok(Whose::Tls(check)),
            Check::Tcp(_) | Check::Dns(_) | Check::Icmp(_) => Err(none()),
        }
    }

    fn host(&self) -> String {
        match self {
            Whose::Https { url, check } => zoned(url, check)
                .or_else(|| bare_host(url))
                .unwrap_or_default(),
            Whose::Tls(check) => check.host.clone(),
        }
    }

    fn port(&self) -> u16 {
        match self {
            Whose::Https { url, .. } => url.port_or_known_default().unwrap_or_default(),
            Whose::Tls(check) => check.port,
        }
    }

    fn ca_file(&self) -> Option<&Path> {
        match self {
            Whose::Https { check, .. } => check.ca_file.as_deref(),
            Whose::Tls(check) => check.ca_file.as_deref(),
        }
    }

    fn verify(&self) -> bool {
        match self {
            Whose::Https { check, .. } => check.verify,
            Whose::Tls(check) => check.verify,
        }
    }

    /// A connection on which TLS is what comes next.
    async fn connect(&self, client: &Client, deadline: Deadline) -> Result<Connection, Failure> {
        let connected = match self {
            Whose::Https { url, .. } if client.is_proxied(url) => {
                let detail = "certificate cannot be looked at through the proxy";
                return Err(Failure::new(FailureKind::Connect, detail));
            }
            Whose::Https { check, .. } => {
                let target = Target {
                    host: &self.host(),
                    port: self.port(),
                    ip: check.ip,
                };
                target.connect(client, deadline).await
            }
            Whose::Tls(check) => starttls::connect(client, check, deadline).await,
        };
        connected.map_err(|failed| failed.failure)
    }
}

/// Not asked for by a right caller.
fn none() -> Failure {
    Failure::new(FailureKind::Internal, "this site has no certificate")
}

fn expiry(first: &Certificate<'_>, host: &str) -> Expiry {
    let title = first.title();
    let issuer = first.issuer.readable();
    Expiry::new(
        first.ends(),
        title.as_deref().unwrap_or(host),
        issuer.as_deref().unwrap_or("unknown"),
        &first.key,
    )
}
