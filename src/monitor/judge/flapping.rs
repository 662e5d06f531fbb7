//! Sites that flap: which changes are notified, and when a site is steady again.

use crate::monitor::event::{Actions, Level};
use crate::monitor::site::flapping::ChangeNotice;
use crate::monitor::site::state::SiteState;
use crate::monitor::site::table::Sites;
use crate::monitor::time::Moment;

/// Returns how the change of a site is to be notified.
pub fn manner_of_change(
    now: Moment,
    at: usize,
    sites: &mut Sites,
    actions: &mut Actions,
) -> ChangeNotice {
    let watched = &mut sites[at];
    if watched.under_maintenance() && !watched.flapping().is_flapping() {
        // What is done to a site under maintenance says nothing about how steady it is.
        return ChangeNotice::Normal;
    }
    let notice = watched.flapping_mut().on_change(now);
    if notice == ChangeNotice::Flapping {
        actions.log(Level::Info, format!("{} is flapping", watched.name()));
    }
    notice
}

/// Returns when the next flapping site will have been steady for long enough.
pub fn next_timeout(sites: &Sites, clock_set: bool) -> Option<Moment> {
    let flapping = sites.census().flapping.iter().map(|at| &sites[*at]);
    flapping.filter_map(|w| steady_at(w, clock_set)).min()
}

/// Ends the flapping of sites that are steady again, and of those that no chat knows to flap and
/// that change rarely now. Returns their places. `notified`: chats were told that the site flaps.
pub fn take_steady(
    now: Moment,
    sites: &mut Sites,
    clock_set: bool,
    notified: impl Fn(&SiteState) -> bool,
) -> Vec<usize> {
    sites.recount();
    let steady = |at: &usize| {
        let site = &sites[*at];
        steady_at(site, clock_set).is_some_and(|at| at <= now)
            || !site.flapping().changes_often(now) && !notified(site)
    };
    let flapping = sites.census().flapping.iter().copied();
    let steady: Vec<usize> = flapping.filter(steady).collect();
    for &at in &steady {
        sites[at].flapping_mut().end();
    }
    steady
}

/// Returns when the site will have been steady for long enough; `None` while its checks are not
/// made or don't count, or its state is uncertain.
fn steady_at(watched: &SiteState, clock_set: bool) -> Option<Moment> {
    let timely = clock_set || !watched.config().needs_clock();
    let judged = !watched.is_suppressed() && !watched.is_paused() && timely;
    let judged = judged && !watched.is_uncertain();
    let steady = watched.flapping().steady_at(watched.is_down());
    steady.filter(|_| judged)
}
