//! Alerts say what users did about their incidents, and get the buttons that fit then.

use crate::monitor::outbox::Outbox;
use crate::monitor::outbox::message::{Press, Requester};
use crate::monitor::outbox::send_context::SendContext;
use crate::monitor::render::replies;

/// What a user did about incidents.
#[derive(Debug)]
pub(crate) struct AlertNote {
    /// The chat in which it was done: its alerts get the note.
    pub chat: i64,
    /// A line of HTML.
    pub text: String,
    /// The press of the alert's button that did it, and those of its incidents that the chat may know
    /// of.
    pub press: Option<(Press, Vec<u32>)>,
}

impl AlertNote {
    /// By a command.
    pub fn typed(requester: &Requester, done: &str) -> AlertNote {
        AlertNote {
            chat: requester.chat,
            text: format!("{done}{}", replies::by(&requester.name)),
            press: None,
        }
    }
}

impl Outbox {
    /// Notes it in the alert whose button was pressed, or in all of the chat in which a command was
    /// given. `incidents`: those that it was done about.
    pub(crate) fn note_in_alerts(
        &mut self,
        context: &SendContext,
        incidents: &[u32],
        note: AlertNote,
    ) {
        let AlertNote { chat, text, press } = note;
        let but = press.as_ref().map(|(p, _)| (p.chat, p.message_id));
        let typed = press.is_none();
        if let Some((press, numbers)) = press
            && let Some(message_id) = press.message()
        {
            let (message, html) = ((press.chat, message_id), press.html);
            let of = context.part_of(press.chat, message_id, incidents);
            self.annotate(
                message,
                html.as_deref(),
                &format!("{text}{of}"),
                context.buttons(&numbers),
                context.now,
            );
        }
        for (in_chat, message_id) in context.incidents.messages_of(incidents) {
            if Some((in_chat, message_id)) == but {
                continue;
            }
            if typed && in_chat == chat {
                let of = context.part_of(in_chat, message_id, incidents);
                self.note(in_chat, message_id, &format!("{text}{of}"));
            }
            self.outdate_keyboard(in_chat, message_id);
        }
    }
}
