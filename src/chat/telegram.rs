//! The Telegram Bot API: sends messages and drives the long poll.

use super::api;
pub use super::api::{ApiError, Me, Refusal, Unreadable};
use super::html;
pub use super::poller::PollEvent;
use super::poller::{Poller, Request, UNAUTHORISED_WAIT};
use super::shapes::{
    BotCommand, EditMessageText, GetUpdates, LinkPreviewOptions, ReplyParameters, SendMessage,
    SetMyCommands,
};
use crate::clock::Clock;
use crate::http::{Answer, CallError, Client};
use crate::monitor::message::{Delivery, Message};
use crate::monitor::site::IpVersion;
use crate::secret::Secret;
use async_channel::Sender;
use async_io::Timer;
use nanoserde::SerJson;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For every call but the long poll.
const TIMEOUT: Duration = Duration::from_secs(20);
/// What the long poll gets on top of its own time.
const POLL_GRACE: Duration = Duration::from_secs(10);
/// While the clock isn't set: how long a message waits, and how often the poll looks at the clock.
const CLOCK_WAIT: Duration = Duration::from_secs(5);
const CLOCK_LOOK: Duration = Duration::from_secs(1);
const CLOCK_NOT_SET: &str = "clock not set";

/// Where and as whom the Bot API is asked.
#[derive(Clone, Debug)]
pub struct Settings {
    pub token: Secret,
    /// Base URL of the Bot API, no slash at its end.
    pub api: String,
    /// Long-poll time of `getUpdates`, 0 to 50 s.
    pub poll: Duration,
}

/// One bot at one Bot API server; clones are the same one. Neither its errors nor its log lines ever
/// hold the token.
#[derive(Clone)]
pub struct Telegram(Arc<Inner>);

struct Inner {
    client: Client,
    settings: Settings,
    clock: Clock,
    route: Route,
    /// The first update id that [`Telegram::poll`] has not handed over yet.
    handed_over: Mutex<Option<i64>>,
}

impl Telegram {
    pub fn new(client: Client, settings: Settings, clock: Clock) -> Telegram {
        Telegram(Arc::new(Inner {
            client,
            settings,
            clock,
            route: Route::default(),
            handed_over: Mutex::new(None),
        }))
    }

    /// `getMe`: who we are. One attempt.
    pub async fn get_me(&self) -> Result<Me, ApiError> {
        if self.lacks_clock() {
            let text = CLOCK_NOT_SET.to_owned();
            return Err(ApiError::Unreachable { text });
        }
        let outcome = self.call("getMe", "{}", TIMEOUT).await;
        api::read_me(outcome).map_err(|error| error.scrubbed(&self.0.settings.token))
    }

    /// `sendMessage` or `editMessageText`. Asks again at once only where the form of the message was
    /// at fault: as plain text when its HTML is refused, as a new message when the one to edit is
    /// gone. Waiting and trying again later is the caller's.
    pub async fn send(&self, message: &Message) -> Delivery {
        if self.lacks_clock() {
            return Delivery::Later {
                after: Some(CLOCK_WAIT),
                everywhere: true,
                reason: CLOCK_NOT_SET.to_owned(),
            };
        }
        let mut form = Form::of(message);
        loop {
            let (method, body) = form.request(message);
            let outcome = self.call(method, &body, TIMEOUT).await;
            match judge(message, form, outcome) {
                Verdict::Again(simpler) => form = simpler,
                Verdict::Done(delivery) => return self.scrubbed(delivery),
            }
        }
    }

    /// Hands every update from `offset` on to `events`: `getMe`, the list of `commands` (none = left
    /// as it is) and then long polls, for ever, whatever goes wrong. An update is confirmed to
    /// Telegram only after `events` took it. Returns when nobody listens to `events` any more.
    pub async fn poll(
        &self,
        offset: Option<i64>,
        commands: &[(&str, &str)],
        events: &Sender<PollEvent>,
    ) {
        // The edge's own stopwatch: nothing the monitor decides hangs on it.
        let begun = Instant::now();
        let seed = RandomState::new().hash_one(0);
        let poll = self.0.settings.poll;
        let mut poller = Poller::new(offset, !commands.is_empty(), poll, seed);
        loop {
            while self.lacks_clock() {
                Timer::after(CLOCK_LOOK).await;
            }
            let outcome = match poller.next(begun.elapsed()) {
                Request::GetMe => self.call("getMe", "{}", TIMEOUT).await,
                Request::SetMyCommands => {
                    let body = set_my_commands(commands);
                    self.call("setMyCommands", &body, TIMEOUT).await
                }
                Request::DeleteWebhook => self.call("deleteWebhook", "{}", TIMEOUT).await,
                Request::GetUpdates {
                    offset,
                    limit,
                    timeout,
                } => {
                    let body = get_updates(offset, limit, timeout);
                    self.call("getUpdates", &body, timeout + POLL_GRACE).await
                }
            };
            let step = poller.on_answer(begun.elapsed(), outcome);
            for (level, text) in step.log {
                log::log!(level, "{}", self.line(&text));
            }
            for event in step.events {
                if events.send(event).await.is_err() {
                    return;
                }
            }
            *self.handed_over() = poller.offset();
            if !step.wait.is_zero() {
                Timer::after(step.wait).await;
            }
        }
    }

    /// Confirms to Telegram what [`Telegram::poll`] has handed over, so that nobody gets it again. For
    /// the end: Telegram breaks off a poll that is still under way (409). One attempt.
    pub async fn confirm_pending(&self) {
        let offset = *self.handed_over();
        let body = get_updates(offset, 1, Duration::ZERO);
        if offset.is_some()
            && let Err(error) = api::read_updates(self.call("getUpdates", &body, TIMEOUT).await)
        {
            let text = format!("the last updates could not be confirmed: {error}");
            log::warn!("{}", self.line(&text));
        }
    }

    /// The server's certificate cannot be verified before the clock is set. Unverified, it would get
    /// the token.
    fn lacks_clock(&self) -> bool {
        !self.0.settings.api.starts_with("http:") && !self.0.clock.is_set()
    }

    fn handed_over(&self) -> MutexGuard<'_, Option<i64>> {
        let guard = self.0.handed_over.lock();
        guard.unwrap_or_else(PoisonError::into_inner)
    }

    /// `text` as one line of the log: it may hold a server's words.
    fn line(&self, text: &str) -> String {
        let text = self.0.settings.token.scrub(text);
        text.replace(char::is_control, " ")
    }

    async fn call(&self, method: &str, body: &str, timeout: Duration) -> Result<Answer, CallError> {
        let Settings { token, api, .. } = &self.0.settings;
        let url = format!("{api}/bot{}/{method}", token.expose());
        let ipv4_only = self.0.route.ipv4_only();
        let ip = if ipv4_only {
            IpVersion::V4
        } else {
            IpVersion::Any
        };
        let outcome = self.0.client.post_json(&url, body, timeout, ip).await;
        if matches!(outcome, Err(CallError::Failed(_))) {
            self.0.route.failed(ipv4_only);
        }
        outcome
    }

    fn scrubbed(&self, delivery: Delivery) -> Delivery {
        let token = &self.0.settings.token;
        match delivery {
            Delivery::Later {
                after,
                everywhere,
                reason,
            } => Delivery::Later {
                after,
                everywhere,
                reason: token.scrub(&reason),
            },
            Delivery::Refused { reason } => Delivery::Refused {
                reason: token.scrub(&reason),
            },
            delivery => delivery,
        }
    }
}

/// Broken IPv6 resets the TLS of some to api.telegram.org: after a failure the next attempt goes
/// over IPv4 alone, after another one over either, and what works is kept.
#[derive(Default)]
struct Route(AtomicBool);

impl Route {
    fn ipv4_only(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// `ipv4_only` is what the failed attempt went by: poll and sends fail side by side.
    fn failed(&self, ipv4_only: bool) {
        self.0.store(!ipv4_only, Ordering::Relaxed);
    }
}

/// How a message is put; every repetition is simpler than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    /// The message to edit.
    edit: Option<i64>,
    /// The message to reply to.
    reply_to: Option<i64>,
    html: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Done(Delivery),
    Again(Form),
}

impl Form {
    fn of(message: &Message) -> Form {
        Form {
            edit: message.edit,
            reply_to: message.reply_to,
            html: true,
        }
    }

    /// Method and body.
    fn request(self, message: &Message) -> (&'static str, String) {
        let chat_id = message.chat;
        let (text, parse_mode) = if self.html {
            (message.html.clone(), Some("HTML".into()))
        } else {
            (html::plain(&message.html), None)
        };
        let link_preview_options = LinkPreviewOptions { is_disabled: true };
        if let Some(message_id) = self.edit {
            let edit = EditMessageText {
                chat_id,
                message_id,
                text,
                parse_mode,
                link_preview_options,
            };
            return ("editMessageText", edit.serialize_json());
        }
        let reply = |message_id| ReplyParameters {
            message_id,
            allow_sending_without_reply: true,
        };
        let send = SendMessage {
            chat_id,
            text,
            parse_mode,
            disable_notification: message.silent,
            reply_parameters: self.reply_to.map(reply),
            link_preview_options,
        };
        ("sendMessage", send.serialize_json())
    }

    /// The form to try after a 400 with this description, if the form is what it complains of.
    /// Telegram has no other mark for these than the words.
    fn simpler(self, description: &str) -> Option<Form> {
        let description = description.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|words| description.contains(words));
        if self.html && says(&["can't parse entities"]) {
            Some(Form {
                html: false,
                ..self
            })
        } else if self.edit.is_some()
            && says(&[
                "message to edit not found",
                "message can't be edited",
                "message_id_invalid",
            ])
        {
            Some(Form { edit: None, ..self })
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
            None
        }
    }
}

/// What the answer to `message`, put in this `form`, means.
fn judge(message: &Message, form: Form, outcome: Result<Answer, CallError>) -> Verdict {
    let error = match api::read_message_id(outcome) {
        Ok(message_id) => return Verdict::Done(Delivery::Sent { message_id }),
        Err(error) => error,
    };
    let reason = error.to_string();
    let later = |after, everywhere| Delivery::Later {
        after,
        everywhere,
        reason: reason.clone(),
    };
    Verdict::Done(match &error {
        // Telegram has it; without an id, nobody can reply to it.
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
        ApiError::Refused(Refusal {
            code: 400,
            description,
            ..
        }) => {
            if let Some(simpler) = form.simpler(description) {
                return Verdict::Again(simpler);
            }
            match form.edit {
                Some(message_id) if description.contains("message is not modified") => {
                    Delivery::Sent { message_id }
                }
                _ => Delivery::Refused {
                    reason: description.clone(),
                },
            }
        }
        ApiError::Refused(Refusal {
            code: 401..500,
            description,
            ..
        }) => Delivery::Refused {
            reason: description.clone(),
        },
        ApiError::Refused(_) => later(None, true),
    })
}

fn get_updates(offset: Option<i64>, limit: u32, timeout: Duration) -> String {
    let allowed_updates = vec!["message".into(), "callback_query".into()];
    GetUpdates {
        offset,
        limit,
        timeout: timeout.as_secs(),
        allowed_updates,
    }
    .serialize_json()
}

fn set_my_commands(commands: &[(&str, &str)]) -> String {
    let command = |&(command, description): &(&str, &str)| BotCommand {
        command: command.into(),
        description: description.into(),
    };
    SetMyCommands {
        commands: commands.iter().map(command).collect(),
    }
    .serialize_json()
}

#[cfg(test)]
#[path = "telegram_tests.rs"]
mod tests;
