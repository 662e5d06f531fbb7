//! Our own line down and up again, and its half-dead kinds: who is not judged, what is told.

use crate::monitor::alert::Notification;
use crate::monitor::render::text;
use crate::monitor::site::state::Suppression;
use crate::monitor::time::{Moment, Now};
use crate::monitor::uplink::{Fault, ProbeResult, STORY};
use crate::monitor::{Action, Level, Monitor};
use std::time::Duration;

/// A trouble shorter than this is not worth a message (SPEC 10: no name in the last 30 s).
const SETTLED: Duration = Duration::from_secs(30);

const WRONG_TARGETS: &str = "Sites elsewhere answer, but none of the `uplink` targets does: is `uplink` in sitemon.conf right, or a firewall or proxy in the way? Until one of them answers only sites on this network are judged.";

/// Whether people know of a trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Not yet: then, or when not everything is muted any more.
    Due(Moment),
    Told,
}

impl Monitor {
    /// Looks at the line if it is time.
    pub(crate) fn look_at_line(&mut self, now: Now) {
        if !self.stopping
            && let Some(deep) = self.line.begin(now.moment())
        {
            self.actions.push(Action::Probe { deep });
        }
    }

    pub(crate) fn probed(&mut self, now: Now, report: ProbeResult) {
        if !self.line.asked {
            // It was under way when `uplink` was emptied. Nobody would look again.
            return;
        }
        let answered = self.line.answered();
        let Some(began) = self.line.take(now.moment(), report) else {
            return;
        };
        match (report.up, self.line.has(Fault::Line)) {
            (false, false) => self.go_offline(now, answered),
            (true, true) => self.back_online(now),
            _ => {}
        }
        if self.line.contradicted() {
            self.log(Level::Info, WRONG_TARGETS.to_owned());
            self.announce_line(now, WRONG_TARGETS.to_owned());
        }
        if report.up {
            self.absolve(now, report, began);
        }
        if report.names == Some(true) {
            self.fault_ends(now, Fault::Names);
        }
        if report.trusted == Some(true) {
            self.fault_ends(now, Fault::Portal);
        }
        if report.up && report.ipv6 != Some(false) {
            self.fault_ends(now, Fault::Ipv6);
        }
    }

    /// It began with the first failure after the last answer from elsewhere.
    fn go_offline(&mut self, now: Now, answered: Option<Moment>) {
        let moment = now.moment();
        let failing = self.sites.iter().filter(|w| !w.local());
        let first = failing.filter_map(|w| w.failing_since).min();
        let since = first.max(answered).unwrap_or(moment).min(moment);
        self.line.begins(Fault::Line, since, moment);
        self.log(
            Level::Warn,
            "offline: none of the `uplink` targets answers; only sites on this network are judged"
                .to_owned(),
        );
        for watched in self.sites.iter_mut() {
            if !watched.local()
                && !watched.paused()
                && watched.suppression != Some(Suppression::Unreachable)
            {
                watched.cover(Suppression::Offline(Fault::Line), moment);
            }
        }
        // After a power cut the outages of then would else count the time that we were blind.
        self.saving.now_if_calm(moment);
    }

    pub(crate) fn back_online(&mut self, now: Now) {
        let moment = now.moment();
        let Some(since) = self.line.ends(Fault::Line, moment) else {
            return;
        };
        let mut blind = self.uncover(Suppression::Offline(Fault::Line), moment);
        let behind = |at: &usize| {
            let watched = &self.sites[*at];
            watched.suppression == Some(Suppression::Unreachable) && !watched.lan()
        };
        blind.extend((0..self.sites.len()).filter(behind));
        for at in blind {
            // The outage of a site that was down before goes on, but not by the time we were blind.
            let name = &self.sites[at].site.name;
            if let Some(incident) = self.incidents.open_of_mut(name) {
                incident.blind += moment.since(since.max(incident.start));
            }
        }
        self.refresh_reach(now);
        let (period, goes_on) = self.line.period(since, now, self.clock_set);
        self.log(
            Level::Info,
            format!("online again after {}", text::lasting(moment.since(since))),
        );
        self.saving.later(moment);
        if !goes_on {
            self.alerts.told_offline.clear();
        }
        if self.silenced(moment) {
            return;
        }
        let chats = self.bot.access.chats.clone();
        let news = Notification::Offline(period);
        let edits = &self.alerts.told_offline;
        self.outbox
            .push_offline(news, chats, edits, goes_on, moment);
        self.saving.alert("", moment);
    }

    /// A half-dead line. It is told at once when it would have made a site down (`sure`), else when it
    /// has lasted for a moment; one that was just over, when it has lasted as long as a story does.
    pub(crate) fn fault_begins(&mut self, now: Now, trouble: Fault, since: Moment, sure: bool) {
        if self.line.has(trouble) {
            return;
        }
        let news = self.line.begins(trouble, since, now.moment());
        self.saving.later(now.moment());
        if let Some(text) = trouble.began() {
            self.log(Level::Warn, text.to_owned());
        }
        let due = match (news, sure) {
            (false, _) => now.moment() + STORY,
            (true, true) => now.moment(),
            (true, false) => since + SETTLED,
        };
        self.alerts.fault_notices.push((trouble, Said::Due(due)));
    }

    /// When a fault has lasted long enough to be told. While there is no connection at all nothing
    /// can be known of the others.
    pub(crate) fn next_trouble_told(&self) -> Option<Moment> {
        if self.line.has(Fault::Line) {
            return None;
        }
        let due = self
            .alerts
            .fault_notices
            .iter()
            .filter_map(|(_, said)| match said {
                Said::Due(at) => Some(*at),
                Said::Told => None,
            });
        let told = |at: Moment| self.alerts.muted_until.map_or(at, |until| until.max(at));
        due.min().map(told)
    }

    pub(crate) fn tell_troubles(&mut self, now: Now) {
        let moment = now.moment();
        if self.silenced(moment) || self.line.has(Fault::Line) {
            return;
        }
        let mut texts = Vec::new();
        for (trouble, said) in &mut self.alerts.fault_notices {
            if matches!(said, Said::Due(at) if *at <= moment) {
                *said = Said::Told;
                texts.extend(trouble.began());
            }
        }
        for text in texts {
            self.announce_line(now, text.to_owned());
        }
    }

    pub(crate) fn fault_ends(&mut self, now: Now, trouble: Fault) {
        let moment = now.moment();
        let Some(since) = self.line.ends(trouble, moment) else {
            return;
        };
        self.uncover(Suppression::Offline(trouble), moment);
        self.refresh_reach(now);
        self.saving.later(moment);
        let said = self
            .alerts
            .fault_notices
            .iter()
            .position(|(t, _)| *t == trouble);
        let told =
            said.is_some_and(|place| self.alerts.fault_notices.remove(place).1 == Said::Told);
        if let Some(text) = trouble.ended() {
            let text = format!("{text}, after {}.", text::lasting(moment.since(since)));
            self.log(Level::Info, text.clone());
            if told {
                self.announce_line(now, text);
            }
        }
    }

    /// Judges again what lay under `suppression`, afresh.
    fn uncover(&mut self, suppression: Suppression, now: Moment) -> Vec<usize> {
        let covered: Vec<usize> = (0..self.sites.len())
            .filter(|&at| self.sites[at].suppression == Some(suppression))
            .collect();
        for &at in &covered {
            self.sites[at].uncover(now);
        }
        covered
    }

    /// A configuration that asks no more: what was known of the line is over.
    pub(crate) fn ask_line(&mut self, now: Now, asked: bool) {
        self.line.asked = asked;
        if asked {
            return;
        }
        for trouble in [Fault::Line, Fault::Portal, Fault::Ipv6] {
            self.line.ends(trouble, now.moment());
            self.uncover(Suppression::Offline(trouble), now.moment());
            self.alerts.fault_notices.retain(|(t, _)| *t != trouble);
        }
    }
}
