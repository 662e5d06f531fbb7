//! Faults of this machine never count against a site.

use super::world::*;
use crate::monitor::site::outcome::{Failure, FailureKind, LocalFault, Outcome};
use crate::monitor::site::state::State;
use std::time::Duration;

fn lacking(lack: LocalFault) -> Outcome {
    Outcome {
        verdict: Err(Failure::local(lack)),
        ..good(1)
    }
}

#[test]
fn a_check_without_descriptors_counts_for_nothing_and_that_is_told_once() {
    let mut world = World::of(&["blog", "shop"]).running_for(120);
    world.fate("blog", lacking(LocalFault::Descriptors));
    world.fate_for("shop", lacking(LocalFault::Memory), 6 * 3600);
    assert_eq!(
        world.received(),
        [
            "ℹ️ This machine has no file descriptors left, so some checks could not be made: they \
             count for nothing. Raise the limit (ulimit -n, LimitNOFILE=) or lower \
             `max_connections`.",
            "ℹ️ This machine has no memory left, so some checks could not be made: they count for \
             nothing. What else runs on it?",
        ]
    );
    assert_eq!(world.state("blog"), State::Up);
    let stats = world.ask("/stats").join("");
    assert_has(&stats, "Not counted, by faults of this machine: ");
    // The fault returns after a long time without it, so it is reported again.
    world.fate("blog", good(40));
    world.fate_for("shop", good(40), 3600);
    world.received();
    world.fate_for("blog", lacking(LocalFault::Descriptors), 600);
    assert_eq!(world.received().len(), 1);
    // A fault that comes and goes is reported once.
    for _ in 0..5 {
        world.fate_for("blog", good(40), 300);
        world.fate_for("blog", lacking(LocalFault::Descriptors), 300);
    }
    assert_eq!(world.received(), [""; 0]);
    assert_eq!(
        world
            .logs
            .iter()
            .filter(|l| l.contains("over, after"))
            .count(),
        2
    );
}

#[test]
fn it_neither_breaks_nor_feeds_a_streak_of_failures() {
    let mut world = World::of(&["blog"]).running_for(120);
    // Two of three tries fail, then checks cannot be made, then the third try fails.
    world.fate("blog", bad());
    world.pass_a_check();
    world.pass_a_check();
    assert_eq!(world.state("blog"), State::Up);
    world.fate_for("blog", lacking(LocalFault::Descriptors), 120);
    assert_eq!(world.state("blog"), State::Up);
    world.received();
    world.fate("blog", bad());
    world.pass_a_check();
    assert_eq!(
        world.received(),
        ["🔴 <b>blog</b> is down: HTTP 503, wanted 200-299 (#1)"]
    );
    // An outage continues while checks cannot be made.
    world.fate_for("blog", lacking(LocalFault::Descriptors), 600);
    assert_eq!(world.state("blog"), State::Down);
    assert_eq!(world.received(), [""; 0]);
}

#[test]
fn an_interface_that_is_late_is_silence_and_one_that_stays_away_is_told() {
    let mut printer = site("printer");
    printer.interval = Duration::from_secs(3600);
    let mut world = World::new(vec![printer, site("nas")]);
    world.fate("printer", lacking(LocalFault::Address));
    world.fate_for("nas", lacking(LocalFault::Address), 100);
    assert_eq!(world.state("nas"), State::Unknown);
    world.fate("printer", good(40));
    world.fate_for("nas", good(40), 20);
    // The check is repeated before the interval of an hour is over.
    assert_eq!(world.state("printer"), State::Up);
    assert_eq!(world.received(), [""; 0]);
    world.fate_for("nas", lacking(LocalFault::Address), 3600);
    let received = world.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert_has(&received[0], "This machine has no network address");
    assert_eq!(world.state("nas"), State::Up);
}

#[test]
fn an_interface_that_is_gone_for_a_moment_now_and_then_is_silence() {
    let mut world = World::of(&["nas", "printer"]).running_for(120);
    for _ in 0..6 {
        all(
            &mut world,
            &["nas", "printer"],
            lacking(LocalFault::Address),
        );
        world.pass(65);
        all(&mut world, &["nas", "printer"], good(40));
        world.pass(5 * 60);
    }
    assert_eq!(world.received(), [""; 0]);
    // A site that alone has no address is reported.
    world.fate_for("printer", lacking(LocalFault::Address), 300);
    assert_eq!(world.received().len(), 1);
}

/// Returns a world with the site "nas", which is slow above 500 ms.
fn limited() -> World {
    let mut nas = site("nas");
    nas.slow = Some(Duration::from_millis(500));
    World::new(vec![nas]).running_for(60)
}

/// Returns a world whose site has begun to flap, and has just become slow.
fn flapping_and_slow() -> World {
    let mut world = limited();
    for n in 0..5 {
        world.fate_for("nas", good(if n % 2 == 0 { 900 } else { 40 }), 150);
    }
    assert_has(&world.received().concat(), "is flapping");
    world
}

#[test]
fn a_flapping_site_that_cannot_be_checked_is_not_told_as_it_was_before() {
    let mut world = flapping_and_slow();
    world.pass(10 * 60);
    world.fate_for("nas", lacking(LocalFault::Ports), 5 * 60);
    assert_has(&world.received().concat(), "no free port left");
    world.fate_for("nas", good(40), 15 * 60);
    assert_eq!(world.received(), [""; 0]);
    world.pass(2 * 60);
    assert_has(&world.received().concat(), "<b>nas</b> is steady again, up");
}

#[test]
fn a_mute_that_ends_while_a_site_cannot_be_checked_tells_nothing_of_it() {
    for (outcome, told) in [(good(40), None), (good(900), Some("<b>nas</b> is slow"))] {
        let mut world = limited();
        world.ask("/mute nas 10m");
        world.fate_for("nas", good(900), 5 * 60);
        world.fate_for("nas", lacking(LocalFault::Ports), 10 * 60);
        let received = world.received().concat();
        assert!(!received.contains("is slow"), "{received}");
        world.fate_for("nas", outcome, 5 * 60);
        let received = world.received().concat();
        match told {
            Some(told) => assert_has(&received, told),
            None => assert!(!received.contains("<b>nas</b>"), "{received}"),
        }
    }
}

#[test]
fn time_without_an_outcome_is_not_steady_and_does_not_undo_what_was() {
    let mut world = flapping_and_slow();
    world.pass(8 * 60);
    world.fate_for("nas", lacking(LocalFault::Ports), 10 * 60);
    assert_has(&world.received().concat(), "no free port left");
    world.fate_for("nas", good(900), 3 * 60);
    assert_eq!(world.received(), [""; 0], "slow for 11 minutes only");
    world.pass(3 * 60);
    assert_has(&world.received().concat(), "<b>nas</b> is slow");
}

#[test]
fn a_check_command_says_why_it_came_to_nothing() {
    let mut world = World::of(&["blog"]);
    world.fate("blog", lacking(LocalFault::Ports));
    world.ask("/check blog");
    world.pass(5);
    let (_, shown) = world
        .shown
        .iter()
        .rfind(|(_, m)| m.html.contains("blog"))
        .expect("it");
    assert_eq!(
        shown.html,
        "❌ <b>blog</b> this machine has no free port left"
    );
    assert_eq!(
        FailureKind::Local(LocalFault::Ports),
        Failure::local(LocalFault::Ports).kind
    );
}
