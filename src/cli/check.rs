//! `sitemon check`: every site asked once, now, without retries.

use super::table::{self, Row};
use super::{Failure, client, print};
use crate::check;
use crate::config::Config;
use crate::http::Client;
use crate::monitor::expiry::left_text;
use crate::monitor::judge::State;
use crate::monitor::outcome::{Expiry, Outcome};
use crate::monitor::site::Site;
use crate::monitor::text::response;
use smol::LocalExecutor;
use std::cell::Cell;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub fn check(config: &Config, names: &[String], json: bool) -> Result<(), Failure> {
    let sites = choose(&config.sites, names)?;
    let client = client(config)?;
    let rows = smol::block_on(ask_all(&client, &sites, names.is_empty()));
    if json {
        print(format_args!("{}", table::json(&rows, None)))?;
    } else {
        print(format_args!("{}", table::text(&rows)))?;
    }
    if rows.iter().any(|r| r.state == State::Down) {
        return Err(Failure::Down);
    }
    Ok(())
}

/// The sites that the names mean, in the order of the file: an exact name, an exact group, a
/// unique part of a name.
fn choose<'a>(sites: &'a [Site], names: &[String]) -> Result<Vec<&'a Site>, Failure> {
    if names.is_empty() {
        return Ok(sites.iter().collect());
    }
    let mut chosen = vec![false; sites.len()];
    for name in names {
        let matching = |test: &dyn Fn(&Site) -> bool| -> Vec<usize> {
            (0..sites.len()).filter(|&i| test(&sites[i])).collect()
        };
        let exact = matching(&|s| s.name == *name);
        let group = matching(&|s| s.group.as_deref() == Some(name));
        let part = matching(&|s| s.name.to_lowercase().contains(&name.to_lowercase()));
        let meant = match (exact.is_empty(), group.is_empty(), part.as_slice()) {
            (false, _, _) => exact,
            (_, false, _) => group,
            (_, _, [_]) => part,
            (_, _, []) => {
                return Err(Failure::Usage(format!(
                    "there is no site `{name}`; `sitemon config` lists them"
                )));
            }
            (_, _, several) => {
                let names: Vec<&str> = several.iter().map(|&i| sites[i].name.as_str()).collect();
                return Err(Failure::Usage(format!(
                    "`{name}` could be {}: write one of them out",
                    names.join(", ")
                )));
            }
        };
        for i in meant {
            chosen[i] = true;
        }
    }
    let picked = sites.iter().zip(chosen).filter(|(_, c)| *c);
    Ok(picked.map(|(site, _)| site).collect())
}

/// All at once as far as the permits allow. A paused site is asked only when it was named.
async fn ask_all(client: &Client, sites: &[&Site], skip_paused: bool) -> Vec<Row> {
    let done = Cell::new(0);
    let progress = io::stderr().is_terminal();
    let executor = LocalExecutor::new();
    let ask = async |site: &Site| {
        let row = if skip_paused && site.paused {
            row(site, State::Paused, None)
        } else {
            let outcome = check::guarded(check::run(client, site, true)).await;
            let expiry = match site.cert.filter(|_| outcome.verdict.is_ok()) {
                Some(warn) => check::certificate(client, site)
                    .await
                    .ok()
                    .map(|e| (e, warn)),
                None => None,
            };
            let mut row = row(site, judge(site, &outcome), Some(outcome));
            if let Some((expiry, warn)) = expiry {
                note_expiry(&mut row, &expiry, warn);
            }
            row
        };
        done.set(done.get() + 1);
        if progress {
            let _ = write!(io::stderr(), "\r{} of {}", done.get(), sites.len());
        }
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

/// A certificate that ends within `warn` makes a site degraded that is else up.
fn note_expiry(row: &mut Row, expiry: &Expiry, warn: Duration) {
    let left = expiry.ends - now();
    let text = format!("certificate {}", left_text(left));
    if left <= i64::try_from(warn.as_secs()).unwrap_or(i64::MAX) && row.state == State::Up {
        row.state = State::Degraded;
        row.cause = Some(text);
    } else {
        let before = row.detail.take();
        row.detail = Some(before.map_or(text.clone(), |d| format!("{d}, {text}")));
    }
}

/// Unix seconds.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

/// One check, no retries: it is what this answer says.
fn judge(site: &Site, outcome: &Outcome) -> State {
    match (&outcome.verdict, site.slow.zip(outcome.took)) {
        (Err(_), _) => State::Down,
        (Ok(()), Some((limit, took))) if took > limit => State::Degraded,
        (Ok(()), _) => State::Up,
    }
}

fn row(site: &Site, state: State, outcome: Option<Outcome>) -> Row {
    let took = outcome.as_ref().and_then(|o| o.took);
    let detail = outcome.as_ref().and_then(|o| o.detail.clone());
    let cause = match (outcome.map(|o| o.verdict), site.slow.zip(took)) {
        (Some(Err(failure)), _) => Some(failure.detail),
        (Some(Ok(())), Some((limit, took))) if took > limit => {
            Some(format!("{}, wanted {}", response(took), response(limit)))
        }
        (None, _) => Some("paused".to_owned()),
        _ => None,
    };
    Row {
        name: site.name.clone(),
        url: site.url.clone(),
        state,
        cause,
        took,
        since: None,
        detail,
    }
}
