//! State that survives a power cut, a damaged file, a second start and a new configuration.

use crate::support::agent::{Running, Sitemon};
use crate::support::assert_has;
use crate::support::bot_api::CHAT;
use crate::support::listener::until;
use crate::support::scene::{Scene, keeps_the_rules, no_token, site};
use crate::support::web::{Behaviour, Web};
use std::fs;
use std::process::Command;

/// Waits until the snapshot on disk or its journal has `part` in it.
#[track_caller]
fn wait_state(scene: &Scene, part: &str) {
    let read = |file: &str| {
        let path = scene.sitemon.state_dir().join(file);
        fs::read_to_string(path).unwrap_or_default()
    };
    until(part, || {
        (read("snapshot") + &read("journal")).contains(part)
    });
}

/// Kills the agent, as a power cut does.
#[track_caller]
fn cut_power(scene: &Scene, mut running: Running) {
    running.kill9();
    keeps_the_rules(&scene.api, &running);
}

#[test]
fn a_power_cut_costs_no_incident_acknowledgement_mute_or_pause() {
    let scene = Scene::new();
    let others = Web::new();
    let more = site("shop", &others.url("/shop")) + &site("news", &others.url("/news"));
    scene.sitemon.rewrite(&scene.config_with(&more));
    let first = scene.start();
    let down = scene.outage();
    scene.ask("/ack", "👍 Acknowledged: #1 blog");
    scene.ask("/mute shop 2h", "🔕 shop is muted for 2 h.");
    scene.ask("/pause news", "⏸ news is paused.");
    wait_state(&scene, "\"paused\":true");
    cut_power(&scene, first);

    let second = scene.start();
    let incidents = scene.ask("/incidents", "🔴 #1 blog for ");
    assert!(incidents.text.contains(", acknowledged "), "{incidents:?}");
    scene.ask("/site shop", "🔕 muted for ");
    scene.ask("/site news", "⏸ news has been paused");
    let asked = scene.web.requests();
    scene.web.wait_requests(asked + 2);
    assert_eq!(scene.count("blog is down"), 1);
    scene.site_works();
    let up = scene.wait_text("🟢 blog is up again after ");
    assert_eq!(up.reply_to, Some(down.message_id));
    scene.end(second);
}

#[test]
fn a_mute_of_everything_survives_a_power_cut() {
    let scene = Scene::new();
    let first = scene.start();
    scene.ask("/mute 3h", "🔕 Everything is muted for 3 h.");
    wait_state(&scene, "\"muted_until\":1");
    cut_power(&scene, first);
    let second = scene.start();
    scene.ask("/status", "🔕 everything is muted for ");
    scene.end(second);
}

#[test]
fn an_alert_that_waits_survives_a_power_cut() {
    let scene = Scene::new();
    let first = scene.start();
    scene.api.pause();
    scene.site_fails();
    first.wait_stderr("a message waits: ");
    cut_power(&scene, first);
    scene.api.resume();
    let second = scene.start();
    scene.outage();
    let asked = scene.web.requests();
    scene.web.wait_requests(asked + 2);
    assert_eq!(scene.count("is down"), 1);
    scene.end(second);
}

#[test]
fn an_alert_that_arrived_is_not_told_again_after_a_power_cut() {
    let scene = Scene::new();
    let first = scene.start();
    scene.outage();
    let asked = scene.web.requests();
    scene.web.wait_requests(asked + 2);
    cut_power(&scene, first);
    let second = scene.start();
    let asked = scene.web.requests();
    scene.web.wait_requests(asked + 2);
    assert_eq!(scene.count("is down"), 1);
    scene.end(second);
}

#[test]
fn an_alert_that_waits_survives_an_orderly_restart() {
    let scene = Scene::new();
    let first = scene.start();
    scene.api.pause();
    scene.site_fails();
    first.wait_stderr("a message waits: ");
    scene.end(first);
    scene.api.resume();
    let second = scene.start();
    scene.outage();
    scene.end(second);
}

/// Text of the journal once the first alert has arrived.
const DELIVERED: &str = "\"gone_alerts\":[1]";

/// The damage of a file.
#[derive(Clone, Copy)]
enum Damage {
    /// One bit, in the middle of a snapshot or of the journal's first record.
    Flip,
    Cut,
    Empty,
}

impl Damage {
    fn strike(self, bytes: &mut Vec<u8>) {
        match self {
            Damage::Flip => bytes[200] ^= 1,
            Damage::Cut => bytes.truncate(bytes.len() / 2),
            Damage::Empty => bytes.clear(),
        }
    }
}

/// Runs once with an outage, damages state files after a power cut or an orderly end, and runs
/// again. Returns the message about the damage.
#[track_caller]
fn told_after(orderly: bool, damage: &[(&str, Damage)], remembers: bool) -> String {
    let scene = Scene::new();
    let first = scene.start();
    scene.outage();
    if orderly {
        scene.end(first);
    } else {
        wait_state(&scene, DELIVERED);
        cut_power(&scene, first);
    }
    let path = |file: &str| scene.sitemon.state_dir().join(file);
    let mut kept = Vec::new();
    for (file, damage) in damage {
        let mut bytes = fs::read(path(file)).expect("it was written");
        damage.strike(&mut bytes);
        fs::write(path(file), &bytes).expect("it can be written");
        kept.push((format!("{file}.bad"), bytes));
    }
    scene.api.clear();

    let second = scene.start();
    let told = scene.wait_text("The state was damaged (");
    for (file, bytes) in kept {
        assert!(told.text.contains(&file), "{}", told.text);
        assert_eq!(fs::read(path(&file)).expect("it was set aside"), bytes);
    }
    if remembers {
        let asked = scene.web.requests();
        scene.web.wait_requests(asked + 2);
        assert_eq!(scene.count("blog is down"), 0);
        scene.ask("/incidents", "🔴 #1 blog for ");
    } else {
        scene.wait_text("🔴 blog is down: HTTP 503, wanted 200-299 (#1)");
    }
    assert_eq!(scene.count("The state was damaged ("), 1);
    scene.end(second);
    let status = scene.sitemon.command(&["status"]);
    assert_eq!(status.code, Some(4), "no agent is running: {status:?}");
    assert!(status.stdout.contains("blog  down "), "{status:?}");
    told.text
}

#[test]
fn a_flipped_byte_in_the_state_is_found_and_costs_nothing() {
    for orderly in [true, false] {
        let told = told_after(orderly, &[("snapshot", Damage::Flip)], true);
        assert!(told.contains("its checksum is wrong"), "{told}");
        assert!(told.contains("Nothing was lost."), "{told}");
    }
    let told = told_after(false, &[("journal", Damage::Flip)], true);
    assert!(told.contains("a checksum is wrong"), "{told}");
    assert!(told.contains("Nothing was lost."), "{told}");
}

#[test]
fn a_state_that_was_cut_off_or_emptied_is_found_and_costs_nothing() {
    let told = told_after(false, &[("snapshot", Damage::Cut)], true);
    assert!(told.contains("it was cut off"), "{told}");
    let told = told_after(true, &[("snapshot", Damage::Empty)], true);
    assert!(told.contains("it has no header"), "{told}");
    assert!(told.contains("Nothing was lost."), "{told}");
}

#[test]
fn a_state_without_a_sound_copy_is_set_aside_and_everything_begins_afresh() {
    let told = told_after(
        true,
        &[("snapshot", Damage::Flip), ("snapshot.old", Damage::Cut)],
        false,
    );
    assert!(told.contains("Starting afresh."), "{told}");
}

#[test]
fn a_record_that_was_cut_off_is_dropped_and_only_the_log_says_so() {
    let scene = Scene::new();
    let first = scene.start();
    scene.outage();
    wait_state(&scene, DELIVERED);
    cut_power(&scene, first);
    let path = scene.sitemon.state_dir().join("journal");
    let mut bytes = fs::read(&path).expect("it was written");
    bytes.truncate(bytes.len() - 7);
    fs::write(&path, &bytes).expect("it can be written");
    let second = scene.start();
    second.wait_stderr("the journal of the state ends in half a record: dropped");
    scene.ask("/incidents", "🔴 #1 blog for ");
    assert_eq!(scene.count("The state was damaged ("), 0);
    assert_eq!(scene.count("blog is down"), 1);
    scene.end(second);
}

#[test]
fn a_second_agent_on_the_same_state_ends_with_a_sentence() {
    let scene = Scene::new();
    let running = scene.start();
    let second = scene.sitemon.command(&["run"]);
    assert_eq!(second.code, Some(2));
    assert_has(&second.stderr, "another sitemon uses ");
    no_token(&scene.api, &second.stderr);
    scene.ask("/help", "/status · ");
    scene.end(running);
}

#[test]
fn a_new_file_brings_new_sites_and_keeps_what_is_known_of_the_old() {
    let scene = Scene::new();
    let other = Web::new();
    let running = scene.start();
    scene.outage();
    scene.ask("/ack", "👍 Acknowledged: #1 blog");
    let with_shop = scene.config_with(&site("shop", &other.url("/")));
    scene.sitemon.rewrite(&with_shop);
    running.hup();
    running.wait_stderr("watching 2 sites");
    other.wait_requests(1);
    scene.ask("/list", "shop");
    let incidents = scene.ask("/incidents", "🔴 #1 blog for ");
    assert!(incidents.text.contains(", acknowledged "), "{incidents:?}");
    let asked = scene.web.requests();
    scene.web.wait_requests(asked + 2);
    assert_eq!(scene.count("blog is down"), 1);

    scene.sitemon.rewrite(&scene.config_with(""));
    running.hup();
    running.wait_stderr("watching 1 site\n");
    let list = scene.ask("/list", "blog");
    assert!(!list.text.contains("shop"), "{}", list.text);
    scene.end(running);
}

#[test]
fn a_bad_file_is_reported_in_the_chat_and_the_old_one_goes_on() {
    let scene = Scene::new();
    let running = scene.start();
    // A mistake in the line with the token.
    let bad = scene.config_with("").replace("token = ", "tokne = ");
    scene.sitemon.rewrite(&bad);
    running.hup();
    let told = scene.wait_text("has mistakes; the old one goes on.");
    assert!(told.text.contains("sitemon.conf:2:1: "), "{}", told.text);
    assert!(told.text.contains("tokne"), "{}", told.text);
    no_token(&scene.api, &told.text);
    let log = running.wait_stderr("sitemon.conf:2:1: ");
    assert_eq!(log.matches("sitemon.conf:2:1: ").count(), 1, "{log}");
    scene.ask("/list", "blog");
    scene.outage();
    scene.end(running);
}

#[test]
fn no_value_of_an_unknown_key_is_told_and_no_line_of_the_file_in_the_chat() {
    let scene = Scene::new();
    let running = scene.start();
    let secrets = "bearer = \"hunter2\"\napi_key = { hunter2 = 'hunter2' }\nauth = 123456\n\
                   headers = { X-Key = [\"hunter2\"] } # hunter2\n\
                   timeout = 5 # hunter2\n[vault]\npin = \"hunter2\"\n";
    for (text, mistakes) in [
        (secrets, 6),
        ("auth = \"hunter2\nname = 5\n", 1),
        ("bearer = \"\"\"\nhunter2\n", 1),
        ("auth = 'a'\nauth = 'hunter2'\n", 1),
    ] {
        let before = scene.api.messages().len();
        scene.sitemon.rewrite(&scene.config_with(text));
        running.hup();
        let said = scene.api.wait_messages(before + 1).pop().expect("one more");
        let said = said.text;
        assert!(said.contains("has mistakes;"), "{said}");
        assert_eq!(said.lines().count(), mistakes, "{said}");
        assert!(!said.contains("hunter2") && !said.contains(" | "), "{said}");
    }
    let log = running.wait_stderr(" | bearer = ");
    assert!(log.contains(" | bearer = \"*******\"\n"), "{log}");
    for secret in ["hunter2", "123456"] {
        assert!(!log.contains(secret), "{log}");
    }
    scene.end(running);
}

#[test]
fn a_file_that_has_lost_its_sites_is_reported_and_the_old_one_goes_on() {
    let scene = Scene::new();
    let running = scene.start();
    scene.outage();
    let telegram = scene.api.config();
    for (n, text) in ["", "# nothing\n", &telegram].into_iter().enumerate() {
        fs::write(scene.sitemon.config_path(), text).expect("the file can be written");
        running.hup();
        scene.api.wait_messages(n + 2);
        assert_eq!(
            scene.count("has no [[site]] any more; the old one goes on."),
            n + 1
        );
    }
    scene.ask("/incidents", "🔴 #1 blog");
    scene.end(running);
}

#[test]
fn what_is_wrong_with_file_or_state_is_in_the_log_with_q_too() {
    let scene = Scene::new();
    scene.end(scene.start());
    fs::write(scene.sitemon.state_dir().join("snapshot"), "no snapshot").expect("a file");
    let quiet = || scene.sitemon.spawn(&["-q", "run"]);
    let running = quiet();
    running.wait_stderr("The state was damaged (");
    scene.wait_text("The state was damaged (");
    scene.sitemon.rewrite("tokne = 1");
    running.hup();
    running.wait_stderr("sitemon.conf:1:1: ");
    scene.wait_text("has mistakes; the old one goes on.");
    let log = running.stderr();
    for (part, times) in [("was damaged (", 1), ("tokne", 2), (" INFO ", 0)] {
        assert_eq!(log.matches(part).count(), times, "{part}: {log}");
    }
    scene.end(running);

    fs::write(scene.sitemon.dir().join("file"), "in the way").expect("a file");
    let agent = "[agent]\nstate = \"file/state\"\n";
    scene.sitemon.rewrite(&scene.config_with(agent));
    let running = quiet();
    running.wait_stderr("The state cannot be written (");
    scene.end(running);
}

#[test]
fn a_file_without_chats_is_reported_and_the_old_one_goes_on() {
    let scene = Scene::new();
    let running = scene.start();
    let config = scene.config_with("");
    let silent: Vec<&str> = config
        .lines()
        .filter(|line| !line.starts_with("chats"))
        .collect();
    assert_ne!(silent.len(), config.lines().count());
    scene.sitemon.rewrite(&silent.join("\n"));
    running.hup();
    scene.wait_text("has no `chats`; the old one goes on.");
    scene.outage();
    scene.end(running);
}

#[test]
fn a_change_that_wants_a_restart_says_so() {
    let scene = Scene::new();
    let running = scene.start();
    let agent = "[agent]\nstate = \"state\"\nmax_connections = 20\n";
    scene.sitemon.rewrite(&scene.config_with(agent));
    running.hup();
    let told = scene.wait_text("wants a restart");
    assert!(told.text.contains("`max_connections`"), "{}", told.text);
    assert!(!told.text.contains("`state`"), "{}", told.text);
    scene.ask("/stats", " of 10");
    scene.end(running);
}

#[test]
fn a_chat_that_is_new_in_the_file_may_command_after_the_reload() {
    const NEWCOMER: i64 = 4_711;
    let scene = Scene::new();
    let running = scene.start();
    scene.api.say(NEWCOMER, NEWCOMER, "/help");
    running.wait_stderr(&format!("no answer for user {NEWCOMER}"));
    let (one, two) = (
        format!("chats = [{CHAT}]"),
        format!("chats = [{CHAT}, {NEWCOMER}]"),
    );
    let wider = scene.config_with("").replace(&one, &two);
    scene.sitemon.rewrite(&wider);
    running.hup();
    running.wait_stderr("sitemon.conf was read again");
    scene.api.say(NEWCOMER, NEWCOMER, "/help");
    scene.api.wait_message(|m| m.chat == NEWCOMER);
    scene.end(running);
}

#[test]
fn a_state_that_cannot_be_written_is_said_once_and_all_else_works() {
    let scene = Scene::new();
    fs::write(scene.sitemon.dir().join("file"), "in the way").expect("a file");
    let agent = "[agent]\nstate = \"file/state\"\n";
    scene.sitemon.rewrite(&scene.config_with(agent));
    let running = scene.start();
    scene.wait_text("The state cannot be written (");
    scene.outage();
    scene.ask("/ack", "👍 Acknowledged: #1 blog");
    scene.ask("/mute shop", "There is neither a site nor a group shop.");
    scene.site_works();
    scene.wait_text("🟢 blog is up again after ");
    assert_eq!(scene.count("cannot be written"), 1);
    scene.end(running);
}

#[test]
fn a_signal_ends_the_agent_in_good_order_while_a_check_hangs() {
    for signal in ["TERM", "INT"] {
        let web = Web::new().on("/", Behaviour::Hang);
        let sitemon = Sitemon::new(&site("blog", &web.url("/")));
        let mut running = sitemon.run();
        web.wait_requests(1);
        running.signal(signal);
        assert_eq!(running.wait_exit().code(), Some(0), "{signal}");
        assert!(fs::metadata(sitemon.state_dir().join("snapshot")).is_ok());
    }
}

/// Opening a pipe for writing blocks until there is a reader, like a write to flash that hangs.
#[test]
fn a_flash_that_hangs_does_not_hold_up_the_end() {
    for files in [&["history.new"][..], &["history.new", "snapshot.new"]] {
        let web = Web::new();
        let sitemon = Sitemon::new(&site("blog", &web.url("/")));
        let mut running = sitemon.run();
        web.wait_requests(3);
        let path = |file: &&str| sitemon.state_dir().join(file);
        until("the state is written", || path(&"snapshot.old").exists());
        let made = Command::new("mkfifo").args(files.iter().map(path)).status();
        assert!(made.is_ok_and(|made| made.success()));
        assert_eq!(running.terminate().code(), Some(0));
        let log = running.stderr();
        assert!(log.contains("the history could not be written: "), "{log}");
        let state = log.contains("the state could not be written: ");
        assert_eq!(state, files.len() > 1, "{log}");
    }
}
