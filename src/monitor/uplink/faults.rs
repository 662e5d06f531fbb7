//! Faults of the uplink begin and end: which sites are not judged meanwhile, which failures are excused.

use crate::monitor::event::{Action, Actions, Level};
use crate::monitor::site::network::is_lan;
use crate::monitor::site::outcome::{FailureKind, Outcome};
use crate::monitor::site::state::{PendingDown, SiteState};
use crate::monitor::site::suppression::{Fault, Suppression};
use crate::monitor::site::table::Sites;
use crate::monitor::time::text;
use crate::monitor::time::{Moment, Now};
use crate::monitor::uplink::{Period, ProbeResult, SAME, Uplink};
use std::net::IpAddr;
use std::time::Duration;

/// A fault shorter than this is not worth a message.
const SETTLED: Duration = Duration::from_secs(30);

const WRONG_TARGETS: &str = "Sites elsewhere answer, but none of the `uplink` targets does: is `uplink` in sitemon.conf right, or a firewall or proxy in the way? Until one of them answers only sites on this network are judged.";

/// What has become of the uplink.
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
        /// The period goes on that was notified last.
        goes_on: bool,
    },
    /// To be notified at `due`, if it goes on.
    FaultBegan { fault: Fault, due: Moment },
    /// `notice` for the chats that know of it.
    FaultEnded { fault: Fault, notice: String },
    /// Sites elsewhere contradict the targets.
    Contradicted { notice: &'static str },
}

impl Uplink {
    /// Begins a probe if one is due.
    pub fn on_timeout(&mut self, now: Moment, actions: &mut Actions) {
        if let Some(deep) = self.begin_probe(now) {
            actions.push(Action::Probe { deep });
        }
    }

    /// A probe has ended: when it began, if anything follows from it.
    pub fn on_probe_result(
        &mut self,
        now: Now,
        result: ProbeResult,
        clock_set: bool,
        sites: &mut Sites,
        actions: &mut Actions,
    ) -> Option<(Moment, Vec<UplinkEvent>)> {
        if !self.has_targets {
            // It was under way when `uplink` was emptied. Nothing would be probed again.
            return None;
        }
        let answered = self.answered;
        let began = self.on_result(now.moment(), result)?;
        let mut events = Vec::new();
        match (result.up, self.has(Fault::NoConnection)) {
            (false, false) => events.push(self.go_offline(now.moment(), answered, sites, actions)),
            (true, true) => events.extend(self.back_online(now, clock_set, sites, actions)),
            _ => {}
        }
        if self.contradicted() {
            let notice = WRONG_TARGETS;
            actions.log(Level::Info, notice.to_owned());
            events.push(UplinkEvent::Contradicted { notice });
        }
        Some((began, events))
    }

    /// Faults that this probe found to be over.
    pub fn end_faults(
        &mut self,
        now: Now,
        result: ProbeResult,
        sites: &mut Sites,
        actions: &mut Actions,
    ) -> Vec<UplinkEvent> {
        let over = [
            (Fault::Names, result.names == Some(true)),
            (Fault::Portal, result.trusted == Some(true)),
            (Fault::Ipv6, result.up && result.ipv6 != Some(false)),
        ];
        let over = over.into_iter().filter(|(_, over)| *over);
        self.faults_end(now, over.map(|(fault, _)| fault).collect(), sites, actions)
    }

    /// It began with the first failure after the last answer from elsewhere.
    fn go_offline(
        &mut self,
        now: Moment,
        answered: Option<Moment>,
        sites: &mut Sites,
        actions: &mut Actions,
    ) -> UplinkEvent {
        let failing = sites.iter().filter(|w| !w.local());
        let first = failing.filter_map(|w| w.failing_since()).min();
        let since = first.max(answered).unwrap_or(now).min(now);
        self.begins(Fault::NoConnection, since, now);
        actions.log(
            Level::Warn,
            "offline: none of the `uplink` targets answers; only sites on this network are judged"
                .to_owned(),
        );
        for watched in sites.iter_mut() {
            if !watched.local() && !watched.paused() && !watched.unreachable() {
                watched.suppress(Suppression::Offline(Fault::NoConnection), now);
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
        let since = self.ends(Fault::NoConnection, moment)?;
        let mut unjudged = sites.end_suppression(Suppression::Offline(Fault::NoConnection), moment);
        let behind = |at: &usize| {
            let watched = &sites[*at];
            watched.unreachable() && !watched.lan()
        };
        unjudged.extend((0..sites.len()).filter(behind));
        sites.refresh_reach(moment, false);
        let (period, goes_on) = self.period(since, now, clock_set);
        let lasted = text::lasting(moment.since(since));
        actions.log(Level::Info, format!("online again after {lasted}"));
        Some(UplinkEvent::Online {
            since,
            unjudged,
            period,
            goes_on,
        })
    }

    /// A fault that leaves a connection. It is notified at once when it would have made a site down
    /// (`sure`), else when it has lasted for a moment; one that was just over, when it has lasted for
    /// as long as it is the same one.
    pub fn fault_begins(
        &mut self,
        now: Now,
        fault: Fault,
        since: Moment,
        sure: bool,
        actions: &mut Actions,
    ) -> Option<UplinkEvent> {
        if self.has(fault) {
            return None;
        }
        let news = self.begins(fault, since, now.moment());
        if let Some(text) = fault.began() {
            actions.log(Level::Warn, text.to_owned());
        }
        let due = match (news, sure) {
            (false, _) => now.moment() + SAME,
            (true, true) => now.moment(),
            (true, false) => since + SETTLED,
        };
        Some(UplinkEvent::FaultBegan { fault, due })
    }

    fn faults_end(
        &mut self,
        now: Now,
        over: Vec<Fault>,
        sites: &mut Sites,
        actions: &mut Actions,
    ) -> Vec<UplinkEvent> {
        let (moment, mut events) = (now.moment(), Vec::new());
        for fault in over {
            let Some(since) = self.ends(fault, moment) else {
                continue;
            };
            sites.end_suppression(Suppression::Offline(fault), moment);
            sites.refresh_reach(moment, self.has(Fault::NoConnection));
            let lasted = text::lasting(moment.since(since));
            let ended = fault.ended().unwrap_or_default();
            let notice = format!("{ended}, after {lasted}.");
            actions.log(Level::Info, notice.clone());
            events.push(UplinkEvent::FaultEnded { fault, notice });
        }
        events
    }

    /// A configuration that has no targets: what was known by them is over.
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
        for fault in Fault::PROBED {
            self.ends(fault, now.moment());
            sites.end_suppression(Suppression::Offline(fault), now.moment());
        }
        online
    }

    /// Whether what the last check of the site found, a failure of `kind` at `address`, is to be judged
    /// now; a site that its fault no longer explains is judged again.
    pub fn judgeable(
        &mut self,
        now: Moment,
        watched: &mut SiteState,
        kind: Option<FailureKind>,
        address: Option<IpAddr>,
    ) -> bool {
        let lan = address.is_some_and(is_lan);
        match watched.suppression() {
            None => {
                if self.has(Fault::NoConnection) && !lan {
                    watched.suppress(Suppression::Offline(Fault::NoConnection), now);
                    return false;
                }
                if kind == Some(FailureKind::Proxy) && !watched.down() {
                    watched.suppress(Suppression::Offline(Fault::Proxy), now);
                    return false;
                }
                // A fault that is known already is no site's either.
                let known = kind.and_then(partial_fault).filter(|f| self.has(*f));
                let v4 = address.is_some_and(|a| a.is_ipv4());
                let known = known.filter(|f| !v4 || *f != Fault::Ipv6);
                if let Some(fault) = known
                    && !watched.local()
                    && !watched.down()
                {
                    watched.suppress(Suppression::Offline(fault), now);
                    return false;
                }
                return true;
            }
            Some(Suppression::Unreachable) => return false,
            Some(Suppression::Offline(fault)) => {
                // What is behind a proxy is not on this network for us.
                let lan = lan && fault != Fault::Proxy;
                let out = lan
                    || match fault {
                        Fault::NoConnection => false,
                        Fault::Names => kind != Some(FailureKind::Dns),
                        Fault::Portal => kind.is_none_or(|kind| !watched.portal_like(kind)),
                        Fault::Proxy => kind != Some(FailureKind::Proxy),
                        Fault::Ipv6 => {
                            kind.is_none_or(FailureKind::spoke)
                                || address.is_some_and(|a| a.is_ipv4())
                        }
                    };
                if !out {
                    if kind.is_none() {
                        // Something answers: the uplink may be back.
                        self.request_probe(false);
                    }
                    return false;
                }
            }
        }
        watched.end_suppression(now);
        true
    }

    /// What a check tells about the uplink, whatever it tells about the site.
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
        let behind = Some(Suppression::Offline(Fault::Proxy));
        let mut began = None;
        if outcome.failure_kind() == Some(FailureKind::Proxy) {
            began = self.fault_begins(now, Fault::Proxy, moment, false, actions);
            // It may be our own connection that is gone.
            self.request_probe(false);
        } else if sites[at].suppression() == behind {
            let mut others = sites.iter().enumerate().filter(|(i, _)| *i != at);
            let last = !others.any(|(_, w)| w.suppression() == behind);
            over.extend(last.then_some(Fault::Proxy));
        }
        let elsewhere = outcome.address.filter(|a| !is_lan(*a));
        let kind = outcome.failure_kind();
        let named = sites[at].has_name();
        let asked_anew = outcome.phases.is_none_or(|p| !p.reused);
        let resolved =
            named && (elsewhere.is_some() && asked_anew || kind == Some(FailureKind::NoName));
        let answered = elsewhere.is_some() && kind.is_none();
        self.evidence(moment, resolved, answered);
        if self.has(Fault::Names) && named {
            // A name on this network says little of others, but there may be none.
            let unresolved = Some(Suppression::Offline(Fault::Names));
            let mut others = sites.iter().enumerate().filter(|(i, _)| *i != at);
            let alone = outcome.address.is_some()
                && asked_anew
                && !others.any(|(_, w)| w.suppression() == unresolved);
            if resolved || alone {
                over.push(Fault::Names);
            }
        }
        if answered && sites[at].config().is_https() && self.has(Fault::Portal) {
            over.push(Fault::Portal);
        }
        if answered && elsewhere.is_some_and(|a: IpAddr| a.is_ipv6()) {
            over.push(Fault::Ipv6);
        }
        let ended = self.faults_end(now, over, sites, actions);
        began.into_iter().chain(ended).collect()
    }

    /// A failure that is not yet enough requests a probe already: an uplink that comes back just before
    /// the last one must not make it the site's fault.
    pub fn on_failure(&mut self, now: Moment, watched: &SiteState, kind: FailureKind) {
        if watched.local() {
            return;
        }
        if watched.down() {
            self.request_probe_seldom(now);
        } else {
            let deep = watched.portal_like(kind) || kind == FailureKind::Dns;
            let deep = deep && !mutated!("ask after the names only when it is too late");
            self.request_probe(deep);
        }
    }

    /// The check began while there was a fault that explains its failure: it counts for nothing.
    pub fn excuses(&self, watched: &SiteState, kind: FailureKind) -> bool {
        let of = |fault| self.explains(fault, watched.check_began());
        if watched.local() {
            return false;
        }
        of(Fault::NoConnection)
            || match kind {
                FailureKind::Dns => {
                    of(Fault::Names)
                        && !mutated!("count what failed while names were known to be gone")
                }
                FailureKind::NoRoute => of(Fault::Ipv6),
                _ => watched.portal_like(kind) && of(Fault::Portal),
            }
    }

    /// A probe that ended after the check began found why it failed, though all may be well by now.
    pub fn found_since(&self, watched: &SiteState, pending_down: &PendingDown) -> bool {
        let seen = |fault| self.explains(fault, pending_down.began);
        !watched.local() && partial_fault(pending_down.kind).is_some_and(seen)
    }
}

/// The fault of an uplink that is not dead, by what it does to a check.
fn partial_fault(kind: FailureKind) -> Option<Fault> {
    match kind {
        FailureKind::Dns => Some(Fault::Names),
        FailureKind::Untrusted | FailureKind::Redirected => Some(Fault::Portal),
        FailureKind::NoRoute => Some(Fault::Ipv6),
        FailureKind::Proxy => Some(Fault::Proxy),
        _ => None,
    }
}
