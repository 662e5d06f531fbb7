//! The clocks of the machine: true time, the wall clock that may be wrong, and the monotonic one
//! that stands still while the machine is suspended.

use crate::dice::Span;
use crate::plan::{SECOND, Shows, Unset, WALL};
use crate::world::{Occurrence, World};
use sitemon::monitor::Monitor;
use sitemon::monitor::time::{Moment, Now};
use std::time::Duration;

impl World<'_> {
    pub fn clocks(&self) -> Now {
        Now {
            uptime: Duration::from_millis((self.monotonic(self.now) - self.began) as u64),
            wall: self.wall(),
            zone: sitemon::monitor::time::zone::Zone::fixed(3600),
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

    /// Starts the machine with a clock that must not be trusted.
    pub fn unset_clock(&mut self, unset: Unset) {
        self.clock_off = match unset.shows {
            // Without a stamp of a right clock on disk the agent can't detect that the clock is
            // behind.
            Shows::Behind(days) if self.disk.as_ref().is_some_and(|i| i.dated) => -days * 86_400,
            Shows::Ahead(years) => years * 31_556_952,
            Shows::Epoch | Shows::Behind(_) => 100 - (WALL + self.now / 1000),
        };
        self.clock_unset = true;
        self.at(self.now + unset.lasts, Occurrence::SetClock);
    }

    /// Records when the core doubts the clock, and lets the shell confirm it later.
    pub fn follow_doubt(&mut self) {
        let doubts = self.monitor.as_ref().is_some_and(Monitor::doubts_clock);
        let open = |s: &&mut Span| s.to == i64::MAX;
        match (doubts, self.record.doubted.last_mut().filter(open)) {
            (true, None) => self.record.doubted.push(Span::new(self.now, i64::MAX)),
            (false, Some(span)) => span.to = self.now,
            _ => {}
        }
        if let Some(life) = self.record.lives.last_mut()
            && life.unset_until == i64::MAX
            && !doubts
        {
            life.unset_until = self.now;
        }
        if doubts && !self.clock_unset && !std::mem::replace(&mut self.confirming, true) {
            let latest = (self.plan.calm_from - self.now).max(SECOND);
            let at = self.now + self.plan.confirms.min(latest);
            self.mine(at, Occurrence::Confirm);
        }
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
