//! The results of checks and uplink probes, from the faults in the plan while they last.
//!
//! A connection is tried at once and again after 1, 3 and 7 seconds, as SYNs and DNS queries are.
//! The first try that meets a working uplink (and resolver, for a name, and a site that answers at
//! all) decides. An exchange that a cut interrupts continues a second after the cut; if that is
//! after its timeout, the check fails because of the uplink. So a short cut during a check does no
//! harm.

use crate::dice::{Dice, Span};
use crate::plan::{Fault, Plan, SECOND, SitePlan, millis};
use crate::record::{ProbeRun, Why};
use sitemon::monitor::site::outcome::{Failure, FailureKind, LocalFault, Outcome};
use sitemon::monitor::uplink::ProbeResult;
use std::time::Duration;

const TRIES: [i64; 4] = [0, SECOND, 3 * SECOND, 7 * SECOND];

/// Returns when and how a check that starts at `from` ends, and why.
pub fn check(plan: &Plan, site: &SitePlan, from: i64, dice: &mut Dice) -> (i64, Outcome, Why) {
    let lack = match (
        holding(&plan.unaddressed, from),
        holding(&plan.lacking, from),
    ) {
        (Some(_), _) => Some(LocalFault::Address),
        (None, Some(_)) if dice.chance(70) => Some(LocalFault::Descriptors),
        _ => None,
    };
    if let Some(lack) = lack {
        let verdict = Err(Failure::local(lack));
        let outcome = Outcome {
            verdict,
            ..failed(site, FailureKind::Connect, "", false)
        };
        return (from + 5, outcome, Why::Machine);
    }
    let deadline = from + millis(site.site.timeout);
    let mut resolved = !site.named;
    let mut why = Why::Site;
    for at in TRIES
        .map(|after| from + after)
        .into_iter()
        .filter(|at| *at < deadline)
    {
        let cut = holding(&plan.cuts, at);
        if !resolved {
            if let Some(cut) = cut {
                why = Why::Line(cut);
                continue;
            }
            if let Some(lost) = holding(&plan.names_lost, at) {
                why = Why::Names(lost);
                continue;
            }
            resolved = true;
        }
        if let Some(cut) = cut.filter(|_| !site.lan) {
            why = Why::Line(cut);
            if dice.chance(30) {
                let (kind, text) = (FailureKind::NoRoute, "no route to 203.0.113.1");
                return (at + 5, failed(site, kind, text, true), why);
            }
            continue;
        }
        match site.fault(at) {
            Some(Fault::Hangs) => why = Why::Site,
            fault => return answered(plan, site, (at, deadline), fault, dice),
        }
    }
    if resolved {
        let text = format!("no answer within {:?}", site.site.timeout);
        return (
            deadline,
            failed(site, FailureKind::Timeout, &text, true),
            why,
        );
    }
    let at = if dice.chance(50) {
        deadline
    } else {
        deadline.min(from + 5 * SECOND)
    };
    // The fault at the time of the last query is the cause.
    let last = TRIES
        .map(|after| from + after)
        .into_iter()
        .rfind(|t| *t < at);
    if let Some(last) = last {
        let lost = || holding(&plan.names_lost, last).map(Why::Names);
        why = holding(&plan.cuts, last)
            .map(Why::Line)
            .or_else(lost)
            .unwrap_or(why);
    }
    (
        at,
        failed(site, FailureKind::Dns, "no resolver answered", false),
        why,
    )
}

/// Continues a check that reached the site at `at`.
fn answered(
    plan: &Plan,
    site: &SitePlan,
    (at, deadline): (i64, i64),
    fault: Option<Fault>,
    dice: &mut Dice,
) -> (i64, Outcome, Why) {
    let slow = site.slow.iter().any(|s| s.has(at));
    let pace = if slow && fault.is_none() {
        1600 + site.pace / 2
    } else {
        site.pace
    };
    let pace = pace + dice.between(0, site.pace / 4 + 1);
    let interrupted = plan
        .cuts
        .iter()
        .find(|c| !site.lan && c.meets(Span::new(at, at + pace)));
    let end = interrupted.map_or(at + pace, |cut| (at + pace).max(cut.to + SECOND));
    if end > deadline {
        let why = interrupted.map_or(Why::Site, |cut| Why::Line(*cut));
        return (
            deadline,
            failed(site, FailureKind::Timeout, "no answer in time", true),
            why,
        );
    }
    let Some(fault) = fault else {
        let took = Duration::from_millis((end - at) as u64);
        let slow = site.site.slow.is_some_and(|limit| took > limit);
        let outcome = Outcome {
            verdict: Ok(()),
            took: Some(took),
            phases: None,
            address: Some(site.address),
            detail: None,
            warning: None,
        };
        return (end, outcome, if slow { Why::Slow } else { Why::Fine });
    };
    let (kind, text) = match fault {
        Fault::Refused => (FailureKind::Connect, "connection refused"),
        Fault::Status => (FailureKind::Status, "HTTP 503, wanted 200-299"),
        Fault::Tls => (FailureKind::Tls, "the certificate has expired"),
        Fault::NoName => (FailureKind::NoName, "no such name"),
        Fault::Hangs => (FailureKind::Timeout, "no answer"),
    };
    (
        end,
        failed(site, kind, text, fault != Fault::NoName),
        Why::Site,
    )
}

fn failed(site: &SitePlan, kind: FailureKind, text: &str, resolved: bool) -> Outcome {
    Outcome {
        verdict: Err(Failure::new(kind, text)),
        took: None,
        phases: None,
        address: (resolved || !site.named).then_some(site.address),
        detail: None,
        warning: None,
    }
}

/// Returns the result of an uplink probe: SYNs now, after 1 s and after 3 s; timeout after 5 s. A
/// deep probe sends DNS queries at the same times.
pub fn probe(plan: &Plan, from: i64, deep: bool, dice: &mut Dice) -> (ProbeRun, ProbeResult) {
    let tries = TRIES[..3].iter().map(|after| from + after);
    let answered = tries.clone().find(|at| holding(&plan.cuts, *at).is_none());
    let lost = |at: i64| holding(&plan.cuts, at).or(holding(&plan.names_lost, at));
    let resolved = tries.clone().find(|at| deep && lost(*at).is_none());
    let most = if dice.chance(plan.sluggish) {
        1900
    } else {
        200
    };
    let to = match answered {
        // The resolver is missing, or silent.
        Some(at) if deep && resolved.is_none() => dice.pick(&[at + 20, from + 5 * SECOND]),
        Some(at) => resolved.unwrap_or(at) + dice.scale(20, most),
        // The other case of a cut: without a route the last try fails at once.
        None if dice.chance(30) => from + 3020,
        None => from + 5 * SECOND,
    };
    let names = (deep && answered.is_some()).then_some(resolved.is_some());
    let report = ProbeResult {
        up: answered.is_some(),
        ipv6: None,
        names,
        trusted: (names == Some(true)).then_some(true),
    };
    let probe = ProbeRun {
        from,
        to,
        answered,
        resolved,
        names,
    };
    (probe, report)
}

fn holding(spans: &[Span], at: i64) -> Option<Span> {
    let next = spans.partition_point(|s| s.to <= at);
    spans.get(next).filter(|s| s.has(at)).copied()
}
