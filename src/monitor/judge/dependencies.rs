//! Dependencies (`after`): what lies behind a site that is down is unreachable, and silent.

use crate::monitor::Monitor;
use crate::monitor::site::state::Suppression;
use crate::monitor::time::Now;
use crate::monitor::uplink::Fault;

impl Monitor {
    pub(crate) fn parent_of(&self, at: usize) -> Option<usize> {
        let name = self.sites[at].site.after.as_ref()?;
        self.sites.find(name)
    }

    /// It stands between its children and us.
    pub(crate) fn blocks(&self, at: usize) -> bool {
        let watched = &self.sites[at];
        !mutated!("judge what lies behind a site that is down")
            && !watched.paused()
            && (watched.down() || watched.suppression == Some(Suppression::Unreachable))
    }

    /// Covers what has become unreachable and uncovers what no longer is. The configuration has no
    /// loops, so this ends after as many rounds as the longest chain has links.
    pub(crate) fn refresh_reach(&mut self, now: Now) {
        if self
            .sites
            .iter()
            .all(|w| w.site.after.is_none() && w.suppression != Some(Suppression::Unreachable))
        {
            return;
        }
        let mut again = true;
        while again {
            again = false;
            for at in 0..self.sites.len() {
                let blocked = self.parent_of(at).is_some_and(|p| self.blocks(p));
                let covered = self.sites[at].suppression == Some(Suppression::Unreachable);
                if blocked && !covered {
                    self.sites[at].cover(Suppression::Unreachable, now.moment());
                    again = true;
                } else if !blocked && covered {
                    self.sites[at].uncover(now.moment());
                    if self.line.has(Fault::Line) && !self.sites[at].lan() {
                        let suppression = Suppression::Offline(Fault::Line);
                        self.sites[at].cover(suppression, now.moment());
                    }
                    again = true;
                }
            }
        }
    }

    /// The sites that lie behind this one, near and far, and are not paused.
    pub(crate) fn behind(&self, at: usize) -> Vec<usize> {
        let mut behind = vec![at];
        let mut next = 0;
        while let Some(&parent) = behind.get(next) {
            next += 1;
            let name = &self.sites[parent].site.name;
            for (child, watched) in self.sites.iter().enumerate() {
                if watched.site.after.as_ref() == Some(name)
                    && !watched.paused()
                    && !behind.contains(&child)
                {
                    behind.push(child);
                }
            }
        }
        behind.split_off(1)
    }
}
