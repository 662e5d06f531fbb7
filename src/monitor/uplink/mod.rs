//! The uplink: tells failures of sites from failures of our own connection.
//!
//! A failure of a site elsewhere counts against it only if the uplink was seen to be up *after* the
//! failure. So the first failure already requests a probe. All requests within [`PROBE_INTERVAL`]
//! share a probe, which is repeated while there is a fault.
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

/// Minimum time from the beginning of one probe to the next; requests in between share the next
/// one.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// Interval of probes while there is a fault.
const FAULT_PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// Minimum time between probes for the sake of sites that are already down.
const DOWN_PROBE_INTERVAL: Duration = Duration::from_secs(60);
/// Time after which a probe without a result is given up.
const PROBE_TIMEOUT: Duration = Duration::from_secs(60);
/// A fault that returns within this time after its end is the same one.
const SAME_FAULT_WITHIN: Duration = Duration::from_secs(15 * 60);
/// Number of probes contradicted by sites after which the targets count as wrong.
const CONTRADICTIONS: u32 = 3;

/// The result of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeResult {
    /// Whether one of the `uplink` targets accepted a connection.
    pub up: bool,
    /// Whether IPv6 works; `None` if that is unknown (no IPv6 target, but a route).
    pub ipv6: Option<bool>,
    /// Whether the name of the Telegram server resolved; `None` if none was looked up.
    pub names: Option<bool>,
    /// Whether the Telegram server showed its own certificate; `None` if it was not asked, did not
    /// answer, or its certificate is invalid for another reason.
    pub trusted: Option<bool>,
}

impl UplinkFault {
    /// Faults that only probes of the targets find.
    pub const PROBED: [UplinkFault; 3] = [
        UplinkFault::NoConnection,
        UplinkFault::CaptivePortal,
        UplinkFault::NoIpv6,
    ];

    /// Returns the notice of its beginning; `None` for no connection at all, as no chat can be
    /// reached then.
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

    /// Returns the notice of its end.
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

/// State of the uplink.
#[derive(Debug, Default)]
pub struct Uplink {
    /// Whether there are targets to probe.
    has_targets: bool,
    under_way: Option<Probe>,
    last: Option<(Probe, ProbeResult)>,
    /// When the last probe began, whatever its result.
    begun: Option<Moment>,
    /// Whether a deep probe is requested (of the way to Telegram too); `None` if no probe is.
    requested: Option<bool>,
    faults: Vec<(UplinkFault, Moment)>,
    /// When each fault was last known to exist: checks that began before that say nothing.
    last_known: [Option<Moment>; 5],
    /// When each fault last ended: one that returns soon is not notified again.
    over: [Option<Moment>; 5],
    /// When a name other than loopback's last resolved.
    resolved: Option<Moment>,
    /// When a host outside this network last answered.
    answered: Option<Moment>,
    period: Option<(Period, Moment)>,
    /// Number of consecutive probes that reached no target while sites elsewhere answered.
    contradicted: u32,
    /// When the machine last woke from a standstill.
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

    /// Sets the ways to Telegram, in the order in which they are tried.
    pub fn set_routes(&mut self, routes: Vec<Route>, now: Moment) {
        self.routes.set(routes, now);
    }

    /// Restores the route of an earlier run, by its name.
    pub fn restore_route(&mut self, name: &str, now: Moment) {
        self.routes.restore(name, now);
    }

    /// Returns the name for [`Uplink::restore_route`].
    pub fn remembered_route(&self) -> Option<String> {
        self.routes.remembered()
    }

    /// Notes the end of a request to Telegram by `route`; `cause`: why it failed. Returns the
    /// notice for the chats, if any.
    pub fn on_request(&mut self, now: Now, route: &Route, cause: Option<String>) -> Option<String> {
        let failed = cause.is_some();
        let news = self.routes.on_request(now, route, cause);
        if failed && self.routes.fails() && !self.has_fault(UplinkFault::NoConnection) {
            // The route is left only if the uplink is known to be up.
            self.request_probe(false);
        }
        news
    }

    /// Notes the end of a route's trial. Returns whether another route is used now.
    pub fn on_trial(
        &mut self,
        now: Now,
        route: &Route,
        cause: Option<String>,
        actions: &mut Actions,
    ) -> bool {
        self.routes.on_trial(now, route, cause, actions)
    }

    /// Returns when [`Uplink::on_route_timeout`] is due, unless a probe makes it due before.
    pub fn next_route(&self, now: Moment) -> Option<Moment> {
        self.routes.next_timeout(now, self.is_down())
    }

    /// Changes the route to Telegram, or tries others, if due. Returns whether another one is used
    /// now.
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

    /// Returns whether no target answers and no site elsewhere contradicts that.
    fn is_down(&self) -> bool {
        self.has_fault(UplinkFault::NoConnection) && self.contradicted < CONTRADICTIONS
    }

    /// Returns since when there has been no connection.
    pub fn offline_since(&self) -> Option<Moment> {
        let mut faults = self.faults.iter().filter(|_| self.is_down());
        let gone = faults.find(|(fault, _)| *fault == UplinkFault::NoConnection);
        gone.map(|(_, since)| *since)
    }

    /// Returns whether there are targets to probe.
    pub fn has_targets(&self) -> bool {
        self.has_targets
    }

    /// Returns the result of the last probe if it began after `failed`. Otherwise requests a probe
    /// and returns `None`.
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

    /// Requests a probe; `deep`: of the way to Telegram too.
    pub fn request_probe(&mut self, deep: bool) {
        if self.has_targets {
            self.requested = Some(self.requested.unwrap_or(false) || deep);
        }
    }

    /// Requests a probe if the last one is long ago, because a site that is down fails again. When
    /// all sites are down, nothing else would find that the uplink is down too.
    pub fn request_probe_rarely(&mut self, now: Moment) {
        if self
            .begun
            .is_none_or(|began| now.since(began) >= DOWN_PROBE_INTERVAL)
        {
            self.request_probe(false);
        }
    }

    /// Returns when the next probe is to begin.
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
        // Probes don't tell whether a proxy works; checks do.
        let probed = |(fault, _): &(UplinkFault, Moment)| *fault != UplinkFault::Proxy;
        let fault = self
            .faults
            .iter()
            .any(probed)
            .then(|| after(FAULT_PROBE_INTERVAL));
        wanted.into_iter().chain(fault).min()
    }

    /// Begins a probe if one is due. Returns whether it is a deep one.
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

    /// Notes that the machine stood still until now: a probe that was under way says nothing.
    pub fn on_wakeup(&mut self, now: Moment) {
        self.woke = Some(now);
    }

    /// Takes the result of a probe. Returns when the probe began, or `None` if the result says
    /// nothing because the machine stood still meanwhile.
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

    /// Notes that a name other than loopback's resolved, or that a host outside this network
    /// answered.
    pub fn on_evidence(&mut self, now: Moment, resolved: bool, answered: bool) {
        if resolved {
            self.resolved = Some(now);
        }
        if answered {
            self.answered = Some(now);
        }
    }

    /// Returns when a check or a probe last resolved a name.
    pub fn resolved(&self) -> Option<Moment> {
        self.resolved
    }

    pub fn has_fault(&self, fault: UplinkFault) -> bool {
        self.faults.iter().any(|(t, _)| *t == fault)
    }

    pub fn faults(&self) -> &[(UplinkFault, Moment)] {
        &self.faults
    }

    /// Begins a fault. Returns whether it is to be notified: not if it exists or was just over.
    pub fn begin_fault(&mut self, fault: UplinkFault, since: Moment, now: Moment) -> bool {
        if self.has_fault(fault) {
            return false;
        }
        self.faults.push((fault, since));
        self.over[fault as usize].is_none_or(|at| now.since(at) > SAME_FAULT_WITHIN)
    }

    /// Returns true once if sites elsewhere keep answering but no target does.
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

    /// Returns whether a check that began at `began` ran into the fault, as far as is known.
    pub fn explains(&self, fault: UplinkFault, began: Moment) -> bool {
        self.last_known[fault as usize].is_some_and(|until| began < until)
    }

    /// Ends the fault. Returns since when there was one.
    pub fn end_fault(&mut self, fault: UplinkFault, now: Moment) -> Option<Moment> {
        let place = self.faults.iter().position(|(t, _)| *t == fault)?;
        let (_, since) = self.faults.remove(place);
        self.note_known(fault, now);
        self.over[fault as usize] = Some(now);
        Some(since)
    }

    /// Corrects the times of the faults, after the wall clock was set.
    pub fn redate(&mut self, back: impl Fn(&mut Moment)) {
        self.faults.iter_mut().for_each(|(_, since)| back(since));
    }

    /// See [`Period::redate`].
    pub fn redate_period(&mut self, floor: i64, off: i64) {
        if let Some((period, _)) = &mut self.period {
            period.redate(floor, off);
        }
    }

    /// Ends an offline period that began at `since`. Returns the period to notify, and whether it
    /// continues the one that was notified last. `dated`: whether the clock is set.
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
