//! Checks: one protocol a file, one [`Outcome`] whatever happens.

mod body;
mod cert;
mod connect;
mod explain;
mod http;
mod redirect;
mod starttls;
mod talk;
mod tcp;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

use crate::http::Client;
use crate::monitor::outcome::{Expiry, Failure, FailureKind, Outcome};
use crate::monitor::site::{Check, Site};
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
        Check::Tcp(check) => tcp::run(client, site, check).await,
        Check::Tls(check) => tls::run(client, site, check).await,
        Check::Dns(_) | Check::Icmp(_) => Outcome::failed(FailureKind::Internal, "to come"),
    }
}

/// Looks which certificate of an https or tls site ends first, after a permit was got. A panic in
/// it fails that look alone.
pub async fn certificate(client: &Client, site: &Site) -> Result<Expiry, Failure> {
    caught(cert::look(client, site)).await?
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
