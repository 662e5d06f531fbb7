//! Offline periods and faults of the uplink that return, are delayed, or outlast a power cut.

use super::world::*;
use crate::monitor::alert::Notification;
use crate::monitor::site::Check;
use crate::monitor::site::outcome::FailureKind;
use crate::monitor::site::state::State;
use crate::monitor::time::Moment;
use crate::monitor::uplink::{Period, ProbeResult};
use crate::monitor::{Event, Monitor, Settings};
use std::time::Duration;
use url::Url;

const SIX: &str = "2001:db8::6";

#[test]
fn a_probe_that_ends_after_uplink_was_emptied_takes_no_site_offline() {
    let mut world = elsewhere(&["blog"]);
    reload(&mut world, vec![site("blog")], false);
    world.feed(Event::Probed(LINE_DOWN));
    world.pass(120);
    assert_eq!(world.state("blog"), State::Up);
    world.fate_for("blog", from(THERE, bad()), 120);
    assert_eq!(world.received().len(), 1);
}
#[test]
fn a_probe_that_takes_longer_than_a_retry_still_says_what_is_at_fault() {
    for kind in [FailureKind::Dns, FailureKind::Connect] {
        let mut hasty = site("blog");
        hasty.retry = Duration::from_secs(1);
        let mut world = World::elsewhere(vec![hasty, site("shop")]);
        all(&mut world, &["blog", "shop"], from(THERE, good(40)));
        world.pass(120);
        world.received();
        world.line = LINE_NAMES;
        world.look_lasts = Duration::from_secs(4);
        world.fate_for("blog", failed(kind), 180);
        assert_eq!(world.state("blog"), State::Down, "{kind:?}");
    }
}
#[test]
fn a_fault_that_comes_back_and_stays_is_told_in_the_end() {
    let mut world = elsewhere(&["blog"]);
    for last in [false, true] {
        world.line = LINE_NO_NAMES;
        world.fate_for(
            "blog",
            failed(FailureKind::Dns),
            if last { 1800 } else { 180 },
        );
        assert_eq!(world.state("blog"), State::Offline);
        let received = world.received();
        assert_eq!(received.len(), 1, "{received:?}");
        assert!(received[0].contains("DNS on this network doesn't answer"));
        world.line = LINE_NAMES;
        world.fate_for("blog", from(THERE, good(40)), 90);
        assert!(world.received().concat().contains("answers again"));
    }
}

#[test]
fn a_fault_that_began_in_silence_and_outlasts_it_is_told_then() {
    for unmuted in [false, true] {
        let mut world = elsewhere(&["blog"]);
        world.ask("/mute 1h");
        world.received();
        world.line = LINE_NO_NAMES;
        world.fate_for("blog", failed(FailureKind::Dns), 1200);
        assert_eq!(world.received(), Vec::<String>::new());
        if unmuted {
            world.ask("/unmute");
            world.pass(5);
        } else {
            world.pass(3600);
        }
        let received = world.received().concat();
        assert_has(&received, "DNS on this network doesn't answer");
    }
}
#[test]
fn names_of_this_network_alone_end_the_fault_of_names_too() {
    let mut world = World::of(&["nas"]);
    world.fate_for("nas", from(HERE, good(3)), 120);
    world.fate_for("nas", failed(FailureKind::Dns), 180);
    assert_eq!(world.received().len(), 1);
    world.fate_for("nas", from(HERE, good(3)), 120);
    assert_eq!(world.state("nas"), State::Up);
    let received = world.received().concat();
    assert!(received.contains("answers again"), "{received}");
    assert!(!world.ask("/status").concat().contains("📡"));
}
#[test]
fn an_uplink_without_targets_suppresses_no_site() {
    let mut world = elsewhere(&["blog", "six"]);
    world.fate_for("six", from(SIX, good(10)), 70);
    world.line = ProbeResult {
        ipv6: Some(false),
        trusted: Some(false),
        ..LINE_UP
    };
    world.fate("six", from(SIX, failed(FailureKind::NoRoute)));
    world.fate_for("blog", from(THERE, failed(FailureKind::Untrusted)), 180);
    assert_eq!(world.state("six"), State::Offline);
    assert_eq!(world.state("blog"), State::Offline);
    world.received();
    reload(&mut world, vec![site("blog"), site("six")], false);
    world.pass(180);
    assert_eq!(world.state("six"), State::Down);
    assert_eq!(world.state("blog"), State::Down);
}
#[test]
fn what_flapped_and_stays_slow_is_not_called_fine() {
    let mut slow = site("blog");
    slow.slow = Some(Duration::from_millis(500));
    let mut world = World::new(vec![slow]).running_for(60);
    for n in 0..5 {
        world.fate_for("blog", good(if n % 2 == 0 { 900 } else { 40 }), 150);
    }
    let received = world.received().concat();
    assert!(received.contains("is flapping"), "{received}");
    world.pass(20 * 60);
    let received = world.received().concat();
    assert!(received.contains("<b>blog</b> is slow"), "{received}");
    world.fate_for("blog", good(40), 90);
    assert!(world.received().concat().contains("is fast again"));
}

fn period(from: i64, times: u32) -> Notification {
    Notification::Offline(Period {
        from,
        until: from + 60 * i64::from(times),
        times,
        total: Duration::from_secs(60),
        dated: true,
    })
}
#[test]
fn an_offline_period_that_waits_is_not_overwritten_by_another_story() {
    let mut world = World::of(&["blog"]);
    let outbox = &mut world.monitor.outbox;
    outbox.push_offline(period(WALL, 1), vec![CHAT], &[], false, Moment(0));
    outbox.push_offline(period(WALL + 9000, 1), vec![CHAT], &[], false, Moment(0));
    outbox.push_offline(period(WALL + 9000, 2), vec![CHAT], &[], true, Moment(0));
    let waiting: Vec<&Notification> = outbox.alerts().map(|a| &a.notification).collect();
    assert_eq!(waiting, [&period(WALL, 1), &period(WALL + 9000, 2)]);
}

#[test]
fn an_offline_period_never_takes_the_place_of_an_older_story() {
    let mut world = elsewhere(&["blog"]);
    let offline = |world: &mut World| {
        world.line = LINE_DOWN;
        world.fate_for("blog", failed(FailureKind::NoRoute), 120);
        world.line = LINE_UP;
        world.fate_for("blog", from(THERE, good(40)), 90);
    };
    offline(&mut world);
    assert_eq!(world.received().len(), 1);
    world.pass(7200);
    world.ask("/mute 4m");
    offline(&mut world);
    world.received();
    offline(&mut world);
    let edits: Vec<_> = world.sent.iter().map(|(_, m)| m.edit).collect();
    assert_eq!(edits, [None], "its own message");
}

#[test]
fn a_message_that_tells_two_stories_is_left_as_it_is() {
    let mut world = World::of(&["blog"]);
    let outbox = &mut world.monitor.outbox;
    outbox.push_offline(period(WALL, 1), vec![CHAT], &[], false, Moment(0));
    outbox.push_offline(period(WALL + 9000, 1), vec![CHAT], &[], false, Moment(0));
    world.pass(60);
    assert_eq!(world.received().len(), 1);
    assert_eq!(*world.monitor.alerts.on_online(true), []);
}
#[test]
fn a_fault_that_was_not_told_before_a_power_cut_is_told_after_it() {
    let mut world = elsewhere(&["blog"]);
    world.ask("/mute 1h");
    world.received();
    world.line = LINE_NO_NAMES;
    world.fate_for("blog", failed(FailureKind::Dns), 180);
    let snapshot = world.monitor.last_snapshot(world.now());
    let mut next = World::elsewhere(vec![site("blog")]);
    next.wall = world.now().wall + 7200;
    next.monitor.restore(&snapshot, next.now());
    next.line = LINE_NO_NAMES;
    next.fate_for("blog", failed(FailureKind::Dns), 180);
    let received = next.received().concat();
    assert_has(&received, "DNS on this network doesn't answer");
}
#[test]
fn a_site_that_answers_over_ipv6_is_judged_whatever_the_targets_say() {
    let mut world = elsewhere(&["six"]);
    world.fate_for("six", from(SIX, good(10)), 70);
    world.line = LINE_NO_IPV6;
    world.fate_for("six", from(SIX, bad()), 120);
    assert_eq!(world.state("six"), State::Down);
}
#[test]
fn without_an_uplink_a_name_of_its_own_is_told_from_all_names() {
    let mut world = World::of(&["blog", "shop"]);
    all(&mut world, &["blog", "shop"], from(THERE, good(40)));
    world.pass(120);
    world.fate_for("blog", failed(FailureKind::Dns), 300);
    assert_eq!(world.state("blog"), State::Down);
    let received = world.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert!(received[0].starts_with("🔴 <b>blog</b> is down"));
    let fresh = |(_, name, fresh): &(i64, String, bool)| name == "shop" && *fresh;
    assert!(
        world.started.iter().any(fresh),
        "no open connection says anything"
    );
}

#[test]
fn a_site_that_answers_wrongly_over_ipv6_again_is_judged_again() {
    let mut world = elsewhere(&["six"]);
    world.fate_for("six", from(SIX, good(10)), 70);
    world.line = LINE_NO_IPV6;
    world.fate_for("six", from(SIX, failed(FailureKind::NoRoute)), 180);
    assert_eq!(world.state("six"), State::Offline);
    world.fate_for("six", from(SIX, bad()), 180);
    assert_eq!(world.state("six"), State::Down);
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
            uplink: true,
            ..built_now()
        };
        next.monitor = Monitor::new(blog(), settings, next.now(), 42);
        next.monitor.restore(&snapshot, next.now());
        next.deliveries
            .push_back(telegram_fails(Some(90), "clock not set"));
        next.look_lasts = Duration::from_millis(50);
        next.fate("blog", from(THERE, good(40)));
        next.line = if line_back == 0 { LINE_UP } else { LINE_DOWN };
        next.pass(clock_set);
        next.wall = WALL + 9000;
        next.pass(30);
        next.line = LINE_UP;
        next.pass(200);
        let received = next.received().concat();
        assert!(received.contains("I was offline 08:00–10:3"), "{received}");
        assert!(received.contains("(2 h 3"), "{received}");
    }
}

#[test]
fn an_offline_period_is_told_without_times_that_mean_nothing_while_the_clock_is_not_set() {
    let mut world = World::elsewhere(vec![plain(site("plain"))]);
    world.wall = 1000;
    let settings = Settings {
        uplink: true,
        ..built_now()
    };
    world.monitor = Monitor::new(vec![plain(site("plain"))], settings, world.now(), 42);
    world.fate_for("plain", from(THERE, good(40)), 120);
    let gone = |world: &mut World| {
        world.line = LINE_DOWN;
        world.fate_for("plain", failed(FailureKind::NoRoute), 600);
        world.line = LINE_UP;
        world.fate_for("plain", from(THERE, good(40)), 30);
        world.received()
    };
    let sent = gone(&mut world).concat();
    assert!(sent.starts_with("📡 I was offline for "), "{sent}");
    assert!(!sent.contains(':'), "{sent}");
    // The next alert waits until the clock is set, as Telegram does: then its times are right.
    world.pass(3600);
    world
        .deliveries
        .push_back(telegram_fails(Some(90), "clock not set"));
    assert_eq!(gone(&mut world), Vec::<String>::new());
    // It is 08:00 now, so the connection was lost at about 07:50.
    world.wall = WALL + 86_400 - world.clock / 1000;
    world.pass(200);
    let sent = world.received().concat();
    assert!(sent.starts_with("📡 I was offline 07:50–07:59"), "{sent}");
}

#[test]
fn a_plain_site_behind_a_captive_portal_is_not_down() {
    let sites = || {
        let mut plain = site("plain");
        let Check::Http(check) = &mut plain.check else {
            panic!("not http")
        };
        check.url = Url::parse("http://plain.example/").unwrap();
        vec![plain, site("blog")]
    };
    let mut world = World::elsewhere(sites());
    all(&mut world, &["plain", "blog"], from(THERE, good(40)));
    world.pass(120);
    world.received();
    world.line = ProbeResult {
        names: Some(true),
        trusted: Some(false),
        ..LINE_UP
    };
    world.fate("plain", from(THERE, failed(FailureKind::Body)));
    world.fate_for("blog", from(THERE, failed(FailureKind::Untrusted)), 300);
    let received = world.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert!(received[0].contains("a captive portal?"), "{received:?}");
}

/// The check was redirected into the local network. Its address is that of the server that did so.
#[test]
fn a_redirect_into_this_network_is_judged_when_no_captive_portal_is_found() {
    for (trusted, state) in [(true, State::Down), (false, State::Offline)] {
        let mut world = elsewhere(&["blog"]);
        world.fate_for("blog", from(THERE, good(40)), 120);
        world.received();
        world.line = ProbeResult {
            names: Some(true),
            trusted: Some(trusted),
            ..LINE_UP
        };
        world.fate_for("blog", from(THERE, failed(FailureKind::Redirected)), 300);
        assert_eq!(world.state("blog"), state);
        let received = world.received();
        assert_eq!(received.len(), 1, "{received:?}");
        assert_eq!(
            received[0].contains("a captive portal?"),
            !trusted,
            "{received:?}"
        );
    }
}

#[test]
fn an_outage_over_a_cut_line_and_a_power_cut_is_told_once_and_ends_once() {
    let mut world = elsewhere(&["blog", "shop"]);
    world.fate_for("blog", from(THERE, bad()), 120);
    assert_eq!(world.received().len(), 1);
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
    next.fate_for("blog", from(THERE, bad()), 300);
    next.fate_for("blog", from(THERE, good(40)), 120);
    let received = next.received();
    let downs = received.iter().filter(|h| h.contains("is down")).count();
    let ups = received
        .iter()
        .filter(|h| h.contains("is up again"))
        .count();
    let offline = received
        .iter()
        .filter(|h| h.contains("I was offline"))
        .count();
    assert_eq!((downs, ups, offline), (0, 1, 1), "{received:?}");
}
