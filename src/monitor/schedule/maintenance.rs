//! Maintenance windows: in them a site is checked and recorded, but not alerted. What is still
//! wrong at the end of a window is alerted then.

use crate::monitor::event::{Actions, Level};
use crate::monitor::schedule::Scheduler;
use crate::monitor::site::table::Sites;
use crate::monitor::time::zone::Zone;
use crate::monitor::time::{Moment, Now, hours};

/// How long the sites' maintenance states, as they were last looked up, are valid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    /// Unix seconds.
    from: i64,
    /// When the next window begins or ends, in Unix seconds; `None`: there are no windows.
    until: Option<i64>,
    zone: Zone,
}

impl Validity {
    fn covers(&self, now: Now) -> bool {
        let ahead = self.until.is_none_or(|until| now.wall < until);
        self.zone == now.zone && self.from <= now.wall && ahead
    }
}

impl Scheduler {
    /// Updates which sites are under maintenance.
    pub fn refresh_maintenance(
        &mut self,
        now: Now,
        clock_set: bool,
        sites: &mut Sites,
        actions: &mut Actions,
    ) {
        if self.maintenance.is_some_and(|windows| windows.covers(now)) {
            return;
        }
        let (from, zone) = (now.wall, now.zone);
        let mut until: Option<i64> = None;
        for watched in sites.iter_mut() {
            let windows = &watched.config().maintenance;
            // While the wall clock is not believed, no window hides an alert.
            let ends = hours::ends(windows, from, zone).filter(|_| clock_set);
            let next = hours::next_change(windows, from, zone);
            until = until.into_iter().chain(next).min();
            let before = watched.set_maintenance(ends);
            let said = match (before, ends) {
                (None, Some(_)) => "begins",
                (Some(_), None) => "is over",
                _ => continue,
            };
            let text = format!("{}: its maintenance {said}", watched.name());
            actions.log(Level::Info, text);
        }
        self.maintenance = Some(Validity { from, until, zone });
    }

    /// Makes the windows be looked up again, after a change of the windows or of the clock.
    pub fn forget_maintenance(&mut self) {
        self.maintenance = None;
    }

    /// Returns when a window next begins or ends. To be called only while the clock is believed.
    pub fn next_maintenance(&self, now: Now) -> Option<Moment> {
        Some(now.coming_moment(self.maintenance?.until?))
    }
}
