//! `[[action]]`: remediation of an outage.

use super::error::MistakeList;
use super::notify::{self, Targets};
use super::plaintext_secrets::{is_secret_body, is_secret_url};
use super::site_keys::fields;
use super::toml_table::{Entry, Table};
use super::value::{LONGEST_DURATION, brief};
use super::variables::{expanded, filled};
use super::{Context, Telegram, address, exec, value};
use crate::monitor::incident::remediation::{Limit, Remediation, When};
use crate::monitor::site::Site;
use crate::monitor::site::access::may_see;
use crate::secret::Secret;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// An `[[action]]` table.
#[derive(Clone, Debug)]
pub struct Action {
    pub remediation: Remediation,
    pub task: Task,
}

/// The task of an action.
#[derive(Clone, Debug)]
pub enum Task {
    Request(Request),
    /// The absolute path of a program, and its arguments.
    Command(Vec<String>),
    /// Wake-on-LAN: the MAC address.
    Wake([u8; 6]),
}

/// A request. All but the origin and the method may be secret.
#[derive(Clone, Debug)]
pub struct Request {
    /// Scheme and host, the only part of the URL that may be shown.
    pub origin: String,
    pub url: Secret,
    pub method: String,
    pub headers: Vec<(String, Secret)>,
    pub body: Option<Secret>,
}

/// What actions may refer to.
pub struct Scope<'a> {
    pub targets: &'a Targets,
    pub sites: &'a [Option<Arc<Site>>],
    pub telegram: Option<&'a Telegram>,
    /// The uplink is probed.
    pub uplink: bool,
    /// The agent's state directory.
    pub state: Option<&'a Path>,
}

const ADVICE: exec::Advice = exec::Advice {
    example: "/usr/local/bin/modem",
    secret: "let the program read it",
};

/// Reads one `[[action]]`. Returns `None` after a mistake, which is recorded. `names`: those of the
/// actions before it.
pub fn read(
    mut table: Table,
    scope: &Scope,
    names: &mut Vec<String>,
    ctx: &Context,
    warnings: &mut Vec<String>,
    log: &mut MistakeList,
) -> Option<Action> {
    let header = table.span;
    let name = table.text("name", log, value::label);
    let name = name.check("name", log, |name| match names.contains(&name) {
        true => Err("is that of another [[action]]; names are unique".to_owned()),
        false => {
            names.push(name.clone());
            Ok(name)
        }
    });
    if name.is_absent() {
        let remedy = "give it one, e.g. name = \"restart modem\"";
        log.add(header, format!("this [[action]] has no `name`; {remedy}"));
    }
    let request = table.table("request", log);
    let request = request.then(|table, _| self::request(table, ctx, log));
    let command = exec::command(&mut table, scope.state, &ADVICE, log);
    let command = command.then(|words, span| {
        if !cfg!(feature = "exec") {
            let what = "cannot be run: this sitemon is built without programs (feature `exec`)";
            log.add(span, format!("`command` {what}"));
        }
        cfg!(feature = "exec").then_some(words)
    });
    let wake = table.text("wake", log, mac);
    let task = task(request, command, wake, header, log);
    let when = table.text("when", log, when);
    let sites = notify::sites(&mut table, scope.targets, log);
    let auto = table.time("auto", log);
    let limit = table.text("limit", log, limit);
    table.finish(log);
    let offline = when.get() == Some(When::Offline);
    match &sites {
        Entry::Given(sites) if offline => log.add(
            sites.span,
            "`sites` is not for when = \"offline\", which is about our own connection; take it out",
        ),
        Entry::Absent if !offline && !when.is_bad() => log.add(
            header,
            "this [[action]] names no site; say whose down alert has its button, e.g. sites = [\"wan\"], \
             or when = \"offline\"",
        ),
        _ => {}
    }
    let listed = sites.get().unwrap_or_default();
    let remediation = Remediation {
        name: name.value()?,
        when: when.value()?,
        auto: auto.get(),
        limit: limit.value()?,
        sites: listed,
    };
    if !members_only(&remediation, scope) {
        log.add(
            header,
            "an [[action]] in a group needs `users` in [telegram]: every member of the group could run it; \
             say who may, e.g. users = [123456789]",
        );
    }
    if offline && !scope.uplink {
        warnings.push(format!(
            "the [[action]] {} waits for our own connection to be gone, but `uplink` of [agent] is empty: \
             that is never known",
            remediation.name
        ));
    }
    let task = task.filter(|_| !sites.is_bad() && !auto.is_bad())?;
    if let Task::Request(request) = &task
        && let Some(host) = address::open_way(&request.origin)
    {
        warnings.push(format!(
            "`request.url` of the [[action]] {} begins with http://: secrets travel unencrypted to {host}; \
             use https://",
            remediation.name
        ));
    }
    Some(Action { remediation, task })
}

/// No group in which all members may give commands sees the action.
fn members_only(remediation: &Remediation, scope: &Scope) -> bool {
    let Some(telegram) = scope.telegram.filter(|telegram| telegram.users.is_none()) else {
        return true;
    };
    let groups = telegram.chats.iter().filter(|chat| **chat < 0);
    let seen_in = |chat: i64| {
        let sites = scope.sites.iter().flatten();
        let mut sites = sites.filter(|site| remediation.is_for(site));
        remediation.when == When::Offline || sites.any(|site| may_see(chat, site))
    };
    !groups.into_iter().any(|chat| seen_in(*chat))
}

/// Reads the task: exactly one of the three keys must be given.
fn task(
    request: Entry<Request>,
    command: Entry<Vec<String>>,
    wake: Entry<[u8; 6]>,
    header: toml_span::Span,
    log: &mut MistakeList,
) -> Option<Task> {
    let given = [
        ("request", request.is_absent(), request.span()),
        ("command", command.is_absent(), command.span()),
        ("wake", wake.is_absent(), wake.span()),
    ];
    let given: Vec<_> = given.iter().filter(|(_, absent, _)| !absent).collect();
    match given.as_slice() {
        [_] => {}
        [] => log.add(
            header,
            "this [[action]] does nothing; give it one of `request`, `command` and `wake`",
        ),
        [(first, ..), (second, _, span), ..] => log.add(
            span.unwrap_or(header),
            format!("`{first}` and `{second}` are both given; an [[action]] has one of them"),
        ),
    }
    match (request.value(), command.value(), wake.value()) {
        (Some(request), None, None) => Some(Task::Request(request)),
        (None, Some(command), None) => Some(Task::Command(command)),
        (None, None, Some(mac)) => Some(Task::Wake(mac)),
        _ => None,
    }
}

fn request(mut table: Table, ctx: &Context, log: &mut MistakeList) -> Option<Request> {
    let header = table.span;
    let (written, url) = filled(&mut table, "url", is_secret_url, ctx.env, log);
    let written = written.get().unwrap_or_default();
    let url = url.check("request.url", log, |url| address::page(&written, &url));
    if url.is_absent() {
        log.add(header, "`request` has no `url`; say what is to be asked");
    }
    let method = table.text("method", log, value::method);
    let headers = fields(
        &mut table,
        "headers",
        false,
        |name| value::header_name(name).map_err(|what| what.replace("`send`", "`body`")),
        log,
        |text, label, log| {
            let text = expanded(text, label, true, ctx.env, log);
            text.check(label, log, |text| {
                value::header_value(&text).map(|()| Secret::new(text))
            })
        },
    );
    let (_, body) = filled(&mut table, "body", is_secret_body, ctx.env, log);
    let bad = body.is_bad();
    table.finish(log);
    let url = url.value()?;
    let origin = url::Url::parse(&url).map(|url| url.origin().ascii_serialization());
    (!bad).then_some(Request {
        origin: origin.unwrap_or_default(),
        url: Secret::new(url),
        method: method.value()?,
        headers: headers.value()?,
        body: body.value().map(Secret::new),
    })
}

fn when(text: &str) -> Result<When, String> {
    match text {
        "down" => Ok(When::Down),
        "offline" => Ok(When::Offline),
        other => Err(format!(
            "must be \"down\" or \"offline\"; `{}` is neither",
            brief(other)
        )),
    }
}

/// Parses six hexadecimal bytes with colons or hyphens between them. Rejects multicast addresses: the
/// lowest bit of the first byte is set (IEEE 802).
fn mac(text: &str) -> Result<[u8; 6], String> {
    let form = || {
        let form = "must be a MAC address such as \"aa:bb:cc:dd:ee:ff\"";
        Err(format!("{form}; `{}` is none", brief(text)))
    };
    let mut mac = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut mac {
        let part = parts
            .next()
            .filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()));
        match part.and_then(|part| u8::from_str_radix(part, 16).ok()) {
            Some(read) => *byte = read,
            None => return form(),
        }
    }
    if parts.next().is_some() || text.len() != 17 {
        return form();
    }
    if mac[0] & 1 == 1 || mac == [0; 6] {
        return Err("must be the MAC address of one machine, not of a group or of none".to_owned());
    }
    Ok(mac)
}

/// Parses 1 to 100 runs within a minute to 10,000 days.
fn limit(text: &str) -> Result<Limit, String> {
    let form = || {
        let form = "must be a number of runs and a time such as \"2 per 6h\"";
        format!("{form}; `{}` is none", brief(text))
    };
    let (runs, within) = text.split_once(" per ").ok_or_else(form)?;
    let digits = runs.bytes().all(|b| b.is_ascii_digit());
    let runs = runs.parse().ok().filter(|_| digits).ok_or_else(form)?;
    if !(1..=100).contains(&runs) {
        return Err(format!(
            "must allow 1 to 100 runs, not {runs}; without `auto` nothing runs by itself"
        ));
    }
    let within = value::duration_within(within, Duration::from_secs(60), LONGEST_DURATION);
    let within = within.map_err(|what| format!("has a time, which {what}"))?;
    Ok(Limit { runs, within })
}

/// Formats the limit as in the file.
pub fn limit_text(limit: Limit) -> String {
    format!(
        "{} per {}",
        limit.runs,
        value::format_duration(limit.within)
    )
}

/// Formats `when` as in the file.
pub fn when_text(when: When) -> &'static str {
    match when {
        When::Down => "down",
        When::Offline => "offline",
    }
}

/// Describes the task without secrets.
pub fn task_text(task: &Task) -> String {
    match task {
        Task::Request(request) => format!("{} {}/***", request.method, request.origin),
        Task::Command(command) => command.join(" "),
        Task::Wake(mac) => format!("wake {}", mac_text(mac)),
    }
}

pub fn mac_text(mac: &[u8; 6]) -> String {
    let bytes: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(":")
}
