//! When checks start, and how rounds that are late are reported.

use super::world::*;
use crate::monitor::site::Site;
use crate::monitor::site::state::State;
use std::time::Duration;

fn times(world: &World, name: &str) -> Vec<i64> {
    let own = world.started.iter().filter(|(_, n, _)| n == name);
    own.map(|(at, _, _)| *at / 1000).collect()
}

#[test]
fn a_healthy_site_is_checked_every_interval() {
    let mut world = World::of(&["blog"]);
    world.pass(200);
    assert_eq!(times(&world, "blog"), [0, 60, 120, 180]);
    assert_eq!(world.state("blog"), State::Up);
}

#[test]
fn a_failing_site_is_tried_again_soon_and_on_a_fresh_connection() {
    let mut world = World::of(&["blog"]);
    world.pass(30);
    world.fate("blog", bad());
    world.pass(75);
    assert_eq!(times(&world, "blog"), [0, 60, 70, 80]);
    let fresh: Vec<bool> = world.started.iter().map(|(_, _, f)| *f).collect();
    assert_eq!(fresh, [false, false, true, true]);
    assert_eq!(world.state("blog"), State::Down);
}

#[test]
fn a_down_site_goes_back_to_its_interval() {
    let mut world = World::of(&["blog"]);
    world.fate("blog", bad());
    world.pass(200);
    assert_eq!(times(&world, "blog"), [0, 10, 20, 60, 120, 180]);
}

#[test]
fn a_check_longer_than_the_interval_is_never_doubled() {
    let mut fast = site("blog");
    fast.interval = Duration::from_secs(1);
    let mut world = World::new(vec![fast]);
    world.fate_lasting("blog", good(2500), Duration::from_millis(2500));
    world.pass(10);
    assert_eq!(times(&world, "blog"), [0, 3, 6, 9]);
}

#[test]
fn sites_that_ran_into_their_timeout_are_ordered_as_hanging() {
    let mut world = World::of(&["blog"]);
    world.fate("blog", hang());
    world.pass(15);
    assert_eq!(world.started.len(), 2);
    assert_eq!(world.hanging_orders, 1);
}

#[test]
fn a_stall_of_an_hour_makes_no_burst_and_no_alert() {
    let names: Vec<String> = (0..100).map(|i| format!("s{i}")).collect();
    let sites = names.iter().map(|n| site(n)).collect();
    let mut world = World::new(sites);
    world.pass(300);
    let before = world.started.len();
    world.stall(3600);
    world.pass(0);
    let burst = world.started.len() - before;
    assert!(burst <= 10, "{burst} checks at once");
    world.pass(61);
    assert!(world.started.len() - before >= 99);
    assert_eq!(world.received(), Vec::<String>::new());
}

#[test]
fn a_paused_site_is_not_checked_and_a_resumed_one_at_once() {
    let mut sleeping = site("blog");
    sleeping.paused = true;
    let mut world = World::new(vec![sleeping]);
    world.pass(300);
    assert_eq!(world.started.len(), 0);
    assert_eq!(world.state("blog"), State::Paused);
    world.ask("/resume blog");
    world.pass(1);
    assert_eq!(world.started.len(), 1);
    assert_eq!(world.state("blog"), State::Up);
}

#[test]
fn nothing_is_started_once_stopping() {
    let mut world = World::of(&["blog", "shop"]);
    world.pass(1);
    world.monitor.stop();
    let before = world.started.len();
    world.pass(600);
    assert_eq!(world.started.len(), before);
}

#[test]
fn a_thousand_sites_make_a_steady_stream() {
    let sites = (0..1000).map(|i| site(&format!("s{i}"))).collect();
    let mut world = World::new(sites);
    world.pass(600);
    for second in 0..600 {
        let n = world
            .started
            .iter()
            .filter(|(at, _, _)| at / 1000 == second)
            .count();
        assert!((12..=22).contains(&n), "{n} checks in second {second}");
    }
}

fn fast(name: &str) -> Site {
    Site {
        interval: Duration::from_secs(1),
        ..site(name)
    }
}

#[test]
fn late_rounds_are_told_once_and_counted_and_so_is_their_end() {
    let mut world = World::new(vec![fast("blog")]);
    world.pass(120);
    assert_eq!(world.received(), Vec::<String>::new());
    world.waits = Duration::from_millis(4_500);
    world.pass(50);
    assert_eq!(world.received(), Vec::<String>::new(), "not for a moment");
    world.pass(60);
    let received = world.received().concat();
    assert!(
        received.contains("Rounds are late: 60 checks/min wanted, 12 done. Raise `interval`"),
        "{received}"
    );
    assert!(world.logs.iter().any(|l| l.starts_with("Rounds are late")));
    world.pass(1800);
    assert_eq!(world.received(), Vec::<String>::new(), "once is enough");
    let stats = world.ask("/stats").concat();
    assert!(
        stats.contains(" rounds, now 60 checks/min wanted, 12 done"),
        "{stats}"
    );
    world.received();
    world.waits = Duration::ZERO;
    world.pass(3 * 3600);
    let received = world.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert!(
        received[0].contains("Rounds are on time again: they were late for 3"),
        "{received:?}"
    );
    let stats = world.ask("/stats").concat();
    assert!(
        stats.contains(" rounds\n") && !stats.contains("wanted"),
        "{stats}"
    );
}

#[test]
fn sites_that_answer_more_slowly_than_they_are_asked_for_are_late_though_none_waits() {
    let names = ["a", "b", "c", "d", "e"];
    let mut world = World::new(names.map(fast).into());
    for name in names {
        world.fate_lasting(name, good(2_500), Duration::from_millis(2_500));
    }
    world.pass(120);
    let received = world.received().concat();
    assert!(
        received.contains("Rounds are late: 5 checks/s wanted, 2 done")
            || received.contains("Rounds are late: 300 checks/min wanted, 100 done"),
        "{received}"
    );
}

#[test]
fn a_site_that_hangs_and_a_machine_that_slept_are_not_late() {
    let mut fast = site("blog");
    fast.interval = Duration::from_secs(1);
    fast.timeout = Duration::from_secs(1);
    let mut world = World::new(vec![fast]);
    world.fate_lasting("blog", hang(), Duration::from_secs(1));
    world.pass(10);
    world.waits = Duration::from_secs(30);
    world.pass(600);
    let received = world.received().concat();
    assert!(!received.contains("late"), "{received}");
}
