//! `[agent]`.

use super::error::MistakeList;
use super::plaintext_secrets::is_literal;
use super::toml_table::{Entry, Table};
use super::{Agent, Context, Target, address, path, times_of_day, value, variables};
use crate::secret::Secret;
use std::path::PathBuf;

/// Reads the table. Returns `None` after a mistake, which is recorded.
pub fn read(
    mut table: Table,
    ctx: &Context,
    warnings: &mut Vec<String>,
    log: &mut MistakeList,
) -> Option<Agent> {
    let state = path(&mut table, "state", ctx, log);
    let (socket, spool) = beside_state(&mut table, state.clone().value(), log);
    let max_connections = table.integer("max_connections", log);
    let idle_connections = table.integer("idle_connections", log);
    let idle_timeout = table.time("idle_timeout", log);
    let commands = table.integer("commands", log);
    let max_commands = table.integer("max_commands", log);
    let uplink = uplink(&mut table, log);
    let heartbeat = heartbeat(&mut table, ctx, log).value();
    if let Some(host) = heartbeat
        .as_ref()
        .map(Secret::expose)
        .and_then(address::open_way)
    {
        warnings.push(format!(
            "`heartbeat` begins with http://: its secret address travels unencrypted to {host}; \
             use https://"
        ));
    }
    let digest = table.text("digest", log, times_of_day::time);
    let timezone = table.text("timezone", log, |name| {
        (ctx.zone)(name).map(|()| name.to_owned())
    });
    let rdap = table.text("rdap", log, address::base);
    let ca_file = path(&mut table, "ca_file", ctx, log);
    let user_agent = table.text("user_agent", log, |text| {
        if text.trim().is_empty() {
            return Err("is empty; leave it out for the usual one".to_owned());
        }
        value::header_value(text).map(|()| text.to_owned())
    });
    table.finish(log);
    Some(Agent {
        state: state.value()?,
        socket: socket.value()?,
        spool: spool.value()?,
        max_connections: max_connections.value()? as usize,
        idle_connections: idle_connections.value()? as usize,
        idle_timeout: idle_timeout.value()?,
        commands: commands.value()? as usize,
        max_commands: max_commands.value()? as usize,
        uplink: uplink.value()?,
        heartbeat,
        digest: digest.value(),
        timezone: timezone.value(),
        rdap: rdap.value(),
        ca_file: ca_file.value(),
        user_agent: user_agent.value()?,
    })
}

/// Reads `socket` and `spool` only. Invalid values count as missing.
pub fn push_paths(table: &mut Table, ctx: &Context, log: &mut MistakeList) -> (PathBuf, PathBuf) {
    let mut usual = Table::empty(&super::keys::AGENT);
    let state = path(table, "state", ctx, log).value();
    let state = state.or_else(|| path(&mut usual, "state", ctx, log).value());
    let (socket, spool) = beside_state(table, state.clone(), log);
    let (usual_socket, usual_spool) = beside_state(&mut usual, state, log);
    let or = |path: Entry<PathBuf>, usual: Entry<PathBuf>| {
        path.value().or(usual.value()).unwrap_or_default()
    };
    (or(socket, usual_socket), or(spool, usual_spool))
}

/// Reads `socket` and `spool`, which are relative to `state`.
fn beside_state(
    table: &mut Table,
    state: Option<PathBuf>,
    log: &mut MistakeList,
) -> (Entry<PathBuf>, Entry<PathBuf>) {
    let state = state.unwrap_or_default();
    let mut path = |key, log: &mut MistakeList| {
        table.text(key, log, |text| match text {
            text if text.is_empty() || text.contains('\0') => Err("must be a path".to_owned()),
            text => Ok(state.join(text)),
        })
    };
    (path("socket", log), path("spool", log))
}

fn uplink(table: &mut Table, log: &mut MistakeList) -> Entry<Vec<Target>> {
    table.list("uplink", log, |element, before| {
        let target = address::target(element.as_str()?);
        let target = target.and_then(|target| match before.contains(&target) {
            true => Err(format!("has {target} twice")),
            false => Ok(target),
        });
        Some(target.map_err(|what| (None, what)))
    })
}

/// The whole URL is secret: with it others could suppress the alarm.
fn heartbeat(table: &mut Table, ctx: &Context, log: &mut MistakeList) -> Entry<Secret> {
    let (written, filled) = variables::filled(table, "heartbeat", is_literal, ctx.env, log);
    let written = written.value().unwrap_or_default();
    filled.check("heartbeat", log, |filled| {
        address::page(&written, &filled).map(Secret::new)
    })
}
