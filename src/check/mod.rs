//! Checks: one protocol a file, one [`Outcome`] whatever happens.

mod body;
mod cert;
mod connect;
mod cookies;
mod dns;
mod explain;
mod form;
mod http;
mod icmp;
mod json;
mod login;
mod rdap;
mod redirect;
mod starttls;
mod talk;
mod tcp;
#[cfg(test)]
mod tests;
mod tls;
// Public for the fuzzers.
#[doc(hidden)]
pub mod wire;

use crate::http::Client;
use crate::monitor::expiry::Subject;
use crate::monitor::outcome::{Expiry, Failure, FailureKind, Outcome};
use crate::monitor::site::{Check, Site};
use crate::monitor::snapshot::RegistryRecord;
use futures_lite::FutureExt;
use std::any::Any;
use std::panic::AssertUnwindSafe;

/// Checks `site` once. Waits for a permit first, for as long as it takes; only then does the one
/// deadline, `site.timeout`, begin. `fresh`: a retry after a failure, never on a connection that
/// is open already.
pub async fn run(client: &Client, site: &Site, fresh: bool) -> Outcome {
    let permit = client.check_permit().await;
    match &site.check {
        Check::Http(check) => http::run(client, site, check, fresh, permit).await,
        Check::Dns(check) => dns::run(client, site, check).await,
        Check::Icmp(check) => icmp::run(client, site, check).await,
        Check::Tcp(check) => tcp::run(client, site, check).await,
        Check::Tls(check) => tls::run(client, site, check).await,
    }
}

/// Looks which certificate of an https or tls site ends first, after a permit was got. A panic in
/// it fails that look alone.
pub async fn certificate(client: &Client, site: &Site) -> Result<Expiry, Failure> {
    caught(cert::look(client, site)).await?
}

/// Looks at what runs out. `rdap`: ask this service about domains, instead of their registries.
pub async fn inspect(
    client: &Client,
    site: &Site,
    subject: Subject,
    rdap: Option<String>,
    registries: &Registries,
) -> Result<Expiry, Failure> {
    match subject {
        Subject::Certificate => certificate(client, site).await,
        Subject::Domain => caught(rdap::look(client, site, rdap.as_deref(), &registries.0)).await?,
    }
}

/// What has been learnt of the registries of domains.
pub struct Registries(rdap::Bootstrap);

impl Registries {
    pub fn new(records: Vec<RegistryRecord>) -> Registries {
        let rows = records.into_iter().map(|r| (r.domain, r.url, r.at));
        Registries(rdap::Bootstrap::new(rows.collect()))
    }

    /// What is worth keeping.
    pub fn learnt(&self) -> Vec<RegistryRecord> {
        let record = |(domain, url, at)| RegistryRecord { domain, url, at };
        self.0.learnt().into_iter().map(record).collect()
    }

    /// To be told of every site before any look at its domain.
    pub fn want<'s>(&self, sites: impl IntoIterator<Item = &'s Site>) {
        for site in sites.into_iter().filter(|s| s.domain.is_some()) {
            self.0.want(site);
        }
    }
}

/// A panic in `check` fails that check alone. What it held is given back as it unwinds.
pub async fn guarded(check: impl Future<Output = Outcome>) -> Outcome {
    match caught(check).await {
        Ok(outcome) => outcome,
        Err(failure) => Outcome::failed(failure.kind, failure.detail),
    }
}

async fn caught<T>(check: impl Future<Output = T>) -> Result<T, Failure> {
    AssertUnwindSafe(check)
        .catch_unwind()
        .await
        .map_err(|panic| {
            let what = message(&*panic);
            log::error!("panic in a check: {what}");
            Failure::new(FailureKind::Internal, format!("internal error: {what}"))
        })
}

fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("panic")
}
