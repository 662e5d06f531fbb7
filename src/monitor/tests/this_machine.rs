//! Sites that check this machine: judged during uplink faults too, and degraded by a warning.

use super::world::*;
use crate::monitor::site::outcome::{FailureKind, Outcome};
use crate::monitor::site::state::State;
use crate::monitor::site::{Amount, Check, HostCheck, Site};
use std::time::Duration;

fn disk() -> Site {
    Site {
        check: Check::Host(HostCheck::Disk {
            path: "/".into(),
            free: Some(Amount::Percent(10.0)),
            warn: Some(Amount::Percent(20.0)),
            inodes: None,
        }),
        ..site("disk")
    }
}

fn backup() -> Site {
    Site {
        check: Check::Host(HostCheck::File {
            path: "/var/backups/last".into(),
            age: Some(Duration::from_secs(26 * 3600)),
            size: None,
        }),
        ..site("backup")
    }
}

fn full() -> Outcome {
    Outcome::failed(FailureKind::Limit, "disk / has 4 % free, wanted 10 %")
}

#[test]
fn a_disk_is_judged_while_the_uplink_is_down() {
    let mut world = World::elsewhere(vec![disk(), site("blog")]);
    world.fate_for("blog", from(THERE, good(40)), 120);
    world.line = LINE_DOWN;
    world.fate_for("blog", failed(FailureKind::Timeout), 300);
    assert_eq!(world.state("blog"), State::Offline);
    assert_eq!(world.state("disk"), State::Up);
    world.received();
    world.fate_for("disk", full(), 300);
    assert_eq!(
        world.received(),
        ["🔴 <b>disk</b> is down: disk / has 4 % free, wanted 10 % (#1)"]
    );
    world.fate_for("disk", good(1), 300);
    assert_eq!(world.state("disk"), State::Up);
    assert_eq!(world.state("blog"), State::Offline);
}

#[test]
fn a_full_disk_says_nothing_of_the_uplink() {
    let mut world = World::elsewhere(vec![disk()]);
    world.fate_for("disk", full(), 600);
    assert_eq!(world.state("disk"), State::Down);
    assert_eq!(world.looks, 0);
}

#[test]
fn a_warning_makes_it_degraded_after_tries_and_is_told_in_its_own_words() {
    let mut world = World::new(vec![disk()]).running_for(120);
    let warned = Outcome {
        warning: Some("disk / has 15 % free, wanted 20 %".to_owned()),
        ..good(1)
    };
    world.fate("disk", warned);
    while world.state("disk") == State::Up {
        world.pass(1);
    }
    assert_eq!(
        world.received(),
        ["🟡 <b>disk</b> is degraded: disk / has 15 % free, wanted 20 %"]
    );
    let history = world.ask("/history disk").join("");
    assert_eq!(history.matches("🟡").count(), 3, "{history}");
    let shown = world.ask("/site disk").join("");
    assert!(shown.contains("Cause: disk / has 15 % free"), "{shown}");
    world.received();
    world.fate_for("disk", good(1), 300);
    let received = world.received().concat();
    assert!(
        received.starts_with("🟢 <b>disk</b> is well again after "),
        "{received}"
    );
}

#[test]
fn the_age_of_a_file_waits_for_the_clock_and_a_disk_does_not() {
    let sites = || vec![disk(), backup()];
    let mut world = World::new(sites()).running_for(120);
    let snapshot = world.monitor.last_snapshot(world.now());
    world.restart_showing(sites(), &snapshot, snapshot.written - 86_400);
    world.started.clear();
    world.fate_for("backup", failed(FailureKind::Limit), 600);
    assert!(world.monitor.doubts_clock());
    assert!(world.started.iter().all(|(_, name, _)| name == "disk"));
    assert!(world.started.len() >= 10);
    world.wall = snapshot.written;
    world.pass(300);
    assert!(!world.monitor.doubts_clock());
    assert_eq!(world.state("backup"), State::Down);
}
