//! The cost of an event in the core by the number of sites, in one hour with a few outages.

use crate::plain_site::plain_site;
use sitemon::monitor::outbox::message::Delivery;
use sitemon::monitor::site::Site;
use sitemon::monitor::site::access::Access;
use sitemon::monitor::site::outcome::{Expiry, FailureKind, Inspection, Outcome};
use sitemon::monitor::time::zone::Zone;
use sitemon::monitor::time::{Moment, Now};
use sitemon::monitor::uplink::ProbeResult;
use sitemon::monitor::{Action, Event, Monitor, Settings};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const CHAT: i64 = 7;
const WALL: i64 = 1_800_000_000;
const HOUR: i64 = 3_600_000;
/// Duration of a check in ms.
const TOOK: i64 = 40;

/// An https site. One in ten depends on another.
fn site(number: usize) -> Site {
    Site {
        remind: Some(Duration::from_secs(1800)),
        after: (number % 10 == 9).then(|| format!("site-{}", number - 1)),
        cert: Some(Duration::from_secs(14 * 86_400)),
        ..plain_site(
            &format!("site-{number}"),
            &format!("https://site-{number}.example/"),
        )
    }
}

/// So many sites are down from the sixth minute on; three others are down for two minutes in ten.
fn outcome(name: &str, clock: i64, outages: usize) -> Outcome {
    let number: usize = name.trim_start_matches("site-").parse().expect("a number");
    let minute = clock / 60_000;
    let down = (50..50 + outages).contains(&number) && minute >= 5
        || [10, 20, 31].contains(&number) && minute % 10 >= 7 && minute % 10 < 9;
    let mut outcome = Outcome::failed(FailureKind::Status, "HTTP 503, wanted 200-299");
    outcome.address = "203.0.113.34".parse().ok();
    if !down {
        outcome.verdict = Ok(());
        outcome.took = Some(Duration::from_millis(TOOK as u64));
    }
    outcome
}

/// Returns the world's answer to an action, and its delay in ms.
fn answer(action: Action, clock: i64, outages: usize) -> Option<(i64, Event)> {
    let event = match action {
        Action::Check { site, .. } => {
            let event = Event::Checked {
                outcome: outcome(&site.name, clock, outages),
                site,
            };
            return Some((TOOK, event));
        }
        Action::Inspect { site, subject } => Event::Inspected {
            site: site.name.clone(),
            subject,
            result: Ok(Inspection {
                first: Expiry::new(WALL + 60 * 86_400, "CN=site", "CN=issuer", "key"),
                root: None,
            }),
        },
        Action::Send(outgoing) => Event::Delivered {
            id: outgoing.id,
            delivery: Delivery::Sent {
                message_id: clock + 1,
            },
        },
        Action::Save => Event::Saved { blocks: 1 },
        Action::Probe { .. } => Event::Probed(ProbeResult {
            up: true,
            ipv6: None,
            names: None,
            trusted: None,
        }),
        _ => return None,
    };
    Some((5, event))
}

/// Simulates the hour. Returns the number of events, µs in the core per event, and ms per snapshot.
fn hour(sites: usize, outages: usize) -> (u32, f64, f64) {
    let now = |clock: i64| Now {
        uptime: Duration::from_millis(clock as u64),
        wall: WALL + clock / 1000,
        zone: Zone::UTC,
    };
    let settings = Settings {
        access: Access {
            chats: vec![CHAT],
            users: None,
        },
        max_jobs: 2,
        permits: 7,
        uplink: true,
        heartbeat: true,
        built: WALL - 1000,
        ..Settings::default()
    };
    let mut monitor = Monitor::new((0..sites).map(site), settings, now(0), 42);
    let mut coming: BTreeMap<(i64, u32), Event> = BTreeMap::new();
    let (mut clock, mut events, mut spent) = (0, 0, Duration::ZERO);
    while clock < HOUR {
        let event = match coming.first_entry() {
            Some(first) if first.key().0 <= clock => first.remove(),
            _ => Event::Due,
        };
        let begun = Instant::now();
        let actions = monitor.handle(now(clock), event);
        let due = monitor.next_wakeup(now(clock));
        spent += begun.elapsed();
        events += 1;
        for (place, action) in (0u32..).zip(actions) {
            if let Some((after, event)) = answer(action, clock, outages) {
                coming.insert((clock + after, events * 1000 + place), event);
            }
        }
        let next = coming.first_key_value().map(|((at, _), _)| *at);
        let due = due.map(|Moment(at)| at);
        clock = clock.max(next.into_iter().chain(due).min().unwrap_or(HOUR));
    }
    let snapshot = || {
        let begun = Instant::now();
        assert_eq!(monitor.snapshot(now(clock)).sites.len(), sites);
        begun.elapsed()
    };
    // The shortest time is the one that other processes disturbed least.
    let snapshot = (0..9).map(|_| snapshot()).min().unwrap_or_default();
    (
        events,
        spent.as_secs_f64() * 1e6 / f64::from(events),
        snapshot.as_secs_f64() * 1e3,
    )
}

/// Prints a table. With fifty times as many sites an event must cost less than ten times as much.
#[test]
#[ignore = "a measurement, of a build with optimisation"]
fn event_cost() {
    println!("| sites | stay down | events in an hour | µs an event | ms a snapshot |");
    let scenes = [(100, 1), (1_000, 1), (1_000, 100), (5_000, 1), (10_000, 1)];
    let costs = scenes.map(|(sites, outages)| {
        let (events, cost, snapshot) = hour(sites, outages);
        println!("| {sites} | {outages} | {events} | {cost:.2} | {snapshot:.2} |");
        cost
    });
    if !cfg!(debug_assertions) {
        assert!(costs[3] < costs[0] * 10.0, "an event walks over all sites");
        assert!(
            costs[2] < costs[1] * 10.0,
            "an event walks over all outages"
        );
    }
}
