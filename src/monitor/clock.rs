//! A wall clock that is not set, and one that jumps.
//!
//! A Pi has no clock of its own: until the time has come over the network it shows 1970 or the
//! time of the last shutdown. Until then certificates cannot be judged, and what is written down
//! is dated by what was last known.

use super::time::Now;
use super::{Level, Monitor};

impl Monitor {
    /// The time to go by: a clock before the build of this program is not set, and what was last
    /// written plus the time since is nearer to the truth.
    pub(super) fn read_clock(&mut self, now: Now) -> Now {
        let set = now.wall >= self.built;
        if set != self.clock_set {
            self.clock_set = set;
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
}
