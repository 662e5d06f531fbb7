//! Buttons: which users may press them, what they do, and which of them remain.

use super::world::*;
use crate::monitor::outbox::message::{Message, Press};
use crate::monitor::site::state::State;
use std::time::Duration;

/// Presses the button `label` under the `nth` message.
fn press(world: &mut World, nth: usize, label: &str) -> String {
    press_by(world, nth, label, "Ann")
}

#[track_caller]
fn press_by(world: &mut World, nth: usize, label: &str, name: &str) -> String {
    let (id, message) = world.shown.clone().swap_remove(nth);
    let data = message
        .buttons
        .iter()
        .flatten()
        .find(|b| b.label == label)
        .map(|b| b.data.clone())
        .unwrap_or_else(|| panic!("no {label} among {:?}", labels(&message)));
    let press = Press {
        name: name.into(),
        html: Some(message.html),
        message_id: id,
        ..with(&data)
    };
    world.press(press).expect("an answer")
}

fn with(data: &str) -> Press {
    Press {
        chat: CHAT,
        user: Some(1),
        name: "Ann".into(),
        message_id: 999,
        html: Some("x".into()),
        date: WALL,
        data: data.into(),
        ..Press::default()
    }
}

fn labels(message: &Message) -> Vec<Vec<&str>> {
    let rows = message.buttons.iter();
    rows.map(|row| row.iter().map(|b| b.label.as_str()).collect())
        .collect()
}

/// Returns the only message in its current state.
#[track_caller]
fn only(world: &World) -> Message {
    let mut shown = world.shown.clone();
    assert_eq!(shown.len(), 1, "{shown:?}");
    shown.remove(0).1
}

fn one_down() -> World {
    let mut world = World::of(&["blog", "shop"]).running_for(60);
    world.fate_for("blog", bad(), 120);
    world
}

#[test]
fn a_strangers_press_is_not_even_answered() {
    let mut world = World::of(&["blog"]);
    let stranger = Press {
        chat: 8,
        ..with("!a1")
    };
    assert_eq!(world.press(stranger), None);
    assert!(
        world
            .logs
            .iter()
            .any(|line| line.contains("no answer for user 1 in chat 8"))
    );
    let access = access_for_users(&[GROUP], &[2]);
    let mut world = World::with(vec![site("blog")], access);
    let member = Press {
        chat: GROUP,
        ..with("!a1")
    };
    assert_eq!(world.press(member), None);
}

#[test]
fn a_down_alert_has_the_four_buttons_and_good_news_has_none() {
    let mut world = one_down();
    let alert = only(&world);
    assert_eq!(
        labels(&alert),
        [
            vec!["Check now", "Acknowledge"],
            vec!["Mute 1 h", "Mute 1 d"]
        ]
    );
    world.fate_for("blog", good(40), 120);
    let shown = world.shown.clone();
    assert_eq!(shown.len(), 2);
    assert!(shown[1].1.html.contains("up again"));
    assert!(shown[1].1.buttons.is_empty());
    assert!(
        shown[0].1.buttons.is_empty(),
        "there is nothing to be done any more"
    );
    assert!(shown[0].1.html.contains("is down"), "{}", shown[0].1.html);
}

#[test]
fn an_acknowledgement_is_written_into_the_alert_with_its_name() {
    let mut world = one_down();
    assert_eq!(press(&mut world, 0, "Acknowledge"), "👍 acknowledged");
    let alert = only(&world);
    assert_eq!(
        alert.html,
        "🔴 <b>blog</b> is down: HTTP 503, wanted 200-299 (#1)\n👍 acknowledged by Ann"
    );
    assert_eq!(
        labels(&alert),
        [vec!["Check now"], vec!["Mute 1 h", "Mute 1 d"]]
    );
    assert!(
        world.ask("/incidents")[0]
            .contains(", acknowledged by Ann 0 s ago: HTTP 503, wanted 200-299")
    );
    assert_eq!(
        world.press(with("!a1")),
        Some("#1 was acknowledged before by Ann.".into())
    );
    world.pass(86_400);
    assert!(!world.received().iter().any(|m| m.contains("still down")));
}

#[test]
fn a_mute_can_be_taken_back_and_says_so_once() {
    let mut world = one_down();
    assert_eq!(press(&mut world, 0, "Mute 1 d"), "🔕 muted for 1 d");
    assert_eq!(
        labels(&only(&world)),
        [vec!["Check now", "Acknowledge"], vec!["Unmute"]]
    );
    assert!(world.ask("/status")[0].contains("HTTP 503, wanted 200-299 🔕"));
    press_by(&mut world, 0, "Acknowledge", "Bob <b>");
    press(&mut world, 0, "Unmute");
    press(&mut world, 0, "Mute 1 h");
    assert_eq!(
        world.shown[0].1.html,
        "🔴 <b>blog</b> is down: HTTP 503, wanted 200-299 (#1)\n👍 acknowledged by Bob &lt;b&gt;\n🔕 muted for 1 h by Ann"
    );
}

#[test]
fn two_presses_before_the_message_has_changed_both_leave_their_mark() {
    let mut world = one_down();
    let html = Some(only(&world).html);
    let message_id = world.shown[0].0;
    for data in ["!a1", "!h1"] {
        let press = Press {
            html: html.clone(),
            message_id,
            ..with(data)
        };
        assert!(world.press(press).is_some());
    }
    assert_eq!(
        only(&world).html,
        "🔴 <b>blog</b> is down: HTTP 503, wanted 200-299 (#1)\n👍 acknowledged by Ann\n🔕 muted for 1 h by Ann"
    );
}

#[test]
fn a_message_about_several_acts_on_all_that_go_on() {
    let names: Vec<String> = (0..20).map(|i| format!("site-{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::of(&names).running_for(60);
    for name in &names {
        world.fate(name, bad());
    }
    world.pass(300);
    let alert = only(&world);
    assert!(
        alert.html.starts_with("🔴 <b>20 sites are down</b>"),
        "{}",
        alert.html
    );
    assert!(alert.buttons.iter().flatten().all(|b| b.data.len() <= 64));
    world.fate_for("site-3", good(40), 120);
    assert_eq!(press(&mut world, 0, "Acknowledge"), "👍 acknowledged");
    let open = world.monitor.snapshot(world.now()).incidents;
    let (over, open): (Vec<_>, Vec<_>) = open.iter().partition(|i| i.end.is_some());
    assert_eq!((over.len(), open.len()), (1, 19));
    assert!(
        open.iter()
            .all(|i| i.acknowledged_name.as_deref() == Some("Ann"))
    );
    assert_eq!(over[0].acknowledged_at, None);
}

#[test]
fn a_check_from_an_alert_is_a_message_of_its_own() {
    let mut world = one_down();
    world.fate("blog", good(40));
    assert_eq!(press(&mut world, 0, "Check now"), "");
    world.pass(2);
    let texts: Vec<String> = world
        .shown
        .clone()
        .into_iter()
        .map(|(_, m)| m.html)
        .collect();
    assert!(
        texts.contains(&"✅ <b>blog</b> 40 ms\nasked by Ann".into()),
        "{texts:?}"
    );
}

#[test]
fn what_is_over_gone_or_forged_gets_a_short_answer_and_loses_its_buttons() {
    let mut world = one_down();
    world.fate_for("blog", good(40), 120);
    world.shown.push((999, Message::default()));
    let sent = world.shown.len();
    for (data, text) in [
        ("!a1", "That is too old: #1 is over."),
        ("!h1", "That is too old: #1 is over."),
        ("!c77", "That is too old: #77 is over."),
        ("!a0", "That was a test: nothing is down."),
        ("!a", "That is too old: I no longer know this button."),
        ("rm -rf", "That is too old: I no longer know this button."),
        ("", "That is too old: I no longer know this button."),
        (
            "=/pause ~0000000000000000",
            "That is too old: I no longer watch that site.",
        ),
        (
            "+/site blog",
            "That is too old: I no longer watch that site.",
        ),
    ] {
        assert_eq!(world.press(with(data)), Some(text.into()), "{data}");
    }
    world.pass(60);
    assert_eq!(world.shown.len(), sent, "nothing new is said");
    assert_eq!(world.state("blog"), State::Up);
}

#[test]
fn a_press_that_waited_while_we_were_off_is_not_carried_out() {
    let mut world = one_down();
    world.clock += 3_600_000;
    let old = Press {
        waited: Duration::MAX,
        ..with("!a1")
    };
    assert_eq!(
        world.press(old.clone()),
        Some("That is too old: pressed while I was away. Press it again.".into())
    );
    let fresh = Press {
        waited: Duration::from_secs(30),
        ..old.clone()
    };
    assert_eq!(world.press(fresh), Some("👍 acknowledged".into()));
    // The message itself is newer than the limit.
    let young = Press {
        date: world.now().wall - 60,
        ..old
    };
    assert_eq!(
        world.press(young),
        Some("#1 was acknowledged before by Ann.".into())
    );
}

#[test]
fn the_status_leads_to_the_sites_that_are_not_up() {
    let mut world = one_down();
    world.ask("/status");
    let (_, status) = world.shown.clone().pop().unwrap();
    assert_eq!(labels(&status), [["blog"], ["Chart"]]);
    assert_eq!(press(&mut world, 1, "blog"), "");
    let (_, site) = world.shown.clone().pop().unwrap();
    assert_has(&site.html, "<b>blog</b> has been down for");
    assert_eq!(
        labels(&site),
        [vec!["Check now", "Mute", "Pause"], vec!["Chart"]]
    );
}

#[test]
fn a_sites_message_shows_what_was_done_to_it() {
    let mut world = World::of(&["blog"]).running_for(60);
    world.ask("/site blog");
    for (label, answer, next) in [
        (
            "Mute",
            "🔕 Muted for 1 h",
            vec![vec!["Check now", "Unmute", "Pause"], vec!["Chart"]],
        ),
        (
            "Unmute",
            "🔔 Unmuted",
            vec![vec!["Check now", "Mute", "Pause"], vec!["Chart"]],
        ),
        ("Pause", "⏸ Paused", vec![vec!["Resume", "Chart"]]),
        (
            "Resume",
            "▶️ Checked again",
            vec![vec!["Check now", "Mute", "Pause"], vec!["Chart"]],
        ),
    ] {
        assert_eq!(press(&mut world, 0, label), answer);
        let site = only(&world);
        assert!(
            site.html.ends_with(&format!("\n{answer} by Ann")),
            "{}",
            site.html
        );
        assert_eq!(labels(&site), next);
    }
    assert_eq!(press(&mut world, 0, "Check now"), "");
    assert_eq!(world.shown.len(), 2);
}

#[test]
fn a_choice_is_edited_into_the_answer() {
    let mut world = World::of(&["blog one", "blog two", "shop"]).running_for(60);
    for (question, ends) in [
        ("/history blog", "The last checks of <b>blog two</b>"),
        (
            "/pause blog",
            "⏸ <b>blog two</b> is paused. /resume starts it again.",
        ),
        ("/resume blog", "▶️ <b>blog two</b> is checked again."),
        ("/mute blog 2h", "🔕 <b>blog two</b> is muted for 2 h."),
        ("/unmute blog", "🔔 Unmuted: blog two"),
        (
            "/incidents blog",
            "No incident of <b>blog two</b> is known.",
        ),
        ("/status blog", "<b>1 up</b>"),
        ("/list blog", "🟢 <b>blog two</b>"),
        ("/site blog", "🟢 <b>blog two</b> has been up"),
        ("/check blog", "✅ <b>blog two</b> 40 ms"),
    ] {
        let asked = world.ask(question);
        assert_eq!(
            asked,
            ["<b>blog</b> fits 2 sites. Which one?"],
            "{question}"
        );
        let nth = world.shown.len() - 1;
        assert_eq!(press(&mut world, nth, "blog two"), "", "{question}");
        world.pass(2);
        let shown = world.shown.clone();
        assert_eq!(shown.len(), nth + 1, "{question}");
        assert!(shown[nth].1.html.starts_with(ends), "{}", shown[nth].1.html);
    }
}

#[test]
fn a_slip_of_the_finger_is_asked_about() {
    let mut world = World::of(&["blog", "shop"]).running_for(60);
    world.ask("/pause shpo");
    let nth = world.shown.len() - 1;
    press(&mut world, nth, "shop");
    world.pass(2);
    let now = &world.shown[nth].1.html;
    assert!(now.starts_with("⏸ <b>shop</b> is paused."), "{now}");
}

#[test]
fn names_of_any_kind_fit_into_a_button() {
    let names: Vec<String> = (0..30)
        .map(|i| format!("{}{i:02}", "😀".repeat(62)))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::of(&names).running_for(60);
    let asked = world.ask("/pause 😀");
    assert!(
        asked[0]
            .ends_with("fits 30 sites. Which one? 18 more are not shown: write more of the name.")
    );
    let (_, question) = world.shown.clone().pop().unwrap();
    assert_eq!(question.buttons.iter().flatten().count(), 12);
    assert!(
        question
            .buttons
            .iter()
            .flatten()
            .all(|b| b.data.len() <= 64)
    );
    press(&mut world, 0, names[7]);
    assert_eq!(world.state(names[7]), State::Paused);
}

#[test]
fn a_site_that_takes_the_name_of_a_span_is_the_one_that_is_muted() {
    let mut world = World::of(&["2d", "2d more"]).running_for(60);
    world.ask("/site 2d");
    press(&mut world, 0, "Mute");
    assert!(world.ask("/status")[0].starts_with("<b>2 up</b>"));
    assert!(world.ask("/list")[0].contains("<b>2d</b> 40 ms 🔕"));
}

#[test]
fn many_recoveries_tidy_up_without_a_storm_of_edits() {
    let names: Vec<String> = (0..30).map(|i| format!("site-{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::of(&names).running_for(60);
    for name in &names {
        // One after the other, so that each has its own message.
        world.fate_for(name, bad(), 120);
    }
    assert_eq!(world.shown.len(), 30);
    assert!(world.retouched.is_empty());
    for name in &names {
        world.fate(name, good(40));
    }
    world.pass(300);
    assert!(
        world
            .shown
            .clone()
            .iter()
            .all(|(_, m)| m.buttons.is_empty())
    );
    assert_eq!(world.retouched.len(), 30);
    world.retouched.dedup();
    assert_eq!(world.retouched.len(), 30, "one a second at most");
}

#[test]
fn a_typed_command_marks_the_alert_as_a_button_does() {
    let mut world = one_down();
    let alert = |world: &World| world.shown[0].1.clone();
    for (line, notes) in [
        ("/mute blog 2h", "🔕 muted for 2 h by Ann"),
        ("/unmute blog", "🔔 unmuted by Ann"),
        ("/mute 3h", "🔕 everything muted for 3 h by Ann"),
        ("/unmute", "🔔 unmuted by Ann"),
        ("/ack", "🔔 unmuted by Ann\n👍 acknowledged by Ann"),
    ] {
        world.ask_by("Ann", line);
        world.pass(5);
        let html = alert(&world).html;
        let head = "🔴 <b>blog</b> is down: HTTP 503, wanted 200-299 (#1)\n";
        assert_eq!(html, format!("{head}{notes}"), "{line}");
    }
    assert_eq!(
        labels(&alert(&world)),
        [vec!["Check now"], vec!["Mute 1 h", "Mute 1 d"]]
    );
    let before = "#1 was acknowledged before by Ann.";
    assert_eq!(world.ask_by("Bob", "/ack 1"), [before]);
    assert!(!alert(&world).html.contains("Bob"));
}

#[test]
fn a_mark_on_an_alert_about_several_sites_names_those_that_are_meant() {
    let mut world = World::of(&["blog", "shop"]).running_for(60);
    // Both are in one message, which is sent when everything is unmuted.
    world.ask_by("Ann", "/mute");
    world.fate("blog", bad());
    world.fate_for("shop", hang(), 120);
    world.ask_by("Ann", "/unmute");
    world.pass(10);
    world.shown.retain(|(_, m)| !m.buttons.is_empty());
    let mut sent = Vec::new();
    for line in ["/mute blog 2h", "/ack"] {
        world.ask_by("Ann", line);
        world.pass(10);
        sent.push(world.shown[0].1.html.clone());
    }
    assert!(sent[0].contains("shop"), "{sent:?}");
    assert!(
        sent[0].ends_with("\n🔕 muted for 2 h by Ann: blog"),
        "{sent:?}"
    );
    assert!(sent[1].ends_with("\n👍 acknowledged by Ann"), "{sent:?}");
}

#[test]
fn one_site_of_an_alert_about_several_is_acknowledged_and_the_rest_by_its_button() {
    let mut world = World::of(&["blog", "shop"]).running_for(65);
    world.fate("blog", bad());
    world.fate("shop", hang());
    world.ask("/check");
    world.pass(25);
    world.shown.retain(|(_, m)| !m.buttons.is_empty());
    assert!(only(&world).html.starts_with("<b>2 down</b>\n"));
    world.ask_by("Bob", "/ack 1");
    world.pass(10);
    let marks = |world: &World| {
        world.shown[0]
            .1
            .html
            .lines()
            .skip(3)
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(marks(&world), "👍 acknowledged by Bob: blog");
    assert_eq!(press(&mut world, 0, "Acknowledge"), "👍 acknowledged");
    assert_eq!(
        marks(&world),
        "👍 acknowledged by Bob: blog\n👍 acknowledged by Ann: shop"
    );
    world.fate_for("blog", good(40), 120);
    assert_eq!(press(&mut world, 0, "Mute 1 h"), "🔕 muted for 1 h");
    assert!(marks(&world).ends_with("\n🔕 muted for 1 h by Ann: shop"));
}
