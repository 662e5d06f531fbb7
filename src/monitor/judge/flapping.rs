//! Sites that flap: which changes are notified, and when a site is steady again.

use crate::monitor::event::{Actions, Level};
use crate::monitor::site::flapping::Manner;
use crate::monitor::site::state::SiteState;
use crate::monitor::site::table::Sites;
use crate::monitor::time::Moment;

/// How the change of a site is to be notified.
pub fn manner_of_change(
    now: Moment,
    at: usize,
    sites: &mut Sites,
    actions: &mut Actions,
) -> Manner {
    let watched = &mut sites[at];
    if watched.under_maintenance() && !watched.flapping().is_on() {
        // What is done to it there says nothing about how steady it is.
        return Manner::Plainly;
    }
    let manner = watched.flapping_mut().change(now);
    if manner == Manner::Flapping {
        actions.log(Level::Info, format!("{} is flapping", watched.name()));
    }
    manner
}

/// When a flapping site will have been steady for long enough.
pub fn next_timeout(sites: &Sites, clock_set: bool) -> Option<Moment> {
    let flapping = sites.census().flapping.iter().map(|at| &sites[*at]);
    flapping.filter_map(|w| steady_at(w, clock_set)).min()
}

/// Sites that are no longer flapping from now on: their places.
pub fn take_steady(now: Moment, sites: &mut Sites, clock_set: bool) -> Vec<usize> {
    sites.recount();
    let steady = |at: &usize| steady_at(&sites[*at], clock_set).is_some_and(|at| at <= now);
    let flapping = sites.census().flapping.iter().copied();
    let steady: Vec<usize> = flapping.filter(steady).collect();
    for &at in &steady {
        sites[at].flapping_mut().settle();
    }
    steady
}

/// When the site will have been steady for long enough; `None` while its checks aren't made or don't
/// count.
fn steady_at(watched: &SiteState, clock_set: bool) -> Option<Moment> {
    let timely = clock_set || !watched.config().is_https();
    let judged = !watched.suppressed() && !watched.paused() && timely;
    let steady = watched.flapping().steady_at(watched.down());
    steady.filter(|_| judged)
}
