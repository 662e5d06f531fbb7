//! Dependencies (`after`): a site behind one that is down is unreachable and sends no alert.

use crate::monitor::site::suppression::{Suppression, UplinkFault};
use crate::monitor::site::table::Sites;
use crate::monitor::time::Moment;

impl Sites {
    /// Returns the place of the site that this one depends on.
    pub fn parent_of(&self, at: usize) -> Option<usize> {
        let name = self[at].config().after.as_ref()?;
        self.find(name)
    }

    /// Returns whether the sites behind this one are unreachable.
    pub fn blocks(&self, at: usize) -> bool {
        let watched = &self[at];
        !mutated!("judge what lies behind a site that is down")
            && !watched.is_paused()
            && (watched.is_down() || watched.is_unreachable())
    }

    /// Suppresses the sites that became unreachable and judges those again that are reachable;
    /// `offline`: there is no connection at all. The configuration has no cycles, so this ends
    /// after at most as many rounds as the longest chain has links.
    pub fn refresh_reach(&mut self, now: Moment, offline: bool) {
        let dependents = self.dependents().to_vec();
        let mut again = true;
        while again {
            again = false;
            for &at in &dependents {
                let blocked = self.parent_of(at).is_some_and(|p| self.blocks(p));
                if blocked == self[at].is_unreachable() {
                    continue;
                }
                again = true;
                if blocked {
                    self[at].suppress(Suppression::Unreachable, now);
                } else {
                    self[at].end_suppression(now);
                    if offline && !self[at].has_lan_address() {
                        self[at].suppress(Suppression::Offline(UplinkFault::NoConnection), now);
                    }
                }
            }
        }
    }

    /// Returns the sites that depend on this one, directly or not, and are not paused.
    pub fn behind(&self, at: usize) -> Vec<usize> {
        let mut behind = vec![at];
        let mut next = 0;
        while let Some(&parent) = behind.get(next) {
            next += 1;
            let name = self[parent].name();
            for &child in self.dependents() {
                let watched = &self[child];
                if watched.config().after.as_deref() == Some(name)
                    && !watched.is_paused()
                    && !behind.contains(&child)
                {
                    behind.push(child);
                }
            }
        }
        behind.split_off(1)
    }
}
