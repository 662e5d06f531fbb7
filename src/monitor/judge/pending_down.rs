//! Before a site goes down: is it the site, or what lies before it? What it depends on is looked
//! at first, then our own line (SPEC 4, `after` and uplink).

use crate::monitor::Monitor;
use crate::monitor::judge::Seen;
use crate::monitor::site::outcome::FailureKind;
use crate::monitor::site::state::{PendingDown, SiteState, Suppression};
use crate::monitor::time::{Moment, Now};
use crate::monitor::uplink::{Fault, ProbeResult};
use std::time::Duration;

/// A name that resolved within this shows that there is a resolver (SPEC 10).
const RESOLVED: Duration = Duration::from_secs(30);
/// Other sites that are looked at when servers show certificates of somebody else.
const WITNESSES: usize = 3;

/// What is known of a doubt.
enum Ruling {
    Wait,
    /// The site is at fault.
    Down,
    /// It is not.
    Spared(Suppression),
    /// What it depends on failed for a moment, or the line did: its tries begin anew.
    Again,
}

impl Monitor {
    /// Decides the doubts that can be decided by now.
    pub(crate) fn settle_doubts(&mut self, now: Now) {
        if self.pending_downs == 0 {
            return;
        }
        for at in 0..self.sites.len() {
            if let Some(pending_down) = self.sites[at].pending_down.clone() {
                match self.rule(now, at, &pending_down) {
                    Ruling::Wait => {}
                    Ruling::Down => self.condemn(now, at, pending_down),
                    Ruling::Spared(suppression) => {
                        self.spare(now, at, suppression, pending_down.failed, true)
                    }
                    Ruling::Again => self.forgive(now, at),
                }
            }
        }
        self.pending_downs = self
            .sites
            .iter()
            .filter(|w| w.pending_down.is_some())
            .count();
    }

    fn condemn(&mut self, now: Now, at: usize, pending_down: PendingDown) {
        let watched = &mut self.sites[at];
        let change = watched.judged(Seen::Failed, Some(&pending_down.cause), now);
        if let Some(last) = watched.history.back_mut() {
            last.state = watched.judge.state();
        }
        let name = watched.site.name.clone();
        self.schedule.next_turn(&name, now.moment());
        if let Some(change) = change {
            self.changed(now, at, change, pending_down.cause, Duration::ZERO);
        }
    }

    fn spare(&mut self, now: Now, at: usize, suppression: Suppression, failed: Moment, sure: bool) {
        let watched = &mut self.sites[at];
        let since = watched.failing_since.unwrap_or(failed);
        watched.cover(suppression, now.moment());
        let name = watched.site.name.clone();
        self.schedule.next_turn(&name, now.moment());
        self.saving.later(now.moment());
        match suppression {
            Suppression::Offline(Fault::Line) | Suppression::Unreachable => {}
            Suppression::Offline(fault) => {
                let actions = &mut self.actions;
                let began = self.uplink.fault_begins(now, fault, since, sure, actions);
                self.on_uplink(now, began);
            }
        }
    }

    fn forgive(&mut self, now: Now, at: usize) {
        let watched = &mut self.sites[at];
        watched.restart_streak();
        let (name, retry) = (watched.name().to_owned(), watched.site.retry);
        if !watched.running {
            self.schedule.at(&name, now.moment() + retry);
        }
    }

    fn rule(&mut self, now: Now, at: usize, pending_down: &PendingDown) -> Ruling {
        let ruling = match self.sites.parent_of(at) {
            Some(parent) => self.rule_by_parent(now, at, parent, pending_down),
            None => Ruling::Down,
        };
        match ruling {
            Ruling::Down => match self.rule_by_line(now, at, pending_down) {
                Ruling::Down if self.uplink.found_since(&self.sites[at], pending_down) => {
                    Ruling::Again
                }
                other => other,
            },
            other => other,
        }
    }

    /// The parent is judged before its children are.
    fn rule_by_parent(
        &mut self,
        now: Now,
        at: usize,
        parent: usize,
        pending_down: &PendingDown,
    ) -> Ruling {
        let above = &self.sites[parent];
        if self.sites.blocks(parent) {
            Ruling::Spared(Suppression::Unreachable)
        } else if above.paused() || matches!(above.suppression, Some(Suppression::Offline(_))) {
            Ruling::Down
        } else if above.suspect() {
            if let Some(pending_down) = &mut self.sites[at].pending_down {
                pending_down.shaded = true;
            }
            Ruling::Wait
        } else if above.seen_good(pending_down.failed) {
            if pending_down.shaded {
                Ruling::Again
            } else {
                Ruling::Down
            }
        } else if above.began >= pending_down.failed && !mutated!("check a parent again and again")
            || self.look_at(now, parent)
        {
            // Looked at once: what it found may count for nothing (we stood still, no clock yet),
            // and then it is looked at again when it is due.
            Ruling::Wait
        } else {
            Ruling::Down
        }
    }

    fn rule_by_line(&mut self, now: Now, at: usize, pending_down: &PendingDown) -> Ruling {
        use FailureKind::{Dns, NoRoute, Redirected, Untrusted};
        let watched = &self.sites[at];
        if watched.local() || mutated!("judge during the line cut") {
            return Ruling::Down;
        }
        let v6 = watched.address.is_some_and(|a| a.is_ipv6());
        let since = watched.failing_since.unwrap_or(pending_down.failed);
        if self.uplink.has(Fault::Line) {
            return Ruling::Spared(Suppression::Offline(Fault::Line));
        }
        if !self.uplink.has_targets() {
            return self.rule_by_names(now, at, pending_down, None);
        }
        let portal_like = watched.portal_like(pending_down.kind);
        let deep = portal_like || pending_down.kind == Dns;
        let Some(report) = self.uplink.result_since(pending_down.failed, deep) else {
            return Ruling::Wait;
        };
        match pending_down.kind {
            _ if !report.up => Ruling::Wait,
            Dns => self.rule_by_names(now, at, pending_down, report.names),
            _ if portal_like => match report.trusted {
                Some(true) => Ruling::Down,
                Some(false) => Ruling::Spared(Suppression::Offline(Fault::Portal)),
                None if self.uplink.has(Fault::Portal) => {
                    Ruling::Spared(Suppression::Offline(Fault::Portal))
                }
                None if matches!(pending_down.kind, Untrusted | Redirected) => {
                    self.rule_by_witnesses(now, at, since)
                }
                None => Ruling::Down,
            },
            NoRoute if report.ipv6 == Some(false) => {
                Ruling::Spared(Suppression::Offline(Fault::Ipv6))
            }
            _ if v6 && !pending_down.kind.spoke() && report.ipv6 == Some(false) => {
                Ruling::Spared(Suppression::Offline(Fault::Ipv6))
            }
            _ => Ruling::Down,
        }
    }

    fn rule_by_names(
        &mut self,
        now: Now,
        at: usize,
        pending_down: &PendingDown,
        names: Option<bool>,
    ) -> Ruling {
        if pending_down.kind != FailureKind::Dns {
            return Ruling::Down;
        }
        let lately = self.uplink.resolved_within(RESOLVED, now.moment());
        if names.unwrap_or(lately) {
            return Ruling::Down;
        }
        // Nobody was asked of late: perhaps only because nobody was due.
        if names.is_none() && self.look_for_names(now, at, pending_down.failed) {
            return Ruling::Wait;
        }
        Ruling::Spared(Suppression::Offline(Fault::Names))
    }

    /// Looks at a few others, for their names; whether one of them is still being looked at.
    fn look_for_names(&mut self, now: Now, at: usize, failed: Moment) -> bool {
        let fit = |w: &SiteState| w.named && !w.paused() && w.suppression.is_none() && !w.lan();
        let host = self.sites[at].site.host().to_owned();
        let others = (0..self.sites.len()).filter(|&other| {
            let watched = &self.sites[other];
            fit(watched) && watched.site.host() != host
        });
        let others: Vec<usize> = others.take(WITNESSES).collect();
        let mut waits = false;
        for other in others {
            let watched = &mut self.sites[other];
            if watched.last.as_ref().is_none_or(|(at, _)| *at < failed) {
                // A connection that is open needs no name.
                watched.anew = true;
                waits |= self.look_at(now, other);
            }
        }
        waits
    }

    /// A captive portal answers in place of every server: do others show foreign certificates too?
    fn rule_by_witnesses(&mut self, now: Now, at: usize, since: Moment) -> Ruling {
        let host = self.sites[at].site.host().to_owned();
        let mut hosts = vec![host];
        let mut witnesses = Vec::new();
        for (other, watched) in self.sites.iter().enumerate() {
            let host = watched.site.host();
            let fit = watched.site.is_https()
                && !watched.paused()
                && !watched.down()
                && watched.suppression.is_none()
                && !watched.lan()
                && watched.address != self.sites[at].address
                && hosts.iter().all(|h| h != host);
            if fit && witnesses.len() < WITNESSES {
                hosts.push(host.to_owned());
                witnesses.push(other);
            }
        }
        if witnesses.len() < 2 {
            return Ruling::Down;
        }
        let mut waits = false;
        for other in witnesses {
            match &self.sites[other].last {
                Some((at, outcome)) if *at >= since => {
                    if outcome
                        .verdict
                        .as_ref()
                        .err()
                        .is_none_or(|f| !f.kind.foreign())
                    {
                        return Ruling::Down;
                    }
                }
                _ => waits |= self.look_at(now, other),
            }
        }
        if waits {
            Ruling::Wait
        } else {
            Ruling::Spared(Suppression::Offline(Fault::Portal))
        }
    }

    /// Starts a check out of turn; false when it cannot be checked now.
    pub(crate) fn look_at(&mut self, now: Now, at: usize) -> bool {
        if self.sites[at].running {
            return true;
        }
        let name = self.sites[at].site.name.clone();
        self.start_check(now, &name)
    }

    /// A look found the line half dead: what failed by that before its end is spared, before enough
    /// failures are together. `began` is when the look did.
    pub(crate) fn absolve(&mut self, now: Now, report: ProbeResult, began: Moment) {
        for at in 0..self.sites.len() {
            let watched = &self.sites[at];
            let failure = watched
                .last
                .as_ref()
                .and_then(|(_, o)| o.verdict.as_ref().err());
            let trouble = match failure.map(|f| f.kind) {
                Some(FailureKind::Dns) if report.names == Some(false) => Fault::Names,
                Some(kind) if watched.portal_like(kind) && report.trusted == Some(false) => {
                    Fault::Portal
                }
                Some(FailureKind::NoRoute) if report.ipv6 == Some(false) => Fault::Ipv6,
                _ => continue,
            };
            if watched.suspect() && watched.suppression.is_none() {
                let since = watched.failing_since.unwrap_or(began);
                self.spare(now, at, Suppression::Offline(trouble), since, false);
            }
        }
    }
}
