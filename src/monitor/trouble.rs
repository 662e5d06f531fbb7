//! Our own line down and up again, and its half-dead kinds: who is not judged, what is told.

use super::alert::News;
use super::line::{Report, Trouble};
use super::text;
use super::time::{Moment, Now};
use super::watch::Veil;
use super::{Action, Level, Monitor};

impl Monitor {
    /// Looks at the line if it is time.
    pub(super) fn look_at_line(&mut self, now: Now) {
        if !self.stopping
            && let Some(deep) = self.line.begin(now.moment())
        {
            self.actions.push(Action::Probe { deep });
        }
    }

    pub(super) fn probed(&mut self, now: Now, report: Report) {
        let answered = self.line.answered();
        self.line.take(now.moment(), report);
        match (report.up, self.line.has(Trouble::Line)) {
            (false, false) => self.go_offline(now, answered),
            (true, true) => self.back_online(now),
            _ => {}
        }
        if report.names == Some(true) {
            self.trouble_ends(now, Trouble::Names);
        }
        if report.trusted == Some(true) {
            self.trouble_ends(now, Trouble::Portal);
        }
        if report.up && report.ipv6 != Some(false) {
            self.trouble_ends(now, Trouble::Ipv6);
        }
    }

    /// It began with the first failure after the last answer from elsewhere.
    fn go_offline(&mut self, now: Now, answered: Option<Moment>) {
        let moment = now.moment();
        let failing = self.sites.iter().filter(|w| !w.lan() || w.unresolved());
        let first = failing.filter_map(|w| w.failing_since).min();
        let since = first.max(answered).unwrap_or(moment).min(moment);
        self.line.begins(Trouble::Line, since, moment);
        self.log(
            Level::Warn,
            "offline: none of the `uplink` targets answers; only sites on this network are judged"
                .to_owned(),
        );
        for watched in &mut self.sites {
            let here = watched.lan() && !watched.unresolved();
            if !here && !watched.paused() && watched.veil != Some(Veil::Unreachable) {
                watched.cover(Veil::Offline(Trouble::Line), moment);
            }
        }
        self.saving.now();
    }

    pub(super) fn back_online(&mut self, now: Now) {
        let moment = now.moment();
        let Some(since) = self.line.ends(Trouble::Line, moment) else {
            return;
        };
        let covered: Vec<usize> = self.uncover(Veil::Offline(Trouble::Line), moment);
        for at in covered {
            // The outage of a site that was down before goes on, but not by the time we were blind.
            let name = &self.sites[at].site.name;
            if let Some(incident) = self.incidents.open_of_mut(name) {
                incident.blind += moment.since(since.max(incident.start));
            }
        }
        self.refresh_reach(now);
        let (period, goes_on) = self.line.period(since, now);
        self.log(
            Level::Info,
            format!("online again after {}", text::lasting(moment.since(since))),
        );
        self.saving.now();
        if self.silenced(moment) {
            return;
        }
        if !goes_on {
            self.told_offline.clear();
        }
        let chats = self.access.chats.clone();
        let news = News::Offline(period);
        let edits = &self.told_offline;
        self.outbox
            .push_offline(news, chats, edits, goes_on, moment);
    }

    pub(super) fn trouble_begins(&mut self, now: Now, trouble: Trouble, since: Moment) {
        let known = self.line.has(trouble);
        let news = self.line.begins(trouble, since, now.moment());
        if known {
            return;
        }
        self.saving.now();
        if let Some(text) = trouble.began() {
            self.log(Level::Warn, text.to_owned());
            if news && !self.silenced(now.moment()) {
                self.trouble_told.push(trouble);
                self.announce(now, text.to_owned());
            }
        }
    }

    pub(super) fn trouble_ends(&mut self, now: Now, trouble: Trouble) {
        let moment = now.moment();
        let Some(since) = self.line.ends(trouble, moment) else {
            return;
        };
        self.uncover(Veil::Offline(trouble), moment);
        self.refresh_reach(now);
        self.saving.now();
        if let Some(text) = trouble.ended() {
            let text = format!("{text}, after {}.", text::lasting(moment.since(since)));
            self.log(Level::Info, text.clone());
            let told = self.trouble_told.iter().position(|t| *t == trouble);
            if let Some(place) = told {
                self.trouble_told.remove(place);
                self.announce(now, text);
            }
        }
    }

    /// Judges again what lay under `veil`, afresh.
    fn uncover(&mut self, veil: Veil, now: Moment) -> Vec<usize> {
        let covered: Vec<usize> = (0..self.sites.len())
            .filter(|&at| self.sites[at].veil == Some(veil))
            .collect();
        for &at in &covered {
            self.sites[at].uncover(now);
        }
        covered
    }

    /// A configuration that asks no more: what was known of the line is over.
    pub(super) fn ask_line(&mut self, now: Now, asked: bool) {
        self.line.asked = asked;
        if !asked {
            self.line.ends(Trouble::Line, now.moment());
            self.uncover(Veil::Offline(Trouble::Line), now.moment());
        }
    }
}
