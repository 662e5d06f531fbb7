//! After an unclean stop: since when we were blind, and what is still down (SPEC 10).

use crate::monitor::alert::Notification;
use crate::monitor::render::text;
use crate::monitor::time::{Moment, Now};
use crate::monitor::{Level, Monitor};
use std::collections::BTreeSet;
use std::time::Duration;

/// What was down is looked at again before it is said to be so still; not longer than this.
const LOOK_WITHIN: Duration = Duration::from_secs(90);

/// The clock that dated what was last written may have been ahead by so much, in seconds.
const AHEAD: i64 = 60;

/// An absence that is still to be told.
#[derive(Debug)]
pub struct Away {
    /// Unix seconds: the last thing written.
    pub seen: i64,
    pub back: Moment,
    /// When there was first a clock: https sites aren't looked at before.
    pub clock: Moment,
    /// Sites that were down and have not been looked at since.
    pub unseen: BTreeSet<String>,
}

impl Away {
    fn due(&self) -> Moment {
        self.clock + LOOK_WITHIN
    }
}

impl Monitor {
    /// A site was looked at.
    pub(crate) fn seen_after_away(&mut self, name: &str) {
        if let Some(away) = &mut self.away {
            away.unseen.remove(name);
        }
    }

    pub(crate) fn away_due(&self) -> Option<Moment> {
        self.away
            .as_ref()
            .filter(|_| self.clock.is_set())
            .map(Away::due)
    }

    pub(crate) fn tell_away(&mut self, now: Now) {
        let moment = now.moment();
        let ready =
            |away: &Away| self.clock.is_set() && (away.unseen.is_empty() || moment >= away.due());
        let Some(away) = self.away.take_if(|away| ready(away)) else {
            return;
        };
        let back = now.wall_at(away.back);
        // By a clock that was ahead: since when is not known.
        let known = away.seen <= back.saturating_add(AHEAD);
        let (seen, back) = text::clock_times(away.seen.min(back), back, now);
        let still = self.sites.iter().filter(|w| {
            let down = w.down() && !w.paused() && w.maintenance.is_none();
            down && !away.unseen.contains(w.name())
        });
        let still: Vec<(String, Vec<i64>)> = still
            .map(|w| (w.name().to_owned(), self.chats_of(&w.site)))
            .collect();
        let said = match known {
            true => format!("I was away, last seen {seen}, back {back}"),
            false => format!("I was away, back {back}"),
        };
        self.log(Level::Info, said.clone());
        // A chat reads of the sites that it is told of and of no other.
        for chat in self.access.chats.clone() {
            let mine = still.iter().filter(|(_, chats)| chats.contains(&chat));
            let mine: Vec<&str> = mine.map(|(name, _)| name.as_str()).collect();
            let mut text = said.clone();
            if !mine.is_empty() {
                text.push_str("; still down: ");
                text.push_str(&mine.join(", "));
            }
            let news = Notification::Notice { text };
            self.outbox.push_alert(news, "", None, vec![chat], moment);
        }
        self.saving.now();
    }
}
