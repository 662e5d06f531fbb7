//! Groups that became supergroups, and so have a new id (Bot API, `migrate_to_chat_id` and
//! `migrate_from_chat_id`): the new id counts until the configuration has it.

use crate::monitor::bot::Bot;
use crate::monitor::site::access::rename;

/// What a move means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Not a chat of ours.
    NotOurs,
    /// It was followed already.
    Known,
    /// It is followed from now on. `both`: the configuration has the new id too.
    New { both: bool },
}

impl Bot {
    /// A service message or a refused sending says that a group has a new id.
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

    /// The service message of a move: in the order of the updates it is the last from the old id.
    pub fn on_service_message(&mut self, from: i64) {
        let ours = self.access.chats.contains(&from) || self.moved.iter().any(|m| m.0 == from);
        if ours && !self.left.contains(&from) {
            self.left.push(from);
        }
    }

    /// The chat that an update is from, by the id that it has now. What was written or pressed in a
    /// group before it moved may come when a refused sending has already told of the move.
    pub fn current_id(&self, chat: i64) -> i64 {
        let follow = |id: i64, &(from, to): &(i64, i64)| if id == from { to } else { id };
        match self.left.contains(&chat) {
            true => chat,
            false => self.moved.iter().fold(chat, follow),
        }
    }

    /// The id by which the configuration has a chat now; `None`: it has it no longer.
    pub fn configured(&self, chat: i64) -> Option<i64> {
        let follow = |id: i64, &(from, to): &(i64, i64)| if id == from { to } else { id };
        let chat = self.moved.iter().fold(chat, follow);
        self.access.chats.contains(&chat).then_some(chat)
    }

    /// Puts the new ids of groups where a configuration that was just read has the old ones, and
    /// returns them, old and new. Once the configuration has neither, the move is history. A group
    /// may have moved more than once.
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

    /// Old and new ids.
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
