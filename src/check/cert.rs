//! The inspection of a site's certificates: until when they hold. Whether they are trusted is for the
//! check to say.

use super::deadline::Deadline;
use super::explain::zoned;
use super::starttls;
use super::tls_cause::handshake_cause;
use super::wire::x509::{Certificate, first_to_end};
use crate::http::{Client, bare_host, chain, signs};
use crate::monitor::site::outcome::{Expiry, Failure, FailureKind, Inspection};
use crate::monitor::site::{Check, HttpCheck, Proxy, SendExpect, Site, TlsCheck};
use std::borrow::Cow;
use url::Url;

/// Inspects the certificate chain of an https or tls site, in a full handshake of its own with the
/// site's host (of an https site the URL's, wherever it redirects to): which certificate ends first
/// on the way from the site's own to a trusted root; of several ways, the one that holds longest. A
/// chain that is expired or not trusted, or that isn't verified, counts like any other. A root in
/// the site's own `ca_file` is one of the certificates; one of this machine's bundle is given apart.
///
/// Waits for a permit first, as a check does, and has the same time as one.
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
        // Not trusted, or not in time: names and keys have to do.
        None => first_to_end(&chain, |issuer, other| {
            signs(issuer.der, other.signed, other.signature)
        }),
    };
    // Where nothing is verified, nothing relies on a root.
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

/// Whose certificates are to be inspected: of an https site the server that its URL names, as if it
/// were a tls site.
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
    let url = Url::parse(&check.url).ok();
    let url = url.filter(|url| url.scheme() == "https").ok_or_else(none)?;
    // Of the environment's proxies no more is known than that libcurl uses them.
    if check.proxy == Proxy::Environment && client.is_proxied(&url, &check.proxy) {
        let detail = "certificate cannot be looked at through the proxy";
        return Err(Failure::new(FailureKind::Connect, detail));
    }
    let host = zoned(&url, check).or_else(|| bare_host(&url));
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
