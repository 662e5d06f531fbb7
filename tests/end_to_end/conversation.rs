//! A conversation with every command and every button, within Telegram's rate limits; and the
//! same at a terminal.

mod access;
mod chats;
use crate::support::agent::Running;
use crate::support::assert_has;
use crate::support::bot_api::{BotApi, CHAT, Photo, Sent, TOKEN};
use crate::support::scene::{Scene, site};
use crate::support::web::{Behaviour, Web};
use std::time::Duration;

const GROUP: i64 = -1_001_234_567_890;
const STRANGER: i64 = 555_001;

/// A user who types and presses at a human pace: a second apart in a private chat, three in a
/// group.
struct Talk<'a> {
    api: &'a BotApi,
    chat: i64,
}

impl Talk<'_> {
    fn of(api: &BotApi, chat: i64) -> Talk<'_> {
        Talk { api, chat }
    }

    fn think(&self) {
        let seconds = if self.chat > 0 { 1 } else { 3 };
        self.api.let_pass(Duration::from_secs(seconds));
    }

    /// Sends a command, and returns the new message with `part` in its present text.
    #[track_caller]
    fn ask(&self, command: &str, part: &str) -> Sent {
        self.think();
        let before = self.api.messages().last().map_or(0, |m| m.message_id);
        self.api.say(self.chat, CHAT, command);
        self.api
            .wait_message(|m| m.message_id > before && m.latest().contains(part))
    }

    /// Presses a button of a message, and returns the answer.
    #[track_caller]
    fn press(&self, sent: &Sent, label: &str) -> String {
        self.press_data(sent.message_id, &self.now(sent).data(label))
    }

    #[track_caller]
    fn press_data(&self, message_id: i64, data: &str) -> String {
        self.think();
        let update = self.api.press(self.chat, CHAT, message_id, data);
        self.api.wait_answer(update)
    }

    /// Waits until the message has `part` in it.
    #[track_caller]
    fn reads(&self, sent: &Sent, part: &str) -> Sent {
        let it = |m: &Sent| m.chat == sent.chat && m.message_id == sent.message_id;
        self.api
            .wait_message(|m| it(m) && m.latest().contains(part))
    }

    /// Returns the message as it is now.
    fn now(&self, sent: &Sent) -> Sent {
        self.reads(sent, "")
    }

    #[track_caller]
    fn shows(&self, sent: &Sent, labels: &[&str]) {
        let it = |m: &Sent| m.chat == sent.chat && m.message_id == sent.message_id;
        self.api.wait_message(|m| it(m) && m.labels() == labels);
    }
}

/// A scene with `blog` and two more sites that work.
fn three(telegram: impl FnOnce(&BotApi) -> String) -> (Scene, Web) {
    let shop = Web::new();
    let scene = Scene::with(|api| {
        telegram(api) + &site("shop", &shop.url("/")) + &site("shop admin", &shop.url("/admin"))
    });
    (scene, shop)
}

fn telegram(api: &BotApi, keys: &str) -> String {
    let url = api.url();
    format!("[telegram]\ntoken = \"{TOKEN}\"\napi = \"{url}\"\n{keys}\n")
}

fn end(scene: &Scene, running: Running) {
    assert_eq!(scene.api.floods(), 0, "Telegram had to say 429");
    scene.end(running);
}

#[test]
fn every_command_is_answered_within_the_limits() {
    let (scene, _shop) = three(BotApi::config);
    scene.api.limit_rate(true);
    let running = scene.start();
    scene.outage();
    let talk = Talk::of(&scene.api, CHAT);
    let said = [
        ("/status", "1 down"),
        ("/list", "🟢 shop admin"),
        ("/sites", "🟢 shop admin"),
        ("/site blog", "Cause: HTTP 503"),
        ("/check blog", "❌ blog HTTP 503"),
        ("/check", "3 sites checked in "),
        ("/incidents", "🔴 #1 blog for "),
        ("/history blog", "The last checks of blog"),
        ("/ack", "👍 Acknowledged: #1 blog"),
        ("/mute blog 30m", "🔕 blog is muted for 30 min."),
        ("/unmute blog", "🔔 Unmuted: blog"),
        ("/pause shop admin", "⏸ shop admin is paused."),
        ("/resume shop admin", "▶️ shop admin is checked again."),
        ("/run", "There is no [[action]] in sitemon.conf."),
        ("/stats", "Up for "),
        ("/help", "/status · "),
        ("/start", "/status · "),
    ];
    for (command, part) in said {
        talk.ask(command, part);
    }
    // Commands with tests of their own in other modules.
    let elsewhere = ["chart", "add", "remove"];
    for (name, _) in scene.api.commands() {
        let here = said
            .iter()
            .any(|(c, _)| c[1..].split(' ').next() == Some(&name));
        assert!(
            here || elsewhere.contains(&name.as_str()),
            "/{name} was not said"
        );
    }
    end(&scene, running);
}

#[test]
fn every_button_of_an_alert_does_what_it_says() {
    let (scene, _shop) = three(BotApi::config);
    scene.api.limit_rate(true);
    let running = scene.start();
    let alert = scene.outage();
    let talk = Talk::of(&scene.api, CHAT);
    assert_eq!(
        alert.labels(),
        ["Check now", "Acknowledge", "Mute 1 h", "Mute 1 d"]
    );
    let styles = alert.buttons.iter().map(|button| button.style.as_str());
    assert_eq!(
        styles.collect::<Vec<_>>(),
        ["", "success", "danger", "danger"]
    );
    assert_eq!(talk.press(&alert, "Check now"), "");
    scene.wait_text("❌ blog HTTP 503, wanted 200-299\nasked by Ada");
    assert_eq!(talk.press(&alert, "Acknowledge"), "👍 acknowledged");
    let site = scene.web.url("/");
    let html = format!(
        "🔴 <b>blog</b> is down: HTTP 503, wanted 200-299 (#1)\n<a href=\"{site}\">{site}</a>"
    );
    let done = talk.reads(&alert, "👍 acknowledged by Ada");
    assert_eq!(
        done.latest_html(),
        format!("{html}\n👍 acknowledged by Ada")
    );
    talk.shows(&alert, &["Check now", "Mute 1 h", "Mute 1 d"]);
    talk.ask("/incidents", ", acknowledged by Ada ");

    assert_eq!(talk.press(&alert, "Mute 1 d"), "🔕 muted for 1 d");
    talk.reads(&alert, "🔕 muted for 1 d by Ada");
    talk.shows(&alert, &["Check now", "Unmute"]);
    assert_eq!(talk.press(&alert, "Unmute"), "🔔 unmuted");
    talk.reads(&alert, "🔔 unmuted by Ada");
    assert_eq!(talk.press(&alert, "Mute 1 h"), "🔕 muted for 1 h");
    talk.reads(&alert, "👍 acknowledged by Ada\n🔕 muted for 1 h by Ada");
    // A second press, before the first was answered.
    let acknowledge = alert.data("Acknowledge");
    let again = talk.press_data(alert.message_id, &acknowledge);
    assert_eq!(again, "#1 was acknowledged before by Ada.");

    scene.site_works();
    scene.wait_text("🟢 blog is up again");
    talk.shows(&alert, &[]);
    assert_eq!(
        talk.press_data(alert.message_id, &acknowledge),
        "That is too old: #1 is over."
    );
    for forged in ["!a", "", "=/pause ~0123456789abcdef", "/pause blog", "💣"] {
        let answer = talk.press_data(alert.message_id, forged);
        assert!(
            answer.starts_with("That is too old: "),
            "{forged}: {answer}"
        );
    }
    talk.ask("/status", "3 up");
    end(&scene, running);
}

#[test]
fn the_status_leads_to_a_site_and_that_to_what_can_be_done() {
    let (scene, _shop) = three(BotApi::config);
    scene.api.limit_rate(true);
    let running = scene.start();
    scene.outage();
    let talk = Talk::of(&scene.api, CHAT);
    let status = talk.ask("/status", "1 down");
    assert_eq!(status.labels()[0], "blog");
    assert_eq!(talk.press(&status, "blog"), "");
    let view = scene.wait_text("🔴 blog has been down for ");
    assert_eq!(view.labels()[..3], ["Check now", "Mute", "Pause"]);
    for (label, answer) in [
        ("Mute", "🔕 Muted for 1 h"),
        ("Unmute", "🔔 Unmuted"),
        ("Pause", "⏸ Paused"),
        ("Resume", "▶️ Checked again"),
    ] {
        assert_eq!(talk.press(&view, label), answer);
        talk.reads(&view, &format!("\n{answer} by Ada"));
    }
    talk.press(&view, "Check now");
    scene.wait_text("❌ blog HTTP 503");
    if view.labels().contains(&"Chart") {
        talk.press(&view, "Chart");
        let one = scene.api.wait_message(|m| m.photo.is_some());
        assert!(one.text.contains("blog"), "{}", one.text);
        talk.press(&status, "Chart");
        let all = scene
            .api
            .wait_message(|m| m.photo.is_some() && m.message_id > one.message_id);
        assert!(all.photo.is_some_and(|photo| photo.size < 60_000));
        let hour = talk.ask("/chart blog 1h", "blog, last hour: ");
        // A taller picture would be scaled down on a phone.
        let whole = |p: &Photo| p.width == 900 && p.height * 3 <= p.width * 4;
        assert!(hour.photo.as_ref().is_some_and(whole));
        assert_eq!(hour.labels(), ["6h", "24h", "7d", "30d", "90d"]);
        talk.ask(
            "/chart blog 2h",
            "/chart shows the last 1h, 6h, 24h, 7d, 30d or 90d.",
        );
    }
    end(&scene, running);
}

#[test]
fn an_ambiguous_name_asks_back_and_the_question_becomes_the_answer() {
    let (scene, _shop) = three(BotApi::config);
    scene.api.limit_rate(true);
    let running = scene.start();
    let talk = Talk::of(&scene.api, CHAT);
    talk.ask("/check", "3 sites checked");
    for (command, answer) in [
        ("/site sho", "🟢 shop admin has been up"),
        ("/history sho", "The last checks of shop admin"),
        ("/mute sho 2h", "🔕 shop admin is muted for 2 h."),
        ("/unmute sho", "🔔 Unmuted: shop admin"),
        ("/pause sho", "⏸ shop admin is paused."),
        ("/resume sho", "▶️ shop admin is checked again."),
        ("/incidents sho", "No incident of shop admin is known."),
        ("/check sho", "✅ shop admin "),
    ] {
        let question = talk.ask(command, "sho fits 2 sites. Which one?");
        assert_eq!(question.labels(), ["shop", "shop admin"]);
        assert_eq!(talk.press(&question, "shop admin"), "", "{command}");
        talk.reads(&question, answer);
    }
    if scene.api.commands().iter().any(|(name, _)| name == "chart") {
        let question = talk.ask("/chart sho 7d", "sho fits 2 sites. Which one?");
        talk.press(&question, "shop admin");
        let id = question.message_id;
        scene
            .api
            .wait_message(|m| m.message_id == id && m.photo.is_some());
    }
    end(&scene, running);
}

#[test]
fn in_a_forum_everything_is_in_its_topic_and_presses_of_strangers_are_nothing() {
    let (scene, _shop) = three(|api| {
        telegram(
            api,
            &format!("chats = [{GROUP}]\nusers = [{CHAT}]\ntopic = 42"),
        )
    });
    scene.api.add_topic(GROUP, 42);
    scene.api.limit_rate(true);
    let running = scene.start();
    let alert = scene.outage();
    assert_eq!((alert.chat, alert.topic), (GROUP, Some(42)));
    let update = scene.api.press(
        GROUP,
        STRANGER,
        alert.message_id,
        &alert.data("Acknowledge"),
    );
    running.wait_stderr(&format!("no answer for user {STRANGER} in chat {GROUP}"));
    let talk = Talk::of(&scene.api, GROUP);
    let status = talk.ask("/status", "1 down");
    assert_eq!(status.topic, Some(42));
    assert_eq!(talk.press(&alert, "Acknowledge"), "👍 acknowledged");
    talk.reads(&alert, "👍 acknowledged by Ada");
    talk.ask("/check", "3 sites checked");
    let answered = scene.api.callback_answers();
    assert!(
        !answered
            .iter()
            .any(|(id, _)| *id == format!("callback{update}"))
    );
    end(&scene, running);
}

#[test]
fn a_topic_that_is_gone_is_left_out_and_asked_for_once() {
    let (scene, _shop) = three(|api| telegram(api, &format!("chats = [{GROUP}]\ntopic = 42")));
    scene.api.add_chat(GROUP);
    let running = scene.start();
    let alert = scene.outage();
    assert_eq!((alert.chat, alert.topic), (GROUP, None));
    assert_eq!(scene.api.calls("sendMessage"), 2);
    scene.site_works();
    scene.wait_text("up again");
    assert_eq!(scene.api.calls("sendMessage"), 3);
    scene.end(running);
}

#[test]
fn a_check_of_many_is_one_message_whose_bar_moves_within_the_limits() {
    let web = Web::new();
    let mut sites = String::new();
    for n in 0..14 {
        let delay = Duration::from_millis(200 + 200 * n);
        let answer = if n % 5 == 1 { 503 } else { 200 };
        let path = format!("/{n}");
        web.set(&path, Behaviour::status(answer).after(delay));
        let one = site(&format!("site {n}"), &web.url(&path));
        sites.push_str(
            &one.replace("interval = \"1s\"", "interval = \"1h\"")
                .replace("tries = 1", "tries = 9"),
        );
    }
    let scene = Scene::with(|api| api.config() + &sites);
    scene.api.limit_rate(true);
    let running = scene.start();
    scene.api.say(CHAT, CHAT, "/check");
    let done = scene.wait_text("15 sites checked in ");
    assert_has(&done.latest(), ": 12 fine, 3 failed\n❌ site 1 HTTP 503");
    assert!(
        done.text
            .starts_with("Checking 15 sites …\n░░░░░░░░░░ 0 of 15"),
        "{}",
        done.text
    );
    let bars: Vec<&str> = done.edits.iter().map(|e| e.text.as_str()).collect();
    assert!(bars.len() >= 3, "{bars:?}");
    assert!(
        bars.iter()
            .any(|t| t.contains("█") && t.contains(" failed\n❌ site 1 HTTP 503")),
        "{bars:?}"
    );
    for pair in done.edits[..done.edits.len() - 1].windows(2) {
        let pause = pair[1].at.duration_since(pair[0].at);
        assert!(pause > Duration::from_millis(900), "{pause:?}");
    }
    assert_eq!(scene.api.messages().len(), 1);
    end(&scene, running);
}

#[test]
fn buttons_outlive_a_restart_and_a_site_that_is_gone_is_not_another_one() {
    let (scene, shop) = three(BotApi::config);
    let first = scene.start();
    let alert = scene.outage();
    let talk = Talk::of(&scene.api, CHAT);
    let view = talk.ask("/site shop admin", "shop admin has ");
    scene.end(first);
    let config = scene.config_with(&site("shop", &shop.url("/")));
    scene.sitemon.rewrite(&config);
    let second = scene.start();
    assert_eq!(talk.press(&alert, "Acknowledge"), "👍 acknowledged");
    talk.reads(&alert, "👍 acknowledged by Ada");
    let pause = view.data("Pause");
    assert_eq!(
        talk.press_data(view.message_id, &pause),
        "That is too old: I no longer watch that site."
    );
    talk.shows(&view, &[]);
    talk.ask("/list", "🟢 shop");
    scene.end(second);
}

#[test]
fn a_server_that_knows_no_callbacks_holds_nothing_up() {
    use crate::support::bot_api::Fault;
    let (scene, _shop) = three(BotApi::config);
    let running = scene.start();
    let alert = scene.outage();
    scene
        .api
        .fail_always("answerCallbackQuery", Some(Fault::Status(500)));
    scene
        .api
        .press(CHAT, CHAT, alert.message_id, &alert.data("Acknowledge"));
    scene.wait_text("👍 acknowledged by Ada");
    scene.ask("/help", "/status · ");
    scene.end(running);
}

#[test]
fn at_the_terminal_a_number_presses_a_button() {
    let (scene, _shop) = three(BotApi::config);
    let mut running = scene.sitemon.run_console();
    running.wait_stderr("watches 3 sites");
    scene.site_fails();
    running.wait_stdout("🔴 blog is down: HTTP 503, wanted 200-299 (#1)\n[1] Check now  [2] Acknowledge  [3] Mute 1 h  [4] Mute 1 d\n");
    running.type_line("2");
    running.wait_stdout("👍 acknowledged\n");
    running.type_line("/site shop a");
    running.wait_stdout("[1] Check now  [2] Mute  [3] Pause");
    running.type_line("3");
    running.wait_stdout("⏸ Paused\n");
    running.type_line("/status");
    running.wait_stdout("[1] blog  [2] shop admin");
    running.type_line("1");
    running.wait_stdout("🔴 blog has been down for ");
    running.type_line("/check");
    running.wait_stdout("3 sites checked in ");
    let said = running.stdout().matches("Checking 3 sites …").count();
    assert_eq!(said, 1, "in a pipe only its beginning and its end");
    running.type_line("77");
    running.wait_stdout("I do not know that command.");
    assert_eq!(running.terminate().code(), Some(0));
}
