//! Faults of the uplink: which sites are not judged while they last, and which failures they
//! excuse.

use crate::monitor::event::{Action, Actions, Level};
use crate::monitor::site::network::is_lan;
use crate::monitor::site::outcome::{FailureKind, Outcome};
use crate::monitor::site::state::{PendingDown, SiteState};
use crate::monitor::site::suppression::{Suppression, UplinkFault};
use crate::monitor::site::table::Sites;
use crate::monitor::time::text;
use crate::monitor::time::{Moment, Now};
use crate::monitor::uplink::{Period, ProbeResult, SAME_FAULT_WITHIN, Uplink};
use std::net::IpAddr;
use std::time::Duration;

/// Minimum duration of a fault that is notified.
const SHORTEST_NOTIFIED: Duration = Duration::from_secs(30);

const WRONG_TARGETS: &str = "Sites elsewhere answer, but none of the `uplink` targets does: is `uplink` in sitemon.conf right, or a firewall or proxy in the way? Until one of them answers only sites on this network are judged.";

/// A change of the uplink.
#[derive(Debug)]
pub enum UplinkEvent {
    /// No connection at all.
    Offline,
    /// There is a connection again.
    Online {
        since: Moment,
        /// The sites that were not judged since then.
        unjudged: Vec<usize>,
        period: Period,
        /// Whether the period continues the one that was notified last.
        goes_on: bool,
    },
    /// To be notified at `due`, if the fault still exists then.
    FaultBegan { fault: UplinkFault, due: Moment },
    /// `notice` is for the chats that were sent the notice of its beginning.
    FaultEnded { fault: UplinkFault, notice: String },
    /// Sites elsewhere answer, but no target does.
    Contradicted { notice: &'static str },
}

impl Uplink {
    /// Begins a probe if one is due.
    pub fn on_timeout(&mut self, now: Moment, actions: &mut Actions) {
        if let Some(deep) = self.begin_probe(now) {
            actions.push(Action::Probe { deep });
        }
    }

    /// Takes the result of a probe. Returns when the probe began and what has changed, or `None` if
    /// the result says nothing.
    pub fn on_probe_result(
        &mut self,
        now: Now,
        result: ProbeResult,
        clock_set: bool,
        sites: &mut Sites,
        actions: &mut Actions,
    ) -> Option<(Moment, Vec<UplinkEvent>)> {
        if !self.has_targets {
            // The probe was under way when `uplink` was emptied. No later probe could end its
            // faults.
            return None;
        }
        let answered = self.answered;
        let began = self.on_result(now.moment(), result)?;
        let mut events = Vec::new();
        match (result.up, self.has_fault(UplinkFault::NoConnection)) {
            (false, false) => events.push(self.go_offline(now.moment(), answered, sites, actions)),
            (true, true) => events.extend(self.back_online(now, clock_set, sites, actions)),
            _ => {}
        }
        if self.take_contradiction() {
            let notice = WRONG_TARGETS;
            actions.log(Level::Info, notice.to_owned());
            events.push(UplinkEvent::Contradicted { notice });
        }
        Some((began, events))
    }

    /// Ends the faults that the probe found to be over.
    pub fn end_faults(
        &mut self,
        now: Now,
        result: ProbeResult,
        sites: &mut Sites,
        actions: &mut Actions,
    ) -> Vec<UplinkEvent> {
        let over = [
            (UplinkFault::Dns, result.names == Some(true)),
            (UplinkFault::CaptivePortal, result.trusted == Some(true)),
            (UplinkFault::NoIpv6, result.up && result.ipv6 != Some(false)),
        ];
        let over = over.into_iter().filter(|(_, over)| *over);
        self.faults_end(now, over.map(|(fault, _)| fault).collect(), sites, actions)
    }

    /// Suppresses the sites elsewhere. The fault is dated to their first failure, or to the last
    /// answer if that is later.
    fn go_offline(
        &mut self,
        now: Moment,
        answered: Option<Moment>,
        sites: &mut Sites,
        actions: &mut Actions,
    ) -> UplinkEvent {
        let failing = sites.iter().filter(|w| !w.bypasses_uplink());
        let first = failing.filter_map(|w| w.failing_since()).min();
        let since = first.max(answered).unwrap_or(now).min(now);
        self.begin_fault(UplinkFault::NoConnection, since, now);
        actions.log(
            Level::Warn,
            "offline: none of the `uplink` targets answers; only sites on this network are judged"
                .to_owned(),
        );
        for watched in sites.iter_mut() {
            if !watched.bypasses_uplink() && !watched.is_paused() && !watched.is_unreachable() {
                watched.suppress(Suppression::Offline(UplinkFault::NoConnection), now);
            }
        }
        UplinkEvent::Offline
    }

    fn back_online(
        &mut self,
        now: Now,
        clock_set: bool,
        sites: &mut Sites,
        actions: &mut Actions,
    ) -> Option<UplinkEvent> {
        let moment = now.moment();
        let since = self.end_fault(UplinkFault::NoConnection, moment)?;
        let mut unjudged =
            sites.end_suppression(Suppression::Offline(UplinkFault::NoConnection), moment);
        let behind = |at: &usize| {
            let watched = &sites[*at];
            watched.is_unreachable() && !watched.has_lan_address()
        };
        unjudged.extend((0..sites.len()).filter(behind));
        sites.refresh_reach(moment, false);
        let (period, goes_on) = self.make_period(since, now, clock_set);
        let lasted = text::lasting(moment.since(since));
        actions.log(Level::Info, format!("online again after {lasted}"));
        Some(UplinkEvent::Online {
            since,
            unjudged,
            period,
            goes_on,
        })
    }

    /// Begins a fault that leaves a connection. It is notified at once if it would have taken a
    /// site down (`sure`), otherwise after [`SHORTEST_NOTIFIED`]. One that was just over is
    /// notified only if it lasts for [`SAME_FAULT_WITHIN`].
    pub fn fault_begins(
        &mut self,
        now: Now,
        fault: UplinkFault,
        since: Moment,
        sure: bool,
        actions: &mut Actions,
    ) -> Option<UplinkEvent> {
        if self.has_fault(fault) {
            return None;
        }
        let news = self.begin_fault(fault, since, now.moment());
        if let Some(text) = fault.begin_notice() {
            actions.log(Level::Warn, text.to_owned());
        }
        let due = match (news, sure) {
            (false, _) => now.moment() + SAME_FAULT_WITHIN,
            (true, true) => now.moment(),
            (true, false) => since + SHORTEST_NOTIFIED,
        };
        Some(UplinkEvent::FaultBegan { fault, due })
    }

    fn faults_end(
        &mut self,
        now: Now,
        over: Vec<UplinkFault>,
        sites: &mut Sites,
        actions: &mut Actions,
    ) -> Vec<UplinkEvent> {
        let (moment, mut events) = (now.moment(), Vec::new());
        for fault in over {
            let Some(since) = self.end_fault(fault, moment) else {
                continue;
            };
            sites.end_suppression(Suppression::Offline(fault), moment);
            sites.refresh_reach(moment, self.has_fault(UplinkFault::NoConnection));
            let lasted = text::lasting(moment.since(since));
            let ended = fault.end_notice().unwrap_or_default();
            let notice = format!("{ended}, after {lasted}.");
            actions.log(Level::Info, notice.clone());
            events.push(UplinkEvent::FaultEnded { fault, notice });
        }
        events
    }

    /// Sets whether there are targets. Without targets, the faults that they found are over.
    pub fn set_targets(
        &mut self,
        now: Now,
        clock_set: bool,
        has_targets: bool,
        sites: &mut Sites,
        actions: &mut Actions,
    ) -> Option<UplinkEvent> {
        self.has_targets = has_targets;
        if has_targets {
            return None;
        }
        let online = self.back_online(now, clock_set, sites, actions);
        for fault in UplinkFault::PROBED {
            self.end_fault(fault, now.moment());
            sites.end_suppression(Suppression::Offline(fault), now.moment());
        }
        online
    }

    /// Returns whether the last check of the site, which failed by `kind` or succeeded at
    /// `address`, is to be judged now. Begins and ends the suppression of the site accordingly.
    pub fn judgeable(
        &mut self,
        now: Moment,
        watched: &mut SiteState,
        kind: Option<FailureKind>,
        address: Option<IpAddr>,
    ) -> bool {
        let lan = watched.config().is_this_machine() || address.is_some_and(is_lan);
        match watched.suppression() {
            None => {
                if self.has_fault(UplinkFault::NoConnection) && !lan {
                    watched.suppress(Suppression::Offline(UplinkFault::NoConnection), now);
                    return false;
                }
                if kind == Some(FailureKind::Proxy) && !watched.is_down() {
                    watched.suppress(Suppression::Offline(UplinkFault::Proxy), now);
                    return false;
                }
                // A fault that is already known is not the site's fault either.
                let known = kind.and_then(partial_fault).filter(|f| self.has_fault(*f));
                let v4 = address.is_some_and(|a| a.is_ipv4());
                let known = known.filter(|f| !v4 || *f != UplinkFault::NoIpv6);
                if let Some(fault) = known
                    && !watched.bypasses_uplink()
                    && !watched.is_down()
                {
                    watched.suppress(Suppression::Offline(fault), now);
                    return false;
                }
                return true;
            }
            Some(Suppression::Unreachable) => return false,
            Some(Suppression::Offline(fault)) => {
                // A site behind a proxy does not count as one on this network.
                let lan = lan && fault != UplinkFault::Proxy;
                let out = lan
                    || match fault {
                        UplinkFault::NoConnection => false,
                        UplinkFault::Dns => kind != Some(FailureKind::Dns),
                        UplinkFault::CaptivePortal => {
                            kind.is_none_or(|kind| !watched.may_be_portal(kind))
                        }
                        UplinkFault::Proxy => kind != Some(FailureKind::Proxy),
                        UplinkFault::NoIpv6 => {
                            kind.is_none_or(FailureKind::spoke)
                                || address.is_some_and(|a| a.is_ipv4())
                        }
                    };
                if !out {
                    if kind.is_none() {
                        // An answer: the uplink may be back.
                        self.request_probe(false);
                    }
                    return false;
                }
            }
        }
        watched.end_suppression(now);
        true
    }

    /// Notes what a check tells about the uplink, whatever it tells about the site.
    pub fn on_outcome(
        &mut self,
        now: Now,
        at: usize,
        outcome: &Outcome,
        sites: &mut Sites,
        actions: &mut Actions,
    ) -> Vec<UplinkEvent> {
        let mut over = Vec::new();
        let moment = now.moment();
        let behind = Some(Suppression::Offline(UplinkFault::Proxy));
        let mut began = None;
        if outcome.failure_kind() == Some(FailureKind::Proxy) {
            began = self.fault_begins(now, UplinkFault::Proxy, moment, false, actions);
            // It may be our own connection that is down.
            self.request_probe(false);
        } else if sites[at].suppression() == behind {
            let mut others = sites.iter().enumerate().filter(|(i, _)| *i != at);
            let last = !others.any(|(_, w)| w.suppression() == behind);
            over.extend(last.then_some(UplinkFault::Proxy));
        }
        let elsewhere = outcome.address.filter(|a| !is_lan(*a));
        let kind = outcome.failure_kind();
        let named = sites[at].has_name();
        let asked_anew = outcome.phases.is_none_or(|p| !p.reused);
        let resolved =
            named && (elsewhere.is_some() && asked_anew || kind == Some(FailureKind::NoName));
        let answered = elsewhere.is_some() && kind.is_none();
        self.on_evidence(moment, resolved, answered);
        if self.has_fault(UplinkFault::Dns) && named {
            // The name of a site on this network says little about other names, but there may be no
            // others.
            let unresolved = Some(Suppression::Offline(UplinkFault::Dns));
            let mut others = sites.iter().enumerate().filter(|(i, _)| *i != at);
            let alone = outcome.address.is_some()
                && asked_anew
                && !others.any(|(_, w)| w.suppression() == unresolved);
            if resolved || alone {
                over.push(UplinkFault::Dns);
            }
        }
        if answered && sites[at].config().uses_tls() && self.has_fault(UplinkFault::CaptivePortal) {
            over.push(UplinkFault::CaptivePortal);
        }
        if answered && elsewhere.is_some_and(|a: IpAddr| a.is_ipv6()) {
            over.push(UplinkFault::NoIpv6);
        }
        let ended = self.faults_end(now, over, sites, actions);
        began.into_iter().chain(ended).collect()
    }

    /// Requests a probe even before the failures are enough: if the uplink returned just before the
    /// last one, the site would be blamed.
    pub fn on_failure(&mut self, now: Moment, watched: &SiteState, kind: FailureKind) {
        if watched.bypasses_uplink() {
            return;
        }
        if watched.is_down() {
            self.request_probe_rarely(now);
        } else {
            let deep = watched.may_be_portal(kind) || kind == FailureKind::Dns;
            let deep = deep && !mutated!("ask after the names only when it is too late");
            self.request_probe(deep);
        }
    }

    /// Returns whether the check began during a fault that explains its failure, which then counts
    /// for nothing.
    pub fn excuses(&self, watched: &SiteState, kind: FailureKind) -> bool {
        let of = |fault| self.explains(fault, watched.check_began());
        if watched.bypasses_uplink() {
            return false;
        }
        of(UplinkFault::NoConnection)
            || match kind {
                FailureKind::Dns => {
                    of(UplinkFault::Dns)
                        && !mutated!("count what failed while names were known to be gone")
                }
                FailureKind::NoRoute => of(UplinkFault::NoIpv6),
                _ => watched.may_be_portal(kind) && of(UplinkFault::CaptivePortal),
            }
    }

    /// Returns whether a probe that ended after the check began found why it failed, even if that
    /// is over.
    pub fn found_since(&self, watched: &SiteState, pending_down: &PendingDown) -> bool {
        let seen = |fault| self.explains(fault, pending_down.began);
        !watched.bypasses_uplink() && partial_fault(pending_down.kind).is_some_and(seen)
    }
}

/// Returns the fault that explains such a failure although there is a connection.
fn partial_fault(kind: FailureKind) -> Option<UplinkFault> {
    match kind {
        FailureKind::Dns => Some(UplinkFault::Dns),
        FailureKind::Untrusted | FailureKind::Redirected => Some(UplinkFault::CaptivePortal),
        FailureKind::NoRoute => Some(UplinkFault::NoIpv6),
        FailureKind::Proxy => Some(UplinkFault::Proxy),
        _ => None,
    }
}
