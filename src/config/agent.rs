//! `[agent]`.

use super::error::Log;
use super::plaintext_secrets::is_literal;
use super::toml_table::{Entry, Table, describe};
use super::{Agent, Context, Target, address, path, times_of_day, value, variables};
use crate::secret::Secret;
use std::path::PathBuf;
use std::time::Duration;
use toml_span::Spanned;
use toml_span::value::ValueInner;

/// Each of them is asked at once when sites fail, before anybody is told.
const MOST_TARGETS: usize = 8;

pub fn read(
    table: Option<Table>,
    ctx: &Context,
    warnings: &mut Vec<String>,
    log: &mut Log,
) -> Agent {
    let mut agent = Agent {
        state: PathBuf::from("/var/lib/sitemon"),
        max_connections: 10,
        idle_connections: 5,
        idle_timeout: Duration::from_secs(30),
        commands: 2,
        uplink: ["1.1.1.1", "9.9.9.9"]
            .map(|host| Target {
                host: host.to_owned(),
                port: 443,
            })
            .to_vec(),
        heartbeat: None,
        digest: None,
        timezone: None,
        rdap: None,
        ca_file: None,
        user_agent: concat!("sitemon/", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let Some(mut table) = table else { return agent };
    // A process usually has 1024 descriptors.
    let mut count = |key, min, into: &mut usize, log: &mut Log| {
        if let Some(number) = table.integer(key, min..=1000, log).value() {
            *into = number as usize;
        }
    };
    count("max_connections", 4, &mut agent.max_connections, log);
    count("idle_connections", 0, &mut agent.idle_connections, log);
    count("commands", 1, &mut agent.commands, log);
    let idle = table.text(
        "idle_timeout",
        "a duration in quotes such as \"30s\"",
        log,
        |text| value::whole_seconds(text, Duration::from_secs(1), value::LONGEST),
    );
    agent.idle_timeout = idle.value().unwrap_or(agent.idle_timeout);
    agent.state = path(&mut table, "state", ctx, log)
        .value()
        .unwrap_or(agent.state);
    agent.uplink = uplink(&mut table, log).value().unwrap_or(agent.uplink);
    agent.heartbeat = heartbeat(&mut table, ctx, log).value();
    let heartbeat = agent.heartbeat.as_ref().map(Secret::expose);
    if let Some(host) = heartbeat.and_then(address::open_way) {
        warnings.push(format!(
            "`heartbeat` begins with http://: its secret address travels unencrypted to {host}; \
             use https://"
        ));
    }
    agent.digest = table
        .text(
            "digest",
            "a time in quotes such as \"09:00\"",
            log,
            times_of_day::time,
        )
        .value();
    agent.timezone = table
        .text(
            "timezone",
            "a zone in quotes such as \"Europe/Berlin\"",
            log,
            |name| (ctx.zone)(name).map(|()| name.to_owned()),
        )
        .value();
    agent.rdap = table
        .text("rdap", "a URL in quotes", log, address::base)
        .value();
    agent.ca_file = path(&mut table, "ca_file", ctx, log).value();
    let user_agent = table.text("user_agent", "a text in quotes", log, |text| {
        if text.trim().is_empty() {
            return Err("is empty; leave it out for the usual one".to_owned());
        }
        value::header_value(text).map(|()| text.to_owned())
    });
    agent.user_agent = user_agent.value().unwrap_or(agent.user_agent);
    table.finish(log);
    agent
}

/// Unlike other lists it may be empty: then the line is never asked.
fn uplink(table: &mut Table, log: &mut Log) -> Entry<Vec<Target>> {
    const WANTED: &str = "a list such as [\"tcp://1.1.1.1:443\"]";
    let list = table.read("uplink", WANTED, log, |value| match value {
        ValueInner::Array(list) if list.len() > MOST_TARGETS => Some(Err(format!(
            "has {} addresses; at most {MOST_TARGETS}, for all of them are asked at once when a \
             site fails",
            list.len()
        ))),
        ValueInner::Array(list) => Some(Ok(list)),
        _ => None,
    });
    let list = match list {
        Entry::Given(list) => list,
        Entry::Absent => return Entry::Absent,
        Entry::Bad => return Entry::Bad,
    };
    let span = list.span;
    let mut targets = Vec::new();
    let mut sound = true;
    for mut element in list.value {
        let target = match element.take() {
            ValueInner::String(text) => address::target(&text),
            other => Err(format!(
                "must be {WANTED}, found {} in it",
                describe(&other)
            )),
        };
        let what = match target {
            Ok(target) if targets.contains(&target) => format!("has {target} twice"),
            Ok(target) => {
                targets.push(target);
                continue;
            }
            Err(what) => what,
        };
        sound = false;
        log.add(element.span, format!("`uplink` {what}"));
    }
    if sound {
        Entry::Given(Spanned::with_span(targets, span))
    } else {
        Entry::Bad
    }
}

/// The whole URL is a secret: whoever knows it can keep the alarm silent.
fn heartbeat(table: &mut Table, ctx: &Context, log: &mut Log) -> Entry<Secret> {
    let key = "heartbeat";
    let written = table.text(key, "a URL in quotes", log, |text| Ok(text.to_owned()));
    let filled = variables::expanded(written.clone(), key, true, ctx.env, log);
    if let Entry::Given(url) = &written
        && is_literal(&url.value)
    {
        log.add_secret(url.span, key);
    }
    let written = written.value().unwrap_or_default();
    filled.check(key, log, |filled| {
        address::page(&written, &filled).map(Secret::new)
    })
}
