//! What the model knows for certain of a run: when a site was watched and its alerts could reach a
//! chat, when it may have been considered flapping, when it was muted.

use crate::actions::maintained;
use crate::dice::{Span, any_at, any_in, joined, without};
use crate::plan::*;
use crate::record::{CheckRun, ProbeRun, Record, Why};

/// Time after which an outcome is surely on disk.
const WRITTEN: i64 = 10 * SECOND;
/// An event that is this late shows that the process stood still.
const LATE: i64 = 2 * SECOND;
/// Longest duration of a write. An outcome that is on disk sooner was in a write begun earlier.
pub const LONGEST_WRITE: i64 = 2 * SECOND;
/// Duration of an uplink probe, with the wait for it.
pub const DOUBT: i64 = 25 * SECOND;
/// Time until the return of the uplink is seen: it is probed every 10 s while it is down.
const RETURN: i64 = 25 * SECOND;
const STEADY: i64 = 16 * MINUTE;

pub struct Facts<'a> {
    pub plan: &'a Plan,
    pub record: &'a Record,
    /// By site: when it can't be expected to be judged and reported.
    pub troubled: Vec<Vec<Span>>,
    /// By site: when its parent may have been down, so that it was not judged.
    pub shaded: Vec<Vec<Span>>,
    /// By site: when its parent was certainly down, and known to be.
    pub behind: Vec<Vec<Span>>,
    /// By site: when its state may have changed.
    pub changes: Vec<Vec<i64>>,
    /// By site: when it was certainly muted.
    pub muted: Vec<Vec<Span>>,
    /// By site: when it may have been muted or under maintenance.
    pub silent: Vec<Vec<Span>>,
    /// By site: when it may have been considered flapping.
    restless: Vec<Vec<Span>>,
}

pub fn gather<'a>(plan: &'a Plan, record: &'a Record) -> Facts<'a> {
    let count = plan.sites.len();
    let mut facts = Facts {
        plan,
        record,
        troubled: vec![Vec::new(); count],
        shaded: vec![Vec::new(); count],
        behind: vec![Vec::new(); count],
        changes: vec![Vec::new(); count],
        muted: vec![Vec::new(); count],
        silent: vec![Vec::new(); count],
        restless: vec![Vec::new(); count],
    };
    for site in 0..count {
        facts.shaded[site] = facts.shade(site);
        let checks = &record.checks[site];
        let blamed = |c: &CheckRun| facts.is_undecidable(c);
        let mut changes = changes(&plan.sites[site], checks, blamed);
        // A site that is down or slow when its parent comes back changes its state only then, and so
        // does one that has recovered meanwhile.
        let recovered: Vec<i64> = (facts.shaded[site].iter())
            .filter(|shade| changes.iter().any(|change| shade.has(*change)))
            .map(|shade| shade.to)
            .collect();
        let hidden = facts.shaded[site].iter().filter_map(|shade| {
            let end = checks.partition_point(|c| c.to < shade.to);
            checks[..end]
                .iter()
                .rev()
                .take_while(|c| c.to > shade.from)
                .find(|c| matches!(c.why, Why::Site | Why::Slow))
        });
        changes.extend(hidden.map(|c| c.to));
        changes.extend(recovered);
        changes.sort_unstable();
        facts.changes[site] = changes;
        let mut spans = facts.unwatched(site);
        let (silent, sure) = facts.mutes(site);
        facts.muted[site] = sure;
        spans.extend(&silent);
        facts.silent[site] = silent;
        let flapping = facts.flapping(site, &spans);
        spans.extend(&flapping);
        facts.restless[site] = flapping;
        facts.troubled[site] = joined(spans, 0);
    }
    for site in 0..count {
        facts.behind[site] = facts.surely_behind(site);
    }
    facts
}

impl Facts<'_> {
    pub fn index(&self, name: &str) -> Option<usize> {
        self.plan.sites.iter().position(|s| s.name() == name)
    }

    /// Returns the parts of `span` in which nothing but the site could be at fault.
    pub fn calm(&self, site: usize, span: Span) -> Vec<Span> {
        let near = self.troubled[site].iter().filter(|t| t.meets(span));
        without(span, near.copied().collect())
    }

    /// Returns whether the clocks of this run can't be trusted.
    pub fn clocks_wrong(&self) -> bool {
        !self.plan.jumps.is_empty() || self.plan.ends.iter().any(|e| e.unset.is_some())
    }

    /// Returns whether the agent couldn't know that the failure was its own: its cause (a cut, or
    /// no resolver) was over at the next probe, no earlier probe had seen it, and that probe was in
    /// time, within seconds of the failure.
    pub fn is_undecidable(&self, check: &CheckRun) -> bool {
        let (trouble, names) = match check.why {
            Why::Line(cut) => (cut, false),
            Why::Names(lost) => (lost, true),
            Why::Frozen => return self.unseen_standstill(check),
            _ => return false,
        };
        if !self.plan.uplink {
            return true;
        }
        let begin = self.record.probes.partition_point(|p| p.to < trouble.from);
        let looks = self.record.probes[begin..].iter();
        let mut looks = looks
            .take_while(|p| p.from < check.to + 7 * SECOND)
            .filter(|p| !names || p.names.is_some() || p.answered.is_none());
        let gone = |p: &ProbeRun| names && p.names == Some(false);
        // A cut seen by a probe explains a failed name only until a probe finds the uplink well
        // again.
        let ended = self.record.probes.iter().take_while(|p| p.to <= check.from);
        let last = ended.last().map_or(i64::MIN, |p| p.to);
        let bad = |p: &ProbeRun| gone(p) || p.answered.is_none() && (!names || p.to >= last);
        let seen = looks.clone().any(|p| bad(p) && p.from < trouble.to);
        let well = |p: &ProbeRun| if names { p.resolved } else { p.answered };
        !seen && looks.any(|p| well(p).is_some_and(|at| at >= trouble.to) && !bad(p))
    }

    /// Returns whether the process stood still during the check and couldn't detect it: the clocks
    /// went on, and no check of a site was due long enough before the end to be late.
    fn unseen_standstill(&self, check: &CheckRun) -> bool {
        let due_in = |from: i64, to: i64| {
            let sites = self.plan.sites.iter().zip(&self.record.checks);
            let mut dues = sites.filter_map(|(site, checks)| {
                let last = checks[..checks.partition_point(|c| c.from < from)].last()?;
                Some(last.from + millis(site.site_at(last.from)?.interval))
            });
            dues.any(|due| due >= from && due < to)
        };
        let span = Span::new(check.from, check.to);
        let mut stood = self.plan.frozen.iter().filter(|f| f.span.meets(span));
        stood.all(|f| !f.suspended && !due_in(f.span.from, f.span.to - LATE))
    }

    /// Widens the span in which something happened, by a message sent at `at`: what an earlier life
    /// remembered is dated by the wall clock, which may have been wrong.
    pub fn dated(&self, span: Span, at: i64) -> Span {
        let jumps: i64 = self
            .plan
            .jumps
            .iter()
            .map(|(_, by)| by.abs() * SECOND)
            .sum();
        let lives = self.record.lives.iter().map(|l| l.span.from);
        let born = lives.filter(|from| *from <= at).max().unwrap_or(0);
        if self.clocks_wrong() && born > 0 && span.from - jumps <= born {
            return Span::new(0, at);
        }
        span
    }

    /// Returns when an outage may have begun that, by a message sent at `at`, ended in `ended`
    /// after `most` at the most. The length of an outage excludes the time for which the machine
    /// was suspended or the uplink known to be down, and the time off if the uplink was down
    /// before.
    pub fn begun(&self, site: usize, ended: Span, most: i64, at: i64) -> Span {
        let watched = &self.plan.sites[site];
        let reached = self.plan.uplink && (watched.named || !watched.lan);
        let mut span = ended.wider(most, 0);
        loop {
            let cuts = self.plan.cuts.iter().map(|c| self.with_off(*c));
            // The uplink is known to be down until a probe finds it well again.
            let cuts = cuts.filter(|c| reached && c.wider(0, RETURN).meets(span));
            let blind: i64 = cuts.map(|c| c.len() + RETURN).sum();
            let from = ended.from - most - self.slept(span) - blind;
            if from >= span.from {
                return self.dated(span, at);
            }
            span.from = from;
        }
    }

    /// Extends a cut for an agent that ends during it, and finds only at its next start that it is
    /// over.
    fn with_off(&self, cut: Span) -> Span {
        let known = cut.wider(0, RETURN);
        let mut off = self.record.off().into_iter();
        let off = off.find(|off| known.has(off.from));
        Span::new(cut.from, off.map_or(cut.to, |off| off.to.max(cut.to)))
    }

    /// Returns whether the outcome of this check may be lost: power was cut before it was surely on
    /// disk, or the agent ended with a full disk.
    pub fn forgotten(&self, site: usize, check: &CheckRun) -> bool {
        let kept = Span::new(check.to, check.to + WRITTEN);
        let full = |end: i64| any_at(&self.plan.disk_full, end);
        // Changes of a flapping site are not reported, and so get no write of their own for an
        // hour: they are written with the next other change, unless power is cut before.
        let untold = any_at(&self.restless[site], check.to);
        let hour = Span::new(check.to, check.to + HOUR + MINUTE);
        let hour = hour.wider(0, self.slept(hour));
        let written = |end: i64| {
            let mut writes = self.record.writes.iter();
            writes.any(|(at, _)| *at > check.to + LONGEST_WRITE && *at <= end)
        };
        let lost = |end: i64, orderly: bool| {
            let soon = kept.has(end) || untold && hour.has(end) && !written(end);
            soon && (!orderly || full(end))
        };
        let mut lives = self.record.lives.iter();
        lives.any(|l| lost(l.span.to, l.orderly))
    }

    /// Returns whether the site was certainly judged then: its parent was up, and the uplink was
    /// up for at least [`RETURN`].
    pub fn counted(&self, site: usize, at: i64) -> bool {
        let mut cuts = self.plan.cuts.iter().map(|c| c.wider(0, RETURN));
        let lan = self.plan.sites[site].lan || !self.plan.uplink;
        !any_at(&self.shaded[site], at) && (lan || !cuts.any(|c| c.has(at)))
    }

    /// Returns for how long the uplink was known to be down, at the least, in the cuts within
    /// `span`. When all sites beyond it are down already, it is probed later.
    pub fn known_cut(&self, span: Span) -> i64 {
        let cuts = self
            .plan
            .cuts
            .iter()
            .filter(|c| self.plan.uplink && c.from >= span.from && c.to <= span.to);
        let known = |c: &Span| {
            let lives = self.record.lives.iter().map(|l| l.span);
            let lives = lives.map(|l| Span::new(c.from.max(l.from), c.to.min(l.to)));
            let known = lives.filter_map(|on| {
                let look = self.record.probes.iter();
                let look = look
                    .filter(|p| p.answered.is_none() && p.from >= on.from)
                    .map(|p| p.to)
                    .min()?;
                Some(Span::new(look, on.to).len())
            });
            known.max().unwrap_or(0)
        };
        cuts.map(known).sum()
    }

    /// Returns the time in `span` for which the monotonic clock stood still.
    pub fn slept(&self, span: Span) -> i64 {
        let asleep = self
            .plan
            .frozen
            .iter()
            .filter(|f| f.suspended && f.span.meets(span));
        asleep.map(|f| f.span.len()).sum()
    }

    /// Widens the span to the past by `before` of the monotonic clock, which may stand still more
    /// than once meanwhile.
    pub fn awake_before(&self, span: Span, before: i64) -> Span {
        let mut wide = span.wider(before, 0);
        loop {
            let from = span.from - before - self.slept(wide);
            if from >= wide.from {
                return wide;
            }
            wide.from = from;
        }
    }

    fn unwatched(&self, site: usize) -> Vec<Span> {
        let (plan, record) = (self.plan, self.record);
        let watched = &plan.sites[site];
        let timeout = millis(watched.site.timeout);
        let mut spans: Vec<Span> = record.off();
        spans.extend(self.dark(site));
        spans.extend(
            plan.frozen
                .iter()
                .map(|f| f.span.wider(timeout, timeout + SECOND)),
        );
        // A certificate is not judged without a trusted clock, even after a redirect.
        let tls = watched.outages.iter().filter(|o| o.fault == Fault::Tls);
        spans.extend(tls.flat_map(|o| {
            let unset = self.unset().into_iter().filter(|u| u.meets(o.span));
            unset.map(|u| Span::new(u.from.max(o.span.from), u.to.min(o.span.to)))
        }));
        let edges = watched.gone.iter().map(|s| (s.from, s.to));
        let edges = edges.chain(
            watched
                .other_interval
                .iter()
                .flat_map(|(s, _)| [(s.from, s.from), (s.to, s.to)]),
        );
        for (from, to) in edges {
            spans.push(Span::new(
                from,
                self.reread(to).unwrap_or(plan.end) + SECOND,
            ));
        }
        spans.extend(self.paused(site));
        spans.extend(self.forgettable());
        spans.extend(&self.shaded[site]);
        spans
    }

    /// Returns when the configuration was first read after `at`.
    fn reread(&self, at: i64) -> Option<i64> {
        let reloads = self.record.reloads.iter();
        let reads = reloads.chain(self.record.lives.iter().map(|l| &l.span.from));
        reads.copied().filter(|read| *read >= at).min()
    }

    /// Returns when its checks don't count, for want of an uplink, a resolver or a clock.
    fn dark(&self, site: usize) -> Vec<Span> {
        let (plan, watched) = (self.plan, &self.plan.sites[site]);
        let lacks = plan.lacking.iter().chain(&plan.unaddressed);
        let mut spans: Vec<Span> = lacks.map(|s| s.wider(0, RETURN)).collect();
        if watched.named || !watched.lan {
            spans.extend(plan.cuts.iter().map(|s| s.wider(0, RETURN)));
        }
        if watched.named {
            spans.extend(plan.names_lost.iter().map(|s| s.wider(0, MINUTE + RETURN)));
        }
        if watched.site.url.starts_with("https:") {
            spans.extend(self.unset());
        }
        spans
    }

    /// Returns when the clock was not trusted.
    fn unset(&self) -> Vec<Span> {
        let lives = self.record.lives.iter();
        let begun = lives.map(|l| Span::new(l.span.from, l.unset_until.min(l.span.to)));
        begun.chain(self.record.doubted.iter().copied()).collect()
    }

    /// Returns when a parent is considered down. It stays down as long as it can't be checked, also
    /// while the agent is off or stands still, and after a restart if its recovery was not on disk.
    fn shade(&self, site: usize) -> Vec<Span> {
        let mut spans = Vec::new();
        let mut parent = self.plan.sites[site]
            .site
            .after
            .as_deref()
            .and_then(|p| self.index(p));
        let mut after = SECOND;
        while let Some(index) = parent {
            let above = &self.plan.sites[index];
            after += above.back_within() + DOUBT;
            let mut dark = self.dark(index);
            dark.extend(self.record.off());
            dark.extend(self.plan.frozen.iter().map(|f| f.span));
            dark.extend(self.forgettable());
            let dark = joined(dark, 0);
            spans.extend(above.outages.iter().map(|o| {
                let mut span = o.span.wider(0, after);
                for unseen in &dark {
                    if unseen.meets(span) {
                        span.to = span.to.max(unseen.to + after);
                    }
                }
                span
            }));
            parent = above.site.after.as_deref().and_then(|p| self.index(p));
        }
        joined(spans, 0)
    }

    /// Returns when the parent had certainly been judged down: it was down for long enough, and
    /// nothing kept its checks from counting.
    fn surely_behind(&self, site: usize) -> Vec<Span> {
        let after = self.plan.sites[site].site.after.as_deref();
        let Some(parent) = after.and_then(|p| self.index(p)) else {
            return Vec::new();
        };
        let above = &self.plan.sites[parent];
        let judged = above.judged_within() + DOUBT + MINUTE;
        let known = above.outages.iter().filter_map(|o| {
            let calm = self.calm(parent, o.span).into_iter().next()?;
            let from = o.span.from + judged;
            (calm.from == o.span.from && calm.to > from).then(|| Span::new(from, calm.to))
        });
        known.collect()
    }

    /// Returns when outcomes may be lost: a full disk, and then a power cut.
    fn forgettable(&self) -> Vec<Span> {
        let ends: Vec<i64> = self.record.lives.iter().map(|l| l.span.to).collect();
        let full = self
            .plan
            .disk_full
            .iter()
            .map(|s| s.wider(WRITTEN, 2 * MINUTE));
        let lost = full.filter_map(|s| {
            let last = ends
                .iter()
                .copied()
                .filter(|e| *e < self.plan.end && s.wider(0, 5 * HOUR).has(*e))
                .max();
            last.map(|end| Span::new(s.from, end.max(s.to)))
        });
        lost.chain(
            ends.iter()
                .filter(|e| **e < self.plan.end)
                .map(|e| Span::new(e - WRITTEN, *e)),
        )
        .collect()
    }

    /// Returns the spans from a /pause to the first /resume that certainly counted.
    pub fn paused(&self, site: usize) -> Vec<Span> {
        let name = self.plan.sites[site].name();
        let mut spans = Vec::new();
        let mut since = None;
        for fed in &self.record.fed {
            let text = &self.plan.written[fed.which].text;
            if *text == format!("/pause {name}") {
                since.get_or_insert(fed.at);
            } else if *text == format!("/resume {name}") && self.sure(fed.which, fed.at) {
                spans.extend(since.take().map(|from| Span::new(from, fed.at + SECOND)));
            }
        }
        spans.extend(since.map(|from| Span::new(from, self.plan.end)));
        spans
    }

    /// Returns whether the command was certainly carried out and not lost.
    pub fn sure(&self, which: usize, at: i64) -> bool {
        let fed = self.record.fed.iter().filter(|f| f.which == which);
        let all: Vec<_> = fed.collect();
        let cut = |l: &&crate::record::Life| {
            !l.orderly && l.span.to < self.plan.end && Span::new(at, at + WRITTEN).has(l.span.to)
        };
        let taken = |f: &&crate::record::Fed| f.fresh || f.clock_off == 0 && f.age < 240;
        all.iter().all(taken)
            && !self.record.lives.iter().any(|l| cut(&l))
            && !any_in(&self.plan.disk_full, Span::new(at, at + MINUTE))
            && self.plan.written[which].chat != STRANGER
    }

    /// Returns when the site may have been muted, and when it certainly was.
    fn mutes(&self, site: usize) -> (Vec<Span>, Vec<Span>) {
        let name = self.plan.sites[site].name();
        let (mut maybe, mut surely) = (Vec::new(), Vec::new());
        for fed in &self.record.fed {
            let text = &self.plan.written[fed.which].text;
            let mut words = text.split(' ').skip(1);
            let (first, second) = (words.next(), words.next());
            let minutes = match (text.starts_with("/mute "), first, second) {
                (true, Some(n), Some(time)) if n == name => time,
                (true, Some(time), None) => time,
                _ => continue,
            };
            let Ok(minutes) = minutes.trim_end_matches('m').parse::<i64>() else {
                continue;
            };
            let to = fed.at + minutes * MINUTE;
            let slack = self.slept(Span::new(fed.at, to)) + MINUTE;
            let last = if self.clocks_wrong() {
                self.plan.end
            } else {
                to + slack
            };
            maybe.push(Span::new(fed.at, last));
            // A chat mutes only the sites that are routed to it.
            let chat = self.plan.written[fed.which].chat;
            let chats = &self.plan.sites[site].site.chats;
            let gone = &self.plan.sites[site].gone;
            let there = |g: &Span| self.reread(g.to).is_some_and(|at| at < fed.at);
            let there = gone.iter().all(|g| fed.at < g.from || there(g));
            let meant = there && chats.as_ref().is_none_or(|chats| chats.contains(&chat));
            if meant && self.sure(fed.which, fed.at) {
                let kept =
                    |end: i64| !self.clocks_wrong() && fed.durable.is_some_and(|at| at < end);
                let ends = self
                    .record
                    .lives
                    .iter()
                    .map(|l| l.span.to)
                    .filter(|end| !kept(*end));
                let unmutes = self
                    .record
                    .fed
                    .iter()
                    .filter(|f| self.plan.written[f.which].text.starts_with("/unmute"));
                // A later /mute of the same replaces this one, even if it is for a shorter time.
                let words = |text: &str| text.rsplit_once(' ').map(|(what, _)| what.to_owned());
                // A chat that doesn't receive all sites mutes each of its sites separately.
                let gets =
                    |chats: &Option<Vec<i64>>| chats.as_ref().is_none_or(|c| c.contains(&chat));
                let all = self.plan.sites.iter().all(|site| gets(&site.site.chats));
                let same = |what: Option<String>| {
                    what == words(text) || !all && what == Some(format!("/mute {name}"))
                };
                let again = self.record.fed.iter().filter(|f| {
                    f.which > fed.which && same(words(&self.plan.written[f.which].text))
                });
                let ends = ends.chain(unmutes.chain(again).map(|f| f.at));
                // A site that returns to the file counts as a new one.
                let ends = ends.chain(gone.iter().map(|g| g.from));
                let ends = ends.filter(|e| *e >= fed.at);
                // The end of a mute is stored in whole seconds of the wall clock, whose own
                // fraction of a second is not known either: each restart may take 1.5 s off.
                let lives = self.record.lives.iter();
                let restarts = lives.filter(|l| l.span.from > fed.at && l.span.from < to);
                let to = to - restarts.count() as i64 * 3 * SECOND / 2;
                surely.push(Span::new(fed.at + SECOND, ends.min().unwrap_or(to).min(to)));
            }
        }
        if let Some(span) = maintained(&self.plan.sites[site]) {
            maybe.push(span.wider(SECOND, MINUTE));
        }
        (maybe, surely)
    }

    /// Returns when the site may have been considered flapping, from the fifth change within an
    /// hour on.
    fn flapping(&self, site: usize, unwatched: &[Span]) -> Vec<Span> {
        let changes = &self.changes[site];
        let slack = 2 * MINUTE + self.plan.sites[site].interval();
        let spans = changes.windows(5).filter(|w| {
            let hour = Span::new(w[0], w[4]);
            hour.len() - self.slept(hour) <= HOUR + slack
        });
        let begun: Vec<Span> = spans
            .map(|w| Span::new(w[4] - slack, w[4] + STEADY + slack))
            .collect();
        // Each further change prolongs it, and so does a time without checks.
        let mut out = Vec::new();
        for mut span in begun {
            loop {
                let more = changes
                    .iter()
                    .map(|c| (*c, *c))
                    .chain(unwatched.iter().map(|s| (s.from, s.to)));
                let last = more
                    .filter(|(from, to)| *from < span.to && *to + STEADY + slack > span.to)
                    .map(|(_, to)| to)
                    .max();
                let Some(last) = last else { break };
                span.to = last + STEADY + slack;
            }
            out.push(span);
        }
        joined(out, 0)
    }
}

/// Returns when the site's state may have changed by its checks: after as many equal outcomes in a
/// row as the configuration requires. Failures on the agent's side are skipped. A site that was out
/// of the file meanwhile may or may not have kept its state.
fn changes(plan: &SitePlan, checks: &[CheckRun], blamed: impl Fn(&CheckRun) -> bool) -> Vec<i64> {
    let mut out = changes_from(plan, checks, &blamed);
    for gone in &plan.gone {
        let begin = checks.partition_point(|c| c.from < gone.from);
        let anew = changes_from(plan, &checks[begin..], &blamed);
        let more: Vec<i64> = anew.into_iter().filter(|at| !out.contains(at)).collect();
        out.extend(more);
    }
    out
}

fn changes_from(
    plan: &SitePlan,
    checks: &[CheckRun],
    blamed: impl Fn(&CheckRun) -> bool,
) -> Vec<i64> {
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        Fine,
        Slow,
        Out,
    }
    let mut out = Vec::new();
    let mut state = Kind::Fine;
    let (mut run, mut length) = (Kind::Fine, 0);
    // Any answer ends an outage first; only then can the site become slow.
    for check in checks {
        let kind = match check.why {
            Why::Fine => Kind::Fine,
            Why::Slow => Kind::Slow,
            Why::Site => Kind::Out,
            _ if blamed(check) => Kind::Out,
            Why::Line(_) | Why::Names(_) | Why::Machine | Why::Frozen => continue,
        };
        length = if kind == run { length + 1 } else { 1 };
        run = kind;
        if state == Kind::Out && kind != Kind::Out {
            state = Kind::Fine;
            out.push(check.to);
        }
        if kind != state && (kind == Kind::Fine || length >= plan.site.tries) {
            state = kind;
            out.push(check.to);
        }
    }
    out
}
