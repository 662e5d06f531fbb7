//! Interprets the responses of the Bot API: results, refusals, unreadable responses, and those of
//! other servers.

use super::api_types::{
    Envelope, RawCallback, RawMe, RawMessage, RawPeer, RawSent, RawUpdate, RawUpdates,
};
use super::html;
use crate::http::{Answer, CallError};
use crate::json::{self, JsonError};
use crate::monitor::outbox::message::{Content, Incoming, Press, Update};
use crate::monitor::render::text::{MESSAGE_UNITS, units};
use crate::monitor::site::printable::{self, CAUSE, MESSAGE, NAME};
use crate::secret::Secret;
use nanoserde::DeJson;
use std::fmt;
use std::time::Duration;

/// Maximum of `retry_after`; longer times are capped.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Status code of captive portals (RFC 6585, section 6).
const NETWORK_AUTHENTICATION: u16 = 511;

/// Why a method of the Bot API gave no result. The texts never contain the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiError {
    /// No response, or one that isn't the Bot API's (a captive portal, a proxy's 502).
    Unreachable { text: String },
    /// `ok` is false.
    Refused(Refusal),
    /// A response of the Bot API that can't be read or exceeds 1 MiB.
    Unreadable(Unreadable),
}

/// `ok: false`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `error_code`, or the HTTP status if it is missing.
    pub code: i64,
    /// The text of Telegram or of another server, as one [`printable::line`].
    pub description: String,
    /// `parameters.retry_after`, 1 s to a day.
    pub retry_after: Option<Duration>,
    /// `parameters.migrate_to_chat_id`.
    pub migrate_to: Option<i64>,
}

/// The subject of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The bot or the server, whatever the request is. May be temporary.
    Bot,
    /// The chat: it blocked the bot, or is gone.
    Chat,
    /// This request: its text, its topic, its chat. Only the description tells which.
    Request,
}

fn is_logged_out(description: &str) -> bool {
    description.to_ascii_lowercase().contains("logged out")
}

/// What could be extracted from an unreadable response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The response is truncated and may be complete the next time.
    pub cut_off: bool,
    /// It begins with `"ok":true`.
    pub ok: bool,
    /// The first `update_id` in it.
    pub update_id: Option<i64>,
    /// The first `message_id` in it.
    pub message_id: Option<i64>,
}

impl ApiError {
    /// Returns whether Telegram refuses the token: 401, or 404 if it doesn't have the form of a
    /// token.
    pub fn is_unauthorised(&self) -> bool {
        matches!(
            self,
            ApiError::Refused(Refusal {
                code: 401 | 404,
                ..
            })
        )
    }

    /// Returns the subject of a refusal that has no explanation in other fields.
    pub fn refuses(&self) -> Option<Refused> {
        let ApiError::Refused(Refusal {
            code, description, ..
        }) = self
        else {
            return None;
        };
        Some(match code {
            // The server prefixes the description of any refused request with this. `Logged out`,
            // without the prefix, is about the bot (tdlib/telegram-bot-api, `fail_query_with_error`
            // and `ClientManager::get_closing_error`).
            400 if description.starts_with("Bad Request") && !is_logged_out(description) => {
                Refused::Request
            }
            403 if !is_logged_out(description) => Refused::Chat,
            413 | 414 => Refused::Request,
            _ => Refused::Bot,
        })
    }

    /// Returns whether a webhook is set, which prevents polling.
    pub fn is_webhook(&self) -> bool {
        matches!(self, ApiError::Refused(refusal)
            if refusal.code == 409 && names_webhook(&refusal.description))
    }

    /// Returns the error with `secret` removed from its texts.
    pub(super) fn scrubbed(mut self, secret: &Secret) -> ApiError {
        match &mut self {
            ApiError::Unreachable { text }
            | ApiError::Refused(Refusal {
                description: text, ..
            }) => *text = secret.scrub(text),
            ApiError::Unreadable(_) => {}
        }
        self
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApiError::Unreachable { text } => f.write_str(text),
            ApiError::Refused(refusal) => {
                write!(f, "{} ({})", refusal.description, refusal.code)?;
                if self.is_unauthorised() {
                    f.write_str(": check `token` in sitemon.conf with @BotFather")?;
                }
                Ok(())
            }
            ApiError::Unreadable(Unreadable { cut_off: true, .. }) => {
                f.write_str("Telegram's answer was cut off")
            }
            ApiError::Unreadable(_) => f.write_str("Telegram's answer can't be read"),
        }
    }
}

impl std::error::Error for ApiError {}

/// A 409 is caused by a webhook or by another program that polls; only the description tells which.
pub fn names_webhook(description: &str) -> bool {
    description.to_ascii_lowercase().contains("webhook")
}

/// Returns why this isn't a response of a Bot API, or `None` if it is one. `verified` means that
/// the server is known to be the Bot API's, so that errors of its front end (5xx) are its own.
pub fn route_failure(outcome: &Result<Answer, CallError>, verified: bool) -> Option<String> {
    let (status, body) = match outcome {
        Ok(answer) => (answer.status, answer.body.as_slice()),
        Err(CallError::TooLarge(start)) => (200, start.as_slice()),
        Err(CallError::Failed(failure)) => return Some(failure.detail.clone()),
    };
    let own = verified && status >= 500 && status != NETWORK_AUTHENTICATION;
    // A truncated response, or one of unknown form, still begins like this.
    let compact = body.iter().copied().filter(|b| !b.is_ascii_whitespace());
    let known = compact.take(6).eq(*br#"{"ok":"#) || json::read::<Envelope>(body).is_ok();
    (!own && !known).then(|| not_the_bot_api(status))
}

fn not_the_bot_api(status: u16) -> String {
    format!("HTTP {status} with an answer that is not the Bot API's")
}

/// The result of `getMe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    pub id: i64,
    /// Without `@`.
    pub username: String,
}

/// Reads a response to `getMe`.
pub fn read_me(outcome: Result<Answer, CallError>) -> Result<Me, ApiError> {
    let RawMe { result } = read(outcome)?;
    Ok(Me {
        id: result.id,
        username: printable::line(&result.username, NAME),
    })
}

/// Reads a response to `getUpdates`. Updates of unknown kinds have no content.
pub fn read_updates(outcome: Result<Answer, CallError>) -> Result<Vec<Update>, ApiError> {
    let RawUpdates { result } = read(outcome)?;
    Ok(result.into_iter().map(update).collect())
}

/// Reads the message's id from a response to a method that sends or edits a message.
pub fn read_message_id(outcome: Result<Answer, CallError>) -> Result<i64, ApiError> {
    let RawSent { result } = read(outcome)?;
    Ok(result.message_id)
}

/// Reads a response whose result isn't needed.
pub fn read_done(outcome: Result<Answer, CallError>) -> Result<(), ApiError> {
    read::<Envelope>(outcome).map(|_| ())
}

fn read<T: DeJson>(outcome: Result<Answer, CallError>) -> Result<T, ApiError> {
    let answer = match outcome {
        Ok(answer) => answer,
        Err(CallError::Failed(failure)) => {
            return Err(ApiError::Unreachable {
                text: failure.detail,
            });
        }
        Err(CallError::TooLarge(start)) => {
            return Err(unreadable(
                &start,
                JsonError::Malformed,
                "an answer over 1 MiB".into(),
            ));
        }
    };
    let stranger = || not_the_bot_api(answer.status);
    match json::read::<Envelope>(&answer.body) {
        Ok(envelope) if envelope.ok => {
            json::read(&answer.body).map_err(|error| unreadable(&answer.body, error, stranger()))
        }
        Ok(envelope) => Err(ApiError::Refused(refusal(envelope, answer.status))),
        // Without an envelope, an error status can't be attributed to the Bot API.
        Err(_) if answer.status != 200 => Err(ApiError::Unreachable { text: stranger() }),
        Err(error) => Err(unreadable(&answer.body, error, stranger())),
    }
}

fn refusal(envelope: Envelope, status: u16) -> Refusal {
    let parameters = envelope.parameters.unwrap_or_default();
    let retry_after = parameters
        .retry_after
        .and_then(|seconds| u64::try_from(seconds).ok());
    let description = envelope.description.as_deref();
    Refusal {
        code: envelope.error_code.unwrap_or(status.into()),
        description: printable::line(description.unwrap_or("no reason given"), CAUSE),
        retry_after: retry_after
            .map(|seconds| Duration::from_secs(seconds.max(1)).min(LONGEST_WAIT)),
        migrate_to: parameters.migrate_to_chat_id,
    }
}

/// Classifies an unreadable response: it is Telegram's if it begins like an object, or else of an
/// unrelated server, with the text `stranger`.
fn unreadable(body: &[u8], error: JsonError, stranger: String) -> ApiError {
    let start = body.trim_ascii_start();
    if !start.starts_with(b"{") {
        return ApiError::Unreachable { text: stranger };
    }
    let compact = start.iter().copied().filter(|b| !b.is_ascii_whitespace());
    ApiError::Unreadable(Unreadable {
        cut_off: error == JsonError::CutOff,
        ok: compact.take(10).eq(*br#"{"ok":true"#),
        update_id: json::dig_number(start, "update_id"),
        message_id: json::dig_number(start, "message_id"),
    })
}

fn update(raw: RawUpdate) -> Update {
    let message = raw.message.and_then(|raw| {
        let moved = moved(&raw);
        moved.or_else(|| incoming(raw).map(Content::Message))
    });
    let press = || raw.callback_query.and_then(press).map(Content::Press);
    Update {
        id: raw.update_id.0,
        content: message.or_else(press),
    }
}

/// Reads the service messages that the old group and the new supergroup get at a migration.
fn moved(raw: &RawMessage) -> Option<Content> {
    let here = raw.chat.as_ref()?.id;
    let (from, to) = match (raw.migrate_to_chat_id, raw.migrate_from_chat_id) {
        (Some(to), _) => (here, to),
        (None, Some(from)) => (from, here),
        (None, None) => return None,
    };
    (from < 0 && to < 0 && from != to).then_some(Content::Moved { from, to })
}

fn incoming(raw: RawMessage) -> Option<Incoming> {
    Some(Incoming {
        topic: topic_of(&raw),
        chat: raw.chat?.id,
        user: raw.from.as_ref().map(|user| user.id),
        name: raw.from.as_ref().map(name_of).unwrap_or_default(),
        text: printable::line(&raw.text?, MESSAGE),
        date: raw.date?,
        waited: Duration::MAX,
    })
}

fn press(raw: RawCallback) -> Option<Press> {
    let message = raw.message?;
    let entities = message.entities.as_deref().unwrap_or_default();
    // The text that sitemon sent, with its line breaks and direction marks, if it is from Telegram.
    // Entities count UTF-16 code units, so adding or removing characters would shift them.
    let text = message.text.as_ref();
    let text = text
        .filter(|text| units(text) <= MESSAGE_UNITS)
        .map(|text| text.replace(|c: char| c.is_control() && c != '\n', " "));
    Some(Press {
        id: raw.id?,
        topic: topic_of(&message),
        html: text.map(|text| html::marked(&text, entities)),
        chat: message.chat?.id,
        user: raw.from.as_ref().map(|user| user.id),
        name: raw.from.as_ref().map(name_of).unwrap_or_default(),
        message_id: message.message_id?,
        date: message.date.unwrap_or(0),
        data: printable::line(&raw.data?, NAME),
        // The poller sets the time.
        waited: Duration::MAX,
    })
}

/// Returns the topic of a message. Messages in the General topic of a forum have no topic id.
fn topic_of(message: &RawMessage) -> Option<i64> {
    const GENERAL: i64 = 1;
    let forum = message.chat.as_ref().and_then(|chat| chat.is_forum) == Some(true);
    match message.message_thread_id {
        // Outside of a forum it is the id of a thread of replies.
        Some(topic) if message.is_topic_message == Some(true) => Some(topic),
        _ => forum.then_some(GENERAL),
    }
}

fn name_of(user: &RawPeer) -> String {
    let parts = [&user.first_name, &user.last_name];
    let parts: Vec<&str> = parts
        .into_iter()
        .flatten()
        .map(|part| part.trim())
        .collect();
    printable::line(parts.join(" ").trim(), NAME)
}

#[cfg(test)]
#[path = "api_tests.rs"]
mod tests;
