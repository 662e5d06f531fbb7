//! Builds the requests of the Bot API that send a message, and interprets the responses.

use super::api::{self, ApiError, Refusal, Refused, Unreadable};
use super::api_types::{
    EditMessageText, InlineKeyboardButton, InlineKeyboardMarkup, InputMediaPhoto,
    LinkPreviewOptions, ReplyParameters, SendMessage,
};
use super::html;
use super::multipart::Multipart;
use super::poller::UNAUTHORISED_WAIT;
use crate::http::{Answer, CallError, HeaderValue};
use crate::monitor::outbox::message::{Button, ButtonStyle, Delivery, Message};
use nanoserde::SerJson;

/// The content type of a body without a file.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Name of the part that contains the picture.
const PHOTO: &str = "photo";

/// The body of a request.
pub enum Body {
    Json(String),
    Multipart(Multipart),
}

impl Body {
    pub fn content_type(&self) -> HeaderValue {
        match self {
            Body::Json(_) => JSON,
            Body::Multipart(body) => body.content_type(),
        }
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Body::Json(text) => text.as_bytes(),
            Body::Multipart(body) => body.bytes(),
        }
    }
}

/// The form in which a message is sent; each retry uses a simpler one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Id of the message to edit.
    pub edit: Option<i64>,
    /// Id of the message to reply to.
    pub reply_to: Option<i64>,
    /// The topic of a new message; `None` for General, or for a chat without topics.
    pub topic: Option<i64>,
    pub html: bool,
    /// Whether to send a new message if the one to edit is gone.
    pub anew: bool,
    /// Whether to send the picture.
    pub photo: bool,
    /// Whether the buttons have colours.
    pub styled: bool,
}

/// What to do after a response.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Done(Delivery),
    Again(Form),
}

impl Form {
    /// Returns the form of the first attempt.
    pub fn of(message: &Message, topic: Option<i64>, photo: bool) -> Form {
        Form {
            edit: message.edit,
            reply_to: message.reply_to,
            topic,
            html: true,
            anew: !message.touch_up,
            photo,
            styled: message.buttons.iter().flatten().any(|b| b.style.is_some()),
        }
    }

    /// Returns the method and the body. `png` is the picture, if the form has one.
    pub fn request(self, message: &Message, png: &[u8]) -> (&'static str, Body) {
        let (text, parse_mode) = if self.html {
            (message.html.clone(), Some("HTML".to_owned()))
        } else {
            (html::plain(&message.html), None)
        };
        let reply_markup = keyboard(&message.buttons, self.styled);
        match self.edit {
            Some(message_id) if self.photo => {
                let media = InputMediaPhoto {
                    kind: "photo".to_owned(),
                    media: format!("attach://{PHOTO}"),
                    caption: text,
                    parse_mode,
                };
                let mut body = Multipart::new();
                body.text("chat_id", &message.chat.to_string());
                body.text("message_id", &message_id.to_string());
                body.text("media", &media.serialize_json());
                body.json("reply_markup", reply_markup.as_ref());
                body.file(PHOTO, png);
                ("editMessageMedia", Body::Multipart(body.end()))
            }
            Some(message_id) => {
                let edit = EditMessageText {
                    chat_id: message.chat,
                    message_id,
                    text,
                    parse_mode,
                    link_preview_options: LinkPreviewOptions { is_disabled: true },
                    reply_markup,
                };
                ("editMessageText", Body::Json(edit.serialize_json()))
            }
            None if self.photo => {
                let mut body = Multipart::new();
                body.text("chat_id", &message.chat.to_string());
                if let Some(topic) = self.topic {
                    body.text("message_thread_id", &topic.to_string());
                }
                body.text("caption", &text);
                if let Some(parse_mode) = parse_mode {
                    body.text("parse_mode", &parse_mode);
                }
                body.text("disable_notification", &message.silent.to_string());
                body.json("reply_parameters", self.reply_to.map(reply).as_ref());
                body.json("reply_markup", reply_markup.as_ref());
                body.file(PHOTO, png);
                ("sendPhoto", Body::Multipart(body.end()))
            }
            None => {
                let send = SendMessage {
                    chat_id: message.chat,
                    message_thread_id: self.topic,
                    text,
                    parse_mode,
                    disable_notification: message.silent,
                    reply_parameters: self.reply_to.map(reply),
                    link_preview_options: LinkPreviewOptions { is_disabled: true },
                    reply_markup,
                };
                ("sendMessage", Body::Json(send.serialize_json()))
            }
        }
    }

    /// Returns the form to try after a 400 with this description, if a property of the form caused
    /// it. Telegram distinguishes these errors only by their description.
    fn simpler(self, description: &str) -> Option<Form> {
        let description = description.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|words| description.contains(words));
        if says(&["message is not modified", "chat not found"]) {
            None
        } else if self.html && says(&["can't parse entities"]) {
            Some(Form {
                html: false,
                ..self
            })
        } else if self.styled && says(&["style", "keyboard button"]) {
            // A server older than Bot API 9.4 that refuses unknown fields.
            Some(Form {
                styled: false,
                ..self
            })
        } else if self.edit.is_some() && is_gone(&description) {
            self.anew.then_some(Form { edit: None, ..self })
        } else if self.topic.is_some()
            && says(&["message thread not found", "topic_closed", "topic_deleted"])
        {
            Some(Form {
                topic: None,
                ..self
            })
        } else if self.reply_to.is_some()
            && says(&[
                "message thread not found",
                "message to be replied not found",
            ])
        {
            Some(Form {
                reply_to: None,
                ..self
            })
        } else {
            // The picture may be unacceptable, or pictures may be forbidden in the group.
            self.without_photo()
        }
    }

    /// Returns whether the description is a known one about this form. Such an error is permanent,
    /// even if the server doesn't use Telegram's prefix, so the message must not be retried for
    /// ever.
    fn knows(self, description: &str) -> bool {
        let words = ["message is not modified", "chat not found"];
        self.simpler(description).is_some()
            || is_gone(description)
            || words.iter().any(|words| description.contains(words))
    }

    /// Returns the form without an edit that replaces a text by a picture, which not every server
    /// supports, or else without the picture.
    fn without_photo(self) -> Option<Form> {
        let simpler = if self.edit.is_some() {
            Form { edit: None, ..self }
        } else {
            Form {
                photo: false,
                ..self
            }
        };
        self.photo.then_some(simpler)
    }
}

/// Returns whether the message to edit no longer exists.
fn is_gone(description: &str) -> bool {
    let description = description.to_ascii_lowercase();
    let words = [
        "message to edit not found",
        "message can't be edited",
        "message_id_invalid",
    ];
    words.iter().any(|words| description.contains(words))
}

fn reply(message_id: i64) -> ReplyParameters {
    ReplyParameters {
        message_id,
        allow_sending_without_reply: true,
    }
}

fn keyboard(rows: &[Vec<Button>], styled: bool) -> Option<InlineKeyboardMarkup> {
    let button = |button: &Button| InlineKeyboardButton {
        text: button.label.clone(),
        callback_data: button.data.clone(),
        style: button.style.filter(|_| styled).map(|style| {
            match style {
                ButtonStyle::Danger => "danger",
                ButtonStyle::Success => "success",
            }
            .to_owned()
        }),
    };
    (!rows.is_empty()).then(|| InlineKeyboardMarkup {
        inline_keyboard: rows
            .iter()
            .map(|row| row.iter().map(button).collect())
            .collect(),
    })
}

/// Interprets the response to `message`, sent in this `form`.
pub fn judge(message: &Message, form: Form, outcome: Result<Answer, CallError>) -> Verdict {
    let answered = outcome.is_ok();
    let error = match api::read_message_id(outcome) {
        Ok(message_id) => return Verdict::Done(Delivery::Sent { message_id }),
        Err(error) => error,
    };
    // A server that doesn't support pictures, or fails on one, must not delay the text.
    let unknown = match &error {
        ApiError::Refused(refusal) => {
            refusal.code >= 500 || refusal.code == 404 && refusal.description.contains("method")
        }
        ApiError::Unreachable { .. } => answered,
        ApiError::Unreadable(_) => false,
    };
    if let Some(simpler) = form.without_photo().filter(|_| unknown) {
        return Verdict::Again(simpler);
    }
    let reason = error.to_string();
    let later = |after, everywhere| Delivery::Later {
        after,
        everywhere,
        reason: reason.clone(),
    };
    Verdict::Done(match &error {
        // The message was sent, but without its id it can't be replied to.
        ApiError::Unreadable(Unreadable {
            ok: true,
            message_id,
            ..
        }) => Delivery::Sent {
            message_id: message_id.or(form.edit).unwrap_or(0),
        },
        ApiError::Unreachable { .. } | ApiError::Unreadable(_) => later(None, true),
        ApiError::Refused(_) if error.is_unauthorised() => later(Some(UNAUTHORISED_WAIT), true),
        ApiError::Refused(Refusal {
            migrate_to: Some(to),
            ..
        }) if *to != message.chat => Delivery::Migrated { to: *to },
        ApiError::Refused(Refusal {
            code: 429,
            retry_after,
            ..
        }) => later(*retry_after, false),
        ApiError::Refused(Refusal { description, .. })
            if error.refuses() == Some(Refused::Bot) && !form.knows(description) =>
        {
            later(None, true)
        }
        ApiError::Refused(Refusal {
            code: 400,
            description,
            ..
        }) => {
            if let Some(simpler) = form.simpler(description) {
                return Verdict::Again(simpler);
            }
            match form.edit {
                Some(message_id)
                    if description.contains("message is not modified")
                        || !form.anew && is_gone(description) =>
                {
                    Delivery::Sent { message_id }
                }
                _ => Delivery::Refused {
                    reason: description.clone(),
                },
            }
        }
        ApiError::Refused(Refusal { description, .. }) => Delivery::Refused {
            reason: description.clone(),
        },
    })
}

#[cfg(test)]
#[path = "message_request_tests.rs"]
mod tests;
