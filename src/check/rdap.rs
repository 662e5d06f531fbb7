//! When the registration of a domain ends, asked of its registry (RDAP: RFC 9082, RFC 9083). No
//! check of the site: a failure here means that the end is not known, not that anything is down.

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

/// Who answers for the names under each top-level domain (RFC 9224).
const IANA: &str = "https://data.iana.org/rdap/dns.json";
/// The list is asked for no more often than this, in seconds …
const LEARNT_FOR: i64 = 7 * 86_400;
/// … and after a failure not again before this.
const NOT_AGAIN_FOR: i64 = 600;
/// Top-level domains remembered.
const MOST_LEARNT: usize = 256;
/// For one inspection with all its questions; registries take their time.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Answers over this aren't read.
const BODY: usize = 1024 * 1024;
const REDIRECTS: usize = 3;

/// When the registration of `site`'s domain ends. Waits for a check's permit first. `base` is the
/// address of an RDAP service that knows every domain; without it IANA's list says which server to ask.
///
/// # Errors
///
/// Why it is not known: there is no registration, its registry can't be asked, or doesn't say.
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

/// The name that is looked for: the host's, or what a DNS check asks for. As resolvers know it.
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

/// Where the registries are, learnt of IANA's list for the top-level domains that are needed.
pub struct Registries {
    list: String,
    /// `at` is 0 of one that was not looked for yet.
    learnt: Mutex<Vec<RegistryRecord>>,
    /// One asks, the others wait for what it learns. After a failure: when it may be asked again,
    /// in Unix seconds, and what it was.
    asking: async_lock::Mutex<Option<(i64, Failure)>>,
}

impl Registries {
    /// From what [`Registries::learnt`] gave, or nothing.
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

    /// What is worth keeping.
    pub fn learnt(&self) -> Vec<RegistryRecord> {
        let rows = lock(&self.learnt);
        rows.iter().filter(|row| row.at != 0).cloned().collect()
    }

    /// Takes the sites that have `domain`, before any is looked up: then one question to IANA does
    /// for all of them.
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

    /// The address of the registry that answers for `host`.
    async fn registry(&self, questions: &Questions<'_>, host: &str) -> Result<String, Failure> {
        let domain = top_level(host);
        self.note(domain);
        if !self.is_fresh(domain) {
            let mut asking = self.asking.lock().await;
            if !self.is_fresh(domain)
                && let Err(failure) = self.ask(questions, &mut asking).await
            {
                // What was true a week ago mostly still is.
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
        // Learnt in the future: one of the two clocks wasn't set.
        row.is_some_and(|row| (row.at..row.at.saturating_add(LEARNT_FOR)).contains(&now))
    }

    fn known(&self, domain: &str) -> Result<String, Failure> {
        let rows = lock(&self.learnt);
        let row = rows.iter().find(|row| row.domain == domain);
        match row.map(|row| row.url.as_str()).unwrap_or_default() {
            "" => Err(unknown(format!("the registry of .{domain} has no RDAP"))),
            // Its list may be old; only one that came unencrypted itself may lead to such.
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

/// Unix seconds.
fn wall() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as i64)
}

/// The questions of one inspection, within one deadline and on one permit.
struct Questions<'a> {
    client: &'a Client,
    permit: &'a Permit,
    deadline: Deadline,
}

impl Questions<'_> {
    /// Asks for one candidate after the other. Whatever a registry says of a name that isn't
    /// registered (a public suffix, a host), it isn't the end while there is another one to ask
    /// for: only that it has enough of our questions, or isn't there.
    async fn expiry(&self, registry: &str, host: &str) -> Result<Expiry, Failure> {
        let mut missing = None;
        let mut registered: Option<&str> = None;
        for name in candidates(host) {
            if registered.is_some_and(|below| below.ends_with(name)) {
                // Another's registration.
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

    /// What is at `url`; `None`: there is no such registration.
    async fn registration(&self, url: &str) -> Result<Option<Registration>, Failure> {
        let (status, body, from) = self.get(url).await?;
        match status {
            200 => registration(&body)
                .map(Some)
                .map_err(|_| unknown(format!("the answer of {from} is not RDAP"))),
            // RFC 7480, section 5.3; some call a public suffix a bad request.
            400 | 404 | 422 => Ok(None),
            _ => Err(refused(&from, status)),
        }
    }

    /// The registries of `domains`, from the list at `url`.
    async fn services(&self, url: &str, domains: &[String]) -> Result<Vec<String>, Failure> {
        let (status, body, from) = self.get(url).await?;
        if status != 200 {
            return Err(refused(&from, status));
        }
        services(&body, domains)
            .map_err(|_| unknown(format!("the answer of {from} is no list of registries")))
    }

    /// Status, body and the host that answered. The body is read of a 200 only.
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

/// Where a redirect leads: never from https to anything else.
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

/// A registry that doesn't say what its answer is about is believed, and so is one that has the
/// name in letters that aren't a domain's.
fn is_about(found: &Registration, name: &str) -> bool {
    found.name.as_ref().is_none_or(|about| {
        about.is_empty() || !about.is_ascii() || about.eq_ignore_ascii_case(name)
    })
}

/// Another question would come to nothing better.
fn is_final(failure: &Failure) -> bool {
    match failure.kind {
        FailureKind::Status => failure.detail.ends_with(TOO_MANY),
        FailureKind::Body | FailureKind::Redirected => false,
        _ => true,
    }
}

/// How the cause of a 429 ends.
const TOO_MANY: &str = "too many questions (429)";

fn refused(from: &str, status: u16) -> Failure {
    let detail = match status {
        429 => format!("{from}: {TOO_MANY}"),
        _ => format!("{from} answered HTTP {status}"),
    };
    Failure::new(FailureKind::Status, detail)
}
