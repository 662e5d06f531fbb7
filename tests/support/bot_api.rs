//! A strict fake of the Telegram Bot API on loopback, written from
//! <https://core.telegram.org/bots/api> and the server's source: it refuses whatever neither of
//! them allows.

use super::bot_serve::{Shared, serve};
use super::bot_state::{State, unix_now};
use super::listener::{LIMIT, Listener, locked};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// A private chat that the bot knows from the start. The user's id is the same, as in Telegram.
pub const CHAT: i64 = 123_456_789;
/// The bot's user name.
pub const BOT_NAME: &str = "sitemon_test_bot";
/// For [`BotApi::fail_always`]: every method.
pub const ANY: &str = "*";

/// A token of the right form, of no real bot.
pub const TOKEN: &str = "987654:AAtest-TOKEN_that-nobody-may-ever-see";

/// A fault that the fake injects into a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// 429 with the wait in seconds in `parameters.retry_after` and in the header.
    TooManyRequests {
        retry_after: u32,
    },
    /// This HTTP status with an HTML body, as proxies send it.
    Status(u16),
    Unauthorized,
    Forbidden,
    /// The group has become a supergroup with this id, which is known from then on.
    MigrateTo(i64),
    OtherPoller409,
    /// 400 with this description, without its prefix `Bad Request: `.
    BadRequest(&'static str),
    /// The bot itself is refused: 400 without `Bad Request: `.
    LoggedOut,
    /// The connection is closed before the request is carried out.
    Drop,
    /// The request is carried out, and the connection closed before the answer: an ambiguous send.
    DropAfter,
    /// The request is carried out at once, and answered after this time.
    Late(Duration),
    /// No answer: the connection stays open until the bot gives up.
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
    /// The text of the first version, without tags.
    pub text: String,
    /// The HTML of the first version.
    pub html: String,
    pub silent: bool,
    pub reply_to: Option<i64>,
    pub topic: Option<i64>,
    /// The picture. With one, the text is its caption.
    pub photo: Option<Photo>,
    /// The buttons it has now.
    pub buttons: Vec<Button>,
    pub edits: Vec<Edit>,
    /// The message can't be edited any more.
    pub deleted: bool,
    /// Unix seconds.
    pub date: i64,
    pub at: Instant,
}

/// A PNG picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Photo {
    pub width: i64,
    pub height: i64,
    /// Size of the file in bytes.
    pub size: i64,
}

impl Sent {
    /// Returns the callback data of the button with this label.
    #[track_caller]
    pub fn data(&self, label: &str) -> String {
        let button = self.buttons.iter().find(|b| b.text == label);
        let button = button.unwrap_or_else(|| panic!("no {label} under {self:?}"));
        button.data.clone()
    }

    pub fn labels(&self) -> Vec<&str> {
        self.buttons.iter().map(|b| b.text.as_str()).collect()
    }

    /// Returns the text after the last edit.
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
    /// Callback data. Empty for a button that opens a URL.
    pub data: String,
    /// Empty for the default colour.
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

    /// Returns the value of the key `api`, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.listener.address())
    }

    pub fn port(&self) -> u16 {
        self.listener.address().port()
    }

    pub fn token(&self) -> &'static str {
        TOKEN
    }

    /// Returns a `[telegram]` table for the configuration, with [`CHAT`] in it.
    pub fn config(&self) -> String {
        format!(
            "[telegram]\ntoken = \"{TOKEN}\"\nchats = [{CHAT}]\napi = \"{}\"\n",
            self.url()
        )
    }

    // Actions of users.

    /// Queues a message of `user` in `chat`, dated now; the chat is known from then on. Returns its
    /// `update_id`.
    pub fn say(&self, chat: i64, user: i64, text: &str) -> i64 {
        self.say_at(chat, user, text, unix_now())
    }

    /// Queues the same message, dated `date` (Unix seconds).
    pub fn say_at(&self, chat: i64, user: i64, text: &str, date: i64) -> i64 {
        self.change(|state| state.push_message(chat, user, text, date))
    }

    /// Presses a button under the message `message_id`. Returns the `update_id`.
    pub fn press(&self, chat: i64, user: i64, message_id: i64, data: &str) -> i64 {
        self.change(|state| state.push_callback(chat, user, message_id, data))
    }

    /// Queues an update verbatim, malformed or not; `UPDATE_ID` in it is replaced by the number
    /// returned.
    pub fn push_raw(&self, json: &str) -> i64 {
        self.change(|state| state.push_raw(json))
    }

    /// Turns the group `from` into the supergroup `to`, with a service message in both; messages to
    /// `from` are refused from then on.
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

    /// Deletes a message of the bot, as a user may.
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

    // Requests of the bot.

    /// Returns all messages in the order in which they were sent, since the last [`BotApi::clear`].
    pub fn messages(&self) -> Vec<Sent> {
        let state = locked(&self.shared.state);
        state.sent[state.cleared..].to_vec()
    }

    /// Forgets the messages so far; they can still be edited and answered.
    pub fn clear(&self) {
        self.change(|state| state.cleared = state.sent.len());
    }

    /// Waits for a message whose present version satisfies `wanted`, and returns the first one.
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

    /// Counts the requests of this method since the start, refused and failed ones included.
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

    /// Returns every use of the API that its documentation does not allow. Should be empty.
    pub fn violations(&self) -> Vec<String> {
        locked(&self.shared.state).violations.clone()
    }

    /// Returns names and descriptions of the last `setMyCommands`.
    pub fn commands(&self) -> Vec<(String, String)> {
        locked(&self.shared.state).commands.clone()
    }

    /// Returns ids and texts of the answers to pressed buttons.
    pub fn callback_answers(&self) -> Vec<(String, String)> {
        locked(&self.shared.state).callback_answers.clone()
    }

    pub fn open_connections(&self) -> usize {
        self.listener.counts().open()
    }

    pub fn max_connections_seen(&self) -> usize {
        self.listener.counts().max_open
    }

    // Faults.

    /// Injects `fault` into the next request of `method` that no earlier fault is queued for.
    pub fn fail_next(&self, method: &str, fault: Fault) {
        self.change(|state| {
            let faults = state.next_faults.entry(method.to_owned()).or_default();
            faults.push_back(fault);
        });
    }

    /// Injects `fault` into every request of `method` (or [`ANY`]) until `None` ends it.
    pub fn fail_always(&self, method: &str, fault: Option<Fault>) {
        self.change(|state| match fault {
            Some(fault) => drop(state.standing_faults.insert(method.to_owned(), fault)),
            None => drop(state.standing_faults.remove(method)),
        });
    }

    /// Injects `fault` into every request for `chat` until `None` ends it.
    pub fn fail_chat(&self, chat: i64, fault: Option<Fault>) {
        self.change(|state| match fault {
            Some(fault) => drop(state.chat_faults.insert(chat, fault)),
            None => drop(state.chat_faults.remove(&chat)),
        });
    }

    /// Sets a webhook: `getUpdates` is refused until `deleteWebhook`.
    pub fn set_webhook(&self) {
        self.change(|state| state.webhook = true);
    }

    /// Turns Telegram's rate limits on or off: requests beyond them get 429.
    pub fn limit_rate(&self, on: bool) {
        self.change(|state| state.limiter.on = on);
    }

    /// Advances the time of the rate limits alone, as if users paused before they typed.
    pub fn let_pass(&self, time: Duration) {
        self.change(|state| state.limiter.let_pass(time));
    }

    /// Counts the requests that the rate limits refused.
    pub fn floods(&self) -> usize {
        locked(&self.shared.state).limiter.refused
    }

    /// Waits for the answer to the button press of the update `update`, and returns its text.
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

    /// Stops the server: its connections are cut, new ones refused.
    pub fn pause(&self) {
        self.listener.close();
    }

    /// Starts the server again on the same port, with all its state.
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
