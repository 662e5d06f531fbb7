//! Judges after a run whether the two promises were kept: every real outage was reported exactly
//! once, and nothing was reported that wasn't true. Written from the specification; it knows the
//! plan and the record of what happened, and nothing of the code under test.

use crate::actions;
use crate::channels;
use crate::dice::{Span, any_at};
use crate::facts::{DOUBT, Facts, gather};
use crate::plan::*;
use crate::read::{Lasting, Line, Said, lines};
use crate::record::{Attempt, Record, Why, clock};
use crate::truth;

/// Longest wait of an alert of a site with many alerts for a write, and then for Telegram, in ms.
const WAITS: i64 = 7 * HOUR;

/// A line that a chat received.
#[derive(Clone, Debug)]
pub struct Heard {
    pub at: i64,
    pub chat: i64,
    pub line: Line,
    /// Index of the attempt that delivered it.
    pub attempt: usize,
    pub edited: bool,
    /// When the reported change happened, by the text of the line.
    pub raised: Span,
}

impl Heard {
    pub fn about(&self, site: &str, chat: i64) -> bool {
        self.line.site == site && self.chat == chat
    }
}

#[derive(Debug, Default)]
pub struct Judgement {
    pub faults: Vec<String>,
    /// Real outages that had to be reported, and were.
    pub told: usize,
    /// Alerts about a cut that was over before any probe could see it.
    pub undecidable: usize,
}

pub fn judge(plan: &Plan, record: &Record) -> Judgement {
    let mut verdict = Judgement {
        faults: record.wrongs.clone(),
        ..Judgement::default()
    };
    let facts = gather(plan, record);
    let heard = hear(&facts, &mut verdict);
    let refused = refusals(&facts);
    for (index, site) in plan.sites.iter().enumerate() {
        let clusters = clusters(&facts, index);
        for chat in told_of(plan, site) {
            for cluster in &clusters {
                must_be_told(&facts, index, chat, cluster, &heard, &refused, &mut verdict);
            }
            told_once(&facts, index, chat, &heard, &mut verdict);
        }
    }
    for one in &heard {
        truth::must_be_so(&facts, one, &heard, &refused, &mut verdict);
    }
    truth::about_the_agent(&facts, &heard, &refused, &mut verdict);
    truth::answers(&facts, &mut verdict);
    channels::judge(&facts, &mut verdict);
    actions::judge(&facts, &mut verdict);
    if record.alerts_left > 0 && !plan.writes_cost() {
        verdict
            .faults
            .push(format!("{} alerts were never sent", record.alerts_left));
    }
    verdict
}

fn told_of(plan: &Plan, site: &SitePlan) -> Vec<i64> {
    site.site
        .chats
        .clone()
        .unwrap_or_else(|| plan.chats.clone())
}

fn hear(facts: &Facts, verdict: &mut Judgement) -> Vec<Heard> {
    let mut heard = Vec::new();
    for arrival in facts.record.arrivals.iter().filter(|a| a.alert) {
        match lines(&arrival.text) {
            Ok(lines) => heard.extend(lines.into_iter().map(|line| Heard {
                at: arrival.at,
                chat: arrival.chat,
                raised: raised(facts, facts.record.attempts[arrival.attempt].at, line.ago),
                attempt: arrival.attempt,
                edited: arrival.edit.is_some(),
                line,
            })),
            Err(e) => verdict.faults.push(format!("{}: {e}", clock(arrival.at))),
        }
    }
    heard
}

/// Returns the lines that a chat refused, as if it had received them.
fn refusals(facts: &Facts) -> Vec<Heard> {
    let refused = facts
        .record
        .attempts
        .iter()
        .enumerate()
        .filter(|(_, a)| a.refused && a.alert);
    let parsed = refused.flat_map(|(attempt, Attempt { at, chat, text, .. })| {
        let heard = move |line: Line| {
            let raised = raised(facts, *at, line.ago);
            Heard {
                at: *at,
                chat: *chat,
                line,
                attempt,
                edited: false,
                raised,
            }
        };
        lines(text).unwrap_or_default().into_iter().map(heard)
    });
    parsed.collect()
}

/// Returns when the event of a message sent at `at` happened, `ago` before. Without `ago` it is at
/// most 90 s old.
pub fn raised(facts: &Facts, at: i64, ago: Option<Lasting>) -> Span {
    let ago = ago.unwrap_or(Lasting {
        least: 0,
        most: 91 * SECOND,
    });
    let span = Span::new(at - ago.most - 1500, at - ago.least + 1500);
    facts
        .dated(span, at)
        .wider(facts.slept(Span::new(span.from, at)), 0)
}

/// Real outages that are one to an observer, since no good check separated them.
pub struct Cluster {
    pub span: Span,
    pub parts: Vec<Span>,
}

fn clusters(facts: &Facts, site: usize) -> Vec<Cluster> {
    let plan = &facts.plan.sites[site];
    let mut out: Vec<Cluster> = Vec::new();
    for outage in &plan.outages {
        match out.last_mut() {
            Some(last) if !seen_up(facts, site, Span::new(last.span.to, outage.span.from)) => {
                last.span.to = outage.span.to;
                last.parts.push(outage.span);
            }
            _ => out.push(Cluster {
                span: outage.span,
                parts: vec![outage.span],
            }),
        }
    }
    out
}

/// Returns whether the site was certainly seen up in `gap`, and the outcome was not lost.
fn seen_up(facts: &Facts, site: usize, gap: Span) -> bool {
    let checks = &facts.record.checks[site];
    let begin = checks.partition_point(|c| c.to < gap.from);
    let mut run = 0;
    for check in checks[begin..].iter().take_while(|c| c.from < gap.to) {
        run = if check.why.failed() || any_at(&facts.shaded[site], check.to) {
            0
        } else {
            run + 1
        };
        if run >= facts.plan.sites[site].site.recover && !facts.forgotten(site, check) {
            return true;
        }
    }
    false
}

fn must_be_told(
    facts: &Facts,
    site: usize,
    chat: i64,
    cluster: &Cluster,
    heard: &[Heard],
    refused: &[Heard],
    verdict: &mut Judgement,
) {
    let plan = &facts.plan.sites[site];
    let within = plan.judged_within() + DOUBT + above(facts, site);
    let calm = |part: &Span| {
        facts
            .calm(site, *part)
            .into_iter()
            .find(|c| c.len() > within)
    };
    let Some(calm) = cluster.parts.iter().find_map(calm) else {
        return;
    };
    let mut when = cluster.span.wider(0, DOUBT);
    // The outage may continue one that was reported for a cut that no probe could see, if too few
    // good checks came between.
    let checks = &facts.record.checks[site];
    let before = checks.partition_point(|c| c.to < cluster.span.from);
    let mut good = 0;
    let run = checks[..before].iter().rev().take_while(|c| {
        good = if c.why.failed() { 0 } else { good + 1 };
        good < plan.site.recover
    });
    let run = run.filter(|c| c.why.failed());
    let taken = run.filter(|c| facts.is_undecidable(c)).map(|c| c.from);
    when.from = when.from.min(taken.min().unwrap_or(when.from));
    let fits = |h: &&Heard| {
        let away =
            matches!(&h.line.said, Said::Away(names) if names.iter().any(|n| n == plan.name()));
        if counted_in(facts, h, site, chat, cluster) {
            return true;
        }
        let about = h.about(plan.name(), chat) && h.line.said.down() || away && h.chat == chat;
        let raised = match h.line.said {
            Said::WasDown(lasted) => facts.begun(site, h.raised, lasted.most, h.at),
            _ => h.raised,
        };
        about && raised.meets(when)
    };
    let told: Vec<&Heard> = heard.iter().filter(fits).collect();
    if told.is_empty() {
        if !refused.iter().any(|h| fits(&h)) && !may_wait(facts, cluster.span) {
            verdict.faults.push(format!(
                "{}: {} was out until {}, all else was well from {} to {}, and chat {chat} never heard of it",
                clock(cluster.span.from), plan.name(), clock(cluster.span.to), clock(calm.from), clock(calm.to)
            ));
        }
        return;
    }
    verdict.told += 1;
    // A reported outage needs a reported recovery.
    let numbers: Vec<u32> = told.iter().filter_map(|h| h.line.incident).collect();
    let Some(number) = numbers.first() else {
        return;
    };
    let next = plan
        .outages
        .iter()
        .map(|o| o.span.from)
        .filter(|at| *at >= cluster.span.to)
        .min();
    let after = Span::new(cluster.span.to, next.unwrap_or(facts.plan.end));
    let whole = Span::new(
        cluster.span.from,
        after.from + plan.back_within() + DOUBT + above(facts, site),
    );
    let slow = plan.slow.iter().any(|s| s.meets(whole));
    let calm = facts.calm(site, Span::new(after.from, after.to.min(whole.to)));
    if slow
        || calm
            .first()
            .is_none_or(|c| *c != Span::new(after.from, whole.to))
    {
        return;
    }
    let up = |h: &Heard| {
        if counted_in(facts, h, site, chat, cluster) {
            return true;
        }
        h.about(plan.name(), chat)
            && h.line.incident.is_some_and(|n| numbers.contains(&n))
            && matches!(h.line.said, Said::Up(_) | Said::WasDown(_))
    };
    let flapped = facts.changes[site]
        .windows(5)
        .any(|w| w[4] - w[0] < 2 * HOUR && Span::new(w[0], w[4]).wider(0, HOUR).meets(whole));
    // /pause ends the incident without an alert.
    let paused = facts.paused(site).iter().any(|p| p.meets(whole));
    // A site that returns to the file counts as a new one, which was not down before.
    let another = |gone: &Span| gone.meets(whole) && told.iter().all(|h| h.at < gone.to);
    let another = plan.gone.iter().any(another);
    let waits = may_wait(facts, Span::new(cluster.span.to, cluster.span.to));
    if !heard.iter().chain(refused).any(up) && !flapped && !paused && !another && !waits {
        verdict.faults.push(format!(
            "{}: {} (#{number}) was up again, and chat {chat} never heard of it",
            clock(cluster.span.to),
            plan.name()
        ));
    }
}

/// Returns whether the line sums up several changes that waited for a write, this outage among
/// them.
fn counted_in(facts: &Facts, h: &Heard, site: usize, chat: i64, cluster: &Cluster) -> bool {
    let counts = matches!(
        h.line.said,
        Said::Changes(_) | Said::Flapping(_) | Said::Steady(_)
    );
    let since = Span::new(cluster.span.from, cluster.span.to + WAITS);
    facts.plan.writes_cost()
        && counts
        && h.about(facts.plan.sites[site].name(), chat)
        && h.raised.meets(since)
}

/// Returns whether an alert of `then` may wait for a write until the plan ends, or until a power
/// cut (or an end on a full disk). That cut loses what no chat was sent, and the state before it
/// goes on.
pub fn may_wait(facts: &Facts, then: Span) -> bool {
    let waits = then.wider(0, WAITS);
    let waits = waits.wider(0, facts.slept(waits));
    let mut lives = facts.record.lives.iter();
    let full = |end: i64| any_at(&facts.plan.disk_full, end);
    let cut = lives.any(|life| (!life.orderly || full(life.span.to)) && waits.has(life.span.to));
    facts.plan.writes_cost() && (cut || waits.has(facts.plan.end))
}

/// Returns the time that checks of its parents may take before the site is judged, in ms.
fn above(facts: &Facts, site: usize) -> i64 {
    let mut wait = 0;
    let mut parent = facts.plan.sites[site]
        .site
        .after
        .as_deref()
        .and_then(|p| facts.index(p));
    while let Some(index) = parent {
        let plan = &facts.plan.sites[index];
        wait += millis(plan.site.timeout) + DOUBT;
        parent = plan.site.after.as_deref().and_then(|p| facts.index(p));
    }
    wait
}

/// Checks that nothing was reported twice without a reason, and no outage as two.
fn told_once(facts: &Facts, site: usize, chat: i64, heard: &[Heard], verdict: &mut Judgement) {
    let plan = &facts.plan.sites[site];
    let about: Vec<&Heard> = heard
        .iter()
        .filter(|h| h.about(plan.name(), chat))
        .collect();
    let mut numbers: Vec<u32> = about.iter().filter_map(|h| h.line.incident).collect();
    numbers.sort_unstable();
    numbers.dedup();
    for &number in &numbers {
        let of = |wanted: fn(&Said) -> bool| -> Vec<&Heard> {
            about
                .iter()
                .copied()
                .filter(|h| h.line.incident == Some(number) && wanted(&h.line.said))
                .collect()
        };
        let downs = of(|s| matches!(s, Said::Down | Said::WasDown(_) | Said::Flapping(true)));
        let ups = of(|s| matches!(s, Said::Up(_) | Said::WasDown(_)));
        let still = of(|s| matches!(s, Said::StillDown));
        for (what, told) in [("down", downs), ("up", ups)] {
            for pair in told.windows(2) {
                // Messages from before a group became a supergroup are forgotten, so that the end of
                // an outage names its beginning again.
                let between = |at: i64| pair[0].at < at && at < pair[1].at;
                let forgotten = facts.plan.moved.as_ref().is_some_and(|m| between(m.at));
                let again = what == "down" && matches!(pair[1].line.said, Said::WasDown(_));
                if forgotten && again && chat == GROUP {
                    continue;
                }
                if !may_repeat(facts, pair[0].attempt, what == "up") {
                    verdict.faults.push(format!(
                        "{}: chat {chat} heard at {} already that {} (#{number}) was {what}",
                        clock(pair[1].at),
                        clock(pair[0].at),
                        plan.name()
                    ));
                }
            }
        }
        let repeats = still
            .iter()
            .filter(|h| may_repeat(facts, h.attempt, false))
            .count();
        if let (Some(first), Some(last)) = (still.first(), still.last()) {
            let every = plan.site.remind.map_or(i64::MAX, millis);
            let silences = facts
                .record
                .fed
                .iter()
                .filter(|f| facts.plan.written[f.which].text.contains("mute"))
                .count();
            let most = 2
                + (last.at - first.raised.from) / every
                + (repeats + silences + facts.record.lives.len()) as i64;
            if still.len() as i64 > most {
                verdict.faults.push(format!(
                    "{}: {} reminders of {} (#{number})",
                    clock(last.at),
                    still.len(),
                    plan.name()
                ));
            }
        }
    }
    let first = |number| {
        about
            .iter()
            .find(|h| h.line.incident == Some(number) && h.line.said.down())
    };
    for pair in numbers.windows(2) {
        if let (Some(one), Some(two)) = (first(pair[0]), first(pair[1])) {
            let between = Span::new(
                one.raised.from.min(two.raised.from),
                two.raised.to.max(one.raised.to),
            );
            if !told_apart(facts, site, between) {
                verdict.faults.push(format!(
                    "{}: one outage of {} was told as #{} and #{} in chat {chat}",
                    clock(two.at),
                    plan.name(),
                    pair[0],
                    pair[1]
                ));
            }
        }
    }
}

/// Returns whether there was a reason to end one incident and begin another.
fn told_apart(facts: &Facts, site: usize, between: Span) -> bool {
    let name = facts.plan.sites[site].name();
    let checks = &facts.record.checks[site];
    let begin = checks.partition_point(|c| c.to < between.from);
    let mut checks = checks[begin..].iter().take_while(|c| c.to <= between.to);
    let ordered = |f: &crate::record::Fed| {
        between.has(f.at) && facts.plan.written[f.which].text.ends_with(name)
    };
    checks.any(|c| matches!(c.why, Why::Fine | Why::Slow))
        || facts.plan.sites[site].gone.iter().any(|s| s.meets(between))
        || facts.record.fed.iter().any(ordered)
        || facts.plan.disk_full.iter().any(|s| s.meets(between))
}

/// Returns whether an attempt may be repeated: it arrived, but the agent couldn't know, or was cut
/// off before the confirmation was on disk. The confirmation of good news is written with the next
/// change that must be.
pub fn may_repeat(facts: &Facts, attempt: usize, good: bool) -> bool {
    may_repeat_after(facts, facts.record.attempts[attempt].confirmed, good)
}

/// The same for a message whose arrival the agent knew at `confirmed`.
pub fn may_repeat_after(facts: &Facts, confirmed: Option<i64>, good: bool) -> bool {
    let Some(confirmed) = confirmed else {
        return true;
    };
    let life = facts
        .record
        .lives
        .iter()
        .find(|l| l.span.wider(0, 1).has(confirmed));
    let Some(life) = life else { return true };
    if life.orderly && !facts.record.failed_writes.iter().any(|at| *at >= confirmed) {
        return false;
    }
    let end = life.span.to;
    let written = facts
        .record
        .writes
        .iter()
        .any(|(at, _)| *at > confirmed + 2100 && *at <= end);
    let failed = facts
        .record
        .failed_writes
        .iter()
        .any(|at| Span::new(confirmed, end + 1).has(*at));
    !written && end < facts.plan.end && (good || end - confirmed < 10 * SECOND || failed)
}
