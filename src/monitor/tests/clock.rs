//! A wall clock that is not trusted, and how it becomes trusted.

use super::world::*;
use crate::monitor::site::Site;
use crate::monitor::site::outcome::FailureKind;
use crate::monitor::site::state::State;
use crate::monitor::time::zone::Zone;
use crate::monitor::{Event, Monitor, Settings};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

fn sites() -> Vec<Site> {
    vec![site("secure"), plain(site("plain"))]
}

/// Returns the outcome of a TLS handshake with a wrong clock.
fn wrong_date() -> crate::monitor::site::outcome::Outcome {
    failed(FailureKind::Tls)
}

/// Returns a world that has run for an hour, and its last snapshot.
fn ran(commands: &[&str]) -> (World, crate::monitor::persist::snapshot::Snapshot) {
    let mut world = World::new(sites()).running_for(3600);
    for command in commands {
        world.ask(command);
    }
    world.received();
    let snapshot = world.monitor.last_snapshot(world.now());
    (world, snapshot)
}

/// Sets the wall clock so that the agent started `off` seconds after the snapshot.
fn set(world: &mut World, snapshot: &crate::monitor::persist::snapshot::Snapshot, off: i64) {
    world.wall = snapshot.written + off;
}

#[test]
fn a_clock_behind_the_stamps_judges_no_certificate_and_a_mute_ends_in_time() {
    let (mut world, snapshot) = ran(&["/mute plain 8s"]);
    world.restart_showing(sites(), &snapshot, snapshot.written - 10 * DAY);
    world.fate_for("secure", wrong_date(), 6);
    assert!(world.monitor.doubts_clock());
    assert!(world.started.iter().all(|(_, name, _)| name == "plain"));
    world.fate("secure", good(40));
    set(&mut world, &snapshot, 3);
    world.pass(60);
    assert!(!world.monitor.doubts_clock());
    assert_eq!(world.received(), Vec::<String>::new());
    world.fate_for("plain", bad(), 120);
    assert!(world.received().concat().contains("<b>plain</b> is down"));
    assert_eq!(world.state("secure"), State::Up);
}

#[test]
fn an_incident_has_no_times_of_the_day_by_a_clock_that_is_doubted() {
    let (mut world, snapshot) = ran(&[]);
    world.restart_showing(sites(), &snapshot, snapshot.written - 10 * DAY);
    world.fate_for("plain", bad(), 120);
    world.received();
    let fresh = std::time::Duration::ZERO;
    world.write_waiting(CHAT, Some(1), "/incidents", 0, fresh);
    let said = world.received().concat();
    assert!(said.contains("<b>plain</b> for "), "{said}");
    assert!(!said.contains("since"), "{said}");
    set(&mut world, &snapshot, 3);
    world.pass(60);
    assert!(world.ask("/incidents").concat().contains(" (since "));
}

#[test]
fn a_little_behind_is_not_doubted() {
    let (mut world, snapshot) = ran(&[]);
    world.restart_showing(sites(), &snapshot, snapshot.written - 60);
    world.pass(1);
    assert!(!world.monitor.doubts_clock());
    world.restart_showing(sites(), &snapshot, snapshot.written - 61);
    assert!(world.monitor.doubts_clock());
}

#[test]
fn a_mute_counts_the_time_we_were_off_when_that_is_known() {
    let (mut world, snapshot) = ran(&["/mute plain 24h", "/mute 3h"]);
    world.restart_showing(sites(), &snapshot, snapshot.written - 10 * DAY);
    world.pass(60);
    // A mute that starts now is not changed when the clock is set.
    world.write(CHAT, Some(1), "/mute secure 2h", snapshot.written);
    set(&mut world, &snapshot, 10 * HOUR);
    world.pass(60);
    world.received();
    let status = world.ask("/status").concat();
    assert!(!status.contains("everything is muted"), "{status}");
    let site = world.ask("/site plain").concat();
    assert!(site.contains("muted for 13 h 58 min"), "{site}");
    let site = world.ask("/site secure").concat();
    assert!(site.contains("muted for 1 h 59 min"), "{site}");
}

#[test]
fn forty_three_years_ahead_there_is_silence_until_the_clock_is_right() {
    let mut world = World::new(sites());
    world.wall = WALL + 43 * YEAR;
    world.monitor = Monitor::new(sites(), settings(access()), world.now(), 42);
    world.fate("secure", wrong_date());
    world.fate_for("plain", wrong_date(), 3600);
    assert_eq!(world.received(), Vec::<String>::new());
    assert!(world.started.iter().all(|(_, name, _)| name == "plain"));
    assert_eq!(world.inspected, 0);
    assert_eq!(world.state("secure"), State::Unknown);
    let written = world.monitor.snapshot(world.now()).written;
    assert!(written < WALL, "no stamp of the future is written");
    world.fate("secure", good(40));
    world.fate("plain", good(40));
    world.wall = WALL;
    world.pass(70);
    assert_eq!(world.state("secure"), State::Up);
    assert_eq!(world.received(), Vec::<String>::new());
}

#[test]
fn stamps_of_a_clock_that_was_a_year_ahead_are_forgotten_once_it_is_confirmed() {
    let mut world = World::new(sites());
    world.wall = WALL + YEAR;
    world.monitor = Monitor::new(sites(), settings(access()), world.now(), 42);
    world.pass(3600);
    world.ask("/mute plain 1h");
    world.received();
    // This was no orderly stop, so the absence is reported.
    let snapshot = world.monitor.snapshot(world.now());
    world.restart_showing(sites(), &snapshot, WALL + 7200);
    world.pass(120);
    assert!(world.monitor.doubts_clock());
    assert_eq!(world.received(), Vec::<String>::new());
    world.feed(Event::ClockConfirmed);
    world.pass(60);
    assert!(!world.monitor.doubts_clock());
    assert_eq!(world.state("secure"), State::Up);
    assert_eq!(world.received(), ["ℹ️ I was away, back 10:00"]);
    let site = world.ask("/site plain").concat();
    assert!(
        site.contains("muted for 56 min") || site.contains("muted for 57 min"),
        "{site}"
    );
    // Nor is the clock doubted after the next restart.
    let snapshot = world.monitor.last_snapshot(world.now());
    world.restart(sites(), &snapshot, 10);
    assert!(!world.monitor.doubts_clock());
}

#[test]
fn what_was_confirmed_is_confirmed_until_the_clock_is_set_anew() {
    let mut world = World::new(sites());
    world.wall = WALL + 43 * YEAR;
    world.monitor = Monitor::new(sites(), settings(access()), world.now(), 42);
    world.pass(10);
    world.feed(Event::ClockConfirmed);
    assert!(!world.monitor.doubts_clock());
    world.pass(3600);
    assert_eq!(world.state("secure"), State::Up);
    // A correction of the size that a time server makes.
    world.wall += 200;
    world.pass(60);
    assert!(!world.monitor.doubts_clock());
    world.wall += YEAR;
    world.pass(60);
    assert!(world.monitor.doubts_clock());
}

#[test]
fn a_clock_before_the_build_cannot_be_confirmed() {
    let mut world = World::new(sites());
    world.wall = BUILT - 1 - HOUR;
    world.monitor = Monitor::new(sites(), settings(access()), world.now(), 42);
    world.feed(Event::ClockConfirmed);
    assert!(world.monitor.doubts_clock());
    world.pass(3599);
    assert!(world.monitor.doubts_clock());
    world.pass(60);
    assert!(!world.monitor.doubts_clock(), "past the day of the build");
}

#[test]
fn a_clock_that_is_set_far_back_while_we_run_is_doubted() {
    let mut world = World::new(sites()).running_for(3600);
    world.wall -= 10 * DAY;
    world.fate_for("secure", wrong_date(), 300);
    assert!(world.monitor.doubts_clock());
    let snapshot = world.monitor.snapshot(world.now());
    assert_eq!(
        snapshot.written,
        WALL + 3900,
        "by the clock that was believed"
    );
    assert_eq!(world.received(), Vec::<String>::new());
    world.fate("secure", good(40));
    world.wall += 10 * DAY;
    world.pass(60);
    assert!(!world.monitor.doubts_clock());
    assert_eq!(world.received(), Vec::<String>::new());
}

#[test]
fn the_digest_comes_once_a_day_though_the_clock_lagged_behind() {
    let build = |wall| {
        let mut world = World::new(sites());
        world.wall = wall;
        let settings = Settings {
            digest: Some(9 * 60),
            ..settings(access())
        };
        world.monitor = Monitor::new(sites(), settings, world.now(), 42);
        world
    };
    let digests = |world: &mut World| {
        let received = world.received();
        received
            .iter()
            .filter(|html| html.starts_with("📋"))
            .count()
    };
    let midnight = Zone::UTC.day(WALL) * DAY;
    let mut world = build(midnight).running_for((12 * HOUR) as u64);
    assert_eq!(digests(&mut world), 1);
    let snapshot = world.monitor.last_snapshot(world.now());
    let mut world = build(snapshot.written - 10 * DAY);
    world.monitor.restore(&snapshot, world.now());
    // After 09:00 by the clock that is behind.
    world.pass(60);
    set(&mut world, &snapshot, 30);
    world.pass(3600);
    assert_eq!(digests(&mut world), 0);
    world.pass(DAY as u64);
    assert_eq!(digests(&mut world), 1);
}

#[test]
fn what_ended_a_parked_poll_is_carried_out_whatever_the_clocks_say() {
    for off in [-400, 400, 3 * DAY] {
        let mut world = World::new(sites());
        let date = world.now().wall - off;
        world.write_waiting(
            CHAT,
            Some(1),
            "/status",
            date,
            std::time::Duration::from_secs(50),
        );
        world.pass(1);
        let received = world.received().concat();
        assert!(received.contains("2 unknown"), "{off}: {received}");
    }
}
