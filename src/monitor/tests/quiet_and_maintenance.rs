//! Quiet hours, in which alerts have no sound, and maintenance, in which there are no alerts.

use super::world::*;
use crate::monitor::site::Site;
use crate::monitor::site::state::State;
use crate::monitor::time::hours::{Hours, Window};
use crate::monitor::time::zone::Zone;
use crate::monitor::time::zone::tests::{AUTUMN, BERLIN, SPRING};
use crate::monitor::{Monitor, Settings};
use std::time::Duration;

const HOUR: u64 = 3600;
/// 2026-11-25, a Wednesday, 00:00 UTC.
const MIDNIGHT: i64 = 1_795_564_800;

/// Returns a site under maintenance from 02:00 to 04:00.
fn maintained(name: &str) -> Site {
    Site {
        maintenance: vec![window(120, 240)],
        ..site(name)
    }
}

/// Returns a world that starts at `wall` in `zone`.
fn world(sites: Vec<Site>, quiet: Option<Hours>, wall: i64, zone: Zone) -> World {
    let mut world = World::new(sites.clone());
    world.wall = wall;
    world.zone = zone;
    let settings = Settings {
        quiet,
        ..settings(access())
    };
    world.monitor = Monitor::new(sites, settings, world.now(), 42);
    world
}

fn in_maintenance(world: &World) -> bool {
    let blog = world.monitor.sites.named("blog");
    blog.expect("a site").under_maintenance()
}

fn slow() -> crate::monitor::site::outcome::Outcome {
    good(900)
}

#[test]
fn at_night_an_alert_arrives_without_sound_and_by_day_with_it() {
    let night = Some(Hours {
        from: 22 * 60,
        until: 7 * 60,
    });
    let mut world = world(vec![site("blog")], night, MIDNIGHT + 3600, Zone::UTC).running_for(600);
    world.fate_for("blog", bad(), 300);
    // The reminder comes six hours later, after 07:00.
    world.pass(6 * HOUR);
    let sounds: Vec<bool> = world.sent.iter().map(|(_, m)| m.silent).collect();
    assert_eq!(sounds, [true, false], "{:?}", world.received());
}

#[test]
fn the_night_goes_by_local_clocks() {
    let night = Some(Hours { from: 0, until: 60 });
    for (zone, silent) in [(Zone::UTC, false), (Zone::fixed(-3600), true)] {
        let mut world = world(vec![site("blog")], night, MIDNIGHT + 3600, zone);
        world.fate_for("blog", bad(), 300);
        assert_eq!(world.sent[0].1.silent, silent);
    }
}

#[test]
fn what_begins_and_ends_within_maintenance_is_recorded_but_not_told() {
    let sites = vec![maintained("blog"), site("shop")];
    let mut world = world(sites, None, MIDNIGHT + 3600, Zone::UTC).running_for(HOUR + 60);
    world.fate_for("blog", bad(), 1800);
    assert_eq!(world.state("blog"), State::Down);
    let status = world.ask("/status");
    assert_has(
        &status[0],
        "🔧 <b>blog</b> is under maintenance until 04:00",
    );
    assert_has(&status[0], "HTTP 503, wanted 200-299 🔧");
    world.fate_for("blog", good(40), 3 * HOUR);
    world.received();
    let incidents = world.ask("/incidents").join("");
    assert_has(&incidents, "#1 <b>blog</b> lasted 29 min 40 s");
    let sent: Vec<String> = world.received();
    assert_eq!(sent.len(), 1, "the answer alone: {sent:?}");
    assert!(world.ask("/site blog")[0].contains("Maintenance: 02:00-04:00"));
}

#[test]
fn nothing_is_told_in_the_window_and_what_is_still_down_at_its_end_once() {
    let mut world = world(vec![maintained("blog")], None, MIDNIGHT + 3600, Zone::UTC);
    world.pass(HOUR + 600);
    world.fate_for("blog", bad(), 2 * HOUR - 601);
    assert_eq!(world.received(), [""; 0]);
    world.pass(2);
    let sent = world.received();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(
        sent[0].starts_with("🔴 <b>blog</b> is still down, for 1 h 49 min"),
        "{sent:?}"
    );
    world.fate_for("blog", good(40), 120);
    assert!(world.received()[0].starts_with("🟢 <b>blog</b> is up again"));
}

#[test]
fn an_outage_from_before_is_not_repeated_in_the_window_but_its_end_is_told() {
    let blog = Site {
        remind: Some(Duration::from_secs(1800)),
        ..maintained("blog")
    };
    let mut world = world(vec![blog], None, MIDNIGHT + 3600, Zone::UTC).running_for(HOUR - 600);
    world.fate_for("blog", bad(), 600);
    assert!(world.received()[0].contains("is down"));
    world.pass(HOUR);
    assert_eq!(world.received(), [""; 0]);
    world.fate_for("blog", good(40), 120);
    assert!(world.received()[0].contains("is up again"));
}

#[test]
fn slowness_that_outlasts_the_window_is_told_at_its_end() {
    let blog = Site {
        slow: Some(Duration::from_millis(500)),
        ..maintained("blog")
    };
    let mut world = world(vec![blog], None, MIDNIGHT + 3600, Zone::UTC).running_for(HOUR + 600);
    world.fate_for("blog", slow(), HOUR);
    assert_eq!(world.received(), [""; 0]);
    world.pass(HOUR);
    assert_eq!(
        world.received(),
        ["🟡 <b>blog</b> is slow: 900 ms, limit 500 ms"]
    );
    world.fate_for("blog", good(40), 120);
    assert_eq!(world.received().len(), 1);
}

#[test]
fn slowness_is_told_after_the_window_when_the_failures_since_have_ended() {
    let blog = Site {
        slow: Some(Duration::from_millis(500)),
        tries: 50,
        ..maintained("blog")
    };
    let mut world = world(vec![blog], None, MIDNIGHT + 3600, Zone::UTC).running_for(HOUR + 600);
    world.fate_for("blog", slow(), 2 * HOUR - 600 - 60);
    assert_eq!(world.state("blog"), State::Degraded);
    world.fate_for("blog", bad(), 120);
    assert_eq!(
        world.state("blog"),
        State::Degraded,
        "it fails, but not yet so often"
    );
    assert_eq!(world.received(), [""; 0]);
    assert_has(&world.ask("/status")[0], "900 ms, limit 500 ms");
    world.received();
    world.fate_for("blog", slow(), 60);
    assert_eq!(
        world.received(),
        ["🟡 <b>blog</b> is slow: 900 ms, limit 500 ms"]
    );
}

#[test]
fn a_server_that_restarts_in_its_window_is_not_flapping_after_it() {
    let mut world = world(vec![maintained("blog")], None, MIDNIGHT + 3600, Zone::UTC);
    world.pass(HOUR + 60);
    for _ in 0..4 {
        world.fate_for("blog", bad(), 300);
        world.fate_for("blog", good(40), 300);
    }
    world.pass(2 * HOUR);
    world.fate_for("blog", bad(), 300);
    let sent = world.received();
    assert!(
        matches!(&sent[..], [one] if one.contains("is down")),
        "{sent:?}"
    );
}

#[test]
fn a_window_over_midnight_begins_on_its_day() {
    let thursday = Window {
        days: 1 << 3,
        hours: Hours {
            from: 23 * 60,
            until: 60,
        },
    };
    let blog = Site {
        maintenance: vec![thursday],
        ..site("blog")
    };
    let mut world = world(vec![blog], None, MIDNIGHT, Zone::UTC);
    let mut under = Vec::new();
    for hour in 0..72 {
        if in_maintenance(&world) {
            under.push(hour);
        }
        world.pass(HOUR);
    }
    assert_eq!(under, [47, 48]);
}

#[test]
fn windows_go_by_the_clocks_of_the_day_they_are_changed() {
    let blog = Site {
        maintenance: vec![window(2 * 60 + 15, 2 * 60 + 45)],
        ..site("blog")
    };
    // (change, start and end of the maintenance in minutes relative to it)
    for (change, from, until) in [(SPRING, 0, 45), (AUTUMN, -45, 45)] {
        let mut world = world(vec![blog.clone()], None, change - 7200, BERLIN).running_for(1);
        let mut under = Vec::new();
        for minute in -120..120 {
            if in_maintenance(&world) {
                under.push(minute);
            }
            world.pass(60);
        }
        let expected: Vec<i32> = (from..until).collect();
        assert_eq!(under, expected);
    }
}

#[test]
fn a_reload_brings_new_windows_at_once() {
    let mut world = world(
        vec![maintained("blog")],
        None,
        MIDNIGHT + 3 * 3600,
        Zone::UTC,
    );
    world.pass(1);
    assert!(in_maintenance(&world));
    world.feed(reloaded(vec![site("blog")], settings(access())));
    assert!(!in_maintenance(&world));
}
