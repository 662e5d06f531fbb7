//! The keys that `[defaults]` and `[[site]]` share.

use super::error::Log;
use super::login::{self, Found};
use super::plaintext_secrets::{is_literal, is_secret_body, is_secret_name};
use super::scheme::Scheme;
use super::string_span::within;
use super::telegram::ids;
use super::toml_table::{Entry, Table, describe};
use super::variables::expanded;
use super::{Context, condition, keys, times_of_day, value};
use crate::monitor::site::{Auth, HttpVersion, IpVersion, JsonCondition, StatusSet};
use crate::monitor::time::hours::Window;
use std::path::PathBuf;
use std::time::Duration;
use toml_span::Spanned;
use toml_span::value::ValueInner;

const DURATION: &str = "a duration in quotes such as \"60s\"";
const SECOND: Duration = Duration::from_secs(1);

/// What is read of the beginning of a conversation, in bytes.
const LONGEST_EXPECT: usize = 4096;

/// What the sites are read in.
pub struct Scope<'a> {
    pub ctx: &'a Context<'a>,
    /// Chats of `[telegram]`; `None` = any will do.
    pub chats: Option<Vec<i64>>,
}

/// The keys that `[defaults]` and `[[site]]` share; by default none is given.
#[derive(Default)]
pub struct Keys {
    pub interval: Entry<Duration>,
    pub timeout: Entry<Duration>,
    pub tries: Entry<u32>,
    pub retry: Entry<Duration>,
    pub recover: Entry<u32>,
    pub remind: Entry<Duration>,
    pub slow: Entry<Duration>,
    pub group: Entry<String>,
    pub paused: Entry<bool>,
    pub chats: Entry<Vec<i64>>,
    pub maintenance: Entry<Vec<Window>>,
    pub method: Entry<String>,
    pub headers: Entry<Vec<(String, String)>>,
    pub send: Entry<String>,
    pub auth: Entry<Auth>,
    pub status: Entry<StatusSet>,
    pub body: Entry<String>,
    pub body_not: Entry<String>,
    pub json: Entry<Vec<JsonCondition>>,
    pub redirects: Entry<u32>,
    pub private_redirects: Entry<bool>,
    pub http: Entry<HttpVersion>,
    pub login: Entry<Found>,
    pub cert: Entry<Duration>,
    pub verify: Entry<bool>,
    pub ca_file: Entry<PathBuf>,
    pub expect: Entry<String>,
    pub domain: Entry<Duration>,
    pub ip: Entry<IpVersion>,
    /// What `$NAME` stood for in them.
    pub taken: Vec<String>,
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
        let cert = time("cert", Duration::ZERO, value::LONGEST, log);
        let domain = time("domain", Duration::ZERO, value::LONGEST, log);
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
            maintenance: table.text(
                "maintenance",
                "windows in quotes such as \"Sun 02:00-04:00\"",
                log,
                times_of_day::windows,
            ),
            method: table.text(
                "method",
                "a method in quotes such as \"GET\"",
                log,
                value::method,
            ),
            headers: texts(table, &HEADERS, scope, log),
            send: filled(table, "send", is_secret_body, scope, log),
            auth: filled(table, "auth", is_literal, scope, log)
                .check("auth", log, |text| auth(&text)),
            status: status(table, log),
            body: search(table, "body", log),
            body_not: search(table, "body_not", log),
            json: conditions(table, log),
            redirects: table.integer("redirects", 0..=50, log),
            private_redirects: table.flag("private_redirects", log),
            http: table.text(
                "http",
                "\"1.1\" or \"2\" in quotes",
                log,
                |text| match text {
                    "1.1" => Ok(HttpVersion::Http11),
                    "2" if cfg!(feature = "http2") => Ok(HttpVersion::Http2),
                    "2" => Err("cannot be \"2\": this sitemon was built without HTTP/2; \
                         build it with the cargo feature `http2`"
                        .to_owned()),
                    _ => Err("must be \"1.1\" or \"2\"; leave it out for either".to_owned()),
                },
            ),
            login: login::read(table, scope, log),
            cert,
            verify: table.flag("verify", log),
            ca_file: super::path(table, "ca_file", scope.ctx, log),
            expect: table.text("expect", "a text in quotes", log, expected),
            domain,
            ip: table.text("ip", "\"4\" or \"6\" in quotes", log, |text| match text {
                "4" => Ok(IpVersion::V4),
                "6" => Ok(IpVersion::V6),
                _ => Err("must be \"4\" or \"6\"; leave it out for either".to_owned()),
            }),
            taken: Vec::new(),
        }
    }

    /// These, or those of `[defaults]` where the file says nothing here and a site of this kind
    /// has the key. Without a kind all of them count.
    pub fn or(&self, defaults: &Keys, scheme: Option<Scheme>) -> Keys {
        let fits = |key| scheme.is_none_or(|scheme| scheme.has(key));
        Keys {
            interval: self.interval.or(&defaults.interval),
            timeout: self.timeout.or(&defaults.timeout),
            tries: self.tries.or(&defaults.tries),
            retry: self.retry.or(&defaults.retry),
            recover: self.recover.or(&defaults.recover),
            remind: self.remind.or(&defaults.remind),
            slow: self.slow.or(&defaults.slow),
            group: self.group.or(&defaults.group),
            paused: self.paused.or(&defaults.paused),
            chats: self.chats.or(&defaults.chats),
            maintenance: self.maintenance.or(&defaults.maintenance),
            method: self.method.or_if(fits("method"), &defaults.method),
            headers: self.headers.or_if(fits("headers"), &defaults.headers),
            send: self.send.or_if(fits("send"), &defaults.send),
            auth: self.auth.or_if(fits("auth"), &defaults.auth),
            status: self.status.or_if(fits("status"), &defaults.status),
            body: self.body.or_if(fits("body"), &defaults.body),
            body_not: self.body_not.or_if(fits("body_not"), &defaults.body_not),
            json: self.json.or_if(fits("json"), &defaults.json),
            redirects: self.redirects.or_if(fits("redirects"), &defaults.redirects),
            private_redirects: self
                .private_redirects
                .or_if(fits("private_redirects"), &defaults.private_redirects),
            http: self.http.or_if(fits("http"), &defaults.http),
            login: self.login.or_if(fits("login"), &defaults.login),
            cert: self.cert.or_if(fits("cert"), &defaults.cert),
            verify: self.verify.or_if(fits("verify"), &defaults.verify),
            ca_file: self.ca_file.or_if(fits("ca_file"), &defaults.ca_file),
            expect: self.expect.or_if(fits("expect"), &defaults.expect),
            domain: self.domain.or(&defaults.domain),
            ip: self.ip.or(&defaults.ip),
            taken: [&self.taken[..], &defaults.taken].concat(),
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

/// A table of texts with variables in them, e.g. of headers.
pub struct Texts {
    pub key: &'static str,
    /// What messages call it.
    pub label: &'static str,
    pub wanted: &'static str,
    /// One of its values is a secret.
    pub secret: bool,
    pub name: fn(&str) -> Result<(), String>,
    pub value: fn(String) -> Result<String, String>,
}

const HEADERS: Texts = Texts {
    key: "headers",
    label: "headers",
    wanted: "a table such as { Accept = \"text/html\" }",
    secret: false,
    name: value::header_name,
    value: |text| value::header_value(&text).map(|()| text),
};

/// Names and values in the order of the file. The values may be secrets.
pub fn texts(
    table: &mut Table,
    kind: &Texts,
    scope: &Scope,
    log: &mut Log,
) -> Entry<Vec<(String, String)>> {
    let entries = table.read(kind.key, kind.wanted, log, |value| match value {
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
    let mut fields: Vec<_> = entries.value.into_iter().collect();
    fields.sort_by_key(|(key, _)| key.span.start);
    let mut list = Vec::new();
    let mut sound = true;
    // A form that takes nothing from the environment has its password in it, whatever that is called.
    let mut literal = kind.secret && !fields.is_empty();
    for (key, mut field) in fields {
        let name = key.name.into_owned();
        let label = format!("{}.{}", kind.label, value::brief(keys::plain_part(&name)));
        if let Err(what) = (kind.name)(&name) {
            log.add(key.span, format!("`{label}` {what}"));
            sound = false;
        }
        let text = match field.take() {
            ValueInner::String(text) => {
                if !is_literal(&text) {
                    literal = false;
                } else if is_secret_name(&name) {
                    log.add_secret(field.span, label.clone());
                    literal = false;
                }
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
        let text = expanded(text, &label, true, scope.ctx.env, log).check(&label, log, kind.value);
        match text.value() {
            Some(text) => list.push((name, text)),
            None => sound = false,
        }
    }
    if literal {
        log.add_secret(entries.span, kind.label);
    }
    if sound {
        Entry::Given(Spanned::with_span(list, entries.span))
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
        value::header_value(token)?;
        return Ok(Auth::Bearer(token.to_owned()));
    }
    let (user, password) = text.split_once(':').ok_or(FORM)?;
    Ok(Auth::Basic {
        user: user.to_owned(),
        password: password.to_owned(),
    })
}

/// A text with its variables filled in. It may be a secret; `literal` says whether one stands in it.
fn filled(
    table: &mut Table,
    key: &'static str,
    literal: fn(&str) -> bool,
    scope: &Scope,
    log: &mut Log,
) -> Entry<String> {
    let text = table.text(key, "a text in quotes", log, |text| Ok(text.to_owned()));
    if let Entry::Given(text) = &text
        && literal(&text.value)
    {
        log.add_secret(text.span, key);
    }
    expanded(text, key, true, scope.ctx.env, log)
}

fn expected(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("is empty; leave it out where any answer will do".to_owned());
    }
    if text.len() > LONGEST_EXPECT {
        let length = text.len();
        return Err(format!(
            "must be at most {LONGEST_EXPECT} bytes long, not {length}"
        ));
    }
    Ok(text.to_owned())
}

fn conditions(table: &mut Table, log: &mut Log) -> Entry<Vec<JsonCondition>> {
    const WANTED: &str = "a list of conditions such as [\"status == ok\"]";
    let list = match table.list("json", WANTED, log) {
        Entry::Given(list) => list,
        Entry::Absent => return Entry::Absent,
        Entry::Bad => return Entry::Bad,
    };
    let span = list.span;
    let mut conditions = Vec::new();
    let mut sound = true;
    for mut element in list.value {
        let (at, what) = match element.take() {
            ValueInner::String(text) => match condition::parse(&text) {
                Ok(condition) => {
                    conditions.push(condition);
                    continue;
                }
                Err(wrong) => {
                    let at = within(log.text(), element.span, &text, wrong.range);
                    (at, wrong.what)
                }
            },
            other => {
                let found = describe(&other);
                (
                    element.span,
                    format!("must be {WANTED}, found {found} in it"),
                )
            }
        };
        sound = false;
        log.add(at, format!("`json` {what}"));
    }
    if sound {
        Entry::Given(Spanned::with_span(conditions, span))
    } else {
        Entry::Bad
    }
}
