//! Checks: one module per protocol. Each check results in one [`Outcome`].

mod body;
mod cert;
mod charset;
mod connect;
pub mod cookie_date;
mod cookies;
mod deadline;
mod dialogue;
#[cfg(feature = "dns")]
mod dns;
#[cfg(feature = "exec")]
mod exec;
mod explain;
mod form;
#[cfg(feature = "host")]
mod host;
mod html;
mod http;
#[cfg(feature = "icmp")]
mod icmp;
mod json;
mod login;
mod private_redirect;
mod rdap;
mod redirect;
mod redirect_request;
mod starttls;
mod tcp;
#[cfg(test)]
mod tests;
mod tls;
mod tls_cause;
// Public for the fuzzers.
#[doc(hidden)]
pub mod wire;

pub use rdap::Registries;

use crate::http::{Client, Permit};
use crate::machine;
use crate::monitor::expiry::Subject;
use crate::monitor::site::outcome::{Failure, FailureKind, Inspection, LocalFault, Outcome};
use crate::monitor::site::printable::{self, CAUSE};
use crate::monitor::site::{Check, Site};
use crate::secret::scrub;
use futures_lite::FutureExt;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

/// Checks `site` once. The outcome contains no secret of the site. Waits for a permit, without a limit;
/// then the timeout, `site.timeout`, starts. `fresh`: a retry after a failure, which does not reuse an
/// open connection.
pub async fn run(client: &Client, site: &Site, fresh: bool) -> Outcome {
    let mut outcome = run_with_permit(client, site, fresh).await;
    for text in [&mut outcome.detail, &mut outcome.warning]
        .into_iter()
        .flatten()
    {
        *text = printable::line(&redacted(site, text), CAUSE);
    }
    outcome.verdict = outcome
        .verdict
        .map_err(|failure| redact_failure(site, failure));
    outcome
}

/// Sets the maximum number of programs that run at once (`max_commands`).
pub fn allow_commands(most: usize) {
    #[cfg(feature = "exec")]
    crate::command::allow(most);
    #[cfg(not(feature = "exec"))]
    let _ = most;
}

async fn run_with_permit(client: &Client, site: &Site, fresh: bool) -> Outcome {
    #[cfg(feature = "host")]
    if let Check::Host(check) = &site.check {
        return host::run(site, check).await;
    }
    #[cfg(feature = "exec")]
    if let Check::Exec(check) = &site.check {
        return Box::pin(exec::run(site, check)).await;
    }
    let permit = client.check_permit().await;
    let began = Instant::now();
    let mut outcome = run_protocol(client, site, fresh, permit).await;
    if let Err(failure) = &outcome.verdict
        && may_be_local(failure)
        && let Some(local_fault) = machine::lacked_since(began)
    {
        outcome.verdict = Err(Failure::local(local_fault));
    }
    outcome
}

/// The failure may be due to a resource that this machine lacks: neither libcurl nor the C library's
/// resolver report that.
fn may_be_local(failure: &Failure) -> bool {
    use FailureKind::{Connect, Dns, Internal, NoName, Protocol, Tls};
    let kind = failure.kind;
    // A failure with `common` is about a certain server, as it or the kernel reported.
    failure.common.is_none() && matches!(kind, Connect | Dns | Internal | NoName | Protocol | Tls)
}

async fn run_protocol(client: &Client, site: &Site, fresh: bool, permit: Permit) -> Outcome {
    // Boxed: the future of the largest kind takes tens of KiB, which a waiting worker should not hold.
    match &site.check {
        Check::Http(check) => Box::pin(http::run(client, site, check, fresh, permit)).await,
        #[cfg(feature = "dns")]
        Check::Dns(check) => Box::pin(dns::run(client, site, check)).await,
        #[cfg(feature = "icmp")]
        Check::Icmp(check) => Box::pin(icmp::run(client, site, check)).await,
        Check::Tcp(check) => Box::pin(tcp::run(client, site, check)).await,
        Check::Tls(check) => Box::pin(tls::run(client, site, check)).await,
        // The configuration rejects these, or they are handled above.
        #[allow(unreachable_patterns)]
        Check::Dns(_) | Check::Icmp(_) | Check::Host(_) | Check::Exec(_) => {
            Outcome::failed(FailureKind::Internal, "built without such checks")
        }
        Check::Push(_) => {
            let why = "it is not asked, it reports by itself";
            Outcome::failed(FailureKind::Local(LocalFault::Figure(why)), why)
        }
    }
}

/// Inspects which certificate of an https or tls site expires first. Waits for a permit. A panic fails
/// this inspection alone.
pub async fn certificate(client: &Client, site: &Site) -> Result<Inspection, Failure> {
    let found = caught(Box::pin(cert::inspect(client, site))).await;
    found
        .and_then(|found| found)
        .map_err(|failure| redact_failure(site, failure))
}

/// Removes the site's secrets from `text`: a server may echo what it was sent.
fn redacted(site: &Site, text: &str) -> String {
    let secrets = site.secrets.iter();
    secrets.fold(text.to_owned(), |text, secret| scrub(&text, secret))
}

fn redact_failure(site: &Site, failure: Failure) -> Failure {
    failure.reworded(|text| redacted(site, text))
}

/// Inspects what expires. `rdap`: the service to ask about domains instead of their registries.
pub async fn inspect(
    client: &Client,
    site: &Site,
    subject: Subject,
    rdap: Option<String>,
    registries: &Registries,
) -> Result<Inspection, Failure> {
    match subject {
        Subject::Certificate => certificate(client, site).await,
        Subject::Domain => {
            let found = rdap::inspect(client, site, rdap.as_deref(), registries);
            caught(Box::pin(found)).await?.map(Inspection::from)
        }
    }
}

/// Turns a panic in `check` into a failure of that check. Unwinding releases what it held.
pub async fn guarded(check: impl Future<Output = Outcome>) -> Outcome {
    let outcome = caught(check).await;
    outcome.unwrap_or_else(|failure| Outcome::failed(failure.kind, failure.detail))
}

async fn caught<T>(check: impl Future<Output = T>) -> Result<T, Failure> {
    AssertUnwindSafe(check)
        .catch_unwind()
        .await
        .map_err(|panic| {
            let what = printable::line(message(&*panic), CAUSE);
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
