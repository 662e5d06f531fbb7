//! `sitemon check`: checks each site once, now, without retries.

use super::table::{self, Row};
use super::{Failure, client, print};
use crate::check::{self, Registries};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::http::Client;
use crate::monitor::bot::name_resolution::{Resolved, resolve};
use crate::monitor::bot::nearest::nearest;
use crate::monitor::expiry::{Subject, left_text};
use crate::monitor::site::outcome::{Expiry, FailureKind, Outcome};
use crate::monitor::site::state::State;
use crate::monitor::site::{Check, Site};
use crate::state;
use crate::timer;
use async_signal::{Signal, Signals};
use futures_lite::{FutureExt, StreamExt, future};
use smol::LocalExecutor;
use std::cell::Cell;
use std::collections::HashSet;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub fn check(config: &Config, names: &[String], json: bool) -> Result<(), Failure> {
    let all = with_added(config);
    let sites = choose(&all, names)?;
    let client = client(config)?;
    check::allow_commands(config.agent.max_commands);
    let asker = Asker {
        client: &client,
        named: !names.is_empty(),
        rdap: config.agent.rdap.clone(),
        registries: registries(config, &sites),
    };
    let began = Instant::now();
    let asked = async { Some(asker.ask_all(&sites).await) };
    // The signals first: none must end this process after it has started a program.
    let rows = timer::block_on(interrupted(&sites).or(asked));
    let mut rows = rows.ok_or(Failure::Interrupted)?;
    if names.is_empty() {
        mark_unreachable(&sites, &mut rows);
    }
    if json {
        print(format_args!("{}", table::json(&rows, None)))?;
    } else {
        let table = table::text(&rows, table::coloured());
        let total = table::total(&rows, began.elapsed());
        print(format_args!("{table}{total}\n"))?;
    }
    if rows.iter().any(|r| r.state == State::Down) {
        return Err(Failure::Down);
    }
    Ok(())
}

/// Waits for SIGINT or SIGTERM if programs are run: they have process groups of their own, which
/// Ctrl-C doesn't reach.
async fn interrupted<T>(sites: &[&Site]) -> Option<T> {
    let programs = sites
        .iter()
        .any(|site| matches!(site.check, Check::Exec(_)));
    let signals = programs.then(|| Signals::new([Signal::Int, Signal::Term]).ok());
    match signals.flatten() {
        Some(mut signals) => drop(signals.next().await),
        None => future::pending().await,
    }
    None
}

/// Checks one site that isn't in the configuration file yet.
pub async fn one(config: &Config, client: &Client, site: &Site) -> Row {
    let asker = Asker {
        client,
        named: true,
        rdap: config.agent.rdap.clone(),
        registries: registries(config, &[site]),
    };
    asker.ask(site).await
}

/// Returns the sites of the file and those that were added in the chat, if the state can be read.
fn with_added(config: &Config) -> Vec<Arc<Site>> {
    let mut sites = config.sites.clone();
    match state::read(&config.agent.state) {
        Ok(snapshot) => {
            let added = snapshot.added.unwrap_or_default();
            sites.extend(config::added_beside(&added, config));
        }
        Err(state::ReadError::Missing) => {}
        Err(_) => {
            log::info!("sites that were added in the chat are not known: the state cannot be read")
        }
    }
    sites
}

/// Returns the sites with these names, in the order of the file.
fn choose<'a>(sites: &'a [Arc<Site>], names: &[String]) -> Result<Vec<&'a Site>, Failure> {
    if names.is_empty() {
        return Ok(sites.iter().map(Arc::as_ref).collect());
    }
    let mut chosen = vec![false; sites.len()];
    let known = sites.iter().map(Arc::as_ref).enumerate();
    for name in names {
        let named = match resolve(known.clone(), name) {
            Ok(Resolved::Site(at)) => vec![at],
            Ok(Resolved::Group(group)) => group,
            Err(fitting) if fitting.is_empty() => {
                let near = nearest(name, sites.iter().map(|site| site.name.as_str()));
                let near = near.map(|near| format!("; did you mean `{near}`?"));
                let near = near.unwrap_or_else(|| "; `sitemon config` lists them".to_owned());
                return Err(Failure::Usage(format!("there is no site `{name}`{near}")));
            }
            Err(several) => {
                let names: Vec<&str> = several.iter().map(|&i| sites[i].name.as_str()).collect();
                return Err(Failure::Usage(format!(
                    "`{name}` could be {}: write one of them out",
                    names.join(", ")
                )));
            }
        };
        for i in named {
            chosen[i] = true;
        }
    }
    let picked = sites.iter().zip(chosen).filter(|(_, c)| *c);
    Ok(picked.map(|(site, _)| site.as_ref()).collect())
}

/// Returns the registries that the agent has saved in its state, so that none is asked again within
/// a week.
fn registries(config: &Config, sites: &[&Site]) -> Registries {
    let known = state::read(&config.agent.state).map(|snapshot| snapshot.registries);
    let registries = Registries::new(known.unwrap_or_default());
    registries.want(sites.iter().copied());
    registries
}

struct Asker<'a> {
    client: &'a Client,
    /// Whether the sites were chosen by name: then paused ones are checked too, and all expiry
    /// dates.
    named: bool,
    rdap: Option<String>,
    registries: Registries,
}

impl Asker<'_> {
    /// Checks all sites, as many at once as there are permits.
    async fn ask_all(&self, sites: &[&Site]) -> Vec<Row> {
        let done = Cell::new(0);
        let progress = io::stderr().is_terminal();
        let show = || {
            if progress {
                let _ = write!(io::stderr(), "\r{} of {}", done.get(), sites.len());
            }
        };
        show();
        let executor = LocalExecutor::new();
        let ask = async |site: &Site| {
            let row = self.ask(site).await;
            done.set(done.get() + 1);
            show();
            row
        };
        let ask = &ask;
        let tasks: Vec<_> = sites.iter().map(|site| executor.spawn(ask(site))).collect();
        let rows = executor
            .run(async {
                let mut rows = Vec::with_capacity(tasks.len());
                for task in tasks {
                    rows.push(task.await);
                }
                rows
            })
            .await;
        if progress {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
        rows
    }

    async fn ask(&self, site: &Site) -> Row {
        if site.paused && !self.named {
            return row(site, State::Paused, None);
        }
        let outcome = check::guarded(check::run(self.client, site, true)).await;
        let looks = self.looks(site, &outcome);
        let mut row = row(site, judge(site, &outcome), Some(outcome));
        for (subject, warn) in looks {
            let rdap = self.rdap.clone();
            let look = check::inspect(self.client, site, subject, rdap, &self.registries).await;
            match look {
                Ok(looked) => {
                    note_expiry(&mut row, subject, &looked.first, warn);
                    note_root(&mut row, looked.root.as_ref(), warn);
                }
                Err(failure) => {
                    let unknown = format!("{} unknown: {}", word(subject), failure.detail);
                    row.unknown.push(unknown);
                }
            }
        }
        row
    }

    /// Returns the expiry dates to inspect, each with its warning period. Sites that weren't named
    /// get only their certificate inspected, and only if the check succeeds. The certificate of an
    /// unreachable site isn't inspected because the check has already reported the failure; its
    /// domain is looked up at the registry.
    fn looks(&self, site: &Site, outcome: &Outcome) -> Vec<(Subject, Duration)> {
        let reached = match &outcome.verdict {
            Ok(()) => true,
            Err(failure) => {
                let refused = matches!(failure.kind, FailureKind::Tls | FailureKind::Untrusted);
                self.named && (refused || outcome.took.is_some())
            }
        };
        let certificate = site.cert.filter(|_| reached);
        let domain = site.domain.filter(|_| self.named);
        let certificate = certificate.map(|warn| (Subject::Certificate, warn));
        let domain = domain.map(|warn| (Subject::Domain, warn));
        certificate.into_iter().chain(domain).collect()
    }
}

fn word(subject: Subject) -> &'static str {
    match subject {
        Subject::Certificate => "certificate",
        Subject::Domain => "domain",
    }
}

fn add(row: &mut Row, text: String) {
    let before = row.detail.take();
    row.detail = Some(before.map_or(text.clone(), |d| format!("{d}, {text}")));
}

/// Adds an expiry date. Within the period `warn` it makes a site that is up degraded.
fn note_expiry(row: &mut Row, subject: Subject, expiry: &Expiry, warn: Duration) {
    let left = expiry.ends - Clock::system().wall();
    let text = format!("{} {}", word(subject), left_text(left));
    if ends_within(left, warn) && row.state == State::Up {
        row.state = State::Degraded;
        row.cause = Some(text);
    } else {
        add(row, text);
    }
}

/// Adds the expiry of a root in this machine's bundle. It doesn't make the site degraded.
fn note_root(row: &mut Row, root: Option<&Expiry>, warn: Duration) {
    let left = |root: &Expiry| root.ends - Clock::system().wall();
    if let Some(root) = root.filter(|root| ends_within(left(root), warn)) {
        let (name, ends) = (&root.subject, left_text(left(root)));
        add(row, format!("root {name} of this machine's bundle {ends}"));
    }
}

fn ends_within(left: i64, warn: Duration) -> bool {
    left <= i64::try_from(warn.as_secs()).unwrap_or(i64::MAX)
}

/// Marks sites as unreachable that failed and depend on one that failed.
fn mark_unreachable(sites: &[&Site], rows: &mut [Row]) {
    let failed: HashSet<String> = rows
        .iter()
        .filter(|r| r.state == State::Down)
        .map(|r| r.name.clone())
        .collect();
    for (site, row) in sites.iter().zip(rows) {
        if let Some(parent) = &site.after
            && row.state == State::Down
            && failed.contains(parent)
        {
            row.state = State::Unreachable;
            row.cause = Some(format!("behind {parent}"));
        }
    }
}

/// Returns the state after a single check without retries.
fn judge(site: &Site, outcome: &Outcome) -> State {
    match &outcome.verdict {
        // A local fault says nothing about the site.
        Err(failure) if matches!(failure.kind, FailureKind::Local(_)) => State::Unknown,
        Err(_) => State::Down,
        Ok(()) if outcome.degraded_by(site.slow).is_some() => State::Degraded,
        Ok(()) => State::Up,
    }
}

fn row(site: &Site, state: State, outcome: Option<Outcome>) -> Row {
    let took = outcome.as_ref().and_then(|o| o.took);
    // The cause of a failure already contains the detail.
    let detail = outcome.as_ref().filter(|o| o.verdict.is_ok());
    let detail = detail.and_then(|o| o.detail.clone());
    let cause = match outcome {
        Some(outcome) => {
            let degraded = outcome.degraded_by(site.slow);
            outcome.verdict.err().map_or(degraded, |f| Some(f.detail))
        }
        None => Some("paused".to_owned()),
    };
    Row {
        name: site.name.clone(),
        url: site.url.clone(),
        state,
        cause,
        took,
        since: None,
        detail,
        unknown: Vec::new(),
    }
}
