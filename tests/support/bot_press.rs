//! Pressed buttons in the fake Bot API: `callback_query` and its answer.

use super::bot_answer::Answer;
use super::bot_api::Sent;
use super::bot_html;
use super::bot_state::{Params, State, bad_request, chat_json, str, user_json};
use super::json::{Json, object};

impl State {
    /// Queues the press of a button under a message of the bot. A message that the fake never sent
    /// is reported as Telegram reports one that it no longer has.
    pub fn push_callback(&mut self, chat: i64, user: i64, message_id: i64, data: &str) -> i64 {
        let id = format!("callback{}", self.unconfirmed_id());
        self.callbacks.insert(id.clone());
        let sent = self.sent.iter();
        let message = { sent }.find(|m| m.chat == chat && m.message_id == message_id);
        let message = match message {
            Some(sent) => as_it_reads(sent),
            None => object([
                ("message_id", message_id.into()),
                ("chat", chat_json(chat)),
                ("date", 0.into()),
            ]),
        };
        let callback = object([
            ("id", id.as_str().into()),
            ("from", user_json(user)),
            ("message", message),
            ("chat_instance", "-1234".into()),
            ("data", data.into()),
        ]);
        self.push_update("callback_query", callback)
    }

    pub fn answer_callback_query(&mut self, params: &Params) -> Result<Json, Answer> {
        let id = str(params, "callback_query_id").unwrap_or_default();
        let text = str(params, "text").unwrap_or_default();
        if !self.callbacks.remove(id) {
            return Err(bad_request(
                "query is too old and response timeout expired or query ID is invalid",
            ));
        }
        if text.encode_utf16().count() > 200 {
            return Err(bad_request("MESSAGE_TOO_LONG"));
        }
        self.callback_answers.push((id.to_owned(), text.to_owned()));
        Ok(true.into())
    }
}

/// Returns a message with its present text and entities.
fn as_it_reads(sent: &Sent) -> Json {
    let mut message = vec![
        ("message_id".to_owned(), sent.message_id.into()),
        ("from".to_owned(), super::bot_state::bot_json()),
        ("chat".to_owned(), chat_json(sent.chat)),
        ("date".to_owned(), sent.date.into()),
    ];
    if let Some(topic) = sent.topic {
        message.push(("message_thread_id".to_owned(), topic.into()));
        message.push(("is_topic_message".to_owned(), true.into()));
    }
    let (text, entities) = if sent.photo.is_some() {
        ("caption", "caption_entities")
    } else {
        ("text", "entities")
    };
    message.push((text.to_owned(), sent.latest().into()));
    let found = bot_html::entities(sent.latest_html());
    let found = found.into_iter().map(|(kind, offset, length)| {
        object([
            ("type", kind.as_str().into()),
            ("offset", offset.into()),
            ("length", length.into()),
        ])
    });
    message.push((entities.to_owned(), Json::Array(found.collect())));
    Json::Object(message)
}
