//! What an unkind reader found: stories that once ended wrong.

use super::world::*;
use crate::monitor::alert::News;
use crate::monitor::judge::State;
use crate::monitor::line::{Period, Report};
use crate::monitor::outcome::FailureKind;
use crate::monitor::site::{Check, Site};
use crate::monitor::time::Moment;
use crate::monitor::{Event, Monitor, Settings};
use std::time::Duration;

const THERE: &str = "203.0.113.34";
const HERE: &str = "192.168.1.5";
const SIX: &str = "2001:db8::6";

const NO_NAMES: Report = Report {
    names: Some(false),
    ..LINE_UP
};
const NAMES: Report = Report {
    names: Some(true),
    ..LINE_UP
};

fn elsewhere(names: &[&str]) -> World {
    let mut world = World::elsewhere(names.iter().map(|n| site(n)).collect());
    all(&mut world, names, from(THERE, good(40)));
    world.pass(120);
    world.heard();
    world
}

fn all(world: &mut World, names: &[&str], outcome: crate::monitor::outcome::Outcome) {
    for name in names {
        world.fate(name, outcome.clone());
    }
}

fn reload(world: &mut World, sites: Vec<Site>, uplink: bool) {
    let settings = Settings {
        uplink,
        ..settings(access())
    };
    world.feed(Event::Reloaded { sites, settings });
}

fn after(name: &str, parent: &str) -> Site {
    let mut site = site(name);
    site.after = Some(parent.to_owned());
    site
}

#[test]
fn a_look_that_ends_after_uplink_was_emptied_makes_nobody_offline() {
    let mut world = elsewhere(&["blog"]);
    reload(&mut world, vec![site("blog")], false);
    world.feed(Event::Probed(LINE_DOWN));
    world.pass(120);
    assert_eq!(world.state("blog"), State::Up);
    world.fate("blog", from(THERE, bad()));
    world.pass(120);
    assert_eq!(world.heard().len(), 1);
}
#[test]
fn a_parent_that_fails_for_a_moment_makes_no_child_down() {
    for lag in [1, 400, 9_000] {
        let mut world = World::new(vec![after("blog", "router"), site("router")]);
        world.fate_lasting("blog", good(40), Duration::from_millis(lag));
        world.pass(120);
        all(&mut world, &["router", "blog"], bad());
        let suspect = |world: &World| {
            let mut sites = world.monitor.sites.iter();
            let in_doubt = sites.any(|w| w.name() == "blog" && w.doubt.is_some());
            in_doubt && world.monitor.sites[1].judge.suspect()
        };
        while !suspect(&world) {
            world.pass(1);
        }
        // The router is back just before it is looked at again; its child is slower.
        world.fate("router", good(40));
        world.fate_lasting("blog", good(40), Duration::from_millis(lag));
        world.pass(180);
        assert_eq!(world.heard(), Vec::<String>::new(), "{lag}");
        world.fate("blog", bad());
        world.pass(180);
        assert_eq!(world.heard().len(), 1, "{lag}");
    }
}

#[test]
fn a_look_that_takes_longer_than_a_retry_still_says_who_is_at_fault() {
    for kind in [FailureKind::Dns, FailureKind::Connect] {
        let mut hasty = site("blog");
        hasty.retry = Duration::from_secs(1);
        let mut world = World::elsewhere(vec![hasty, site("shop")]);
        all(&mut world, &["blog", "shop"], from(THERE, good(40)));
        world.pass(120);
        world.heard();
        world.line = NAMES;
        world.look_lasts = Duration::from_secs(4);
        world.fate("blog", failed(kind));
        world.pass(180);
        assert_eq!(world.state("blog"), State::Down, "{kind:?}");
    }
}
#[test]
fn a_trouble_that_comes_back_and_stays_is_told_in_the_end() {
    let mut world = elsewhere(&["blog"]);
    for last in [false, true] {
        world.line = NO_NAMES;
        world.fate("blog", failed(FailureKind::Dns));
        world.pass(if last { 1800 } else { 180 });
        assert_eq!(world.state("blog"), State::Offline);
        let heard = world.heard();
        assert_eq!(heard.len(), 1, "{heard:?}");
        assert!(heard[0].contains("DNS on this network doesn't answer"));
        world.line = NAMES;
        world.fate("blog", from(THERE, good(40)));
        world.pass(90);
        assert!(world.heard().concat().contains("answers again"));
    }
}

#[test]
fn a_trouble_that_began_in_silence_and_outlasts_it_is_told_then() {
    for unmuted in [false, true] {
        let mut world = elsewhere(&["blog"]);
        world.ask("/mute 1h");
        world.heard();
        world.line = NO_NAMES;
        world.fate("blog", failed(FailureKind::Dns));
        world.pass(1200);
        assert_eq!(world.heard(), Vec::<String>::new());
        if unmuted {
            world.ask("/unmute");
            world.pass(5);
        } else {
            world.pass(3600);
        }
        let heard = world.heard().concat();
        assert!(
            heard.contains("DNS on this network doesn't answer"),
            "{heard}"
        );
    }
}
#[test]
fn names_of_this_network_alone_end_the_trouble_with_names_too() {
    let mut world = World::of(&["nas"]);
    world.fate("nas", from(HERE, good(3)));
    world.pass(120);
    world.fate("nas", failed(FailureKind::Dns));
    world.pass(180);
    assert_eq!(world.heard().len(), 1);
    world.fate("nas", from(HERE, good(3)));
    world.pass(120);
    assert_eq!(world.state("nas"), State::Up);
    let heard = world.heard().concat();
    assert!(heard.contains("answers again"), "{heard}");
    assert!(!world.ask("/status").concat().contains("📡"));
}
#[test]
fn an_uplink_that_is_asked_no_more_covers_nobody() {
    let mut world = elsewhere(&["blog", "six"]);
    world.fate("six", from(SIX, good(10)));
    world.pass(70);
    world.line = Report {
        ipv6: Some(false),
        trusted: Some(false),
        ..LINE_UP
    };
    world.fate("six", from(SIX, failed(FailureKind::NoRoute)));
    world.fate("blog", from(THERE, failed(FailureKind::Untrusted)));
    world.pass(180);
    assert_eq!(world.state("six"), State::Offline);
    assert_eq!(world.state("blog"), State::Offline);
    world.heard();
    reload(&mut world, vec![site("blog"), site("six")], false);
    world.pass(180);
    assert_eq!(world.state("six"), State::Down);
    assert_eq!(world.state("blog"), State::Down);
}
#[test]
fn what_flapped_and_stays_slow_is_not_called_fine() {
    let mut slow = site("blog");
    slow.slow = Some(Duration::from_millis(500));
    let mut world = World::new(vec![slow]);
    world.pass(60);
    for n in 0..5 {
        world.fate("blog", good(if n % 2 == 0 { 900 } else { 40 }));
        world.pass(150);
    }
    let heard = world.heard().concat();
    assert!(heard.contains("is flapping"), "{heard}");
    world.pass(20 * 60);
    let heard = world.heard().concat();
    assert!(heard.contains("<b>blog</b> is slow"), "{heard}");
    world.fate("blog", good(40));
    world.pass(90);
    assert!(world.heard().concat().contains("is fast again"));
}

fn period(from: i64, times: u32) -> News {
    News::Offline(Period {
        from,
        until: from + 60 * i64::from(times),
        times,
        total: Duration::from_secs(60),
    })
}
#[test]
fn an_offline_period_that_waits_is_not_overwritten_by_another_story() {
    let mut world = World::of(&["blog"]);
    let outbox = &mut world.monitor.outbox;
    outbox.push_offline(period(WALL, 1), vec![CHAT], &[], false, Moment(0));
    outbox.push_offline(period(WALL + 9000, 1), vec![CHAT], &[], false, Moment(0));
    outbox.push_offline(period(WALL + 9000, 2), vec![CHAT], &[], true, Moment(0));
    let waiting: Vec<&News> = outbox.alerts().map(|a| &a.news).collect();
    assert_eq!(waiting, [&period(WALL, 1), &period(WALL + 9000, 2)]);
}

#[test]
fn an_offline_period_never_takes_the_place_of_an_older_story() {
    let mut world = elsewhere(&["blog"]);
    let offline = |world: &mut World| {
        world.line = LINE_DOWN;
        world.fate("blog", failed(FailureKind::NoRoute));
        world.pass(120);
        world.line = LINE_UP;
        world.fate("blog", from(THERE, good(40)));
        world.pass(90);
    };
    offline(&mut world);
    assert_eq!(world.heard().len(), 1);
    world.pass(7200);
    world.ask("/mute 4m");
    offline(&mut world);
    world.heard();
    offline(&mut world);
    let edits: Vec<_> = world.told.iter().map(|(_, m)| m.edit).collect();
    assert_eq!(edits, [None], "its own message");
}

#[test]
fn a_message_that_tells_two_stories_is_left_as_it_is() {
    let mut world = World::of(&["blog"]);
    let outbox = &mut world.monitor.outbox;
    outbox.push_offline(period(WALL, 1), vec![CHAT], &[], false, Moment(0));
    outbox.push_offline(period(WALL + 9000, 1), vec![CHAT], &[], false, Moment(0));
    world.pass(60);
    assert_eq!(world.heard().len(), 1);
    assert_eq!(world.monitor.told_offline, []);
}
#[test]
fn after_a_restart_nothing_is_said_to_be_down_still_before_it_was_looked_at() {
    for muted in [false, true] {
        let mut world = World::of(&["blog"]);
        world.pass(60);
        if muted {
            world.ask("/mute 1h");
        }
        world.fate("blog", bad());
        world.pass(120);
        world.heard();
        let snapshot = world.monitor.last_snapshot(world.now());
        world.fate("blog", good(40));
        world.restart(vec![site("blog")], &snapshot, 7 * 3600);
        world.pass(120);
        let heard = world.heard().concat();
        assert!(!heard.contains("is still down"), "{heard}");
        assert_eq!(heard.contains("is up again"), !muted, "{heard}");
    }
}

#[test]
fn a_reminder_that_fell_into_a_restart_is_given_once_the_site_was_looked_at() {
    let mut world = World::of(&["blog"]);
    world.fate("blog", bad());
    world.pass(120);
    world.heard();
    let snapshot = world.monitor.last_snapshot(world.now());
    world.restart(vec![site("blog")], &snapshot, 7 * 3600);
    world.pass(120);
    assert!(world.heard().concat().contains("is still down"));
}
#[test]
fn flapping_survives_two_restarts_without_a_clock() {
    let mut world = World::of(&["plain"]);
    let mut plain = site("plain");
    let Check::Http(check) = &mut plain.check;
    check.url = "http://plain.example/".into();
    world.pass(60);
    for _ in 0..3 {
        world.fate("plain", bad());
        world.pass(180);
        world.fate("plain", good(40));
        world.pass(120);
    }
    world.heard();
    let mut snapshot = world.monitor.last_snapshot(world.now());
    for _ in 0..2 {
        let mut next = World::new(vec![plain.clone()]);
        next.wall = 1000;
        let settings = Settings {
            built: WALL,
            ..settings(access())
        };
        next.monitor = Monitor::new(vec![plain.clone()], settings, next.now(), 42);
        next.monitor.restore(&snapshot, next.now());
        next.pass(60);
        snapshot = next.monitor.last_snapshot(next.now());
        world = next;
    }
    world.pass(20 * 60);
    let heard = world.heard().concat();
    assert!(heard.contains("is steady again"), "{heard}");
}
#[test]
fn a_trouble_that_was_not_told_before_a_power_cut_is_told_after_it() {
    let mut world = elsewhere(&["blog"]);
    world.ask("/mute 1h");
    world.heard();
    world.line = NO_NAMES;
    world.fate("blog", failed(FailureKind::Dns));
    world.pass(180);
    let snapshot = world.monitor.last_snapshot(world.now());
    let mut next = World::elsewhere(vec![site("blog")]);
    next.wall = world.now().wall + 7200;
    next.monitor.restore(&snapshot, next.now());
    next.line = NO_NAMES;
    next.fate("blog", failed(FailureKind::Dns));
    next.pass(180);
    let heard = next.heard().concat();
    assert!(
        heard.contains("DNS on this network doesn't answer"),
        "{heard}"
    );
}
#[test]
fn a_site_that_answers_over_ipv6_is_judged_whatever_the_targets_say() {
    let mut world = elsewhere(&["six"]);
    world.fate("six", from(SIX, good(10)));
    world.pass(70);
    world.line = Report {
        ipv6: Some(false),
        ..LINE_UP
    };
    world.fate("six", from(SIX, bad()));
    world.pass(120);
    assert_eq!(world.state("six"), State::Down);
}
#[test]
fn a_group_with_a_long_cause_names_every_site() {
    let names: Vec<String> = (0..60).map(|n| format!("{n:0>60}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::of(&names);
    world.pass(120);
    let cause = format!("body lacks {}", "<".repeat(180));
    all(
        &mut world,
        &names,
        crate::monitor::outcome::Outcome::failed(FailureKind::Body, cause),
    );
    world.pass(300);
    let heard = world.heard().concat();
    let missing = names.iter().filter(|n| !heard.contains(**n)).count();
    assert_eq!(missing, 0);
}
#[test]
fn what_is_still_down_after_a_power_cut_is_named_when_the_clock_came_late() {
    let mut world = World::of(&["blog"]);
    world.fate("blog", bad());
    world.pass(120);
    let snapshot = world.monitor.snapshot(world.now());
    let mut next = World::of(&["blog"]);
    next.wall = 1000;
    let settings = Settings {
        built: WALL,
        ..settings(access())
    };
    next.monitor = Monitor::new(vec![site("blog")], settings, next.now(), 42);
    next.monitor.restore(&snapshot, next.now());
    next.fate("blog", bad());
    next.pass(600);
    next.wall = WALL + 9000;
    next.pass(120);
    let heard = next.heard().concat();
    assert!(heard.contains("still down: blog"), "{heard}");
}
#[test]
fn without_an_uplink_a_name_of_its_own_is_told_from_all_names() {
    let mut world = World::of(&["blog", "shop"]);
    all(&mut world, &["blog", "shop"], from(THERE, good(40)));
    world.pass(120);
    world.fate("blog", failed(FailureKind::Dns));
    world.pass(300);
    assert_eq!(world.state("blog"), State::Down);
    let heard = world.heard();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].starts_with("🔴 <b>blog</b> is down"));
    let fresh = |(_, name, fresh): &(i64, String, bool)| name == "shop" && *fresh;
    assert!(
        world.started.iter().any(fresh),
        "no open connection says anything"
    );
}

#[test]
fn a_site_that_answers_wrongly_over_ipv6_again_is_judged_again() {
    let mut world = elsewhere(&["six"]);
    world.fate("six", from(SIX, good(10)));
    world.pass(70);
    world.line = Report {
        ipv6: Some(false),
        ..LINE_UP
    };
    world.fate("six", from(SIX, failed(FailureKind::NoRoute)));
    world.pass(180);
    assert_eq!(world.state("six"), State::Offline);
    world.fate("six", from(SIX, bad()));
    world.pass(180);
    assert_eq!(world.state("six"), State::Down);
}

#[test]
fn a_new_address_is_not_blamed_for_the_failures_of_the_old_one() {
    let mut world = elsewhere(&["blog"]);
    world.fate("blog", from(THERE, bad()));
    world.look_lasts = Duration::from_secs(4);
    while world.monitor.sites[0].doubt.is_none() {
        world.pass(1);
    }
    let mut moved = site("blog");
    let Check::Http(check) = &mut moved.check;
    check.url = "https://new.example/".into();
    reload(&mut world, vec![moved], true);
    world.fate("blog", from(THERE, good(40)));
    world.pass(180);
    assert_eq!(world.heard(), Vec::<String>::new());
}

#[test]
fn a_clock_that_is_lost_for_a_moment_moves_no_outage() {
    let sites = || {
        let mut plain = site("plain");
        let Check::Http(check) = &mut plain.check;
        check.url = "http://plain.example/".into();
        vec![plain]
    };
    let mut world = World::new(sites());
    world.fate("plain", bad());
    world.pass(120);
    let snapshot = world.monitor.last_snapshot(world.now());
    let mut next = World::new(sites());
    next.wall = WALL + 3720;
    let settings = Settings {
        built: WALL,
        ..settings(access())
    };
    next.monitor = Monitor::new(sites(), settings, next.now(), 42);
    next.monitor.restore(&snapshot, next.now());
    next.fate("plain", bad());
    next.pass(120);
    let wall = next.wall;
    for wall in [1000, wall, 1000, wall] {
        next.wall = wall;
        next.pass(60);
    }
    next.heard();
    next.fate("plain", good(40));
    next.pass(90);
    let heard = next.heard().concat();
    assert!(heard.contains("is up again after 1 h 7 min"), "{heard}");
}

#[test]
fn an_offline_period_over_a_power_cut_is_dated_right_though_the_clock_came_late() {
    let blog = || vec![site("blog")];
    for (line_back, clock_set) in [(0, 30), (60, 30)] {
        let mut next = World::elsewhere(blog());
        let mut snapshot = next.monitor.snapshot(next.now());
        snapshot.written = WALL + 500;
        snapshot.offline_since = Some(WALL);
        snapshot.clean = true;
        next.wall = 1000;
        let settings = Settings {
            built: WALL,
            uplink: true,
            ..settings(access())
        };
        next.monitor = Monitor::new(blog(), settings, next.now(), 42);
        next.monitor.restore(&snapshot, next.now());
        next.deliveries
            .push_back(crate::monitor::message::Delivery::Later {
                after: Some(Duration::from_secs(90)),
                everywhere: true,
                reason: "clock not set".into(),
            });
        next.look_lasts = Duration::from_millis(50);
        next.fate("blog", from(THERE, good(40)));
        next.line = if line_back == 0 { LINE_UP } else { LINE_DOWN };
        next.pass(clock_set);
        next.wall = WALL + 9000;
        next.pass(30);
        next.line = LINE_UP;
        next.pass(200);
        let heard = next.heard().concat();
        assert!(heard.contains("I was offline 08:00–10:3"), "{heard}");
        assert!(heard.contains("(2 h 3"), "{heard}");
    }
}

#[test]
fn a_plain_site_behind_a_captive_portal_is_not_blamed() {
    let sites = || {
        let mut plain = site("plain");
        let Check::Http(check) = &mut plain.check;
        check.url = "http://plain.example/".into();
        vec![plain, site("blog")]
    };
    let mut world = World::elsewhere(sites());
    all(&mut world, &["plain", "blog"], from(THERE, good(40)));
    world.pass(120);
    world.heard();
    world.line = Report {
        names: Some(true),
        trusted: Some(false),
        ..LINE_UP
    };
    world.fate("plain", from(THERE, failed(FailureKind::Body)));
    world.fate("blog", from(THERE, failed(FailureKind::Untrusted)));
    world.pass(300);
    let heard = world.heard();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].contains("a captive portal?"), "{heard:?}");
}

#[test]
fn a_child_is_not_told_when_its_parent_dies_with_a_slower_pace() {
    let mut router = site("router");
    router.retry = Duration::from_secs(30);
    let mut world = World::new(vec![after("blog", "router"), router]);
    world.pass(120);
    all(&mut world, &["router", "blog"], bad());
    world.pass(400);
    let heard = world.heard();
    assert_eq!(heard.len(), 1, "{heard:?}");
    world.ask("/pause router");
    world.heard();
    world.fate("blog", good(40));
    world.pass(120);
    assert_eq!(world.state("blog"), State::Up);
    world.ask("/resume router");
    world.pass(300);
    assert_eq!(world.state("blog"), State::Unreachable);
}

#[test]
#[ignore = "the new id of a group is forgotten by a restart, and what waits for it is dropped"]
fn a_migrated_group_keeps_its_alerts_over_a_restart() {
    let mut world = World::of(&["blog"]);
    world.pass(60);
    world.fate("blog", bad());
    world
        .deliveries
        .push_back(crate::monitor::message::Delivery::Migrated { to: GROUP });
    world
        .deliveries
        .push_back(crate::monitor::message::Delivery::Later {
            after: Some(Duration::from_secs(600)),
            everywhere: true,
            reason: "gone".into(),
        });
    world.pass(120);
    let snapshot = world.monitor.last_snapshot(world.now());
    assert!(!snapshot.alerts.is_empty());
    world.told.clear();
    world.restart(vec![site("blog")], &snapshot, 30);
    world.fate("blog", bad());
    world.pass(120);
    let heard = world.heard().concat();
    assert!(heard.contains("is down"), "{heard}");
}

#[test]
fn an_outage_over_a_cut_line_and_a_power_cut_is_told_once_and_ends_once() {
    let mut world = elsewhere(&["blog", "shop"]);
    world.fate("blog", from(THERE, bad()));
    world.pass(120);
    assert_eq!(world.heard().len(), 1);
    world.line = LINE_DOWN;
    all(&mut world, &["blog", "shop"], failed(FailureKind::NoRoute));
    world.pass(300);
    let snapshot = world.monitor.snapshot(world.now());
    let mut next = World::elsewhere(vec![site("blog"), site("shop")]);
    next.wall = world.now().wall + 60;
    next.monitor.restore(&snapshot, next.now());
    next.line = LINE_DOWN;
    all(&mut next, &["blog", "shop"], failed(FailureKind::NoRoute));
    next.pass(300);
    next.line = LINE_UP;
    next.fate("shop", from(THERE, good(40)));
    next.fate("blog", from(THERE, bad()));
    next.pass(300);
    next.fate("blog", from(THERE, good(40)));
    next.pass(120);
    let heard = next.heard();
    let downs = heard.iter().filter(|h| h.contains("is down")).count();
    let ups = heard.iter().filter(|h| h.contains("is up again")).count();
    let offline = heard.iter().filter(|h| h.contains("I was offline")).count();
    assert_eq!((downs, ups, offline), (0, 1, 1), "{heard:?}");
}
