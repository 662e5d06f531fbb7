//! Faults of the uplink: no connection, partial failures, and recovery.

use super::world::*;
use crate::monitor::Settings;
use crate::monitor::render::metrics::ProcessFigures;
use crate::monitor::site::outcome::FailureKind;
use crate::monitor::site::state::State;
use crate::monitor::site::{Check, Site};
use crate::monitor::time::Moment;
use crate::monitor::uplink::{ProbeResult, Uplink};
use std::time::Duration;
use url::Url;

fn cut(world: &mut World, names: &[&str]) {
    world.line = LINE_DOWN;
    all(world, names, failed(FailureKind::NoRoute));
}

fn restore(world: &mut World, names: &[&str]) {
    world.line = LINE_UP;
    all(world, names, from(THERE, good(40)));
}

fn with_url(name: &str, url: &str) -> Site {
    let mut site = site(name);
    let Check::Http(check) = &mut site.check else {
        panic!("not http")
    };
    check.url = Url::parse(url).unwrap();
    site
}

#[test]
fn a_cut_connection_takes_no_site_down_and_is_told_once_it_is_back() {
    let mut world = elsewhere(&["blog", "shop"]);
    cut(&mut world, &["blog", "shop"]);
    world.pass(1020);
    assert_eq!(world.state("blog"), State::Offline);
    assert_eq!(world.state("shop"), State::Offline);
    assert_eq!(world.received(), Vec::<String>::new());
    let status = world.ask("/status").concat();
    assert!(
        status.starts_with("<b>0 up, 2 offline</b>\n📡 our own line is down, for 1"),
        "{status}"
    );
    assert_has(&status, "⚫ <b>blog</b> is offline: our own line is down");
    world.received();
    restore(&mut world, &["blog", "shop"]);
    world.pass(70);
    assert_eq!(world.state("blog"), State::Up);
    let received = world.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert!(
        received[0].starts_with("📡 I was offline 08:02–08:19 (1"),
        "{received:?}"
    );
}

#[test]
fn after_an_offline_period_judging_starts_afresh() {
    let mut world = elsewhere(&["blog"]);
    cut(&mut world, &["blog"]);
    world.pass(300);
    world.line = LINE_UP;
    world.fate("blog", from(THERE, bad()));
    let back = world.clock;
    world.pass(120);
    let since = world.started.iter().filter(|(at, ..)| *at > back);
    assert!(since.count() >= 3);
    let sent: Vec<_> = world
        .sent
        .iter()
        .map(|(at, m)| (*at, m.html.clone()))
        .collect();
    assert!(sent[1].1.contains("is down"), "{sent:?}");
    assert!(sent[1].0 * 1000 - back >= 20_000, "three tries: {sent:?}");
}

#[test]
fn a_site_that_is_gone_while_the_uplink_is_up_is_down() {
    let mut world = elsewhere(&["blog", "shop"]);
    world.fate_for("blog", from(THERE, bad()), 90);
    assert_eq!(world.state("blog"), State::Down);
    assert_eq!(world.received().len(), 1);
    assert!((1..=3).contains(&world.looks), "{}", world.looks);
}

#[test]
fn many_failures_share_a_probe() {
    let names: Vec<String> = (0..50).map(|n| format!("s{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = elsewhere(&names);
    for name in &names {
        world.fate(name, from(THERE, bad()));
    }
    world.pass(60);
    assert!(world.looks <= 13, "{} looks in a minute", world.looks);
}

#[test]
fn a_site_on_this_network_is_judged_as_ever() {
    let mut world = elsewhere(&["blog"]);
    let mut world2 = World::elsewhere(vec![site("blog"), site("nas")]);
    std::mem::swap(&mut world, &mut world2);
    restore(&mut world, &["blog"]);
    world.fate_for("nas", from(HERE, good(3)), 120);
    cut(&mut world, &["blog"]);
    world.pass(100);
    world.fate_for("nas", from(HERE, failed(FailureKind::Connect)), 100);
    assert_eq!(world.state("blog"), State::Offline);
    assert_eq!(world.state("nas"), State::Down);
    assert_eq!(world.received(), ["🔴 <b>nas</b> is down: Connect (#1)"]);
}

#[test]
fn loopback_sites_request_no_probe() {
    let mut world = World::elsewhere(vec![with_url("own", "http://127.0.0.1:8080/")]);
    world.line = LINE_DOWN;
    world.fate_for("own", failed(FailureKind::Connect), 120);
    assert_eq!(world.state("own"), State::Down);
    assert_eq!(world.looks, 0);
}

#[test]
fn an_uplink_that_flaps_every_minute_is_one_message_that_is_kept_up_to_date() {
    let mut world = elsewhere(&["blog", "shop"]);
    for _ in 0..10 {
        cut(&mut world, &["blog", "shop"]);
        world.pass(60);
        restore(&mut world, &["blog", "shop"]);
        world.pass(60);
    }
    let sent: Vec<_> = world
        .sent
        .iter()
        .filter(|(_, m)| m.edit.is_none())
        .collect();
    assert_eq!(sent.len(), 1, "{sent:?}");
    let last = &world.sent.last().expect("edits").1;
    assert!(last.edit.is_some());
    assert!(last.html.starts_with("📡 I was offline "), "{}", last.html);
    assert!(last.html.contains(" times, "), "{}", last.html);
}

#[test]
fn an_outage_that_was_told_before_goes_on_without_the_time_we_were_blind() {
    let mut world = elsewhere(&["blog"]);
    world.fate_for("blog", from(THERE, bad()), 100);
    assert_eq!(world.received().len(), 1);
    cut(&mut world, &["blog"]);
    // Failures of a site that is down request no probe, so periodic probes must find the lost
    // connection.
    world.pass(3600);
    restore(&mut world, &["blog"]);
    world.pass(70);
    let received = world.received().join("\n");
    assert_has(&received, "<b>blog</b> is up again after ");
}

#[test]
fn a_connection_that_is_cut_when_every_site_is_down_already_is_noticed_and_told() {
    let mut world = elsewhere(&["blog", "shop"]);
    world.fate("blog", from(THERE, bad()));
    world.fate_for("shop", from(THERE, bad()), 600);
    world.received();
    let looks = world.looks;
    world.pass(1200);
    let looks = world.looks - looks;
    assert!((10..=20).contains(&looks), "{looks} in twenty minutes");
    cut(&mut world, &["blog", "shop"]);
    world.pass(1200);
    assert_eq!(world.state("blog"), State::Offline);
    restore(&mut world, &["blog", "shop"]);
    world.pass(120);
    let received = world.received().concat();
    assert!(received.contains("📡 I was offline"), "{received}");
    // The twenty minutes without a connection do not count.
    assert_has(&received, "<b>blog</b> is up again after 29 min");
}

fn uplink_up(world: &World) -> bool {
    let metrics = world.monitor.metrics(ProcessFigures::default());
    metrics.agent.uplink_up
}

#[test]
fn no_resolver_is_told_and_takes_no_site_down() {
    let mut world = elsewhere(&["blog", "shop"]);
    world.line = LINE_NO_NAMES;
    world.fate("blog", failed(FailureKind::Dns));
    world.fate_for("shop", failed(FailureKind::Dns), 180);
    let received = world.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert!(received[0].contains("DNS on this network doesn't answer"));
    assert_eq!(world.state("blog"), State::Offline);
    assert!(!uplink_up(&world), "the metrics say whose fault it is");
    restore(&mut world, &["blog", "shop"]);
    world.pass(90);
    assert_eq!(world.state("blog"), State::Up);
    assert!(uplink_up(&world));
    let received = world.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert!(received[0].contains("DNS on this network answers again, after "));
}

#[test]
fn a_resolver_that_is_gone_with_the_line_is_not_told_on_its_own() {
    for (names, sent) in [(true, 0), (false, 1)] {
        let mut world = elsewhere(&["blog", "shop"]);
        world.line = LINE_NO_NAMES;
        world.fate("blog", failed(FailureKind::Dns));
        world.fate("shop", failed(FailureKind::Dns));
        let begun = |world: &World| world.logs.iter().any(|l| l.starts_with("DNS"));
        while !begun(&world) {
            world.pass(1);
        }
        world.line = LINE_DOWN;
        world.pass(2700);
        assert_eq!(world.received(), Vec::<String>::new());
        world.line = ProbeResult {
            names: Some(names),
            ..LINE_UP
        };
        world.pass(25);
        let received = world.received().join("\n");
        assert_eq!(received.matches("I was offline").count(), 1, "{received}");
        assert_eq!(received.matches("DNS").count(), sent, "{received}");
    }
}

#[test]
fn a_name_that_alone_does_not_resolve_is_the_sites_own_fault() {
    let mut world = elsewhere(&["blog", "shop"]);
    world.line = LINE_NAMES;
    world.fate_for("blog", failed(FailureKind::Dns), 120);
    assert_eq!(world.state("blog"), State::Down);
    world.fate("shop", failed(FailureKind::NoName));
    world.line = LINE_UP;
    world.pass(120);
    assert_eq!(
        world.state("shop"),
        State::Down,
        "a resolver said that there is no such name"
    );
}

/// Returns worlds whose probe reports that names resolve, or reports nothing about names, because
/// another route to Telegram is used or there are no targets.
fn resolver_is_well() -> [World; 3] {
    let lone = || Site {
        tries: 1,
        ..site("lone")
    };
    let sites = || vec![lone(), site("blog")];
    let worlds = [
        World::elsewhere(sites()),
        World::elsewhere(sites()),
        World::new(sites()),
    ];
    let mut worlds = worlds.map(|mut world| {
        all(&mut world, &["lone", "blog"], from(THERE, good(40)));
        world.pass(120);
        world
    });
    worlds[0].line.names = Some(true);
    worlds
}

#[test]
fn a_name_that_fails_once_is_asked_again_before_its_site_is_down() {
    for (case, mut world) in resolver_is_well().into_iter().enumerate() {
        world.fate("lone", failed(FailureKind::Dns));
        let failures = |world: &World| {
            let lone = world.monitor.sites.named("lone").expect("a site");
            lone.recent().filter(|checked| checked.failed).count()
        };
        while failures(&world) == 0 {
            world.pass(1);
        }
        world.pass(5);
        assert_eq!(world.state("lone"), State::Up, "case {case}");
        world.fate_for("lone", from(THERE, good(40)), 300);
        assert_eq!(world.received(), Vec::<String>::new(), "case {case}");
        world.fate_for("lone", failed(FailureKind::Dns), 75);
        assert_eq!(world.state("lone"), State::Down, "case {case}");
        let received = world.received();
        assert_eq!(
            received,
            ["🔴 <b>lone</b> is down: Dns (#1)"],
            "case {case}"
        );
        assert!((2..=4).contains(&failures(&world)), "case {case}");
    }
}

#[test]
fn a_name_that_fails_tries_times_while_others_resolve_is_down_with_the_last_of_them() {
    let mut world = elsewhere(&["blog", "shop"]);
    world.line.names = Some(true);
    world.fate("blog", failed(FailureKind::Dns));
    while world.state("blog") != State::Down {
        world.pass(1);
    }
    let blog = world.monitor.sites.named("blog").expect("a site");
    assert_eq!(blog.recent().filter(|checked| checked.failed).count(), 3);
}

#[test]
fn a_connection_that_is_cut_while_a_name_is_asked_again_takes_no_site_down() {
    let [mut world, ..] = resolver_is_well();
    world.fate("lone", failed(FailureKind::Dns));
    let looks = world.looks;
    while world.looks == looks {
        world.pass(1);
    }
    cut(&mut world, &["lone"]);
    world.pass(30);
    assert_eq!(world.state("lone"), State::Offline);
    assert_eq!(world.received(), Vec::<String>::new());
}

#[test]
fn the_only_name_there_is_fails_by_the_resolver_as_far_as_is_known() {
    let lone = Site {
        tries: 1,
        interval: Duration::from_secs(10),
        ..site("lone")
    };
    let mut world = World::new(vec![lone]);
    world.fate_for("lone", from(THERE, good(40)), 60);
    world.fate_for("lone", failed(FailureKind::Dns), 60);
    assert_eq!(world.state("lone"), State::Offline);
    let received = world.received().concat();
    assert_has(&received, "DNS on this network doesn't answer");
}

#[test]
fn without_an_uplink_to_ask_names_are_judged_by_other_names() {
    let mut world = World::of(&["blog", "shop"]);
    world.fate("blog", failed(FailureKind::Dns));
    world.fate_for("shop", failed(FailureKind::Dns), 120);
    assert_eq!(world.state("blog"), State::Offline);
    assert!(world.received()[0].contains("DNS on this network doesn't answer"));
}

#[test]
fn a_captive_portal_takes_no_site_down() {
    let mut world = elsewhere(&["blog", "shop", "news"]);
    let mut addresses = ["203.0.113.1", "203.0.113.2", "203.0.113.3"].into_iter();
    for name in ["blog", "shop", "news"] {
        let address = addresses.next().expect("three");
        world.fate(name, from(address, failed(FailureKind::Untrusted)));
    }
    world.pass(180);
    let received = world.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert!(received[0].contains("a captive portal?"));
    assert!(!uplink_up(&world));
    restore(&mut world, &["blog", "shop", "news"]);
    world.pass(90);
    assert_eq!(world.state("news"), State::Up);
    assert!(world.received()[0].contains("answer for themselves again"));
}

#[test]
fn a_foreign_certificate_on_one_site_is_its_own_fault() {
    let mut world = elsewhere(&["blog", "shop", "news"]);
    world.fate("shop", from("203.0.113.2", good(10)));
    world.fate_for("news", from("203.0.113.3", good(10)), 70);
    world.fate_for("blog", from(THERE, failed(FailureKind::Untrusted)), 90);
    assert_eq!(world.state("blog"), State::Down);
    assert_eq!(world.received().len(), 1);
}

#[test]
fn ipv6_that_is_gone_takes_no_site_down_that_needs_it() {
    let mut world = elsewhere(&["blog", "six"]);
    world.fate_for("six", from("2001:db8::6", good(10)), 70);
    world.line = LINE_NO_IPV6;
    world.fate_for(
        "six",
        from("2001:db8::6", failed(FailureKind::NoRoute)),
        120,
    );
    assert_eq!(world.state("six"), State::Offline);
    assert!(!uplink_up(&world));
    let received = world.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert!(received[0].contains("IPv6 on this line is gone"));
    world.line = LINE_UP;
    world.fate_for("six", from("2001:db8::6", good(10)), 90);
    assert_eq!(world.state("six"), State::Up);
    assert!(world.received()[0].contains("IPv6 on this line is back, after "));
}

#[test]
fn a_chat_that_was_added_while_a_fault_went_on_gets_no_end_of_it() {
    let mut world = World::elsewhere(vec![site("six")]);
    world.fate_for("six", from("2001:db8::6", good(10)), 70);
    world.line = LINE_NO_IPV6;
    world.fate_for(
        "six",
        from("2001:db8::6", failed(FailureKind::NoRoute)),
        120,
    );
    assert_eq!(world.received().len(), 1);
    let sites = world.monitor.sites.iter().map(|w| w.config().clone());
    world.feed(reloaded(
        sites,
        Settings {
            uplink: true,
            ..settings(access_for(&[CHAT, GROUP]))
        },
    ));
    world.line = LINE_UP;
    world.fate_for("six", from("2001:db8::6", good(10)), 90);
    let back = world.sent.iter().filter(|(_, m)| m.html.contains("IPv6"));
    let chats: Vec<i64> = back.map(|(_, m)| m.chat).collect();
    assert_eq!(chats, [CHAT]);
}

#[test]
fn a_reload_without_targets_ends_an_offline_period() {
    let mut world = elsewhere(&["blog"]);
    world.fate_for("blog", from(THERE, failed(FailureKind::Timeout)), 120);
    assert_eq!(world.received().len(), 1, "down");
    cut(&mut world, &["blog"]);
    world.pass(3600);
    assert_eq!(world.state("blog"), State::Offline);
    let sites = world.monitor.sites.iter().map(|w| w.config().clone());
    world.feed(reloaded(sites, settings(access_for(&[CHAT]))));
    world.fate_for("blog", from(THERE, good(40)), 120);
    let received = world.received();
    assert!(received[0].contains("I was offline"), "{received:?}");
    let up = &received[1];
    assert!(
        up.contains("is up again after ") && !up.contains(" h"),
        "the time offline does not count: {received:?}"
    );
}

#[test]
fn an_offline_period_survives_a_power_cut() {
    let mut world = elsewhere(&["blog"]);
    cut(&mut world, &["blog"]);
    world.pass(300);
    let snapshot = world.monitor.snapshot(world.now());
    let mut next = World::elsewhere(vec![site("blog")]);
    next.wall = world.now().wall + 60;
    next.monitor.restore(&snapshot, next.now());
    next.fate_for("blog", from(THERE, good(40)), 70);
    let received = next.received().join("\n");
    assert_has(&received, "📡 I was offline 08:02–08:08");
    assert_has(&received, "I was away, last seen 08:07, back 08:08");
    assert_eq!(next.state("blog"), State::Up);
}

#[test]
fn a_check_that_began_while_offline_says_nothing() {
    let mut lone = site("blog");
    lone.tries = 1;
    let mut world = World::elsewhere(vec![lone, site("shop")]);
    restore(&mut world, &["blog", "shop"]);
    world.pass(70);
    cut(&mut world, &["blog", "shop"]);
    world.pass(70);
    assert_eq!(world.state("blog"), State::Offline);
    // A check that begins before the connection is back and ends after it.
    let late = from(THERE, failed(FailureKind::Timeout));
    world.fate_lasting("blog", late, Duration::from_secs(20));
    world.pass(55);
    restore(&mut world, &["shop"]);
    world.pass(30);
    world.fate_for("blog", from(THERE, good(40)), 90);
    let received = world.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert!(received[0].starts_with("📡 I was offline"));
}

#[test]
fn a_resolver_that_comes_back_before_the_last_try_takes_no_site_down() {
    let mut world = elsewhere(&["blog", "shop"]);
    world.line = LINE_NO_NAMES;
    world.fate("blog", failed(FailureKind::Dns));
    let before = world.looks;
    while world.looks == before {
        world.pass(1);
    }
    world.pass(6);
    world.line = LINE_NAMES;
    world.pass(12);
    world.fate_for("blog", from(THERE, good(40)), 90);
    assert_eq!(world.received(), Vec::<String>::new());
}

#[test]
fn a_resolver_that_was_known_to_be_gone_when_a_check_failed_is_why_it_failed() {
    let mut lone = site("lone");
    lone.tries = 1;
    let mut world = World::elsewhere(vec![site("blog"), lone]);
    restore(&mut world, &["blog", "lone"]);
    world.pass(120);
    world.line = LINE_NO_NAMES;
    world.fate("blog", failed(FailureKind::Dns));
    while world.state("blog") != State::Offline {
        world.pass(1);
    }
    // The resolver recovers while a check waits for it, and the next probe reports that.
    world.line = LINE_NAMES;
    world.checked("lone", failed(FailureKind::Dns));
    restore(&mut world, &["blog", "lone"]);
    world.pass(90);
    assert_eq!(world.state("lone"), State::Up);
    assert!(world.received().iter().all(|h| !h.contains("is down")));
}

#[test]
fn a_probe_that_was_slept_through_is_made_again_but_not_at_once() {
    let at = |secs: i64| Moment(secs * 1000);
    let mut line = Uplink::new(true, Vec::new());
    line.request_probe(false);
    line.begin_probe(at(0));
    line.on_wakeup(at(2));
    assert_eq!(line.on_result(at(3), LINE_DOWN), None);
    assert_eq!(line.next_timeout(at(3)), Some(at(5)));
}

#[test]
fn targets_that_never_answer_while_sites_do_are_told_once() {
    let mut world = elsewhere(&["blog", "shop"]);
    world.line = LINE_DOWN;
    world.fate_for("shop", from(THERE, bad()), 1800);
    let received = world.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert!(received[0].contains("is `uplink` in sitemon.conf right"));
    assert_eq!(world.state("blog"), State::Offline);
}

#[test]
fn what_fails_by_a_resolver_that_is_known_to_be_gone_is_not_judged_from_the_first_failure_on() {
    let mut world = elsewhere(&["blog", "shop"]);
    world.line = LINE_NO_NAMES;
    world.fate("blog", failed(FailureKind::Dns));
    while world.state("blog") != State::Offline {
        world.pass(1);
    }
    world.checked("shop", failed(FailureKind::Dns));
    assert_eq!(world.state("shop"), State::Offline);
}

#[test]
fn a_site_on_this_network_that_fails_by_a_resolver_known_to_be_gone_is_not_judged_either() {
    let mut nas = site("nas");
    nas.tries = 2;
    let mut world = World::elsewhere(vec![site("blog"), nas]);
    restore(&mut world, &["blog"]);
    world.fate_for("nas", from(HERE, good(3)), 120);
    world.line = LINE_NO_NAMES;
    world.fate("blog", failed(FailureKind::Dns));
    while world.state("blog") != State::Offline {
        world.pass(1);
    }
    let fails = |world: &mut World| world.checked("nas", failed(FailureKind::Dns));
    fails(&mut world);
    assert_eq!(world.state("nas"), State::Offline);
    // The resolver recovers, fails for the retry, and works when the probe asks it.
    world.line = LINE_NAMES;
    world.pass(12);
    assert_eq!(world.state("nas"), State::Up);
    world.received();
    fails(&mut world);
    world.pass(30);
    assert_eq!(world.received(), Vec::<String>::new());
}
