//! Adds lines to alerts that say what users did about their incidents, and updates their buttons.

use crate::monitor::outbox::Outbox;
use crate::monitor::outbox::message::{Press, Requester};
use crate::monitor::outbox::send_context::SendContext;
use crate::monitor::render::replies;

/// A user's action on incidents.
#[derive(Debug)]
pub(crate) struct AlertNote {
    /// The chat of the user; notes are added to the alerts in it.
    pub chat: i64,
    /// One line of HTML.
    pub text: String,
    /// The button press, and those incidents of the pressed alert that the chat may see. `None` for
    /// a command.
    pub press: Option<(Press, Vec<u32>)>,
}

impl AlertNote {
    /// Creates the note for an action by command.
    pub fn typed(requester: &Requester, done: &str) -> AlertNote {
        AlertNote {
            chat: requester.chat,
            text: format!("{done}{}", replies::by(&requester.name)),
            press: None,
        }
    }
}

impl Outbox {
    /// Adds the note to the alert whose button was pressed or, after a command, to all alerts of
    /// the chat. `incidents`: the incidents that the action was about.
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
