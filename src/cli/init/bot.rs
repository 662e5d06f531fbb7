//! The bot whose token Telegram accepted: waits for the chat and sends the test alert.

use super::super::pair::{self, Guess};
use super::super::{Failure, client, print};
use super::{qr_code, unreached};
use crate::agent;
use crate::chat::telegram::{ApiError, Me, Telegram};
use crate::clock::Clock;
use crate::config::Config;
use crate::http::Client;
use crate::monitor::alert::{Alert, Notification, words};
use crate::monitor::outbox::callback_data::{AlertButton, DAY, HOUR};
use crate::monitor::outbox::message::{Delivery, Message};
use crate::monitor::site::printable::{self, NAME};
use crate::secret::Secret;
use std::time::{Duration, Instant};

/// If a request fails within this time, it is repeated at once; the repetition uses IPv4 only, in
/// case IPv6 is broken.
const SOON: Duration = Duration::from_secs(5);
/// Base32 (RFC 4648) in lower case: short in a link, and easy to type.
const CODE_LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A bot whose token Telegram accepted.
pub struct Bot {
    pub config: Config,
    pub client: Client,
    pub telegram: Telegram,
    pub token: Secret,
    pub me: Me,
}

impl Bot {
    /// Connects to Telegram with `token`. The inner `Err` means that Telegram can't be reached or
    /// refuses the token; it contains an explanation for the user.
    pub async fn connect(
        config: Config,
        token: Secret,
    ) -> Result<Result<Bot, (ApiError, String)>, Failure> {
        let Some(settings) = &config.telegram else {
            return Err(Failure::Usage("there is no [telegram]".into()));
        };
        let client = client(&config)?;
        let telegram = agent::telegram(&client, &Clock::system(), settings);
        telegram.find_route().await;
        let began = Instant::now();
        let mut asked = telegram.get_me().await;
        if matches!(asked, Err(ApiError::Unreachable { .. })) && began.elapsed() < SOON {
            asked = telegram.get_me().await;
        }
        Ok(match asked {
            Ok(me) => Ok(Bot {
                config,
                client,
                telegram,
                token,
                me,
            }),
            Err(error) => {
                let why = unreached::explain(&error, &client, &config).await;
                Err((error, why))
            }
        })
    }

    /// Shows the link and waits until a user follows it. Returns that user's chat.
    pub async fn wait_for_start(&self) -> Result<i64, Failure> {
        let refused = |e: ApiError| Failure::Telegram(e.to_string());
        // Pending messages are older than the code.
        let offset = self.telegram.skip_pending().await.map_err(refused)?;
        let code = code()?;
        let link = format!("https://t.me/{}?start={code}", self.me.username);
        let picture = qr_code::for_terminal(&link).unwrap_or_default();
        print(format_args!(
            "Open this where your Telegram is, and press Start:\n\n    {link}\n\n{picture}Waiting for it …\n"
        ))?;
        let mut told = false;
        let mut ignored = |guess: &Guess| {
            if !matches!(guess, Guess::Ignored) && !std::mem::replace(&mut told, true) {
                let text = "A message without the right code came to the bot and is ignored: only the link counts.";
                let _ = print(format_args!("{text}\n"));
            }
        };
        let message = pair::wait(&self.telegram, offset, &code, &mut ignored).await?;
        // Otherwise the agent would receive the message as a command.
        self.telegram.confirm_pending().await;
        let name = printable::line(&message.name, NAME);
        let by = if name.is_empty() {
            name
        } else {
            format!(" ({name})")
        };
        print(format_args!("Chat {}{by} gets the alerts.\n", message.chat))?;
        Ok(message.chat)
    }

    /// Sends an alert like one of the agent's, with buttons, which the agent will answer.
    pub async fn test_alert(&self, chat: i64, site: &str) -> Result<(), Failure> {
        // An incident number that isn't used.
        const NONE: u32 = 0;
        let now = Clock::system().now();
        let alert = Alert {
            id: 0,
            notification: Notification::Down {
                cause: "only a test, this is what alerts look like".to_owned(),
                common: None,
                behind: 0,
            },
            site: site.to_owned(),
            incident: Some(NONE),
            at: now.moment(),
            chats: vec![chat],
            delivered: Vec::new(),
            edits: Vec::new(),
            stored: true,
            by_channels: Default::default(),
        };
        let composed = words::compose(&[&alert], now, &|_| false);
        let lines: Vec<String> = composed.lines.into_iter().map(|(line, _)| line).collect();
        let row = |buttons: [AlertButton; 2]| buttons.map(|b| b.button(&[NONE])).to_vec();
        let message = Message {
            chat,
            html: lines.join("\n"),
            buttons: vec![
                row([AlertButton::Check, AlertButton::Acknowledge]),
                row([AlertButton::Mute(HOUR), AlertButton::Mute(DAY)]),
            ],
            ..Message::default()
        };
        match self.telegram.send(&message, None).await {
            Delivery::Sent { .. } => print(format_args!("A test alert is in the chat.\n")),
            Delivery::Later { reason, .. } | Delivery::Refused { reason } => Err(
                Failure::Telegram(format!("the test alert could not be sent: {reason}")),
            ),
            Delivery::Migrated { to } => Err(Failure::Telegram(format!(
                "the group has become {to}: put that into `chats`"
            ))),
        }
    }
}

/// Returns a code with 128 random bits.
fn code() -> Result<String, Failure> {
    let mut bits = u128::from_le_bytes(pair::random()?);
    let mut code = String::with_capacity(26);
    for _ in 0..26 {
        code.push(char::from(CODE_LETTERS[(bits & 31) as usize]));
        bits >>= 5;
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_128_bits_and_differ() {
        let codes: Vec<String> = (0..20).map(|_| code().expect("urandom")).collect();
        for code in &codes {
            assert_eq!(code.len(), 26);
            // The `start` parameter may have 64 letters, digits, `_` and `-`
            // (core.telegram.org/bots/features).
            assert!(
                code.bytes().all(|byte| CODE_LETTERS.contains(&byte)),
                "{code}"
            );
            assert!(codes.iter().filter(|other| *other == code).count() == 1);
        }
    }
}
