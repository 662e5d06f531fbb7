//! Decides pending downs: is it the site that failed, or something before it? The parent is checked
//! first, then the uplink (docs/alerts.md).

use crate::monitor::event::Level;
use crate::monitor::judge::{JudgeEvent, Judging, Transition};
use crate::monitor::site::outcome::FailureKind;
use crate::monitor::site::state::{PendingDown, SiteState};
use crate::monitor::site::suppression::{Suppression, UplinkFault};
use crate::monitor::time::Moment;
use crate::monitor::uplink::ProbeResult;
use std::time::Duration;

/// A name that resolved within this time shows that there is a resolver.
const RESOLVER_SEEN_WITHIN: Duration = Duration::from_secs(30);
/// Maximum number of other sites that are checked to find a captive portal or a dead resolver.
const WITNESSES: usize = 3;

/// The decision on a pending down.
enum Decision {
    Wait,
    /// The site is at fault.
    Confirm,
    /// The site is not at fault.
    Suppress(Suppression),
    /// The parent or the uplink failed only for a moment: the tries begin again.
    RestartStreak,
}

impl Judging<'_> {
    /// Decides a pending down, if that is possible by now.
    pub fn settle(&mut self, at: usize) -> Option<JudgeEvent> {
        let pending_down = self.sites[at].pending_down().cloned();
        pending_down.and_then(|pending_down| match self.decide(at, &pending_down) {
            Decision::Wait => None,
            Decision::Confirm => self.confirm(at, pending_down),
            Decision::Suppress(suppression) => {
                Some(self.suppress(at, suppression, pending_down.failed, true))
            }
            Decision::RestartStreak => {
                self.restart_streak(at);
                None
            }
        })
    }

    fn confirm(&mut self, at: usize, pending_down: PendingDown) -> Option<JudgeEvent> {
        let watched = &mut self.sites[at];
        let change = watched.confirm_down(&pending_down.cause, self.now);
        self.schedule.next_turn(at, self.now.moment());
        change.map(|change| {
            JudgeEvent::Transition(Transition {
                at,
                change,
                cause: pending_down.cause,
                lasted: Duration::ZERO,
            })
        })
    }

    fn suppress(
        &mut self,
        at: usize,
        suppression: Suppression,
        failed: Moment,
        sure: bool,
    ) -> JudgeEvent {
        let watched = &mut self.sites[at];
        let since = watched.failing_since().unwrap_or(failed);
        watched.suppress(suppression, self.now.moment());
        let reason = watched.reason().unwrap_or_default();
        let text = format!("{}: failed, but is not judged: {reason}", watched.name());
        self.actions.log(Level::Debug, text);
        self.schedule.next_turn(at, self.now.moment());
        JudgeEvent::Suppressed(match suppression {
            Suppression::Offline(UplinkFault::NoConnection) | Suppression::Unreachable => None,
            Suppression::Offline(fault) => {
                self.uplink
                    .fault_begins(self.now, fault, since, sure, self.actions)
            }
        })
    }

    fn restart_streak(&mut self, at: usize) {
        let watched = &mut self.sites[at];
        watched.restart_streak();
        let text = format!(
            "{}: failed, but not alone: its tries begin anew",
            watched.name()
        );
        self.actions.log(Level::Debug, text);
        if !watched.check_under_way() {
            let again = self.now.moment() + watched.config().retry;
            self.schedule.at(at, again);
        }
    }

    fn decide(&mut self, at: usize, pending_down: &PendingDown) -> Decision {
        let decision = match self.sites.parent_of(at) {
            Some(parent) => self.decide_by_parent(at, parent, pending_down),
            None => Decision::Confirm,
        };
        match decision {
            Decision::Confirm => match self.decide_by_uplink(at, pending_down) {
                Decision::Confirm if self.uplink.found_since(&self.sites[at], pending_down) => {
                    Decision::RestartStreak
                }
                other => other,
            },
            other => other,
        }
    }

    /// Decides by the parent, which is judged before its children.
    fn decide_by_parent(
        &mut self,
        at: usize,
        parent: usize,
        pending_down: &PendingDown,
    ) -> Decision {
        let above = &self.sites[parent];
        if self.sites.blocks(parent) {
            Decision::Suppress(Suppression::Unreachable)
        } else if above.is_paused() || matches!(above.suppression(), Some(Suppression::Offline(_)))
        {
            Decision::Confirm
        } else if above.is_suspect() {
            self.sites[at].set_parent_failed();
            Decision::Wait
        } else if above.succeeded_since(pending_down.failed) {
            if pending_down.parent_failed {
                Decision::RestartStreak
            } else {
                Decision::Confirm
            }
        } else if above.check_began() >= pending_down.failed
            && !mutated!("check a parent again and again")
            || self.start_check(parent)
        {
            // Checked once: if the result counts for nothing (a standstill, no clock yet), the
            // parent's next turn decides.
            Decision::Wait
        } else {
            Decision::Confirm
        }
    }

    fn decide_by_uplink(&mut self, at: usize, pending_down: &PendingDown) -> Decision {
        use FailureKind::{Dns, NoRoute, Redirected, Untrusted};
        let watched = &self.sites[at];
        if watched.bypasses_uplink() || mutated!("judge during the line cut") {
            return Decision::Confirm;
        }
        let v6 = watched.address().is_some_and(|a| a.is_ipv6());
        let since = watched.failing_since().unwrap_or(pending_down.failed);
        if self.uplink.has_fault(UplinkFault::NoConnection) {
            return Decision::Suppress(Suppression::Offline(UplinkFault::NoConnection));
        }
        if !self.uplink.has_targets() {
            return self.decide_by_names(at, pending_down, None);
        }
        let portal_like = watched.may_be_portal(pending_down.kind);
        let deep = portal_like || pending_down.kind == Dns;
        let Some(report) = self.uplink.result_since(pending_down.failed, deep) else {
            return Decision::Wait;
        };
        match pending_down.kind {
            _ if !report.up => Decision::Wait,
            Dns => self.decide_by_names(at, pending_down, report.names),
            _ if portal_like => match report.trusted {
                Some(true) => Decision::Confirm,
                Some(false) => Decision::Suppress(Suppression::Offline(UplinkFault::CaptivePortal)),
                None if self.uplink.has_fault(UplinkFault::CaptivePortal) => {
                    Decision::Suppress(Suppression::Offline(UplinkFault::CaptivePortal))
                }
                None if matches!(pending_down.kind, Untrusted | Redirected) => {
                    self.decide_by_witnesses(at, since)
                }
                None => Decision::Confirm,
            },
            NoRoute if report.ipv6 == Some(false) => {
                Decision::Suppress(Suppression::Offline(UplinkFault::NoIpv6))
            }
            _ if v6 && !pending_down.kind.spoke() && report.ipv6 == Some(false) => {
                Decision::Suppress(Suppression::Offline(UplinkFault::NoIpv6))
            }
            _ => Decision::Confirm,
        }
    }

    fn decide_by_names(
        &mut self,
        at: usize,
        pending_down: &PendingDown,
        names: Option<bool>,
    ) -> Decision {
        if pending_down.kind != FailureKind::Dns {
            return Decision::Confirm;
        }
        let resolved = self.uplink.resolved();
        if names != Some(false) && resolved >= Some(pending_down.failed) {
            // The resolver works now, but may have been silent for a moment, which is no site's
            // fault. A name that fails again when it is asked again is.
            self.sites[at].note_resolved(resolved);
            return match pending_down.counts {
                true => Decision::Confirm,
                false => Decision::Wait,
            };
        }
        // No name has resolved since, perhaps only because no check was due.
        let lately = resolved.is_some_and(|at| self.now.since(at) <= RESOLVER_SEEN_WITHIN);
        if names.is_none() && (self.check_names_of_others(at, pending_down.failed) || lately) {
            return Decision::Wait;
        }
        Decision::Suppress(Suppression::Offline(UplinkFault::Dns))
    }

    /// Checks a few other sites for their names. Returns whether one of these checks is under way.
    fn check_names_of_others(&mut self, at: usize, failed: Moment) -> bool {
        let fit = |w: &SiteState| {
            w.has_name() && !w.is_paused() && !w.is_suppressed() && !w.has_lan_address()
        };
        let host = self.sites[at].config().host().to_owned();
        let others = (0..self.sites.len()).filter(|&other| {
            let watched = &self.sites[other];
            fit(watched) && watched.config().host() != host
        });
        let others: Vec<usize> = others.take(WITNESSES).collect();
        let mut waits = false;
        for other in others {
            let watched = &mut self.sites[other];
            if watched.last().is_none_or(|(at, _)| *at < failed) {
                // A connection that is already open needs no name.
                watched.want_fresh_connection();
                waits |= self.start_check(other);
            }
        }
        waits
    }

    /// Decides whether other servers show foreign certificates too: a captive portal answers in
    /// place of every server.
    fn decide_by_witnesses(&mut self, at: usize, since: Moment) -> Decision {
        let host = self.sites[at].config().host().to_owned();
        let mut hosts = vec![host];
        let mut witnesses = Vec::new();
        for (other, watched) in self.sites.iter().enumerate() {
            let host = watched.config().host();
            let fit = watched.config().uses_tls()
                && !watched.is_paused()
                && !watched.is_down()
                && !watched.is_suppressed()
                && !watched.has_lan_address()
                && watched.address() != self.sites[at].address()
                && hosts.iter().all(|h| h != host);
            if fit && witnesses.len() < WITNESSES {
                hosts.push(host.to_owned());
                witnesses.push(other);
            }
        }
        if witnesses.len() < 2 {
            return Decision::Confirm;
        }
        let mut waits = false;
        for other in witnesses {
            match self.sites[other].last() {
                Some((at, outcome)) if *at >= since => {
                    if !outcome.failure_kind().is_some_and(FailureKind::foreign) {
                        return Decision::Confirm;
                    }
                }
                _ => waits |= self.start_check(other),
            }
        }
        if waits {
            Decision::Wait
        } else {
            Decision::Suppress(Suppression::Offline(UplinkFault::CaptivePortal))
        }
    }

    /// Starts a check out of turn, if none is under way. Returns false if it cannot be started now.
    fn start_check(&mut self, at: usize) -> bool {
        let (now, set) = (self.now.moment(), self.clock.is_set());
        let watched = &mut self.sites[at];
        watched.check_under_way() || self.schedule.start(now, set, watched, self.actions)
    }

    /// Suppresses sites that fail by a fault that the probe found and that leaves a connection,
    /// before their tries are used up. `began`: when the probe began.
    pub fn suppress_failing(&mut self, report: ProbeResult, began: Moment) -> Vec<JudgeEvent> {
        let mut events = Vec::new();
        for at in self.sites.recount().failing.clone() {
            let watched = &self.sites[at];
            let fault = match watched.last_failure().map(|f| f.kind) {
                Some(FailureKind::Dns) if report.names == Some(false) => UplinkFault::Dns,
                Some(kind) if watched.may_be_portal(kind) && report.trusted == Some(false) => {
                    UplinkFault::CaptivePortal
                }
                Some(FailureKind::NoRoute) if report.ipv6 == Some(false) => UplinkFault::NoIpv6,
                _ => continue,
            };
            if !watched.is_suppressed() {
                let since = watched.failing_since().unwrap_or(began);
                events.push(self.suppress(at, Suppression::Offline(fault), since, false));
            }
        }
        events
    }
}
