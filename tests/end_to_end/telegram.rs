//! `sitemon run` and the Bot API: alerts, commands, and faults between them.

use crate::support::bot_api::{ANY, BOT_NAME, BotApi, CHAT, Fault, TOKEN};
use crate::support::scene::Scene;
use crate::support::web::Behaviour;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const STRANGER: i64 = 555_001;
const GROUP: i64 = -1_001_234_567_890;

/// Returns a `[telegram]` table with these keys instead of `chats`.
fn telegram(api: &BotApi, keys: &str) -> String {
    let url = api.url();
    format!("[telegram]\ntoken = \"{TOKEN}\"\napi = \"{url}\"\n{keys}\n")
}

#[test]
fn an_outage_is_told_and_its_recovery_is_a_silent_reply() {
    let scene = Scene::new();
    let running = scene.start();
    let down = scene.outage();
    assert!(!down.silent);
    assert_eq!((down.chat, down.reply_to), (CHAT, None));
    assert!(down.html.contains("<b>blog</b>"), "{}", down.html);

    scene.site_works();
    let up = scene.wait_text("🟢 blog is up again after ");
    assert!(up.silent);
    assert_eq!(up.reply_to, Some(down.message_id));
    assert!(up.text.ends_with(" s (#1)"), "{}", up.text);
    assert_eq!(scene.api.messages().len(), 2);
    scene.end(running);
}

#[test]
fn commands_that_look_are_answered() {
    let scene = Scene::new();
    let running = scene.start();
    scene.outage();
    let status = scene.ask("/status", "1 down");
    assert!(status.text.starts_with("0 up, 1 down\n🔴 blog for "));
    assert!(status.text.ends_with(": HTTP 503, wanted 200-299"));
    scene.ask("/list", "🔴 blog down");
    scene.ask("/sites", "🔴 blog down");
    let site = scene.ask("/site blog", "🔴 blog has been down for ");
    assert!(site.text.contains(&scene.web.url("/")), "{}", site.text);
    assert!(site.text.contains("Cause: HTTP 503, wanted 200-299"));
    scene.ask("/site LO", "🔴 blog has been down for ");
    let history = scene.ask("/history blog", "The last checks of blog\n");
    assert!(history.text.contains("❌ "), "{}", history.text);
    let incidents = scene.ask("/incidents", "🔴 #1 blog for ");
    assert!(incidents.text.ends_with(": HTTP 503, wanted 200-299"));
    let stats = scene.ask("/stats", "Up for ");
    for line in ["Memory: ", "Open files: ", "Threads: ", "Alerts waiting: 0"] {
        assert!(stats.text.contains(line), "{line} in {}", stats.text);
    }
    scene.ask("/help", "/status · ");
    scene.ask("/start", "/status · ");
    scene.ask(
        "/site nowhere",
        "There is no site nowhere. /list shows all.",
    );
    scene.ask("/site", "Which site? Write /site NAME.");
    scene.ask("/frobnicate", "I do not know that command.");

    scene.site_works();
    scene.wait_text("is up again after ");
    scene.ask("/status", "1 up");
    scene.ask("/list", "🟢 blog ");
    scene.ask("/incidents blog", "⚪ #1 blog lasted ");
    scene.end(running);
}

#[test]
fn commands_that_steer_are_carried_out() {
    let scene = Scene::new();
    let running = scene.start();
    scene.ask("/ack", "No incident is open.");
    scene.outage();
    scene.ask("/ack 7", "There is no incident #7.");
    scene.ask("/ack 1", "👍 Acknowledged: #1 blog");
    scene.ask("/incidents", ", acknowledged ");
    scene.ask("/mute", "🔕 Everything is muted for 1 h.");
    scene.ask("/status", "🔕 everything is muted for ");
    scene.ask("/unmute", "🔔 Unmuted: blog");
    scene.ask("/mute blog 30m", "🔕 blog is muted for 30 min.");
    scene.ask("/site blog", "🔕 muted for ");
    scene.ask("/unmute blog", "🔔 Unmuted: blog");
    scene.ask("/pause blog", "⏸ blog is paused. /resume starts it again.");
    scene.ask("/pause blog", "⏸ blog is paused already.");
    scene.ask("/list", "⏸ blog paused");
    scene.site_works();
    scene.ask("/resume blog", "▶️ blog is checked again.");
    scene.ask("/resume blog", "▶️ blog is not paused.");
    scene.end(running);
}

#[test]
fn a_mute_keeps_alerts_away() {
    let scene = Scene::new();
    let running = scene.start();
    scene.ask("/mute blog", "🔕 blog is muted for 1 h.");
    scene.site_fails();
    running.wait_stderr("blog is down: HTTP 503");
    scene.site_works();
    running.wait_stderr("blog is up again after ");
    scene.ask("/status", "1 up");
    assert_eq!(scene.count("is down"), 0);
    assert_eq!(scene.count("is up again"), 0);
    scene.end(running);
}

#[test]
fn a_check_is_one_message_that_becomes_the_result() {
    let scene = Scene::new();
    let slow = Behaviour::ok().after(Duration::from_millis(300));
    scene.web.set("/", slow);
    let running = scene.start();
    let done = scene.ask("/check", "✅ blog ");
    assert!(done.text.starts_with("Checking blog") || done.text.contains("queue"));
    assert!(!done.edits.is_empty());
    assert_eq!(scene.api.messages().len(), 1);
    scene.end(running);
}

#[test]
fn strangers_get_no_answer_and_the_log_names_one_a_minute() {
    let scene =
        Scene::with(|api| telegram(api, &format!("chats = [{CHAT}, {GROUP}]\nusers = [{CHAT}]")));
    let running = scene.start();
    scene.api.say(STRANGER, STRANGER, "/status");
    running.wait_stderr(&format!("no answer for user {STRANGER} in chat {STRANGER}"));
    scene.api.say(GROUP, STRANGER, "/status");
    // A user with access, in a chat without it.
    scene.api.say(STRANGER, CHAT, "/status");
    for stranger in 1..=500 {
        scene
            .api
            .say(STRANGER + stranger, STRANGER + stranger, "/start");
    }
    scene.ask("/help", "/status · ");
    let named = running
        .wait_stderr("no answer for ")
        .matches("no answer for ")
        .count();
    // At most one line a minute, and even the slowest machine needs less than three minutes for
    // this.
    assert!((1..=3).contains(&named), "{named}");
    let chats: Vec<i64> = scene.api.messages().iter().map(|m| m.chat).collect();
    assert_eq!(chats, [CHAT]);
    scene.api.say(GROUP, CHAT, "/help");
    scene.api.wait_message(|m| m.chat == GROUP);
    scene.end(running);
}

#[test]
fn a_command_for_another_bot_is_not_ours() {
    let scene = Scene::new();
    let running = scene.start();
    scene.api.say(CHAT, CHAT, "/stats@other_bot");
    scene.ask(&format!("/help@{BOT_NAME}"), "/status · ");
    assert_eq!(scene.api.messages().len(), 1);
    scene.ask("good morning", "I only understand commands");
    scene.end(running);
}

#[test]
fn the_commands_are_registered_and_updates_confirmed() {
    let scene = Scene::new();
    let running = scene.start();
    let commands = scene.api.commands();
    for name in ["status", "check", "incidents", "ack", "mute", "help"] {
        assert!(commands.iter().any(|(n, _)| n == name), "{commands:?}");
    }
    scene.ask("/help", "/status · ");
    scene.api.wait_confirmed();
    scene.end(running);
}

#[test]
fn an_update_that_was_not_confirmed_is_not_carried_out_again_after_a_restart() {
    let scene = Scene::new();
    let first = scene.start();
    scene
        .api
        .fail_always("getUpdates", Some(Fault::Status(502)));
    scene.ask("/stats", "Up for ");
    scene.end(first);
    scene.api.fail_always("getUpdates", None);
    let second = scene.start();
    scene.ask("/help", "/status · ");
    assert_eq!(scene.count("Up for "), 1);
    scene.end(second);
}

#[test]
fn the_rest_that_telegram_asks_for_is_kept() {
    let scene = Scene::new();
    let running = scene.start();
    let fault = Fault::TooManyRequests { retry_after: 4 };
    scene.api.fail_next("sendMessage", fault);
    scene.site_fails();
    scene.api.wait_calls("sendMessage", 1);
    let refused = Instant::now();
    let told = scene.outage();
    // Without `retry_after` it would have been tried again within 2 s.
    assert!(told.at.duration_since(refused) > Duration::from_secs(3));
    assert_eq!(scene.api.calls("sendMessage"), 2);
    scene.end(running);
}

#[test]
fn an_alert_is_tried_again_after_a_bad_gateway() {
    let scene = Scene::new();
    let running = scene.start();
    scene.api.fail_next("sendMessage", Fault::Status(502));
    scene.outage();
    assert_eq!(scene.api.calls("sendMessage"), 2);
    assert_eq!(scene.count("is down"), 1);
    scene.end(running);
}

#[test]
fn an_alert_whose_answer_was_lost_is_sent_again() {
    let scene = Scene::new();
    let running = scene.start();
    scene.api.fail_next("sendMessage", Fault::DropAfter);
    scene.site_fails();
    let messages = scene.api.wait_messages(2);
    assert_eq!(messages[0].text, messages[1].text);
    scene.end(running);
}

#[test]
fn an_alert_that_telegram_cannot_parse_goes_out_as_plain_text() {
    let scene = Scene::new();
    let running = scene.start();
    let why = "can't parse entities: unsupported start tag \"b\" at byte offset 5";
    scene.api.fail_next("sendMessage", Fault::BadRequest(why));
    let told = scene.outage();
    assert_eq!(told.html, told.text);
    scene.end(running);
}

#[test]
fn a_chat_that_blocked_the_bot_loses_only_its_own_alerts() {
    let scene = Scene::with(|api| telegram(api, &format!("chats = [{GROUP}, {CHAT}]")));
    scene.api.add_chat(GROUP);
    scene.api.fail_chat(GROUP, Some(Fault::Forbidden));
    let running = scene.start();
    assert_eq!(scene.outage().chat, CHAT);
    let log = running.wait_stderr(&format!("a message for chat {GROUP} was refused"));
    assert!(log.contains("bot was blocked by the user"), "{log}");
    scene.api.fail_chat(GROUP, None);
    scene.site_works();
    scene
        .api
        .wait_message(|m| m.chat == CHAT && m.text.contains("up again"));
    let to_group = scene.api.wait_message(|m| m.chat == GROUP);
    assert!(to_group.text.contains("up again"), "{}", to_group.text);
    scene.end(running);
}

#[test]
fn a_group_that_moved_is_followed() {
    const NEW: i64 = -1_009_876_543_210;
    const OLD: i64 = -4_242;
    let scene = Scene::with(|api| telegram(api, &format!("chats = [{OLD}]")));
    scene.api.add_chat(OLD);
    scene.api.fail_chat(OLD, Some(Fault::MigrateTo(NEW)));
    let running = scene.start();
    let down = scene.outage();
    assert_eq!(down.chat, NEW);
    scene.wait_text(&format!("Group {OLD} became {NEW}"));
    scene.api.say(NEW, CHAT, "/help");
    scene.wait_text("/status · ");
    scene.site_works();
    assert_eq!(scene.wait_text("up again").chat, NEW);
    scene.end(running);
}

#[test]
fn a_refused_token_is_logged_with_advice_and_checks_go_on() {
    let scene = Scene::new();
    scene.api.fail_always(ANY, Some(Fault::Unauthorized));
    let running = scene.sitemon.run();
    let log = running.wait_stderr("Telegram refuses the token (401)");
    assert!(log.contains("@BotFather"), "{log}");
    scene.web.wait_requests(scene.web.requests() + 2);
    scene.site_fails();
    running.wait_stderr("blog is down: HTTP 503");
    scene.end(running);
}

#[test]
fn another_poller_is_logged_and_commands_still_come_through() {
    let scene = Scene::new();
    scene.api.fail_next("getUpdates", Fault::OtherPoller409);
    let running = scene.sitemon.run();
    running.wait_stderr("another program asks for this bot's updates (409)");
    scene.ask("/help", "/status · ");
    scene.end(running);
}

#[test]
fn a_webhook_in_the_way_is_deleted_and_that_is_said() {
    let scene = Scene::new();
    scene.api.set_webhook();
    let running = scene.sitemon.run();
    scene.wait_text("A webhook was set for this bot");
    assert_eq!(scene.api.calls("deleteWebhook"), 1);
    scene.ask("/help", "/status · ");
    scene.end(running);
}

#[test]
fn malformed_updates_are_skipped_and_the_next_command_is_answered() {
    let huge = format!("1{}", "0".repeat(30));
    let chat = format!(r#""chat":{{"id":{CHAT},"type":"private"}}"#);
    let bad = [
        format!(r#"{{"update_id":UPDATE_ID,"message":{{{chat},"date":1,"text":"\ud800"}}}}"#),
        r#"{"update_id":UPDATE_ID,"message":[1,2]}"#.to_owned(),
        format!(r#"{{"update_id":UPDATE_ID,"message":{{{chat},"date":"noon","text":7}}}}"#),
        format!(
            r#"{{"update_id":UPDATE_ID,"message":{{"chat":{{"id":{huge}}},"text":"/stats"}}}}"#
        ),
        format!(r#"{{"update_id":UPDATE_ID,"message":{{{chat},"date":-{huge},"text":"/stats"}}}}"#),
        r#"{"update_id":UPDATE_ID,"what_comes_next_year":{"a":null}}"#.to_owned(),
    ];
    let scene = Scene::new();
    for update in &bad {
        scene.api.push_raw(update);
    }
    let running = scene.start();
    scene.ask("/help", "/status · ");
    scene.api.wait_confirmed();
    running.wait_stderr("can't be read: skipped");
    scene.end(running);
}

#[test]
fn a_huge_answer_is_survived() {
    let scene = Scene::new();
    scene.api.fail_next("getUpdates", Fault::HugeBody(8 << 20));
    let running = scene.start();
    scene.ask("/help", "/status · ");
    running.wait_stderr("asking for them one by one");
    scene.end(running);
}

#[test]
fn an_alert_waits_while_telegram_is_gone_and_arrives_later() {
    let scene = Scene::new();
    let running = scene.start();
    scene.api.pause();
    scene.site_fails();
    running.wait_stderr("a message waits: ");
    assert_eq!(scene.api.messages().len(), 0);
    scene.api.resume();
    scene.outage();
    scene.end(running);
}

#[test]
fn it_starts_without_a_network() {
    let scene = Scene::new();
    scene.api.pause();
    let running = scene.sitemon.run();
    running.wait_stderr("Telegram can't be reached, trying again: ");
    scene.web.wait_requests(2);
    scene.api.resume();
    scene.ask("/help", "/status · ");
    running.wait_stderr("Telegram can be reached again");
    scene.end(running);
}

#[test]
fn commands_from_long_ago_are_listed_and_not_carried_out() {
    let scene = Scene::new();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let long_ago = now.as_secs() as i64 - 1200;
    for text in ["/pause blog", "/mute"] {
        scene.api.say_at(CHAT, CHAT, text, long_ago);
    }
    let running = scene.start();
    let told = scene.wait_text("I was away. Too old to carry out:");
    let lines: Vec<&str> = told.text.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    for (line, command) in lines[1..].iter().zip(["/pause blog", "/mute"]) {
        // The start may have taken some seconds.
        let when = line.strip_prefix(command).unwrap_or_default();
        let soon = when.starts_with(" · 20 min") && when.ends_with(" ago");
        assert!(soon, "{lines:?}");
    }
    scene.ask("/site blog", "blog has been up for ");
    assert_eq!(scene.count("paused") + scene.count("muted"), 0);
    scene.end(running);
}
