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

    /// Puts the new ids of groups where a configuration that was just read has the old ones, and
    /// returns them, old and new. Once the configuration has the new id of a group alone, the old one is history. A group
    /// may have moved more than once.
    pub fn follow_moves(&mut self) -> Vec<(i64, i64)> {
        let mut known = self.access.chats.clone();
        self.moved.retain(|(from, to)| {
            let follows = known.contains(from);
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
    pub fn moves(&self) -> &[(i64, i64)] {
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
