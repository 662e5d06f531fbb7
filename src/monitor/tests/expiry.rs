//! Certificates that expire: one alert at each threshold, by date, over restarts and mutes.

use super::channels::channel;
use super::world::*;
use crate::monitor::outbox::channels::When;
use crate::monitor::outbox::channels::placeholders::Placeholder;
use crate::monitor::site::Site;
use crate::monitor::site::outcome::{Expiry, Failure, FailureKind};
use crate::monitor::site::state::State;
use std::time::Duration;

const DAY: u64 = 86_400;

fn watched() -> Site {
    let mut site = site("blog");
    site.interval = Duration::from_secs(3600);
    site.cert = Some(Duration::from_secs(14 * DAY));
    site
}

/// Returns a certificate that expires in `days` after the world begins.
fn until(days: u64) -> Expiry {
    Expiry {
        ends: WALL + (days * DAY) as i64,
        subject: "blog.example".into(),
        issuer: "R11".into(),
        key: "ECDSA P-256".into(),
    }
}

fn world(days: u64) -> World {
    let mut world = World::new(vec![watched()]);
    world.expiries.push_back(Ok(until(days)));
    world.pass(3600);
    world
}

#[test]
fn it_is_told_once_at_each_threshold_and_when_it_has_ended() {
    let mut world = world(20);
    assert_eq!(world.received(), Vec::<String>::new());
    assert_eq!(world.state("blog"), State::Up);
    world.pass(24 * DAY);
    let sent: Vec<_> = world
        .sent
        .iter()
        .map(|(at, m)| (*at as u64 / 3600, m.html.clone()))
        .collect();
    let hours: Vec<u64> = sent.iter().map(|(hour, _)| *hour).collect();
    assert_eq!(
        hours,
        [6 * 24, 13 * 24, 17 * 24, 19 * 24, 20 * 24],
        "{sent:?}"
    );
    assert_eq!(
        sent[0].1,
        "🟡 <b>blog</b>: its certificate ends in 14 d, on 4 Feb 2027 (blog.example, by R11)"
    );
    assert!(
        sent[4]
            .1
            .starts_with("🔴 <b>blog</b>: its certificate ended ")
    );
    assert_eq!(world.state("blog"), State::Degraded);
}

#[test]
fn one_that_ends_soon_from_the_start_is_told_once_by_the_nearest_threshold() {
    let mut world = world(2).running_for(12 * 3600);
    assert_eq!(world.received().len(), 1);
    assert!(world.ask("/status")[0].contains("1 degraded"));
    let site = world.ask("/site blog").concat();
    assert!(site.contains("Certificate: ends in 1 d "), "{site}");
    assert!(site.contains("blog.example by R11, ECDSA P-256"), "{site}");
}

#[test]
fn by_a_channel_its_cause_is_told() {
    let mut world = World::new(vec![watched()]);
    world.set_channels(vec![channel("ntfy", When::Always)]);
    world.expiries.push_back(Ok(until(20)));
    world.pass(24 * DAY);
    let causes: Vec<&str> = world
        .by_channels
        .iter()
        .map(|(_, sent)| sent.values.get(Placeholder::Cause))
        .collect();
    assert_eq!(causes[0], "certificate ends in 14 d");
    assert!(causes[4].starts_with("certificate ended "), "{causes:?}");
}

#[test]
fn a_renewed_certificate_clears_it_quietly() {
    let mut world = world(5);
    world.received();
    world.expiries = [Ok(until(95))].into();
    world.pass(13 * 3600);
    let (_, message) = world.sent.remove(0);
    assert!(
        message
            .html
            .starts_with("🟢 <b>blog</b> has a new certificate, it ends in 94 d")
    );
    assert!(message.silent);
    assert_eq!(world.state("blog"), State::Up);
    world.pass(30 * DAY);
    assert_eq!(world.sent.len(), 0);
}

#[test]
fn two_servers_that_show_old_and_new_in_turn_are_one_message() {
    let mut world = World::new(vec![watched()]);
    for _ in 0..20 {
        world.expiries.push_back(Ok(until(6)));
        world.expiries.push_back(Ok(until(90)));
    }
    world.pass(4 * DAY - 7200);
    let received = world.received();
    let bad = received.iter().filter(|m| m.contains("ends in")).count();
    assert!(bad <= 3, "one for each date and threshold: {received:?}");
}

#[test]
fn a_look_that_fails_is_no_alarm() {
    let mut world = World::new(vec![watched()]);
    let failure = Failure::new(FailureKind::Connect, "connection refused");
    world.expiries.push_back(Err(failure));
    world.pass(2 * DAY);
    assert_eq!(world.received(), Vec::<String>::new());
    assert!(
        world
            .ask("/site blog")
            .concat()
            .contains("Certificate: unknown: connection refused")
    );
}

#[test]
fn what_was_told_survives_a_restart() {
    let mut world = world(5);
    assert_eq!(world.received().len(), 1);
    let snapshot = world.monitor.last_snapshot(world.now());
    world.restart(vec![watched()], &snapshot, 600);
    world.expiries = [Ok(until(5))].into();
    world.pass(DAY);
    assert_eq!(world.received(), Vec::<String>::new());
    assert_eq!(world.state("blog"), State::Degraded);
}

#[test]
fn a_muted_warning_is_told_when_the_mute_is_over() {
    let mut world = World::new(vec![watched()]);
    world.expiries.push_back(Ok(until(5)));
    world.ask("/mute blog 3h");
    world.received();
    world.pass(2 * 3600);
    assert_eq!(world.received(), Vec::<String>::new());
    world.pass(3 * 3600);
    assert_eq!(world.received().len(), 1);
}

#[test]
fn a_check_by_hand_looks_at_the_certificate_too() {
    let mut world = world(50);
    let before = world.inspected;
    world.ask("/check blog");
    world.pass(5);
    assert_eq!(world.inspected, before + 1);
}

#[test]
fn looks_are_few() {
    let world = world(300).running_for(10 * DAY);
    assert!((20..=22).contains(&world.inspected), "{}", world.inspected);
}
