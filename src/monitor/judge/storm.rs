//! Storms: if many sites fail at once, the others are checked soon, so that one message names all.

use crate::monitor::judge::Judging;
use crate::monitor::site::suppression::UplinkFault;
use crate::monitor::time::Moment;
use std::time::Duration;

/// Number of failing sites that make a storm.
pub const STORM_SITES: usize = 5;
/// Time within which the other sites are checked.
const SPREAD: Duration = Duration::from_secs(20);
/// Minimum time until other sites are brought forward again.
const REPEAT_AFTER: Duration = Duration::from_secs(300);
/// Maximum number of sites that are checked out of turn.
const MAX_BROUGHT_FORWARD: usize = 200;

impl Judging<'_> {
    /// Checks the other sites soon, if the site that failed is one of many.
    pub(super) fn bring_others_forward(&mut self) {
        let now = self.now.moment();
        let recently = |at: Moment| now.since(at) < REPEAT_AFTER;
        if self.schedule.brought_forward().is_some_and(recently)
            || self.uplink.has_fault(UplinkFault::NoConnection)
        {
            return;
        }
        if self.sites.recount().failing.len() < STORM_SITES {
            return;
        }
        let others = self
            .sites
            .iter()
            .filter(|w| !w.is_suspect() && !w.check_under_way());
        let mut others: Vec<(Moment, usize)> = others
            .filter_map(|w| Some((self.schedule.due_at(w.place())?, w.place())))
            .collect();
        others.sort_unstable();
        let places: Vec<usize> = others
            .into_iter()
            .take(MAX_BROUGHT_FORWARD)
            .map(|(_, at)| at)
            .collect();
        self.schedule.bring_forward(&places, now, SPREAD);
    }
}
