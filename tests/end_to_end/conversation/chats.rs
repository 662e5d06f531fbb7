//! The life of chats: groups that move, messages that are deleted, a bot that is logged out,
//! topics that are closed for a while.

use super::{GROUP, Talk, end, telegram};
use crate::support::bot_api::{ANY, BotApi, CHAT, Fault};
use crate::support::scene::{Scene, site};
use crate::support::web::Behaviour;
use std::time::Duration;

const SUPER: i64 = -1_009_876_543_210;

fn in_group(chats: &str) -> Scene {
    let scene = Scene::with(|api| telegram(api, &format!("chats = [{chats}]")));
    scene.api.add_chat(GROUP);
    scene
}

fn talk(api: &BotApi) -> Talk<'_> {
    Talk { api, chat: SUPER }
}

#[test]
fn a_group_that_moves_is_followed_before_anything_is_refused_and_over_a_restart() {
    let scene = in_group(&GROUP.to_string());
    let mut running = scene.start();
    scene.api.migrate(GROUP, SUPER);
    let sent = talk(&scene.api).ask("/status", "1 up");
    assert_eq!(sent.chat, SUPER);
    scene.wait_text(&format!("Group {GROUP} became {SUPER}"));
    assert_eq!(scene.count("became"), 1);
    let calls = scene.api.calls("sendMessage");
    assert_eq!(calls, scene.api.messages().len(), "nothing was refused");
    running.terminate();
    scene.api.clear();
    let running = scene.start();
    talk(&scene.api).ask("/status", "1 up");
    assert_eq!(scene.outage().chat, SUPER);
    assert_eq!(scene.count("became"), 0);
    end(&scene, running);
}

#[test]
fn with_the_old_and_the_new_id_in_the_file_everything_is_told_once() {
    // By the service message; and by a refusal alone, after the alert has reached the new id.
    for by_message in [true, false] {
        let scene = in_group(&format!("{GROUP}, {SUPER}"));
        scene.api.add_chat(SUPER);
        let running = scene.start();
        match by_message {
            true => scene.api.migrate(GROUP, SUPER),
            false => scene.api.fail_chat(GROUP, Some(Fault::MigrateTo(SUPER))),
        }
        scene.outage();
        scene.wait_text(&format!("take {GROUP} out of `chats`"));
        scene.site_works();
        scene.wait_text("up again");
        talk(&scene.api).ask("/status", "1 up");
        for once in ["is down", "up again", "became"] {
            assert_eq!(scene.count(once), 1, "{once}: {by_message}");
        }
        end(&scene, running);
    }
}

#[test]
fn an_alert_waits_while_the_bot_is_logged_out() {
    let scene = Scene::new();
    let running = scene.start();
    scene.api.fail_always(ANY, Some(Fault::LoggedOut));
    scene.site_fails();
    running.wait_stderr("a message waits: Logged out");
    scene.api.fail_always(ANY, None);
    scene.wait_text("🔴 blog is down: HTTP 503");
    end(&scene, running);
}

#[test]
fn a_check_whose_message_is_deleted_goes_on_in_one_new_one() {
    let web = super::Web::new();
    let mut sites = String::new();
    for n in 0..8 {
        let path = format!("/{n}");
        let delay = Duration::from_millis(500 + 700 * n);
        web.set(&path, Behaviour::ok().after(delay));
        let one = site(&format!("site {n}"), &web.url(&path));
        sites.push_str(&one.replace("interval = \"1s\"", "interval = \"1h\""));
    }
    let scene = Scene::with(|api| api.config() + &sites);
    let running = scene.start();
    scene.api.say(CHAT, CHAT, "/check");
    let first = scene.wait_text("Checking 9 sites");
    scene.api.delete(first.message_id);
    let last = scene.wait_text("9 sites checked");
    let messages = scene.api.messages();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(last.edits.len() > 1 && last.message_id != first.message_id);
    end(&scene, running);
}

#[test]
fn a_site_has_a_topic_of_its_own() {
    let scene = Scene::with(|api| telegram(api, &format!("chats = [{CHAT}, {GROUP}]\ntopic = 42")));
    for topic in [42, 43] {
        scene.api.add_topic(GROUP, topic);
    }
    let url = scene.web.url("/");
    let of = |name: &str, key: &str| site(name, &url) + key;
    let more = of("shop", "topic = 43\n") + &of("gone", "topic = 44\n");
    scene.sitemon.rewrite(
        &(telegram(
            &scene.api,
            &format!("chats = [{CHAT}, {GROUP}]\ntopic = 42"),
        ) + &of("blog", "")
            + &more),
    );
    let running = scene.start();
    scene.site_fails();
    let told = |name: &str, chat: i64| {
        let part = format!("{name} is down: HTTP 503");
        let sent = scene
            .api
            .wait_message(|m| m.chat == chat && m.text.contains(&part));
        (sent.topic, sent.text)
    };
    assert_eq!(told("blog", GROUP).0, Some(42));
    let (topic, text) = told("shop", GROUP);
    assert_eq!(topic, Some(43));
    assert!(!text.contains("blog"), "{text}");
    // A message for a topic that doesn't exist is sent without one.
    assert_eq!(told("gone", GROUP).0, None);
    // A private chat has no topics.
    assert_eq!(told("shop", CHAT).0, None);
    scene.site_works();
    let up = |m: &crate::support::bot_api::Sent| {
        m.chat == GROUP && m.topic == Some(43) && m.text.contains("shop is up again")
    };
    assert!(scene.api.wait_message(up).reply_to.is_some());
    end(&scene, running);
}
