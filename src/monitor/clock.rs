//! A wall clock that is not set, and one that jumps.
//!
//! A Pi has no clock of its own: until the time has come over the network it shows 1970 or the
//! time of the last shutdown. Until then certificates cannot be judged, and what is written down
//! is dated by what was last known.

use super::time::{Moment, Now};
use super::{Level, Monitor};

impl Monitor {
    /// The time to go by: a clock before the build of this program is not set, and what was last
    /// written plus the time since is nearer to the truth.
    pub(super) fn read_clock(&mut self, now: Now) -> Now {
        let set = now.wall >= self.built;
        if set != self.clock_set {
            self.clock_set = set;
            self.page = None;
            self.clock_changed(now);
        }
        self.estimate(now)
    }

    pub(super) fn estimate(&self, now: Now) -> Now {
        if now.wall >= self.built {
            return now;
        }
        let uptime = i64::try_from(now.uptime.as_secs()).unwrap_or(i64::MAX);
        Now {
            wall: self.wall_floor.saturating_add(uptime),
            ..now
        }
    }

    fn clock_changed(&mut self, now: Now) {
        if !self.clock_set {
            self.log(
                Level::Warn,
                "clock not set: https sites are not checked and Telegram waits until it is"
                    .to_owned(),
            );
            return;
        }
        self.log(Level::Info, "the clock is set".to_owned());
        self.date_back(now);
        if let Some(away) = &mut self.away {
            away.clock = now.moment();
        }
        for watched in self.sites.iter_mut().filter(|w| w.site.is_https()) {
            watched.flapping.rest(now.moment());
        }
        // Those that could not be checked are looked at soon, one after the other.
        let names: Vec<String> = self
            .sites
            .iter()
            .filter(|w| w.site.is_https() && !w.running && !w.paused())
            .map(|w| w.name().to_owned())
            .collect();
        let count = names.len();
        for (place, name) in names.iter().enumerate() {
            self.schedule.soon(name, now.moment(), (place, count));
        }
    }

    /// What happened without a clock was dated as if no time had passed while we were off, and so
    /// was what was remembered. Now it is known how much did.
    fn date_back(&mut self, now: Now) {
        let uptime = i64::try_from(now.uptime.as_secs()).unwrap_or(i64::MAX);
        let off = now
            .wall
            .saturating_sub(self.wall_floor.saturating_add(uptime));
        let restored = self.restored.take();
        // Periods of the earlier run are not touched. Without one, none began before this run.
        let (since, floor) = match restored {
            Some(restored) => (restored, self.wall_floor),
            None => (Moment(i64::MIN), i64::MIN),
        };
        self.outbox.redate_periods(since, floor, off);
        self.line.redate_period(floor, off);
        let Some(restored) = restored.filter(|_| off > 0) else {
            return;
        };
        let back = |moment: &mut Moment| {
            if *moment <= restored {
                moment.0 = moment.0.saturating_sub(off.saturating_mul(1000));
            }
        };
        for incident in self.incidents.iter_mut() {
            back(&mut incident.start);
            back(&mut incident.reminded);
            incident.end.iter_mut().for_each(back);
            if let Some(acknowledged) = &mut incident.acknowledged {
                back(&mut acknowledged.at);
            }
        }
        for watched in &mut self.sites {
            back(&mut watched.since);
            watched.flapping.redate(back);
        }
        self.line.redate(back);
        self.outbox.redate(back);
        let incidents = &self.incidents;
        self.outbox
            .relength(|number| incidents.get(number).map(|i| i.length(now)));
    }
}
