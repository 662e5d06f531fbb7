//! Maintenance: in its windows a site is checked and recorded, but nothing is told of it. What is
//! still wrong when a window ends is told then.

use crate::monitor::time::hours;
use crate::monitor::time::zone::Zone;
use crate::monitor::time::{Moment, Now};
use crate::monitor::{Level, Monitor};

/// Which stretch of the calendar the sites' windows were last looked up in.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Unix seconds.
    from: i64,
    /// When the next window begins or ends, in Unix seconds; `None`: there are no windows.
    until: Option<i64>,
    zone: Zone,
}

impl Page {
    fn shows(&self, now: Now) -> bool {
        let ahead = self.until.is_none_or(|until| now.wall < until);
        self.zone == now.zone && self.from <= now.wall && ahead
    }
}

impl Monitor {
    /// Sees which sites are under maintenance now.
    pub(crate) fn refresh_maintenance(&mut self, now: Now) {
        if self.page.is_some_and(|page| page.shows(now)) {
            return;
        }
        // Without a clock nobody knows, and what is not known hides no alert.
        let (wall, zone) = (now.wall, now.zone);
        let known = self.clock_set;
        let mut until: Option<i64> = None;
        for watched in self.sites.iter_mut() {
            let windows = &watched.site.maintenance;
            let ends = hours::ends(windows, wall, zone).filter(|_| known);
            let next = hours::next_change(windows, wall, zone);
            until = until.into_iter().chain(next).min();
            let before = std::mem::replace(&mut watched.maintenance, ends);
            let said = match (before, ends) {
                (None, Some(_)) => "begins",
                (Some(_), None) => "is over",
                _ => continue,
            };
            let text = format!("{}: its maintenance {said}", watched.site.name);
            self.actions
                .push(crate::monitor::Action::Log(Level::Info, text));
        }
        let from = wall;
        self.page = Some(Page { from, until, zone });
    }

    /// When a window next begins or ends.
    pub(crate) fn page_ends(&self, now: Now) -> Option<Moment> {
        let until = self.page.filter(|_| self.clock_set)?.until?;
        Some(now.coming_moment(until))
    }

    /// Whether the site is under maintenance now.
    pub fn in_maintenance(&self, name: &str) -> bool {
        let at = self.sites.find(name);
        at.is_some_and(|at| self.sites[at].maintenance.is_some())
    }
}
