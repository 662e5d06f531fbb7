//! The `chats` of a site is an access list: for other chats the site does not exist.

use super::world::*;
use crate::monitor::bot::command::COMMANDS;
use crate::monitor::outbox::callback_data::key;
use crate::monitor::outbox::message::{Press, Update};
use crate::monitor::site::Site;
use crate::monitor::site::access::Access;
use crate::monitor::site::state::State;
use crate::monitor::{Event, Settings};

/// Returns four sites of one group. `vault` and `vault door`, which depends on it, are for CHAT
/// only; `home` and `lamp` are for all, although `lamp` depends on `vault`.
fn sites() -> Vec<Site> {
    ["home", "vault", "vault door", "lamp"]
        .into_iter()
        .map(|name| Site {
            chats: name.starts_with("vault").then(|| vec![CHAT]),
            after: (name == "lamp" || name == "vault door").then(|| "vault".to_owned()),
            group: Some("all".to_owned()),
            ..site(name)
        })
        .collect()
}

/// Returns a world with `vault` down, after the alerts for both chats.
fn vault_down() -> World {
    let mut world = World::with(sites(), access_for(&[CHAT, GROUP])).running_for(60);
    world.fate_for("vault", bad(), 120);
    assert_eq!(world.state("vault"), State::Down);
    assert_eq!(world.state("lamp"), State::Unreachable);
    let sent: Vec<i64> = world.sent.iter().map(|(_, m)| m.chat).collect();
    assert_eq!(sent, [CHAT]);
    world
}

/// Sends a command from GROUP and returns what it gets: texts, labels and pictures.
fn group_asks(world: &mut World, text: &str) -> String {
    let before = world.sent.len();
    world.ask_from(GROUP, Some(2), text);
    world.pass(5);
    let sent = &world.sent[before..];
    let mine = sent.iter().filter(|(_, m)| m.chat == GROUP);
    mine.map(|(_, m)| format!("{} {:?} {:?}\n", m.html, m.buttons, m.picture))
        .collect()
}

#[test]
fn no_command_of_another_chat_finds_the_site_by_any_name() {
    let mut world = vault_down();
    let key = key("vault");
    for (command, _) in COMMANDS {
        for name in ["vault", "VAULT", "vau", "valut", "all", "#1", "", &key] {
            let said = group_asks(&mut world, &format!("/{command} {name}"));
            let repeated = said.replace(&format!("<b>{name}</b>"), "");
            assert!(
                !repeated.to_lowercase().contains("vault"),
                "/{command} {name}: {said}"
            );
        }
    }
    let vault = world.monitor.sites.iter().find(|w| w.name() == "vault");
    let vault = vault.expect("a site");
    assert_eq!(vault.muted_until(), None);
    assert_eq!(vault.pause_order(), None);
    let incident = world.monitor.incidents.open_of("vault").expect("open");
    assert_eq!(incident.acknowledged(), None);
    assert!(world.monitor.alerts.muted_until().is_none());
}

#[test]
fn to_another_chat_it_does_not_exist() {
    let mut world = vault_down();
    for (text, part) in [
        (
            "/site vault",
            "There is no site <b>vault</b>. /list shows all.",
        ),
        (
            "/mute vault",
            "There is neither a site nor a group <b>vault</b>.",
        ),
        (
            "/status",
            "<b>1 up, 1 unreachable</b>\n⚫ <b>lamp</b> is unreachable ",
        ),
        (
            "/site lamp",
            "https://lamp.example/\nGroup: all\nLast check",
        ),
        ("/ack", "No incident is open."),
        ("/ack 1", "There is no incident #1."),
        ("/incidents", "No incident is known."),
        ("/check", "2 sites checked"),
        ("/stats", ", of 2 sites\n"),
        ("/mute 2h", "🔕 2 sites are muted for 2 h: "),
        ("/unmute", "🔔 Unmuted: "),
    ] {
        let said = group_asks(&mut world, text);
        assert!(said.contains(part), "{text}: {said}");
    }
    for (text, part) in [
        ("/status", "1 up, 1 down, 2 unreachable"),
        ("/site lamp", "Depends on: <b>vault</b>"),
        ("/incidents", "🔴 #1 <b>vault</b>"),
        ("/stats", ", of 4 sites"),
        ("/ack", "👍 Acknowledged: #1 <b>vault</b>"),
        ("/mute", "🔕 Everything is muted for 1 h."),
    ] {
        let said = world.ask(text).concat();
        assert!(said.contains(part), "{text}: {said}");
    }
    let said = group_asks(&mut world, "/unmute");
    assert_has(&said, "🔕 Everything is still muted, by another chat.");
    assert!(world.monitor.alerts.muted_until().is_some());
}

#[test]
fn buttons_that_came_there_by_an_older_file_do_nothing() {
    let mut world = vault_down();
    let (_, alert) = world.shown[0].clone();
    let buttons: Vec<_> = alert.buttons.concat();
    assert_eq!(buttons.len(), 4);
    let key = key("vault");
    let lines = ["+/check", "+/site", "=/pause", "=/mute", "?/history"];
    let lines = lines.map(|line| format!("{line} {key}"));
    let alerts = buttons.into_iter().map(|b| b.data);
    for data in alerts.chain(lines) {
        let press = Press {
            chat: GROUP,
            user: Some(2),
            message_id: 7,
            html: Some("<b>vault</b> is down".into()),
            date: WALL,
            data: data.clone(),
            ..Press::default()
        };
        let answer = world.press(press).expect("an answer");
        assert_eq!(
            answer, "That is too old: I no longer watch that site.",
            "{data}"
        );
    }
    let vault = world.monitor.sites.iter().find(|w| w.name() == "vault");
    assert!(vault.is_some_and(|w| w.muted_until().is_none() && !w.is_paused()));
    let incident = world.monitor.incidents.open_of("vault").expect("open");
    assert_eq!(incident.acknowledged(), None);
}

#[test]
fn a_chat_is_told_of_what_lies_behind_a_site_as_far_as_it_may_see() {
    let mut all = sites();
    all[1].chats = None;
    let mut world = World::with(all, access_for(&[CHAT, GROUP])).running_for(60);
    world.fate_for("vault", bad(), 120);
    let sent = |chat: i64| -> Vec<String> {
        let mine = world.sent.iter().filter(|(_, m)| m.chat == chat);
        mine.map(|(_, m)| m.html.clone()).collect()
    };
    let head = "🔴 <b>vault</b> is down: HTTP 503, wanted 200-299 (#1)";
    assert_eq!(
        sent(CHAT),
        [format!("{head}; 2 sites behind it are unreachable")]
    );
    assert_eq!(
        sent(GROUP),
        [format!("{head}; 1 site behind it is unreachable")]
    );
}

#[test]
fn what_waits_for_a_chat_is_dropped_when_the_file_takes_the_site_from_it() {
    let mut all = sites();
    all[1].chats = None;
    let mut world = World::with(all, access_for(&[CHAT, GROUP])).running_for(60);
    let away = telegram_fails(None, "no route");
    world.deliveries = std::iter::repeat_n(away, 4).collect();
    world.fate("vault", bad());
    for _ in 0..120 {
        world.pass(1);
        if world.state("vault") == State::Down {
            break;
        }
    }
    assert_eq!(world.state("vault"), State::Down);
    assert!(world.sent.is_empty());
    world.feed(reloaded(sites(), settings(access_for(&[CHAT, GROUP]))));
    world.pass(120);
    let sent: Vec<i64> = world.sent.iter().map(|(_, m)| m.chat).collect();
    assert_eq!(sent, [CHAT]);
}

#[test]
fn incidents_of_a_site_that_is_gone_belong_to_who_was_told() {
    let mut world = vault_down();
    let left: Vec<_> = sites().into_iter().filter(|s| s.name == "home").collect();
    world.feed(reloaded(left, settings(access_for(&[CHAT, GROUP]))));
    let said = group_asks(&mut world, "/incidents");
    assert!(said.contains("No incident is known."), "{said}");
    assert!(world.ask("/incidents").concat().contains("#1 <b>vault</b>"));
}

#[test]
fn mistakes_of_the_file_name_sites_only_where_all_are_seen() {
    let mut world = World::with(sites(), access_for(&[CHAT, GROUP]));
    world.feed(Event::Mistaken {
        what: "`after` names `vault`".into(),
        safe: "it has mistakes".into(),
    });
    world.pass(5);
    let mut sent: Vec<(i64, String)> = world
        .sent
        .iter()
        .map(|(_, m)| (m.chat, m.html.clone()))
        .collect();
    sent.sort();
    assert_eq!(
        sent,
        [
            (GROUP, "ℹ️ it has mistakes".to_owned()),
            (CHAT, "ℹ️ `after` names `vault`".to_owned())
        ]
    );
}

#[test]
fn what_is_added_where_it_would_not_be_told_is_refused() {
    let mut world = World::with(sites(), access_for(&[CHAT, GROUP]));
    let said = group_asks(&mut world, "/add https://vault vault");
    assert!(
        said.contains("the name <b>vault</b> is taken"),
        "the name is the asker's own: {said}"
    );
    let site = Site {
        chats: Some(vec![CHAT]),
        ..site("new.example")
    };
    // A site whose `chats` come from `[defaults]`.
    let actions = world.monitor.handle(
        world.now(),
        update(GROUP, "/add https://other.example/", 99),
    );
    drop(actions);
    world.feed(Event::Examined {
        id: 2,
        result: Ok(Box::new(site)),
    });
    let last = world.sent.last().map(|(_, m)| m.html.clone());
    assert_eq!(
        last.as_deref(),
        Some("Not added: by `chats` in [defaults] this chat would not be told of it.")
    );
}

fn update(chat: i64, text: &str, id: i64) -> Event {
    let content = written(chat, 2, text, WALL);
    Event::Update(Update { id, content })
}

#[test]
fn at_the_terminal_everything_is_seen() {
    let settings: Settings = settings(Access::console());
    let mut world = World::with(sites(), settings.access).running_for(60);
    let said = world.ask_from(0, None, "/list").concat();
    assert_eq!(said.lines().count(), 4, "{said}");
}
