//! What the percentages count, and what they leave out.

use super::world::*;
use crate::monitor::history::{Share, Span};

fn share(world: &World, name: &str) -> Share {
    let past = &world.monitor.sites[world.monitor.index[name]].past;
    past.uptime(Span::Day, world.now().wall)
}

fn minutes(share: Share) -> (u64, u64) {
    let minutes = |d: std::time::Duration| (d.as_secs() + 30) / 60;
    (minutes(share.up), minutes(share.down))
}

fn uptime_of(world: &mut World, name: &str) -> String {
    let answer = world.ask(&format!("/site {name}")).concat();
    let line = answer.lines().find(|l| l.starts_with("Uptime"));
    line.unwrap_or_default().to_owned()
}

#[test]
fn an_outage_lowers_the_percentage_from_its_first_failure_on() {
    let mut world = World::of(&["blog"]);
    assert_eq!(uptime_of(&mut world, "blog"), "Uptime: not known yet");
    world.fate("blog", good(40));
    world.pass(9 * 3600);
    world.fate("blog", bad());
    world.pass(3600);
    world.fate("blog", good(40));
    world.pass(3600);
    assert_eq!(minutes(share(&world, "blog")), (600, 60));
    let line = uptime_of(&mut world, "blog");
    let watched = line.strip_prefix("Uptime: 90.");
    assert!(
        watched.is_some_and(|l| l.ends_with("watched (24 h, 7 d, 30 d, 90 d)")),
        "{line}"
    );
}

#[test]
fn what_is_paused_counts_neither_way() {
    let mut world = World::of(&["blog"]);
    world.fate("blog", good(40));
    world.pass(3600);
    world.ask("/pause blog");
    world.pass(7200);
    world.ask("/resume blog");
    world.pass(3600);
    assert_eq!(minutes(share(&world, "blog")), (120, 0));
}

#[test]
fn a_line_that_is_down_is_no_fault_of_the_site() {
    let mut world = World::elsewhere(vec![site("blog")]);
    world.fate("blog", from("203.0.113.34", good(40)));
    world.pass(3600);
    world.line = LINE_DOWN;
    world.fate("blog", bad());
    world.pass(7200);
    world.line = LINE_UP;
    world.fate("blog", from("203.0.113.34", good(40)));
    world.pass(3600);
    let (up, down) = minutes(share(&world, "blog"));
    assert!((118..=122).contains(&up) && down == 0, "{up} {down}");
}

#[test]
fn time_that_we_slept_through_is_not_watched() {
    let mut world = World::of(&["blog"]);
    world.fate("blog", good(40));
    world.pass(3630);
    world.monitor.next_wakeup(world.now());
    world.stall(5 * 3600);
    world.pass(3600);
    let (up, down) = minutes(share(&world, "blog"));
    assert!((119..=121).contains(&up) && down == 0, "{up} {down}");
}

#[test]
fn a_clock_that_leaps_leaves_a_gap_and_one_that_is_set_back_is_believed_in_time() {
    let mut world = World::of(&["blog"]);
    world.fate("blog", good(40));
    world.pass(3600);
    world.wall += 6 * 3600;
    world.pass(3600);
    assert_eq!(minutes(share(&world, "blog")).0, 120);
    world.wall -= 7 * 3600;
    world.pass(300);
    world.wall += 7 * 3600;
    world.pass(60);
    let (up, _) = minutes(share(&world, "blog"));
    assert!((115..=121).contains(&up), "{up}");
    // Back for good: what lies ahead is forgotten, the rest is not.
    world.wall -= 7 * 3600;
    world.pass(3600);
    let (up, down) = minutes(share(&world, "blog"));
    assert!((85..=125).contains(&up) && down == 0, "{up}");
}

#[test]
fn a_site_that_is_renamed_starts_afresh_and_one_that_stays_goes_on() {
    let mut world = World::of(&["blog", "shop"]);
    for name in ["blog", "shop", "store"] {
        world.fate(name, good(40));
    }
    world.pass(3600);
    let sites = vec![site("blog"), site("store")];
    let settings = settings(access());
    world.feed(crate::monitor::Event::Reloaded { sites, settings });
    world.pass(600);
    assert_eq!(minutes(share(&world, "blog")).0, 70);
    assert!(minutes(share(&world, "store")).0 <= 10);
}
