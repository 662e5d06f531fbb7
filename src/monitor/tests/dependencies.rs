//! Dependencies, flapping, the clock, and absences of the agent.

use super::world::*;
use crate::monitor::site::Site;
use crate::monitor::site::outcome::FailureKind;
use crate::monitor::site::state::State;
use crate::monitor::time::Now;
use crate::monitor::{Event, Monitor, Settings};
use std::time::Duration;

/// router ← switch ← nas, and router ← blog.
fn network() -> World {
    let sites = vec![
        after("nas", "switch"),
        after("switch", "router"),
        after("blog", "router"),
        site("router"),
    ];
    World::new(sites).running_for(120)
}

#[test]
fn one_message_names_the_parent_and_counts_what_is_behind_it() {
    let mut world = network();
    all(&mut world, &["nas", "switch", "blog", "router"], bad());
    world.pass(180);
    assert_eq!(
        world.received(),
        [
            "🔴 <b>router</b> is down: HTTP 503, wanted 200-299 (#1); 3 sites behind it are unreachable"
        ]
    );
    for name in ["nas", "switch", "blog"] {
        assert_eq!(world.state(name), State::Unreachable, "{name}");
    }
    all(&mut world, &["nas", "switch", "blog", "router"], good(40));
    world.pass(120);
    assert_eq!(world.received().len(), 1, "only the router's recovery");
    assert_eq!(world.state("nas"), State::Up);
}

#[test]
fn a_parent_is_checked_before_its_child_is_judged() {
    let mut world = network();
    world.fate_for("blog", bad(), 90);
    assert_eq!(world.state("blog"), State::Down);
    assert!(world.received()[0].starts_with("🔴 <b>blog</b> is down"));
    let down = world.sent.len();
    assert_eq!(down, 0);
    let router: Vec<i64> = world
        .started
        .iter()
        .filter(|(_, n, _)| n == "router")
        .map(|(at, ..)| *at)
        .collect();
    let extra = router.windows(2).filter(|w| w[1] - w[0] < 60_000).count();
    assert!(extra >= 1, "an extra look: {router:?}");
}

#[test]
fn a_child_that_fails_at_once_waits_for_its_parent() {
    let mut child = after("blog", "router");
    child.tries = 1;
    child.interval = Duration::from_secs(5);
    let mut world = World::new(vec![child, site("router")]).running_for(120);
    all(&mut world, &["blog", "router"], bad());
    world.pass(100);
    let received = world.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert!(received[0].starts_with("🔴 <b>router</b> is down"));
    assert!(received[0].ends_with("; 1 site behind it is unreachable"));
}

#[test]
fn a_parent_that_is_paused_or_gone_suppresses_no_child() {
    let mut world = network();
    all(&mut world, &["router", "blog"], bad());
    world.pass(120);
    assert_eq!(world.state("blog"), State::Unreachable);
    world.ask("/pause router");
    assert_ne!(world.state("blog"), State::Unreachable);
    world.received();
    world.pass(120);
    assert_eq!(world.state("blog"), State::Down);
    assert!(world.received()[0].starts_with("🔴 <b>blog</b> is down"));
}

#[test]
fn five_changes_in_an_hour_are_flapping_and_then_there_is_silence_until_it_is_steady() {
    let mut world = World::of(&["blog"]).running_for(60);
    for _ in 0..4 {
        world.fate_for("blog", bad(), 180);
        world.fate_for("blog", good(40), 120);
    }
    let received = world.received();
    assert_eq!(received.len(), 5, "{received:?}");
    assert!(received[4].starts_with("🟠 <b>blog</b> is flapping, down now: HTTP 503"));
    world.pass(15 * 60);
    let received = world.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert!(received[0].starts_with("🟢 <b>blog</b> is steady again, up for 15 min"));
    world.fate_for("blog", bad(), 120);
    assert!(world.received()[0].starts_with("🔴 <b>blog</b> is down"));
}

#[test]
fn what_flapped_is_not_steady_while_it_fails() {
    let minute = Duration::from_secs(60);
    let mut world = World::new(vec![Site {
        tries: 5,
        retry: minute,
        ..site("blog")
    }]);
    world.pass(60);
    for _ in 0..3 {
        world.fate("blog", bad());
        world.pass(360);
        world.fate("blog", good(40));
        while world.state("blog") != State::Up {
            world.pass(1);
        }
    }
    let flapping = world.received().pop().expect("the fifth change");
    assert!(flapping.contains("is flapping"), "{flapping}");
    world.pass(840);
    world.fate("blog", bad());
    world.pass(120);
    assert_eq!(world.received(), Vec::<String>::new());
    world.fate("blog", good(40));
    world.pass(62);
    let received = world.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert!(received[0].starts_with("🟢 <b>blog</b> is steady again, up for 1"));
}

#[test]
fn what_flapped_and_stays_down_is_told_and_its_end_too() {
    let mut world = World::of(&["blog"]).running_for(60);
    for _ in 0..3 {
        world.fate_for("blog", good(40), 120);
        world.fate_for("blog", bad(), 180);
    }
    let sent = world.received().pop().expect("the fifth change");
    assert!(
        sent.contains("flapping, down now: HTTP 503")
            && sent.contains("not told until it has been up for 15 min or down for 5 min"),
        "{sent}"
    );
    world.pass(2 * 60);
    assert_eq!(world.received(), Vec::<String>::new());
    world.pass(60);
    let received = world.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert!(
        received[0].starts_with("🔴 <b>blog</b> has been down for 5 min without a break"),
        "{received:?}"
    );
    world.fate_for("blog", good(40), 70);
    assert!(world.received()[0].starts_with("🟢 <b>blog</b> is up again"));
}

#[test]
fn a_flapping_site_that_is_down_for_less_than_five_minutes_at_a_time_is_not_told() {
    let mut world = World::of(&["blog"]).running_for(60);
    for _ in 0..3 {
        world.fate_for("blog", good(40), 120);
        world.fate_for("blog", bad(), 180);
    }
    world.received();
    let status = world.ask("/status").concat();
    assert!(status.contains("1 down, 1 flapping</b>"), "{status}");
    world.fate_for("blog", good(40), 120);
    let status = world.ask("/status").concat();
    assert!(status.contains("<b>1 up, 1 flapping</b>"), "{status}");
    world.received();
    for _ in 0..6 {
        world.fate_for("blog", bad(), 4 * 60);
        world.fate_for("blog", good(40), 12 * 60);
    }
    assert_eq!(world.received(), Vec::<String>::new());
    world.pass(4 * 60);
    assert!(world.received()[0].starts_with("🟢 <b>blog</b> is steady again, up for 15 min"));
    let status = world.ask("/status").concat();
    assert!(status.contains("<b>1 up</b>"), "{status}");
}

#[test]
fn flapping_survives_a_restart() {
    let mut world = World::of(&["blog"]).running_for(60);
    for _ in 0..3 {
        world.fate_for("blog", bad(), 180);
        world.fate_for("blog", good(40), 120);
    }
    let snapshot = world.monitor.last_snapshot(world.now());
    world.received();
    world.restart(vec![site("blog")], &snapshot, 30);
    world.fate_for("blog", bad(), 180);
    assert_eq!(world.received(), Vec::<String>::new());
    world.fate_for("blog", good(40), 20 * 60);
    assert!(world.received()[0].contains("is steady again"));
}

/// Returns a world whose wall clock is not set: it shows a time before the program was built
/// ([`WALL`]).
fn unset() -> World {
    unset_with(vec![site("blog"), plain(site("plain"))])
}

fn unset_with(sites: Vec<Site>) -> World {
    let mut world = World::new(sites.clone());
    world.wall = 1000;
    let settings = built_now();
    world.monitor = Monitor::new(sites, settings, world.now(), 42);
    world
}

#[test]
fn without_a_clock_https_sites_stay_unknown_and_plain_ones_are_judged() {
    let mut world = unset();
    world.fate_for("plain", bad(), 300);
    assert_eq!(world.state("blog"), State::Unknown);
    assert_eq!(world.state("plain"), State::Down);
    assert!(world.logs.iter().any(|l| l.starts_with("clock not set")));
    assert!(world.started.iter().all(|(_, n, _)| n == "plain"));
    world.write(CHAT, Some(1), "/check blog", WALL + 400);
    let answer = world.received().concat();
    assert!(answer.contains("the clock is not set yet"), "{answer}");
    world.wall = WALL + 5;
    world.pass(70);
    assert_eq!(world.state("blog"), State::Up);
    assert!(world.logs.iter().any(|l| l == "the clock is set"));
}

#[test]
fn a_site_that_is_not_checked_is_not_steady() {
    let mut world = World::of(&["blog"]).running_for(60);
    for _ in 0..3 {
        world.fate_for("blog", bad(), 180);
        world.fate_for("blog", good(40), 120);
    }
    let snapshot = world.monitor.last_snapshot(world.now());
    let wall = world.now().wall + 10;
    let mut world = unset();
    world.monitor.restore(&snapshot, world.now());
    world.pass(20 * 60);
    assert_eq!(world.received(), Vec::<String>::new());
    world.wall = wall;
    world.pass(10 * 60);
    assert_eq!(world.received(), Vec::<String>::new());
    world.pass(10 * 60);
    assert!(world.received()[0].contains("is steady again"));
}

#[test]
fn a_redirect_to_https_without_a_clock_is_not_judged_either() {
    let mut world = unset();
    world.fate_for("plain", failed(FailureKind::Tls), 300);
    assert_eq!(world.state("plain"), State::Unknown);
}

#[test]
fn a_parent_that_cannot_be_judged_without_a_clock_is_not_checked_again_and_again() {
    let sites = vec![plain(after("child", "plain")), plain(site("plain"))];
    let mut world = unset_with(sites).running_for(60);
    all(&mut world, &["child"], bad());
    all(&mut world, &["plain"], failed(FailureKind::Tls));
    let begun = world.started.len();
    world.pass(180);
    let looks = world.started[begun..].iter();
    let looks = looks.filter(|(_, name, _)| name == "plain").count();
    assert!(looks <= 6, "{looks} checks in three minutes");
}

#[test]
fn what_is_written_without_a_clock_is_dated_by_what_was_last_known() {
    let mut world = unset();
    let snapshot = crate::monitor::persist::snapshot::Snapshot {
        written: WALL + 500,
        clean: true,
        ..Default::default()
    };
    world.monitor.restore(&snapshot, world.now());
    world.fate_for("plain", bad(), 100);
    let next = world.monitor.snapshot(world.now());
    assert_eq!(next.written, WALL + 600);
    assert!(next.incidents[0].start >= WALL + 500);
}

#[test]
fn when_the_clock_is_set_the_time_we_were_off_is_known() {
    let mut world = unset();
    let mut snapshot = world.monitor.snapshot(world.now());
    snapshot.written = WALL + 500;
    snapshot.sites[1].changes = vec![WALL + 100, WALL + 200, WALL + 300, WALL + 400];
    snapshot.sites[1].state = "up".into();
    world.monitor.restore(&snapshot, world.now());
    world.pass(60);
    world.wall = WALL + 9000;
    world.fate_for("plain", bad(), 100);
    let received = world.received().concat();
    assert!(
        received.contains("<b>plain</b> is down"),
        "not flapping: {received}"
    );
    assert_has(&received, "I was away, last seen 08:08, back 10:30");
}

#[test]
fn a_clock_that_jumps_makes_no_burst_no_alert_and_no_negative_time() {
    let mut world = World::of(&["blog", "shop"]).running_for(120);
    world.fate_for("blog", bad(), 100);
    world.received();
    for jump in [6 * 3600, -9 * 3600, 400 * 86_400, -400 * 86_400] {
        world.wall += jump;
        if jump == -9 * 3600 {
            // The clock is behind our own stamps: nothing is judged until it is confirmed. The
            // later jump back returns to a confirmed time.
            let before = world.started.len();
            world.pass(60);
            assert_eq!(world.started.len(), before);
            world.feed(Event::ClockConfirmed);
            world.pass(60);
        }
        let before = world.started.len();
        world.pass(60);
        assert_eq!(world.started.len() - before, 2);
        assert_eq!(world.received(), Vec::<String>::new());
        let site = world.ask("/site blog").concat();
        assert!(site.contains(" has been down for "), "{site}");
        world.received();
        let snapshot = world.monitor.snapshot(world.now());
        assert!(snapshot.incidents[0].start <= snapshot.written);
    }
    world.fate_for("blog", good(40), 60);
    assert!(world.received()[0].starts_with("🟢 <b>blog</b> is up again after 7 min"));
}

#[test]
fn after_an_unclean_stop_one_message_says_since_when_we_were_blind() {
    let mut world = World::of(&["a", "b", "c"]);
    all(&mut world, &["a", "b"], bad());
    world.pass(120);
    world.received();
    let snapshot = world.monitor.snapshot(world.now());
    let names = || vec![site("a"), site("b"), site("c")];
    world.restart(names(), &snapshot, 3600);
    world.fate_for("b", good(40), 100);
    let sent = world.received();
    assert_eq!(sent.len(), 1, "{sent:?}");
    let all = sent.concat();
    assert!(all.contains("<b>b</b> is up again after 1 h"), "{all}");
    assert_has(
        &all,
        "I was away, last seen 08:02, back 09:02; still down: a",
    );
    let snapshot = world.monitor.last_snapshot(world.now());
    world.restart(names(), &snapshot, 3600);
    world.pass(100);
    assert_eq!(
        world.received(),
        Vec::<String>::new(),
        "an orderly stop is no news"
    );
}

#[test]
fn the_heart_beats_every_minute_while_checks_end() {
    let sites = vec![site("blog")];
    let mut world = World::new(sites.clone());
    let settings = Settings {
        heartbeat: true,
        ..settings(access())
    };
    world.monitor = Monitor::new(sites, settings, world.now(), 42);
    world.pass(600);
    assert!((10..=11).contains(&world.beats), "{}", world.beats);
    let now = world.now();
    assert!(world.monitor.healthy(now));
    // A check starts and never ends.
    let until = Duration::from_secs(60);
    let started = world.monitor.handle(
        Now {
            uptime: now.uptime + until,
            ..now
        },
        Event::Due,
    );
    assert!(!started.is_empty());
    let later = Now {
        uptime: now.uptime + Duration::from_secs(600),
        ..now
    };
    assert!(!world.monitor.healthy(later));
    let beats = world.monitor.handle(later, Event::Due);
    assert!(
        beats
            .iter()
            .all(|a| !matches!(a, crate::monitor::Action::Heartbeat))
    );
}
