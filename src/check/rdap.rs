//! Asks a domain's registry when the registration expires (RDAP: RFC 9082, RFC 9083). This is no check
//! of the site: after a failure the date is unknown, and nothing is down.

use super::deadline::Deadline;
use super::redirect::location;
use super::wire::rdap::{Registration, candidates, registration, services};
use crate::http::{Client, GRACE, Permit, TransferError, TransferRequest};
use crate::lock::lock;
use crate::monitor::persist::snapshot::RegistryRecord;
use crate::monitor::site::outcome::{Expiry, Failure, FailureKind};
use crate::monitor::site::{Check, Site};
use crate::timeout::before;
use futures_lite::AsyncReadExt;
use isahc::http::{HeaderMap, HeaderValue, header};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use url::{Host, Url};

/// IANA's list of the registries of top-level domains (RFC 9224).
const IANA: &str = "https://data.iana.org/rdap/dns.json";
/// Minimum age in seconds at which the list is fetched again.
const LEARNT_FOR: i64 = 7 * 86_400;
/// Seconds without another attempt after a failure.
const NOT_AGAIN_FOR: i64 = 600;
/// Maximum number of top-level domains whose registry is remembered.
const MOST_LEARNT: usize = 256;
/// Timeout of an inspection with all its queries: registries are slow.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum bytes of a response.
const BODY: usize = 1024 * 1024;
const REDIRECTS: usize = 3;

/// Finds out when the registration of `site`'s domain expires. Waits for a check's permit first. `base`
/// is the address of an RDAP service for all domains; without it IANA's list has the server.
///
/// # Errors
///
/// If there is no registration, or the registry does not answer or does not state the date.
pub async fn inspect(
    client: &Client,
    site: &Site,
    base: Option<&str>,
    cache: &Registries,
) -> Result<Expiry, Failure> {
    let host = domain(site)?;
    let permit = client.check_permit().await;
    inspect_within(client, &permit, &host, base, cache, TIMEOUT).await
}

pub(super) async fn inspect_within(
    client: &Client,
    permit: &Permit,
    host: &str,
    base: Option<&str>,
    cache: &Registries,
    within: Duration,
) -> Result<Expiry, Failure> {
    let deadline = Deadline::new(within);
    let questions = Questions {
        client,
        permit,
        deadline,
    };
    let answer = async {
        let registry = match base {
            Some(base) => base.to_owned(),
            None => cache.registry(&questions, host).await?,
        };
        questions.expiry(&registry, host).await
    };
    let answer = before(deadline.end() + GRACE, answer).await;
    answer.unwrap_or_else(|| Err(deadline.missed("no answer")))
}

/// The domain to look up, as resolvers have it: the URL's host, or the name that a DNS check queries.
fn domain(site: &Site) -> Result<String, Failure> {
    let host = match &site.check {
        Check::Dns(check) => &check.name,
        _ => site.host(),
    };
    match Host::parse(host) {
        Ok(Host::Domain(name)) if !candidates(&name).is_empty() => Ok(name),
        _ if site.literal().is_some() => Err(unknown("an address has no registration")),
        _ => Err(unknown(format!("{host} is no name that is registered"))),
    }
}

fn unknown(detail: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Body, detail)
}

/// Registries of the top-level domains in use, learnt from IANA's list.
pub struct Registries {
    list: String,
    /// `at` is 0 while the registry has not been looked up.
    learnt: Mutex<Vec<RegistryRecord>>,
    /// Held by the one task that fetches the list while others wait for its result. After a failure: the
    /// Unix time of the next attempt, and the failure.
    asking: async_lock::Mutex<Option<(i64, Failure)>>,
}

impl Registries {
    /// Restores what [`Registries::learnt`] returned, if anything.
    pub fn new(mut learnt: Vec<RegistryRecord>) -> Registries {
        learnt.truncate(MOST_LEARNT);
        Registries {
            list: IANA.to_owned(),
            learnt: Mutex::new(learnt),
            asking: async_lock::Mutex::new(None),
        }
    }

    #[cfg(test)]
    pub(super) fn of(list: &str, learnt: Vec<RegistryRecord>) -> Registries {
        Registries {
            list: list.to_owned(),
            ..Registries::new(learnt)
        }
    }

    /// The registries to save.
    pub fn learnt(&self) -> Vec<RegistryRecord> {
        let rows = lock(&self.learnt);
        rows.iter().filter(|row| row.at != 0).cloned().collect()
    }

    /// Registers the sites with `domain` before the first lookup, so that one fetch of the list serves all.
    pub fn want<'s>(&self, sites: impl IntoIterator<Item = &'s Site>) {
        let sites = sites.into_iter().filter(|site| site.domain.is_some());
        for host in sites.filter_map(|site| domain(site).ok()) {
            self.note(top_level(&host));
        }
    }

    fn note(&self, domain: &str) {
        let mut rows = lock(&self.learnt);
        if rows.iter().any(|row| row.domain == domain) {
            return;
        }
        if rows.len() >= MOST_LEARNT {
            let oldest = rows.iter().enumerate().min_by_key(|(_, row)| row.at);
            if let Some(at) = oldest.map(|(at, _)| at) {
                rows.swap_remove(at);
            }
        }
        rows.push(RegistryRecord {
            domain: domain.to_owned(),
            ..RegistryRecord::default()
        });
    }

    /// Returns the address of the registry for `host`.
    async fn registry(&self, questions: &Questions<'_>, host: &str) -> Result<String, Failure> {
        let domain = top_level(host);
        self.note(domain);
        if !self.is_fresh(domain) {
            let mut asking = self.asking.lock().await;
            if !self.is_fresh(domain)
                && let Err(failure) = self.ask(questions, &mut asking).await
            {
                // Most registries of a week ago are still valid.
                return self.known(domain).map_err(|_| failure);
            }
        }
        self.known(domain)
    }

    async fn ask(
        &self,
        questions: &Questions<'_>,
        failed: &mut Option<(i64, Failure)>,
    ) -> Result<(), Failure> {
        let now = wall();
        if let Some((again, failure)) = failed
            && (*again - NOT_AGAIN_FOR..*again).contains(&now)
        {
            return Err(failure.clone());
        }
        let wanted: Vec<String> = lock(&self.learnt)
            .iter()
            .map(|row| row.domain.clone())
            .collect();
        match questions.services(&self.list, &wanted).await {
            Ok(registries) => {
                *failed = None;
                let mut rows = lock(&self.learnt);
                for (domain, registry) in wanted.iter().zip(registries) {
                    if let Some(row) = rows.iter_mut().find(|row| row.domain == *domain) {
                        row.url = registry;
                        row.at = now;
                    }
                }
                Ok(())
            }
            Err(failure) => {
                *failed = Some((now + NOT_AGAIN_FOR, failure.clone()));
                Err(failure)
            }
        }
    }

    fn is_fresh(&self, domain: &str) -> bool {
        let now = wall();
        let rows = lock(&self.learnt);
        let row = rows.iter().find(|row| row.domain == domain);
        // An entry from the future: the clock was wrong then or is now.
        row.is_some_and(|row| (row.at..row.at.saturating_add(LEARNT_FOR)).contains(&now))
    }

    fn known(&self, domain: &str) -> Result<String, Failure> {
        let rows = lock(&self.learnt);
        let row = rows.iter().find(|row| row.domain == domain);
        match row.map(|row| row.url.as_str()).unwrap_or_default() {
            "" => Err(unknown(format!("the registry of .{domain} has no RDAP"))),
            // The list may be outdated; plain http is accepted only if the list came over http itself.
            http if !http.starts_with("https://") && self.list.starts_with("https:") => Err(
                unknown(format!("the registry of .{domain} speaks no https")),
            ),
            registry => Ok(registry.to_owned()),
        }
    }
}

fn top_level(host: &str) -> &str {
    let host = host.trim_end_matches('.');
    host.rsplit_once('.').map_or(host, |(_, last)| last)
}

/// The time of the wall clock in Unix seconds.
fn wall() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as i64)
}

/// The queries of one inspection: one deadline, one permit.
struct Questions<'a> {
    client: &'a Client,
    permit: &'a Permit,
    deadline: Deadline,
}

impl Questions<'_> {
    /// Queries one candidate after the other. A refusal for a name that is not registered (a public suffix,
    /// a host) is not final while there is another candidate, unless the registry limits the rate or is
    /// unreachable.
    async fn expiry(&self, registry: &str, host: &str) -> Result<Expiry, Failure> {
        let mut missing = None;
        let mut registered: Option<&str> = None;
        for name in candidates(host) {
            if registered.is_some_and(|below| below.ends_with(name)) {
                // The registration of another domain.
                continue;
            }
            let url = format!("{}/domain/{name}", registry.trim_end_matches('/'));
            match self.registration(&url).await {
                Ok(Some(found)) if is_about(&found, name) => {
                    if let Some(ends) = found.ends {
                        return Ok(Expiry::new(ends, name, &found.registrar, ""));
                    }
                    registered = registered.or(found.name.is_some().then_some(name));
                    let detail = format!("the registry does not say when {name} ends");
                    missing.get_or_insert(unknown(detail));
                }
                Ok(_) => {}
                Err(failure) if is_final(&failure) => return Err(failure),
                Err(failure) => {
                    missing.get_or_insert(failure);
                }
            }
        }
        Err(missing.unwrap_or_else(|| unknown(format!("the registry does not know {host}"))))
    }

    /// Fetches the registration at `url`; `None` if there is none.
    async fn registration(&self, url: &str) -> Result<Option<Registration>, Failure> {
        let (status, body, from) = self.get(url).await?;
        match status {
            200 => registration(&body)
                .map(Some)
                .map_err(|_| unknown(format!("the answer of {from} is not RDAP"))),
            // RFC 7480, section 5.3; some registries answer 400 for a public suffix.
            400 | 404 | 422 => Ok(None),
            _ => Err(refused(&from, status)),
        }
    }

    /// Returns the registries of `domains` from the list at `url`.
    async fn services(&self, url: &str, domains: &[String]) -> Result<Vec<String>, Failure> {
        let (status, body, from) = self.get(url).await?;
        if status != 200 {
            return Err(refused(&from, status));
        }
        services(&body, domains)
            .map_err(|_| unknown(format!("the answer of {from} is no list of registries")))
    }

    /// Returns status, body and the host that answered. Only the body of a 200 is read.
    async fn get(&self, url: &str) -> Result<(u16, Vec<u8>, String), Failure> {
        let bad = |_| Failure::new(FailureKind::Internal, "the address of RDAP is not a URL");
        let mut url = Url::parse(url).map_err(bad)?;
        let headers = HeaderMap::from_iter([(
            header::ACCEPT,
            HeaderValue::from_static("application/rdap+json, application/json"),
        )]);
        for _ in 0..=REDIRECTS {
            let from = url.host_str().unwrap_or_default().to_owned();
            let failed = |fault: TransferError| {
                let failure = fault.failure(&from, self.deadline.timeout);
                match failure.detail.contains(&from) {
                    true => failure,
                    false => Failure::new(failure.kind, format!("{from}: {}", failure.detail)),
                }
            };
            let ask = TransferRequest {
                close: true,
                permit: Some(self.permit),
                ..TransferRequest::get(&url, &headers, self.deadline.end())
            };
            let mut response = self.client.send(&ask).await.map_err(failed)?;
            let status = response.status().as_u16();
            if let Some(to) = location(status, response.headers()) {
                url = lead(&url, &to)?;
                continue;
            }
            let mut body = Vec::new();
            if status == 200 {
                let mut bounded = response.body_mut().take(BODY as u64 + 1);
                let read = bounded.read_to_end(&mut body).await;
                read.map_err(|error| {
                    failed(TransferError::of_body(error, url.scheme() == "https"))
                })?;
            }
            return match body.len() {
                0..=BODY => Ok((status, body, from)),
                _ => Err(unknown(format!("the answer of {from} is over 1 MiB"))),
            };
        }
        Err(Failure::new(
            FailureKind::Redirected,
            format!("more than {REDIRECTS} redirects"),
        ))
    }
}

/// Returns the target of a redirect; refuses one from https to another scheme.
pub(super) fn lead(from: &Url, to: &str) -> Result<Url, Failure> {
    let fail = |detail: String| Err(Failure::new(FailureKind::Redirected, detail));
    let host = from.host_str().unwrap_or_default();
    match from.join(to) {
        Ok(to) if to.scheme() == "https" => Ok(to),
        Ok(to) if to.scheme() == "http" && from.scheme() == "http" => Ok(to),
        Ok(to) => fail(format!(
            "{host} redirects to {}: is not followed",
            to.scheme()
        )),
        Err(_) => fail(format!("{host} redirects to what is not an address")),
    }
}

/// A response that names no domain is accepted, as is one whose name has characters that no domain has.
fn is_about(found: &Registration, name: &str) -> bool {
    found.name.as_ref().is_none_or(|about| {
        about.is_empty() || !about.is_ascii() || about.eq_ignore_ascii_case(name)
    })
}

/// Further queries would fail as well.
fn is_final(failure: &Failure) -> bool {
    match failure.kind {
        FailureKind::Status => failure.detail.ends_with(TOO_MANY),
        FailureKind::Body | FailureKind::Redirected => false,
        _ => true,
    }
}

/// End of the cause for a 429.
const TOO_MANY: &str = "too many questions (429)";

fn refused(from: &str, status: u16) -> Failure {
    let detail = match status {
        429 => format!("{from}: {TOO_MANY}"),
        _ => format!("{from} answered HTTP {status}"),
    };
    Failure::new(FailureKind::Status, detail)
}
