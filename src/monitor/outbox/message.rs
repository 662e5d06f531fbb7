//! What goes out to a chat, what comes in from one, and how a sending ended.

use crate::monitor::render::picture::Picture;
use crate::monitor::time::Moment;
use std::sync::Arc;
use std::time::Duration;

pub use crate::monitor::site::access::CONSOLE;

/// One message to be sent or edited. `html` holds Telegram's HTML subset
/// (Bot API, "HTML style"): only `<b> <i> <code> <a href>` and the entities
/// `&lt; &gt; &amp; &quot;`; at most 4096 UTF-16 units, 1024 under a picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    pub chat: i64,
    /// The topic of a forum group it goes to (`message_thread_id`, 1 = General); `None` = the configured one.
    pub topic: Option<i64>,
    pub html: String,
    /// Without sound (`disable_notification`).
    pub silent: bool,
    /// The message this one answers (`reply_parameters`), sent all the same when that one is gone.
    pub reply_to: Option<i64>,
    /// Replace the text of this message of ours instead of sending a new one (`editMessageText`).
    pub edit: Option<i64>,
    /// Nothing new is sent when the message to edit is gone: it would say again what was said.
    pub touch_up: bool,
    /// Rows of buttons under it; an edit without any takes those away that were there.
    pub buttons: Vec<Vec<Button>>,
    pub passing: Passing,
    /// Above `html` (`sendPhoto`). Drawn when it is sent.
    pub picture: Option<Arc<Picture>>,
    /// When the command that it answers came in, as uptime: for the answer times in `/stats`.
    pub asked: Option<Duration>,
    /// The `/check` command whose message this is.
    pub job: Option<u64>,
    /// It says what was done about an outage: an answer that is worth having however late.
    pub lasting: bool,
    /// Since when it waits to be sent; of an answer.
    pub queued: Moment,
}

/// Whether a message will soon be replaced by one that says more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Passing {
    #[default]
    Stays,
    /// The first word of what goes on: a terminal shows it as a line that is written over, a pipe
    /// its first line.
    Begins,
    /// How far it is: nothing for a pipe.
    GoesOn,
}

/// A button under a message (`InlineKeyboardButton`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Button {
    /// Plain text, not empty.
    pub label: String,
    /// What a [`Press`] of it brings back: 1 to 64 bytes (`callback_data`).
    pub data: String,
    pub style: Option<ButtonStyle>,
}

/// The colour of a button (`InlineKeyboardButton.style`, Bot API 9.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ButtonStyle {
    /// Red.
    Danger,
    /// Green.
    Success,
}

/// How one attempt to send a [`Message`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Telegram said `ok`; the id of the message. An edit whose text was already so counts too.
    Sent { message_id: i64 },
    /// Not now: network, 5xx, 401 or 429. `after` is what Telegram asked for (429 `retry_after`, or
    /// 5 minutes for 401); without it the caller backs off.
    Later {
        after: Option<Duration>,
        everywhere: bool,
        reason: String,
    },
    /// Never: 400 or 403 for this chat.
    Refused { reason: String },
    /// The group became a supergroup (`migrate_to_chat_id`): send it there, from now on.
    Migrated { to: i64 },
}

/// One update from the chat side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// `update_id`; strictly growing. The terminal counts its lines.
    pub id: i64,
    /// `None` for an update that is malformed or of a kind that is not ours: only its id counts.
    pub content: Option<Content>,
}

/// What came from a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Message(Incoming),
    Press(Press),
    /// A group has become a supergroup: its old and its new id.
    Moved {
        from: i64,
        to: i64,
    },
}

/// A text message from a chat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incoming {
    pub chat: i64,
    /// The topic of a forum group it was written in (1 = General); `None` where there are none.
    pub topic: Option<i64>,
    /// `from.id`; `None` for a channel post.
    pub user: Option<i64>,
    /// The user's name; may be empty.
    pub name: String,
    pub text: String,
    /// Unix seconds when it was written, by Telegram's clock.
    pub date: i64,
    /// It is at most so old, as far as the transport knows: no wall clock is asked for that.
    pub waited: Duration,
}

/// A [`Button`] was pressed (`CallbackQuery`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Press {
    /// To be given back with the [`CallbackAnswer`].
    pub id: String,
    pub chat: i64,
    /// The topic of a forum group its message is in.
    pub topic: Option<i64>,
    pub user: Option<i64>,
    /// The user's name; may be empty.
    pub name: String,
    /// The message that has the button.
    pub message_id: i64,
    /// That message's text as it stands, in the HTML of a [`Message`]; `None` for a picture, or when
    /// Telegram no longer shows it to us.
    pub html: Option<String>,
    /// Unix seconds when that message was sent; 0 when Telegram no longer shows it to us.
    pub date: i64,
    /// The button's [`Button::data`], or what was forged.
    pub data: String,
    /// As in [`Incoming`]; a press has no date of its own.
    pub waited: Duration,
}

impl Press {
    /// The message that has the button, if it can be changed: not at the terminal, nor in a group that
    /// has moved since.
    pub fn message(&self) -> Option<i64> {
        (self.message_id != 0).then_some(self.message_id)
    }

    /// The user who pressed. `instead`: the message that the answer takes the place of.
    pub fn requester(&self, at: Duration, instead: Option<i64>) -> Requester {
        Requester {
            chat: self.chat,
            topic: self.topic,
            user: self.user,
            name: self.name.clone(),
            pressed: true,
            instead,
            at,
        }
    }
}

/// The user who asks, and where the answer goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requester {
    pub chat: i64,
    /// As in [`Incoming`].
    pub topic: Option<i64>,
    pub user: Option<i64>,
    /// The user's name; may be empty.
    pub name: String,
    /// By a button, which leaves no trace in the chat: the answer may name the user.
    pub pressed: bool,
    /// The answer takes the place of this message of ours.
    pub instead: Option<i64>,
    /// When, as uptime.
    pub at: Duration,
}

/// What the presser of a button sees for a moment (`answerCallbackQuery`). Every press is answered
/// once, or the button goes on waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackAnswer {
    /// [`Press::id`].
    pub id: String,
    /// Plain text of at most 200 UTF-16 units; empty = nothing is shown.
    pub text: String,
    /// When the press came in, as uptime: for the answer times in `/stats`.
    pub asked: Duration,
}
