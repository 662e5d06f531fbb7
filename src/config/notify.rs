//! `[[notify]]`: another notification channel, by HTTP.

use super::error::MistakeList;
use super::plaintext_secrets::{is_literal, is_secret_body, is_secret_name};
use super::site_keys::fields;
use super::site_names::Names;
use super::template::{Encoding, Template};
use super::toml_table::{Entry, Table};
use super::value::{LONGEST_DURATION, brief};
use super::{Context, address, json_string, keys, value};
use crate::monitor::bot::nearest::nearest;
use crate::monitor::outbox::channels::placeholders::Values;
use crate::monitor::outbox::channels::{Channel, When};
use crate::monitor::site::Site;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use toml_span::value::ValueInner;
use toml_span::{Spanned, Value};
use url::Url;

/// A `[[notify]]` table. All but its name, the method and the names of headers may be secret.
#[derive(Clone, Debug)]
pub struct Notify {
    pub channel: Channel,
    /// Scheme and host, the only part of the URL that may be shown.
    pub origin: String,
    pub url: Template,
    pub method: String,
    pub headers: Vec<(String, Template)>,
    pub body: Body,
}

#[derive(Clone, Debug)]
pub enum Body {
    None,
    Text(Template),
    Json(Template),
}

/// What the `sites` of a channel may name, and the names in use.
pub struct Targets {
    known: HashSet<String>,
    /// A site has mistakes, so its group may be missing here.
    partly: bool,
    channels: Vec<String>,
}

impl Targets {
    pub fn new(names: &Names, sites: &[Option<Arc<Site>>]) -> Targets {
        let groups = sites
            .iter()
            .flatten()
            .filter_map(|site| site.group.as_deref());
        Targets {
            known: names.known().chain(groups).map(str::to_owned).collect(),
            partly: sites.iter().any(Option::is_none),
            channels: Vec::new(),
        }
    }
}

/// Reads one `[[notify]]`. Returns `None` after a mistake, which is recorded.
pub fn read(
    mut table: Table,
    targets: &mut Targets,
    ctx: &Context,
    warnings: &mut Vec<String>,
    log: &mut MistakeList,
) -> Option<Notify> {
    let header = table.span;
    let name = table.text("name", log, value::label);
    let name = name.check("name", log, |name| match targets.channels.contains(&name) {
        true => Err("is that of another [[notify]]; names are unique".to_owned()),
        false => {
            targets.channels.push(name.clone());
            Ok(name)
        }
    });
    let url = url(&mut table, ctx, log);
    let method = table.text("method", log, value::method);
    let headers = fields(
        &mut table,
        "headers",
        false,
        |name| value::header_name(name).map_err(|what| what.replace("`send`", "`body` or `json`")),
        log,
        |text, label, log| {
            let text = text.check(label, log, |text| {
                match text.chars().any(char::is_control) {
                    true => Err("has a line break or another control character in it".to_owned()),
                    false => Ok(text),
                }
            });
            template(text, label, Encoding::Header, ctx, log)
        },
    );
    let body = table.text("body", log, |text| Ok(text.to_owned()));
    if let Entry::Given(text) = &body
        && is_secret_body(&text.value)
    {
        log.add_secret(text.span, "body");
    }
    let body = template(body, "body", Encoding::Plain, ctx, log);
    let json = table.read("json", log, |value| match value {
        table @ ValueInner::Table(_) => Some(Ok(table)),
        _ => None,
    });
    let json = json.then(|value, span| {
        let mut template = Template::new(Encoding::Json);
        let value = Value::with_span(value, span);
        push_json(&mut template, value, "json", ctx, log).then_some(template)
    });
    if let (Some(_), Some(span)) = (body.span(), json.span()) {
        log.add(span, "`json` and `body` are both given; keep one of them");
    }
    let when = table.text("when", log, when);
    let sites = sites(&mut table, targets, log);
    table.finish(log);
    if name.is_absent() {
        log.add(
            header,
            "this [[notify]] has no `name`; give it one, e.g. name = \"ntfy\"",
        );
    }
    if url.is_absent() {
        let remedy = "say where alerts are sent, e.g. url = \"https://ntfy.sh/TOPIC\"";
        log.add(header, format!("this [[notify]] has no `url`; {remedy}"));
    }
    let sound = !sites.is_bad() && !body.is_bad() && !json.is_bad();
    let (name, url) = (name.value().filter(|_| sound)?, url.value()?);
    if let Some(host) = address::open_way(&url.origin) {
        warnings.push(format!(
            "`url` of the [[notify]] {name} begins with http://: alerts and secrets travel \
             unencrypted to {host}; use https://"
        ));
    }
    Some(Notify {
        channel: Channel {
            name,
            when: when.value()?,
            sites: sites.value(),
        },
        origin: url.origin,
        url: url.template,
        method: method.value()?,
        headers: headers.value()?,
        body: match (body.value(), json.value()) {
            (_, Some(json)) => Body::Json(json),
            (Some(text), None) => Body::Text(text),
            (None, None) => Body::None,
        },
    })
}

/// Warns of channels that will never be used.
pub fn idle(channels: &[Notify], has_telegram: bool) -> Vec<String> {
    let idle = channels
        .iter()
        .map(|notify| &notify.channel)
        .filter(|channel| {
            let waits = matches!(channel.when, When::TelegramFails(_));
            waits && !has_telegram
        });
    let warning = |channel: &Channel| {
        let name = &channel.name;
        format!("the [[notify]] {name} waits for Telegram to fail, but there is no [telegram]")
    };
    idle.map(warning).collect()
}

fn template(
    text: Entry<String>,
    key: &str,
    encoding: Encoding,
    ctx: &Context,
    log: &mut MistakeList,
) -> Entry<Template> {
    text.then(|value, span| {
        let mut template = Template::new(encoding);
        let text = Entry::Given(Spanned::with_span(value, span));
        template.push(text, key, ctx, log).then_some(template)
    })
}

struct PlacedUrl {
    template: Template,
    origin: String,
}

/// The whole URL is secret: with it others could send or read messages.
fn url(table: &mut Table, ctx: &Context, log: &mut MistakeList) -> Entry<PlacedUrl> {
    let written = table.text("url", log, |text| Ok(text.to_owned()));
    if let Entry::Given(text) = &written
        && is_literal(&text.value)
    {
        log.add_secret(text.span, "url");
    }
    let shown = written.get().unwrap_or_default();
    let template = template(written, "url", Encoding::Percent, ctx, log);
    template.check("url", log, |template| {
        let filled = |word: &str| {
            let filled = template.fill(&Values::new(|_| word.to_owned()));
            let url = Url::parse(&address::page(&shown, &filled)?);
            url.map_err(|error| format!("is not a URL: {error}"))
        };
        let (one, other) = (filled("1")?, filled("2")?);
        let origin = one.origin().ascii_serialization();
        if origin != other.origin().ascii_serialization() {
            return Err("has a placeholder in its host; it may stand behind that".to_owned());
        }
        Ok(PlacedUrl { template, origin })
    })
}

/// Appends a value of `json`, whose texts are templates. Returns whether it is valid.
fn push_json(
    template: &mut Template,
    mut value: Value,
    key: &str,
    ctx: &Context,
    log: &mut MistakeList,
) -> bool {
    let span = value.span;
    match value.take() {
        ValueInner::String(text) => {
            template.push_text("\"");
            let text = Entry::Given(Spanned::with_span(text.into_owned(), span));
            let sound = template.push(text, key, ctx, log);
            template.push_text("\"");
            sound
        }
        ValueInner::Array(list) => {
            let mut sound = true;
            template.push_text("[");
            for (place, element) in list.into_iter().enumerate() {
                if place > 0 {
                    template.push_text(",");
                }
                sound &= push_json(template, element, key, ctx, log);
            }
            template.push_text("]");
            sound
        }
        ValueInner::Table(entries) => {
            let mut fields: Vec<_> = entries.into_iter().collect();
            fields.sort_by_key(|(name, _)| name.span.start);
            let mut sound = true;
            template.push_text("{");
            for (place, (name, field)) in fields.into_iter().enumerate() {
                let separator = if place > 0 { "," } else { "" };
                template.push_text(&format!("{separator}{}:", json_string(&name.name)));
                let label = format!("{key}.{}", keys::plain_part(&name.name));
                if is_secret_name(&name.name) && field.as_str().is_some_and(is_literal) {
                    log.add_secret(field.span, label.clone());
                }
                sound &= push_json(template, field, &label, ctx, log);
            }
            template.push_text("}");
            sound
        }
        ValueInner::Integer(number) => {
            template.push_text(&number.to_string());
            true
        }
        ValueInner::Float(number) if number.is_finite() => {
            template.push_text(&format!("{number:?}"));
            true
        }
        ValueInner::Float(_) => {
            log.add(span, format!("`{key}` must be a number that JSON has"));
            false
        }
        ValueInner::Boolean(flag) => {
            template.push_text(&flag.to_string());
            true
        }
    }
}

fn when(text: &str) -> Result<When, String> {
    type Make = fn(Duration) -> When;
    const TIMED: [(&str, Make); 2] = [
        ("telegram fails ", When::TelegramFails),
        ("unacknowledged ", When::Unacknowledged),
    ];
    if text == "always" {
        return Ok(When::Always);
    }
    for (words, make) in TIMED {
        if let Some(time) = text.strip_prefix(words) {
            let time = value::duration_within(time, Duration::from_secs(1), LONGEST_DURATION);
            return time
                .map(make)
                .map_err(|what| format!("has a time, which {what}"));
        }
    }
    let time = match TIMED.iter().find(|(words, _)| words.trim() == text.trim()) {
        Some((words, _)) => format!("; `{}` wants a time", words.trim()),
        None => format!("; `{}` is none of them", brief(text)),
    };
    Err(format!(
        "must be \"always\", \"telegram fails 5m\" or \"unacknowledged 15m\"{time}"
    ))
}

pub fn sites(table: &mut Table, targets: &Targets, log: &mut MistakeList) -> Entry<Vec<String>> {
    table.list("sites", log, |element, before: &[String]| {
        let name = element.as_str()?;
        let shown = brief(name);
        Some(if before.iter().any(|other| other == name) {
            Err((None, format!("has `{shown}` twice")))
        } else if targets.known.contains(name) || targets.partly {
            Ok(name.to_owned())
        } else {
            let remedy = match nearest(name, targets.known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "it wants the `name` or the `group` of a [[site]]".to_owned(),
            };
            let what = format!("names `{shown}`, which is no site and no group; {remedy}");
            Err((None, what))
        })
    })
}

/// Formats `when` as in the file.
pub fn when_text(when: When) -> String {
    let timed = |words, time| format!("{words} {}", value::format_duration(time));
    match when {
        When::Always => "always".to_owned(),
        When::TelegramFails(time) => timed("telegram fails", time),
        When::Unacknowledged(time) => timed("unacknowledged", time),
    }
}
