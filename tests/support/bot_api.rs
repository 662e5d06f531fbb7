//! A strict fake of the Telegram Bot API on loopback, written from
//! <https://core.telegram.org/bots/api> and the server's source: what it is not sure of it refuses.

use super::bot_serve::{Shared, serve};
use super::bot_state::{State, unix_now};
use super::listener::{LIMIT, Listener, locked};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// A private chat that the bot knows from the start. The user's id is the same, as in Telegram.
pub const CHAT: i64 = 123_456_789;
/// The bot's user name.
pub const BOT_NAME: &str = "sitemon_test_bot";
/// For [`BotApi::fail_always`]: whatever the method.
pub const ANY: &str = "*";

/// Looks like one, opens nothing.
pub const TOKEN: &str = "987654:AAtest-TOKEN_that-nobody-may-ever-see";

/// What goes wrong with a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// 429 with `parameters.retry_after` and the header, in seconds.
    TooManyRequests {
        retry_after: u32,
    },
    /// This HTTP status with a body that is HTML, as proxies send it.
    Status(u16),
    Unauthorized,
    Forbidden,
    /// The group has become a supergroup with this id, which is known from then on.
    MigrateTo(i64),
    OtherPoller409,
    /// 400 with this description, without the `Bad Request: ` in front.
    BadRequest(&'static str),
    /// The bot itself is refused: 400 without `Bad Request: `.
    LoggedOut,
    /// Closed before anything was done.
    Drop,
    /// Carried out, and closed before the answer: an ambiguous send.
    DropAfter,
    /// Carried out at once, and answered after this.
    Late(Duration),
    /// Never answered: open until the bot gives up.
    Stall,
    /// These bytes instead of HTTP.
    Garbage(&'static [u8]),
    /// A well-formed answer with that many bytes of white space in it.
    HugeBody(usize),
}

/// A message of the bot.
#[derive(Clone, Debug)]
pub struct Sent {
    pub chat: i64,
    pub message_id: i64,
    /// As readers saw it at first, without tags.
    pub text: String,
    /// As it was sent.
    pub html: String,
    pub silent: bool,
    pub reply_to: Option<i64>,
    pub topic: Option<i64>,
    /// The picture; the text is its caption then.
    pub photo: Option<Photo>,
    /// Those it has now.
    pub buttons: Vec<Button>,
    pub edits: Vec<Edit>,
    /// It can't be edited any more.
    pub deleted: bool,
    /// Unix seconds.
    pub date: i64,
    pub at: Instant,
}

/// A PNG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Photo {
    pub width: i64,
    pub height: i64,
    /// Bytes.
    pub size: i64,
}

impl Sent {
    /// The data of the button that says `label`.
    #[track_caller]
    pub fn data(&self, label: &str) -> String {
        let button = self.buttons.iter().find(|b| b.text == label);
        let button = button.unwrap_or_else(|| panic!("no {label} under {self:?}"));
        button.data.clone()
    }

    pub fn labels(&self) -> Vec<&str> {
        self.buttons.iter().map(|b| b.text.as_str()).collect()
    }

    /// The text as readers see it now.
    pub fn latest(&self) -> &str {
        self.edits.last().map_or(&self.text, |edit| &edit.text)
    }

    pub fn latest_html(&self) -> &str {
        self.edits.last().map_or(&self.html, |edit| &edit.html)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Button {
    pub text: String,
    /// Empty for a button that opens a URL.
    pub data: String,
    /// Empty for the usual colour.
    pub style: String,
}

#[derive(Clone, Debug)]
pub struct Edit {
    pub text: String,
    pub html: String,
    pub at: Instant,
}

pub struct BotApi {
    listener: Listener,
    shared: Arc<Shared>,
}

impl BotApi {
    pub fn start() -> BotApi {
        let shared = Arc::new(Shared::new(State::new(CHAT)));
        let for_threads = Arc::clone(&shared);
        let listener = Listener::start(move |stream, connection| {
            serve(stream, connection, &for_threads);
        });
        BotApi { listener, shared }
    }

    /// For the key `api`: no slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.listener.address())
    }

    pub fn port(&self) -> u16 {
        self.listener.address().port()
    }

    pub fn token(&self) -> &'static str {
        TOKEN
    }

    /// A `[telegram]` table for the configuration, with [`CHAT`] in it.
    pub fn config(&self) -> String {
        format!(
            "[telegram]\ntoken = \"{TOKEN}\"\nchats = [{CHAT}]\napi = \"{}\"\n",
            self.url()
        )
    }

    // What users do.

    /// A message of `user` in `chat`, written now; the chat is known from then on. Returns its
    /// `update_id`.
    pub fn say(&self, chat: i64, user: i64, text: &str) -> i64 {
        self.say_at(chat, user, text, unix_now())
    }

    /// The same, written at `date` (Unix seconds).
    pub fn say_at(&self, chat: i64, user: i64, text: &str, date: i64) -> i64 {
        self.change(|state| state.push_message(chat, user, text, date))
    }

    /// Presses a button under the message `message_id`. Returns the `update_id`.
    pub fn press(&self, chat: i64, user: i64, message_id: i64, data: &str) -> i64 {
        self.change(|state| state.push_callback(chat, user, message_id, data))
    }

    /// An update verbatim, malformed or not; `UPDATE_ID` in it is replaced by the number returned.
    pub fn push_raw(&self, json: &str) -> i64 {
        self.change(|state| state.push_raw(json))
    }

    /// The group `from` becomes the supergroup `to`, which the bot is told in both; what is sent to
    /// `from` is refused from then on.
    pub fn migrate(&self, from: i64, to: i64) {
        self.add_chat(to);
        self.fail_chat(from, Some(Fault::MigrateTo(to)));
        let service = |chat: i64, key: &str, other: i64| {
            let chat = format!(r#"{{"id":{chat},"type":"supergroup","title":"g"}}"#);
            let head = format!(r#""message_id":1,"date":{},"chat":{chat}"#, unix_now());
            self.push_raw(&format!(
                r#"{{"update_id":UPDATE_ID,"message":{{{head},"{key}":{other}}}}}"#
            ));
        };
        service(from, "migrate_to_chat_id", to);
        service(to, "migrate_from_chat_id", from);
    }

    /// A user deletes a message of the bot.
    pub fn delete(&self, message_id: i64) {
        self.change(|state| {
            let sent = state.sent.iter_mut().find(|m| m.message_id == message_id);
            sent.expect("a message").deleted = true;
        });
    }

    /// Makes the bot a member of `chat`.
    pub fn add_chat(&self, chat: i64) {
        self.change(|state| state.add_chat(chat));
    }

    /// Makes `chat` a forum with the topic `topic`; unknown topics are refused.
    pub fn add_topic(&self, chat: i64, topic: i64) {
        self.change(|state| {
            state.add_chat(chat);
            state.add_topic(chat, topic);
        });
    }

    // What the bot did.

    /// All messages in the order in which they were sent, since the last [`BotApi::clear`].
    pub fn messages(&self) -> Vec<Sent> {
        let state = locked(&self.shared.state);
        state.sent[state.cleared..].to_vec()
    }

    /// Forgets the messages so far; they can still be edited and answered.
    pub fn clear(&self) {
        self.change(|state| state.cleared = state.sent.len());
    }

    /// Waits for a message (as it reads now) that satisfies `wanted`: the first of them.
    #[track_caller]
    pub fn wait_message(&self, wanted: impl Fn(&Sent) -> bool) -> Sent {
        self.wait("a message", |state| {
            let mut messages = state.sent[state.cleared..].iter();
            messages.find(|message| wanted(message)).cloned()
        })
    }

    /// Waits until at least `n` messages are there, and returns them all.
    #[track_caller]
    pub fn wait_messages(&self, n: usize) -> Vec<Sent> {
        self.wait(&format!("{n} messages"), |state| {
            let messages = &state.sent[state.cleared..];
            (messages.len() >= n).then(|| messages.to_vec())
        })
    }

    /// Requests of this method since the start, refused and failed ones included.
    pub fn calls(&self, method: &str) -> usize {
        let state = locked(&self.shared.state);
        state.calls.get(method).copied().unwrap_or(0)
    }

    /// Waits until `method` has been called at least `n` times since the start.
    #[track_caller]
    pub fn wait_calls(&self, method: &str, n: usize) {
        self.wait(&format!("{n} calls of {method}"), |state| {
            (*state.calls.get(method)? >= n).then_some(())
        });
    }

    /// Waits until the bot has confirmed every update.
    #[track_caller]
    pub fn wait_confirmed(&self) {
        self.wait("the confirmation of all updates", |state| {
            (state.unconfirmed() == 0).then_some(())
        });
    }

    /// Whatever a request had that the Bot API does not know. Should be empty.
    pub fn violations(&self) -> Vec<String> {
        locked(&self.shared.state).violations.clone()
    }

    /// Names and descriptions of the last `setMyCommands`.
    pub fn commands(&self) -> Vec<(String, String)> {
        locked(&self.shared.state).commands.clone()
    }

    /// Ids and texts of the answers to pressed buttons.
    pub fn callback_answers(&self) -> Vec<(String, String)> {
        locked(&self.shared.state).callback_answers.clone()
    }

    pub fn open_connections(&self) -> usize {
        self.listener.counts().open()
    }

    pub fn max_connections_seen(&self) -> usize {
        self.listener.counts().max_open
    }

    // What goes wrong.

    /// The next request of `method` that has no earlier fault waiting gets `fault`.
    pub fn fail_next(&self, method: &str, fault: Fault) {
        self.change(|state| {
            let faults = state.next_faults.entry(method.to_owned()).or_default();
            faults.push_back(fault);
        });
    }

    /// Every request of `method` (or [`ANY`]) gets `fault`, until `None` ends it.
    pub fn fail_always(&self, method: &str, fault: Option<Fault>) {
        self.change(|state| match fault {
            Some(fault) => drop(state.standing_faults.insert(method.to_owned(), fault)),
            None => drop(state.standing_faults.remove(method)),
        });
    }

    /// Everything for `chat` gets `fault`, until `None` ends it.
    pub fn fail_chat(&self, chat: i64, fault: Option<Fault>) {
        self.change(|state| match fault {
            Some(fault) => drop(state.chat_faults.insert(chat, fault)),
            None => drop(state.chat_faults.remove(&chat)),
        });
    }

    /// Sets a webhook, which is in the way of `getUpdates` until `deleteWebhook`.
    pub fn set_webhook(&self) {
        self.change(|state| state.webhook = true);
    }

    /// Telegram's limits: more gets 429.
    pub fn limit_rate(&self, on: bool) {
        self.change(|state| state.limiter.on = on);
    }

    /// Time that passes for the limits alone: people think before they type.
    pub fn let_pass(&self, time: Duration) {
        self.change(|state| state.limiter.let_pass(time));
    }

    /// How often the limits said no.
    pub fn floods(&self) -> usize {
        locked(&self.shared.state).limiter.refused
    }

    /// Waits for the answer to the press that was the update `update`: its text.
    #[track_caller]
    pub fn wait_answer(&self, update: i64) -> String {
        let id = format!("callback{update}");
        self.wait("the answer to a press", |state| {
            let mut answers = state.callback_answers.iter();
            answers
                .find(|(i, _)| *i == id)
                .map(|(_, text)| text.clone())
        })
    }

    /// The server is gone: connections are cut, new ones refused.
    pub fn pause(&self) {
        self.listener.close();
    }

    /// It is back on the same port, and remembers everything.
    #[track_caller]
    pub fn resume(&self) {
        self.listener.open_again();
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        self.shared.change(change)
    }

    #[track_caller]
    fn wait<T>(&self, what: &str, mut found: impl FnMut(&State) -> Option<T>) -> T {
        let give_up = Instant::now() + LIMIT;
        let mut state = locked(&self.shared.state);
        loop {
            if let Some(it) = found(&state) {
                return it;
            }
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let report = state.report();
                drop(state);
                panic!("waited in vain for {what}\n{report}");
            }
            let woken = self.shared.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
