//! `sitemon pair`: finds the chat. Whoever sends the code to the bot first is it.

use super::say::{deliver, settings, telegram};
use super::{Failure, print};
use crate::chat::telegram::{PollEvent, Telegram};
use crate::clock::Clock;
use crate::config::Config;
use crate::monitor::command::COMMANDS;
use crate::monitor::message::{Content, Incoming};
use crate::state;
use futures_lite::FutureExt;
use std::fs::File;
use std::io::Read;

/// So many wrong codes end it: somebody is guessing.
const WRONG_CODES: u32 = 10;
/// Messages from before the start are none of ours, but clocks differ a little.
const CLOCK_SKEW: i64 = 60;

pub fn pair(config: &Config) -> Result<(), Failure> {
    let settings = settings(config)?;
    // A running agent would take the code away from us, and we its commands.
    let _lock = state::reserve(&config.agent.state).map_err(Failure::Usage)?;
    let telegram = telegram(config, settings)?;
    smol::block_on(async {
        let me = telegram
            .get_me()
            .await
            .map_err(|e| Failure::Telegram(e.to_string()))?;
        let code = code()?;
        print(format_args!(
            "Send this code to @{} in Telegram, or /start {code} in a group that it is a member of:\n\n    {code}\n\n",
            me.username
        ))?;
        wait(&telegram, &code).await
    })
}

async fn wait(telegram: &Telegram, code: &str) -> Result<(), Failure> {
    let (events, incoming) = async_channel::bounded(4);
    let poll = async {
        telegram.poll(None, &COMMANDS, &events).await;
        Err(Failure::Telegram("Telegram stopped answering".into()))
    };
    let started = Clock::system().wall() - CLOCK_SKEW;
    let judge = async {
        let mut wrong = 0;
        while let Ok(event) = incoming.recv().await {
            let PollEvent::Updates(updates) = event else {
                continue;
            };
            for update in updates {
                let Some(Content::Message(message)) = update.content else {
                    continue;
                };
                if message.date < started {
                    continue;
                }
                match offered(&message) {
                    Some(word) if word == code => return paired(telegram, &message).await,
                    Some(_) => wrong += 1,
                    None => {}
                }
                if wrong >= WRONG_CODES {
                    return Err(Failure::Telegram(format!(
                        "{WRONG_CODES} wrong codes came: somebody is guessing. Start again for a new code."
                    )));
                }
            }
        }
        Err(Failure::Telegram("Telegram stopped answering".into()))
    };
    judge.or(poll).await
}

async fn paired(telegram: &Telegram, message: &Incoming) -> Result<(), Failure> {
    print(format_args!("chats = [{}]\n", message.chat))?;
    let text = "Paired. Put the printed line into sitemon.conf and start sitemon.";
    if let Err(reason) = deliver(telegram, message.chat, text.to_owned()).await {
        log::warn!("the chat could not be answered: {reason}");
    }
    // Confirmed, or the next start would take it for a command.
    telegram.confirm_pending().await;
    Ok(())
}

/// What somebody offers as the code: `/start CODE`, or a message of digits alone.
fn offered(message: &Incoming) -> Option<&str> {
    let mut words = message.text.split_whitespace();
    let first = words.next()?;
    if first == "/start" || first.starts_with("/start@") {
        return words.next();
    }
    (first.bytes().all(|b| b.is_ascii_digit()) && words.next().is_none()).then_some(first)
}

/// Six digits from the kernel's generator.
fn code() -> Result<String, Failure> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(|e| Failure::Usage(format!("cannot read /dev/urandom: {e}")))?;
    Ok(format!("{:06}", u64::from_le_bytes(bytes) % 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Incoming {
        Incoming {
            chat: 1,
            user: Some(1),
            text: text.into(),
            ..Incoming::default()
        }
    }

    #[test]
    fn a_code_comes_after_start_or_alone() {
        assert_eq!(offered(&message("/start 123456")), Some("123456"));
        assert_eq!(offered(&message("/start@site_bot 123456 ")), Some("123456"));
        assert_eq!(offered(&message(" 123456 ")), Some("123456"));
        assert_eq!(offered(&message("/start")), None);
        assert_eq!(offered(&message("call me at 123456")), None);
        assert_eq!(offered(&message("hello")), None);
    }

    #[test]
    fn codes_have_six_digits_and_differ() {
        let codes: std::collections::HashSet<String> =
            (0..20).map(|_| code().expect("urandom")).collect();
        assert!(codes.iter().all(|c| c.len() == 6));
        assert!(codes.len() > 15);
    }
}
