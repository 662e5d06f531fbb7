//! When the wall clock is believed, and what time it is while it is not (docs/clock.md).
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

use crate::monitor::time::suspend::SuspendDetector;
use crate::monitor::time::{Moment, Now};
use std::collections::HashMap;

/// A clock may be so far behind the newest stamp, in seconds: time servers correct that much.
const MAX_BEHIND: i64 = 60;
/// A clock that shows a time so long after the build is not believed, in seconds: 20 years.
const MAX_AFTER_BUILD: i64 = 20 * 31_556_952;
/// A clock goes on being the one that was confirmed while it is no further from it, in seconds.
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

/// Whether a clock that shows `wall` may be right, as far as a program that was built at `built`
/// knows without a state; both in Unix seconds.
pub fn plausible(wall: i64, built: i64) -> bool {
    built <= wall && wall <= built.saturating_add(MAX_AFTER_BUILD)
}

/// The wall clock as we believe it. All times in Unix seconds.
#[derive(Debug)]
struct WallClock {
    built: i64,
    doubt: Option<Doubt>,
    /// The newest stamp in our own state that was not refuted.
    stamp: i64,
    /// What was shown at uptime zero, by the last time that was believed.
    origin: i64,
    /// What was shown at uptime zero, by the clock that was confirmed.
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

    /// Another reading.
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

    /// The time to go by.
    fn estimate(&self, now: Now) -> Now {
        if self.doubt.is_none() {
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
    /// An earlier run's state, when it was taken over while the clock was doubted.
    restored: Option<Restored>,
}

/// The wall clock is doubted from now on, or believed.
#[derive(Debug)]
pub enum ClockChange {
    /// Why, for the log.
    Doubted(String),
    Set(Redating),
}

impl Clock {
    /// `built`: when this program was built, in Unix seconds.
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

    /// The wall clock is believed.
    pub fn is_set(&self) -> bool {
        self.wall.doubt.is_none()
    }

    /// When the next event comes, if none comes before.
    pub fn expect(&mut self, wakeup: Option<Moment>) {
        self.suspend.expect(wakeup);
    }

    /// Whether the machine or the process stood still until now.
    pub fn stood_still(&mut self, now: Now) -> bool {
        self.suspend.stood_still(now)
    }

    /// What began at `began` was under way while the machine or the process stood still.
    pub fn stalled_during(&self, began: Moment) -> bool {
        self.suspend.stalled_during(began)
    }

    /// The time to go by, and what has become of the wall clock.
    pub fn read(&mut self, now: Now) -> (Now, Option<ClockChange>) {
        let before = (!self.is_set()).then(|| self.wall.estimate(now).wall);
        self.wall.read(now);
        let change = match self.wall.doubt {
            Some(doubt) => before.is_none().then(|| ClockChange::Doubted(doubt.text())),
            None => before.map(|before| {
                ClockChange::Set(Redating {
                    seconds: now.wall.saturating_sub(before),
                    restored: self.restored.take(),
                })
            }),
        };
        (self.wall.estimate(now), change)
    }

    /// The time to go by, as the last reading was believed.
    pub fn estimate(&self, now: Now) -> Now {
        self.wall.estimate(now)
    }

    /// The kernel or a verified server says that the wall clock is right.
    pub fn confirm(&mut self, now: Now) {
        self.wall.confirm(now);
    }

    /// An earlier run's state was written at `written`, in Unix seconds.
    pub fn restore(&mut self, now: Now, written: i64) {
        self.wall.restored(now, written);
    }

    /// The state is written now.
    pub fn stamp(&mut self, now: Now) {
        if self.is_set() {
            self.wall.stamp = now.wall;
        }
    }

    /// What was restored is dated anew when the clock is believed; mutes by the site's name.
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

/// What an earlier run's state said while the clock was doubted: it is dated anew when that ends.
#[derive(Debug)]
struct Restored {
    at: Moment,
    /// What time that was thought to be, in Unix seconds.
    wall: i64,
    muted_until: Option<Moment>,
    /// By site.
    mutes: HashMap<String, Moment>,
}

/// What happened without a clock was dated as if no time had passed while nothing ran, and so was
/// what was remembered. Now it is known how much did.
#[derive(Debug)]
pub struct Redating {
    /// How much that was.
    pub seconds: i64,
    restored: Option<Restored>,
}

impl Redating {
    /// When this run took over from the earlier one, and what time that was thought to be in Unix
    /// seconds: periods of before are not touched. Without an earlier run none began before.
    pub fn this_run(&self) -> (Moment, i64) {
        let restored = self.restored.as_ref();
        restored.map_or((Moment(i64::MIN), i64::MIN), |r| (r.at, r.wall))
    }

    /// Moments of an earlier run are dated anew.
    pub fn shifts(&self) -> bool {
        self.seconds > 0 && self.restored.is_some()
    }

    /// Dates a moment of the earlier run.
    pub fn moment(&self, moment: &mut Moment) {
        if self.shifts() && self.restored.as_ref().is_some_and(|r| *moment <= r.at) {
            moment.0 = moment.0.saturating_sub(self.seconds.saturating_mul(1000));
        }
    }

    /// The time while nothing ran counts for a mute too, of a site or (`None`) of everything. One
    /// that was given since stays as it is.
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
