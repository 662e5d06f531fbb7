//! The parameters of the Bot API methods that the fake knows, and the check that a request uses
//! them correctly.

use super::bot_photo::FormValue;
use super::json::Json;

#[derive(Clone, Copy)]
pub enum Kind {
    Int,
    Bool,
    Str,
    Array,
    Object,
    /// An integer, or a text such as `@channel`.
    Chat,
}

use Kind::{Array, Bool, Chat, Int, Object, Str};

pub type Parameters = &'static [(&'static str, Kind)];

/// Returns the parameters of `method`, as <https://core.telegram.org/bots/api> lists them, or
/// `None` for a method that the fake does not have.
pub fn parameters(method: &str) -> Option<Parameters> {
    Some(match method {
        "getMe" => &[],
        "getUpdates" => &[
            ("offset", Int),
            ("limit", Int),
            ("timeout", Int),
            ("allowed_updates", Array),
        ],
        "sendMessage" => &[
            ("business_connection_id", Str),
            ("chat_id", Chat),
            ("message_thread_id", Int),
            ("text", Str),
            ("parse_mode", Str),
            ("entities", Array),
            ("link_preview_options", Object),
            ("disable_notification", Bool),
            ("protect_content", Bool),
            ("allow_paid_broadcast", Bool),
            ("message_effect_id", Str),
            ("reply_parameters", Object),
            ("reply_markup", Object),
        ],
        "editMessageText" => &[
            ("business_connection_id", Str),
            ("chat_id", Chat),
            ("message_id", Int),
            ("inline_message_id", Str),
            ("text", Str),
            ("parse_mode", Str),
            ("entities", Array),
            ("link_preview_options", Object),
            ("reply_markup", Object),
        ],
        "sendPhoto" => &[
            ("business_connection_id", Str),
            ("chat_id", Chat),
            ("message_thread_id", Int),
            ("photo", Object),
            ("caption", Str),
            ("parse_mode", Str),
            ("caption_entities", Array),
            ("show_caption_above_media", Bool),
            ("has_spoiler", Bool),
            ("disable_notification", Bool),
            ("protect_content", Bool),
            ("allow_paid_broadcast", Bool),
            ("message_effect_id", Str),
            ("reply_parameters", Object),
            ("reply_markup", Object),
        ],
        "editMessageMedia" => &[
            ("business_connection_id", Str),
            ("chat_id", Chat),
            ("message_id", Int),
            ("inline_message_id", Str),
            ("media", Object),
            ("reply_markup", Object),
            // The name of the part that `media` refers to.
            ("photo", Object),
        ],
        "setMyCommands" => &[
            ("commands", Array),
            ("scope", Object),
            ("language_code", Str),
        ],
        "deleteWebhook" => &[("drop_pending_updates", Bool)],
        "answerCallbackQuery" => &[
            ("callback_query_id", Str),
            ("text", Str),
            ("show_alert", Bool),
            ("url", Str),
            ("cache_time", Int),
        ],
        _ => return None,
    })
}

const REPLY_PARAMETERS: Parameters = &[
    ("message_id", Int),
    ("chat_id", Chat),
    ("allow_sending_without_reply", Bool),
    ("quote", Str),
    ("quote_parse_mode", Str),
    ("quote_entities", Array),
    ("quote_position", Int),
];

const LINK_PREVIEW_OPTIONS: Parameters = &[
    ("is_disabled", Bool),
    ("url", Str),
    ("prefer_small_media", Bool),
    ("prefer_large_media", Bool),
    ("show_above_text", Bool),
];

/// Returns every mistake in the parameters `given` to a method that takes `known`.
pub fn mistakes(given: &[(String, Json)], known: Parameters) -> Vec<String> {
    let mut mistakes = misfits(given, known);
    for (name, value) in given {
        match (name.as_str(), value) {
            ("reply_parameters", Json::Object(inner)) => {
                mistakes.extend(misfits(inner, REPLY_PARAMETERS));
                if value.get("message_id").is_none() {
                    mistakes.push("reply_parameters without message_id".into());
                }
            }
            ("link_preview_options", Json::Object(inner)) => {
                mistakes.extend(misfits(inner, LINK_PREVIEW_OPTIONS));
            }
            ("parse_mode", Json::Str(mode)) if mode != "HTML" => {
                mistakes.push(format!("parse_mode {mode:?}, the fake knows HTML"));
            }
            ("allowed_updates", Json::Array(kinds))
                if kinds.iter().any(|kind| kind.str().is_none()) =>
            {
                mistakes.push(format!("allowed_updates {value}"));
            }
            ("limit", Json::Int(limit)) if !(1..=100).contains(limit) => {
                mistakes.push(format!("limit {limit}, wanted 1-100"));
            }
            ("timeout", Json::Int(seconds)) if *seconds < 0 => {
                mistakes.push(format!("timeout {seconds}"));
            }
            ("text", Json::Str(text)) if text.contains('\0') => {
                mistakes.push("text with a NUL".into());
            }
            ("commands", Json::Array(commands)) => mistakes.extend(bad_commands(commands)),
            ("reply_markup", markup) => mistakes.extend(bad_markup(markup)),
            _ => {}
        }
    }
    mistakes
}

/// Reads query parameters as JSON of the declared type. A text of another type stays a text.
pub fn from_query(query: &str, known: Parameters) -> Vec<(String, Json)> {
    url::form_urlencoded::parse(query.as_bytes())
        .map(|(name, text)| {
            let kind = known.iter().find(|(n, _)| *n == name).map(|(_, kind)| kind);
            let value = match kind {
                None | Some(Str) => None,
                Some(_) => Json::parse(&text).ok(),
            };
            (
                name.into_owned(),
                value.unwrap_or_else(|| text.as_ref().into()),
            )
        })
        .collect()
}

/// Reads the parts of a form as JSON of the declared type.
pub fn from_form(form: Vec<(String, FormValue)>, known: Parameters) -> Vec<(String, Json)> {
    let value = |name: &str, value| match value {
        FormValue::File(file) => file,
        FormValue::Text(text) => {
            let kind = known.iter().find(|(n, _)| *n == name).map(|(_, kind)| kind);
            let json = match kind {
                None | Some(Str) => None,
                Some(_) => Json::parse(&text).ok(),
            };
            json.unwrap_or_else(|| text.as_str().into())
        }
    };
    form.into_iter()
        .map(|(name, v)| {
            let json = value(&name, v);
            (name, json)
        })
        .collect()
}

fn misfits(given: &[(String, Json)], known: Parameters) -> Vec<String> {
    let misfit = |(name, value): &(String, Json)| {
        let Some((_, kind)) = known.iter().find(|(n, _)| n == name) else {
            return Some(format!("unknown parameter {name}"));
        };
        let fits = match kind {
            Int => value.int().is_some(),
            Bool => value.bool().is_some(),
            Str => value.str().is_some(),
            Array => value.array().is_some(),
            Object => value.object().is_some(),
            Chat => value.int().is_some() || value.str().is_some_and(|s| s.starts_with('@')),
        };
        (!fits).then(|| format!("ill-typed parameter {name}: {value}"))
    };
    given.iter().filter_map(misfit).collect()
}

fn bad_commands(commands: &[Json]) -> Vec<String> {
    let mut mistakes = Vec::new();
    if commands.len() > 100 {
        mistakes.push(format!("{} commands, at most 100", commands.len()));
    }
    for command in commands {
        mistakes.extend(misfits(
            command.object().unwrap_or_default(),
            &[("command", Str), ("description", Str)],
        ));
        let text = |key| command.get(key).and_then(Json::str).unwrap_or_default();
        let (name, description) = (text("command"), text("description"));
        let well_named = (1..=32).contains(&name.len())
            && name
                .bytes()
                .all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if !well_named || !(1..=256).contains(&description.encode_utf16().count()) {
            mistakes.push(format!("bad command {command}"));
        }
    }
    mistakes
}

/// Checks an `InlineKeyboardMarkup`, in which the fake knows callback and URL buttons.
fn bad_markup(markup: &Json) -> Vec<String> {
    let mut mistakes = Vec::new();
    mistakes.extend(misfits(
        markup.object().unwrap_or_default(),
        &[("inline_keyboard", Array)],
    ));
    let rows = markup.get("inline_keyboard").and_then(Json::array);
    let Some(rows) = rows else {
        mistakes.push(format!("reply_markup without inline_keyboard: {markup}"));
        return mistakes;
    };
    let count = rows.iter().filter_map(Json::array).map(<[Json]>::len);
    if count.clone().sum::<usize>() > 100 || count.clone().any(|n| n > 8 || n == 0) {
        mistakes.push(format!("too many buttons, or an empty row: {markup}"));
    }
    for row in rows {
        let Some(buttons) = row.array() else {
            mistakes.push(format!("a row of buttons is {row}"));
            continue;
        };
        for button in buttons {
            let known: Parameters = &[
                ("text", Str),
                ("callback_data", Str),
                ("url", Str),
                ("style", Str),
            ];
            mistakes.extend(misfits(button.object().unwrap_or_default(), known));
            let text = button.get("text").and_then(Json::str).unwrap_or_default();
            let data = button.get("callback_data").and_then(Json::str);
            let does = match (data, button.get("url")) {
                (Some(data), None) => (1..=64).contains(&data.len()),
                (None, url) => url.is_some(),
                (Some(_), Some(_)) => false,
            };
            let style = button.get("style").and_then(Json::str);
            let styled = style.is_none_or(|s| ["danger", "success", "primary"].contains(&s));
            if text.is_empty() || !does || !styled {
                mistakes.push(format!("bad button {button}"));
            }
        }
    }
    mistakes
}
