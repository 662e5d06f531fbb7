//! `/add` and `/remove`.

use super::world::*;
use crate::monitor::outbox::message::{Delivery, Update};
use crate::monitor::persist::snapshot::AddedRecord;
use crate::monitor::site::state::State;
use crate::monitor::{Action, Event};
use std::time::Duration;

#[test]
fn a_site_is_checked_once_and_then_watched() {
    let mut world = World::of(&["blog"]).running_for(120);
    assert_eq!(
        world.ask("/add https://shop.example/ shop"),
        [
            "Checking <b>shop</b> …",
            "➕ <b>shop</b> is watched, every 1 min. It answered in 40 ms."
        ]
    );
    world.pass(120);
    assert_eq!(world.state("shop"), State::Up);
    world.fate_for("shop", bad(), 300);
    let sent = world.received();
    assert!(
        sent.iter().any(|t| t.starts_with("🔴 <b>shop</b> is down")),
        "{sent:?}"
    );
    assert_eq!(
        world.ask("/remove sho"),
        ["➖ <b>shop</b> is not watched any more."]
    );
    world.pass(HOUR);
    assert_eq!(world.received().len(), 1, "the answer alone");
    assert!(!world.monitor.sites.contains("shop"));
    assert!(world.started.iter().filter(|(_, n, _)| n == "shop").count() < 15);
}

const HOUR: u64 = 3600;

#[test]
fn one_that_fails_is_taken_by_who_insists() {
    let mut world = World::of(&["blog"]);
    world.fate("shop", bad());
    let first = world.ask("/add https://shop.example/ shop");
    assert_eq!(
        first[1],
        "❌ Not added: <b>shop</b> fails: HTTP 503, wanted 200-299\n\
         To add it as it is, send the same again within 10 min."
    );
    assert!(!world.monitor.sites.contains("shop"));
    world.pass(700);
    assert!(world.ask("/add https://shop.example/ shop")[1].starts_with("❌ Not added"));
    world.pass(60);
    assert!(world.ask("/add https://shop.example/ other")[1].starts_with("➕ <b>other</b>"));
    assert_eq!(
        world.ask("/add https://shop.example/ shop")[1],
        "➕ <b>shop</b> is watched, though it fails: HTTP 503, wanted 200-299"
    );
    world.pass(300);
    assert_eq!(world.state("shop"), State::Down);
}

#[test]
fn what_is_no_site_or_has_a_name_that_is_taken_is_refused() {
    let mut world = World::of(&["blog"]);
    assert_eq!(
        world.ask("/add"),
        ["What shall I watch? Write /add URL, or /add URL NAME."]
    );
    assert_eq!(world.ask("/add ftp://x"), ["Not added: `url` is none."]);
    let taken =
        "Not added: there is a site <b>blog</b> already. /add URL NAME gives it another name.";
    assert_eq!(world.ask("/add https://blog"), [taken]);
    world.ask("/add https://shop.example/");
    assert!(world.ask("/add https://shop.example/")[0].starts_with("Not added"));
    assert_eq!(
        world.ask("/remove blog"),
        [
            "<b>blog</b> is in sitemon.conf: take it out there and reload (SIGHUP). /pause stops its checks."
        ]
    );
}

#[test]
fn a_hundred_may_be_added_and_no_more() {
    let mut world = World::of(&["blog"]);
    for n in 0..100 {
        let answers = world.ask(&format!("/add https://host-{n}/"));
        assert!(answers[1].starts_with("➕"), "{answers:?}");
    }
    assert_eq!(
        world.ask("/add https://one-more/"),
        ["Not added: there are 100 added sites already. Put some into sitemon.conf."]
    );
}

#[test]
fn those_that_are_still_being_checked_count_too() {
    let mut world = World::of(&["blog"]);
    for n in 0..99 {
        world.ask(&format!("/add https://host-{n}/"));
    }
    // Not through [`World`], whose checks end at once.
    let mut examined = |id, url: &str| {
        let content = written(CHAT, 1, &format!("/add {url}"), world.now().wall);
        let now = world.now();
        let update = Event::Update(Update { id, content });
        let actions = world.monitor.handle(now, update);
        actions.iter().any(|a| matches!(a, Action::Examine { .. }))
    };
    assert!(examined(1000, "https://the-hundredth/"));
    assert!(!examined(1001, "https://one-more/"));
}

/// Handles an event and returns the actions, without [`World`], whose checks end at once.
fn done(world: &mut World, event: Event) -> Vec<Action> {
    let now = world.now();
    world.monitor.handle(now, event)
}

#[test]
fn one_that_is_being_checked_at_a_reload_is_taken_by_the_new_rules() {
    let mut world = World::of(&["blog"]);
    let content = written(CHAT, 1, "/add https://shop.example/ shop", world.now().wall);
    let examined = |actions: &[Action]| {
        actions.iter().find_map(|action| match action {
            Action::Examine { id, url, name } => Some((*id, url.clone(), name.clone())),
            _ => None,
        })
    };
    let said = |actions: &[Action]| {
        actions.iter().find_map(|action| match action {
            Action::Send(outgoing) => Some((outgoing.id, outgoing.message.html.clone())),
            _ => None,
        })
    };
    let asked = done(&mut world, Event::Update(Update { id: 1000, content }));
    let (id, ..) = examined(&asked).expect("it is examined");
    let result = Ok(Box::new(site("shop")));
    let actions = done(&mut world, Event::Examined { id, result });
    let (message, text) = said(&actions).expect("an answer");
    assert_eq!(text, "Checking <b>shop</b> …");
    let delivery = Delivery::Sent { message_id: 1 };
    let delivered = Event::Delivered {
        id: message,
        delivery,
    };
    done(&mut world, delivered);
    let reloaded = reloaded(vec![site("blog")], settings(access()));
    done(&mut world, reloaded);

    let tried = |id| Event::Tried {
        id,
        outcome: good(40),
    };
    let actions = done(&mut world, tried(id));
    let again = examined(&actions).expect("it is examined again");
    let (url, name) = ("https://shop.example/".to_owned(), Some("shop".to_owned()));
    assert_eq!(again, (id, url, name));
    assert_eq!(said(&actions), None);
    assert!(world.monitor.added().is_empty());
    let mut new = site("shop");
    new.interval = Duration::from_secs(300);
    let result = Ok(Box::new(new));
    let actions = done(&mut world, Event::Examined { id, result });
    assert!(matches!(&actions[..], [Action::Try { site, .. }] if site.interval.as_secs() == 300));
    let actions = done(&mut world, tried(id));
    assert_eq!(
        said(&actions).expect("an answer").1,
        "➕ <b>shop</b> is watched, every 5 min. It answered in 40 ms."
    );
    assert_eq!(world.monitor.added().len(), 1);
}

#[test]
fn an_added_site_and_its_outage_survive_a_restart() {
    let mut world = World::of(&["blog"]);
    world.ask("/add https://shop.example/ shop");
    world.fate_for("shop", bad(), 300);
    assert_eq!(world.state("shop"), State::Down);
    let snapshot = world.monitor.snapshot(world.now());
    world.restart(vec![site("blog")], &snapshot, 60);
    assert_eq!(world.state("shop"), State::Down);
    world.fate_for("shop", good(40), 300);
    let sent = world.received();
    assert!(
        sent.iter()
            .any(|t| t.contains("🟢 <b>shop</b> is up again")),
        "{sent:?}"
    );
}

#[test]
fn a_reload_keeps_it_and_a_site_of_the_file_takes_its_name() {
    let mut world = World::of(&["blog"]);
    world.ask("/add https://shop.example/ shop");
    world.pass(120);
    let record = |name: &str| AddedRecord {
        name: name.to_owned(),
        url: format!("https://{name}.example/"),
    };
    let reload = |world: &mut World, names: &[&str]| {
        let added = vec![(record("shop"), Ok(site("shop")))];
        world.feed(Event::Reloaded {
            sites: names.iter().map(|n| site(n).into()).collect(),
            added,
            settings: settings(access()),
        });
    };
    reload(&mut world, &["blog"]);
    assert_eq!(world.state("shop"), State::Up, "nothing is forgotten");
    assert_eq!(world.monitor.added(), [record("shop")]);
    world.received();
    reload(&mut world, &["blog", "shop"]);
    world.pass(5);
    assert_eq!(
        world.received(),
        ["ℹ️ shop is in sitemon.conf now: the one that was added in the chat is forgotten."]
    );
    assert!(world.monitor.added().is_empty());
    assert!(world.ask("/remove shop")[0].contains("is in sitemon.conf"));
}

#[test]
fn one_that_the_new_file_does_not_allow_is_told_of_and_can_be_removed() {
    let mut world = World::of(&["blog"]);
    world.ask("/add https://shop.example/ shop");
    world.received();
    let record = world.monitor.added()[0].clone();
    world.feed(Event::Reloaded {
        sites: vec![site("blog").into()],
        added: vec![(
            record,
            Err("`slow` (20s) must be shorter than `timeout` (10s)".into()),
        )],
        settings: settings(access()),
    });
    world.pass(5);
    assert_eq!(
        world.received(),
        [
            "ℹ️ shop, added in the chat, cannot be watched any more: `slow` (20s) must be shorter \
             than `timeout` (10s). /remove shop forgets it."
        ]
    );
    assert_eq!(
        world.ask("/remove shop"),
        ["➖ <b>shop</b> is not watched any more."]
    );
    assert!(world.monitor.added().is_empty());
}
