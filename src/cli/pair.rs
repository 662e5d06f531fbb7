//! `sitemon pair`: finds the chat, which is the first one that sends the code to the bot.

use super::say::{deliver, settings, telegram};
use super::{Failure, config_file, print};
use crate::chat::telegram::{PollEvent, Telegram};
use crate::config::Config;
use crate::monitor::bot::command::COMMANDS;
use crate::monitor::outbox::message::{Content, Incoming};
use crate::state;
use crate::timer;
use futures_lite::FutureExt;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The replies to the chat.
pub(crate) const PAIRED: &str = "Paired. Start sitemon.";
pub(crate) const PAIRED_UNWRITTEN: &str =
    "Paired. Put the printed line into sitemon.conf and start sitemon.";

/// Number of wrong codes after which a sender is ignored.
const WRONG_CODES: u32 = 10;
/// Number of wrong codes of all senders after which the command ends: with a million codes, the
/// probability that one of them is right is one in ten thousand.
const ALL_WRONG_CODES: u32 = 100;

/// Pairs a chat; `file` is the configuration file that the chat is put into.
pub fn pair(config: &Config, file: Option<&Path>) -> Result<(), Failure> {
    let settings = settings(config)?;
    // A running agent would receive the code, and this command would receive commands for the
    // agent.
    let _lock = state::reserve(&config.agent.state).map_err(Failure::Usage)?;
    let telegram = telegram(config, settings)?;
    timer::block_on(async {
        let refused = |e: crate::chat::telegram::ApiError| Failure::Telegram(e.to_string());
        telegram.find_route().await;
        let me = telegram.get_me().await.map_err(refused)?;
        // Pending messages are older than the code. Their dates aren't used because the clock may
        // be wrong.
        let offset = telegram.skip_pending().await.map_err(refused)?;
        let code = code()?;
        print(format_args!(
            "Send this code to @{} in Telegram, or /start {code} in a group that it is a member of:\n\n    {code}\n\n",
            me.username
        ))?;
        let mut told = |guess: &Guess| {
            if let Guess::Last(sender) = guess {
                log::warn!("{sender} sent {WRONG_CODES} wrong codes and is ignored from now on");
            }
        };
        let chat = wait(&telegram, offset, &code, &mut told).await?.chat;
        print(format_args!("chats = [{chat}]\n"))?;
        let written = file.map(|file| write(file, chat, &settings.chats));
        let text = match &written {
            Some(Ok(())) => PAIRED,
            _ => PAIRED_UNWRITTEN,
        };
        if let Err(reason) = deliver(&telegram, chat, &[], text.to_owned()).await {
            log::warn!("the chat could not be answered: {reason}");
        }
        // Otherwise the next start would receive the message as a command.
        telegram.confirm_pending().await;
        written.unwrap_or(Ok(()))
    })
}

/// Waits for the message that contains the code. Calls `told` for all others.
pub async fn wait(
    telegram: &Telegram,
    offset: Option<i64>,
    code: &str,
    told: &mut dyn FnMut(&Guess),
) -> Result<Incoming, Failure> {
    let (events, incoming) = async_channel::bounded(4);
    let poll = async {
        telegram.poll(offset, &COMMANDS, &events).await;
        Err(Failure::Telegram("Telegram stopped answering".into()))
    };
    let judge = async {
        let mut guesses = Guesses::default();
        while let Ok(event) = incoming.recv().await {
            let PollEvent::Updates(updates) = event else {
                continue;
            };
            for update in updates {
                let Some(Content::Message(message)) = update.content else {
                    continue;
                };
                match guesses.judge(&message, code) {
                    Guess::Right => return Ok(message),
                    Guess::TooMany => {
                        // Otherwise the next start would receive the messages.
                        telegram.confirm_pending().await;
                        return Err(Failure::Telegram(format!(
                            "{ALL_WRONG_CODES} wrong codes came: the code is being guessed. Start again for a new one."
                        )));
                    }
                    wrong => told(&wrong),
                }
            }
        }
        Err(Failure::Telegram("Telegram stopped answering".into()))
    };
    judge.or(poll).await
}

/// Puts `chat` into the configuration file, which contains the chats `before`.
fn write(file: &Path, chat: i64, before: &[i64]) -> Result<(), Failure> {
    match config_file::add_chat(file, chat) {
        Ok(()) => print(format_args!(
            "This line is in {} now, below [telegram].\n",
            file.display()
        )),
        Err(reason) => {
            let added = (!before.contains(&chat)).then_some(&chat);
            let ids: Vec<String> = before.iter().chain(added).map(i64::to_string).collect();
            Err(Failure::Usage(format!(
                "{} {reason}: it is as it was. Write into its table [telegram]: chats = [{}]",
                file.display(),
                ids.join(", ")
            )))
        }
    }
}

/// The wrong codes so far. The number of senders is limited by [`ALL_WRONG_CODES`].
#[derive(Default)]
struct Guesses {
    /// Wrong codes by user, or by chat if a message has no user.
    wrong: HashMap<i64, u32>,
    all: u32,
}

/// A message, judged as a guess of the code.
#[derive(Debug, PartialEq, Eq)]
pub enum Guess {
    /// Contains no code.
    None,
    /// From a sender with too many wrong codes.
    Ignored,
    Wrong,
    /// Wrong, and the sender is ignored from now on; contains the sender.
    Last(String),
    /// Wrong, and the limit of all senders is reached.
    TooMany,
    Right,
}

impl Guesses {
    fn judge(&mut self, message: &Incoming, code: &str) -> Guess {
        let Some(word) = offered(message, code) else {
            return Guess::None;
        };
        let sender = message.user.unwrap_or(message.chat);
        let wrong = self.wrong.get(&sender).copied().unwrap_or(0);
        if wrong >= WRONG_CODES {
            return Guess::Ignored;
        }
        if word == code {
            return Guess::Right;
        }
        self.wrong.insert(sender, wrong + 1);
        self.all += 1;
        match (self.all, wrong + 1) {
            (ALL_WRONG_CODES.., _) => Guess::TooMany,
            (_, WRONG_CODES) => Guess::Last(match message.user {
                Some(user) => format!("user {user}"),
                None => format!("chat {}", message.chat),
            }),
            _ => Guess::Wrong,
        }
    }
}

/// Returns the code that a message offers: after `/start`, or digits or the code as its only word.
fn offered<'a>(message: &'a Incoming, code: &str) -> Option<&'a str> {
    let mut words = message.text.split_whitespace();
    let first = words.next()?;
    if first == "/start" || first.starts_with("/start@") {
        return words.next();
    }
    let digits = first.bytes().all(|b| b.is_ascii_digit());
    ((digits || first == code) && words.next().is_none()).then_some(first)
}

/// Returns six random digits.
fn code() -> Result<String, Failure> {
    Ok(format!("{:06}", u64::from_le_bytes(random()?) % 1_000_000))
}

/// Reads random bytes from the kernel.
pub fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(|e| Failure::Usage(format!("cannot read /dev/urandom: {e}")))?;
    Ok(bytes)
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
        assert_eq!(offered(&message("/start 123456"), "abc"), Some("123456"));
        assert_eq!(
            offered(&message("/start@site_bot 123456 "), "abc"),
            Some("123456")
        );
        assert_eq!(offered(&message(" 123456 "), "abc"), Some("123456"));
        assert_eq!(offered(&message("/start"), "abc"), None);
        assert_eq!(offered(&message("call me at 123456"), "abc"), None);
        assert_eq!(offered(&message("hello"), "abc"), None);
        assert_eq!(offered(&message("abc"), "abc"), Some("abc"));
        assert_eq!(offered(&message("abc d"), "abc"), None);
    }

    #[test]
    fn ten_wrong_codes_end_the_chances_of_their_sender_alone() {
        let from = |user: Option<i64>, chat: i64, text: &str| Incoming {
            chat,
            user,
            text: text.into(),
            ..Incoming::default()
        };
        let mut guesses = Guesses::default();
        let mut judge = |user, chat, text: &str| guesses.judge(&from(user, chat, text), "123456");
        for _ in 1..WRONG_CODES {
            assert_eq!(judge(Some(7), 7, "000000"), Guess::Wrong);
            assert_eq!(judge(Some(7), 7, "hello"), Guess::None);
        }
        // Messages in another chat count for the same sender.
        let last = Guess::Last("user 7".to_owned());
        assert_eq!(judge(Some(7), -5, "/start 000000"), last);
        assert_eq!(judge(Some(7), 7, "123456"), Guess::Ignored);
        assert_eq!(judge(Some(7), -6, "/start 123456"), Guess::Ignored);
        // Posts in channels have no user.
        for _ in 1..WRONG_CODES {
            assert_eq!(judge(None, -5, "000000"), Guess::Wrong);
        }
        assert_eq!(judge(None, -5, "1"), Guess::Last("chat -5".to_owned()));
        assert_eq!(judge(None, -5, "123456"), Guess::Ignored);
        assert_eq!(judge(Some(8), -5, "/start 123456"), Guess::Right);
    }

    #[test]
    fn a_crowd_has_no_more_than_a_hundred_guesses() {
        let mut guesses = Guesses::default();
        let mut ended = 0;
        for user in 0..40 {
            for _ in 0..5 {
                let message = Incoming {
                    user: Some(user),
                    ..message("000000")
                };
                ended += u32::from(guesses.judge(&message, "123456") == Guess::TooMany);
                if ended > 0 {
                    assert_eq!(guesses.all, ALL_WRONG_CODES);
                    return;
                }
            }
        }
        panic!("200 guesses, and it goes on");
    }

    #[test]
    fn codes_have_six_digits_and_differ() {
        let codes: std::collections::HashSet<String> =
            (0..20).map(|_| code().expect("urandom")).collect();
        assert!(codes.iter().all(|c| c.len() == 6));
        assert!(codes.len() > 15);
    }
}
