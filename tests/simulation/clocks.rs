//! The clocks of the machine: true time, the wall clock that may be wrong, and the monotonic one
//! that stands still while the machine is suspended.

use crate::plan::WALL;
use crate::world::World;
use sitemon::monitor::time::{Moment, Now};
use std::time::Duration;

impl World<'_> {
    pub fn clocks(&self) -> Now {
        Now {
            uptime: Duration::from_millis((self.monotonic(self.now) - self.began) as u64),
            wall: self.wall(),
            zone: sitemon::monitor::zone::Zone::fixed(3600),
        }
    }

    pub fn wall(&self) -> i64 {
        WALL + self.now / 1000 + self.clock_off
    }

    /// The monotonic clock stands still while the machine is suspended.
    pub fn monotonic(&self, at: i64) -> i64 {
        let asleep = self.plan.frozen.iter().filter(|f| f.suspended);
        at - asleep
            .map(|f| at.min(f.span.to) - at.min(f.span.from))
            .sum::<i64>()
    }

    pub fn thawed(&self, at: i64) -> i64 {
        let frozen = self.plan.frozen.iter().find(|f| f.span.has(at));
        frozen.map_or(at, |f| f.span.to)
    }

    pub fn wakeup(&mut self) -> Option<i64> {
        let clocks = self.clocks();
        let Moment(due) = self.monitor.as_mut()?.next_wakeup(clocks)?;
        let ahead = (due - (self.monotonic(self.now) - self.began)).max(0);
        let mut at = self.now + ahead;
        for frozen in self.plan.frozen.iter().filter(|f| f.suspended) {
            if frozen.span.from >= self.now && frozen.span.from < at {
                at += frozen.span.len();
            }
        }
        Some(at)
    }
}
