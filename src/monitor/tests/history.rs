//! What uptime percentages count and what they leave out.

use super::world::*;
use crate::monitor::history::{Extent, Part, Share, Span};
use crate::monitor::render::picture::Drawing;
use crate::monitor::site::Site;
use std::time::Duration;

fn share(world: &World, name: &str) -> Share {
    let site = world.monitor.sites.named(name).expect("it is watched");
    let past = world.monitor.history.of(site);
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
    world.fate_for("blog", good(40), 9 * 3600);
    world.fate_for("blog", bad(), 3600);
    world.fate_for("blog", good(40), 3600);
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
    world.fate_for("blog", good(40), 3600);
    world.ask("/pause blog");
    world.pass(7200);
    world.ask("/resume blog");
    world.pass(3600);
    assert_eq!(minutes(share(&world, "blog")), (120, 0));
}

#[test]
fn a_line_that_is_down_is_no_fault_of_the_site() {
    let mut world = World::elsewhere(vec![site("blog")]);
    world.fate_for("blog", from("203.0.113.34", good(40)), 3600);
    world.line = LINE_DOWN;
    world.fate_for("blog", bad(), 7200);
    world.line = LINE_UP;
    world.fate_for("blog", from("203.0.113.34", good(40)), 3600);
    let (up, down) = minutes(share(&world, "blog"));
    assert!((118..=122).contains(&up) && down == 0, "{up} {down}");
}

#[test]
fn time_that_we_slept_through_is_not_watched() {
    let mut world = World::of(&["blog"]);
    world.fate_for("blog", good(40), 3630);
    world.monitor.next_wakeup(world.now());
    world.stall(5 * 3600);
    world.pass(3600);
    let (up, down) = minutes(share(&world, "blog"));
    assert!((119..=121).contains(&up) && down == 0, "{up} {down}");
}

#[test]
fn a_clock_that_leaps_leaves_a_gap_and_one_that_is_set_back_is_believed_in_time() {
    let mut world = World::of(&["blog"]);
    world.fate_for("blog", good(40), 3600);
    world.wall += 6 * 3600;
    world.pass(3600);
    assert_eq!(minutes(share(&world, "blog")).0, 120);
    world.wall -= 7 * 3600;
    world.pass(300);
    world.wall += 7 * 3600;
    world.pass(60);
    let (up, _) = minutes(share(&world, "blog"));
    assert!((115..=121).contains(&up), "{up}");
    // The clock is set back permanently: records ahead of it are dropped, the others stay.
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
    world.feed(reloaded(sites, settings));
    world.pass(600);
    assert_eq!(minutes(share(&world, "blog")).0, 70);
    assert!(minutes(share(&world, "store")).0 <= 10);
}

#[test]
fn a_chart_has_its_picture_and_leads_to_the_other_spans() {
    let mut world = World::of(&["blog", "shop"]);
    world.fate("blog", good(40));
    world.fate_for("shop", good(40), 7200);
    world.fate_for("shop", bad(), 600);
    let before = world.sent.len();
    world.ask("/chart shop");
    let (_, message) = &world.sent[before];
    assert!(
        message.html.starts_with(
            "📈 <b>shop</b>, last 24 h: 92.73 % up of 2 h 9 min watched, median 39 ms"
        ),
        "{}",
        message.html
    );
    let labels: Vec<&str> = message
        .buttons
        .iter()
        .flatten()
        .map(|b| &*b.label)
        .collect();
    assert_eq!(labels, ["1h", "6h", "7d", "30d", "90d"]);
    let picture = message.picture.as_ref().expect("a picture");
    assert_eq!(picture.title, "shop, last 24 h");
    let Drawing::Chart(chart) = &picture.drawing else {
        panic!("no chart")
    };
    // Parts of five minutes since the first check.
    assert_eq!((chart.parts.len(), chart.ticks.len()), (26, 6));
    assert_eq!(chart.slow, None);
    let known = |p: &Part| p.up + p.down + p.unknown > 0.0;
    assert!(chart.parts.iter().all(known) && !chart.parts[0].is_unwatched());
    assert!(chart.parts.iter().any(|p| p.down > 0.0));

    world.ask("/chart");
    let (_, message) = world.sent.last().expect("an answer");
    assert_eq!(
        message.html,
        "📊 <b>2 sites</b>, last 24 h: 1 without an outage. Now 1 up, 1 down"
    );
    let Drawing::Strips(strips) = &message.picture.as_ref().expect("a picture").drawing else {
        panic!("no strips")
    };
    assert_eq!(strips.rows[0].name, "shop");
    assert_eq!(strips.rows[1].percent, "100 %");
}

#[test]
fn charts_of_an_hour_and_six_have_parts_of_a_minute_and_of_five() {
    let slow = Site {
        slow: Some(Duration::from_millis(500)),
        ..site("shop")
    };
    let mut world = World::new(vec![slow]);
    world.fate_for("shop", good(800), 7 * 3600);
    for (ask, title, count) in [
        ("/chart shop 1h", "shop, last hour", 60),
        ("/chart sho 6H", "shop, last 6 h", 72),
    ] {
        world.ask(ask);
        let (_, message) = world.sent.last().expect("an answer");
        let picture = message.picture.as_ref().expect("a picture");
        assert_eq!(picture.title, title);
        let Drawing::Chart(chart) = &picture.drawing else {
            panic!("no chart")
        };
        assert_eq!((chart.parts.len(), chart.slow), (count, Some(500.0)));
        assert_eq!(chart.ticks.len(), 5, "{:?}", chart.ticks);
        let slow = chart.parts.iter().filter(|part| part.is_slow(chart.slow));
        assert!(slow.count() > count - 3, "{title}");
    }
    world.ask("/chart shop 2h");
    let (_, message) = world.sent.last().expect("an answer");
    assert_eq!(
        message.html,
        "/chart shows the last 1h, 6h, 24h, 7d, 30d or 90d."
    );
}

#[test]
fn a_name_that_cannot_be_drawn_is_told_by_its_number() {
    let mut world = World::of(&["shop", "\u{7F51}\u{7AD9}", "кіт"]);
    for name in ["shop", "\u{7F51}\u{7AD9}", "кіт"] {
        world.fate(name, good(40));
    }
    world.pass(600);
    world.ask("/chart");
    let (_, message) = world.sent.last().expect("an answer");
    let lines: Vec<&str> = message.html.lines().skip(1).collect();
    assert_eq!(lines, ["#2 \u{7F51}\u{7AD9}"]);
}

#[test]
fn of_many_sites_the_worst_have_strips_and_the_rest_is_counted() {
    let names: Vec<String> = (0..50).map(|n| format!("site{n:02}")).collect();
    let mut world = World::new(names.iter().map(|n| site(n)).collect());
    for name in &names {
        world.fate(name, good(40));
    }
    world.fate_for("site44", bad(), 600);
    world.ask("/chart 7d");
    let (_, message) = world.sent.last().expect("an answer");
    let Drawing::Strips(strips) = &message.picture.as_ref().expect("a picture").drawing else {
        panic!("no strips")
    };
    assert_eq!((strips.rows.len(), strips.left_out), (20, 30));
    assert_eq!(strips.rows[0].name, "site44");
}

#[test]
fn history_is_written_once_an_hour_and_survives_a_restart_and_a_rename() {
    let mut world = World::of(&["blog", "shop"]);
    world.fate("blog", good(40));
    world.fate_for("shop", good(40), 4 * 3600);
    world.fate_for("blog", bad(), 3600);
    world.fate_for("blog", good(40), 25 * 3600);
    assert_eq!(world.history_saves, 30);
    let records = world.monitor.history_records(Extent::Whole, true);
    let until = world.now().wall;
    let (up, down) = minutes(share(&world, "blog"));
    assert_eq!((up + down, down), (1440, 0));
    let month = |world: &World, name: &str| {
        let site = world.monitor.sites.named(name).expect("it is watched");
        let past = world.monitor.history.of(site);
        minutes(past.uptime(Span::Month, until))
    };
    let before = month(&world, "blog");
    assert_eq!(before.1, 60);

    let mut next = World::of(&["blog", "store"]);
    next.wall = until + 3600;
    for record in &records {
        next.monitor.restore_history(record);
    }
    next.fate("blog", good(40));
    next.fate_for("store", good(40), 1800);
    // The hour in which the agent was off is not watched, and the last minute was incomplete.
    let after = month(&next, "blog");
    assert!(
        before.0 - after.0 <= 1 && after.1 == 60,
        "{before:?} {after:?}"
    );
    let (up, _) = minutes(share(&next, "blog"));
    assert!((1410 - 61..=1410).contains(&up), "{up}");
    assert!(minutes(share(&next, "store")).0 <= 30);
}

#[test]
fn history_from_a_future_that_never_was_is_dropped_in_time() {
    let mut world = World::of(&["blog"]);
    world.fate_for("blog", good(40), 2 * 3600);
    let records = world.monitor.history_records(Extent::Whole, true);
    let mut next = World::of(&["blog"]);
    next.wall -= 30 * 86_400;
    for record in &records {
        next.monitor.restore_history(record);
    }
    next.fate_for("blog", good(40), 2 * 3600);
    let (up, _) = minutes(share(&next, "blog"));
    assert!((105..=112).contains(&up), "{up}");
    assert!(next.monitor.history_afresh());
}
