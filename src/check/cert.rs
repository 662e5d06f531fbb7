//! The look at a site's certificates: until when they hold. Whether they are trusted is for the
//! check to say.

use super::connect::{Deadline, Target};
use super::explain::handshake_cause;
use super::wire::x509::{Certificate, first_to_end};
use crate::http::{Client, bare_host, chain};
use crate::monitor::outcome::{Expiry, Failure, FailureKind};
use crate::monitor::site::{Check, IpVersion, Site};
use std::path::Path;
use url::Url;

/// Looks at the certificate chain of an https or tls site, in a full handshake of its own with the
/// site's host (of an https site the URL's, wherever it redirects to): which certificate ends first
/// of those that lead from the site's own to a root. One that is expired or not trusted, or that
/// nobody verifies, is told like any other.
///
/// Waits for a permit first, as a check does, and has the same time as one.
pub(super) async fn look(client: &Client, site: &Site) -> Result<Expiry, Failure> {
    let whose = Whose::of(client, &site.check)?;
    let _permit = client.check_permit().await;
    let deadline = Deadline::new(site.timeout);
    let socket = match whose.target().connect(client, deadline).await {
        Ok(connection) => connection.socket,
        Err(failed) => return Err(failed.failure),
    };
    let chain = match deadline.bound(chain(&socket, &whose.host)).await {
        Some(Ok(chain)) => chain,
        Some(Err(error)) => {
            return Err(Failure::new(FailureKind::Tls, handshake_cause(&error)));
        }
        None => {
            let detail = format!("no certificate within {}", deadline.within());
            return Err(Failure::new(FailureKind::Timeout, detail));
        }
    };
    drop(socket);
    let anchor = async {
        match chain.as_slice() {
            [] | [_] => None,
            // Without one that comes in time, the names in the certificates have to do.
            _ => client.bundle(whose.ca_file).await.ok()?.anchor(&chain),
        }
    };
    let anchor = deadline.bound(anchor).await.flatten();
    match first_to_end(&chain, anchor.as_deref()) {
        Some(first) => Ok(expiry(&first, &whose.host)),
        None => {
            let detail = "certificate cannot be read";
            Err(Failure::new(FailureKind::Tls, detail))
        }
    }
}

/// Whose certificate is to be looked at.
struct Whose<'a> {
    /// A name, or an address without brackets.
    host: String,
    port: u16,
    ip: IpVersion,
    ca_file: Option<&'a Path>,
}

impl<'a> Whose<'a> {
    fn of(client: &Client, check: &'a Check) -> Result<Whose<'a>, Failure> {
        match check {
            Check::Http(check) => {
                let url = Url::parse(&check.url).ok();
                let Some(url) = url.filter(|url| url.scheme() == "https") else {
                    return Err(none());
                };
                if client.is_proxied(&url) {
                    let detail = "certificate cannot be looked at through the proxy";
                    return Err(Failure::new(FailureKind::Connect, detail));
                }
                Ok(Whose {
                    host: bare_host(&url).unwrap_or_default(),
                    port: url.port_or_known_default().unwrap_or_default(),
                    ip: check.ip,
                    ca_file: check.ca_file.as_deref(),
                })
            }
            Check::Tls(check) => Ok(Whose {
                host: check.host.clone(),
                port: check.port,
                ip: check.ip,
                ca_file: check.ca_file.as_deref(),
            }),
            Check::Tcp(_) | Check::Dns(_) | Check::Icmp(_) => Err(none()),
        }
    }

    fn target(&self) -> Target<'_> {
        Target {
            host: &self.host,
            port: self.port,
            ip: self.ip,
        }
    }
}

/// Not asked for by a right caller.
fn none() -> Failure {
    Failure::new(FailureKind::Internal, "this site has no certificate")
}

fn expiry(first: &Certificate<'_>, host: &str) -> Expiry {
    Expiry {
        ends: first.ends(),
        subject: first.title().unwrap_or_else(|| host.to_owned()),
        issuer: first
            .issuer
            .readable()
            .unwrap_or_else(|| "unknown".to_owned()),
        key: first.key.clone(),
    }
}
