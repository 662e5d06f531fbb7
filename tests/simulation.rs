//! The product's two promises, tested on simulated days: no false alert, and no lost alert.
//!
//! A day is drawn from a seed (`draw`): site outages, uplink cuts, DNS outages, faults of Telegram,
//! power cuts between any two actions, clock jumps, a full disk, reloads, commands. The core runs
//! through it in virtual time (`world`, `hands`, `network`), and a model that was written from the
//! specification alone (`model`, `truth`, `facts`) checks that what the chats received was true,
//! complete, and sent once.
//!
//! ```text
//! SITEMON_SIM_SEED=17 cargo test --test simulation replay -- --nocapture
//! SITEMON_SIM_SEEDS=10000 cargo test --profile sim --test simulation many -- --ignored --nocapture
//! cargo test --profile sim --test simulation year -- --ignored --nocapture
//! ```

#[path = "simulation/actions.rs"]
mod actions;
#[path = "simulation/channels.rs"]
mod channels;
#[path = "simulation/clocks.rs"]
mod clocks;
#[path = "simulation/dice.rs"]
mod dice;
#[path = "simulation/draw.rs"]
mod draw;
#[path = "simulation/event_cost.rs"]
mod event_cost;
#[path = "simulation/facts.rs"]
mod facts;
#[path = "simulation/fates.rs"]
mod fates;
#[path = "simulation/hands.rs"]
mod hands;
#[path = "simulation/jobs.rs"]
mod jobs;
#[path = "simulation/model.rs"]
mod model;
#[path = "simulation/network.rs"]
mod network;
#[path = "support/plain_site.rs"]
mod plain_site;
#[path = "simulation/plan.rs"]
mod plan;
#[path = "simulation/read.rs"]
mod read;
#[path = "simulation/record.rs"]
mod record;
#[path = "simulation/truth.rs"]
mod truth;
#[path = "simulation/world.rs"]
mod world;

use model::{Judgement, judge};
use nanoserde::DeJson;
use plan::{EVERYTHING, Plan};
use record::{Record, clock};
use sitemon::monitor::persist::snapshot::Snapshot;
use sitemon::state::State;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

const REPLAY: &str = "cargo test --test simulation replay -- --nocapture";

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run(seed: u64) -> (Plan, Record, Judgement) {
    let plan = draw::day(seed, EVERYTHING);
    let record = world::live(&plan);
    let judgement = judge(&plan, &record);
    (plan, record, judgement)
}

/// Runs the seeds on two threads. Returns what the model reported of each seed that failed.
fn runs(seeds: &[u64]) -> (Vec<(u64, String)>, String) {
    let (next, begun) = (AtomicUsize::new(0), Instant::now());
    let (told, undecidable, events) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicU64::new(0));
    let failed = Mutex::new(Vec::new());
    let stop = number("SITEMON_SIM_STOP").is_some();
    let work = || {
        while (!stop
            || failed
                .lock()
                .is_ok_and(|f: std::sync::MutexGuard<Vec<(u64, String)>>| f.is_empty()))
            && let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed))
        {
            let judged = std::panic::catch_unwind(|| run(seed));
            let first = match judged {
                Ok((_, record, judgement)) => {
                    told.fetch_add(judgement.told, Ordering::Relaxed);
                    undecidable.fetch_add(judgement.undecidable, Ordering::Relaxed);
                    events.fetch_add(record.events, Ordering::Relaxed);
                    judgement.faults.into_iter().next()
                }
                Err(_) => Some("it panicked".into()),
            };
            if let Some(first) = first {
                failed
                    .lock()
                    .expect("no panic holds it")
                    .push((seed, first));
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let summary = format!(
        "{} seeds, as many simulated days, {} events, {} outages told to a chat, {} undecidable alerts: {:.1} s",
        seeds.len(),
        events.into_inner(),
        told.into_inner(),
        undecidable.into_inner(),
        begun.elapsed().as_secs_f64()
    );
    let mut failed = failed.into_inner().expect("all have ended");
    failed.sort();
    (failed, summary)
}

#[track_caller]
fn all_keep_the_promises(seeds: &[u64]) {
    let (failed, summary) = runs(seeds);
    println!("{summary}");
    for (seed, first) in &failed {
        println!("seed {seed}: {first}\n  SITEMON_SIM_SEED={seed} {REPLAY}");
    }
    assert!(
        failed.is_empty(),
        "{} of {} seeds failed",
        failed.len(),
        seeds.len()
    );
}

#[test]
fn the_fixed_days_keep_the_promises() {
    let seeds: Vec<u64> = (1..=24).collect();
    all_keep_the_promises(&seeds);
}

/// Replays one day and prints what arrived, and what the model reports.
#[test]
fn replay() {
    let seed = number("SITEMON_SIM_SEED").unwrap_or(1);
    let (plan, record, judgement) = run(seed);
    let at_length = std::env::var("SITEMON_SIM_SEED").is_ok();
    if at_length {
        print_plan(&plan);
        print_record(&record);
        println!(
            "{} events, {} writes, {} outages told, {} undecidable",
            record.events,
            record.writes.len(),
            judgement.told,
            judgement.undecidable
        );
    }
    for fault in &judgement.faults {
        println!("FAULT {fault}");
    }
    assert!(
        judgement.faults.is_empty(),
        "seed {seed} failed: SITEMON_SIM_SEED={seed} {REPLAY}"
    );
}

#[test]
#[ignore = "as many days as SITEMON_SIM_SEEDS says; wants --profile sim"]
fn many_days_keep_the_promises() {
    #[cfg(sitemon_mutate)]
    if let Ok(name) = std::env::var("SITEMON_SIM_MUTATION") {
        sitemon::mutation::choose(name);
    }
    let first = number("SITEMON_SIM_FIRST").unwrap_or(1);
    let seeds: Vec<u64> = (first..first + number("SITEMON_SIM_SEEDS").unwrap_or(1000)).collect();
    all_keep_the_promises(&seeds);
}

#[test]
#[ignore = "a year of 100 sites; wants --profile sim"]
fn a_year_of_a_hundred_sites_keeps_the_promises() {
    // Fewer days, for a profiler.
    let days = number("SITEMON_SIM_DAYS").map_or(365, u64::cast_signed);
    let plan = draw::long(1, 100, days, (6 * days).div_euclid(365).max(1));
    let begun = Instant::now();
    let record = world::live(&plan);
    let lived = begun.elapsed().as_secs_f64();
    let judgement = judge(&plan, &record);
    println!(
        "{days} days of 100 sites: {} events, {} outages told: {lived:.1} s",
        record.events, judgement.told
    );
    assert_eq!(judgement.faults, Vec::<String>::new());
    assert!(
        judgement.told as i64 >= 500 * days / 365,
        "the model saw little: {}",
        judgement.told
    );
}

/// docs/flash.md: under 500 KB a day for 100 sites with an outage an hour, in 4 KB blocks.
#[test]
fn a_day_with_an_outage_an_hour_is_easy_on_the_flash() {
    let mut plan = draw::long(2, 100, 1, 0);
    plan.keeps_images = true;
    for hour in 0..22 {
        let from = hour * plan::HOUR + 20 * plan::MINUTE;
        let span = dice::Span::new(from, from + 10 * plan::MINUTE);
        let fault = plan::Fault::Refused;
        plan.sites[hour as usize * 4]
            .outages
            .push(plan::Outage { span, fault });
    }
    let record = world::live(&plan);
    assert_eq!(judge(&plan, &record).faults, Vec::<String>::new());
    let dir = tempfile::tempdir().expect("a directory");
    let writer = State::open(dir.path()).expect("a state").load().writer;
    let written = record.images.iter().map(|json| {
        let snapshot = Snapshot::deserialize_json(json).expect("it was made by us");
        writer.save(snapshot).expect("room on the disk").blocks
    });
    let blocks: u64 = written.sum();
    println!(
        "{} writes in a day, {} KB in 4 KB blocks",
        record.images.len(),
        blocks * 4
    );
    assert!(blocks * 4 < 500, "{} KB", blocks * 4);
}

fn print_plan(plan: &Plan) {
    println!(
        "seed {}: uplink {}, chats {:?}",
        plan.seed, plan.uplink, plan.chats
    );
    for s in &plan.sites {
        let site = &s.site;
        println!(
            "{}: {} lan {} interval {:?} timeout {:?} tries {} retry {:?} recover {} remind {:?} after {:?} chats {:?} gone {:?} other {:?}",
            site.name,
            site.url,
            s.lan,
            site.interval,
            site.timeout,
            site.tries,
            site.retry,
            site.recover,
            site.remind,
            site.after,
            site.chats,
            s.gone,
            s.other_interval
        );
        for o in &s.outages {
            println!(
                "    out {} - {} {:?}",
                clock(o.span.from),
                clock(o.span.to),
                o.fault
            );
        }
        for o in &s.slow {
            println!("    slow {} - {}", clock(o.from), clock(o.to));
        }
    }
    for (what, spans) in [
        ("cut", &plan.cuts),
        ("names lost", &plan.names_lost),
        ("telegram out", &plan.telegram_out),
        ("lacking", &plan.lacking),
        ("unaddressed", &plan.unaddressed),
        ("ambiguous", &plan.ambiguous),
        ("disk full", &plan.disk_full),
        ("token revoked", &plan.revoked),
        ("another asks", &plan.conflicts),
    ] {
        for span in spans {
            println!("{what} {} - {}", clock(span.from), clock(span.to));
        }
    }
    println!(
        "throttled {:?}\nrefused {:?}\nmoved {:?}\njumps {:?}\nfrozen {:?}\nends {:?}",
        plan.throttled, plan.refused, plan.moved, plan.jumps, plan.frozen, plan.ends
    );
    println!("channels {:?}", plan.channels);
    for w in &plan.written {
        println!("written {} in {}: {}", clock(w.at), w.chat, w.text);
    }
}

fn print_record(record: &Record) {
    for life in &record.lives {
        println!(
            "life {} - {} orderly {} found clean {:?}",
            clock(life.span.from),
            clock(life.span.to),
            life.orderly,
            life.found
        );
    }
    let only = std::env::var("SITEMON_SIM_SITE")
        .ok()
        .and_then(|n| n.parse::<usize>().ok());
    if let Some(checks) = only.and_then(|n| record.checks.get(n)) {
        let span = std::env::var("SITEMON_SIM_SPAN").ok();
        let span = span
            .as_deref()
            .and_then(|s| s.split_once('-'))
            .unwrap_or(("", "~"));
        for c in checks
            .iter()
            .filter(|c| c.why.failed() || !span.0.is_empty())
        {
            let at = clock(c.from);
            if at.as_str() >= span.0 && at.as_str() <= span.1 {
                println!("check {at} - {} {:?}", clock(c.to), c.why);
            }
        }
    }
    for p in &record.probes {
        println!(
            "probe {} - {} line {} names {:?}",
            clock(p.from),
            clock(p.to),
            p.answered.is_some(),
            p.names
        );
    }
    for f in &record.fed {
        println!(
            "fed {} update {} age {} s, clock off {} s",
            clock(f.at),
            f.which + 1,
            f.age,
            f.clock_off
        );
    }
    for a in &record.by_channels {
        println!(
            "{} {} arrived {:?} confirmed {:?} {:?}",
            clock(a.at),
            a.channel,
            a.arrived.map(clock),
            a.confirmed.map(clock),
            a.text
        );
    }
    for a in &record.arrivals {
        let sure = if record.attempts[a.attempt].confirmed.is_some() {
            ""
        } else {
            " (not confirmed)"
        };
        println!(
            "{} {} {}{sure} {:?}",
            clock(a.at),
            a.chat,
            if a.alert { "alert" } else { "answer" },
            a.text
        );
    }
}
