//! The daily summary: content, time, and chats.

use super::world::*;
use crate::monitor::site::Site;
use crate::monitor::site::access::Access;
use crate::monitor::time::zone::Zone;
use crate::monitor::time::zone::tests::{BERLIN, SPRING};
use crate::monitor::{Monitor, Settings};
use std::time::Duration;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// 2026-11-25 00:00 UTC.
const MIDNIGHT: i64 = 1_795_564_800;
const NINE: u16 = 9 * 60;

fn world(sites: Vec<Site>, access: Access, at: Option<u16>, wall: i64, zone: Zone) -> World {
    let mut world = World::with(sites.clone(), access.clone());
    world.wall = wall;
    world.zone = zone;
    let settings = Settings {
        digest: at,
        ..settings(access)
    };
    world.monitor = Monitor::new(sites, settings, world.now(), 42);
    world
}

fn digests(world: &mut World) -> Vec<String> {
    let mut received = world.received();
    received.retain(|html| html.starts_with("📋"));
    received
}

#[test]
fn yesterday_in_five_lines_without_sound() {
    let sites = vec![site("blog"), site("shop"), site("wiki")];
    let mut world = world(sites, access(), Some(NINE), MIDNIGHT, Zone::UTC);
    world.fate_for("wiki", good(1280), 10 * HOUR);
    world.fate_for("blog", bad(), 600);
    world.fate_for("blog", good(40), 2 * HOUR);
    world.fate_for("shop", bad(), DAY - 14 * HOUR);
    world.received();
    world.pass(12 * HOUR);
    let sent = std::mem::take(&mut world.sent);
    let (_, message) = sent
        .iter()
        .find(|(_, m)| m.html.starts_with("📋"))
        .expect("a digest");
    assert!(message.silent && message.picture.is_some());
    assert_eq!(
        message.html,
        "📋 <b>25 Nov 2026: 3 sites, 2 with outages, 83.34 % up</b>\n\
         2 outages, 11 h 58 min in all; the longest: <b>shop</b> 11 h 49 min, HTTP 503, wanted 200-299\n\
         Slowest now: <b>wiki</b> 1.28 s\n\
         Now: 2 up, 1 down"
    );
}

#[test]
fn a_name_that_its_picture_cannot_show_is_told_by_its_number() {
    let sites = vec![site("blog"), site("\u{7F51}\u{7AD9}")];
    let mut world = world(sites, access(), Some(NINE), MIDNIGHT, Zone::UTC);
    world.fate("blog", good(40));
    world.fate_for("\u{7F51}\u{7AD9}", good(40), 34 * HOUR);
    let digest = digests(&mut world).concat();
    assert!(digest.ends_with("\n#2 \u{7F51}\u{7AD9}"), "{digest}");
}

#[test]
fn one_outage_is_told_once_and_what_is_down_or_paused_is_not_the_slowest() {
    let sites = vec![site("blog"), site("shop"), site("wiki")];
    let mut world = world(sites, access(), Some(NINE), MIDNIGHT, Zone::UTC);
    world.fate_for("wiki", good(1280), 12 * HOUR);
    world.ask("/pause wiki");
    let mut slow = bad();
    slow.took = Some(Duration::from_secs(8));
    world.fate_for("shop", slow, 22 * HOUR);
    let digest = digests(&mut world).concat();
    assert_has(&digest, "\n1 outage: <b>shop</b> 11 h 5");
    assert_has(&digest, "\nSlowest now: <b>blog</b> 40 ms\n");
}

#[test]
fn it_comes_once_a_day_at_its_local_time() {
    let zone = Zone::fixed(3600);
    let mut world = world(vec![site("blog")], access(), Some(NINE), MIDNIGHT, zone);
    world.pass(8 * HOUR - 2);
    assert_eq!(digests(&mut world).len(), 0);
    world.pass(4);
    assert_eq!(
        digests(&mut world),
        [
            "📋 <b>24 Nov 2026: 1 site, not watched yesterday</b>\nSlowest now: <b>blog</b> 40 ms\nNow: 1 up"
        ]
    );
    world.pass(DAY - 10);
    assert_eq!(digests(&mut world).len(), 0);
    world.pass(3 * DAY);
    assert_eq!(digests(&mut world).len(), 3);
}

#[test]
fn a_new_agent_has_no_yesterday_to_tell_of() {
    let sites = vec![site("blog")];
    let noon = MIDNIGHT + 12 * 3600;
    let mut world = world(sites, access(), Some(NINE), noon, Zone::UTC).running_for(8 * HOUR);
    assert_eq!(digests(&mut world).len(), 0);
    world.pass(DAY);
    assert_eq!(digests(&mut world).len(), 1);
}

#[test]
fn after_a_restart_it_is_neither_lost_nor_sent_twice() {
    let start = |wall| world(vec![site("blog")], access(), Some(NINE), wall, Zone::UTC);
    let mut first = start(MIDNIGHT).running_for(8 * HOUR);
    let before = first.monitor.snapshot(first.now());
    first.pass(2 * HOUR);
    assert_eq!(digests(&mut first).len(), 1);
    let after = first.monitor.snapshot(first.now());
    for (snapshot, expected) in [(before, 1), (after, 0)] {
        let mut second = start(MIDNIGHT + 14 * 3600);
        let now = second.now();
        second.monitor.restore(&snapshot, now);
        second.pass(HOUR);
        assert_eq!(digests(&mut second).len(), expected);
    }
}

#[test]
fn on_the_day_its_hour_is_skipped_it_comes_when_the_clocks_have_been_set() {
    let half_past_two = Some(2 * 60 + 30);
    let sites = vec![site("blog")];
    let mut world = world(sites, access(), half_past_two, SPRING - 7200, BERLIN);
    world.pass(7200 - 1);
    assert_eq!(digests(&mut world).len(), 0);
    world.pass(2);
    assert_eq!(digests(&mut world).len(), 1);
    world.pass(12 * HOUR);
    assert_eq!(digests(&mut world).len(), 0);
}

#[test]
fn a_chat_reads_of_the_sites_it_is_told_of_and_of_no_other() {
    let access = access_for(&[CHAT, GROUP, 8]);
    let of = |name: &str, chats: &[i64]| Site {
        chats: Some(chats.to_vec()),
        remind: Some(Duration::from_secs(0)).filter(|d| !d.is_zero()),
        ..site(name)
    };
    let sites = vec![of("blog", &[CHAT]), of("shop", &[GROUP, CHAT])];
    let mut world = world(sites, access, Some(NINE), MIDNIGHT, Zone::UTC);
    world.fate_for("blog", bad(), DAY + 10 * HOUR);
    let sent = std::mem::take(&mut world.sent);
    let received = |chat: i64| {
        let mine = sent.iter().filter(|(_, m)| m.chat == chat);
        let mine = mine.filter(|(_, m)| m.html.starts_with("📋"));
        mine.map(|(_, m)| m.html.as_str())
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_has(&received(CHAT), "2 sites, 1 with outages");
    assert!(received(GROUP).contains("1 site, no outage"));
    assert!(!received(GROUP).contains("blog"));
    assert_eq!(received(8), "");
}
