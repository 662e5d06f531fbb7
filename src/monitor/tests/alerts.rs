//! Which changes have an alert, and which do not.

use super::world::*;
use crate::monitor::Event;
use crate::monitor::outbox::message::Delivery;
use crate::monitor::site::Site;
use crate::monitor::site::access::Access;
use crate::monitor::site::state::State;
use std::time::Duration;

fn down_after_a_while(world: &mut World, name: &str) {
    world.pass(90);
    world.fate_for(name, bad(), 120);
}

#[test]
fn an_outage_is_told_once_and_its_end_as_a_reply() {
    let mut world = World::of(&["blog"]);
    down_after_a_while(&mut world, "blog");
    world.fate_for("blog", good(40), 60);
    let sent: Vec<_> = world
        .sent
        .iter()
        .map(|(s, m)| (*s, m.html.as_str(), m.silent))
        .collect();
    assert_eq!(
        sent,
        [
            (
                140,
                "🔴 <b>blog</b> is down: HTTP 503, wanted 200-299 (#1)",
                false
            ),
            (
                240,
                "🟢 <b>blog</b> is up again after 1 min 40 s (#1)",
                true
            ),
        ]
    );
    assert_eq!(world.sent[1].1.reply_to, Some(101));
}

#[test]
fn a_single_failure_is_no_news() {
    let mut world = World::of(&["blog"]).running_for(50);
    world.fate_for("blog", bad(), 15);
    world.fate_for("blog", good(40), 600);
    assert_eq!(world.received(), Vec::<String>::new());
}

#[test]
fn an_unacknowledged_outage_is_repeated_and_an_acknowledged_one_is_not() {
    let mut world = World::of(&["blog"]);
    world.fate_for("blog", bad(), 6 * 3600 + 60);
    assert_eq!(
        world.received(),
        [
            "🔴 <b>blog</b> is down: HTTP 503, wanted 200-299 (#1)",
            "🔴 <b>blog</b> is still down, for 6 h: HTTP 503, wanted 200-299 (#1)",
        ]
    );
    assert_eq!(world.ask("/ack"), ["👍 Acknowledged: #1 <b>blog</b>"]);
    // The alert is edited, so it needs no further message.
    world.pass(5);
    world.received();
    world.pass(24 * 3600);
    assert_eq!(world.received(), Vec::<String>::new());
}

#[test]
fn remind_zero_never_repeats() {
    let mut quiet = site("blog");
    quiet.remind = None;
    let mut world = World::new(vec![quiet]);
    world.fate_for("blog", bad(), 48 * 3600);
    assert_eq!(world.received().len(), 1);
}

#[test]
fn slow_answers_degrade_and_fast_ones_restore() {
    let mut picky = site("blog");
    picky.slow = Some(Duration::from_secs(1));
    let mut world = World::new(vec![picky]).running_for(30);
    world.fate_for("blog", good(2300), 120);
    assert_eq!(world.state("blog"), State::Degraded);
    world.fate_for("blog", good(100), 60);
    assert_eq!(
        world.received(),
        [
            "🟡 <b>blog</b> is slow: 2.30 s, limit 1.00 s",
            "🟢 <b>blog</b> is fast again after 1 min 33 s",
        ]
    );
}

#[test]
fn a_mute_withholds_and_an_outage_that_outlasts_it_is_told_then() {
    let mut world = World::of(&["blog"]).running_for(1);
    assert_eq!(
        world.ask("/mute blog 1h"),
        ["🔕 <b>blog</b> is muted for 1 h."]
    );
    world.received();
    world.fate_for("blog", bad(), 3000);
    assert_eq!(world.received(), Vec::<String>::new());
    world.pass(700);
    assert_eq!(
        world.received(),
        ["🔴 <b>blog</b> is still down, for 58 min 41 s: HTTP 503, wanted 200-299 (#1)"]
    );
}

/// Returns a site that needs two successful checks to be up, or fast, again.
fn wary() -> Site {
    Site {
        recover: 2,
        slow: Some(Duration::from_secs(1)),
        ..site("blog")
    }
}

#[test]
fn what_the_last_check_speaks_against_is_not_told_when_a_mute_ends() {
    let silent = [
        (good(2300), "🟡 <b>blog</b> is slow: 2.30 s"),
        (bad(), "🔴 <b>blog</b> is still down, for "),
    ];
    for (trouble, alert) in silent {
        let mut world = World::new(vec![wary()]);
        world.pass(60);
        world.ask("/mute blog 1h");
        world.fate("blog", trouble.clone());
        world.pass(600);
        world.fate("blog", good(40));
        world.pass_a_check();
        world.ask("/unmute blog");
        world.received();
        world.pass(5);
        assert_eq!(world.received(), Vec::<String>::new());
        // The recovery lasted for one check only.
        world.fate("blog", trouble);
        world.pass_a_check();
        world.pass(2);
        let received = world.received();
        assert_eq!(received.len(), 1, "{received:?}");
        assert!(received[0].starts_with(alert), "{received:?}");
    }
}

#[test]
fn a_reminder_waits_while_the_last_check_speaks_against_it() {
    let minute = Duration::from_secs(60);
    let mut world = World::new(vec![Site {
        remind: Some(10 * minute),
        retry: minute,
        ..wary()
    }]);
    world.fate("blog", bad());
    while world.sent.is_empty() {
        world.pass(1);
    }
    world.received();
    world.pass(545);
    world.fate("blog", good(40));
    world.pass_a_check();
    world.fate("blog", bad());
    world.pass(45);
    assert_eq!(world.received(), Vec::<String>::new());
    world.pass_a_check();
    world.pass(2);
    let received = world.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert!(received[0].starts_with("🔴 <b>blog</b> is still down, for 1"));
}

#[test]
fn an_outage_that_begins_and_ends_in_a_mute_is_recorded_but_not_told() {
    let mut world = World::of(&["blog"]);
    world.ask("/mute");
    world.received();
    world.fate_for("blog", bad(), 600);
    world.fate_for("blog", good(40), 7200);
    assert_eq!(world.received(), Vec::<String>::new());
    assert!(world.ask("/incidents")[0].contains("#1"));
}

#[test]
fn who_heard_of_the_outage_hears_of_its_end_even_if_muted_since() {
    let mut world = World::of(&["blog"]);
    world.fate_for("blog", bad(), 60);
    world.ask("/mute blog 1d");
    world.pass(5);
    world.received();
    world.fate_for("blog", good(40), 60);
    assert_eq!(world.received().len(), 1);
}

#[test]
fn a_hundred_that_die_together_are_one_message() {
    for fate in [bad(), hang()] {
        let names: Vec<String> = (0..100).map(|i| format!("site-number-{i:02}")).collect();
        let mut world = World::new(names.iter().map(|n| site(n)).collect()).running_for(120);
        for name in &names {
            let lasts = if fate == hang() { 10 } else { 0 };
            world.fate_lasting(name, fate.clone(), Duration::from_secs(lasts));
        }
        world.pass(180);
        let received = world.received();
        assert_eq!(received.len(), 1, "{received:?}");
        assert!(received[0].starts_with("🔴 <b>100 sites are down</b>: "));
        assert!(names.iter().all(|name| received[0].contains(name)));
        for name in &names {
            world.fate(name, good(40));
        }
        world.pass(90);
        let received = world.received();
        let sent = received.join("\n");
        assert!(names.iter().all(|name| sent.contains(name)), "{sent}");
    }
}

#[test]
fn a_lone_outage_goes_at_once() {
    let mut world = World::of(&["blog", "shop"]).running_for(90);
    world.fate_for("blog", bad(), 60);
    let last_try = world
        .started
        .iter()
        .rev()
        .find(|(_, n, _)| n == "blog")
        .map(|(at, _, _)| at / 1000);
    assert_eq!(Some(world.sent[0].0), last_try);
}

#[test]
fn two_within_a_second_are_one_message() {
    let mut world = World::of(&["blog", "shop"]).running_for(65);
    world.fate("blog", bad());
    world.fate("shop", bad());
    world.ask("/check");
    world.pass(25);
    let received: Vec<String> = world
        .received()
        .into_iter()
        .filter(|t| t.contains("is down"))
        .collect();
    assert_eq!(
        received,
        ["<b>2 down</b>\n\
          🔴 <b>blog</b> is down: HTTP 503, wanted 200-299 (#1)\n\
          🔴 <b>shop</b> is down: HTTP 503, wanted 200-299 (#2)"]
    );
}

/// Returns a world with three sites down, of which a `/check` finds two up again.
fn two_of_three_recover() -> World {
    let mut world = World::of(&["blog", "shop", "wiki"]).running_for(65);
    for name in ["blog", "shop", "wiki"] {
        world.fate(name, bad());
    }
    world.pass(120);
    world.fate("blog", good(40));
    world.fate("shop", good(700));
    world.received();
    world.ask("/check");
    world
}

#[test]
fn what_recovers_within_a_second_is_one_message() {
    let mut world = two_of_three_recover().running_for(5);
    let up = |t: &String| t.contains("up again");
    let heard: Vec<String> = world.received().into_iter().filter(up).collect();
    assert_eq!(heard.len(), 1, "{heard:?}");
    let lines: Vec<&str> = heard[0].lines().collect();
    assert_eq!(lines[0], "<b>2 up again</b>");
    assert!(lines[1].starts_with("🟢 <b>blog</b> is up again after "));
    assert!(lines[2].starts_with("🟢 <b>shop</b> is up again after "));
}

#[test]
fn a_hundred_that_recover_within_a_minute_are_few_messages_and_none_waits_for_long() {
    let names: Vec<String> = (0..100).map(|i| format!("site-{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::of(&names).running_for(65);
    all(&mut world, &names, bad());
    world.pass(300);
    world.sent.clear();
    // One stays down, which must not delay the messages.
    all(&mut world, &names[1..], good(40));
    world.pass(130);
    let told: Vec<i64> = world.sent.iter().map(|(at, _)| *at).collect();
    assert!((1..=3).contains(&told.len()), "{told:?}");
    let lines: String = world.received().concat();
    assert_eq!(lines.matches(" after ").count(), 99);
    let last = told.last().copied().unwrap_or_default();
    assert!(last <= 365 + 60 + 6, "{told:?}");
}

#[test]
fn a_lone_end_waits_for_nothing_though_a_site_is_slow() {
    let slow = Site {
        slow: Some(Duration::from_millis(500)),
        ..site("shop")
    };
    let mut world = World::new(vec![site("blog"), slow]).running_for(65);
    world.fate("shop", good(700));
    world.fate_for("blog", bad(), 180);
    world.received();
    world.running.retain(|(_, name)| name != "blog");
    world.checked("blog", good(40));
    assert_eq!(world.state("shop"), State::Degraded);
    assert!(
        world
            .received()
            .concat()
            .contains("<b>blog</b> is up again")
    );
}

#[test]
fn an_end_that_waits_for_others_is_told_after_a_restart() {
    let mut world = two_of_three_recover();
    world.running.retain(|(_, name)| name != "blog");
    world.checked("blog", good(40));
    assert_eq!(world.state("blog"), State::Up);
    assert!(!world.received().concat().contains("up again"));
    let snapshot = world.monitor.snapshot(world.now());
    let sites = ["blog", "shop", "wiki"].map(site).to_vec();
    world.restart(sites, &snapshot, 5);
    world.pass(120);
    let heard = world.received().concat();
    let once = |name: &str| {
        let up = format!("<b>{name}</b> is up again");
        assert_eq!(heard.matches(&up).count(), 1, "{heard}");
    };
    once("blog");
    once("shop");
}

#[test]
fn only_the_chats_of_a_site_are_told_of_it() {
    let mut private = site("blog");
    private.chats = Some(vec![GROUP]);
    let access = access_for(&[CHAT, GROUP]);
    let mut world = World::with(vec![private, site("shop")], access).running_for(1);
    world.fate_for("blog", bad(), 120);
    let chats: Vec<i64> = world.sent.iter().map(|(_, m)| m.chat).collect();
    assert_eq!(chats, [GROUP]);
    world.fate_for("shop", bad(), 120);
    assert_eq!(world.sent.len(), 3);
}

#[test]
fn an_alert_waits_for_the_disk_but_not_for_a_full_one() {
    let mut world = World::of(&["blog"]);
    world.disk_full = true;
    world.fate_for("blog", bad(), 60);
    let received = world.received();
    assert!(
        received.iter().any(|t| t.contains("is down")),
        "{received:?}"
    );
    let warnings = received
        .iter()
        .filter(|t| t.contains("cannot be written"))
        .count();
    assert_eq!(warnings, 1, "{received:?}");
    world.fate_for("blog", good(40), 24 * 3600);
    assert!(
        !world
            .received()
            .iter()
            .any(|t| t.contains("cannot be written"))
    );
}

#[test]
fn telegram_away_for_an_hour_loses_nothing_and_merges_down_and_up() {
    let mut world = World::of(&["blog", "shop"]).running_for(60);
    let away = telegram_fails(None, "no route");
    world.deliveries = std::iter::repeat_n(away, 30).collect();
    world.fate_for("blog", bad(), 300);
    world.fate("blog", good(40));
    world.fate_for("shop", bad(), 3600);
    let received = world.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert_has(&received[0], "<b>blog</b> was down for");
    assert!(received[0].contains("<b>shop</b> is down"), "{received:?}");
    assert!(received[0].contains(" ago"), "{received:?}");
    assert!(world.attempts <= 50, "{} attempts", world.attempts);
}

#[test]
fn a_chat_that_refuses_does_not_hold_up_the_others() {
    let access = access_for(&[GROUP, CHAT]);
    let mut world = World::with(vec![site("blog")], access);
    let reason = "Forbidden: bot was kicked".into();
    world.deliveries.push_back(Delivery::Refused { reason });
    world.fate_for("blog", bad(), 3600);
    let chats: Vec<i64> = world.sent.iter().map(|(_, m)| m.chat).collect();
    assert_eq!(chats, [CHAT]);
    assert!(world.logs.iter().any(|l| l.contains("bot was kicked")));
}

#[test]
fn a_group_that_moved_is_followed_and_told_what_to_change() {
    let access = access_for(&[GROUP]);
    let mut world = World::with(vec![site("blog")], access);
    world.deliveries.push_back(Delivery::Migrated { to: -200 });
    world.fate_for("blog", bad(), 60);
    assert!(world.sent.iter().all(|(_, m)| m.chat == -200));
    let received = world.received().join("\n");
    assert!(
        received.contains("is down") && received.contains("Group -100 became -200"),
        "{received}"
    );
    assert!(!world.ask_from(-200, Some(1), "/status").is_empty());
}

#[test]
fn too_many_requests_stops_sending_to_that_chat_for_as_long_as_told() {
    let mut world = World::of(&["blog"]);
    world
        .deliveries
        .push_back(chat_waits(Some(35), "Too Many Requests"));
    world.fate_for("blog", bad(), 54);
    assert_eq!(world.received(), Vec::<String>::new());
    assert_eq!(world.attempts, 1);
    world.pass(2);
    assert_eq!(world.received().len(), 1);
}

#[test]
fn a_notice_reaches_every_chat() {
    let mut world = World::of(&["blog"]);
    world.feed(Event::Notice(
        "A webhook was in the way <& was deleted".into(),
    ));
    assert_eq!(
        world.received(),
        ["ℹ️ A webhook was in the way &lt;&amp; was deleted"]
    );
}

#[test]
fn a_note_is_under_the_down_alert_and_in_site_and_nowhere_else() {
    let mut blog = site("blog");
    blog.note = Some("run-book: <https://wiki.example/blog?a=1&b>".into());
    let mut world = World::new(vec![blog, site("shop")]);
    world.fate_for("blog", bad(), 120);
    let note = "run-book: &lt;https://wiki.example/blog?a=1&amp;b&gt;";
    let down = format!("🔴 <b>blog</b> is down: HTTP 503, wanted 200-299 (#1)\n{note}");
    assert_eq!(world.received(), [down]);
    let said = world.ask("/site blog").concat();
    assert!(said.contains(&format!("\nNote: {note}\n")), "{said}");
    world.received();
    world.fate_for("blog", good(40), 120);
    assert!(!world.received().concat().contains("run-book"));
}

#[test]
fn the_address_is_a_link_in_the_down_alert_and_no_secret_is() {
    let open = site("blog");
    let mut hidden = site("shop");
    hidden.url = "https://ann:***@shop.example/?key=$KEY".into();
    let access = access_for(&[CHAT]);
    for (site, line) in [
        (
            open,
            "<a href=\"https://blog.example/\">https://blog.example/</a>",
        ),
        (hidden, "<code>https://***@shop.example/***</code>"),
    ] {
        let mut world = World::with(vec![site], access.clone());
        world.links = true;
        let name = world.monitor.site_names().next().expect("one").to_owned();
        world.fate_for(&name, bad(), 120);
        let told = world.received().concat();
        assert_eq!(told.lines().nth(1), Some(line));
        world.fate_for(&name, good(40), 120);
        assert_eq!(world.received().concat().lines().count(), 1);
    }
    let mut world = World::with(vec![site("blog")], Access::console());
    world.links = true;
    world.fate_for("blog", bad(), 120);
    assert_eq!(world.received().concat().lines().count(), 1);
}
