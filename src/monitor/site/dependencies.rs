//! Dependencies (`after`): what lies behind a site that is down is unreachable, and silent.

use crate::monitor::site::suppression::{Suppression, UplinkFault};
use crate::monitor::site::table::Sites;
use crate::monitor::time::Moment;

impl Sites {
    /// What the site depends on.
    pub fn parent_of(&self, at: usize) -> Option<usize> {
        let name = self[at].config().after.as_ref()?;
        self.find(name)
    }

    /// It stands between its children and us.
    pub fn blocks(&self, at: usize) -> bool {
        let watched = &self[at];
        !mutated!("judge what lies behind a site that is down")
            && !watched.is_paused()
            && (watched.is_down() || watched.is_unreachable())
    }

    /// Suppresses what has become unreachable and judges again what no longer is; `offline`: there is
    /// no connection at all. The configuration has no loops, so this ends after as many rounds as the
    /// longest chain has links.
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

    /// The sites that lie behind this one, near and far, and are not paused.
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
