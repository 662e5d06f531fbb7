//! Decides when the wall clock is believed, and estimates the time while it is not (docs/clock.md).
//!
//! A Raspberry Pi has no battery-backed clock: until it gets the time over the network it shows
//! 1970, the time of the last shutdown, or a random time. While the clock is doubted, no
//! certificate can be judged, and stored times are the newest believed time plus the time since.
//!
//! | state | the wall clock shows | until |
//! | --- | --- | --- |
//! | not set | a time before the build of this program | it shows a later time; it cannot be confirmed |
//! | behind | over 60 s less than the newest stamp of our own state | it shows a later time, or is confirmed |
//! | far ahead | over 20 years after the build | it shows an earlier time, or is confirmed |
//! | believed | anything else | it shows one of the above |
//! | confirmed | the confirmed time plus the time since, whatever the stamps and the 20 years say | it is over 5 min off that time: then it is judged anew |
//!
//! A clock is confirmed ([`crate::monitor::Event::ClockConfirmed`]) if the kernel reports it as
//! synchronised, or if it agrees with a verified server. Stamps ahead of it are discarded:
//! otherwise a clock that was a year ahead when it wrote them would make the right one doubted for
//! a year.

use crate::monitor::time::suspend::SuspendDetector;
use crate::monitor::time::{Moment, Now};
use std::collections::HashMap;

/// Maximum time behind the newest stamp, in seconds: time servers correct that much.
const MAX_BEHIND: i64 = 60;
/// Maximum time after the build at which a clock is believed, in seconds: 20 years.
const MAX_AFTER_BUILD: i64 = 20 * 31_556_952;
/// Maximum deviation from the confirmed time at which a clock stays confirmed, in seconds.
pub const AGREES: i64 = 300;

/// Why the wall clock is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    NotSet,
    Behind,
    FarAhead,
}

impl Doubt {
    fn text(self) -> String {
        let (why, end) = match self {
            Doubt::NotSet => ("clock not set", ""),
            Doubt::Behind => (
                "clock doubted, it is behind the newest stamp of the state",
                " set or confirmed",
            ),
            Doubt::FarAhead => (
                "clock doubted, it is more than 20 years after the build",
                " set or confirmed",
            ),
        };
        format!("{why}: https sites are not checked and Telegram waits until it is{end}")
    }
}

/// Returns whether a clock that shows `wall` may be right, judged without a stored state by a
/// program that was built at `built`; both in Unix seconds.
pub fn plausible(wall: i64, built: i64) -> bool {
    built <= wall && wall <= built.saturating_add(MAX_AFTER_BUILD)
}

/// The wall clock and whether it is believed. All times in Unix seconds.
#[derive(Debug)]
struct WallClock {
    built: i64,
    doubt: Option<Doubt>,
    /// The newest stamp in our own state that was not refuted.
    stamp: i64,
    /// Wall time at uptime zero, by the last reading that was believed.
    origin: i64,
    /// Wall time at uptime zero, by the clock that was confirmed.
    confirmed: Option<i64>,
}

impl WallClock {
    fn new(built: i64) -> WallClock {
        WallClock {
            built,
            doubt: None,
            stamp: i64::MIN,
            origin: built,
            confirmed: None,
        }
    }

    /// Judges another reading.
    fn read(&mut self, now: Now) {
        let origin = now.wall.saturating_sub(seconds_up(now));
        let known = self.confirmed;
        let agrees = known.is_some_and(|known| origin.saturating_sub(known).abs() <= AGREES);
        self.doubt = if now.wall < self.built {
            Some(Doubt::NotSet)
        } else if agrees {
            None
        } else if now.wall < self.stamp.saturating_sub(MAX_BEHIND)
            && !mutated!("believe a clock behind the stamps of the state")
        {
            Some(Doubt::Behind)
        } else if !plausible(now.wall, self.built) && !mutated!("believe a clock decades ahead") {
            Some(Doubt::FarAhead)
        } else {
            None
        };
        if self.doubt.is_none() {
            self.origin = origin;
        }
    }

    /// Returns the reading, with an estimated wall time if the clock is doubted.
    fn estimate(&self, now: Now) -> Now {
        if self.doubt.is_none() {
            return now;
        }
        Now {
            wall: self.origin.saturating_add(seconds_up(now)),
            ..now
        }
    }

    /// Takes the stamp of an earlier run's state, which was written at `written`.
    fn restored(&mut self, now: Now, written: i64) {
        self.stamp = written;
        self.origin = written.max(self.built).saturating_sub(seconds_up(now));
    }

    fn confirm(&mut self, now: Now) {
        if now.wall >= self.built && !mutated!("doubt a clock that was confirmed") {
            self.confirmed = Some(now.wall.saturating_sub(seconds_up(now)));
            self.stamp = self.stamp.min(now.wall);
        }
    }
}

fn seconds_up(now: Now) -> i64 {
    i64::try_from(now.uptime.as_secs()).unwrap_or(i64::MAX)
}

/// Both clocks: whether the wall clock is believed, and when the machine stood still.
#[derive(Debug)]
pub struct Clock {
    suspend: SuspendDetector,
    wall: WallClock,
    /// State of an earlier run that was restored while the clock was doubted.
    restored: Option<Restored>,
}

/// Start or end of doubt about the wall clock.
#[derive(Debug)]
pub enum ClockChange {
    /// With the reason, for the log.
    Doubted(String),
    Set(Redating),
}

impl Clock {
    /// `built`: build time of this program, in Unix seconds.
    pub fn new(built: i64, now: Now) -> Clock {
        Clock {
            suspend: SuspendDetector::new(now),
            wall: WallClock::new(built),
            restored: None,
        }
    }

    pub fn reload(&mut self, built: i64) {
        self.wall.built = built;
    }

    /// Returns whether the wall clock is believed.
    pub fn is_set(&self) -> bool {
        self.wall.doubt.is_none()
    }

    /// Sets when the next event comes at the latest.
    pub fn expect(&mut self, wakeup: Option<Moment>) {
        self.suspend.expect(wakeup);
    }

    /// Returns whether the machine or the process stood still until now.
    pub fn stood_still(&mut self, now: Now) -> bool {
        self.suspend.stood_still(now)
    }

    /// Returns whether the machine or the process stood still after `began`.
    pub fn stalled_during(&self, began: Moment) -> bool {
        self.suspend.stalled_during(began)
    }

    /// Judges the wall clock. Returns the change if doubt begins or ends.
    pub fn read(&mut self, now: Now) -> Option<ClockChange> {
        let before = (!self.is_set()).then(|| self.wall.estimate(now).wall);
        self.wall.read(now);
        match self.wall.doubt {
            Some(doubt) => before.is_none().then(|| ClockChange::Doubted(doubt.text())),
            None => before.map(|before| {
                ClockChange::Set(Redating {
                    seconds: now.wall.saturating_sub(before),
                    restored: self.restored.take(),
                })
            }),
        }
    }

    /// Returns the reading, with an estimated wall time if the clock is doubted, by the judgement
    /// of the last [`Clock::read`].
    pub fn estimate(&self, now: Now) -> Now {
        self.wall.estimate(now)
    }

    /// Confirms the wall clock, as the kernel or a verified server does.
    pub fn confirm(&mut self, now: Now) {
        self.wall.confirm(now);
    }

    /// Takes the stamp of an earlier run's state, which was written at `written`, in Unix seconds.
    pub fn restore(&mut self, now: Now, written: i64) {
        self.wall.restored(now, written);
    }

    /// Takes the stamp of the state that is written now.
    pub fn stamp(&mut self, now: Now) {
        if self.is_set() {
            self.wall.stamp = now.wall;
        }
    }

    /// Remembers restored times, to correct them when the clock is believed; `mutes` by site name.
    pub fn remember_restored(
        &mut self,
        now: Now,
        muted_until: Option<Moment>,
        mutes: impl Iterator<Item = (String, Moment)>,
    ) {
        self.restored = (!self.is_set()).then(|| Restored {
            at: now.moment(),
            wall: now.wall,
            muted_until,
            mutes: mutes.collect(),
        });
    }
}

/// Times from an earlier run's state that was restored while the clock was doubted.
#[derive(Debug)]
struct Restored {
    at: Moment,
    /// The wall time that was assumed then, in Unix seconds.
    wall: i64,
    muted_until: Option<Moment>,
    /// By site name.
    mutes: HashMap<String, Moment>,
}

/// Correction of times that were recorded or restored while the clock was doubted. They assume that
/// no time passed between the runs.
#[derive(Debug)]
pub struct Redating {
    /// How many seconds did pass.
    pub seconds: i64,
    restored: Option<Restored>,
}

impl Redating {
    /// Returns when this run restored the state of the earlier one, and the wall time that was
    /// assumed then, in Unix seconds. Periods that began before are not corrected. Without an
    /// earlier run, none did.
    pub fn this_run(&self) -> (Moment, i64) {
        let restored = self.restored.as_ref();
        restored.map_or((Moment(i64::MIN), i64::MIN), |r| (r.at, r.wall))
    }

    /// Returns whether moments of an earlier run must be corrected.
    pub fn shifts(&self) -> bool {
        self.seconds > 0 && self.restored.is_some()
    }

    /// Corrects a moment if it is of the earlier run.
    pub fn moment(&self, moment: &mut Moment) {
        if self.shifts() && self.restored.as_ref().is_some_and(|r| *moment <= r.at) {
            moment.0 = moment.0.saturating_sub(self.seconds.saturating_mul(1000));
        }
    }

    /// Counts the time between the runs for a mute of a site, or (`None`) of all sites. A mute that
    /// was set since then is not changed.
    pub fn mute(&self, site: Option<&str>, muted: &mut Option<Moment>) {
        let Some(restored) = self.restored.as_ref().filter(|_| self.shifts()) else {
            return;
        };
        let was = match site {
            Some(name) => restored.mutes.get(name).copied(),
            None => restored.muted_until,
        };
        if let Some(until) = muted.as_mut().filter(|until| Some(**until) == was) {
            until.0 = until.0.saturating_sub(self.seconds.saturating_mul(1000));
        }
    }
}
