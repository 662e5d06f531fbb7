//! What goes out to a chat, what comes in from one, and how a sending ended.

use std::time::Duration;

/// The chat id of the terminal (`run --console`). Telegram has no chat 0.
pub const CONSOLE: i64 = 0;

/// One message to be sent or edited. `html` holds Telegram's HTML subset
/// (Bot API, "HTML style"): only `<b> <i> <code>` and the entities
/// `&lt; &gt; &amp; &quot;`; at most 4096 UTF-16 units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub chat: i64,
    pub html: String,
    /// Without sound (`disable_notification`).
    pub silent: bool,
    /// The message this one answers (`reply_parameters`), sent all the same when that one is gone.
    pub reply_to: Option<i64>,
    /// Replace the text of this message of ours instead of sending a new one (`editMessageText`).
    pub edit: Option<i64>,
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
    pub message: Option<Incoming>,
}

/// A text message somebody wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    pub chat: i64,
    /// `from.id`; `None` for a channel post.
    pub user: Option<i64>,
    pub text: String,
    /// Unix seconds when it was written.
    pub date: i64,
}
