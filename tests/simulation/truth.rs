//! Checks that nothing was reported that wasn't true.

use crate::dice::{Span, any_at, any_in};
use crate::facts::{DOUBT, Facts};
use crate::model::{Heard, Judgement, may_repeat, may_wait};
use crate::plan::*;
use crate::read::{Now, Said};
use crate::record::{CheckRun, Why, clock};

/// Longest time from a failed check until its alert, in ms: the uplink and the parents are checked
/// first.
const DECIDED: i64 = 2 * MINUTE;

pub fn must_be_so(
    facts: &Facts,
    one: &Heard,
    heard: &[Heard],
    refused: &[Heard],
    verdict: &mut Judgement,
) {
    if one.line.site.is_empty() {
        return;
    }
    let lie = |text: &str| {
        format!(
            "{}: chat {} heard that {} {text}",
            clock(one.at),
            one.chat,
            one.line.site
        )
    };
    let Some(site) = facts.index(&one.line.site) else {
        verdict.faults.push(lie("exists"));
        return;
    };
    let fault = match one.line.said {
        Said::Down => down_is_so(facts, site, one.raised, verdict),
        Said::Flapping(true) => {
            // At the end of a mute the state is reported as of the last check, which may be as old
            // as the interval.
            let muted = any_in(&facts.silent[site], one.raised);
            let age = facts.plan.sites[site].interval();
            let known = one.raised.wider(if muted { age } else { 0 }, 0);
            down_is_so(facts, site, known, verdict)
                .or(last_agrees(facts, site, one.raised, |c| c.why.failed()))
        }
        Said::WasDown(lasted) => {
            let raised = facts.begun(site, one.raised, lasted.most, one.at);
            down_is_so(facts, site, raised, verdict)
                .or(up_is_so(facts, site, one.raised))
                .or(length_is_so(facts, site, one, lasted.least))
        }
        Said::StillDown | Said::Steady(true) => still_is_so(facts, site, one.raised, verdict)
            .or(last_agrees(facts, site, one.raised, |c| c.why.failed())),
        Said::Changes(Now::Down) => still_is_so(facts, site, one.raised, verdict),
        Said::Up(lasted) => {
            let before = |h: &Heard| {
                h.about(&one.line.site, one.chat)
                    && h.line.incident == one.line.incident
                    && h.line.said.down()
                    && h.at <= one.at
            };
            let away = |h: &Heard| {
                matches!(&h.line.said, Said::Away(names) if names.contains(&one.line.site))
                    && h.at <= one.at
            };
            if !heard.iter().chain(refused).any(|h| before(h) || away(h)) {
                Some("is up again, but never that it was down".to_owned())
            } else {
                up_is_so(facts, site, one.raised).or(length_is_so(facts, site, one, lasted.least))
            }
        }
        // At the end of a mute the last check is reported, which may be as old as the interval.
        Said::Slow | Said::Changes(Now::Slow) => {
            let known = DECIDED + millis(facts.plan.sites[site].site.interval);
            let slow = |c: &CheckRun| c.why == Why::Slow;
            let was = found(facts, site, one.raised.wider(known, 0), slow);
            let no = (!was).then(|| "is slow, and it was not".into());
            match one.line.said {
                Said::Slow => no.or(last_agrees(facts, site, one.raised, |c| c.why != Why::Fine)),
                _ => no,
            }
        }
        Said::Fast | Said::Changes(Now::Up) => up_is_so(facts, site, one.raised),
        Said::Steady(false) => up_is_so(facts, site, one.raised.wider(15 * MINUTE, 0)),
        Said::Flapping(false) => None,
        _ => None,
    };
    verdict.faults.extend(fault.map(|text| lie(&text)));
    if matches!(one.line.said, Said::Flapping(_)) {
        let hour = facts.awake_before(one.raised, HOUR + 5 * MINUTE);
        let hour = hour.wider(0, MINUTE);
        let changes = facts.changes[site].iter().filter(|c| hour.has(**c)).count();
        // The recovery of a site behind its parent is seen, and so counts as a change, when the
        // parent is back; the states before and after it were reported, too.
        let told = heard.iter().filter(|h| {
            h.about(&one.line.site, one.chat) && (hour.has(h.at) || hour.meets(h.raised))
        });
        let told = told.map(|h| match h.line.said {
            Said::Down | Said::Up(_) | Said::Slow | Said::Fast => 1,
            Said::WasDown(_) => 2,
            _ => 0,
        });
        let seen = 1 + told.sum::<usize>();
        // Changes that waited for a write at a power cut are found again at the next start: two for
        // each cut, up and slow.
        let lives = facts.record.lives.windows(2);
        let cuts = lives
            .filter(|pair| !pair[0].orderly && hour.has(pair[1].span.from))
            .count();
        if changes.max(seen) + 2 * cuts < 5 {
            verdict.faults.push(lie(&format!(
                "is flapping, with {changes} changes in an hour"
            )));
        }
    }
    if matches!(one.line.said, Said::Down) {
        if facts.muted[site]
            .iter()
            .any(|m| m.from <= one.raised.from && one.raised.to <= m.to)
        {
            verdict.faults.push(lie("is down, though muted"));
        }
        if let Some(parent) = silenced_by(facts, site, one.raised) {
            verdict
                .faults
                .push(lie(&format!("is down, though {parent} before it was")));
        }
    }
}

/// Checks that the site was down: enough failures in a row, at least one of them for a fault of the
/// site, and none of them while its parent was certainly down.
fn down_is_so(facts: &Facts, site: usize, raised: Span, verdict: &mut Judgement) -> Option<String> {
    let tries = facts.plan.sites[site].site.tries as usize;
    let checks = &facts.record.checks[site];
    // Checks during a lack of resources don't count, and may have prevented a decision.
    let lacked = facts.plan.lacking.iter().chain(&facts.plan.unaddressed);
    let before = raised.wider(DECIDED, 0);
    let lacked = lacked.filter(|s| s.meets(before)).map(|s| s.from - DECIDED);
    let from = lacked
        .min()
        .map_or(before.from, |from| from.min(before.from));
    let counted: Vec<CheckRun> = checks
        .iter()
        .filter(|c| c.why != Why::Machine)
        .copied()
        .collect();
    let checks = &counted;
    let begin = checks.partition_point(|c| c.to < from);
    let end = checks.partition_point(|c| c.to <= raised.to);
    let begin = begin.saturating_sub(tries - 1);
    let mut undecidable = false;
    let mut reasons: Vec<Why> = Vec::new();
    for run in checks[begin..end]
        .windows(tries)
        .filter(|run| run.iter().all(|c| c.why.failed()))
        .filter(|run| !run.iter().any(|c| any_at(&facts.behind[site], c.to)))
    {
        if run.iter().any(|c| c.why == Why::Site) {
            return None;
        }
        undecidable |= run.iter().all(|c| facts.is_undecidable(c)) && !one_loss(run);
        reasons.extend(run.iter().map(|c| c.why));
    }
    // A failed name is checked again, so that two DNS outages that no probe could see are needed.
    let begin = begin.saturating_sub(usize::from(tries == 1));
    undecidable |= checks[begin..end]
        .windows(tries.max(2))
        .any(|run| run.iter().all(|c| facts.is_undecidable(c)) && !one_loss(run));
    if undecidable {
        verdict.undecidable += 1;
        return None;
    }
    reasons.dedup();
    Some(format!(
        "was down, which was not so; its failures: {reasons:?}"
    ))
}

/// Returns whether all of them failed in the same DNS outage: a resolver that was briefly silent.
fn one_loss(run: &[CheckRun]) -> bool {
    let lost = |c: &CheckRun| matches!(c.why, Why::Names(_));
    run.iter().all(|c| lost(c) && c.why == run[0].why)
}

fn found(facts: &Facts, site: usize, span: Span, what: impl Fn(&CheckRun) -> bool) -> bool {
    let checks = &facts.record.checks[site];
    let begin = checks.partition_point(|c| c.to < span.from);
    checks[begin..]
        .iter()
        .take_while(|c| c.to <= span.to)
        .any(what)
}

fn still_is_so(
    facts: &Facts,
    site: usize,
    raised: Span,
    verdict: &mut Judgement,
) -> Option<String> {
    let plan = &facts.plan.sites[site];
    let checked = plan.interval() + plan.judged_within();
    // The site keeps its state through times in which it could not be checked.
    let asleep = facts.plan.frozen.iter().map(|frozen| frozen.span);
    let mut dark: Vec<Span> = facts.troubled[site].iter().copied().chain(asleep).collect();
    dark.sort_by_key(|span| std::cmp::Reverse(span.to));
    let before = |from: i64, dark: &Span| match dark.meets(Span::new(from, raised.to)) {
        true => from.min(dark.from - checked),
        false => from,
    };
    let from = dark.iter().fold(raised.from - checked, before);
    let within = Span::new(from, raised.to);
    if found(facts, site, within, |c| c.why == Why::Site) {
        return None;
    }
    // A late report, of a site that is down for a failure that could not be decided.
    if found(facts, site, within, |c| facts.is_undecidable(c)) {
        verdict.undecidable += 1;
        return None;
    }
    // The recovery waited for a write when power was cut.
    let lives = facts.record.lives.iter();
    let cut = |end: i64| !any_at(&facts.plan.disk_full, end) && end <= raised.to;
    let mut cuts = lives.filter(|l| !l.orderly && cut(l.span.to));
    if cuts.any(|l| {
        may_wait(facts, Span::new(l.span.to, l.span.to)) && raised.from - l.span.to < 7 * HOUR
    }) {
        return None;
    }
    Some("is still down, and it was not".into())
}

/// Checks that the last check before the message agrees with it. It may be any of those in
/// `raised`.
fn last_agrees(
    facts: &Facts,
    site: usize,
    raised: Span,
    agrees: impl Fn(&CheckRun) -> bool,
) -> Option<String> {
    let checks = &facts.record.checks[site];
    let begin = checks.partition_point(|c| c.to <= raised.from);
    let checks = &checks[begin.saturating_sub(1)..];
    let mut last = checks.iter().take_while(|c| c.to <= raised.to);
    (!last.any(agrees)).then(|| "is not well, just after it was".into())
}

fn up_is_so(facts: &Facts, site: usize, raised: Span) -> Option<String> {
    // Each restart that the message waited through rounds to whole seconds.
    let so = found(facts, site, raised.wider(DECIDED, 2 * SECOND), |c| {
        !c.why.failed()
    });
    (!so).then(|| "is up, and it was not".into())
}

/// Checks that the reported length of an outage is no longer than the real one, without the time in
/// which the site could not be checked. The message may mean any of the outages that ended in
/// `raised`.
fn length_is_so(facts: &Facts, site: usize, one: &Heard, least: i64) -> Option<String> {
    let checks = &facts.record.checks[site];
    if facts.clocks_wrong() || facts.plan.sites[site].site.recover > 1 {
        return None;
    }
    // A restart loses changes that were not written, for a full disk or the write budget: then the
    // earlier outage goes on.
    let claimed = one.raised.wider(least, 0);
    if may_wait(facts, claimed) {
        return None;
    }
    let full = facts.plan.disk_full.iter().any(|s| s.meets(claimed));
    if full && facts.record.lives.iter().any(|l| claimed.has(l.span.from)) {
        return None;
    }
    let good = (0..checks.len())
        .filter(|&end| one.raised.has(checks[end].to) && !checks[end].why.failed());
    let mut longest = None;
    for end in good {
        longest = longest.max(Some(longest_until(facts, site, end)?));
    }
    let longest = longest? + MINUTE;
    (least > longest).then(|| {
        format!(
            "was down for {} s, and it was for {} s at most",
            least / 1000,
            longest / 1000
        )
    })
}

/// Returns the longest time that an outage which ended with the check `end` can have lasted, in ms;
/// `None` if that is unknown.
fn longest_until(facts: &Facts, site: usize, end: usize) -> Option<i64> {
    let checks = &facts.record.checks[site];
    let last_out = checks[..end].iter().rposition(|c| c.why == Why::Site)?;
    // Its first failure. A recovery that a power cut lost doesn't end it.
    let ended =
        |c: &CheckRun| !c.why.failed() && facts.counted(site, c.to) && !facts.forgotten(site, c);
    let first = checks[..last_out]
        .iter()
        .rposition(ended)
        .map_or(0, |i| i + 1);
    let span = Span::new(checks[first].from, checks[end].to);
    if any_in(&facts.shaded[site], span) {
        return None;
    }
    let lan = facts.plan.sites[site].lan;
    let blind = if lan { 0 } else { facts.known_cut(span) };
    let frozen = facts.plan.frozen.iter();
    let asleep = frozen.filter(|f| f.suspended && f.span.from >= span.from && f.span.to <= span.to);
    let restarted = facts.record.lives.iter().any(|l| span.has(l.span.from));
    let asleep: i64 = if restarted {
        0
    } else {
        asleep.map(|f| f.span.len()).sum()
    };
    Some(span.len() - blind.max(asleep))
}

/// Returns its parent if that had been down for long, and nothing kept its checks from counting.
fn silenced_by(facts: &Facts, site: usize, raised: Span) -> Option<String> {
    let parent = facts.index(facts.plan.sites[site].site.after.as_deref()?)?;
    let plan = &facts.plan.sites[parent];
    let down = plan.outages.iter().find(|o| {
        o.span.from + plan.judged_within() + DOUBT + MINUTE < raised.from && raised.to < o.span.to
    })?;
    let all = Span::new(down.span.from, raised.to);
    (facts.calm(parent, all) == [all]).then(|| plan.name().to_owned())
}

/// Checks the notices about the uplink, DNS, and the agent's own absence.
pub fn about_the_agent(facts: &Facts, heard: &[Heard], refused: &[Heard], verdict: &mut Judgement) {
    let (plan, record) = (facts.plan, facts.record);
    for &chat in &plan.chats {
        let of = |wanted: fn(&Said) -> bool| -> Vec<&Heard> {
            heard
                .iter()
                .filter(|h| h.chat == chat && wanted(&h.line.said))
                .collect()
        };
        let excused = |told: &[&Heard]| {
            told.iter()
                .filter(|h| may_repeat(facts, h.attempt, true))
                .count()
        };
        let never = |from: i64| refused.iter().any(|h| h.chat == chat && h.at >= from);
        let offline = of(|s| *s == Said::Offline);
        for one in offline.iter().filter(|h| !h.edited) {
            let seen = record
                .probes
                .iter()
                .any(|p| p.answered.is_none() && p.to <= one.raised.to);
            if !seen {
                verdict.faults.push(format!(
                    "{}: chat {chat} heard of a cut that nobody saw",
                    clock(one.at)
                ));
            }
        }
        let news = offline.iter().filter(|h| !h.edited).count();
        if news > plan.cuts.len() + excused(&offline) {
            verdict.faults.push(format!(
                "{news} offline periods told, {} were",
                plan.cuts.len()
            ));
        }
        for cut in plan.cuts.iter().filter(|c| c.len() > 2 * MINUTE) {
            let looks = record
                .probes
                .iter()
                .filter(|p| p.answered.is_none() && p.from >= cut.from && p.to <= cut.to);
            let on = record
                .lives
                .iter()
                .any(|l| l.span.from <= cut.from && l.span.to > cut.to + 2 * MINUTE);
            let told = offline
                .iter()
                .any(|h| record.attempts[h.attempt].at >= cut.to);
            // Notices about the agent are not sent either while everything is muted.
            let hushed = record.fed.iter().any(|f| {
                let text = &plan.written[f.which].text;
                text.starts_with("/mute ")
                    && text.split(' ').count() == 2
                    && f.at < cut.to + MINUTE
                    && (f.at + 3 * HOUR + facts.slept(Span::new(f.at, cut.to)) > cut.to
                        || facts.clocks_wrong())
            });
            let waits = may_wait(facts, *cut);
            if looks.count() >= 2 && on && !told && !hushed && !waits && !never(cut.to) {
                verdict.faults.push(format!(
                    "{}: a cut until {}, and chat {chat} never heard of it",
                    clock(cut.from),
                    clock(cut.to)
                ));
            }
        }
        for one in of(|s| *s == Said::Names(true)) {
            if !any_in(&plan.names_lost, one.raised.wider(2 * MINUTE, 0)) {
                verdict.faults.push(format!(
                    "{}: chat {chat} heard that DNS was gone, and it was not",
                    clock(one.at)
                ));
            }
        }
        routes(facts, heard, chat, verdict);
        let lacks = of(|s| *s == Said::Lacking);
        // Each lack is reported once; a restart forgets that it was.
        let lacked = plan.lacking.iter().chain(&plan.unaddressed);
        let lives = |s: &Span| record.lives.iter().filter(|l| l.span.meets(*s)).count();
        let most: usize = lacked.map(lives).sum();
        if lacks.len() > most + excused(&lacks) {
            verdict.faults.push(format!(
                "chat {chat} heard {} times that this machine lacks something, which it did {most} times",
                lacks.len()
            ));
        }
        let away = of(|s| matches!(s, Said::Away(_)));
        for one in &away {
            let Said::Away(names) = &one.line.said else {
                continue;
            };
            for site in names.iter().filter_map(|name| facts.index(name)) {
                let so = still_is_so(facts, site, one.raised, verdict).or(last_agrees(
                    facts,
                    site,
                    one.raised,
                    |c| c.why.failed(),
                ));
                verdict.faults.extend(so.map(|text| {
                    let name = plan.sites[site].name();
                    format!("{}: chat {chat} heard that {name} {text}", clock(one.at))
                }));
            }
        }
        let unclean: Vec<_> = record
            .lives
            .iter()
            .filter(|l| l.found == Some(false))
            .collect();
        if away.len() > unclean.len() + excused(&away) {
            verdict.faults.push(format!(
                "chat {chat} heard {} times that we were away, after {} cuts",
                away.len(),
                unclean.len()
            ));
        }
        for life in unclean {
            let set = life.unset_until.max(life.span.from);
            let dead = plan.disk_full.iter().any(|s| s.meets(life.span));
            let long = life.span.to - set.min(life.span.to) > 5 * MINUTE && !dead;
            let frozen = plan.frozen.iter().any(|f| {
                f.span
                    .meets(Span::new(life.span.from, set.min(plan.end) + 5 * MINUTE))
            });
            let told = away.iter().any(|h| h.at >= life.span.from);
            if long && !frozen && !told && !never(life.span.from) {
                verdict.faults.push(format!(
                    "{}: back after a power cut, and chat {chat} never heard of it",
                    clock(life.span.from)
                ));
            }
        }
    }
}

/// Returns when the agent may have to look for another route: after each change while one route is
/// blocked, and while all of them are. At other times messages must get through as if no route were
/// blocked.
fn rerouted(facts: &Facts) -> Vec<Span> {
    /// Two polls by each of two routes that hang, and the pauses between them, in ms.
    const FOUND: i64 = 10 * MINUTE;
    let (plan, record) = (facts.plan, facts.record);
    let ends = |spans: &[Span]| spans.iter().map(|s| s.to).collect::<Vec<i64>>();
    let mut changes: Vec<i64> = Vec::new();
    for spans in [
        &plan.cuts,
        &plan.names_lost,
        &plan.telegram_out,
        &plan.ambiguous,
        &plan.revoked,
        &plan.conflicts,
    ] {
        changes.extend(ends(spans));
    }
    changes.extend(plan.frozen.iter().map(|f| f.span.to));
    changes.extend(plan.blocked.iter().flat_map(|(s, ..)| [s.from, s.to]));
    changes.extend(
        record
            .lives
            .iter()
            .map(|l| l.span.from.max(l.unset_until.min(plan.end))),
    );
    changes.extend(ends(&record.doubted));
    changes.extend(&record.reloads);
    let blocked = |span: Span| plan.blocked.iter().any(|(s, ..)| s.meets(span));
    let unsettled = changes.into_iter().map(|at| Span::new(at, at + FOUND));
    let mut spans: Vec<Span> = unsettled.filter(|span| blocked(*span)).collect();
    // The times at which all routes are blocked are bounded by the edges of their spans.
    let mut edges: Vec<i64> = plan
        .blocked
        .iter()
        .flat_map(|(s, ..)| [s.from, s.to])
        .collect();
    edges.sort_unstable();
    let pairs = edges.windows(2).filter(|w| plan.all_blocked(w[0]));
    spans.extend(pairs.map(|w| Span::new(w[0], w[1] + FOUND)));
    // A route whose answers are lost keeps working in part, so that the agent may stay on it.
    spans.extend(plan.ambiguous.iter().filter(|s| blocked(**s)));
    spans
}

/// Checks that a change of the route is reported, and once.
fn routes(facts: &Facts, heard: &[Heard], chat: i64, verdict: &mut Judgement) {
    let (plan, record) = (facts.plan, facts.record);
    let of = |one: &&Heard| match &one.line.said {
        Said::Notice(text) => one.chat == chat && text.starts_with("Telegram is reached "),
        _ => false,
    };
    let told: Vec<&Heard> = heard.iter().filter(of).collect();
    let repeated = told.iter().filter(|h| may_repeat(facts, h.attempt, true));
    let most = record.routes.len() + repeated.count();
    if told.len() > most {
        verdict.faults.push(format!(
            "chat {chat} heard {} times of another route, and there were {most}",
            told.len()
        ));
    }
    let silent = plan.written.iter().any(|w| w.text.starts_with("/mute"))
        || !plan.refused.is_empty()
        || plan.moved.is_some()
        || !plan.disk_full.is_empty();
    if let [(at, route)] = record.routes[..]
        && record.lives.len() == 1
        && told.is_empty()
        && !silent
        && at + 2 * HOUR < plan.end
    {
        let at = clock(at);
        verdict.faults.push(format!(
            "{at}: route {route} is used, and chat {chat} never heard of it"
        ));
    }
}

/// Checks that commands are answered when they can be.
pub fn answers(facts: &Facts, verdict: &mut Judgement) {
    let (plan, record) = (facts.plan, facts.record);
    for fed in &record.fed {
        let written = &plan.written[fed.which];
        let soon = Span::new(fed.at, fed.at + 30 * SECOND);
        let near = soon.wider(2 * MINUTE, 30 * SECOND);
        let throttled = plan.throttled.iter().any(|(s, _)| s.meets(near))
            || plan.refused.iter().any(|(s, _)| s.meets(near))
            || any_in(&plan.revoked, near.wider(REVOKED_WAIT, 0));
        let frozen = plan.frozen.iter().any(|f| f.span.meets(near));
        let lines = [
            &plan.cuts,
            &plan.names_lost,
            &plan.telegram_out,
            &plan.ambiguous,
        ];
        let routed = !any_in(&rerouted(facts), near);
        let reachable = !lines.iter().any(|s| any_in(s, near)) && !throttled && !frozen && routed;
        let alive = record.lives.iter().any(|l| {
            l.span.from < fed.at
                && l.span.to > soon.to
                && l.unset_until <= near.from.max(l.span.from)
                && !any_in(&record.doubted, near)
        });
        let question = written.text.starts_with('/')
            && !written.text.starts_with("/frob")
            && plan.chats.contains(&written.chat);
        let answered = record
            .arrivals
            .iter()
            .any(|a| !a.alert && a.chat == written.chat && soon.has(a.at));
        if question && reachable && alive && !answered {
            verdict.faults.push(format!(
                "{}: {} was not answered",
                clock(fed.at),
                written.text
            ));
        }
    }
}
