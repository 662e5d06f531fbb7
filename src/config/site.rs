//! `[defaults]` and `[[site]]` → [`Site`].

use super::error::Log;
use super::names::Names;
use super::raw::{Entry, Table, describe};
use super::telegram::ids;
use super::variables::expanded;
use super::{Context, address, value};
use crate::monitor::site::{Auth, Check, HttpCheck, HttpVersion, IpVersion, Site, StatusSet};
use std::path::PathBuf;
use std::time::Duration;
use toml_span::Spanned;
use toml_span::value::ValueInner;

const DURATION: &str = "a duration in quotes such as \"60s\"";
const SECOND: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(10);

/// What the sites are read in.
pub struct Scope<'a> {
    pub ctx: &'a Context<'a>,
    /// Chats of `[telegram]`; `None` = any will do.
    pub chats: Option<Vec<i64>>,
}

/// The keys that `[defaults]` and `[[site]]` share; by default none is given.
#[derive(Default)]
pub struct Keys {
    interval: Entry<Duration>,
    timeout: Entry<Duration>,
    tries: Entry<u32>,
    retry: Entry<Duration>,
    recover: Entry<u32>,
    remind: Entry<Duration>,
    slow: Entry<Duration>,
    group: Entry<String>,
    paused: Entry<bool>,
    chats: Entry<Vec<i64>>,
    method: Entry<String>,
    headers: Entry<Vec<(String, String)>>,
    send: Entry<String>,
    auth: Entry<Auth>,
    status: Entry<StatusSet>,
    body: Entry<String>,
    body_not: Entry<String>,
    redirects: Entry<u32>,
    http: Entry<HttpVersion>,
    ip: Entry<IpVersion>,
    verify: Entry<bool>,
    ca_file: Entry<PathBuf>,
}

impl Keys {
    pub fn read(table: &mut Table, scope: &Scope, log: &mut Log) -> Keys {
        let mut time = |key, min, max, log: &mut Log| {
            table.text(key, DURATION, log, |text| {
                value::duration_within(text, min, max)
            })
        };
        let interval = time("interval", SECOND, value::LONGEST, log);
        let timeout = time(
            "timeout",
            Duration::from_millis(1),
            Duration::from_secs(300),
            log,
        );
        let retry = time("retry", SECOND, value::LONGEST, log);
        let remind = time("remind", Duration::ZERO, value::LONGEST, log);
        let slow = time("slow", Duration::from_millis(1), value::LONGEST, log);
        Keys {
            interval,
            timeout,
            tries: table.integer("tries", 1..=100, log),
            retry,
            recover: table.integer("recover", 1..=100, log),
            remind: remind.check("remind", log, reminder),
            slow,
            group: table.text("group", "a text in quotes", log, value::label),
            paused: table.flag("paused", log),
            chats: chats(table, scope, log),
            method: table.text(
                "method",
                "a method in quotes such as \"GET\"",
                log,
                value::method,
            ),
            headers: headers(table, scope, log),
            send: filled(table, "send", scope, log),
            auth: filled(table, "auth", scope, log).check("auth", log, |text| auth(&text)),
            status: status(table, log),
            body: search(table, "body", log),
            body_not: search(table, "body_not", log),
            redirects: table.integer("redirects", 0..=50, log),
            http: table.text(
                "http",
                "\"1.1\" or \"2\" in quotes",
                log,
                |text| match text {
                    "1.1" => Ok(HttpVersion::Http11),
                    "2" => Ok(HttpVersion::Http2),
                    _ => Err("must be \"1.1\" or \"2\"; leave it out for either".to_owned()),
                },
            ),
            ip: table.text("ip", "\"4\" or \"6\" in quotes", log, |text| match text {
                "4" => Ok(IpVersion::V4),
                "6" => Ok(IpVersion::V6),
                _ => Err("must be \"4\" or \"6\"; leave it out for either".to_owned()),
            }),
            verify: table.flag("verify", log),
            ca_file: super::path(table, "ca_file", scope.ctx, log),
        }
    }

    fn or(&self, other: &Keys) -> Keys {
        Keys {
            interval: self.interval.or(&other.interval),
            timeout: self.timeout.or(&other.timeout),
            tries: self.tries.or(&other.tries),
            retry: self.retry.or(&other.retry),
            recover: self.recover.or(&other.recover),
            remind: self.remind.or(&other.remind),
            slow: self.slow.or(&other.slow),
            group: self.group.or(&other.group),
            paused: self.paused.or(&other.paused),
            chats: self.chats.or(&other.chats),
            method: self.method.or(&other.method),
            headers: self.headers.or(&other.headers),
            send: self.send.or(&other.send),
            auth: self.auth.or(&other.auth),
            status: self.status.or(&other.status),
            body: self.body.or(&other.body),
            body_not: self.body_not.or(&other.body_not),
            redirects: self.redirects.or(&other.redirects),
            http: self.http.or(&other.http),
            ip: self.ip.or(&other.ip),
            verify: self.verify.or(&other.verify),
            ca_file: self.ca_file.or(&other.ca_file),
        }
    }
}

/// One `[[site]]`; `None` without a usable name or URL, which is recorded.
pub fn read(
    mut table: Table,
    defaults: &Keys,
    names: &mut Names,
    scope: &Scope,
    log: &mut Log,
) -> Option<Site> {
    let header = table.span;
    let name = table.text("name", "a text in quotes", log, value::label);
    let written = table.text("url", "a URL in quotes", log, |text| Ok(text.to_owned()));
    let url = expanded(written.clone(), "url", false, scope.ctx.env, log);
    let after = table.text("after", "the name of a site in quotes", log, |text| {
        Ok(text.to_owned())
    });
    let own = Keys::read(&mut table, scope, log);
    table.finish(log);
    names.add(&name, after.clone(), log);
    if name.is_absent() {
        log.add(
            header,
            "this site has no `name`; give it one, e.g. name = \"blog\"",
        );
    }
    if written.is_absent() {
        log.add(
            header,
            "this site has no `url`; say what to watch, e.g. url = \"https://example.com/\"",
        );
    }
    let keys = own.or(defaults);
    together(&own, &keys, log);

    let written = written.given()?;
    let address = url
        .check("url", log, |filled| address::site(&written.value, &filled))
        .value()?;
    // Credentials in the URL are the site's own, so they go before those of the defaults.
    if address.auth.is_some()
        && let Some(span) = own.auth.span()
    {
        log.add(
            span,
            "`auth` is given and `url` holds a user too; keep one of them",
        );
    }
    let name = name.value()?;
    let http = HttpCheck {
        url: address.url,
        method: keys.method.value().unwrap_or_else(|| "GET".to_owned()),
        headers: keys.headers.value().unwrap_or_default(),
        send: keys.send.value(),
        auth: address.auth.or(keys.auth.value()),
        status: keys.status.value().unwrap_or_else(|| StatusSet {
            ranges: vec![(200, 299)],
        }),
        body: keys.body.value(),
        body_not: keys.body_not.value(),
        json: Vec::new(),
        login: None,
        redirects: keys.redirects.value().unwrap_or(10),
        version: keys.http.value().unwrap_or(HttpVersion::Any),
        ip: keys.ip.value().unwrap_or(IpVersion::Any),
        verify: keys.verify.value().unwrap_or(true),
        ca_file: keys.ca_file.value(),
    };
    let remind = keys.remind.value().unwrap_or(Duration::from_secs(6 * 3600));
    Some(Site {
        after: after.value(),
        cert: None,
        domain: None,
        name,
        url: address::masked(&written.value),
        interval: keys.interval.value().unwrap_or(Duration::from_secs(60)),
        timeout: keys.timeout.value().unwrap_or(TIMEOUT),
        tries: keys.tries.value().unwrap_or(3),
        retry: keys.retry.value().unwrap_or(Duration::from_secs(10)),
        recover: keys.recover.value().unwrap_or(1),
        remind: Some(remind).filter(|remind| !remind.is_zero()),
        slow: keys.slow.value(),
        group: keys.group.value(),
        paused: keys.paused.value().unwrap_or(false),
        chats: keys.chats.value(),
        check: Check::Http(http),
    })
}

/// Rules over several keys, of which some may come from `[defaults]`: reported at the site's own
/// key where it has one.
fn together(own: &Keys, keys: &Keys, log: &mut Log) {
    let timeout = match &keys.timeout {
        Entry::Given(timeout) => Some(timeout.value),
        Entry::Absent => Some(TIMEOUT),
        Entry::Bad => None,
    };
    if let (Entry::Given(slow), Some(timeout)) = (&keys.slow, timeout)
        && slow.value >= timeout
    {
        let (slower, limit) = (
            value::format_duration(slow.value),
            value::format_duration(timeout),
        );
        let at = own.slow.span().or(own.timeout.span()).unwrap_or(slow.span);
        log.add(
            at,
            format!("`slow` ({slower}) must be shorter than `timeout` ({limit})"),
        );
    }
    for (key, own_text, text) in [
        ("body", &own.body, &keys.body),
        ("body_not", &own.body_not, &keys.body_not),
    ] {
        if let (Entry::Given(method), Entry::Given(text)) = (&keys.method, text)
            && method.value == "HEAD"
        {
            let at = own_text.span().or(own.method.span()).unwrap_or(text.span);
            log.add(
                at,
                format!("`{key}` cannot be met with method \"HEAD\": no body comes back"),
            );
        }
    }
}

fn reminder(remind: Duration) -> Result<Duration, String> {
    if !remind.is_zero() && remind < SECOND {
        return Err("must be at least 1s, or \"0s\" for never".to_owned());
    }
    Ok(remind)
}

fn chats(table: &mut Table, scope: &Scope, log: &mut Log) -> Entry<Vec<i64>> {
    ids(table, "chats", log).check("chats", log, |list| {
        let stranger = scope
            .chats
            .as_ref()
            .and_then(|known| list.iter().find(|id| !known.contains(id)));
        match stranger {
            Some(id) => Err(format!(
                "has {id}, which is not among the `chats` of [telegram]; add it there"
            )),
            None => Ok(list),
        }
    })
}

fn headers(table: &mut Table, scope: &Scope, log: &mut Log) -> Entry<Vec<(String, String)>> {
    let wanted = "a table such as { Accept = \"text/html\" }";
    let entries = table.read("headers", wanted, log, |value| match value {
        ValueInner::Table(entries) => Some(Ok(entries)),
        _ => None,
    });
    let Entry::Given(entries) = entries else {
        return if entries.is_absent() {
            Entry::Absent
        } else {
            Entry::Bad
        };
    };
    // In the order of the file.
    let mut fields: Vec<_> = entries.value.into_iter().collect();
    fields.sort_by_key(|(key, _)| key.span.start);
    let mut headers = Vec::new();
    let mut sound = true;
    for (key, mut field) in fields {
        let name = key.name.into_owned();
        let label = format!("headers.{}", value::brief(&name));
        if let Err(what) = value::header_name(&name) {
            log.add(key.span, format!("`{label}` {what}"));
            sound = false;
        }
        let text = match field.take() {
            ValueInner::String(text) => {
                Entry::Given(Spanned::with_span(text.into_owned(), field.span))
            }
            other => {
                let found = describe(&other);
                log.add(
                    field.span,
                    format!("`{label}` must be a text in quotes, found {found}"),
                );
                Entry::Bad
            }
        };
        let text = expanded(text, &label, true, scope.ctx.env, log).check(&label, log, |text| {
            if value::is_header_value(&text) {
                Ok(text)
            } else {
                Err("has a line break or another control character in its value".to_owned())
            }
        });
        match text.value() {
            Some(text) => headers.push((name, text)),
            None => sound = false,
        }
    }
    if sound {
        Entry::Given(Spanned::with_span(headers, entries.span))
    } else {
        Entry::Bad
    }
}

fn status(table: &mut Table, log: &mut Log) -> Entry<StatusSet> {
    let wanted = "codes in quotes such as \"200-299,401\"";
    table.read("status", wanted, log, |value| match value {
        ValueInner::String(text) => Some(value::status_set(&text)),
        ValueInner::Integer(code) => Some(value::status_code(code)),
        _ => None,
    })
}

fn search(table: &mut Table, key: &'static str, log: &mut Log) -> Entry<String> {
    table.text(key, "a text in quotes", log, |text| match text {
        "" => Err("is empty, which every body contains".to_owned()),
        text => Ok(text.to_owned()),
    })
}

fn auth(text: &str) -> Result<Auth, String> {
    const FORM: &str = "must be \"user:password\" or \"bearer TOKEN\"";
    if text.chars().any(char::is_control) {
        return Err("has a line break or another control character in it".to_owned());
    }
    if let Some((word, token)) = text.split_once(' ')
        && word.eq_ignore_ascii_case("bearer")
    {
        let token = token.trim();
        if token.is_empty() || token.contains(char::is_whitespace) {
            return Err(format!("{FORM}; one word follows \"bearer\""));
        }
        return Ok(Auth::Bearer(token.to_owned()));
    }
    let (user, password) = text.split_once(':').ok_or(FORM)?;
    Ok(Auth::Basic {
        user: user.to_owned(),
        password: password.to_owned(),
    })
}

/// A secret text with its variables filled in.
fn filled(table: &mut Table, key: &'static str, scope: &Scope, log: &mut Log) -> Entry<String> {
    let text = table.text(key, "a text in quotes", log, |text| Ok(text.to_owned()));
    expanded(text, key, true, scope.ctx.env, log)
}
