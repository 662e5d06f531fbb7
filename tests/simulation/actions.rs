//! Actions that run automatically: the model checks that their cause was real, and that nothing on
//! the agent's side explained it.

use crate::dice::{Span, any_at};
use crate::facts::{DOUBT, Facts, LONGEST_WRITE};
use crate::model::Judgement;
use crate::plan::*;
use crate::record::clock;
use crate::world::{Occurrence, World};
use nanoserde::DeJson;
use sitemon::monitor::Event;
use sitemon::monitor::incident::remediation::{Limit, Remediation, RunRequest, When as Needs};
use sitemon::monitor::persist::snapshot::Snapshot;
use sitemon::monitor::time::hours::{ALL_DAYS, Hours, Window};
use std::time::Duration;

/// The action for every site.
const ALL: &str = "restart all";
/// The action for the uplink.
const MODEM: &str = "restart modem";
/// How long the uplink must be down until the action for it runs, in ms.
const AUTO: i64 = 3 * MINUTE;
/// The same for one site and for all sites. The wait for all is long, so that other events come
/// between.
const AUTO_OF_SITE: i64 = MINUTE;
const AUTO_OF_ALL: i64 = 20 * MINUTE;
const LIMIT: Limit = Limit {
    runs: 2,
    within: Duration::from_secs(6 * 3600),
};
/// Time after a start in which no action runs automatically, in ms.
const QUIET: i64 = 2 * MINUTE;
/// Greatest age of an uplink probe that an action relies on when its run is requested, in ms.
const LOOKED: i64 = MINUTE;
/// Longest wait for a write after many others, in ms.
const APART: i64 = 10 * SECOND;
/// Maintenance window of the first site, in minutes of the day: three to six hours after the start.
const MAINTAINED: (u16, u16) = (12 * 60, 15 * 60);

/// A run of an action.
#[derive(Clone, Debug)]
pub struct ActionRun {
    pub at: i64,
    pub action: String,
    pub site: String,
    pub incident: Option<u32>,
}

/// Every second seed has actions.
fn has_actions(plan: &Plan) -> bool {
    plan.seed.is_multiple_of(2)
}

/// The configured actions: one for each of the first sites, one for all, one for the uplink.
pub fn configured(plan: &Plan) -> Vec<Remediation> {
    let action = |name: &str, sites: Vec<String>, when, auto: i64| Remediation {
        name: name.to_owned(),
        sites,
        when,
        auto: Some(Duration::from_millis(auto.unsigned_abs())),
        limit: LIMIT,
    };
    let names = plan.sites.iter().map(|s| s.name().to_owned());
    let each = names.clone().take(4);
    let each = each.map(|name| {
        action(
            &format!("restart {name}"),
            vec![name],
            Needs::Down,
            AUTO_OF_SITE,
        )
    });
    let others = [
        action(ALL, names.collect(), Needs::Down, AUTO_OF_ALL),
        action(MODEM, Vec::new(), Needs::Offline, AUTO),
    ];
    let all = each.chain(others);
    all.filter(|_| has_actions(plan)).collect()
}

/// Adds a maintenance window to a day whose clocks are right.
pub fn maintain(plan: &mut Plan) {
    let wrong = !plan.jumps.is_empty() || plan.ends.iter().any(|e| e.unset.is_some());
    if has_actions(plan) && !wrong && plan.frozen.is_empty() {
        let (from, until) = MAINTAINED;
        let hours = Hours { from, until };
        let days = ALL_DAYS;
        plan.sites[0].site.maintenance = vec![Window { days, hours }];
    }
}

/// Returns when the site is under maintenance.
pub fn maintained(site: &SitePlan) -> Option<Span> {
    // Local time is an hour ahead.
    let of_day = |minutes: u16| i64::from(minutes) * MINUTE - (WALL + 3600) % 86_400 * SECOND;
    let (from, until) = MAINTAINED;
    let under = !site.site.maintenance.is_empty();
    under.then(|| Span::new(of_day(from), of_day(until)))
}

impl World<'_> {
    pub fn run_action(&mut self, id: u64, request: RunRequest) {
        let on_disk = self.disk.as_ref();
        let on_disk = on_disk.and_then(|image| Snapshot::deserialize_json(&image.json).ok());
        let runs = on_disk
            .and_then(|snapshot| snapshot.runs)
            .unwrap_or_default();
        let known = runs.iter().any(|run| {
            run.under_way && run.action == request.action && run.incident == request.incident
        });
        if !known {
            let text = format!("{} runs before that is on disk", request.action);
            self.record.wrong(self.now, text);
        }
        self.record.runs.push(ActionRun {
            at: self.now,
            action: request.action,
            site: request.site,
            incident: request.incident,
        });
        let to = self.now + self.action_dice.scale(10, 2 * MINUTE);
        let result = "HTTP 200".to_owned();
        self.mine(to, Occurrence::Feed(Event::Ran { id, result }));
    }
}

pub fn judge(facts: &Facts, verdict: &mut Judgement) {
    for run in &facts.record.runs {
        let wrong = match facts.index(&run.site) {
            Some(site) => for_site(facts, run, site),
            None => for_modem(facts, run),
        };
        if let Some(why) = wrong.or_else(|| too_often(facts, run)) {
            let (at, action) = (clock(run.at), &run.action);
            verdict
                .faults
                .push(format!("{at}: {action} runs by itself, {why}"));
        }
    }
}

/// Returns the reason why this run was wrong, if there is one.
fn for_site(facts: &Facts, run: &ActionRun, site: usize) -> Option<String> {
    let (plan, at) = (&facts.plan.sites[site], run.at);
    let name = plan.name();
    let checks = &facts.record.checks[site];
    let seen = checks.partition_point(|c| c.to <= at);
    if !checks[..seen].last().is_some_and(|c| c.why.failed()) {
        return Some(format!("and {name} was not failing"));
    }
    if any_at(&facts.muted[site], at) {
        return Some(format!("and {name} was muted"));
    }
    if maintained(plan).is_some_and(|span| Span::new(span.from + SECOND, span.to).has(at)) {
        return Some(format!("and {name} was under maintenance"));
    }
    if any_at(&facts.behind[site], at) {
        return Some(format!("and what {name} depends on was down"));
    }
    if any_at(&facts.record.doubted, at) {
        return Some("and the clock was doubted".to_owned());
    }
    let cut = facts
        .plan
        .cuts
        .iter()
        .any(|cut| cut.from < at - LOOKED - DOUBT && cut.to > at);
    if cut && !plan.lan && facts.plan.uplink {
        return Some("and our own line was cut".to_owned());
    }
    // A run starts once its request is on disk, which takes a write that may have to wait.
    let waits = if facts.plan.writes_cost() {
        APART
    } else {
        LONGEST_WRITE
    };
    let lately = Span::new(at - LOOKED - waits - LONGEST_WRITE, at + 1);
    let frozen = facts.plan.frozen.iter().any(|f| f.span.meets(lately));
    let looked = facts
        .record
        .probes
        .iter()
        .rev()
        .take_while(|p| p.to > at - HOUR);
    let looked = looked.filter(|p| lately.has(p.from) && p.to <= at);
    if facts.plan.uplink
        && !plan.lan
        && !frozen
        && !looked.into_iter().any(|p| p.answered.is_some())
    {
        return Some("and no look had shown the line to be up".to_owned());
    }
    after_start(facts, run)
}

fn for_modem(facts: &Facts, run: &ActionRun) -> Option<String> {
    if run.action != MODEM {
        return Some(format!("for {}, which is no site", run.site));
    }
    let before = Span::new(run.at - AUTO, run.at);
    let cuts = facts.plan.cuts.iter().chain(&facts.plan.unaddressed);
    let within = cuts.filter(|cut| cut.meets(before));
    let gone: i64 = within
        .map(|c| c.to.min(before.to) - c.from.max(before.from))
        .sum();
    // An earlier life may have seen more of the cut, and probes are ten seconds apart.
    if gone < AUTO - 2 * MINUTE {
        return Some("and there was a line".to_owned());
    }
    // Only a mute of everything matters, since the uplink is no site.
    if facts.muted.iter().all(|spans| any_at(spans, run.at)) {
        return Some("and everything was muted".to_owned());
    }
    after_start(facts, run)
}

fn after_start(facts: &Facts, run: &ActionRun) -> Option<String> {
    let mut lives = facts.record.lives.iter();
    let young = lives.any(|l| l.span.has(run.at) && run.at < l.span.from + QUIET);
    young.then(|| "just after a start".to_owned())
}

fn too_often(facts: &Facts, run: &ActionRun) -> Option<String> {
    let earlier = facts.record.runs.iter().rev();
    let earlier = earlier.filter(|r| r.action == run.action && r.at < run.at);
    if run.incident.is_some() && earlier.clone().any(|r| r.incident == run.incident) {
        return Some("and did before because of that outage".to_owned());
    }
    // Runs of an earlier life are dated by the wall clock.
    let within = LIMIT.within.as_millis() as i64 - MINUTE;
    let lately = earlier.filter(|r| r.at > run.at - within).count();
    let most = LIMIT.runs as usize;
    (lately >= most && !facts.clocks_wrong()).then(|| "more often than the limit allows".to_owned())
}
