//! Inspects when the certificates of a site expire. The check itself decides whether they are trusted.

use super::deadline::Deadline;
use super::explain::zoned;
use super::starttls;
use super::tls_cause::handshake_cause;
use super::wire::x509::{Certificate, first_to_end};
use crate::http::{Client, bare_host, chain, signs};
use crate::monitor::site::outcome::{Expiry, Failure, FailureKind, Inspection};
use crate::monitor::site::{Check, HttpCheck, Proxy, SendExpect, Site, TlsCheck};
use std::borrow::Cow;

/// Inspects the certificate chain of an https or tls site in a full handshake of its own, with the host
/// of the site's URL, wherever that redirects to.
///
/// Finds the certificate that expires first on the path from the site's own to a trusted root; of
/// several paths, the one that is valid longest counts. Chains that are expired, untrusted or not
/// verified are inspected as well. A root in the site's own `ca_file` is one of the certificates; a root
/// of this machine's bundle is returned separately.
///
/// Waits for a permit and has the same timeout as a check.
pub(super) async fn inspect(client: &Client, site: &Site) -> Result<Inspection, Failure> {
    let server = server(client, &site.check)?;
    let ca_file = server.ca_file.as_deref();
    let _permit = client.check_permit().await;
    let deadline = Deadline::new(site.timeout);
    let socket = match &site.check {
        Check::Http(HttpCheck {
            proxy: Proxy::Server(proxy),
            ..
        }) => {
            let tunnel = client.tunnel(proxy, &server.host, server.port);
            let made = deadline.bound(tunnel).await;
            let made = made.ok_or_else(|| deadline.missed("no connection by the proxy"))?;
            made.map_err(|why| Failure::new(FailureKind::Connect, why))?
        }
        _ => {
            let connected = starttls::connect(client, &server, deadline).await;
            connected.map_err(|failed| failed.failure)?.socket
        }
    };
    let chain = match deadline.bound(chain(socket, &server.host)).await {
        Some(Ok(chain)) => chain,
        Some(Err(error)) => {
            return Err(Failure::new(FailureKind::Tls, handshake_cause(&error)));
        }
        None => return Err(deadline.missed("no certificate")),
    };
    let end_of = |der: &[u8]| Certificate::read(der).map(|one| one.ends());
    let own = server.verify && client.is_own(ca_file);
    let way = client.longest_way(ca_file, &chain, end_of, own);
    let way = deadline.bound(way).await.flatten();
    let first = match &way {
        Some(way) => Certificate::read(&way.first_to_end),
        // Untrusted, or not verified in time: follow issuer names and keys.
        None => first_to_end(&chain, |issuer, other| {
            signs(issuer.der, other.signed, other.signature)
        }),
    };
    // Without verification nothing depends on the root.
    let shared = way.as_ref().filter(|_| server.verify && !own);
    let root = shared.and_then(|way| Certificate::read(&way.root));
    match first {
        Some(first) => Ok(Inspection {
            first: expiry(&first, &server.host),
            root: root.map(|root| expiry(&root, "unknown")),
        }),
        None => {
            let detail = "certificate cannot be read";
            Err(Failure::new(FailureKind::Tls, detail))
        }
    }
}

/// The server whose certificates are inspected; that of an https site's URL as if it were a tls site.
fn server<'a>(client: &Client, check: &'a Check) -> Result<Cow<'a, TlsCheck>, Failure> {
    let check = match check {
        Check::Tls(check) => return Ok(Cow::Borrowed(check)),
        Check::Http(check) => check,
        Check::Tcp(_)
        | Check::Dns(_)
        | Check::Icmp(_)
        | Check::Host(_)
        | Check::Exec(_)
        | Check::Push(_) => {
            return Err(none());
        }
    };
    let url = Some(&check.url).filter(|url| url.scheme() == "https");
    let url = url.ok_or_else(none)?;
    // Of the environment's proxies it is only known that libcurl uses one.
    if check.proxy == Proxy::Environment && client.is_proxied(url, &check.proxy) {
        let detail = "certificate cannot be looked at through the proxy";
        return Err(Failure::new(FailureKind::Connect, detail));
    }
    let host = zoned(url, check).or_else(|| bare_host(url));
    Ok(Cow::Owned(TlsCheck {
        host: host.unwrap_or_default(),
        port: url.port_or_known_default().unwrap_or_default(),
        ip: check.ip,
        starttls: None,
        send_expect: SendExpect::default(),
        verify: check.verify,
        ca_file: check.ca_file.clone(),
    }))
}

/// Callers do not ask for such sites.
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
