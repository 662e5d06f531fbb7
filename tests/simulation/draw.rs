//! Draws the plan of a day: the sites, and all faults.

use crate::actions;
use crate::dice::{Dice, Span, joined};
use crate::fates::befall;
use crate::plan::*;
use std::time::Duration;

const DAY: i64 = 24 * HOUR;
/// Calm time at the end of the plan, so that everything can be reported.
const TAIL: i64 = 2 * HOUR;
const FAULTS: [Fault; 5] = [
    Fault::Refused,
    Fault::Hangs,
    Fault::Status,
    Fault::Tls,
    Fault::NoName,
];

/// Draws a day of a few sites with every kind of fault.
pub fn day(seed: u64, features: Features) -> Plan {
    let dice = &mut Dice::new(seed);
    let calm_from = DAY - TAIL;
    let chats = match dice.between(0, 2) {
        0 => vec![PRIVATE],
        1 => vec![GROUP],
        _ => vec![PRIVATE, GROUP],
    };
    let uplink = features.uplink && dice.chance(85);
    let mut sites = Vec::new();
    for number in 0..dice.between(3, 12) as usize {
        sites.push(site(dice, number, &chats, features, &sites, calm_from));
    }
    if dice.chance(40) {
        storm(dice, &mut sites, calm_from);
    }
    let some = |dice: &mut Dice, percent, most, short, long| {
        let count = if dice.chance(percent) {
            dice.between(1, most)
        } else {
            0
        };
        spans(dice, count, short, long, calm_from)
    };
    let cuts_count = if uplink { 100 } else { 0 };
    let mut cuts = some(dice, cuts_count * 7 / 10, 4, SECOND, 2 * HOUR);
    if uplink && dice.chance(30) {
        let times = dice.between(4, 15);
        cuts.extend(burst(
            dice,
            (2000, 50_000),
            (2000, 60_000),
            times,
            calm_from,
        ));
    }
    let names_lost = if uplink {
        some(dice, 30, 2, 10 * SECOND, HOUR)
    } else {
        Vec::new()
    };
    let throttled = some(dice, 40, 4, 5 * SECOND, 5 * MINUTE);
    let throttled = throttled.into_iter().map(|s| {
        let chat = dice.chance(60).then(|| dice.pick(&chats));
        (s, chat)
    });
    let throttled = throttled.collect();
    let refused = some(dice, 10, 2, MINUTE, HOUR);
    let refused = refused
        .into_iter()
        .map(|s| (s, dice.pick(&chats)))
        .collect();
    let mut frozen: Vec<Frozen> = Vec::new();
    if features.suspend {
        let spans = some(dice, 40, 3, 2 * SECOND, 3 * HOUR);
        frozen = spans
            .into_iter()
            .map(|span| Frozen {
                span: Span::new(
                    span.from,
                    if dice.chance(50) {
                        span.to.min(span.from + MINUTE)
                    } else {
                        span.to
                    },
                ),
                suspended: dice.chance(70),
            })
            .collect();
        // A standstill of hours is a suspended machine.
        for f in &mut frozen {
            f.suspended |= f.span.len() > MINUTE;
        }
    }
    let jumps = if features.clock && dice.chance(30) {
        let count = dice.between(1, 3);
        let mut jumps: Vec<(i64, i64)> = (0..count)
            .map(|_| {
                let by = dice.scale(2, 4 * 3600);
                let at = dice.between(MINUTE, calm_from);
                (at, if dice.chance(50) { by } else { -by })
            })
            .collect();
        jumps.sort_unstable();
        jumps
    } else {
        Vec::new()
    };
    let ends = ends(dice, features, calm_from);
    let mut telegram_out = some(dice, 50, 3, 5 * SECOND, 3 * HOUR);
    telegram_out.extend(news_that_waits(dice, &mut sites, &ends));
    let reloads = reloads(dice, &mut sites, calm_from);
    let mut written = written(dice, &sites, &chats, calm_from);
    // A user may mute everything before the machine is unplugged.
    for end in &ends {
        if let When::At(at) = end.when
            && at > 10 * MINUTE
            && dice.chance(40)
        {
            let (at, chat) = (at - 3 * MINUTE, dice.pick(&chats));
            let text = "/mute 150m".into();
            written.push(Written { at, chat, text });
        }
    }
    written.sort_by_key(|w| w.at);
    let plan = Plan {
        seed,
        uplink,
        calm_from,
        end: DAY,
        lacking: Vec::new(),
        unaddressed: Vec::new(),
        cuts: joined(cuts, 500),
        names_lost,
        telegram_out: joined(telegram_out, 0),
        routes: 1,
        blocked: Vec::new(),
        throttled,
        refused,
        revoked: Vec::new(),
        conflicts: Vec::new(),
        moved: None,
        channels: None,
        ambiguous: some(dice, 40, 3, MINUTE, 2 * HOUR),
        disk_full: some(dice, 20, 2, MINUTE, 2 * HOUR),
        jumps,
        frozen,
        ends,
        reloads,
        written,
        sites,
        chats,
        frugal: false,
        keeps_images: false,
        sluggish: dice.pick(&[0, 5, 30]),
        confirms: dice.pick(&[SECOND, SECOND, MINUTE, 20 * MINUTE, DAY]),
    };
    let mut plan = befall(plan);
    actions::maintain(&mut plan);
    plan
}

/// Draws many sites over many days with few faults: `outages` for each site, and an uplink cut and
/// a Telegram outage per month.
pub fn long(seed: u64, count: usize, days: i64, outages: i64) -> Plan {
    let dice = &mut Dice::new(seed);
    let end = days * DAY;
    let calm_from = end - TAIL;
    let sites = (0..count).map(|number| {
        let host = format!("n{number:02}.example");
        let spans = spans(dice, outages, 5 * MINUTE, 30 * MINUTE, calm_from);
        let fault = fault(dice, true);
        SitePlan {
            site: numbered_site(number, true, &host, MINUTE),
            address: address(number, false),
            lan: false,
            named: true,
            pace: dice.scale(20, 500),
            outages: spans
                .into_iter()
                .map(|span| Outage { span, fault })
                .collect(),
            slow: Vec::new(),
            gone: Vec::new(),
            other_interval: None,
        }
    });
    let sites = sites.collect();
    let months = days / 30;
    Plan {
        seed,
        uplink: true,
        calm_from,
        end,
        sites,
        chats: vec![PRIVATE],
        lacking: Vec::new(),
        unaddressed: Vec::new(),
        cuts: spans(dice, months, MINUTE, HOUR, calm_from),
        names_lost: Vec::new(),
        telegram_out: spans(dice, months, MINUTE, HOUR, calm_from),
        routes: 1,
        blocked: Vec::new(),
        throttled: Vec::new(),
        refused: Vec::new(),
        revoked: Vec::new(),
        conflicts: Vec::new(),
        moved: None,
        channels: None,
        ambiguous: Vec::new(),
        disk_full: Vec::new(),
        confirms: SECOND,
        jumps: Vec::new(),
        frozen: Vec::new(),
        ends: Vec::new(),
        reloads: Vec::new(),
        written: Vec::new(),
        frugal: true,
        keeps_images: false,
        sluggish: 5,
    }
}

fn site(
    dice: &mut Dice,
    number: usize,
    chats: &[i64],
    features: Features,
    before: &[SitePlan],
    until: i64,
) -> SitePlan {
    let lan = dice.chance(25);
    let named = dice.chance(if lan { 30 } else { 80 });
    let host = if named {
        format!("n{number:02}.example")
    } else {
        address(number, lan).to_string()
    };
    let interval = dice.pick(&[30, 60, 60, 60, 120, 300]) * SECOND;
    let mut site = numbered_site(number, dice.chance(60), &host, interval);
    let seconds = |n: i64| Duration::from_secs(n as u64);
    site.tries = dice.pick(&[1, 2, 3, 3, 3, 3, 4, 5]);
    site.recover = dice.pick(&[1, 1, 1, 2, 3]);
    site.timeout = seconds(dice.pick(&[3, 5, 10, 10, 10, 20]));
    site.retry = seconds(dice.pick(&[5, 10, 10, 10, 20]));
    site.remind = dice
        .pick(&[Some(6), Some(1), None])
        .map(|h| seconds(h * 3600));
    if dice.chance(20) && chats.len() > 1 {
        site.chats = Some(vec![dice.pick(chats)]);
    }
    if dice.chance(30) {
        site.group = Some("front".into());
    }
    let pace = dice.scale(5, 800);
    let slow = if dice.chance(25) {
        site.slow = Some(Duration::from_millis(1500));
        let count = dice.between(0, 3);
        spans(dice, count, 10 * SECOND, 2 * HOUR, until)
    } else {
        Vec::new()
    };
    let mut plan = SitePlan {
        site,
        address: address(number, lan),
        lan,
        named,
        pace,
        outages: Vec::new(),
        slow,
        gone: Vec::new(),
        other_interval: None,
    };
    let bound = plan.judged_within();
    let mut drawn: Vec<Outage> = Vec::new();
    for (percent, most, short, long) in [
        (50, 4, SECOND, MINUTE),
        (60, 4, bound / 2, 2 * bound),
        (50, 2, 2 * bound, 5 * HOUR),
    ] {
        if dice.chance(percent) {
            let count = dice.between(1, most);
            for span in spans(dice, count, short, long, until) {
                drawn.push(Outage {
                    span,
                    fault: fault(dice, named),
                });
            }
        }
    }
    if dice.chance(20) {
        let (fault, times) = (fault(dice, named), dice.between(3, 8));
        let (on, off) = (plan.back_within() * 3 / 2, bound * 3 / 2);
        let flaps = burst(dice, (bound / 2, off), (on / 3, on), times, until);
        drawn.extend(flaps.into_iter().map(|span| Outage { span, fault }));
    }
    if features.after && !before.is_empty() && dice.chance(35) {
        let parent = &before[dice.between(0, before.len() as i64 - 1) as usize];
        plan.site.after = Some(parent.name().to_owned());
        for outage in &parent.outages {
            if dice.chance(80) {
                let from = outage.span.from + dice.between(0, 2000);
                let late = if dice.chance(80) { 1000 } else { 20 * MINUTE };
                let to = outage.span.to + dice.between(0, late);
                drawn.push(Outage {
                    span: Span::new(from, to),
                    fault: Fault::Hangs,
                });
            }
        }
    }
    plan.outages = apart(drawn);
    plan
}

fn fault(dice: &mut Dice, named: bool) -> Fault {
    dice.pick(if named { &FAULTS } else { &FAULTS[..4] })
}

/// Sorts the outages. One that overlaps an earlier one begins at the end of that.
pub fn apart(mut drawn: Vec<Outage>) -> Vec<Outage> {
    drawn.sort_by_key(|o| o.span.from);
    let mut out: Vec<Outage> = Vec::new();
    for mut outage in drawn {
        if let Some(last) = out.last() {
            outage.span.from = outage.span.from.max(last.span.to);
        }
        if outage.span.len() > 0 {
            out.push(outage);
        }
    }
    out
}

/// Lets many sites fail together.
fn storm(dice: &mut Dice, sites: &mut [SitePlan], until: i64) {
    let from = dice.between(MINUTE, until - HOUR);
    let to = from + dice.scale(MINUTE, HOUR);
    let fault = dice.pick(&FAULTS[..3]);
    for plan in sites {
        if !plan.lan && dice.chance(90) {
            let mut outages = plan.outages.clone();
            let span = Span::new(from + dice.between(0, 3000), to + dice.between(0, 5000));
            outages.push(Outage { span, fault });
            plan.outages = apart(outages);
        }
    }
}

fn ends(dice: &mut Dice, features: Features, until: i64) -> Vec<End> {
    if dice.chance(40) {
        return Vec::new();
    }
    let count = dice.between(1, 4);
    (0..count)
        .map(|_| {
            let orderly = dice.chance(25);
            let when = if !orderly && dice.chance(60) {
                When::Action(dice.scale(1, 40_000) as u64)
            } else {
                When::At(dice.between(SECOND, until - 10 * MINUTE))
            };
            End {
                when,
                off: dice.scale(2 * SECOND, 2 * HOUR),
                orderly,
                unset: (features.clock && dice.chance(25)).then(|| Unset {
                    shows: match dice.between(0, 2) {
                        0 => Shows::Epoch,
                        1 => Shows::Behind(dice.between(1, 30)),
                        _ => Shows::Ahead(dice.between(21, 60)),
                    },
                    lasts: dice.scale(SECOND, HOUR),
                }),
            }
        })
        .collect()
}

/// Adds outages that are over when the agent ends, while Telegram is out until some time after the
/// next start: the alerts of their ends, or of both, survive on disk only.
fn news_that_waits(dice: &mut Dice, sites: &mut [SitePlan], ends: &[End]) -> Vec<Span> {
    let mut telegram_out = Vec::new();
    for end in ends {
        let When::At(at) = end.when else { continue };
        let index = dice.between(0, sites.len() as i64 - 1) as usize;
        let plan = &mut sites[index];
        let over = at - plan.back_within() - dice.between(30, 300) * SECOND;
        let from = over - plan.judged_within() - dice.between(60, 600) * SECOND;
        if from < 10 * MINUTE || dice.chance(40) {
            continue;
        }
        let span = Span::new(from, over);
        let fault = fault(dice, plan.named);
        let mut outages = plan.outages.clone();
        outages.push(Outage { span, fault });
        plan.outages = apart(outages);
        let lost = if dice.chance(50) {
            from - SECOND
        } else {
            over - SECOND
        };
        let found = at + end.off + dice.scale(10 * SECOND, 20 * MINUTE);
        telegram_out.push(Span::new(lost, found));
    }
    telegram_out
}

fn reloads(dice: &mut Dice, sites: &mut [SitePlan], until: i64) -> Vec<i64> {
    let mut reloads = Vec::new();
    if dice.chance(60) {
        return reloads;
    }
    reloads.push(dice.between(MINUTE, until));
    let parents: Vec<String> = sites.iter().filter_map(|s| s.site.after.clone()).collect();
    for plan in sites {
        let from = dice.between(MINUTE, until - HOUR);
        let span = Span::new(from, from + dice.scale(MINUTE, HOUR));
        match dice.between(0, 9) {
            0 if !parents.contains(&plan.site.name) => plan.gone.push(span),
            1 => plan.other_interval = Some((span, dice.pick(&[30, 60, 90, 300]) * SECOND)),
            _ => continue,
        }
        reloads.extend([span.from, span.to]);
    }
    reloads.sort_unstable();
    reloads
}

fn written(dice: &mut Dice, sites: &[SitePlan], chats: &[i64], until: i64) -> Vec<Written> {
    let mut written: Vec<Written> = Vec::new();
    if dice.chance(30) {
        return written;
    }
    for number in 0..dice.between(1, 14) {
        let at = dice.between(MINUTE, until - 2 * HOUR);
        let name = sites[dice.between(0, sites.len() as i64 - 1) as usize]
            .name()
            .to_owned();
        let chat = if dice.chance(8) {
            STRANGER
        } else {
            dice.pick(chats)
        };
        let text = match dice.between(0, 13) {
            0 => format!("/mute {name} {}m", 15 + number),
            1 if dice.chance(50) => format!("/mute {}m", 35 + number),
            2 => format!("/unmute {name}"),
            3 => {
                let later = at + dice.scale(MINUTE, HOUR);
                written.push(Written {
                    at: later,
                    chat,
                    text: format!("/resume {name}"),
                });
                format!("/pause {name}")
            }
            4 => "/ack".into(),
            5 => "/check".into(),
            6 => format!("/check {name}"),
            7 => "/status".into(),
            8 => format!("/site {name}"),
            9 => "/incidents".into(),
            10 => "/frobnicate <b>".into(),
            11 => "hello there".into(),
            12 => format!("/history {name}"),
            _ => "/list".into(),
        };
        written.push(Written { at, chat, text });
        if dice.chance(10) {
            let last = written[written.len() - 1].clone();
            written.push(Written {
                at: last.at + 100,
                ..last
            });
        }
    }
    written.sort_by_key(|w| w.at);
    written
}
