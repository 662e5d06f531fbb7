//! State that is kept over a restart, a power cut and a reload.

use super::world::*;
use crate::monitor::persist::snapshot::Snapshot;
use crate::monitor::site::Site;
use crate::monitor::site::state::State;
use nanoserde::{DeJson, SerJson};
use std::time::Duration;

/// Returns the snapshot as it is read from disk.
fn disk(world: &World) -> Snapshot {
    let json = world.monitor.snapshot(world.now()).serialize_json();
    Snapshot::deserialize_json(&json).expect("own JSON")
}

#[test]
fn an_outage_over_a_restart_is_told_once_and_ends_with_its_whole_length() {
    let mut world = World::of(&["blog"]);
    world.fate_for("blog", bad(), 100);
    assert_eq!(world.received().len(), 1);
    let snapshot = disk(&world);
    world.restart(vec![site("blog")], &snapshot, 500);
    world.pass(100);
    assert_eq!(
        world.received(),
        ["ℹ️ I was away, last seen 08:01, back 08:10; still down: blog"],
        "and nothing twice"
    );
    assert_eq!(world.state("blog"), State::Down);
    world.fate_for("blog", good(40), 60);
    assert_eq!(
        world.sent[0].1.reply_to,
        Some(101),
        "it answers the message of the first run"
    );
    assert_eq!(
        world.received(),
        ["🟢 <b>blog</b> is up again after 11 min 40 s (#1)"]
    );
}

#[test]
fn what_answers_after_a_power_cut_is_not_said_to_be_down_still() {
    let wary = |site: Site| Site {
        recover: 2,
        retry: Duration::from_secs(60),
        ..site
    };
    let (door, shelf) = (wary(site("door")), wary(after("shelf", "door")));
    let sites = vec![door, shelf, site("blog")];
    let mut world = World::new(sites.clone());
    world.pass(60);
    for name in ["shelf", "blog", "door"] {
        world.fate(name, bad());
        world.pass(200);
    }
    let snapshot = disk(&world);
    all(&mut world, &["door", "shelf"], good(40));
    world.restart(sites, &snapshot, 500);
    world.pass(100);
    let away = "ℹ️ I was away, last seen 08:11, back 08:19; still down: blog";
    let received = world.received();
    assert!(received.iter().any(|text| text == away), "{received:?}");
}

#[test]
fn an_alert_that_was_not_delivered_is_delivered_by_the_next_run() {
    let mut world = World::of(&["blog"]);
    let away = telegram_fails(None, "no route");
    world.deliveries = std::iter::repeat_n(away, 100).collect();
    world.fate_for("blog", bad(), 100);
    assert_eq!(world.received(), Vec::<String>::new());
    let snapshot = disk(&world);
    world.restart(vec![site("blog")], &snapshot, 600);
    world.pass(1);
    assert_eq!(
        world.received(),
        [
            "🔴 <b>blog</b> is down: HTTP 503, wanted 200-299 (#1) · 11 min 20 s ago",
            "ℹ️ I was away, last seen 08:01, back 08:11; still down: blog"
        ]
    );
}

#[test]
fn orders_of_people_survive() {
    let mut world = World::of(&["blog", "shop"]);
    world.fate_for("shop", bad(), 100);
    world.ask("/pause blog");
    world.ask("/mute shop 2h");
    world.ask("/ack");
    world.ask("/mute 30m");
    let snapshot = disk(&world);
    world.restart(vec![site("blog"), site("shop")], &snapshot, 60);
    assert_eq!(world.state("blog"), State::Paused);
    let status = world.ask("/status").remove(0);
    assert_has(&status, "everything is muted for 29 min");
    assert!(status.contains("<b>shop</b> for"), "{status}");
    assert!(status.contains("🔕"), "{status}");
    assert!(world.ask("/incidents")[0].contains("acknowledged"));
    let offset = world.monitor.last_update();
    assert_eq!(offset, Some(6));
}

#[test]
fn the_numbers_of_incidents_go_on() {
    let mut world = World::of(&["blog"]);
    world.fate_for("blog", bad(), 60);
    world.fate_for("blog", good(40), 60);
    let snapshot = disk(&world);
    world.restart(vec![site("blog")], &snapshot, 60);
    world.fate_for("blog", bad(), 120);
    assert!(world.received().last().expect("told").contains("(#2)"));
}

#[test]
fn a_snapshot_of_other_sites_does_no_harm() {
    let mut world = World::of(&["old"]);
    world.fate_for("old", bad(), 100);
    let snapshot = disk(&world);
    world.restart(vec![site("new")], &snapshot, 0);
    world.pass(100);
    assert_eq!(world.state("new"), State::Up);
    assert!(world.ask("/incidents")[0].starts_with("⚪ #1 <b>old</b>"));
}

#[test]
fn an_empty_snapshot_is_a_first_start() {
    let mut world = World::of(&["blog"]);
    let first = Snapshot {
        clean: true,
        ..Snapshot::default()
    };
    world.restart(vec![site("blog")], &first, 0);
    world.fate_for("blog", bad(), 60);
    assert!(world.received()[0].contains("(#1)"));
}

#[test]
fn a_clock_that_was_not_set_when_written_makes_no_absurd_length() {
    let mut world = World::of(&["blog"]);
    world.fate_for("blog", bad(), 100);
    let mut snapshot = disk(&world);
    snapshot.incidents[0].start = WALL + 1_000_000;
    world.restart(vec![site("blog")], &snapshot, 0);
    world.fate_for("blog", good(40), 61);
    let received = world.received();
    assert!(received[0].contains("🟢 <b>blog</b> is up again after 0 s (#1)"));
}

#[test]
fn a_reload_keeps_the_retries_of_a_site_that_fails() {
    let hourly = || {
        let mut site = site("blog");
        site.interval = std::time::Duration::from_secs(3600);
        site
    };
    let mut world = World::new(vec![hourly()]);
    world.fate_for("blog", good(40), 60);
    world.fate_for("blog", bad(), 3545);
    assert_eq!(world.state("blog"), State::Up);
    reload(&mut world, vec![hourly()], false);
    world.pass(30);
    assert_eq!(world.state("blog"), State::Down);
}

#[test]
fn a_reload_keeps_what_is_known_of_the_sites_that_stay() {
    let mut world = World::of(&["blog", "shop", "gone"]);
    world.fate("blog", bad());
    world.fate_for("gone", bad(), 120);
    world.received();
    let mut blog = site("blog");
    blog.interval = std::time::Duration::from_secs(30);
    world.feed(reloaded(
        vec![blog, site("shop"), site("new")],
        settings(access()),
    ));
    assert_eq!(world.state("blog"), State::Down);
    assert_eq!(world.state("shop"), State::Up);
    assert_eq!(world.state("new"), State::Unknown);
    assert!(!world.monitor.sites.contains("gone"));
    world.pass(120);
    assert_eq!(
        world.received(),
        Vec::<String>::new(),
        "nothing is told twice"
    );
    assert_eq!(world.state("new"), State::Up);
    let since = world.started.len();
    world.pass(300);
    let blog_checks = world.started[since..]
        .iter()
        .filter(|(_, n, _)| n == "blog")
        .count();
    assert!((9..=11).contains(&blog_checks), "{blog_checks}");
    assert!(world.ask("/incidents")[0].contains("#2") || world.ask("/incidents")[0].contains("#1"));
}

#[test]
fn a_check_of_a_site_that_a_reload_removed_ends_quietly() {
    let mut world = World::of(&["blog", "gone"]);
    world.fate_lasting("gone", bad(), std::time::Duration::from_secs(10));
    world.pass(31);
    world.ask("/check gone");
    world.feed(reloaded(vec![site("blog")], settings(access())));
    world.pass(120);
    assert_eq!(world.admitted, 0, "the job's permit came back");
}

#[test]
fn saves_are_few() {
    let mut world = World::of(&["blog", "shop"]).running_for(24 * 3600);
    assert!(world.saves <= 3, "{} saves on a quiet day", world.saves);
    let before = world.saves;
    for _ in 0..24 {
        world.fate_for("blog", bad(), 1800);
        world.fate_for("blog", good(40), 1800);
    }
    let saves = world.saves - before;
    assert!(saves <= 24 * 4 + 1, "{saves} saves for 24 outages");
}

#[test]
fn memory_of_a_year_of_trouble_is_bounded() {
    // Enough sites that none flaps or exceeds its allowance of alerts.
    let names: Vec<String> = (0..520).map(|n| format!("blog{n}")).collect();
    let mut world = World::new(names.iter().map(|n| site(n)).collect());
    let away = telegram_fails(None, "no route");
    world.deliveries = std::iter::repeat_n(away, 2_000_000).collect();
    for outcome in [bad(), good(40)] {
        for name in &names {
            world.fate(name, outcome.clone());
        }
        world.pass(300);
    }
    let snapshot = world.monitor.snapshot(world.now());
    assert!(snapshot.alerts.len() <= 1000, "{}", snapshot.alerts.len());
    assert!(snapshot.incidents.len() <= 51);
    world.deliveries.clear();
    world.pass(120);
    let sent = world.received().join("\n");
    assert!(
        sent.contains("older alerts were merged"),
        "nothing was dropped in silence"
    );
}

#[test]
fn after_an_absence_a_chat_reads_of_its_own_sites_alone() {
    let access = access_for(&[CHAT, GROUP]);
    let of = |name: &str, chat: i64| crate::monitor::site::Site {
        chats: Some(vec![chat]),
        ..site(name)
    };
    let sites = vec![of("blog", CHAT), of("shop", GROUP)];
    let mut world = World::with(sites.clone(), access.clone());
    for name in ["blog", "shop"] {
        world.fate(name, bad());
    }
    world.pass(300);
    let snapshot = world.monitor.snapshot(world.now());
    let mut next = World::with(sites, access);
    next.wall = world.now().wall + 60;
    next.fates = world.fates.clone();
    let now = next.now();
    next.monitor.restore(&snapshot, now);
    next.pass(200);
    let away = |chat: i64| {
        let mine = next.sent.iter().filter(|(_, m)| m.chat == chat);
        let mut mine = mine.filter(|(_, m)| m.html.contains("I was away"));
        mine.next().expect("told").1.html.clone()
    };
    assert!(away(CHAT).ends_with("; still down: blog"), "{}", away(CHAT));
    assert!(
        away(GROUP).ends_with("; still down: shop"),
        "{}",
        away(GROUP)
    );
}
