//! `[agent]`.

use super::error::Log;
use super::plaintext_secrets::is_literal;
use super::toml_table::{Entry, Table};
use super::{Agent, Context, Target, address, path, times_of_day, value, variables};
use crate::secret::Secret;
use std::path::PathBuf;
use std::time::Duration;

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
    let mut count = |key, into: &mut usize, log: &mut Log| {
        if let Some(number) = table.integer(key, log).value() {
            *into = number as usize;
        }
    };
    count("max_connections", &mut agent.max_connections, log);
    count("idle_connections", &mut agent.idle_connections, log);
    count("commands", &mut agent.commands, log);
    let idle = table.time("idle_timeout", log).value();
    agent.idle_timeout = idle.unwrap_or(agent.idle_timeout);
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
    agent.digest = table.text("digest", log, times_of_day::time).value();
    let timezone = table.text("timezone", log, |name| {
        (ctx.zone)(name).map(|()| name.to_owned())
    });
    agent.timezone = timezone.value();
    agent.rdap = table.text("rdap", log, address::base).value();
    agent.ca_file = path(&mut table, "ca_file", ctx, log).value();
    let user_agent = table.text("user_agent", log, |text| {
        if text.trim().is_empty() {
            return Err("is empty; leave it out for the usual one".to_owned());
        }
        value::header_value(text).map(|()| text.to_owned())
    });
    agent.user_agent = user_agent.value().unwrap_or(agent.user_agent);
    table.finish(log);
    agent
}

fn uplink(table: &mut Table, log: &mut Log) -> Entry<Vec<Target>> {
    table.list("uplink", log, |element, before| {
        let target = address::target(element.as_str()?);
        let target = target.and_then(|target| match before.contains(&target) {
            true => Err(format!("has {target} twice")),
            false => Ok(target),
        });
        Some(target.map_err(|what| (None, what)))
    })
}

/// The whole URL is a secret: with it the alarm can be kept silent.
fn heartbeat(table: &mut Table, ctx: &Context, log: &mut Log) -> Entry<Secret> {
    let (written, filled) = variables::filled(table, "heartbeat", is_literal, ctx.env, log);
    let written = written.value().unwrap_or_default();
    filled.check("heartbeat", log, |filled| {
        address::page(&written, &filled).map(Secret::new)
    })
}
