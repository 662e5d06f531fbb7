//! What the outbox takes, hands out and reports.

use crate::monitor::outbox::message::{Message, Passing};
use crate::monitor::time::Moment;

/// An answer to a command, or an edit of one.
pub type Reply = Message;

impl Reply {
    /// A new message that says `html` and nothing else.
    pub fn new(chat: i64, html: String, queued: Moment) -> Reply {
        Reply {
            chat,
            html,
            queued,
            ..Reply::default()
        }
    }

    /// The same for the chat that has this id now. A message of the old chat can't be edited in the
    /// new one: a text that was to replace one is sent anew, and nothing that is only on the way to
    /// one or changes its looks.
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
    /// To be given back with the [`Delivery`](crate::monitor::outbox::message::Delivery).
    pub id: u64,
    pub message: Message,
    /// An alert and not an answer: it must not take the last free connection.
    pub alert: bool,
    /// The daily summary, which is shown as a picture too.
    pub digest: bool,
}

/// What a delivery means to the rest of the monitor.
#[derive(Clone, Debug, PartialEq)]
pub enum DeliveryEffect {
    /// A message about an incident arrived; 0 when Telegram has it, but under an id that could not be
    /// read.
    Notified {
        incident: u32,
        chat: i64,
        message_id: i64,
    },
    /// The message that shows a `/check`; `None` when it never arrived.
    Job {
        job: u64,
        chat: i64,
        /// The message that was to be edited; it may be gone, and `message_id` another one.
        edited: Option<i64>,
        message_id: Option<i64>,
    },
    /// A message about an offline period and nothing else arrived.
    Offline {
        chat: i64,
        message_id: i64,
    },
    /// A group has a new id.
    Migrated {
        from: i64,
        to: i64,
    },
    /// Worth a line in the log.
    Dropped {
        chat: i64,
        reason: String,
    },
    Delayed {
        reason: String,
    },
    /// An alert left the outbox: the snapshot is out of date. Whether all that left had no sound.
    AlertsChanged {
        silent: bool,
    },
}
