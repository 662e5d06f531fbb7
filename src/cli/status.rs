//! `sitemon status`: shows what the running agent last wrote to its state.

use super::table::{self, Row};
use super::{Failure, print};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::monitor::site::Check;
use crate::monitor::site::state::State;
use crate::monitor::time::text::clock_times;
use crate::state::{self, ReadError};
use std::time::Duration;

/// Prints the state of each site; `unknown` if there is no state yet.
///
/// # Errors
///
/// Returns a failure if the state can't be read, no agent runs, or a site is down. The last two are
/// returned after printing.
pub fn status(config: &Config, json: bool) -> Result<(), Failure> {
    let dir = config.agent.state.display();
    let snapshot = match state::read(&config.agent.state) {
        Ok(snapshot) => Some(snapshot),
        Err(ReadError::Missing) => None,
        Err(ReadError::Io(e)) => {
            return Err(Failure::Usage(format!(
                "cannot read the state in {dir}: {}; try as the user that runs sitemon",
                crate::files::reason(&e)
            )));
        }
        Err(ReadError::Newer(version)) => {
            return Err(Failure::Usage(format!(
                "the state in {dir} was written by a newer sitemon, in version {version} of its \
                 format: this one cannot read it"
            )));
        }
        Err(ReadError::Damaged(what)) => {
            return Err(Failure::Usage(format!(
                "the state in {dir} is damaged: {what}"
            )));
        }
    };
    // Afterwards: where the state can be read, this is answered in time, too.
    let running = state::in_use_now(&config.agent.state);
    let written = snapshot.as_ref().map(|s| s.written);
    let snapshot = snapshot.unwrap_or_default();
    let added = config::added_beside(snapshot.added.as_deref().unwrap_or_default(), config);
    let rows: Vec<Row> = config
        .sites
        .iter()
        .chain(&added)
        .map(|site| {
            let record = snapshot.sites.iter().find(|r| r.name == site.name);
            let paused = record.and_then(|r| r.paused).unwrap_or(site.paused);
            let known = record.and_then(|r| State::from_word(&r.state));
            let state = if paused {
                State::Paused
            } else {
                known.unwrap_or(State::Unknown)
            };
            let cause = record.and_then(|r| r.cause.clone());
            Row {
                name: site.name.clone(),
                url: site.url.clone(),
                state,
                cause: match state {
                    State::Up => None,
                    State::Paused => Some("paused".to_owned()),
                    State::Unknown => Some(cause.unwrap_or_else(|| match site.check {
                        Check::Push(_) => "not reported yet".to_owned(),
                        _ => "not checked yet".to_owned(),
                    })),
                    _ => cause,
                },
                took: record.and_then(|r| r.ms).map(Duration::from_millis),
                since: record.map(|r| r.since),
                detail: None,
                unknown: Vec::new(),
            }
        })
        .collect();
    if json {
        let status = table::Status { written, running };
        print(format_args!("{}", table::json(&rows, Some(status))))?;
    } else {
        print(format_args!("{}", table::text(&rows, table::coloured())))?;
    }
    if !running {
        return Err(Failure::NotRunning(match written {
            Some(written) => {
                let clock = Clock::system();
                clock.use_zone(config.agent.timezone.clone());
                let now = clock.now();
                let (time, _) = clock_times(written, now.wall, now);
                format!("no agent is running: this was written at {time}")
            }
            None => format!("no agent is running, and there is no state in {dir} yet"),
        }));
    }
    if rows.iter().any(|r| r.state == State::Down) {
        return Err(Failure::Down);
    }
    Ok(())
}
