//! Messages to and from chats, and the results of sends.

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
    /// The forum topic to send to (`message_thread_id`, 1 = General); `None` = the configured one.
    pub topic: Option<i64>,
    pub html: String,
    /// Without sound (`disable_notification`).
    pub silent: bool,
    /// The message this one answers (`reply_parameters`); it is sent even if that one was deleted.
    pub reply_to: Option<i64>,
    /// The message of ours to edit instead of sending a new one (`editMessageText`).
    pub edit: Option<i64>,
    /// Do not send a new message if the one to edit was deleted: the text is already known.
    pub touch_up: bool,
    /// Rows of buttons. An edit without buttons removes the existing ones.
    pub buttons: Vec<Vec<Button>>,
    pub passing: Passing,
    /// A picture above `html` (`sendPhoto`), rendered when it is sent.
    pub picture: Option<Arc<Picture>>,
    /// Uptime at which the command that this answers was received, for the response times in
    /// `/stats`.
    pub asked: Option<Duration>,
    /// The `/check` command that this message shows.
    pub job: Option<u64>,
    /// The message reports what was done about an outage: it is sent however late.
    pub lasting: bool,
    /// When an answer was queued.
    pub queued: Moment,
}

/// Whether a message will soon be replaced by a more complete one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Passing {
    #[default]
    Stays,
    /// The start of a progress display. A terminal overwrites the line; a pipe gets its first line.
    Begins,
    /// Progress. Not written to a pipe.
    GoesOn,
}

/// A button under a message (`InlineKeyboardButton`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Button {
    /// Plain text, not empty.
    pub label: String,
    /// Returned by a [`Press`]: 1 to 64 bytes (`callback_data`).
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

/// Result of one attempt to send a [`Message`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Accepted, with the id of the message (0 if it could not be read). Includes edits that change
    /// nothing.
    Sent { message_id: i64 },
    /// Retry later: network, 5xx, 401 or 429. `after` is the delay that Telegram asked for (429
    /// `retry_after`, or 5 minutes for 401); without it the caller backs off. `everywhere`: applies
    /// to all chats.
    Later {
        after: Option<Duration>,
        everywhere: bool,
        reason: String,
    },
    /// Never retry: 400 or 403 for this chat.
    Refused { reason: String },
    /// The group became a supergroup (`migrate_to_chat_id`): send to the new id from now on.
    Migrated { to: i64 },
}

/// One update from Telegram or the terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// `update_id`, strictly increasing. The terminal numbers its lines.
    pub id: i64,
    /// `None` if the update is malformed or of an unsupported kind: only its id is used.
    pub content: Option<Content>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Message(Incoming),
    Press(Press),
    /// A group became a supergroup: its old and new id.
    Moved {
        from: i64,
        to: i64,
    },
}

/// A text message from a chat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incoming {
    pub chat: i64,
    /// The forum topic it was written in (1 = General); `None` if the chat has no topics.
    pub topic: Option<i64>,
    /// `from.id`; `None` for a channel post.
    pub user: Option<i64>,
    /// The user's name; may be empty.
    pub name: String,
    pub text: String,
    /// When it was written, in Unix seconds by Telegram's clock.
    pub date: i64,
    /// Maximum age on arrival, as far as the transport knows; independent of the wall clock.
    pub waited: Duration,
}

/// A [`Button`] was pressed (`CallbackQuery`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Press {
    /// Passed back with the [`CallbackAnswer`].
    pub id: String,
    pub chat: i64,
    /// The forum topic of the message with the button.
    pub topic: Option<i64>,
    pub user: Option<i64>,
    /// The user's name; may be empty.
    pub name: String,
    /// The message with the button.
    pub message_id: i64,
    /// Current text of that message, in the HTML of a [`Message`]; `None` for a picture, or if
    /// Telegram no longer gives us access to the message.
    pub html: Option<String>,
    /// When that message was sent, in Unix seconds; 0 if Telegram no longer gives us access to it.
    pub date: i64,
    /// The button's [`Button::data`]; may be forged.
    pub data: String,
    /// As in [`Incoming`]; a press has no date.
    pub waited: Duration,
}

impl Press {
    /// Returns the message with the button, if it can be edited: not at the terminal, nor in a
    /// group that has migrated since.
    pub fn message(&self) -> Option<i64> {
        (self.message_id != 0).then_some(self.message_id)
    }

    /// Returns the user who pressed. `instead`: the message that the answer replaces.
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

/// The user who sent a request, and where the answer goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requester {
    pub chat: i64,
    /// As in [`Incoming`].
    pub topic: Option<i64>,
    pub user: Option<i64>,
    /// The user's name; may be empty.
    pub name: String,
    /// By a button, which leaves no trace in the chat, so the answer may name the user.
    pub pressed: bool,
    /// The message of ours that the answer replaces.
    pub instead: Option<i64>,
    /// When the request was received, as uptime.
    pub at: Duration,
}

/// Short popup for the user who pressed a button (`answerCallbackQuery`). Every press must be
/// answered once, or the button keeps showing a progress bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackAnswer {
    /// [`Press::id`].
    pub id: String,
    /// Plain text of at most 200 UTF-16 units; empty = no popup.
    pub text: String,
    /// Uptime at which the press was received, for the response times in `/stats`.
    pub asked: Duration,
}
