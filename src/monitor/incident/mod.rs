//! Incidents: one outage each, numbered, from down to up, and which user acknowledged it.

pub(crate) mod unclean_stop;

use crate::monitor::incident::unclean_stop::UncleanStop;
use crate::monitor::site::access::{CONSOLE, may_see};
use crate::monitor::site::table::Sites;
use crate::monitor::time::{Moment, Now};
use std::collections::VecDeque;
use std::time::Duration;

/// Ended incidents that are remembered; open ones always are.
const REMEMBERED: usize = 50;
/// Of those, the ones that no alert was made for: a site that flaps must not push out the others.
const UNNOTIFIED: usize = 10;

/// One outage of one site.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// Counts up from 1 over the life of the state directory.
    pub number: u32,
    pub site: String,
    /// What the last failure before it said.
    pub cause: String,
    pub start: Moment,
    pub end: Option<Moment>,
    pub acknowledged: Option<Acknowledged>,
    /// The message that told of it, by chat: the recovery is a reply to it.
    pub messages: Vec<(i64, i64)>,
    /// When the last alert was made that it goes on, or it opened.
    pub reminded: Moment,
    /// Time of it in which our own line was down: not counted.
    pub blind: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Telegram user id; `None` at the terminal.
    pub by: Option<i64>,
    /// The user's name; empty where it is not known.
    pub name: String,
    pub at: Moment,
}

impl Acknowledged {
    pub fn by(user: Option<i64>, name: &str, at: Moment) -> Acknowledged {
        Acknowledged {
            by: user,
            name: name.to_owned(),
            at,
        }
    }
}

impl Incident {
    /// How long it lasted, or has lasted so far, without the time we were blind.
    pub fn length(&self, now: Now) -> Duration {
        let end = self.end.unwrap_or(now.moment());
        if mutated!("count the time in which judging was suspended") {
            return end.since(self.start);
        }
        end.since(self.start).saturating_sub(self.blind)
    }

    /// An incident of a site that is gone belongs to the chats that were told of it.
    pub fn visible_to(&self, chat: i64, sites: &Sites) -> bool {
        match sites.named(&self.site) {
            Some(watched) => may_see(chat, &watched.site),
            None => chat == CONSOLE || self.message_in(chat).is_some(),
        }
    }

    /// The message that told a chat of it; 0 when its id is not known.
    pub fn message_in(&self, chat: i64) -> Option<i64> {
        self.messages
            .iter()
            .find(|(c, _)| *c == chat)
            .map(|(_, id)| *id)
    }

    /// A group has a new id, and in it the messages have ids that are not known.
    pub fn chat_moved(&mut self, from: i64, to: i64) {
        if self.message_in(from).is_some() && self.message_in(to).is_none() {
            self.messages.push((to, 0));
        }
        self.messages.retain(|(chat, _)| *chat != from);
    }
}

/// All incidents that are open or still remembered, oldest first.
#[derive(Debug)]
pub struct Incidents {
    list: VecDeque<Incident>,
    /// How many of them are open: most of the time none is, and the list is not searched.
    open: usize,
    /// When the last one ended that is no longer remembered, as far as that is known.
    forgotten: Option<Moment>,
    next_number: u32,
    /// An unclean stop that is still to be told.
    unclean_stop: Option<UncleanStop>,
}

impl Incidents {
    pub fn new() -> Incidents {
        Incidents {
            unclean_stop: None,
            list: VecDeque::new(),
            open: 0,
            forgotten: None,
            next_number: 1,
        }
    }

    pub fn restore(list: Vec<Incident>, next_number: u32) -> Incidents {
        let highest = list.iter().map(|i| i.number).max().unwrap_or(0);
        // A list that is full may have lost the one before its oldest.
        let ended = list.iter().filter_map(|i| i.end);
        let full = ended.clone().count() >= REMEMBERED;
        Incidents {
            unclean_stop: None,
            open: list.iter().filter(|i| i.end.is_none()).count(),
            forgotten: ended.min().filter(|_| full),
            list: list.into(),
            next_number: next_number.max(highest.saturating_add(1)),
        }
    }

    pub fn next_number(&self) -> u32 {
        self.next_number
    }

    pub fn open(&mut self, site: &str, cause: String, now: Moment) -> u32 {
        let number = self.next_number;
        self.next_number = self.next_number.saturating_add(1);
        self.open += 1;
        self.list.push_back(Incident {
            number,
            site: site.to_owned(),
            cause,
            start: now,
            end: None,
            acknowledged: None,
            messages: Vec::new(),
            reminded: now,
            blind: Duration::ZERO,
        });
        number
    }

    /// Ends the site's open incident and gives it back. `notified`: an alert was made for this one.
    pub fn close(
        &mut self,
        site: &str,
        now: Moment,
        notified: impl Fn(u32) -> bool,
    ) -> Option<Incident> {
        let incident = self.open_of_mut(site)?;
        incident.end = Some(now);
        let ended = incident.clone();
        self.open = self.open.saturating_sub(1);
        self.keep_newest(UNNOTIFIED, |i| i.end.is_some() && !notified(i.number));
        self.keep_newest(REMEMBERED, |i| i.end.is_some());
        Some(ended)
    }

    pub fn get_mut(&mut self, number: u32) -> Option<&mut Incident> {
        self.list.iter_mut().find(|i| i.number == number)
    }

    pub fn get(&self, number: u32) -> Option<&Incident> {
        self.list.iter().find(|i| i.number == number)
    }

    /// A message in a chat told of the incident. Those of its messages that are not, or no longer, to
    /// have buttons that fit are returned.
    pub fn on_message(&mut self, number: u32, chat: i64, message_id: i64) -> Vec<i64> {
        let Some(incident) = self.get_mut(number) else {
            return Vec::new();
        };
        let earlier = incident.message_in(chat).filter(|m| *m != message_id);
        if message_id == 0 && earlier.is_some() {
            return Vec::new();
        }
        incident.messages.retain(|(c, _)| *c != chat);
        incident.messages.push((chat, message_id));
        let ended = incident.end.is_some().then_some(message_id);
        let outdated = earlier.into_iter().chain(ended);
        outdated.filter(|message| *message != 0).collect()
    }

    /// Acknowledges those of the incidents that are not acknowledged yet. Whether there was one.
    pub fn acknowledge(&mut self, numbers: &[u32], acknowledged: &Acknowledged) -> bool {
        let mut any = false;
        for incident in self.list.iter_mut().filter(|i| numbers.contains(&i.number)) {
            any |= incident.acknowledged.is_none();
            incident
                .acknowledged
                .get_or_insert_with(|| acknowledged.clone());
        }
        any
    }

    /// Where the incidents were told: chat and message.
    pub fn messages_of(&self, numbers: &[u32]) -> Vec<(i64, i64)> {
        let incidents = numbers.iter().filter_map(|&n| self.get(n));
        incidents.flat_map(|i| i.messages.iter().copied()).collect()
    }

    pub fn open_of(&self, site: &str) -> Option<&Incident> {
        self.iter_open().find(|i| i.site == site)
    }

    pub fn open_of_mut(&mut self, site: &str) -> Option<&mut Incident> {
        self.list
            .iter_mut()
            .find(|i| i.end.is_none() && i.site == site)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Incident> {
        self.list.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Incident> {
        self.list.iter_mut()
    }

    pub fn iter_open(&self) -> impl Iterator<Item = &Incident> {
        let open = self.list.iter().filter(|i| i.end.is_none());
        open.take(self.open)
    }

    pub fn iter_open_mut(&mut self) -> impl Iterator<Item = &mut Incident> {
        let open = self.list.iter_mut().filter(|i| i.end.is_none());
        open.take(self.open)
    }

    /// Some that ended until then are forgotten; `None` while all are remembered.
    pub fn forgotten_until(&self) -> Option<Moment> {
        self.forgotten
    }

    fn keep_newest(&mut self, most: usize, of: impl Fn(&Incident) -> bool) {
        let mut count = self.list.iter().filter(|i| of(i)).count();
        while count > most
            && let Some(oldest) = self.list.iter().position(&of)
        {
            let gone = self.list.remove(oldest);
            self.forgotten = self.forgotten.max(gone.and_then(|i| i.end));
            count -= 1;
        }
    }
}

impl Default for Incidents {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_after_a_restore() {
        let mut incidents = Incidents::new();
        assert_eq!(incidents.open("blog", "HTTP 503".into(), Moment(0)), 1);
        let list: Vec<_> = incidents.iter().cloned().collect();
        let mut again = Incidents::restore(list, 0);
        assert_eq!(again.open("shop", "HTTP 500".into(), Moment(0)), 2);
    }

    #[test]
    fn an_incident_is_closed_once_and_knows_its_length() {
        let mut incidents = Incidents::new();
        incidents.open("blog", "HTTP 503".into(), Moment(1_000));
        let all = |_| true;
        let ended = incidents.close("blog", Moment(4_000), all);
        let ended = ended.expect("was open");
        let later = Now {
            uptime: Duration::from_secs(99),
            wall: 0,
            zone: crate::monitor::time::zone::Zone::UTC,
        };
        assert_eq!(ended.length(later), Duration::from_secs(3));
        assert_eq!(incidents.close("blog", Moment(5_000), all), None);
    }

    #[test]
    fn old_ones_are_forgotten_open_ones_never() {
        let mut incidents = Incidents::new();
        incidents.open("old", "stays".into(), Moment(0));
        for i in 0..500 {
            outage(&mut incidents, i, &|_| true);
        }
        assert_eq!(incidents.iter().count(), REMEMBERED + 1);
        assert!(incidents.open_of("old").is_some());
        let oldest = 500 - REMEMBERED as i64;
        assert_eq!(incidents.forgotten_until(), Some(Moment(oldest - 1)));
    }

    #[test]
    fn those_that_no_alert_was_made_for_do_not_push_out_the_others() {
        let mut incidents = Incidents::new();
        let notified = |number| number <= 40;
        for i in 0..500 {
            outage(&mut incidents, i, &notified);
        }
        let known = incidents.iter().filter(|i| notified(i.number)).count();
        assert_eq!((known, incidents.iter().count()), (40, 40 + UNNOTIFIED));
    }

    fn outage(incidents: &mut Incidents, at: i64, notified: &dyn Fn(u32) -> bool) {
        incidents.open("blog", "x".into(), Moment(at));
        incidents.close("blog", Moment(at), notified);
    }
}
