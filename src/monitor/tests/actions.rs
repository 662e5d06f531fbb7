//! Actions: buttons, confirmation, automatic runs and what prevents them.

use super::jobs::{job, report};
use super::world::*;
use crate::monitor::Settings;
use crate::monitor::incident::remediation::{Limit, Remediation, When};
use crate::monitor::outbox::message::Press;
use crate::monitor::site::outcome::FailureKind;
use crate::monitor::site::report::ReportKind;
use crate::monitor::site::state::State;
use crate::monitor::{Event, Monitor};
use std::time::Duration;

const MIN: u64 = 60;

/// Returns an action for the site `blog`.
pub fn action(name: &str, auto: Option<u64>) -> Remediation {
    Remediation {
        name: name.to_owned(),
        sites: vec!["blog".to_owned()],
        when: When::Down,
        auto: auto.map(Duration::from_secs),
        limit: Limit {
            runs: 2,
            within: Duration::from_secs(6 * 3600),
        },
    }
}

fn offline(auto: u64) -> Remediation {
    Remediation {
        sites: Vec::new(),
        when: When::Offline,
        ..action("restart modem", Some(auto))
    }
}

/// Returns a world with `blog` down and an action for it.
fn down(auto: Option<u64>) -> World {
    let mut world = World::of(&["blog", "shop"]);
    world.set_actions(vec![action("restart modem", auto)]);
    world.pass(3 * MIN);
    world.fate_for("blog", bad(), 2 * MIN);
    assert_eq!(world.state("blog"), State::Down);
    world
}

/// Presses the button `label` under the last message that has one.
#[track_caller]
fn press(world: &mut World, user: i64, label: &str) -> Option<String> {
    let with_it = |b: &&crate::monitor::outbox::message::Button| b.label == label;
    let shown = world.shown.iter().rev();
    let mut found = shown.filter_map(|(id, message)| {
        let button = message.buttons.iter().flatten().find(with_it)?;
        Some((*id, message.clone(), button.data.clone()))
    });
    let (id, message, data) = found.next().expect("a message with the button");
    drop(found);
    world.press(Press {
        chat: message.chat,
        user: Some(user),
        name: "Ann".into(),
        message_id: id,
        html: Some(message.html),
        date: world.now().wall,
        data,
        ..Press::default()
    })
}

fn last(world: &World) -> String {
    let shown = world.shown.last().map(|(_, m)| m.html.clone());
    shown.unwrap_or_default()
}

#[track_caller]
fn alert_says(world: &World, text: &str) {
    let all: Vec<&str> = world.shown.iter().map(|(_, m)| m.html.as_str()).collect();
    let alert = all.iter().find(|html| html.contains("is down: "));
    let alert = alert.unwrap_or_else(|| panic!("no alert among {all:?}"));
    assert!(alert.contains(text), "{alert}");
}

#[test]
fn the_button_asks_first_and_the_result_stands_in_the_alert() {
    let mut world = down(None);
    assert_eq!(press(&mut world, 1, "restart modem").as_deref(), Some(""));
    assert_eq!(last(&world), "⚙️ Run restart modem?");
    assert!(world.runs.is_empty());
    let (_, question) = world.shown.last().cloned().expect("the question");
    assert_eq!(press(&mut world, 1, "Yes").as_deref(), Some(""));
    let [(_, run)] = world.runs.as_slice() else {
        panic!("{:?}", world.runs)
    };
    assert_eq!((run.site.as_str(), run.state.as_str()), ("blog", "down"));
    assert_eq!(
        (run.incident, run.cause.as_str()),
        (Some(1), "HTTP 503, wanted 200-299")
    );
    assert_eq!(
        last(&world),
        "⚙️ restart modem by Ann for blog (#1): HTTP 200"
    );
    world.pass(5);
    alert_says(&world, "\n⚙️ restart modem by Ann: HTTP 200");
    // The buttons of the question are removed with it; a second press has no effect.
    let (id, _) = world.shown.last().cloned().expect("the answer");
    let again = Press {
        chat: CHAT,
        user: Some(1),
        message_id: id,
        // The text at the time of the press.
        html: Some(question.html),
        date: world.now().wall,
        data: question.buttons[0][0].data.clone(),
        ..Press::default()
    };
    assert_eq!(
        world.press(again).as_deref(),
        Some("That is too old: ask again with /run.")
    );
    world.pass(5);
    assert_eq!(world.runs.len(), 1);
    assert_eq!(
        last(&world),
        "⚙️ restart modem by Ann for blog (#1): HTTP 200"
    );
}

#[test]
fn a_button_that_is_old_leaves_an_alert_what_still_makes_sense() {
    let mut world = World::of(&["blog", "shop"]);
    let both = Remediation {
        sites: vec!["blog".to_owned(), "shop".to_owned()],
        ..action("restart modem", None)
    };
    world.set_actions(vec![both]);
    world.pass(3 * MIN);
    // Alerts that wait for Telegram are sent as one message.
    telegram_is_away(&mut world);
    all(&mut world, &["blog", "shop"], bad());
    world.pass(20 * MIN);
    let alert = world.shown.iter().find(|(_, m)| m.html.contains("down"));
    let (id, alert) = alert.cloned().expect("an alert");
    assert!(alert.html.contains("blog") && alert.html.contains("shop"));
    let button = alert.buttons.iter().flatten();
    let mut button = button.filter(|b| b.label == "restart modem");
    let old = Press {
        chat: CHAT,
        user: Some(1),
        message_id: id,
        html: Some(alert.html.clone()),
        data: button.next().expect("a button").data.clone(),
        ..Press::default()
    };
    let again = |world: &mut World| {
        let date = world.now().wall;
        world.press(Press {
            date,
            ..old.clone()
        })
    };
    let labels = |world: &World| {
        let (_, alert) = world.shown.iter().find(|(n, _)| *n == id).expect("it");
        let labels = alert.buttons.iter().flatten().map(|b| b.label.clone());
        labels.collect::<Vec<_>>()
    };
    // The button names the first of them, which is over.
    world.fate_for("blog", good(40), 2 * MIN);
    assert_eq!(again(&mut world).as_deref(), Some(""));
    assert_eq!(last(&world), "⚙️ Run restart modem?");
    press(&mut world, 1, "Yes");
    assert_eq!(
        world.runs.last().map(|(_, run)| run.site.as_str()),
        Some("shop")
    );
    // The file no longer has this action.
    world.set_actions(Vec::new());
    let gone = "That is too old: there is no such action any more.";
    assert_eq!(again(&mut world).as_deref(), Some(gone));
    world.pass(5);
    assert_eq!(
        labels(&world),
        ["Check now", "Acknowledge", "Mute 1 h", "Mute 1 d"]
    );
    // The file has the action, but not for the site that is still down.
    world.set_actions(vec![action("restart modem", None)]);
    assert_eq!(
        again(&mut world).as_deref(),
        Some("That is too old: #1 is over.")
    );
    world.pass(5);
    assert_eq!(labels(&world).len(), 4);
    world.fate_for("shop", good(40), 2 * MIN);
    again(&mut world);
    world.pass(5);
    assert!(labels(&world).is_empty());
}

#[test]
fn no_runs_nothing() {
    let mut world = down(None);
    press(&mut world, 1, "restart modem");
    press(&mut world, 1, "No");
    assert_eq!(last(&world), "⚙️ restart modem: not run");
    world.pass(MIN);
    assert!(world.runs.is_empty());
}

#[test]
fn a_question_is_for_the_user_who_asked_and_for_a_minute() {
    let mut world = World::with(vec![site("blog")], access_for_users(&[GROUP], &[1, 2]));
    world.set_actions(vec![action("restart", None)]);
    world.pass(3 * MIN);
    let asked = world.ask_from(GROUP, Some(1), "/run restart");
    assert_eq!(asked, ["⚙️ Run restart?"]);
    assert_eq!(
        press(&mut world, 2, "Yes").as_deref(),
        Some("Only the user who asked for it can answer.")
    );
    assert_eq!(press(&mut world, 3, "Yes"), None, "no answer for strangers");
    assert!(world.runs.is_empty());
    world.pass(61);
    assert_eq!(
        press(&mut world, 1, "Yes").as_deref(),
        Some("That is too old: ask again with /run.")
    );
    assert!(world.runs.is_empty());
    world.ask_from(GROUP, Some(1), "/run restart");
    press(&mut world, 1, "Yes");
    assert_eq!(world.runs.len(), 1);
}

#[test]
fn forged_and_old_presses_run_nothing() {
    let mut world = down(None);
    let key = crate::monitor::outbox::callback_data::key("restart modem");
    let with = |world: &mut World, data: String| {
        let wall = world.now().wall;
        let press = Press {
            chat: CHAT,
            user: Some(1),
            message_id: 999,
            html: Some("x".into()),
            date: wall,
            data,
            ..Press::default()
        };
        world.press(press)
    };
    for (data, answer) in [
        ("y1".to_owned(), "That is too old: ask again with /run."),
        (
            "y-1".to_owned(),
            "That is too old: I no longer know this button.",
        ),
        (
            "y".to_owned(),
            "That is too old: I no longer know this button.",
        ),
        (format!(">{key} 77"), "That is too old: #77 is over."),
        (
            format!(">{key} +1"),
            "That is too old: I no longer know this button.",
        ),
        (
            ">~1234 1".to_owned(),
            "That is too old: there is no such action any more.",
        ),
    ] {
        assert_eq!(
            with(&mut world, data.clone()).as_deref(),
            Some(answer),
            "{data}"
        );
    }
    // A button of a message from before the end of the incident.
    world.fate_for("blog", good(40), 2 * MIN);
    let over = with(&mut world, format!(">{key} 1"));
    assert_eq!(over.as_deref(), Some("That is too old: #1 is over."));
    // A question from before a restart.
    world.ask("/run restart modem");
    let yes = world.shown.last().expect("a question").1.buttons[0][0]
        .data
        .clone();
    let snapshot = world.monitor.snapshot(world.now());
    world.restart(vec![site("blog")], &snapshot, 5);
    world.ask("/run restart modem");
    let old = with(&mut world, yes);
    assert_eq!(
        old.as_deref(),
        Some("That is too old: ask again with /run.")
    );
    assert!(world.runs.is_empty());
}

#[test]
fn run_alone_lists_and_a_part_of_a_name_will_do() {
    let mut world = World::of(&["blog"]);
    world.set_actions(vec![
        action("restart modem", Some(600)),
        action("restart nas", None),
    ]);
    world.pass(3 * MIN);
    assert_eq!(
        world.ask("/run"),
        [
            "⚙️ <b>restart modem</b>: when blog is down, by itself after 10 min, at most 2 times in 6 h\n\
             ⚙️ <b>restart nas</b>: when blog is down"
        ]
    );
    assert_eq!(world.ask("/run MODEM"), ["⚙️ Run restart modem?"]);
    world.set_actions(["Modem", "modem", "MODEM"].map(|n| action(n, None)).into());
    for name in ["Modem", "modem", "MODEM"] {
        assert_eq!(
            world.ask(&format!("/run {name}")),
            [format!("⚙️ Run {name}?")]
        );
    }
    world.set_actions(vec![
        action("restart modem", Some(600)),
        action("restart nas", None),
    ]);
    assert_eq!(
        world.ask("/run restart"),
        ["<b>restart</b> fits 2 actions. Which one?"]
    );
    press(&mut world, 1, "restart nas");
    assert_eq!(last(&world), "⚙️ Run restart nas?");
    assert!(world.runs.is_empty());
    press(&mut world, 1, "Yes");
    let [(_, run)] = world.runs.as_slice() else {
        panic!("{:?}", world.runs)
    };
    assert_eq!(
        (run.site.as_str(), run.state.as_str(), run.incident),
        ("blog", "up", None)
    );
    assert_eq!(last(&world), "⚙️ restart nas by Ann for blog: HTTP 200");
    world.set_actions(Vec::new());
    assert_eq!(
        world.ask("/run"),
        ["There is no [[action]] in sitemon.conf."]
    );
}

#[test]
fn no_text_of_a_chat_is_more_than_compared_with_names() {
    let mut world = World::of(&["blog"]);
    world.set_actions(vec![action("restart modem", None)]);
    world.pass(3 * MIN);
    for text in [
        "$(reboot)",
        "restart modem; reboot",
        "restart modem\nreboot",
        "'restart modem'",
        "\"restart modem\"",
        "--help restart modem",
        "restart modem --now",
        "`id`",
        "../../bin/sh",
        "x<y",
        "~ffffffffffffffff",
    ] {
        let answer = world.ask(&format!("/run {text}"));
        let none = answer
            .first()
            .is_some_and(|a| a.starts_with("There is no action <b>"));
        assert!(none, "{text}: {answer:?}");
    }
    assert!(world.runs.is_empty());
}

#[test]
fn a_chat_knows_of_no_action_of_a_site_that_it_may_not_see() {
    let mut hidden = site("blog");
    hidden.chats = Some(vec![GROUP]);
    let access = access_for_users(&[CHAT, GROUP], &[1]);
    let mut world = World::with(vec![hidden, site("shop")], access);
    world.set_actions(vec![action("restart", None)]);
    world.pass(MIN);
    let none = "There is no action <b>restart</b>. /run lists all.";
    assert_eq!(world.ask_from(CHAT, Some(1), "/run restart"), [none]);
    // An action for both: a chat sees nothing about the outage of a site that is hidden from it.
    let both = Remediation {
        sites: vec!["blog".to_owned(), "shop".to_owned()],
        ..action("both", None)
    };
    world.set_actions(vec![action("restart", None), both]);
    world.fate_for("blog", bad(), 2 * MIN);
    world.ask_from(CHAT, Some(1), "/run both");
    press(&mut world, 1, "Yes");
    assert_eq!(last(&world), "⚙️ both by Ann: HTTP 200");
    let list = world.ask_from(CHAT, Some(1), "/run");
    assert_eq!(list, ["⚙️ <b>both</b>: when shop is down"]);
    assert_eq!(
        world.ask_from(GROUP, Some(1), "/run restart"),
        ["⚙️ Run restart?"]
    );
}

#[test]
fn an_action_runs_by_itself_once_an_outage_and_that_is_told_in_the_alert() {
    let mut world = down(Some(600)).running_for(8 * MIN);
    assert!(world.runs.is_empty());
    world.pass(3 * MIN);
    let [(at, run)] = world.runs.as_slice() else {
        panic!("{:?}", world.runs)
    };
    let start = world
        .monitor
        .incidents
        .get(1)
        .expect("it is open")
        .start()
        .0
        / 1000;
    assert_eq!((*at - start, run.incident), (600, Some(1)));
    alert_says(&world, "\n⚙️ restart modem by itself: HTTP 200");
    world.pass(10 * 60 * MIN);
    assert_eq!(world.runs.len(), 1, "once for an outage");
}

#[test]
fn a_run_of_a_user_stands_for_the_one_by_itself() {
    let mut world = down(Some(600));
    press(&mut world, 1, "restart modem");
    press(&mut world, 1, "Yes");
    world.pass(60 * MIN);
    assert_eq!(world.runs.len(), 1);
}

#[test]
fn the_limit_holds_over_outages_and_restarts() {
    let mut world = down(Some(5 * MIN));
    let mut began = Vec::new();
    for _ in 0..12 {
        world.fate_for("blog", bad(), 20 * MIN);
        began.extend(world.runs.drain(..).map(|(at, _)| world.wall + at));
        world.fate_for("blog", good(40), 10 * MIN);
        let snapshot = world.monitor.snapshot(world.now());
        world.restart(vec![site("blog"), site("shop")], &snapshot, 5);
        world.pass(10 * MIN);
    }
    assert!(began.len() >= 3, "{began:?}");
    for three in began.windows(3) {
        assert!(three[2] - three[0] >= 6 * 3600, "{began:?}");
    }
}

#[test]
fn nothing_runs_by_itself_while_muted_paused_or_under_maintenance() {
    for order in ["/mute blog 1h", "/mute all 1h"] {
        let mut world = down(Some(600));
        world.ask(order);
        world.pass(50 * MIN);
        assert!(world.runs.is_empty(), "{order}");
        world.pass(12 * MIN);
        assert_eq!(world.runs.len(), 1, "after {order}");
    }
    let mut world = down(Some(600));
    world.ask("/pause blog");
    world.pass(60 * MIN);
    assert!(world.runs.is_empty());
    // Maintenance from 08:00, when the world starts, until 10:00.
    let maintenance = vec![window(480, 600)];
    let mut world = World::new(vec![crate::monitor::site::Site {
        maintenance,
        ..site("blog")
    }]);
    world.set_actions(vec![action("restart", Some(600))]);
    world.pass(3 * MIN);
    world.fate_for("blog", bad(), 90 * MIN);
    assert_eq!((world.runs.len(), world.state("blog")), (0, State::Down));
    world.pass(30 * MIN);
    assert_eq!(world.runs.len(), 1, "after the window");
}

#[test]
fn nothing_runs_by_itself_behind_a_parent_or_an_uplink_that_is_gone() {
    let mut world = World::new(vec![site("router"), after("blog", "router")]);
    world.set_actions(vec![action("restart", Some(600))]);
    world.pass(3 * MIN);
    world.fate_for("blog", bad(), 5 * MIN);
    world.fate_for("router", bad(), 60 * MIN);
    assert_eq!(world.state("blog"), State::Unreachable);
    assert!(world.runs.is_empty());
    let mut world = elsewhere(&["blog"]);
    world.set_actions(vec![action("restart", Some(600))]);
    world.pass(3 * MIN);
    world.fate_for("blog", from(THERE, bad()), 5 * MIN);
    assert_eq!(world.state("blog"), State::Down);
    world.line = LINE_DOWN;
    world.fate_for("blog", failed(FailureKind::Connect), 60 * MIN);
    assert_eq!(world.state("blog"), State::Offline);
    assert!(world.runs.is_empty());
}

#[test]
fn a_run_by_itself_is_told_where_the_alert_has_no_room_for_it() {
    let mut blog = plain(site("blog"));
    blog.note = Some("n".repeat(3950));
    let mut world = World::new(vec![blog]);
    world.set_actions(vec![action("restart modem", Some(600))]);
    world.pass(3 * MIN);
    world.fate_for("blog", bad(), 15 * MIN);
    assert_eq!(world.runs.len(), 1);
    assert_eq!(
        last(&world),
        "ℹ️ restart modem by itself for blog (#1): HTTP 200"
    );
}

/// Makes deliveries fail for about ten minutes.
fn telegram_is_away(world: &mut World) {
    let away = telegram_fails(None, "no route");
    world.deliveries = std::iter::repeat_n(away, 15).collect();
}

#[test]
fn a_result_arrives_however_long_telegram_is_away_by_that() {
    let mut world = down(None);
    press(&mut world, 1, "restart modem");
    telegram_is_away(&mut world);
    press(&mut world, 1, "Yes");
    assert_eq!(last(&world), "⚙️ Run restart modem?");
    world.pass(20 * MIN);
    assert!(world.deliveries.is_empty());
    assert_eq!(
        last(&world),
        "⚙️ restart modem by Ann for blog (#1): HTTP 200"
    );

    let mut world = down(Some(600));
    telegram_is_away(&mut world);
    world.pass(30 * MIN);
    assert!(world.runs.len() == 1 && world.deliveries.is_empty());
    alert_says(&world, "\n⚙️ restart modem by itself: HTTP 200");
}

#[test]
fn before_a_run_by_itself_the_uplink_is_seen_to_be_up() {
    let mut world = elsewhere(&["blog"]);
    world.set_actions(vec![action("restart", Some(600))]);
    world.pass(3 * MIN);
    world.fate_for("blog", from(THERE, bad()), 10 * MIN);
    assert_eq!((world.state("blog"), world.runs.len()), (State::Down, 0));
    // The uplink goes down, and no check has failed because of that yet.
    world.line = LINE_DOWN;
    world.pass(10 * MIN);
    assert!(world.runs.is_empty());
    world.line = LINE_UP;
    world.pass(15 * MIN);
    assert_eq!(world.runs.len(), 1);
}

#[test]
fn nothing_runs_by_itself_by_a_clock_that_is_doubted_or_soon_after_a_start() {
    let mut world = down(Some(600)).running_for(7 * MIN);
    let snapshot = world.monitor.snapshot(world.now());
    let sites = || vec![plain(site("blog")), site("shop")];
    world.restart_showing(sites(), &snapshot, 5);
    world.pass(60 * MIN);
    assert_eq!(world.state("blog"), State::Down);
    assert!(world.runs.is_empty(), "by a doubted clock");
    let wall = snapshot.written + 600;
    world.restart_showing(sites(), &snapshot, wall);
    world.pass(119);
    assert!(world.runs.is_empty(), "after a start");
    world.pass(60);
    assert_eq!(world.runs.len(), 1);
}

#[test]
fn after_a_crash_the_result_is_unknown_and_nothing_is_repeated() {
    let mut world = down(Some(600));
    world.run_result = None;
    world.pass(10 * MIN);
    assert_eq!(world.runs.len(), 1);
    let snapshot = world.monitor.snapshot(world.now());
    world.restart(vec![site("blog"), site("shop")], &snapshot, 5);
    world.pass(60 * MIN);
    assert_eq!((world.state("blog"), world.runs.len()), (State::Down, 0));
    let told = world.received();
    let unknown = "restart modem by itself for blog (#1): result unknown";
    let told = told.iter().filter(|text| text.contains(unknown)).count();
    assert_eq!(told, 1);
    // A user can run it again.
    world.ask("/run restart modem");
    press(&mut world, 1, "Yes");
    assert_eq!(world.runs.len(), 1);
}

#[test]
fn a_chat_that_the_file_lost_meanwhile_hears_of_no_result() {
    let only_group = || access_for_users(&[GROUP], &[1]);
    let started = || {
        let mut world = World::of(&["blog", "shop"]);
        world.set_actions(vec![action("restart modem", None)]);
        world.pass(3 * MIN);
        world.run_result = None;
        world.ask("/run restart modem");
        press(&mut world, 1, "Yes");
        assert_eq!(world.runs.len(), 1);
        world.received();
        world
    };
    // The file changes during the run.
    let mut world = started();
    world.feed(reloaded(
        vec![site("blog"), site("shop")],
        settings(only_group()),
    ));
    let sent = world.sent.len();
    for id in 0..100 {
        let result = "HTTP 200".to_owned();
        world.feed(Event::Ran { id, result });
    }
    world.pass(MIN);
    let to_it = world.sent[sent..].iter().filter(|(_, m)| m.chat == CHAT);
    assert_eq!(to_it.count(), 0);
    assert!(world.logs.iter().any(|line| line.contains("HTTP 200")));
    // The file changes while the agent is off.
    let mut world = started();
    let snapshot = world.monitor.snapshot(world.now());
    let wall = world.now().wall + 5;
    let sites = vec![site("blog"), site("shop")];
    world.restart_with(sites, &snapshot, wall, only_group());
    world.pass(5 * MIN);
    let to_it = world.sent.iter().filter(|(_, m)| m.chat == CHAT);
    assert_eq!(to_it.count(), 0, "{:?}", world.sent);
}

#[test]
fn a_job_that_failed_or_is_missing_has_its_action_too() {
    let restart = || Remediation {
        sites: vec!["backup".to_owned()],
        ..action("restart backup", Some(600))
    };
    let fails = |world: &mut World| {
        let (bad, code) = (ReportKind::Bad, Some(1));
        report(world, "backup", bad, code, 5, "no space");
    };
    let mut world = World::new(vec![job("backup")]);
    world.set_actions(vec![restart()]);
    report(&mut world, "backup", ReportKind::Good, Some(0), 5, "");
    world.pass(10 * MIN);
    fails(&mut world);
    world.pass(9 * MIN);
    assert_eq!((world.state("backup"), world.runs.len()), (State::Down, 0));
    world.pass(2 * MIN);
    assert_eq!(world.runs.len(), 1);
    // The report is missing.
    report(&mut world, "backup", ReportKind::Good, Some(0), 5, "");
    world.pass(27 * 60 * MIN);
    assert_eq!((world.state("backup"), world.runs.len()), (State::Down, 2));
    // The outage continues over a restart of the agent, before the first run.
    report(&mut world, "backup", ReportKind::Good, Some(0), 5, "");
    world.pass(12 * 60 * MIN);
    fails(&mut world);
    world.pass(5 * MIN);
    assert_eq!((world.state("backup"), world.runs.len()), (State::Down, 2));
    let snapshot = world.monitor.snapshot(world.now());
    world.restart(vec![job("backup")], &snapshot, 5);
    world.pass(10 * MIN);
    assert_eq!((world.state("backup"), world.runs.len()), (State::Down, 1));
}

#[test]
fn a_run_is_on_disk_before_it_starts() {
    let mut world = down(Some(600));
    world.disk_full = true;
    world.pass(30 * MIN);
    assert!(world.runs.is_empty());
    let refused = "not run, as the state cannot be written (No space left on device)";
    let logged = world
        .logs
        .iter()
        .filter(|line| line.contains(refused))
        .count();
    assert!(logged >= 1, "{:?}", world.logs);
}

#[test]
fn our_own_connection_has_its_action_and_chats_hear_of_it_afterwards() {
    let mut world = elsewhere(&["blog"]);
    world.set_actions(vec![offline(600)]);
    world.pass(3 * MIN);
    world.line = LINE_DOWN;
    world.fate_for("blog", failed(FailureKind::Connect), 9 * MIN);
    assert!(world.runs.is_empty());
    world.pass(3 * MIN);
    let [(_, run)] = world.runs.as_slice() else {
        panic!("{:?}", world.runs)
    };
    assert_eq!((run.site.as_str(), run.state.as_str()), ("", "offline"));
    let told = world.received();
    assert!(
        told.iter()
            .any(|t| t.contains("restart modem by itself: HTTP 200")),
        "{told:?}"
    );
    // The action does not run again in the same offline period, even after a restart.
    let snapshot = world.monitor.snapshot(world.now());
    let settings = Settings {
        uplink: true,
        remediations: vec![offline(600)],
        ..settings(access())
    };
    let now = world.now();
    world.monitor = Monitor::new([site("blog")], settings, now, 42);
    world.monitor.restore(&snapshot, now);
    world.running.clear();
    world.feed(Event::Due);
    world.pass(60 * MIN);
    assert_eq!(world.runs.len(), 1);
    // It runs again in the next offline period.
    world.line = LINE_UP;
    world.fate_for("blog", from(THERE, good(40)), 20 * MIN);
    world.line = LINE_DOWN;
    world.fate_for("blog", failed(FailureKind::Connect), 15 * MIN);
    assert_eq!(world.runs.len(), 2);
}
