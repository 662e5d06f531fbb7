//! `sitemon say`: sends one message to the configured chats.

use super::{Failure, client};
use crate::agent;
use crate::chat::telegram::Telegram;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::files;
use crate::monitor::outbox::message::{Delivery, Message};
use crate::monitor::render::text::{escape, pack};
use crate::timer;
use std::io;

/// Maximum size of a text from stdin in bytes: four or five messages, so that Telegram's rate limit
/// isn't reached.
const MAX_TEXT: u64 = 16 << 10;

/// Sends the words; a single `-` stands for the content of stdin.
pub fn say(config: &Config, words: &[String]) -> Result<(), Failure> {
    let settings = settings(config)?;
    if settings.chats.is_empty() {
        return Err(Failure::Usage(
            "[telegram] has no `chats` to say it to: `sitemon pair` finds yours".into(),
        ));
    }
    let text = match words {
        [dash] if dash == "-" => from_stdin()?,
        words => words.join(" "),
    };
    if text.trim().is_empty() {
        return Err(Failure::Usage(
            "say what? sitemon say TEXT, or pipe it in: df -h | sitemon say -".into(),
        ));
    }
    let telegram = telegram(config, settings)?;
    timer::block_on(telegram.find_route());
    let html = escape(text.trim_end());
    let mut failed = Vec::new();
    for &chat in &settings.chats {
        for part in pack(html.lines()) {
            let others = &settings.chats;
            if let Err(reason) = timer::block_on(deliver(&telegram, chat, others, part)) {
                failed.push(format!("chat {chat} did not get it: {reason}"));
                break;
            }
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Telegram(failed.join("\n")))
    }
}

/// Reads stdin to its end. Invalid UTF-8 is replaced, because the rest may be important.
fn from_stdin() -> Result<String, Failure> {
    match files::bounded(io::stdin(), MAX_TEXT) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) => Err(Failure::Usage(format!(
            "stdin cannot be sent: {}; nothing was sent",
            files::reason(&error)
        ))),
    }
}

/// Sends a message in one attempt, or returns why it failed. A group that has become a supergroup
/// gets it there, unless that is one of the `others`, which get it anyway. Returns the chat's
/// current id.
pub async fn deliver(
    telegram: &Telegram,
    chat: i64,
    others: &[i64],
    html: String,
) -> Result<i64, String> {
    let mut message = Message {
        chat,
        html,
        ..Message::default()
    };
    for _ in 0..2 {
        match telegram.send(&message, None).await {
            Delivery::Sent { .. } => return Ok(message.chat),
            Delivery::Migrated { to } if others.contains(&to) => return Ok(to),
            Delivery::Migrated { to } => message.chat = to,
            Delivery::Later { reason, .. } | Delivery::Refused { reason } => return Err(reason),
        }
    }
    Err("the group keeps moving".to_owned())
}

pub fn settings(config: &Config) -> Result<&config::Telegram, Failure> {
    config.telegram.as_ref().ok_or_else(|| {
        Failure::Usage(
            "there is no [telegram] table in the configuration: it needs a `token`".into(),
        )
    })
}

pub fn telegram(config: &Config, settings: &config::Telegram) -> Result<Telegram, Failure> {
    Ok(agent::telegram(
        &client(config)?,
        &Clock::system(),
        settings,
    ))
}
