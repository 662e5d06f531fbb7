//! `sitemon status`: what the running agent last wrote to its state.

use super::table::{self, Row};
use super::{Failure, print};
use crate::config::{self, Config};
use crate::monitor::judge::State;
use crate::state::{self, ReadError};
use std::time::Duration;

pub fn status(config: &Config, json: bool) -> Result<(), Failure> {
    let dir = config.agent.state.display();
    let snapshot = state::read(&config.agent.state).map_err(|e| {
        Failure::Usage(match e {
            ReadError::Missing => {
                format!("there is no state in {dir} yet: is `sitemon run` running?")
            }
            ReadError::Io(e) => format!(
                "cannot read the state in {dir}: {}; try as the user that runs sitemon",
                state::reason(&e)
            ),
            ReadError::Newer(version) => format!(
                "the state in {dir} was written by a newer sitemon, in version {version} of its \
                 format: this one cannot read it"
            ),
            ReadError::Damaged(what) => format!("the state in {dir} is damaged: {what}"),
        })
    })?;
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
                    State::Unknown => Some(cause.unwrap_or_else(|| "not checked yet".to_owned())),
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
        print(format_args!(
            "{}",
            table::json(&rows, Some(snapshot.written))
        ))?;
    } else {
        print(format_args!("{}", table::text(&rows)))?;
    }
    if rows.iter().any(|r| r.state == State::Down) {
        return Err(Failure::Down);
    }
    Ok(())
}
