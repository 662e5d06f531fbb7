//! The keys that `[defaults]` and `[[site]]` share.

use super::error::MistakeList;
use super::login::{self, PlacedLogin};
use super::plaintext_secrets::{is_literal, is_secret_body, is_secret_name};
use super::string_span::within;
use super::telegram::ids;
use super::toml_table::{Entry, Table, describe};
use super::variables::{expanded, filled};
use super::{Context, condition, exec, keys, route, times_of_day, value};
use crate::monitor::site::{Auth, HttpVersion, IpVersion, JsonCondition, Proxy, StatusSet};
use crate::monitor::time::hours::Window;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml_span::Spanned;
use toml_span::value::ValueInner;

/// Maximum bytes of `expect`.
const LONGEST_EXPECT: usize = 4096;

/// Context in which sites are read.
pub struct Scope<'a> {
    pub ctx: &'a Context<'a>,
    /// Chats of `[telegram]`; `None` = any are allowed.
    pub chats: Option<Vec<i64>>,
    /// The agent's state directory, if it is known.
    pub state: Option<&'a Path>,
}

/// Declares [`Keys`]: each key with its type and its reader, a function of the table, the key and the
/// scope.
macro_rules! shared_keys {
    ($($key:ident: $type:ty = $read:expr,)*) => {
        /// The keys that `[defaults]` and `[[site]]` share; all missing by default.
        #[derive(Default)]
        pub struct Keys {
            $(pub $key: Entry<$type>,)*
            /// Values of the environment that were replaced in them.
            pub taken: Vec<String>,
        }

        impl Keys {
            pub fn read(table: &mut Table, scope: &Scope, log: &mut MistakeList) -> Keys {
                Keys {
                    $($key: {
                        let read: fn(&mut Table, &'static str, &Scope, &mut MistakeList) -> Entry<$type> = $read;
                        read(table, stringify!($key), scope, log)
                    },)*
                    taken: Vec::new(),
                }
            }

            /// Fills in keys from `[defaults]` that are missing here and that `counts`.
            pub fn or(&self, defaults: &Keys, counts: &dyn Fn(&str) -> bool) -> Keys {
                Keys {
                    $($key: match self.$key.is_absent() && counts(stringify!($key)) {
                        true => defaults.$key.clone(),
                        false => self.$key.clone(),
                    },)*
                    taken: [&self.taken[..], &defaults.taken].concat(),
                }
            }
        }
    };
}

shared_keys! {
    interval: Duration = time,
    timeout: Duration = time,
    tries: u32 = integer,
    retry: Duration = time,
    recover: u32 = integer,
    remind: Duration = |table, key, scope, log| time(table, key, scope, log).check(key, log, reminder),
    slow: Duration = time,
    group: String = |table, key, _, log| table.text(key, log, value::label),
    note: String = |table, key, _, log| table.text(key, log, value::note),
    paused: bool = flag,
    chats: Vec<i64> = chats,
    topic: u32 = integer,
    maintenance: Vec<Window> = |table, key, _, log| table.text(key, log, times_of_day::windows),
    grace: Duration = time,
    longest: Duration = time,
    method: String = |table, key, _, log| table.text(key, log, value::method),
    headers: Vec<(String, String)> = |table, key, scope, log| texts(table, key, &HEADERS, scope, log),
    send: String = |table, key, scope, log| filled(table, key, is_secret_body, scope.ctx.env, log).1,
    auth: Auth = |table, key, scope, log| {
        let (_, filled) = filled(table, key, is_literal, scope.ctx.env, log);
        filled.check(key, log, |text| auth(&text))
    },
    status: StatusSet = status,
    body: String = |table, key, _, log| table.text(key, log, sought),
    body_not: String = |table, key, _, log| table.text(key, log, sought),
    json: Vec<JsonCondition> = conditions,
    redirects: u32 = integer,
    private_redirects: bool = flag,
    proxy: Proxy = |table, key, scope, log| route::site_proxy(table, key, scope.ctx, log),
    http: HttpVersion = |table, key, _, log| table.text(key, log, http_version),
    login: PlacedLogin = login::read,
    cert: Duration = time,
    verify: bool = flag,
    ca_file: PathBuf = |table, key, scope, log| super::path(table, key, scope.ctx, log),
    loss: u32 = |table, key, _, log| table.text(key, log, loss),
    expect: String = |table, key, _, log| table.text(key, log, expected),
    env: Vec<(String, String)> = |table, key, scope, log| texts(table, key, &exec::ENVIRONMENT, scope, log),
    local: bool = flag,
    domain: Duration = time,
    ip: IpVersion = |table, key, _, log| table.text(key, log, ip_version),
}

fn time(table: &mut Table, key: &'static str, _: &Scope, log: &mut MistakeList) -> Entry<Duration> {
    table.time(key, log)
}

fn integer(table: &mut Table, key: &'static str, _: &Scope, log: &mut MistakeList) -> Entry<u32> {
    table.integer(key, log)
}

fn flag(table: &mut Table, key: &'static str, _: &Scope, log: &mut MistakeList) -> Entry<bool> {
    table.flag(key, log)
}

fn reminder(remind: Duration) -> Result<Duration, String> {
    if !remind.is_zero() && remind < Duration::from_secs(1) {
        return Err("must be at least 1s, or \"0s\" for never".to_owned());
    }
    Ok(remind)
}

fn chats(
    table: &mut Table,
    key: &'static str,
    scope: &Scope,
    log: &mut MistakeList,
) -> Entry<Vec<i64>> {
    ids(table, key, log).check(key, log, |list| {
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

/// Describes a table of strings with variables, e.g. of headers.
pub struct Texts {
    /// At least one of its values is secret.
    pub secret: bool,
    pub name: fn(&str) -> Result<(), String>,
    pub value: fn(String) -> Result<String, String>,
}

const HEADERS: Texts = Texts {
    secret: false,
    name: value::header_name,
    value: |text| value::header_value(&text).map(|()| text),
};

/// Reads names and values in the order of the file. Values may be secret.
pub fn texts(
    table: &mut Table,
    key: &'static str,
    kind: &Texts,
    scope: &Scope,
    log: &mut MistakeList,
) -> Entry<Vec<(String, String)>> {
    fields(
        table,
        key,
        kind.secret,
        kind.name,
        log,
        |text, label, log| {
            expanded(text, label, true, scope.ctx.env, log).check(label, log, kind.value)
        },
    )
}

/// Reads names and values in the order of the file. `read` converts a value, given its name in messages.
/// `secret`: at least one of them is secret.
pub fn fields<T>(
    table: &mut Table,
    key: &'static str,
    secret: bool,
    is_name: fn(&str) -> Result<(), String>,
    log: &mut MistakeList,
    mut read: impl FnMut(Entry<String>, &str, &mut MistakeList) -> Entry<T>,
) -> Entry<Vec<(String, T)>> {
    let all = table.label(key);
    let entries = table.read(key, log, |value| match value {
        ValueInner::Table(entries) => Some(Ok(entries)),
        _ => None,
    });
    entries.then(|entries, span| {
        let mut fields: Vec<_> = entries.into_iter().collect();
        fields.sort_by_key(|(key, _)| key.span.start);
        let mut list = Vec::new();
        let mut sound = true;
        // A form without variables contains its password, whatever the field is called.
        let mut literal = secret && !fields.is_empty();
        for (key, mut field) in fields {
            let name = key.name.into_owned();
            let label = format!("{all}.{}", keys::plain_part(&name));
            if let Err(what) = is_name(&name) {
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
            match read(text, &label, log).value() {
                Some(text) => list.push((name, text)),
                None => sound = false,
            }
        }
        if literal {
            log.add_secret(span, all);
        }
        sound.then_some(list)
    })
}

fn status(
    table: &mut Table,
    key: &'static str,
    _: &Scope,
    log: &mut MistakeList,
) -> Entry<StatusSet> {
    table.read(key, log, |value| match value {
        ValueInner::String(text) => Some(value::status_set(&text)),
        ValueInner::Integer(code) => Some(value::status_code(code)),
        _ => None,
    })
}

fn sought(text: &str) -> Result<String, String> {
    match text {
        "" => Err("is empty, which every body contains".to_owned()),
        text => Ok(text.to_owned()),
    }
}

fn http_version(text: &str) -> Result<HttpVersion, String> {
    match text {
        "1.1" => Ok(HttpVersion::Http11),
        "2" if cfg!(feature = "http2") => Ok(HttpVersion::Http2),
        "2" => Err("cannot be \"2\": this sitemon was built without HTTP/2; \
             build it with the cargo feature `http2`"
            .to_owned()),
        _ => Err("must be \"1.1\" or \"2\"; leave it out for either".to_owned()),
    }
}

fn ip_version(text: &str) -> Result<IpVersion, String> {
    match text {
        "4" => Ok(IpVersion::V4),
        "6" => Ok(IpVersion::V6),
        _ => Err("must be \"4\" or \"6\"; leave it out for either".to_owned()),
    }
}

/// Parses a percentage from 0 to 99.
fn loss(text: &str) -> Result<u32, String> {
    let share = text.strip_suffix('%').and_then(|share| share.parse().ok());
    share.filter(|share| *share < 100).ok_or_else(|| {
        "must be a share in whole percent below 100% such as \"20%\"; all lost is down".to_owned()
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

fn conditions(
    table: &mut Table,
    key: &'static str,
    _: &Scope,
    log: &mut MistakeList,
) -> Entry<Vec<JsonCondition>> {
    let file = log.text();
    table.list(key, log, |element, _| {
        let text = element.as_str()?;
        let condition = condition::parse(text);
        let place = |range| Some(within(file, element.span, text, range));
        Some(condition.map_err(|wrong| (place(wrong.range), wrong.what)))
    })
}
