//! Channels besides the chats: which alerts they get, when, and how often.

use super::world::*;
use crate::monitor::outbox::channels::placeholders::Placeholder;
use crate::monitor::outbox::channels::{Channel, ChannelSend, When};
use crate::monitor::outbox::message::Delivery;
use crate::monitor::site::Site;
use crate::monitor::{Event, Settings};
use std::time::Duration;

pub fn channel(name: &str, when: When) -> Channel {
    Channel {
        name: name.to_owned(),
        when,
        sites: None,
    }
}

fn for_sites(sites: &[&str]) -> Channel {
    Channel {
        sites: Some(sites.iter().map(|&name| name.to_owned()).collect()),
        ..channel("ntfy", When::Always)
    }
}

/// Returns a world with these sites up and this channel.
fn with(names: &[&str], when: When) -> World {
    let mut world = World::of(names);
    world.set_channels(vec![channel("ntfy", when)]);
    world.pass(60);
    world
}

fn later(after: Option<u64>) -> Delivery {
    telegram_fails(after, "HTTP 500")
}

/// Makes all deliveries to Telegram fail from now on, or succeed again.
fn telegram(world: &mut World, works: bool) {
    world.deliveries.clear();
    if !works {
        world
            .deliveries
            .extend(std::iter::repeat_n(later(None), 1000));
    }
}

fn texts(world: &World) -> Vec<&str> {
    let sent = world.by_channels.iter();
    sent.map(|(_, send)| value(send, Placeholder::Text))
        .collect()
}

fn value(send: &ChannelSend, placeholder: Placeholder) -> &str {
    send.values.get(placeholder)
}

const MIN: u64 = 60;
const FIVE: When = When::TelegramFails(Duration::from_secs(300));
const QUARTER: When = When::Unacknowledged(Duration::from_secs(900));

const DOWN: &str = "🔴 blog is down: HTTP 503, wanted 200-299 (#1)";

#[test]
fn a_channel_for_all_gets_the_down_and_the_up_once_each() {
    let mut world = with(&["blog"], When::Always);
    world.fate_for("blog", bad(), 2 * MIN);
    world.fate_for("blog", good(40), 2 * MIN);
    let up = "🟢 blog is up again after ";
    assert_eq!(texts(&world)[0], DOWN);
    assert!(texts(&world)[1].starts_with(up), "{:?}", texts(&world));
    assert_eq!((texts(&world).len(), world.channel_attempts), (2, 2));
    assert_eq!(world.sent.len(), 2);
    let states: Vec<&str> = world
        .by_channels
        .iter()
        .map(|(_, send)| value(send, Placeholder::State))
        .collect();
    assert_eq!(states, ["down", "up"]);
}

#[test]
fn placeholders_say_what_the_alert_says() {
    let mut world = World::new(vec![Site {
        note: Some("call <Bob>".to_owned()),
        ..site("a & b")
    }]);
    world.set_channels(vec![channel("ntfy", When::Always)]);
    world.pass(60);
    world.fate_for("a & b", bad(), 2 * MIN);
    let (_, sent) = &world.by_channels[0];
    let of = |placeholder| value(sent, placeholder);
    assert_eq!(
        of(Placeholder::Text),
        "🔴 a & b is down: HTTP 503, wanted 200-299 (#1)\ncall <Bob>"
    );
    assert_eq!(of(Placeholder::Site), "a & b");
    assert_eq!(of(Placeholder::Cause), "HTTP 503, wanted 200-299");
    assert_eq!(of(Placeholder::Url), "https://a & b.example/");
    assert_eq!(of(Placeholder::Number), "1");
    assert_eq!(of(Placeholder::Since), "15 Jan 2027 08:01");
    assert_eq!(of(Placeholder::Note), "call <Bob>");
    world.feed(Event::Notice("the disk is full".to_owned()));
    world.pass(10);
    let (_, sent) = &world.by_channels[1];
    assert_eq!(value(sent, Placeholder::Site), "sitemon");
    assert_eq!(value(sent, Placeholder::State), "notice");
}

#[test]
fn the_address_by_a_channel_has_no_more_secrets_than_in_a_chat() {
    for (url, wanted) in [
        ("https://h/a/b", "https://h/a/b"),
        ("https://u:p@h/a", "https://***@h/a"),
        ("https://h/a?token=5ecret", "https://h/a***"),
        ("https://u:p@h:1/?a=b#c", "https://***@h:1/***"),
    ] {
        let mut blog = site("blog");
        blog.url = url.to_owned();
        let mut world = World::new(vec![blog]);
        world.set_channels(vec![channel("ntfy", When::Always)]);
        world.pass(60);
        world.fate_for("blog", bad(), 2 * MIN);
        let (_, sent) = &world.by_channels[0];
        assert_eq!(value(sent, Placeholder::Url), wanted);
    }
}

#[test]
fn a_channel_of_some_sites_gets_no_others_nor_what_is_about_sitemon() {
    let mut grouped = site("mail");
    grouped.group = Some("shop".to_owned());
    let mut world = World::new(vec![site("blog"), site("wiki"), grouped]);
    world.set_channels(vec![for_sites(&["blog", "shop"])]);
    world.pass(60);
    all(&mut world, &["blog", "wiki", "mail"], bad());
    world.pass(2 * MIN);
    world.feed(Event::Notice("hello".to_owned()));
    world.pass(10);
    let sent = world.by_channels.iter();
    let mut sites: Vec<&str> = sent.map(|(_, s)| value(s, Placeholder::Site)).collect();
    sites.sort_unstable();
    assert_eq!(sites, ["blog", "mail"]);
}

#[test]
fn what_is_not_told_to_chats_goes_by_no_channel() {
    let mut world = with(&["blog"], When::Always);
    world.ask("/mute 1h");
    world.fate_for("blog", bad(), 10 * MIN);
    world.fate_for("blog", good(40), 10 * MIN);
    assert_eq!(texts(&world), [""; 0]);
}

#[test]
fn an_alert_that_chats_have_in_words_of_their_own_goes_by_a_channel_once() {
    let hidden = Site {
        chats: Some(vec![CHAT]),
        ..after("wiki", "blog")
    };
    let access = access_for(&[CHAT, GROUP]);
    let mut world = World::with(vec![site("blog"), hidden, after("mail", "blog")], access);
    world.set_channels(vec![channel("ntfy", When::Always)]);
    world.pass(60);
    world.fate_for("blog", bad(), 2 * MIN);
    assert_eq!(world.sent.len(), 2);
    assert_eq!(
        texts(&world),
        [format!("{DOWN}; 2 sites behind it are unreachable")]
    );
}

#[test]
fn nothing_is_sent_by_a_channel_before_it_is_on_disk() {
    let mut world = with(&["blog"], When::Always);
    let now = world.now();
    world
        .monitor
        .notifier(now)
        .notice_to_all("hello".to_owned());
    let actions = world.monitor.handle(now, Event::Due);
    let sends = |actions: &[crate::monitor::Action]| {
        let mut all = actions.iter();
        all.any(|a| matches!(a, crate::monitor::Action::SendByChannel(_)))
    };
    assert!(!sends(&actions), "{actions:?}");
    let saved = Event::Saved { blocks: 1 };
    assert!(sends(&world.monitor.handle(now, saved)));
}

#[test]
fn a_channel_that_fails_is_tried_again_with_pauses_that_grow() {
    let mut world = with(&["blog"], When::Always);
    world.channel_deliveries.extend(vec![later(None); 8]);
    world.fate_for("blog", bad(), 10 * MIN);
    assert_eq!((texts(&world).len(), world.channel_attempts), (1, 9));
    assert!(texts(&world)[0].starts_with(DOWN) && texts(&world)[0].ends_with(" ago"));
    let waits = world.logs.iter().filter(|l| l.contains("for ntfy waits"));
    assert_eq!(waits.count(), 8);
}

#[test]
fn what_a_channel_asks_for_is_obeyed() {
    let mut world = with(&["blog"], When::Always);
    world.channel_deliveries.push_back(later(Some(120)));
    world.fate_for("blog", bad(), 2 * MIN);
    assert_eq!(world.channel_attempts, 1);
    world.pass(2 * MIN);
    assert_eq!((texts(&world).len(), world.channel_attempts), (1, 2));
}

#[test]
fn what_a_channel_refuses_is_dropped_and_told_in_the_chat_once() {
    let mut world = with(&["blog", "wiki"], When::Always);
    let reason = "HTTP 404".to_owned();
    let refused = Delivery::Refused { reason };
    world
        .channel_deliveries
        .extend([refused.clone(), refused.clone()]);
    all(&mut world, &["blog", "wiki"], bad());
    world.pass(5 * MIN);
    assert_eq!((texts(&world).len(), world.channel_attempts), (0, 2));
    let heard = world.received();
    let told = |text: &&String| text.contains("ntfy refused an alert");
    assert_eq!(heard.iter().filter(told).count(), 1, "{heard:?}");
    // The channel has accepted an alert since, so the next refusal is reported.
    world.fate_for("blog", good(40), 5 * MIN);
    assert_eq!(texts(&world).len(), 1);
    world.channel_deliveries.push_back(refused);
    world.fate_for("wiki", good(40), 5 * MIN);
    let heard = world.received();
    assert_eq!(heard.iter().filter(told).count(), 1, "{heard:?}");
    assert!(world.ask("/stats")[0].contains("ntfy: 0 waiting, HTTP 404"));
}

#[test]
fn while_telegram_fails_what_waits_goes_by_the_channel_once_and_says_so_later() {
    let mut world = with(&["blog", "wiki"], FIVE);
    telegram(&mut world, false);
    world.fate_for("blog", bad(), 5 * MIN);
    assert_eq!(texts(&world), [""; 0]);
    world.pass(2 * MIN);
    assert_eq!(texts(&world).len(), 1);
    assert!(texts(&world)[0].starts_with(DOWN));
    // Later alerts are passed on sooner.
    world.fate_for("wiki", bad(), MIN);
    assert_eq!(texts(&world).len(), 2);
    telegram(&mut world, true);
    world.pass(2 * MIN);
    let heard = world.received().concat();
    assert_eq!(heard.matches("also sent by ntfy").count(), 2, "{heard}");
    // Telegram works, so the channel gets nothing.
    all(&mut world, &["blog", "wiki"], good(40));
    world.pass(10 * MIN);
    assert_eq!(world.channel_attempts, 2);
    let heard = world.received().concat();
    assert_eq!(heard.matches("is up again").count(), 2, "{heard}");
    assert!(!heard.contains("also sent"), "{heard}");
}

#[test]
fn notices_of_one_moment_all_go_by_the_channel() {
    let mut world = with(&["blog"], FIVE);
    telegram(&mut world, false);
    for text in ["one", "two"] {
        world.feed(Event::Notice(text.to_owned()));
    }
    world.pass(6 * MIN);
    assert_eq!(texts(&world).concat().matches("ℹ️").count(), 2);
}

#[test]
fn a_late_alert_says_what_a_channel_for_all_had_at_once() {
    let mut world = with(&["blog"], When::Always);
    telegram(&mut world, false);
    world.fate_for("blog", bad(), 5 * MIN);
    telegram(&mut world, true);
    world.pass(2 * MIN);
    let heard = world.received().concat();
    assert!(heard.contains(" ago · also sent by ntfy"), "{heard}");
}

#[test]
fn an_outage_goes_by_the_channel_when_no_user_acknowledges_it_and_its_end_too() {
    for acknowledged in [false, true] {
        let mut world = with(&["blog"], QUARTER);
        world.fate_for("blog", bad(), 5 * MIN);
        if acknowledged {
            world.ask("/ack");
        }
        world.pass(9 * MIN);
        assert_eq!(world.channel_attempts, 0);
        world.pass(60 * MIN);
        world.fate_for("blog", good(40), 2 * MIN);
        if acknowledged {
            assert_eq!(texts(&world), [""; 0]);
            continue;
        }
        assert_eq!(
            texts(&world)[0],
            "🔴 blog is still down, for 15 min: HTTP 503, wanted 200-299 (#1)"
        );
        assert!(texts(&world)[1].starts_with("🟢 blog is up again after "));
        assert_eq!(texts(&world).len(), 2);
    }
}

#[test]
fn what_failed_while_no_alert_waited_counts_for_nothing() {
    let mut world = with(&["blog"], FIVE);
    telegram(&mut world, false);
    world.ask("/status");
    // The reply is given up, and nothing else is sent.
    world.pass(20 * MIN);
    telegram(&mut world, true);
    world.pass(5 * MIN);
    world.fate_for("blog", bad(), 20 * MIN);
    assert_eq!(world.sent.len(), 1);
    assert_eq!(world.channel_attempts, 0);
    // The time without delivery counts from the first alert that waits.
    let mut world = with(&["blog"], FIVE);
    telegram(&mut world, false);
    world.ask("/status");
    world.pass(20 * MIN);
    world.fate_for("blog", bad(), 5 * MIN);
    assert_eq!(world.channel_attempts, 0);
    world.pass(2 * MIN);
    assert_eq!(texts(&world), [format!("{DOWN} · 5 min ago")]);
}

#[test]
fn a_short_outage_goes_by_no_channel_for_the_unacknowledged() {
    let mut world = with(&["blog"], QUARTER);
    world.fate_for("blog", bad(), 5 * MIN);
    world.fate_for("blog", good(40), 60 * MIN);
    assert_eq!(world.channel_attempts, 0);
}

#[test]
fn a_muted_outage_goes_by_the_channel_when_the_mute_ends() {
    let mut world = with(&["blog"], QUARTER);
    world.ask("/mute blog 1h");
    world.fate_for("blog", bad(), 59 * MIN);
    assert_eq!(world.channel_attempts, 0);
    world.pass(5 * MIN);
    assert_eq!(texts(&world).len(), 1);
}

#[test]
fn what_waits_for_channels_survives_a_power_cut() {
    for when in [When::Always, FIVE, QUARTER] {
        let mut world = with(&["blog"], when);
        if when == FIVE {
            telegram(&mut world, false);
        }
        world
            .channel_deliveries
            .extend(std::iter::repeat_n(later(None), 1000));
        world.fate_for("blog", bad(), 20 * MIN);
        assert!(world.channel_attempts > 0, "{when:?}");
        let snapshot = world.monitor.snapshot(world.now());
        world.restart(vec![site("blog")], &snapshot, 30);
        if when == FIVE {
            telegram(&mut world, false);
        }
        world.fate_for("blog", bad(), 20 * MIN);
        let down = texts(&world).concat();
        assert_eq!(down.matches("HTTP 503").count(), 1, "{when:?}: {down}");
        // The state before the restart is kept: no alert is passed on or repeated again.
        let snapshot = world.monitor.snapshot(world.now());
        world.restart(vec![site("blog")], &snapshot, 30);
        world.fate_for("blog", good(40), 20 * MIN);
        let again = texts(&world).concat();
        assert!(!again.contains("HTTP 503"), "{when:?}: {again}");
        assert_eq!(
            again.matches("blog is up again").count(),
            usize::from(when != FIVE)
        );
        if when == FIVE {
            let heard = world.received().concat();
            assert!(heard.contains("also sent by ntfy"), "{heard}");
        }
    }
}

#[test]
fn what_waits_for_a_channel_that_is_gone_is_dropped_with_a_line_in_the_log() {
    let mut world = with(&["blog"], When::Always);
    world
        .channel_deliveries
        .extend(std::iter::repeat_n(later(None), 100));
    world.fate_for("blog", bad(), 2 * MIN);
    let settings = Settings {
        channels: vec![channel("hook", When::Always)],
        ..settings(access())
    };
    let sites = vec![site("blog").into()];
    let added = Vec::new();
    world.feed(Event::Reloaded {
        sites,
        added,
        settings,
    });
    let line = "1 alert for ntfy dropped: there is no [[notify]] of that name any more";
    assert!(world.logs.iter().any(|l| l == line), "{:?}", world.logs);
    world.channel_deliveries.clear();
    world.pass(10 * MIN);
    assert_eq!(texts(&world), [""; 0]);
    assert_eq!(world.monitor.messages_under_way(), 0);
}

#[test]
fn what_a_dead_channel_leaves_waiting_stays_bounded() {
    let mut world = with(&["blog"], When::Always);
    world
        .channel_deliveries
        .extend(std::iter::repeat_n(later(None), 10_000));
    for n in 0..1000 {
        world.feed(Event::Notice(format!("notice {n}")));
    }
    world.pass(MIN);
    let snapshot = world.monitor.snapshot(world.now());
    let waiting = snapshot.alerts.iter().filter(|a| a.channel.is_some());
    assert!(waiting.count() <= 202);
    world.channel_deliveries.clear();
    world.pass(10 * MIN);
    let all = texts(&world).concat();
    assert!(
        all.contains("older alerts were merged") && all.contains("notice 999"),
        "{all}"
    );
}
