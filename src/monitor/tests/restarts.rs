//! The effects of restarts, power cuts, a late clock and configuration changes on states and
//! alerts.

use super::world::*;
use crate::monitor::Monitor;
use crate::monitor::alert::notified::Topic;
use crate::monitor::site::outcome::FailureKind;
use crate::monitor::site::state::State;
use crate::monitor::site::{Check, Site};
use std::time::Duration;
use url::Url;

#[test]
fn a_parent_that_fails_for_a_moment_makes_no_child_down() {
    for lag in [1, 400, 9_000] {
        let mut world = World::new(vec![after("blog", "router"), site("router")]);
        world.fate_lasting("blog", good(40), Duration::from_millis(lag));
        world.pass(120);
        all(&mut world, &["router", "blog"], bad());
        let suspect = |world: &World| {
            let mut sites = world.monitor.sites.iter();
            let in_doubt = sites.any(|w| w.name() == "blog" && w.pending_down().is_some());
            in_doubt && world.monitor.sites[1].is_suspect()
        };
        while !suspect(&world) {
            world.pass(1);
        }
        // The router recovers just before its next check; the check of its child takes longer.
        world.fate("router", good(40));
        world.fate_lasting("blog", good(40), Duration::from_millis(lag));
        world.pass(180);
        assert_eq!(world.received(), Vec::<String>::new(), "{lag}");
        world.fate_for("blog", bad(), 180);
        assert_eq!(world.received().len(), 1, "{lag}");
    }
}

#[test]
fn after_a_restart_nothing_is_said_to_be_down_still_before_it_was_looked_at() {
    for muted in [false, true] {
        let mut world = World::of(&["blog"]).running_for(60);
        if muted {
            world.ask("/mute 1h");
        }
        world.fate_for("blog", bad(), 120);
        world.received();
        let snapshot = world.monitor.last_snapshot(world.now());
        world.fate("blog", good(40));
        world.restart(vec![site("blog")], &snapshot, 7 * 3600);
        world.pass(120);
        let received = world.received().concat();
        assert!(!received.contains("is still down"), "{received}");
        assert_eq!(received.contains("is up again"), !muted, "{received}");
    }
}

#[test]
fn a_reminder_that_fell_into_a_restart_is_given_once_the_site_was_looked_at() {
    let mut world = World::of(&["blog"]);
    world.fate_for("blog", bad(), 120);
    world.received();
    let snapshot = world.monitor.last_snapshot(world.now());
    world.restart(vec![site("blog")], &snapshot, 7 * 3600);
    world.pass(120);
    assert!(world.received().concat().contains("is still down"));
}
#[test]
fn flapping_survives_two_restarts_without_a_clock() {
    let mut world = World::of(&["plain"]);
    let mut plain = site("plain");
    let Check::Http(check) = &mut plain.check else {
        panic!("not http")
    };
    check.url = Url::parse("http://plain.example/").unwrap();
    world.pass(60);
    for _ in 0..3 {
        world.fate_for("plain", bad(), 180);
        world.fate_for("plain", good(40), 120);
    }
    world.received();
    let mut snapshot = world.monitor.last_snapshot(world.now());
    for _ in 0..2 {
        let mut next = World::new(vec![plain.clone()]);
        next.wall = 1000;
        let settings = built_now();
        next.monitor = Monitor::new(vec![plain.clone()], settings, next.now(), 42);
        next.monitor.restore(&snapshot, next.now());
        next.pass(60);
        snapshot = next.monitor.last_snapshot(next.now());
        world = next;
    }
    world.pass(20 * 60);
    let received = world.received().concat();
    assert!(received.contains("is steady again"), "{received}");
}

#[test]
fn flapping_that_began_under_a_mute_is_told_at_its_end_also_after_a_restart() {
    for (restarts, mute) in [(0, "/mute 1h"), (1, "/mute 1h"), (2, "/mute blog 1h")] {
        let mut world = World::of(&["blog"]).running_for(60);
        world.ask(mute);
        world.received();
        let flap = |world: &mut World, times| {
            for _ in 0..times {
                world.fate_for("blog", bad(), 180);
                world.fate_for("blog", good(40), 120);
            }
        };
        flap(&mut world, 11);
        for _ in 0..restarts {
            let snapshot = world.monitor.last_snapshot(world.now());
            world.restart(vec![site("blog")], &snapshot, 5);
            world.pass(60);
        }
        assert_eq!(world.received(), [""; 0], "{restarts}");
        flap(&mut world, 4);
        let received = world.received();
        let [told] = &received[..] else {
            panic!("{restarts}: {received:?}")
        };
        assert_has(told, "<b>blog</b> is flapping, ");
        world.pass(20 * 60);
        let received = world.received().concat();
        assert_has(&received, "<b>blog</b> is steady again");
        assert!(
            !world
                .monitor
                .alerts
                .is_in_silence(&Topic::Flapping("blog".into()))
        );
    }
}

#[test]
fn a_site_that_flapped_long_before_the_end_of_a_mute_is_told_change_by_change() {
    let mut world = elsewhere(&["blog"]);
    world.ask("/mute 100m");
    world.received();
    let flap = |world: &mut World, times| {
        for _ in 0..times {
            world.fate_for("blog", from(THERE, bad()), 180);
            world.fate_for("blog", from(THERE, good(40)), 120);
        }
    };
    flap(&mut world, 4);
    // It is not judged, and so is not steady, for more than an hour.
    world.line = LINE_DOWN;
    world.fate_for("blog", failed(FailureKind::Timeout), 70 * 60);
    assert_eq!(
        world.monitor.last_snapshot(world.now()).sites[0].flapping_untold,
        None
    );
    world.line = LINE_UP;
    world.fate_for("blog", from(THERE, good(40)), 12 * 60);
    world.received();
    flap(&mut world, 1);
    let received = world.received();
    let [down, up] = &received[..] else {
        panic!("{received:?}")
    };
    assert_has(down, "<b>blog</b> is down");
    assert_has(up, "<b>blog</b> is up again");
}

#[test]
fn flapping_that_begins_and_ends_under_a_mute_is_not_told() {
    let mut world = World::of(&["blog"]).running_for(60);
    world.ask("/mute 2h");
    world.received();
    for _ in 0..4 {
        world.fate_for("blog", bad(), 180);
        world.fate_for("blog", good(40), 120);
    }
    world.pass(20 * 60);
    let snapshot = world.monitor.last_snapshot(world.now());
    assert_eq!(snapshot.sites[0].flapping_untold, None);
    world.pass(2 * 3600);
    assert_eq!(world.received(), [""; 0]);
}

#[test]
fn a_site_that_is_slow_when_it_stops_flapping_under_a_mute_is_told_at_its_end() {
    let slow = Site {
        slow: Some(Duration::from_millis(500)),
        ..site("blog")
    };
    let mut world = World::new(vec![slow]).running_for(60);
    world.ask("/mute 2h");
    world.received();
    for _ in 0..4 {
        world.fate_for("blog", bad(), 180);
        world.fate_for("blog", good(40), 120);
    }
    world.fate_for("blog", good(900), 30 * 60);
    assert_eq!(world.received(), [""; 0]);
    world.pass(2 * 3600);
    let received = world.received();
    let [told] = &received[..] else {
        panic!("{received:?}")
    };
    assert_has(told, "<b>blog</b> is slow: 900 ms");
}

#[test]
fn an_unclean_stop_is_told_although_the_next_run_ends_before() {
    let mut texts = Vec::new();
    for ends in [vec![], vec![true], vec![false, true]] {
        let mut world = World::of(&["blog"]);
        world.fate_for("blog", bad(), 120);
        let mut snapshot = world.monitor.snapshot(world.now());
        world.restart(vec![site("blog")], &snapshot, 600);
        for orderly in ends {
            // The site is not checked yet.
            snapshot = match orderly {
                true => world.monitor.last_snapshot(world.now()),
                false => world.monitor.snapshot(world.now()),
            };
            assert_eq!(world.received(), [""; 0]);
            world.restart(vec![site("blog")], &snapshot, 120);
        }
        world.pass(120);
        let received = world.received();
        let away = received.iter().filter(|text| text.contains("I was away"));
        let seen = away.map(|text| text.split(", back").next().unwrap().to_owned());
        texts.push(seen.collect::<Vec<_>>());
        snapshot = world.monitor.last_snapshot(world.now());
        assert_eq!(snapshot.unclean_since, None);
        world.restart(vec![site("blog")], &snapshot, 120);
        world.pass(120);
        assert!(!world.received().concat().contains("I was away"));
    }
    assert_eq!(texts[0].len(), 1);
    assert_eq!(texts[1..], [texts[0].clone(), texts[0].clone()]);
}

#[test]
fn a_group_with_a_long_cause_names_every_site() {
    let names: Vec<String> = (0..60).map(|n| format!("{n:0>60}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::of(&names).running_for(120);
    let cause = format!("body lacks {}", "<".repeat(180));
    all(
        &mut world,
        &names,
        crate::monitor::site::outcome::Outcome::failed(FailureKind::Body, cause),
    );
    world.pass(300);
    let received = world.received().concat();
    let missing = names.iter().filter(|n| !received.contains(**n)).count();
    assert_eq!(missing, 0);
}
#[test]
fn what_is_still_down_after_a_power_cut_is_named_when_the_clock_came_late() {
    let mut world = World::of(&["blog"]);
    world.fate_for("blog", bad(), 120);
    let snapshot = world.monitor.snapshot(world.now());
    let mut next = World::of(&["blog"]);
    next.wall = 1000;
    let settings = built_now();
    next.monitor = Monitor::new(vec![site("blog")], settings, next.now(), 42);
    next.monitor.restore(&snapshot, next.now());
    next.fate_for("blog", bad(), 600);
    next.wall = WALL + 9000;
    next.pass(120);
    let received = next.received().concat();
    assert!(received.contains("still down: blog"), "{received}");
}
#[test]
fn a_new_address_is_not_blamed_for_the_failures_of_the_old_one() {
    let mut world = elsewhere(&["blog"]);
    world.fate("blog", from(THERE, bad()));
    world.look_lasts = Duration::from_secs(4);
    while world.monitor.sites[0].pending_down().is_none() {
        world.pass(1);
    }
    let mut moved = site("blog");
    let Check::Http(check) = &mut moved.check else {
        panic!("not http")
    };
    check.url = Url::parse("https://new.example/").unwrap();
    reload(&mut world, vec![moved], true);
    world.fate_for("blog", from(THERE, good(40)), 180);
    assert_eq!(world.received(), Vec::<String>::new());
}

#[test]
fn a_clock_that_is_lost_for_a_moment_moves_no_outage() {
    let sites = || {
        let mut plain = site("plain");
        let Check::Http(check) = &mut plain.check else {
            panic!("not http")
        };
        check.url = Url::parse("http://plain.example/").unwrap();
        vec![plain]
    };
    let mut world = World::new(sites());
    world.fate_for("plain", bad(), 120);
    let snapshot = world.monitor.last_snapshot(world.now());
    let mut next = World::new(sites());
    next.wall = WALL + 3720;
    let settings = built_now();
    next.monitor = Monitor::new(sites(), settings, next.now(), 42);
    next.monitor.restore(&snapshot, next.now());
    next.fate_for("plain", bad(), 120);
    let wall = next.wall;
    for wall in [1000, wall, 1000, wall] {
        next.wall = wall;
        next.pass(60);
    }
    next.received();
    next.fate_for("plain", good(40), 90);
    let received = next.received().concat();
    assert_has(&received, "is up again after 1 h 7 min");
}

#[test]
fn a_child_is_not_told_when_its_parent_dies_with_a_slower_pace() {
    let mut router = site("router");
    router.retry = Duration::from_secs(30);
    let mut world = World::new(vec![after("blog", "router"), router]).running_for(120);
    all(&mut world, &["router", "blog"], bad());
    world.pass(400);
    let received = world.received();
    assert_eq!(received.len(), 1, "{received:?}");
    world.ask("/pause router");
    world.received();
    world.fate_for("blog", good(40), 120);
    assert_eq!(world.state("blog"), State::Up);
    world.ask("/resume router");
    world.pass(300);
    assert_eq!(world.state("blog"), State::Unreachable);
}

#[test]
fn a_migrated_group_keeps_its_alerts_over_a_restart() {
    let mut world = World::of(&["blog"]).running_for(60);
    world.fate("blog", bad());
    world
        .deliveries
        .push_back(crate::monitor::outbox::message::Delivery::Migrated { to: GROUP });
    world
        .deliveries
        .push_back(telegram_fails(Some(600), "gone"));
    world.pass(120);
    let snapshot = world.monitor.last_snapshot(world.now());
    assert!(!snapshot.alerts.is_empty());
    world.sent.clear();
    world.restart(vec![site("blog")], &snapshot, 30);
    world.fate_for("blog", bad(), 120);
    let received = world.received().concat();
    assert!(received.contains("is down"), "{received}");
}

#[test]
fn a_chat_that_is_new_after_a_restart_gets_no_end_of_what_it_knows_nothing_of() {
    let slow = Site {
        slow: Some(Duration::from_millis(500)),
        ..site("blog")
    };
    let mut world = World::new(vec![slow.clone(), site("shop")]).running_for(60);
    world.fate("blog", good(1000));
    for _ in 0..3 {
        world.fate_for("shop", good(40), 120);
        world.fate_for("shop", bad(), 180);
    }
    assert!(
        world
            .received()
            .concat()
            .contains("<b>shop</b> is flapping")
    );
    let snapshot = world.monitor.snapshot(world.now());
    let access = access_for(&[CHAT, GROUP]);
    let wall = snapshot.written + 5;
    world.restart_with(vec![slow, site("shop")], &snapshot, wall, access);
    world.fate("blog", good(40));
    world.fate_for("shop", good(40), 20 * 60);
    let ends = |chat: i64| {
        let mine = world.sent.iter().filter(|(_, m)| m.chat == chat);
        let html = mine.map(|(_, m)| m.html.as_str()).collect::<String>();
        ["<b>blog</b> is fast again", "<b>shop</b> is steady again"].map(|end| html.contains(end))
    };
    assert_eq!(ends(CHAT), [true; 2]);
    assert_eq!(ends(GROUP), [false; 2]);
}
