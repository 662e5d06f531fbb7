//! Incidents: numbered outages, each from down to up, and which user acknowledged it.

pub mod record;
pub mod remediation;
pub(crate) mod unclean_stop;

use crate::monitor::incident::remediation::Remediations;
use crate::monitor::incident::unclean_stop::UncleanStop;
use crate::monitor::site::access::{CONSOLE, may_see};
use crate::monitor::site::table::Sites;
use crate::monitor::time::{Moment, Now, Redating};
use std::collections::VecDeque;
use std::time::Duration;

/// Maximum number of ended incidents that are kept; open ones always are.
const MAX_ENDED: usize = 50;
/// Maximum number of those that no alert was made for: a flapping site must not displace the
/// others.
const UNNOTIFIED: usize = 10;

/// One outage of one site.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    number: u32,
    site: String,
    cause: String,
    start: Moment,
    end: Option<Moment>,
    acknowledged: Option<Acknowledged>,
    messages: Vec<(i64, i64)>,
    /// When the last reminder was made or skipped, or the incident opened.
    reminded: Moment,
    unjudged: Duration,
}

/// Acknowledgement of an incident by a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Telegram user id; `None` at the terminal.
    pub by: Option<i64>,
    /// The user's name; empty if not known.
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
    /// Counts up from 1 over the lifetime of the state directory.
    pub fn number(&self) -> u32 {
        self.number
    }

    pub fn site(&self) -> &str {
        &self.site
    }

    /// Returns the last failure before the incident opened.
    pub fn cause(&self) -> &str {
        &self.cause
    }

    pub fn start(&self) -> Moment {
        self.start
    }

    /// Returns when it ended; `None` while it is open.
    pub fn end(&self) -> Option<Moment> {
        self.end
    }

    pub fn is_open(&self) -> bool {
        self.end.is_none()
    }

    pub fn acknowledged(&self) -> Option<&Acknowledged> {
        self.acknowledged.as_ref()
    }

    /// Returns the messages of its alert: chat and message id. The recovery is a reply to them.
    pub fn messages(&self) -> &[(i64, i64)] {
        &self.messages
    }

    /// Returns how long it lasted, or has lasted so far, without the time in which it was not
    /// judged.
    pub fn length(&self, now: Now) -> Duration {
        let end = self.end.unwrap_or(now.moment());
        if mutated!("count the time in which judging was suspended") {
            return end.since(self.start);
        }
        end.since(self.start).saturating_sub(self.unjudged)
    }

    /// Returns when it will have lasted for `length`, if it is judged until then.
    pub fn lasts_at(&self, length: Duration) -> Moment {
        self.start + self.unjudged + length
    }

    /// Returns how long it lasted within a span in which the site was down for `down` according to
    /// its history; `None` if it was entirely before or after the span.
    pub fn length_within(
        &self,
        (from, until): (Moment, Moment),
        down: Duration,
        now: Moment,
    ) -> Option<Duration> {
        let end = self.end.unwrap_or(now);
        let overlap = end.min(until).since(self.start.max(from));
        // `unjudged` may lie outside the span; the history has the time down within it.
        let is_whole = self.start >= from && end <= until;
        let lasted = match is_whole || down.is_zero() {
            true => overlap.saturating_sub(self.unjudged),
            false => overlap.min(down),
        };
        (self.start < until && end > from).then_some(lasted)
    }

    /// Excludes the time since `since` from the length, as our own connection was down.
    pub fn exclude(&mut self, since: Moment, now: Moment) {
        self.unjudged += now.since(since.max(self.start));
    }

    /// Returns whether the chat may see it. If the site no longer exists, only chats that have a
    /// message about it.
    pub fn visible_to(&self, chat: i64, sites: &Sites) -> bool {
        match sites.named(&self.site) {
            Some(watched) => may_see(chat, watched.config()),
            None => chat == CONSOLE || self.message_in(chat).is_some(),
        }
    }

    /// Records that a reminder is made, or was due and is skipped.
    pub fn on_reminder(&mut self, now: Moment) {
        self.reminded = now;
    }

    /// Returns when the next reminder is due; `None` once it is acknowledged.
    pub fn next_reminder(&self, every: Duration) -> Option<Moment> {
        let due = self.reminded + every;
        self.acknowledged.is_none().then_some(due)
    }

    /// Corrects moments of an earlier run, now that the time since is known.
    pub fn redate(&mut self, redating: &Redating) {
        let acknowledged = self.acknowledged.iter_mut().map(|a| &mut a.at);
        let moments = [&mut self.start, &mut self.reminded].into_iter();
        let moments = moments.chain(&mut self.end).chain(acknowledged);
        moments.for_each(|moment| redating.moment(moment));
    }

    /// Returns the id of its message in a chat; 0 if the id is not known.
    pub fn message_in(&self, chat: i64) -> Option<i64> {
        self.messages
            .iter()
            .find(|(c, _)| *c == chat)
            .map(|(_, id)| *id)
    }

    /// Replaces the id of a group. The ids of its messages under the new id are not known.
    pub fn chat_moved(&mut self, from: i64, to: i64) {
        if self.message_in(from).is_some() && self.message_in(to).is_none() {
            self.messages.push((to, 0));
        }
        self.messages.retain(|(chat, _)| *chat != from);
    }
}

/// All open incidents and the latest ended ones, oldest first.
#[derive(Debug, Default)]
pub struct Incidents {
    list: VecDeque<Incident>,
    /// Number of open ones. It is usually 0, and saves a search.
    open: usize,
    /// When the latest dropped incident ended, if known.
    forgotten: Option<Moment>,
    /// Number of the newest incident; 0 if there was none yet.
    last_number: u32,
    /// An unclean stop that was not notified yet.
    unclean_stop: Option<UncleanStop>,
    remediations: Remediations,
}

impl Incidents {
    pub fn restore(list: Vec<Incident>, next_number: u32) -> Incidents {
        let highest = list.iter().map(|i| i.number).max().unwrap_or(0);
        // If the list is full, older incidents may have been dropped.
        let ended = list.iter().filter_map(|i| i.end);
        let full = ended.clone().count() >= MAX_ENDED;
        Incidents {
            open: list.iter().filter(|i| i.end.is_none()).count(),
            forgotten: ended.min().filter(|_| full),
            list: list.into(),
            last_number: next_number.saturating_sub(1).max(highest),
            ..Incidents::default()
        }
    }

    pub fn next_number(&self) -> u32 {
        self.last_number.saturating_add(1)
    }

    pub fn open(&mut self, site: &str, cause: String, now: Moment) -> u32 {
        let number = self.next_number();
        self.last_number = number;
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
            unjudged: Duration::ZERO,
        });
        number
    }

    /// Ends and returns the site's open incident. `notified`: whether an alert was made for an
    /// incident.
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
        self.keep_newest(MAX_ENDED, |i| i.end.is_some());
        Some(ended)
    }

    pub fn get_mut(&mut self, number: u32) -> Option<&mut Incident> {
        self.list.iter_mut().find(|i| i.number == number)
    }

    pub fn get(&self, number: u32) -> Option<&Incident> {
        self.list.iter().find(|i| i.number == number)
    }

    /// Records the message that delivered its alert. Returns the messages whose buttons are
    /// outdated: an earlier one, and this one if the incident has ended.
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

    /// Acknowledges the incidents that are not acknowledged yet. Returns whether there were any.
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

    /// Returns the messages of the incidents' alerts: chat and message id.
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

    /// Incidents that ended until then may have been dropped; `None` if none were.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_after_a_restore() {
        let mut incidents = Incidents::default();
        assert_eq!(incidents.open("blog", "HTTP 503".into(), Moment(0)), 1);
        let list: Vec<_> = incidents.iter().cloned().collect();
        let mut again = Incidents::restore(list, 0);
        assert_eq!(again.open("shop", "HTTP 500".into(), Moment(0)), 2);
    }

    #[test]
    fn an_incident_is_closed_once_and_knows_its_length() {
        let mut incidents = Incidents::default();
        incidents.open("blog", "HTTP 503".into(), Moment(1_000));
        let all = |_| true;
        let ended = incidents.close("blog", Moment(4_000), all);
        let ended = ended.expect("was open");
        let later = Now::utc(Duration::from_secs(99), 0);
        assert_eq!(ended.length(later), Duration::from_secs(3));
        assert_eq!(incidents.close("blog", Moment(5_000), all), None);
    }

    #[test]
    fn of_a_part_the_time_that_was_not_judged_elsewhere_counts() {
        let mut incidents = Incidents::default();
        let hour = |n: i64| Moment(n * 3_600_000);
        incidents.open("blog", "HTTP 503".into(), hour(12));
        let incident = incidents.open_of_mut("blog").expect("it is open");
        incident.exclude(hour(13), hour(18));
        let hours = |from: i64, down: u64| {
            let down = Duration::from_secs(down * 3600);
            let within = incident.length_within((hour(from), hour(from + 24)), down, hour(60));
            within.map(|lasted| lasted.as_secs() / 3600)
        };
        assert_eq!(hours(0, 7), Some(7));
        assert_eq!(hours(24, 24), Some(24));
        assert_eq!(hours(48, 12), Some(12));
        assert_eq!(hours(72, 0), None);
    }

    #[test]
    fn old_ones_are_forgotten_open_ones_never() {
        let mut incidents = Incidents::default();
        incidents.open("old", "stays".into(), Moment(0));
        for i in 0..500 {
            outage(&mut incidents, i, &|_| true);
        }
        assert_eq!(incidents.iter().count(), MAX_ENDED + 1);
        assert!(incidents.open_of("old").is_some());
        let oldest = 500 - MAX_ENDED as i64;
        assert_eq!(incidents.forgotten_until(), Some(Moment(oldest - 1)));
    }

    #[test]
    fn those_that_no_alert_was_made_for_do_not_push_out_the_others() {
        let mut incidents = Incidents::default();
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
