//! Expiring root certificates of this machine's bundle: one message each, and no degraded site.

use super::world::*;
use crate::monitor::persist::snapshot::Snapshot;
use crate::monitor::site::Site;
use crate::monitor::site::access::Access;
use crate::monitor::site::outcome::Expiry;
use crate::monitor::site::state::State;
use nanoserde::{DeJson, SerJson};
use std::time::Duration;

const DAY: u64 = 86_400;

fn sites(names: &[&str]) -> Vec<Site> {
    let site = |name: &&str| Site {
        interval: Duration::from_secs(3600),
        cert: Some(Duration::from_secs(14 * DAY)),
        ..site(name)
    };
    names.iter().map(site).collect()
}

fn ends(days: i64, name: &str) -> Expiry {
    Expiry::new(WALL + days * DAY as i64, name, "Acme", "RSA 2048")
}

/// Returns a world with long-lived leaf certificates and a root that expires in `days`.
fn world_of(sites: Vec<Site>, access: Access, days: i64) -> World {
    let mut world = World::with(sites, access);
    world.expiries.push_back(Ok(ends(400, "leaf")));
    world.root = Some(ends(days, "Acme Root"));
    world
}

fn world(names: &[&str], days: i64) -> World {
    world_of(sites(names), access(), days)
}

#[test]
fn an_ended_root_is_one_message_that_names_the_sites_and_what_to_do() {
    let mut world = world(&["blog", "shop", "wiki"], -3).running_for(3 * DAY);
    let received = world.received();
    assert_eq!(received.len(), 1, "{received:?}");
    let head = "ℹ️ The root certificate Acme Root in this machine's bundle ended 3 d ";
    assert!(received[0].starts_with(head), "{received:?}");
    assert_has(&received[0], " 3 sites rely on it: ");
    for word in [
        "blog",
        "shop",
        "wiki",
        "Update ca-certificates (OpenWrt: ca-bundle)",
    ] {
        assert!(received[0].contains(word), "{}", received[0]);
    }
    assert_eq!(world.state("blog"), State::Up);
}

#[test]
fn many_sites_are_counted_and_some_are_named() {
    let names: Vec<String> = (1..=40).map(|n| format!("s{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = world(&names, 5).running_for(DAY);
    let received = world.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert_has(&received[0], "40 sites rely on it: ");
    assert!(received[0].contains(" and 35 more."), "{}", received[0]);
}

#[test]
fn it_is_told_at_the_threshold_and_when_it_has_ended_and_not_again() {
    let mut world = world(&["blog"], 20).running_for(5 * DAY + DAY / 2);
    assert_eq!(world.received(), Vec::<String>::new());
    world.pass(10 * DAY);
    let soon = world.received();
    assert_eq!(soon.len(), 1, "{soon:?}");
    assert!(soon[0].contains("ends in 14 d"), "{}", soon[0]);
    world.pass(4 * DAY);
    let before = world.clock;
    assert_eq!(world.received(), Vec::<String>::new());
    world.pass(DAY);
    let (at, _) = world.sent[0];
    assert!(at < before + DAY as i64 * 1000);
    let ended = world.received();
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert!(ended[0].contains("ended "), "{}", ended[0]);
    world.pass(30 * DAY);
    assert_eq!(world.received(), Vec::<String>::new());
}

#[test]
fn what_was_told_survives_a_restart_and_an_update_of_the_bundle_is_seen_first() {
    let mut world = world(&["blog", "shop"], 5).running_for(DAY);
    assert_eq!(world.received().len(), 1);
    let saved = world.monitor.last_snapshot(world.now()).serialize_json();
    let saved = Snapshot::deserialize_json(&saved).expect("readable");
    let (root, leaf) = (world.root.clone(), ends(400, "leaf"));
    world.restart(sites(&["blog", "shop"]), &saved, 600);
    (world.root, world.expiries) = (root, [Ok(leaf.clone())].into());
    world.pass(2 * DAY);
    assert_eq!(world.received(), Vec::<String>::new());
    // The agent is off when the root expires, and the bundle is updated meanwhile.
    let saved = world.monitor.last_snapshot(world.now());
    world.restart(sites(&["blog", "shop"]), &saved, 5 * DAY);
    (world.root, world.expiries) = (Some(ends(4000, "Acme Root")), [Ok(leaf)].into());
    world.pass(2 * DAY);
    assert_eq!(world.received(), Vec::<String>::new());
}

#[test]
fn a_chat_reads_of_the_sites_that_it_may_see() {
    let mut all = sites(&["blog", "vault"]);
    all[1].chats = Some(vec![CHAT]);
    let chats = access_for(&[CHAT, GROUP]);
    let sent = |sites: Vec<Site>| {
        let world = world_of(sites, chats.clone(), -1).running_for(DAY);
        let sent: Vec<(i64, String)> = world
            .sent
            .iter()
            .map(|(_, m)| (m.chat, m.html.clone()))
            .collect();
        sent
    };
    let both = sent(all.clone());
    assert_eq!(both.len(), 2, "{both:?}");
    for (chat, html) in both {
        assert_eq!(html.contains("vault"), chat == CHAT, "{html}");
        assert!(html.contains("blog"), "{html}");
    }
    let hidden = sent(all.split_off(1));
    assert_eq!(hidden.len(), 1, "{hidden:?}");
    assert_eq!(hidden[0].0, CHAT);
}

#[test]
fn a_mute_of_everything_holds_it_back() {
    let mut world = world(&["blog"], -1);
    world.ask("/mute 3h");
    world.received();
    world.pass(2 * 3600);
    assert_eq!(world.received(), Vec::<String>::new());
    world.pass(2 * 3600);
    assert_eq!(world.received().len(), 1);
}

#[test]
fn other_roots_are_other_messages_and_a_site_that_no_longer_relies_on_one_is_not_counted() {
    let mut world = world(&["blog"], 10).running_for(DAY);
    assert_eq!(world.received().len(), 1);
    world.root = Some(ends(9, "Other Root"));
    world.pass(DAY);
    let received = world.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert!(received[0].contains("Other Root"), "{}", received[0]);
    // Neither a return to the known root nor a root without a site is reported.
    world.root = Some(ends(10, "Acme Root"));
    world.pass(DAY);
    world.root = Some(ends(4000, "Good Root"));
    world.pass(20 * DAY);
    assert_eq!(world.received(), Vec::<String>::new());
}
