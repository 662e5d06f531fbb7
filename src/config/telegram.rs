//! `[telegram]`.

use super::error::MistakeList;
use super::toml_table::{Entry, Table};
use super::{Context, SmallFile, Telegram, address, route, times_of_day, value};
use crate::secret::Secret;
use std::io;
use std::path::Path;

/// The variable with the token if the file names no source.
pub const TOKEN_VARIABLE: &str = "SITEMON_TELEGRAM_TOKEN";

const TOKEN_FORM: &str = "is not a bot token; BotFather gives it in the form 123456:ABC-DEF";

/// Reads the table and its chats, which sites may name. Returns `None` after a mistake, which is recorded.
pub fn read(
    mut table: Table,
    ctx: &Context,
    warnings: &mut Vec<String>,
    log: &mut MistakeList,
) -> (Option<Telegram>, Option<Vec<i64>>) {
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
    let topic = table.integer("topic", log);
    let quiet = table.text("quiet", log, times_of_day::hours);
    let api = table.text("api", log, address::base);
    if let Some(host) = api.get().and_then(|api| address::open_way(&api)) {
        warnings.push(format!(
            "`api` begins with http://: the token travels unencrypted to {host}; use https://"
        ));
    }
    let route = route::read(&mut table, ctx, warnings, log);
    let poll = table.time("poll", log);
    table.finish(log);

    let known = (!chats.is_bad()).then(|| chats.get().unwrap_or_default());
    let telegram = || {
        Some(Telegram {
            token: token?,
            chats: chats.value().unwrap_or_default(),
            users: users.value(),
            topic: topic.value().map(i64::from),
            quiet: quiet.value(),
            api: api.value()?,
            route: route.value()?,
            poll: poll.value()?,
        })
    };
    (telegram(), known)
}

/// Reads a list of chat or user ids without duplicates.
pub fn ids(table: &mut Table, key: &'static str, log: &mut MistakeList) -> Entry<Vec<i64>> {
    table.list(key, log, |element, before| {
        Some(match element.as_integer()? {
            0 => Err((None, "has the id 0, which Telegram never gives".to_owned())),
            id if before.contains(&id) => Err((None, format!("has {id} twice"))),
            id => Ok(id),
        })
    })
}

/// Reads the token from its only source. Returns `None` after a mistake, which is recorded.
fn token(
    table: &mut Table,
    ctx: &Context,
    warnings: &mut Vec<String>,
    log: &mut MistakeList,
) -> Option<Secret> {
    let header = table.span;
    let written = table.text("token", log, |text| Ok(text.to_owned()));
    let file = table.text("token_file", log, |text| match text {
        "" => Err("is empty; it must be the path of a file that holds the token".to_owned()),
        // A token, valid or not, must not be reported as the path of an unreadable file.
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
        .map_err(|error| {
            format!(
                "names {shown}, which cannot be read: {}",
                crate::files::reason(&error)
            )
        })?;
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

/// Looks for a file that we may not read among the credentials that systemd has loaded for us
/// (`LoadCredential=`, systemd.exec(5)).
fn credential(path: &Path, refused: io::Error, ctx: &Context) -> io::Result<SmallFile> {
    let given = (ctx.env)("CREDENTIALS_DIRECTORY").zip(path.file_name());
    match given {
        Some((dir, name)) if refused.kind() == io::ErrorKind::PermissionDenied => {
            (ctx.read)(&Path::new(&dir).join(name)).map_err(|_| refused)
        }
        _ => Err(refused),
    }
}

/// The text begins like a token, or looks like the part of one after the colon (35 characters).
fn looks_like_a_token(text: &str) -> bool {
    let id = text.trim_start().split_once(':').map_or("", |(id, _)| id);
    let key = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit())
        || text.len() >= 30 && text.bytes().all(key)
}

/// Returns the token in `text` without surrounding white space; `None` if it is malformed.
pub fn sound_token(text: &str) -> Option<Secret> {
    // Some editors write a byte order mark.
    let text = text.trim_start_matches('\u{feff}').trim();
    value::is_token(text).then(|| Secret::new(text))
}
