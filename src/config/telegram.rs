//! `[telegram]`.

use super::error::{Log, reason};
use super::toml_table::{Entry, Table};
use super::{Context, SmallFile, Telegram, address, times_of_day, value};
use crate::secret::Secret;
use std::io;
use std::path::Path;
use std::time::Duration;
use toml_span::Spanned;

/// Where the token may come from when the file names none.
pub const TOKEN_VARIABLE: &str = "SITEMON_TELEGRAM_TOKEN";

const TOKEN_FORM: &str = "is not a bot token; BotFather gives it in the form 123456:ABC-DEF";

/// The section, and its chats as the sites may name them: `None` where they are not known for
/// a mistake.
pub fn read(
    mut table: Table,
    ctx: &Context,
    warnings: &mut Vec<String>,
    log: &mut Log,
) -> (Telegram, Option<Vec<i64>>) {
    let token = token(&mut table, ctx, warnings, log);
    let chats = ids(&mut table, "chats", log);
    let users = ids(&mut table, "users", log);
    if let Entry::Given(users) = &users
        && let Some(group) = users.value.iter().find(|&&id| id < 0)
    {
        log.add(
            users.span,
            format!("`users` has {group}, but only groups have negative ids"),
        );
    }
    let topic = table.integer("topic", 1..=i32::MAX as u32, log);
    let quiet = table.text(
        "quiet",
        "hours in quotes such as \"22:00-07:00\"",
        log,
        times_of_day::hours,
    );
    let api = table.text("api", "a URL in quotes", log, address::base);
    if let Some(host) = api.get().and_then(|api| address::open_way(&api)) {
        warnings.push(format!(
            "`api` begins with http://: the token travels unencrypted to {host}; use https://"
        ));
    }
    let longest = Duration::from_secs(50);
    let poll = table.text(
        "poll",
        "a duration in quotes such as \"50s\"",
        log,
        |text| value::whole_seconds(text, Duration::ZERO, longest),
    );
    table.finish(log);

    let known = if chats.is_bad() {
        None
    } else {
        Some(chats.clone().value().unwrap_or_default())
    };
    let telegram = Telegram {
        token: token.unwrap_or_else(|| Secret::new("")),
        chats: chats.value().unwrap_or_default(),
        users: users.value(),
        topic: topic.value().map(i64::from),
        quiet: quiet.value(),
        api: api
            .value()
            .unwrap_or_else(|| "https://api.telegram.org".to_owned()),
        poll: poll.value().unwrap_or(longest),
    };
    (telegram, known)
}

/// A list of chat or user ids, none twice.
pub fn ids(table: &mut Table, key: &'static str, log: &mut Log) -> Entry<Vec<i64>> {
    let list = table.list(key, "a list of ids such as [123456789]", log);
    let Entry::Given(list) = list else {
        return if list.is_absent() {
            Entry::Absent
        } else {
            Entry::Bad
        };
    };
    let mut ids = Vec::new();
    let mut sound = true;
    for element in &list.value {
        let what = match element.as_integer() {
            Some(0) => "has the id 0, which Telegram never gives".to_owned(),
            Some(id) if ids.contains(&id) => format!("has {id} twice"),
            Some(id) => {
                ids.push(id);
                continue;
            }
            None => {
                let found = super::toml_table::describe(element.as_ref());
                format!("must be a list of ids such as [123456789], found {found} in it")
            }
        };
        sound = false;
        log.add(element.span, format!("`{key}` {what}"));
    }
    if sound {
        Entry::Given(Spanned::with_span(ids, list.span))
    } else {
        Entry::Bad
    }
}

/// The token from the one place that has it; `None` is a recorded mistake.
fn token(
    table: &mut Table,
    ctx: &Context,
    warnings: &mut Vec<String>,
    log: &mut Log,
) -> Option<Secret> {
    let header = table.span;
    let wanted = "a text in quotes such as \"123456:ABC-DEF\"";
    let written = table.text("token", wanted, log, |text| Ok(text.to_owned()));
    let wanted = "a path in quotes such as \"/etc/sitemon.token\"";
    let file = table.text("token_file", wanted, log, |text| match text {
        "" => Err("is empty; it must be the path of a file that holds the token".to_owned()),
        // A token, sound or not, is never to be shown as a path that cannot be read.
        text if looks_like_a_token(text) => {
            Err("must be the path of a file; a token itself goes into `token`".to_owned())
        }
        text => Ok(text.to_owned()),
    });
    match (written, file) {
        (Entry::Given(_), Entry::Given(file)) => {
            log.add(
                file.span,
                "`token_file` and `token` are both given; keep one of them",
            );
            None
        }
        (written @ Entry::Given(_), _) => {
            if let Some(span) = written.span() {
                log.add_secret(span, "token");
            }
            let form = |text: String| sound_token(&text).ok_or_else(|| TOKEN_FORM.to_owned());
            written.check("token", log, form).value()
        }
        (_, file @ Entry::Given(_)) => file
            .check("token_file", log, |path| from_file(&path, ctx, warnings))
            .value(),
        (Entry::Absent, Entry::Absent) => {
            let Some(text) = (ctx.env)(TOKEN_VARIABLE).filter(|text| !text.trim().is_empty())
            else {
                log.add(
                    header,
                    format!(
                        "[telegram] has no bot token; give it as `token`, in a file named by \
                         `token_file`, or in the environment as {TOKEN_VARIABLE}"
                    ),
                );
                return None;
            };
            let token = sound_token(&text);
            if token.is_none() {
                log.add(header, format!("what {TOKEN_VARIABLE} holds {TOKEN_FORM}"));
            }
            token
        }
        (Entry::Bad, _) | (_, Entry::Bad) => None,
    }
}

fn from_file(path: &str, ctx: &Context, warnings: &mut Vec<String>) -> Result<Secret, String> {
    let path = ctx.dir.join(path);
    let shown = path.display();
    let file = (ctx.read)(&path)
        .or_else(|error| credential(&path, error, ctx))
        .map_err(|error| format!("names {shown}, which cannot be read: {}", reason(&error)))?;
    if file.exposed {
        warnings.push(format!(
            "{shown} holds the bot token and other users can read it; chmod 600 {shown}"
        ));
    }
    if file.text.trim().is_empty() {
        return Err(format!(
            "names {shown}, which is empty; put the bot token into it"
        ));
    }
    sound_token(&file.text)
        .ok_or_else(|| format!("names {shown}, but what that holds {TOKEN_FORM}"))
}

/// A file that we may not read is looked for, by its name, among those that systemd has read for
/// us (`LoadCredential=`, systemd.exec(5)).
fn credential(path: &Path, refused: io::Error, ctx: &Context) -> io::Result<SmallFile> {
    let given = (ctx.env)("CREDENTIALS_DIRECTORY").zip(path.file_name());
    match given {
        Some((dir, name)) if refused.kind() == io::ErrorKind::PermissionDenied => {
            (ctx.read)(&Path::new(&dir).join(name)).map_err(|_| refused)
        }
        _ => Err(refused),
    }
}

/// It begins as a token does, or is as the part of one that is behind the colon (35 characters).
fn looks_like_a_token(text: &str) -> bool {
    let id = text.trim_start().split_once(':').map_or("", |(id, _)| id);
    let key = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit())
        || text.len() >= 30 && text.bytes().all(key)
}

fn sound_token(text: &str) -> Option<Secret> {
    // An editor may have put a byte order mark before it.
    let text = text.trim_start_matches('\u{feff}').trim();
    value::is_token(text).then(|| Secret::new(text))
}
