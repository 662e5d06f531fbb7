//! Groups that became supergroups, and so have a new id: everything that knows a chat by its id
//! follows at once (Bot API, `migrate_to_chat_id` and `migrate_from_chat_id`).

use crate::monitor::Monitor;
use crate::monitor::incident::Incident;
use crate::monitor::site::access::may_see;
use crate::monitor::time::{Moment, Now};
use std::sync::Arc;

impl Monitor {
    /// A service message or a refused sending says so. The new id counts until the configuration
    /// has it.
    pub(crate) fn chat_moved(&mut self, now: Now, from: i64, to: i64) {
        if !self.bot.access.chats.contains(&from) || from == to {
            // Not a chat of ours, or followed already: then something was still under way to it.
            if self.bot.moved.contains(&(from, to)) {
                self.outbox.rename_chat(from, to);
            }
            return;
        }
        let both = self.bot.access.chats.contains(&to);
        // What went to both ids is not to go to the new one again.
        let sites = &self.sites;
        let joined = self.bot.joined.iter().find(|(chat, _)| *chat == to);
        let since = joined.map_or(Moment(0), |(_, since)| *since);
        let ends = self.outbox.alerts().filter(|a| a.news.ends_incident());
        let ends = ends.filter_map(|a| a.incident);
        let only_here: Vec<u32> = ends.filter(|&n| self.never_told(n, to)).collect();
        self.outbox.drop_twins(from, since, &|alert| {
            let site = sites.named(&alert.site).map(|w| &w.site);
            let end = alert.news.ends_incident()
                && alert.incident.is_some_and(|n| only_here.contains(&n));
            both && !mutated!("tell a group under both its ids")
                && !end
                && site.is_none_or(|site| may_see(to, site))
        });
        self.bot.moved.retain(|(old, _)| *old != from);
        self.bot.moved.push((from, to));
        self.follow_move(from, to);
        for incident in self.incidents.iter_mut() {
            incident.chat_moved(from, to);
        }
        self.bot.jobs.rename_chat(from, to);
        self.outbox.keyboards.forget_chat(from);
        self.alerts.told_offline.retain(|(chat, _)| *chat != from);
        self.bot.stale.rename_chat(from, to);
        self.saving.now();
        let what = match both {
            true => format!("take {from} out of `chats` of sitemon.conf"),
            false => "put the new id into `chats` of sitemon.conf".to_owned(),
        };
        self.notice(now, format!("Group {from} became {to}: {what}."));
    }

    /// The alerts that tell of the incident still wait, but for other chats: this one was not in the
    /// configuration then, or refused them. To it the incident has no end.
    pub(crate) fn never_told(&self, incident: u32, chat: i64) -> bool {
        let untold = |i: &Incident| i.message_in(chat).is_none();
        self.outbox.waits_for_others(incident, chat)
            && self.incidents.get(incident).is_some_and(untold)
    }

    /// Puts the new ids of groups where the configuration has the old ones.
    pub(crate) fn follow_moves(&mut self) {
        for (from, to) in self.bot.moved.clone() {
            self.follow_move(from, to);
        }
    }

    /// Once the configuration has the new id of a group alone, the old one is history. A group may
    /// have moved more than once.
    pub(crate) fn forget_moves(&mut self) {
        let mut known = self.bot.access.chats.clone();
        self.bot.moved.retain(|(from, to)| {
            let follows = known.contains(from);
            if follows {
                known.push(*to);
            }
            follows
        });
    }

    fn follow_move(&mut self, from: i64, to: i64) {
        self.outbox.rename_chat(from, to);
        rename(&mut self.bot.access.chats, from, to);
        for watched in self.sites.iter_mut() {
            let chats = watched.site.chats.as_ref();
            if chats.is_some_and(|chats| chats.contains(&from)) {
                let site = Arc::make_mut(&mut watched.site);
                rename(site.chats.get_or_insert_default(), from, to);
            }
        }
    }
}

/// `to` in the place of `from`, once.
pub(crate) fn rename(chats: &mut Vec<i64>, from: i64, to: i64) {
    if chats.contains(&to) {
        chats.retain(|chat| *chat != from);
    }
    for chat in chats.iter_mut().filter(|chat| **chat == from) {
        *chat = to;
    }
}
