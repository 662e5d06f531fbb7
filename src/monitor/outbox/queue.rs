//! Input, output and effects of the outbox.

use crate::monitor::outbox::message::{Message, Passing};
use crate::monitor::time::Moment;

/// An answer to a command, or an edit of one.
pub type Reply = Message;

impl Reply {
    /// Creates a new message with the text `html` only.
    pub fn new(chat: i64, html: String, queued: Moment) -> Reply {
        Reply {
            chat,
            html,
            queued,
            ..Reply::default()
        }
    }

    /// Redirects the reply to the current id of its chat. Messages of the old chat cannot be edited
    /// in the new one: an edit becomes a new message, or `None` if it only shows progress or
    /// changes the looks.
    pub fn in_chat(self, chat: i64) -> Option<Reply> {
        if self.chat == chat {
            return Some(self);
        }
        let minor = self.touch_up || self.passing == Passing::GoesOn;
        (self.edit.is_none() || !minor).then_some(Reply {
            chat,
            edit: None,
            ..self
        })
    }
}

/// A message to be sent now.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// Passed back with the [`Delivery`](crate::monitor::outbox::message::Delivery).
    pub id: u64,
    pub message: Message,
    /// An alert, not an answer: it must not take the last free connection.
    pub alert: bool,
    /// The daily summary, which includes a picture.
    pub digest: bool,
}

/// Effect of a delivery on the rest of the monitor.
#[derive(Clone, Debug, PartialEq)]
pub enum DeliveryEffect {
    /// A message about an incident was delivered; `message_id` is 0 if Telegram's answer had no
    /// readable id.
    Notified {
        incident: u32,
        chat: i64,
        message_id: i64,
    },
    /// The message that shows a `/check`; `message_id` is `None` if it was refused.
    Job {
        job: u64,
        chat: i64,
        /// The message that was to be edited. If it was deleted, `message_id` is that of a new one.
        edited: Option<i64>,
        message_id: Option<i64>,
    },
    /// A message about an offline period only was delivered.
    Offline {
        chat: i64,
        message_id: i64,
    },
    /// A group migrated.
    Migrated {
        from: i64,
        to: i64,
    },
    Dropped {
        chat: i64,
        reason: String,
    },
    Delayed {
        reason: String,
    },
    /// Alerts left the outbox: the snapshot is out of date. `silent`: none of them makes a sound.
    AlertsChanged {
        silent: bool,
    },
}
