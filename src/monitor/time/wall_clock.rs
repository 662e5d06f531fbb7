//! When the wall clock is believed, and what time it is while it is not (SPEC 4).
//!
//! A Pi has no clock of its own: until the time has come over the network it shows 1970, or the time
//! of the last shutdown, or nonsense. While it is doubted no certificate can be judged, and what is
//! written down is dated by the newest time that was believed plus the time since.
//!
//! | state | the wall clock shows | it ends |
//! | --- | --- | --- |
//! | not set | a time before the build of this program | with a later time; nothing else |
//! | behind | over 60 s less than the newest stamp of our own state | with a later time, or confirmed |
//! | far ahead | over 20 years after the build | with an earlier time, or confirmed |
//! | believed | anything else | when it shows one of the above |
//! | confirmed | what it was confirmed to show (and the time since), whatever the stamps and the 20 years say | when it is set to something over 5 min from that: judged anew |
//!
//! Confirmed ([`crate::monitor::Event::ClockConfirmed`]) is a clock that the kernel calls synchronised, or that
//! agrees with a verified server. Stamps that were ahead of it are forgotten: a clock that was once a
//! year ahead and wrote them would else be doubted for a year.

use crate::monitor::time::{Moment, Now};
use crate::monitor::{Level, Monitor};
use std::collections::HashMap;

/// A clock may be so far behind the newest stamp, in seconds: time servers correct that much.
const BEHIND: i64 = 60;
/// A clock that shows a time so long after the build is not believed, in seconds: 20 years.
const FAR: i64 = 20 * 31_556_952;
/// A clock goes on being the one that was confirmed while it is no further from it, in seconds.
pub const AGREES: i64 = 300;

/// Why the wall clock is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PendingDown {
    NotSet,
    Behind,
    FarAhead,
}

/// Whether a clock that shows `wall` may be right, as far as a program that was built at `built`
/// knows without a state; both in Unix seconds.
pub fn plausible(wall: i64, built: i64) -> bool {
    built <= wall && wall <= built.saturating_add(FAR)
}

/// The wall clock as we believe it. All times in Unix seconds.
#[derive(Debug)]
pub(crate) struct WallClock {
    built: i64,
    pending_down: Option<PendingDown>,
    /// The newest stamp in our own state that was not refuted.
    stamp: i64,
    /// What was shown at uptime zero, by the last time that was believed.
    origin: i64,
    /// What was shown at uptime zero, by the clock that was confirmed.
    confirmed: Option<i64>,
}

impl WallClock {
    pub(crate) fn new(built: i64) -> WallClock {
        WallClock {
            built,
            pending_down: None,
            stamp: i64::MIN,
            origin: built,
            confirmed: None,
        }
    }

    /// Another reading; whether the clock is believed.
    fn read(&mut self, now: Now) -> bool {
        let origin = now.wall.saturating_sub(seconds_up(now));
        let known = self.confirmed;
        let agrees = known.is_some_and(|known| origin.saturating_sub(known).abs() <= AGREES);
        self.pending_down = if now.wall < self.built {
            Some(PendingDown::NotSet)
        } else if agrees {
            None
        } else if now.wall < self.stamp.saturating_sub(BEHIND) {
            Some(PendingDown::Behind)
        } else if !plausible(now.wall, self.built) {
            Some(PendingDown::FarAhead)
        } else {
            None
        };
        if self.pending_down.is_none() {
            self.origin = origin;
        }
        self.pending_down.is_none()
    }

    /// The time to go by.
    fn estimate(&self, now: Now) -> Now {
        if self.pending_down.is_none() {
            return now;
        }
        Now {
            wall: self.origin.saturating_add(seconds_up(now)),
            ..now
        }
    }

    /// An earlier run's state was written at `written`.
    fn restored(&mut self, now: Now, written: i64) {
        self.stamp = written;
        self.origin = written.max(self.built).saturating_sub(seconds_up(now));
    }

    /// The state is written now.
    pub(crate) fn stamped(&mut self, now: Now) {
        if self.pending_down.is_none() {
            self.stamp = now.wall;
        }
    }

    fn confirm(&mut self, now: Now) {
        if now.wall >= self.built {
            self.confirmed = Some(now.wall.saturating_sub(seconds_up(now)));
            self.stamp = self.stamp.min(now.wall);
        }
    }

    pub(crate) fn reload(&mut self, built: i64) {
        self.built = built;
    }
}

/// What an earlier run's state said while the clock was doubted: it is dated anew when that ends.
#[derive(Debug)]
pub(crate) struct Restored {
    at: Moment,
    /// What time that was thought to be, in Unix seconds.
    wall: i64,
    muted_until: Option<Moment>,
    /// By site.
    mutes: HashMap<String, Moment>,
}

fn seconds_up(now: Now) -> i64 {
    i64::try_from(now.uptime.as_secs()).unwrap_or(i64::MAX)
}

impl Monitor {
    /// The wall clock is not to be believed: see the head of the module.
    pub fn doubts_clock(&self) -> bool {
        !self.clock_set
    }

    /// The time to go by.
    pub(crate) fn read_clock(&mut self, now: Now) -> Now {
        let before = self.wall_clock.estimate(now);
        let set = self.wall_clock.read(now);
        if set != self.clock_set {
            self.clock_set = set;
            self.schedule.forget_maintenance();
            self.clock_changed(now, before);
        }
        self.estimate(now)
    }

    /// The time to go by, by the belief of the last event.
    pub(crate) fn estimate(&self, now: Now) -> Now {
        self.wall_clock.estimate(now)
    }

    /// Somebody who knows the time says that the wall clock is right.
    pub(crate) fn confirm_clock(&mut self, now: Now) {
        self.wall_clock.confirm(now);
        self.read_clock(now);
    }

    /// The clock as it is beside what an earlier run wrote at `written`.
    pub(crate) fn restore_clock(&mut self, now: Now, written: i64) -> Now {
        self.wall_clock.restored(now, written);
        self.read_clock(now)
    }

    /// What was restored waits for a clock.
    pub(crate) fn remember_restored(&mut self, now: Now) {
        let mute = |w: &crate::monitor::site::state::SiteState| {
            Some((w.name().to_owned(), w.muted_until?))
        };
        self.restored = (!self.clock_set).then(|| Restored {
            at: now.moment(),
            wall: now.wall,
            muted_until: self.muted_until,
            mutes: self.sites.iter().filter_map(mute).collect(),
        });
    }

    /// `before` is what it was thought to be until now.
    fn clock_changed(&mut self, now: Now, before: Now) {
        if let Some(pending_down) = self.wall_clock.pending_down {
            let why = match pending_down {
                PendingDown::NotSet => "clock not set",
                PendingDown::Behind => "clock doubted, it is behind the newest stamp of the state",
                PendingDown::FarAhead => "clock doubted, it is more than 20 years after the build",
            };
            let text = format!("{why}: https sites are not checked and Telegram waits until it is");
            let text = match pending_down {
                PendingDown::NotSet => text,
                PendingDown::Behind | PendingDown::FarAhead => format!("{text} set or confirmed"),
            };
            self.log(Level::Warn, text);
            return;
        }
        self.log(Level::Info, "the clock is set".to_owned());
        self.date_back(now, before);
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
    fn date_back(&mut self, now: Now, before: Now) {
        let off = now.wall.saturating_sub(before.wall);
        let restored = self.restored.take();
        // Periods of the earlier run are not touched. Without one, none began before this run.
        let (since, floor) = match restored {
            Some(ref restored) => (restored.at, restored.wall),
            None => (Moment(i64::MIN), i64::MIN),
        };
        self.outbox.redate_periods(since, floor, off);
        self.line.redate_period(floor, off);
        let Some(restored) = restored.filter(|_| off > 0) else {
            return;
        };
        let back = |moment: &mut Moment| {
            if *moment <= restored.at {
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
        for watched in self.sites.iter_mut() {
            back(&mut watched.since);
            watched.flapping.redate(back);
        }
        self.date_back_mutes(&restored, off);
        self.line.redate(back);
        self.outbox.redate(back);
        let incidents = &self.incidents;
        self.outbox
            .relength(|number| incidents.get(number).map(|i| i.length(now)));
    }

    /// The time we were off counts for a mute too. One that was given since stays as it is.
    fn date_back_mutes(&mut self, restored: &Restored, off: i64) {
        let sooner = |muted: &mut Option<Moment>, was: Option<Moment>| {
            if let Some(until) = muted.as_mut().filter(|until| Some(**until) == was) {
                until.0 = until.0.saturating_sub(off.saturating_mul(1000));
            }
        };
        sooner(&mut self.muted_until, restored.muted_until);
        for watched in self.sites.iter_mut() {
            let was = restored.mutes.get(watched.name()).copied();
            sooner(&mut watched.muted_until, was);
        }
    }
}
