//! Groups that became supergroups and so have a new id (Bot API, `migrate_to_chat_id` and
//! `migrate_from_chat_id`): the new id is used until the configuration has it.

use crate::monitor::bot::Bot;
use crate::monitor::site::access::rename;

/// The result of a notification that a group moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// The chat is not configured.
    NotOurs,
    /// The move is already known.
    Known,
    /// The move is new. `both`: the configuration has the new id too.
    New { both: bool },
}

impl Bot {
    /// Takes a move that a service message or a refused delivery reports.
    pub fn on_move(&mut self, from: i64, to: i64) -> Move {
        let chats = &self.access.chats;
        if !chats.contains(&from) || from == to {
            return match self.moved.contains(&(from, to)) {
                true => Move::Known,
                false => Move::NotOurs,
            };
        }
        let both = chats.contains(&to);
        self.moved.retain(|(old, _)| *old != from);
        self.moved.push((from, to));
        self.rename_chat(from, to);
        Move::New { both }
    }

    /// Takes the service message of a move, which is the last update from the old id.
    pub fn on_service_message(&mut self, from: i64) {
        let ours = self.access.chats.contains(&from) || self.moved.iter().any(|m| m.0 == from);
        if ours && !self.left.contains(&from) {
            self.left.push(from);
        }
    }

    /// Returns the current id of the chat of an update. If a refused delivery reported the move
    /// first, messages and presses from before the move still arrive with the old id.
    pub fn current_id(&self, chat: i64) -> i64 {
        let follow = |id: i64, &(from, to): &(i64, i64)| if id == from { to } else { id };
        match self.left.contains(&chat) {
            true => chat,
            false => self.moved.iter().fold(chat, follow),
        }
    }

    /// Returns the id by which the configuration has a chat now; `None`: it no longer has the chat.
    pub fn configured(&self, chat: i64) -> Option<i64> {
        let follow = |id: i64, &(from, to): &(i64, i64)| if id == from { to } else { id };
        let chat = self.moved.iter().fold(chat, follow);
        self.access.chats.contains(&chat).then_some(chat)
    }

    /// Replaces old ids of groups in a configuration that was just read and returns the moves (old
    /// and new id). A move is forgotten once the configuration has neither id. A group may have
    /// moved more than once.
    pub fn follow_moves(&mut self) -> Vec<(i64, i64)> {
        let mut known = self.access.chats.clone();
        self.moved.retain(|(from, to)| {
            let follows = known.contains(from) || known.contains(to);
            if follows {
                known.push(*to);
            }
            follows
        });
        for (from, to) in self.moved.clone() {
            self.rename_chat(from, to);
        }
        self.moved.clone()
    }

    /// Returns the moves: old and new ids.
    pub fn moved_chats(&self) -> &[(i64, i64)] {
        &self.moved
    }

    pub fn restore_moves(&mut self, moves: Vec<(i64, i64)>) {
        self.moved = moves;
    }

    fn rename_chat(&mut self, from: i64, to: i64) {
        rename(&mut self.access.chats, from, to);
        self.jobs.rename_chat(from, to);
        self.stale.rename_chat(from, to);
    }
}
