//! What the model knows for certain of a run: when a site was watched and nothing stood between
//! it and a chat, when it may have been taken to flap, when it was muted.

use crate::actions::maintained;
use crate::dice::{Span, any_at, any_in, joined, without};
use crate::plan::*;
use crate::record::{CheckRun, ProbeRun, Record, Why};

/// Time after which what was found is surely on disk.
const WRITTEN: i64 = 10 * SECOND;
/// What is due and comes later than this shows that the process stood still.
const LATE: i64 = 2 * SECOND;
/// What is on disk sooner after a check than a write takes was on its way before.
const LONGEST_WRITE: i64 = 2 * SECOND;
/// A look at the line and the wait for it.
pub const DOUBT: i64 = 25 * SECOND;
/// The line is looked at every 10 s while it is down.
const RETURN: i64 = 25 * SECOND;
const STEADY: i64 = 16 * MINUTE;

pub struct Facts<'a> {
    pub plan: &'a Plan,
    pub record: &'a Record,
    /// By site: when it cannot be expected to be judged and told.
    pub troubled: Vec<Vec<Span>>,
    /// By site: when what it depends on may have been down, so that it was not judged.
    pub shaded: Vec<Vec<Span>>,
    /// By site: when what it depends on was surely down, and known to be.
    pub behind: Vec<Vec<Span>>,
    /// By site: when its state may have changed.
    pub changes: Vec<Vec<i64>>,
    /// By site: when it was muted beyond doubt.
    pub muted: Vec<Vec<Span>>,
    /// By site: when it may have been held to be flapping.
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
        restless: vec![Vec::new(); count],
    };
    for site in 0..count {
        facts.shaded[site] = facts.shade(site);
        let checks = &record.checks[site];
        let blamed = |c: &CheckRun| facts.is_undecidable(c);
        let mut changes = changes(&plan.sites[site], checks, blamed);
        // What comes out from behind another and is down or slow itself becomes so only then.
        let hidden = facts.shaded[site].iter().filter_map(|shade| {
            let end = checks.partition_point(|c| c.to < shade.to);
            checks[..end]
                .iter()
                .rev()
                .take_while(|c| c.to > shade.from)
                .find(|c| matches!(c.why, Why::Site | Why::Slow))
        });
        changes.extend(hidden.map(|c| c.to));
        changes.sort_unstable();
        facts.changes[site] = changes;
        let mut spans = facts.unwatched(site);
        let (silent, sure) = facts.mutes(site);
        facts.muted[site] = sure;
        spans.extend(silent);
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

    /// Within `span`, the times when all was well but the site.
    pub fn calm(&self, site: usize, span: Span) -> Vec<Span> {
        let near = self.troubled[site].iter().filter(|t| t.meets(span));
        without(span, near.copied().collect())
    }

    /// The clocks of this run cannot be trusted.
    pub fn clocks_wrong(&self) -> bool {
        !self.plan.jumps.is_empty() || self.plan.ends.iter().any(|e| e.unset.is_some())
    }

    /// What made it fail (a cut, or no resolver) was over when somebody looked next, no look had shown
    /// it, and one was taken when it was due: within seconds of the failure.
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
        // That the line was cut says something of names only until it was seen to be well again.
        let ended = self.record.probes.iter().take_while(|p| p.to <= check.from);
        let last = ended.last().map_or(i64::MIN, |p| p.to);
        let bad = |p: &ProbeRun| gone(p) || p.answered.is_none() && (!names || p.to >= last);
        let seen = looks.clone().any(|p| bad(p) && p.from < trouble.to);
        let well = |p: &ProbeRun| if names { p.resolved } else { p.answered };
        !seen && looks.any(|p| well(p).is_some_and(|at| at >= trouble.to) && !bad(p))
    }

    /// The process stood still during the check, and could not know: the clocks went on, and no site's
    /// turn came long enough before the end to be late.
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

    /// When something was, that was said at `at` to have been in `span`: what an earlier life
    /// remembered is dated by the wall clock, and that may have been wrong.
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

    /// When an outage began that was said at `at` to have ended in `ended` after so long at most: the
    /// time we slept, or knew our line to be down, is not in it. Nor are we off in it when the line
    /// was down before.
    pub fn begun(&self, site: usize, ended: Span, most: i64, at: i64) -> Span {
        let watched = &self.plan.sites[site];
        let reached = self.plan.uplink && (watched.named || !watched.lan);
        let mut span = ended.wider(most, 0);
        loop {
            let cuts = self.plan.cuts.iter().map(|c| self.with_off(*c));
            let cuts = cuts.filter(|c| reached && c.meets(span));
            let blind: i64 = cuts.map(|c| c.len() + RETURN).sum();
            let from = ended.from - most - self.slept(span) - blind;
            if from >= span.from {
                return self.dated(span, at);
            }
            span.from = from;
        }
    }

    /// The cut, as it lasts for an agent that ends in it and finds at its next start that it is over.
    fn with_off(&self, cut: Span) -> Span {
        let known = cut.wider(0, RETURN);
        let mut off = self.record.off().into_iter();
        let off = off.find(|off| known.has(off.from));
        Span::new(cut.from, off.map_or(cut.to, |off| off.to.max(cut.to)))
    }

    /// The power went before what this check found was surely on disk, or the end found a full one.
    pub fn forgotten(&self, site: usize, check: &CheckRun) -> bool {
        let kept = Span::new(check.to, check.to + WRITTEN);
        let full = |end: i64| any_at(&self.plan.disk_full, end);
        // What a site that flaps does is not told, and so not worth a write of its own for an hour:
        // it goes along with the next one, which a power cut may forestall.
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

    /// It was judged then beyond doubt: what it depends on was up, and so was our line, and not just
    /// come back.
    pub fn counted(&self, site: usize, at: i64) -> bool {
        let mut cuts = self.plan.cuts.iter().map(|c| c.wider(0, RETURN));
        let lan = self.plan.sites[site].lan || !self.plan.uplink;
        !any_at(&self.shaded[site], at) && (lan || !cuts.any(|c| c.has(at)))
    }

    /// How long we knew at least that our line was down, of the cuts within `span`. When all that
    /// lies beyond it is down already, it is not looked at so soon.
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

    /// Time in `span` that the monotonic clock did not see.
    pub fn slept(&self, span: Span) -> i64 {
        let asleep = self
            .plan
            .frozen
            .iter()
            .filter(|f| f.suspended && f.span.meets(span));
        asleep.map(|f| f.span.len()).sum()
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
        // A certificate is not judged without a clock, though a redirect led to it.
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

    /// When the file was first read after `at`.
    fn reread(&self, at: i64) -> Option<i64> {
        let reloads = self.record.reloads.iter();
        let reads = reloads.chain(self.record.lives.iter().map(|l| &l.span.from));
        reads.copied().filter(|read| *read >= at).min()
    }

    /// When its checks say nothing of it: for want of a line, a resolver or a clock.
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

    /// When the clock was not believed.
    fn unset(&self) -> Vec<Span> {
        let lives = self.record.lives.iter();
        let begun = lives.map(|l| Span::new(l.span.from, l.unset_until.min(l.span.to)));
        begun.chain(self.record.doubted.iter().copied()).collect()
    }

    /// What is known of a site that was down, and that cannot be seen now, is that it is down: while we
    /// are off or stand still, too, and afterwards when that it was up was not on disk.
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

    /// When its parent had been down for so long, and all could be seen, that it was judged down.
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

    /// A full disk and then a power cut: what was found in between may be lost.
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

    /// From a /pause to the first /resume that surely counted.
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

    /// The command was carried out then and was not forgotten.
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

    /// When it may have been muted, and when it surely was.
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
            // A chat mutes what it is told of, and nothing else.
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
                // A later word about the same counts, though it be for a shorter time.
                let words = |text: &str| text.rsplit_once(' ').map(|(what, _)| what.to_owned());
                // A chat that doesn't get all sites mutes those that it gets, each by itself.
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
                // A site that comes back into the file is another one.
                let ends = ends.chain(gone.iter().map(|g| g.from));
                let ends = ends.filter(|e| *e >= fed.at);
                // Its end is kept in whole seconds of the wall clock.
                let to = to - SECOND;
                surely.push(Span::new(fed.at + SECOND, ends.min().unwrap_or(to).min(to)));
            }
        }
        if let Some(span) = maintained(&self.plan.sites[site]) {
            maybe.push(span.wider(SECOND, MINUTE));
        }
        (maybe, surely)
    }

    /// When it may have been held to be flapping: the fifth change within an hour begins it.
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
        // Each further change prolongs it, and so does not being looked at.
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

/// When the site's state may have changed, by what its checks found: as many of a kind in a row as
/// the configuration asks for. What failed for reasons of our own is passed over. One that was out of
/// the file meanwhile may be known as it was, or not.
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
    // What answers at all is up again; only then can it be slow.
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
