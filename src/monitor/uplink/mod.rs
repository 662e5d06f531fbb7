//! The uplink: is it the site that is gone, or our own connection?
//!
//! A failure of a site elsewhere counts against it only when the uplink was seen to be up *after*
//! the failure. So a probe is requested by the first failure already, is shared by all requests
//! within [`PROBE_INTERVAL`], and is repeated while there is a fault.
//!
//! | state | event | what follows | test |
//! | --- | --- | --- | --- |
//! | at rest | nothing fails, or there are no targets | no probe | `nothing_is_probed_without_a_request_or_without_targets` |
//! | at rest | a failure | a probe, no sooner than 5 s after the last began | `many_failures_share_a_probe` |
//! | probing | a failure | waits for a probe that began after it | `a_probe_is_shared_by_the_requests_before_it_began` |
//! | probing | a failure that Telegram's name or certificate may explain | a deep probe after this one | `a_shallow_result_serves_no_deep_request` |
//! | probing | no result for 60 s | probed again | `a_probe_without_a_result_is_made_again` |
//! | probing | the machine stood still, no target answers | probed again | `a_probe_that_was_slept_through_is_made_again_but_not_at_once` |
//! | online | no target answers | offline: sites elsewhere are suppressed | `a_cut_connection_takes_no_site_down_and_is_told_once_it_is_back` |
//! | offline | a target answers | online: judging starts afresh | `after_an_offline_period_judging_starts_afresh` |
//! | offline | back within 15 min of the last period | one period with it | `offline_periods_close_together_are_one` |
//! | offline | sites elsewhere answer, no target does, three times | the targets are notified as wrong, once | `targets_that_never_answer_while_sites_do_are_told_once` |
//! | online | a fault that leaves a connection | sites that fail by it are suppressed | `no_resolver_is_told_and_takes_no_site_down`, `a_captive_portal_takes_no_site_down`, `ipv6_that_is_gone_takes_no_site_down_that_needs_it` |
//! | fault | it goes on | probed every 10 s | `while_there_is_a_fault_it_is_probed_every_ten_seconds` |
//! | fault | over and back within 15 min | not notified again | `a_fault_that_comes_back_at_once_is_no_news` |
//! | any | a check cannot reach its proxy | sites behind it are suppressed, each until its proxy is reached; notified once | `a_proxy_that_is_dead_is_told_once_and_takes_no_site_down` |
//! | any | the configuration has no targets any more | what they found is over | `an_uplink_without_targets_suppresses_no_site` |

pub(crate) mod faults;
pub(crate) mod local_faults;
pub(crate) mod offline_period;
pub mod route;
mod routes;

use crate::monitor::event::Actions;
use crate::monitor::site::suppression::UplinkFault;
use crate::monitor::time::{Moment, Now};
pub use crate::monitor::uplink::faults::UplinkEvent;
use crate::monitor::uplink::local_faults::LocalFaults;
pub use crate::monitor::uplink::offline_period::Period;
use crate::monitor::uplink::route::Route;
use crate::monitor::uplink::routes::{Connection, Routes};
use std::time::Duration;

/// Probes begin at least this far apart: requests in between share the next one.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// While there is a fault the uplink is probed this often.
const FAULT_PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// For the sake of sites that are down already it is probed no more often than this.
const DOWN_PROBE_INTERVAL: Duration = Duration::from_secs(60);
/// A probe without a result is given up after this.
const PROBE_TIMEOUT: Duration = Duration::from_secs(60);
/// A fault that is back within this of its end is the same one.
const SAME_FAULT_WITHIN: Duration = Duration::from_secs(15 * 60);
/// So many probes that sites contradict are no accident.
const CONTRADICTIONS: u32 = 3;

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeResult {
    /// One of the `uplink` targets took a connection.
    pub up: bool,
    /// IPv6 works; `None` when that is not known (no IPv6 target, but a route).
    pub ipv6: Option<bool>,
    /// The name of the Telegram server resolved; `None` when not asked, or there is none to ask.
    pub names: Option<bool>,
    /// The Telegram server showed its own certificate; `None` when not asked or it did not answer.
    pub trusted: Option<bool>,
}

impl UplinkFault {
    /// Those that only probes of the targets show.
    pub const PROBED: [UplinkFault; 3] = [
        UplinkFault::NoConnection,
        UplinkFault::CaptivePortal,
        UplinkFault::NoIpv6,
    ];

    /// The notice when it begins; `None` for no connection at all, as no chat can be reached then.
    pub fn begin_notice(self) -> Option<&'static str> {
        match self {
            UplinkFault::NoConnection => None,
            UplinkFault::Dns => Some(
                "DNS on this network doesn't answer: sites whose names can't be resolved are not judged.",
            ),
            UplinkFault::CaptivePortal => Some(
                "Something on this network answers in place of every server (a captive portal?): sites behind it are not judged.",
            ),
            UplinkFault::NoIpv6 => Some(
                "IPv6 on this line is gone: sites that are reached by it alone are not judged.",
            ),
            UplinkFault::Proxy => {
                Some("A proxy for sites doesn't answer: sites behind it are not judged.")
            }
        }
    }

    /// The notice when it is over.
    pub fn end_notice(self) -> Option<&'static str> {
        match self {
            UplinkFault::NoConnection => None,
            UplinkFault::Dns => Some("DNS on this network answers again"),
            UplinkFault::CaptivePortal => Some("Servers answer for themselves again"),
            UplinkFault::NoIpv6 => Some("IPv6 on this line is back"),
            UplinkFault::Proxy => Some("The proxy for sites answers again"),
        }
    }
}

/// What is known of the uplink.
#[derive(Debug, Default)]
pub struct Uplink {
    /// There are targets to ask.
    has_targets: bool,
    under_way: Option<Probe>,
    last: Option<(Probe, ProbeResult)>,
    /// When the last probe began, whatever came of it.
    begun: Option<Moment>,
    /// A probe is requested, and whether of the way to Telegram too.
    requested: Option<bool>,
    faults: Vec<(UplinkFault, Moment)>,
    /// Until when each fault was last known to be there: what began before that says nothing.
    last_known: [Option<Moment>; 5],
    /// When each fault was last over: one that comes back at once is not notified again.
    over: [Option<Moment>; 5],
    /// When a name last resolved that is not loopback's.
    resolved: Option<Moment>,
    /// When something elsewhere last answered.
    answered: Option<Moment>,
    period: Option<(Period, Moment)>,
    /// Probes in a row that found no target while sites elsewhere answered.
    contradicted: u32,
    /// When the machine last stood still.
    woke: Option<Moment>,
    local: LocalFaults,
    routes: Routes,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    began: Moment,
    deep: bool,
}

impl Uplink {
    /// `routes`: ways to Telegram, in the order in which they are tried.
    pub fn new(has_targets: bool, routes: Vec<Route>) -> Uplink {
        Uplink {
            has_targets,
            routes: Routes::new(routes),
            ..Uplink::default()
        }
    }

    /// Ways to Telegram, in the order in which they are tried.
    pub fn set_routes(&mut self, routes: Vec<Route>, now: Moment) {
        self.routes.set(routes, now);
    }

    /// The route of an earlier run, by its name.
    pub fn restore_route(&mut self, name: &str, now: Moment) {
        self.routes.restore(name, now);
    }

    /// What [`Uplink::restore_route`] is to know.
    pub fn remembered_route(&self) -> Option<String> {
        self.routes.remembered()
    }

    /// A request to Telegram by `route` has ended; `cause`: why it failed. What to notify chats of.
    pub fn on_request(&mut self, now: Now, route: &Route, cause: Option<String>) -> Option<String> {
        let failed = cause.is_some();
        let news = self.routes.on_request(now, route, cause);
        if failed && self.routes.fails() && !self.has_fault(UplinkFault::NoConnection) {
            // Before the route is left the uplink must be known to be up.
            self.request_probe(false);
        }
        news
    }

    /// The trial of a route has ended. Whether another is used now.
    pub fn on_trial(
        &mut self,
        now: Now,
        route: &Route,
        cause: Option<String>,
        actions: &mut Actions,
    ) -> bool {
        self.routes.on_trial(now, route, cause, actions)
    }

    /// When [`Uplink::on_route_timeout`] has something to do, but for what a probe brings.
    pub fn next_route(&self, now: Moment) -> Option<Moment> {
        self.routes.next_timeout(now, self.is_down())
    }

    /// Sees to the way to Telegram. Whether another is used now.
    pub fn on_route_timeout(&mut self, now: Now, actions: &mut Actions) -> bool {
        let failing = self.routes.failing_since(now.moment());
        let connection = if !self.has_targets {
            Connection::Up(false)
        } else if self.is_down() {
            Connection::Down
        } else {
            let probed = failing.map(|since| self.result_since(since, false));
            match probed {
                Some(Some(result)) => Connection::Up(result.up),
                Some(None) => Connection::Asked,
                None => Connection::Up(true),
            }
        };
        self.routes.on_timeout(now, connection, actions)
    }

    /// No target answers, and no site elsewhere contradicts that.
    fn is_down(&self) -> bool {
        self.has_fault(UplinkFault::NoConnection) && self.contradicted < CONTRADICTIONS
    }

    /// Since when our own connection is gone.
    pub fn offline_since(&self) -> Option<Moment> {
        let mut faults = self.faults.iter().filter(|_| self.is_down());
        let gone = faults.find(|(fault, _)| *fault == UplinkFault::NoConnection);
        gone.map(|(_, since)| *since)
    }

    /// There are targets to ask.
    pub fn has_targets(&self) -> bool {
        self.has_targets
    }

    /// What the last probe says about a failure at `failed`; `None` when none has begun since. Then
    /// one is asked for.
    pub fn result_since(&mut self, failed: Moment, deep: bool) -> Option<ProbeResult> {
        let serves = |probe: Probe| probe.began >= failed && (probe.deep || !deep);
        match self.last {
            Some((probe, report)) if serves(probe) => Some(report),
            Some((_, report)) if mutated!("trust a probe from before the failure") => Some(report),
            _ => {
                if !self.under_way.is_some_and(serves) {
                    self.request_probe(deep);
                }
                None
            }
        }
    }

    /// A probe is requested; `deep`: of the way to Telegram too.
    pub fn request_probe(&mut self, deep: bool) {
        if self.has_targets {
            self.requested = Some(self.requested.unwrap_or(false) || deep);
        }
    }

    /// A site that is down fails again. When all are down nothing else would find that the
    /// uplink is gone too.
    pub fn request_probe_rarely(&mut self, now: Moment) {
        if self
            .begun
            .is_none_or(|began| now.since(began) >= DOWN_PROBE_INTERVAL)
        {
            self.request_probe(false);
        }
    }

    /// When the next probe is to begin.
    pub fn next_timeout(&self, now: Moment) -> Option<Moment> {
        if !self.has_targets {
            return None;
        }
        if let Some(probe) = self.under_way {
            return Some(self.woke.map_or(probe.began, |w| w.max(probe.began)) + PROBE_TIMEOUT);
        }
        let after = |pause| self.begun.map_or(now, |began| began + pause);
        let shared = match mutated!("probe the uplink without a pause") {
            true => Duration::ZERO,
            false => PROBE_INTERVAL,
        };
        let wanted = self.requested.map(|_| after(shared));
        // That a proxy is gone, checks find out.
        let probed = |(fault, _): &(UplinkFault, Moment)| *fault != UplinkFault::Proxy;
        let fault = self
            .faults
            .iter()
            .any(probed)
            .then(|| after(FAULT_PROBE_INTERVAL));
        wanted.into_iter().chain(fault).min()
    }

    /// Begins a probe if one is due; the flag says that it is a deep one.
    pub fn begin_probe(&mut self, now: Moment) -> Option<bool> {
        if self.next_timeout(now).is_none_or(|at| at > now) {
            return None;
        }
        let deep = self.requested.take().unwrap_or(false)
            || self.has_fault(UplinkFault::Dns)
            || self.has_fault(UplinkFault::CaptivePortal);
        self.begun = Some(now);
        self.under_way = Some(Probe { began: now, deep });
        Some(deep)
    }

    /// The machine stood still until now: a probe that was under way saw nothing.
    pub fn on_wakeup(&mut self, now: Moment) {
        self.woke = Some(now);
    }

    /// A probe has ended: when it began. `None` when nothing follows from it: the machine stood
    /// still meanwhile, so it failed by that.
    pub fn on_result(&mut self, now: Moment, report: ProbeResult) -> Option<Moment> {
        let probe = self.under_way.take().unwrap_or(Probe {
            began: now,
            deep: false,
        });
        if !report.up && self.woke.is_some_and(|woke| probe.began < woke) {
            self.request_probe(probe.deep);
            return None;
        }
        let before = self.last.map(|(probe, _)| probe.began);
        let contradicted = !report.up && self.answered.is_some() && self.answered > before;
        self.contradicted = match contradicted {
            true if self.has_fault(UplinkFault::NoConnection)
                && self.contradicted < CONTRADICTIONS =>
            {
                self.contradicted + 1
            }
            _ if report.up => 0,
            _ => self.contradicted,
        };
        self.last = Some((probe, report));
        let bad = [
            (UplinkFault::NoConnection, !report.up),
            (UplinkFault::Dns, report.names == Some(false)),
            (UplinkFault::CaptivePortal, report.trusted == Some(false)),
            (UplinkFault::NoIpv6, report.ipv6 == Some(false)),
        ];
        for (fault, _) in bad.into_iter().filter(|(_, bad)| *bad) {
            self.note_known(fault, now);
        }
        if report.up {
            self.answered = Some(now);
        }
        if report.names == Some(true) {
            self.resolved = Some(now);
        }
        Some(probe.began)
    }

    /// A name that is not loopback's resolved, or something elsewhere answered.
    pub fn on_evidence(&mut self, now: Moment, resolved: bool, answered: bool) {
        if resolved {
            self.resolved = Some(now);
        }
        if answered {
            self.answered = Some(now);
        }
    }

    /// When a name last resolved, as far as checks and probes tell.
    pub fn resolved(&self) -> Option<Moment> {
        self.resolved
    }

    pub fn has_fault(&self, fault: UplinkFault) -> bool {
        self.faults.iter().any(|(t, _)| *t == fault)
    }

    pub fn faults(&self) -> &[(UplinkFault, Moment)] {
        &self.faults
    }

    /// The fault begins, or goes on. Whether it is news: not when it was just over.
    pub fn begin_fault(&mut self, fault: UplinkFault, since: Moment, now: Moment) -> bool {
        if self.has_fault(fault) {
            return false;
        }
        self.faults.push((fault, since));
        self.over[fault as usize].is_none_or(|at| now.since(at) > SAME_FAULT_WITHIN)
    }

    /// Sites elsewhere answer again and again, but no target does: true once.
    pub fn take_contradiction(&mut self) -> bool {
        let now = self.contradicted == CONTRADICTIONS;
        if now {
            self.contradicted += 1;
        }
        now
    }

    fn note_known(&mut self, fault: UplinkFault, now: Moment) {
        self.last_known[fault as usize] = Some(now);
    }

    /// A check that began at `began` ran into the fault, as far as is known.
    pub fn explains(&self, fault: UplinkFault, began: Moment) -> bool {
        self.last_known[fault as usize].is_some_and(|until| began < until)
    }

    /// The fault is over: since when it was.
    pub fn end_fault(&mut self, fault: UplinkFault, now: Moment) -> Option<Moment> {
        let place = self.faults.iter().position(|(t, _)| *t == fault)?;
        let (_, since) = self.faults.remove(place);
        self.note_known(fault, now);
        self.over[fault as usize] = Some(now);
        Some(since)
    }

    /// The past was elsewhere than was thought.
    pub fn redate(&mut self, back: impl Fn(&mut Moment)) {
        self.faults.iter_mut().for_each(|(_, since)| back(since));
    }

    /// See [`Period::redate`].
    pub fn redate_period(&mut self, floor: i64, off: i64) {
        if let Some((period, _)) = &mut self.period {
            period.redate(floor, off);
        }
    }

    /// The uplink is back after being down since `since`: what to notify, and whether it goes on
    /// with what was notified last. `dated`: the clock is set.
    pub fn make_period(&mut self, since: Moment, now: Now, dated: bool) -> (Period, bool) {
        let moment = now.moment();
        let lasted = moment.since(since);
        let notified = self.period.take();
        let goes_on = notified.filter(|(_, ended)| since.since(*ended) <= SAME_FAULT_WITHIN);
        let again = goes_on.is_some();
        let period = match goes_on {
            Some((period, _)) => Period {
                until: now.wall,
                times: period.times.saturating_add(1),
                total: period.total + lasted,
                dated,
                ..period
            },
            None => Period {
                from: now.wall_at(since),
                until: now.wall,
                times: 1,
                total: lasted,
                dated,
            },
        };
        self.period = Some((period.clone(), moment));
        (period, again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: ProbeResult = ProbeResult {
        up: true,
        ipv6: None,
        names: None,
        trusted: None,
    };

    fn at(secs: i64) -> Moment {
        Moment(secs * 1000)
    }

    #[test]
    fn a_probe_is_shared_by_the_requests_before_it_began() {
        let mut uplink = Uplink::new(true, Vec::new());
        assert_eq!(uplink.result_since(at(0), false), None);
        assert_eq!(uplink.begin_probe(at(0)), Some(false));
        assert_eq!(uplink.result_since(at(0), false), None, "not reported yet");
        uplink.on_result(at(1), UP);
        assert_eq!(uplink.result_since(at(0), false), Some(UP));
        assert_eq!(
            uplink.result_since(at(1), false),
            None,
            "the uplink may have gone since it began"
        );
        assert_eq!(uplink.next_timeout(at(1)), Some(at(5)));
        assert_eq!(uplink.begin_probe(at(4)), None);
        assert_eq!(uplink.begin_probe(at(5)), Some(false));
    }

    #[test]
    fn nothing_is_probed_without_a_request_or_without_targets() {
        assert_eq!(Uplink::new(true, Vec::new()).next_timeout(at(9)), None);
        let mut uplink = Uplink::default();
        assert_eq!(uplink.result_since(at(0), false), None);
        assert_eq!(uplink.begin_probe(at(0)), None);
    }

    #[test]
    fn a_shallow_result_serves_no_deep_request() {
        let mut uplink = Uplink::new(true, Vec::new());
        uplink.request_probe(false);
        uplink.begin_probe(at(0));
        uplink.on_result(at(0), UP);
        assert_eq!(uplink.result_since(at(0), true), None);
        assert_eq!(uplink.begin_probe(at(5)), Some(true));
    }

    #[test]
    fn a_probe_without_a_result_is_made_again() {
        let mut uplink = Uplink::new(true, Vec::new());
        uplink.request_probe(false);
        uplink.begin_probe(at(0));
        assert_eq!(uplink.begin_probe(at(59)), None);
        assert!(uplink.begin_probe(at(60)).is_some());
    }

    #[test]
    fn while_there_is_a_fault_it_is_probed_every_ten_seconds() {
        let mut uplink = Uplink::new(true, Vec::new());
        uplink.request_probe(false);
        uplink.begin_probe(at(0));
        uplink.on_result(at(5), ProbeResult { up: false, ..UP });
        assert!(uplink.begin_fault(UplinkFault::NoConnection, at(0), at(5)));
        assert_eq!(uplink.next_timeout(at(5)), Some(at(10)));
    }

    #[test]
    fn a_fault_that_comes_back_at_once_is_no_news() {
        let mut uplink = Uplink::new(true, Vec::new());
        assert!(uplink.begin_fault(UplinkFault::Dns, at(0), at(0)));
        assert!(!uplink.begin_fault(UplinkFault::Dns, at(5), at(5)));
        assert_eq!(uplink.end_fault(UplinkFault::Dns, at(60)), Some(at(0)));
        assert!(!uplink.begin_fault(UplinkFault::Dns, at(90), at(90)));
        uplink.end_fault(UplinkFault::Dns, at(120));
        assert!(uplink.begin_fault(UplinkFault::Dns, at(2000), at(2000)));
    }

    #[test]
    fn offline_periods_close_together_are_one() {
        let mut uplink = Uplink::new(true, Vec::new());
        let now = |secs: u64| Now::utc(Duration::from_secs(secs), 1_000_000 + secs as i64);
        let (first, again) = uplink.make_period(at(100), now(160), true);
        assert_eq!((first.times, again), (1, false));
        let (second, again) = uplink.make_period(at(200), now(230), true);
        assert!(again);
        assert_eq!(
            second,
            Period {
                from: 1_000_100,
                until: 1_000_230,
                times: 2,
                total: Duration::from_secs(90),
                dated: true,
            }
        );
        let (_, again) = uplink.make_period(at(5000), now(5100), true);
        assert!(!again);
    }
}
