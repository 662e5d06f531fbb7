//! `[[notify]]`: alerts by HTTP to servers that accept them, refuse them, hang, cut and flood.

use crate::actions::end;
use crate::support::bot_api::{CHAT, Fault};
use crate::support::http::Request;
use crate::support::listener::{locked, until};
use crate::support::scene::{Scene, site};
use crate::support::web::{Behaviour, Web};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The path is a secret.
const PATH: &str = "/in/5ecret-topic";
const DOWN: &str = "🔴 blog is down: HTTP 503, wanted 200-299 (#1)";

/// A server that shows each of these behaviours once and then accepts all requests, and the times
/// of the requests.
struct Hook {
    web: Web,
    times: Arc<Mutex<Vec<Instant>>>,
}

impl Hook {
    fn new(behaviours: impl IntoIterator<Item = Behaviour>) -> Hook {
        let next = Mutex::new(VecDeque::from_iter(behaviours));
        let times = Arc::new(Mutex::new(Vec::new()));
        let noted = times.clone();
        let web = Web::start(move |_| {
            locked(&noted).push(Instant::now());
            locked(&next).pop_front().unwrap_or_else(Behaviour::ok)
        });
        Hook { web, times }
    }

    /// Returns a `[[notify]]` table with its URL.
    fn table(&self, lines: &str) -> String {
        let url = self.web.url(PATH);
        format!("[[notify]]\nname = \"hook\"\nurl = \"{url}\"\n{lines}\n")
    }

    fn bodies(&self) -> Vec<String> {
        let seen = self.web.seen();
        let text = |r: &Request| String::from_utf8_lossy(&r.body).into_owned();
        seen.iter().map(text).collect()
    }

    /// Waits for a request with `part` in its body.
    #[track_caller]
    fn wait(&self, part: &str) {
        until(part, || {
            self.bodies().iter().any(|body| body.contains(part))
        });
    }
}

fn scene_with(hook: &Hook, lines: &str) -> Scene {
    let scene = Scene::new();
    scene
        .sitemon
        .rewrite(&scene.config_with(&hook.table(lines)));
    scene
}

#[test]
fn a_down_and_an_up_arrive_as_the_table_has_them() {
    let hook = Hook::new([]);
    let scene = Scene::new();
    let url = hook.web.url(&format!("{PATH}/{{site}}?why={{cause}}"));
    let table = format!(
        "note = \"https://wiki.example/bücher\"\n[[notify]]\nname = \"hook\"\nurl = \"{url}\"\nmethod = \"PUT\"\n\
         headers = {{ Title = \"{{site}} {{state}}\", X-Note = \"{{note}}\", X-Key = \"$KEY\" }}\n\
         json = {{ message = \"{{text}}\", number = \"{{number}}\", at = \"{{since}}\", priority = 4 }}\n"
    );
    scene.sitemon.rewrite(&scene.config_with(&table));
    let scene = Scene {
        sitemon: scene.sitemon.env("KEY", "k5ey"),
        ..scene
    };
    let running = scene.start();
    scene.outage();
    hook.wait("blog is down");
    scene.site_works();
    hook.wait("blog is up again after ");
    let seen = hook.web.seen();
    assert_eq!(seen.len(), 2);
    let down = &seen[0];
    assert_eq!(down.method, "PUT");
    let target = format!("{PATH}/blog?why=HTTP%20503%2C%20wanted%20200-299");
    assert_eq!(down.target, target);
    assert_eq!(down.header("title"), Some("blog down"));
    assert_eq!(down.header("x-key"), Some("k5ey"));
    assert_eq!(down.header("content-type"), Some("application/json"));
    // Python's email.header decodes it to https://wiki.example/bücher.
    let note = "=?UTF-8?B?aHR0cHM6Ly93aWtpLmV4YW1wbGUvYsO8Y2hlcg==?=";
    assert_eq!(down.header("x-note"), Some(note));
    let body: Value = serde_json::from_slice(&down.body).expect("JSON");
    let text = format!("{DOWN}\nhttps://wiki.example/bücher");
    assert_eq!(
        (&body["message"], &body["number"]),
        (&json!(text), &json!("1"))
    );
    assert_eq!(body["priority"], json!(4));
    assert!(
        body["at"].as_str().is_some_and(|at| at.len() > 10),
        "{body}"
    );
    assert_eq!(seen[1].header("title"), Some("blog up"));
    end(&scene, running);
}

#[test]
fn whatever_a_server_does_costs_one_attempt_and_no_alert() {
    let head = b"HTTP/1.1 200 OK\r\nX-A: ".to_vec();
    let failures = [
        Behaviour::status(500),
        Behaviour::status(503),
        Behaviour::Close,
        Behaviour::Garbage(b"no HTTP at all\r\n\r\n".to_vec()),
        Behaviour::ManyHeaders(100_000),
        Behaviour::Hang,
        // A head without an end.
        Behaviour::Flood(head.clone(), Vec::new()),
        Behaviour::Flood(head, b"aaaaaaaaaaaaaaaa".to_vec()),
    ];
    thread::scope(|scope| {
        for failure in failures {
            scope.spawn(move || {
                let hook = Hook::new([failure.clone()]);
                let scene = scene_with(&hook, "body = \"{text}\"");
                let running = scene.start();
                scene.outage();
                hook.web.wait_requests(2);
                running.wait_stderr("an alert for hook waits: ");
                scene.site_works();
                hook.wait("blog is up again");
                let bodies = hook.bodies();
                assert_eq!(bodies.len(), 3, "{failure:?}: {bodies:?}");
                assert!(bodies[0].starts_with(DOWN) && bodies[1].starts_with(DOWN));
                let times = locked(&hook.times).clone();
                let apart = times[1] - times[0];
                // A failure that took long is retried after twice that time: 20 s here.
                let hangs = matches!(failure, Behaviour::Hang);
                assert!(!hangs || apart > Duration::from_secs(29), "{apart:?}");
                end(&scene, running);
            });
        }
    });
}

#[test]
fn an_answer_of_200_counts_whatever_follows_it() {
    let answers = [
        Behaviour::Big(10 << 30),
        Behaviour::Short(1000),
        Behaviour::GzipBomb(1 << 30),
        Behaviour::Drip(Duration::from_millis(100)),
        Behaviour::status(204),
    ];
    let hook = Hook::new(answers.clone());
    let scene = scene_with(&hook, "body = \"{state}\"");
    let running = scene.start();
    for (n, _) in answers.iter().enumerate() {
        match n % 2 {
            0 => scene.site_fails(),
            _ => scene.site_works(),
        }
        hook.web.wait_requests(n + 1);
    }
    let before = running.peak_kib();
    let checks = scene.web.requests();
    scene.web.wait_requests(checks + 3);
    assert_eq!(hook.web.requests(), answers.len());
    assert!(
        !running.stderr().contains("for hook waits"),
        "{}",
        running.stderr()
    );
    assert!(before < 64 * 1024, "{before} KiB");
    end(&scene, running);
}

#[test]
fn retry_after_is_obeyed() {
    let busy = Behaviour::status(429).with_header("Retry-After", "3");
    let hook = Hook::new([busy]);
    let scene = scene_with(&hook, "body = \"{text}\"");
    let running = scene.start();
    scene.outage();
    until("two requests", || locked(&hook.times).len() == 2);
    let times = locked(&hook.times).clone();
    assert!(times[1] - times[0] >= Duration::from_secs(3), "{times:?}");
    end(&scene, running);
}

#[test]
fn what_is_refused_or_led_elsewhere_is_dropped_and_told_once() {
    let elsewhere = Web::new();
    for (refusal, why) in [
        (Behaviour::status(404), "HTTP 404"),
        (
            Behaviour::Redirect(elsewhere.url("/")),
            "HTTP 302, and redirects are not followed",
        ),
    ] {
        let hook = Hook::new([refusal.clone(), refusal]);
        let scene = scene_with(&hook, "body = \"{text}\"");
        let running = scene.start();
        scene.outage();
        scene.wait_text(&format!("hook refused an alert, which is dropped: {why}"));
        scene.site_works();
        hook.web.wait_requests(2);
        scene.site_fails();
        hook.wait("(#2)");
        assert_eq!(hook.web.requests(), 3, "{:?}", hook.bodies());
        assert_eq!(scene.count("hook refused"), 1);
        assert_eq!(running.stderr().matches("hook refused an alert").count(), 2);
        end(&scene, running);
    }
    assert_eq!(elsewhere.requests(), 0);
}

#[test]
fn when_telegram_fails_what_waits_goes_by_the_channel_and_later_says_so() {
    let hook = Hook::new([]);
    let scene = scene_with(&hook, "body = \"{text}\"\nwhen = \"telegram fails 3s\"");
    let running = scene.start();
    // While Telegram works the channel is silent.
    scene.outage();
    scene.site_works();
    scene.wait_text("blog is up again");
    scene
        .api
        .fail_always("sendMessage", Some(Fault::Status(502)));
    scene.site_fails();
    hook.wait("blog is down: HTTP 503, wanted 200-299 (#2)");
    assert_eq!(hook.web.requests(), 1, "{:?}", hook.bodies());
    scene.api.fail_always("sendMessage", None);
    let told = scene.wait_text("(#2)");
    assert!(told.text.contains("also sent by hook"), "{}", told.text);
    scene.site_works();
    let up = scene.wait_text("🟢 blog is up again after ");
    assert!(!up.text.contains("also sent"), "{}", up.text);
    assert_eq!(hook.web.requests(), 1, "{:?}", hook.bodies());
    end(&scene, running);
}

#[test]
fn what_no_user_acknowledges_goes_by_the_channel_and_its_end_too() {
    let hook = Hook::new([]);
    let scene = scene_with(&hook, "body = \"{text}\"\nwhen = \"unacknowledged 3s\"");
    let running = scene.start();
    scene.outage();
    scene.api.say(CHAT, CHAT, "/ack");
    scene.wait_text("Acknowledged: #1 blog");
    let checks = scene.web.requests();
    scene.web.wait_requests(checks + 5);
    scene.site_works();
    scene.wait_text("blog is up again");
    assert_eq!(hook.web.requests(), 0, "{:?}", hook.bodies());
    scene.site_fails();
    hook.wait("blog is still down, for ");
    scene.site_works();
    hook.wait("blog is up again");
    let bodies = hook.bodies();
    assert!(
        bodies.len() == 2 && bodies[0].contains("(#2)"),
        "{bodies:?}"
    );
    end(&scene, running);
}

#[test]
fn what_waits_for_a_channel_survives_a_power_cut_and_goes_with_its_table() {
    let hook = Hook::new(std::iter::repeat_n(Behaviour::status(500), 1000));
    let scene = scene_with(&hook, "body = \"{text}\"");
    let mut running = scene.start();
    scene.outage();
    hook.web.wait_requests(2);
    running.kill9();
    let asked = hook.web.requests();
    let running = scene.start();
    hook.web.wait_requests(asked + 1);
    assert!(hook.bodies().iter().all(|body| body.starts_with(DOWN)));
    // The same server under another name gets none of the old alerts.
    let renamed = hook
        .table("body = \"{text}\"")
        .replace("\"hook\"", "\"other\"");
    scene.sitemon.rewrite(&scene.config_with(&renamed));
    running.hup();
    running.wait_stderr("for hook dropped: there is no [[notify]] of that name any more");
    running.wait_stderr("was read again");
    let asked = hook.web.requests();
    scene.site_works();
    hook.wait("blog is up again");
    let later = &hook.bodies()[asked.min(99)..];
    assert!(
        !later.iter().any(|body| body.contains("is down")),
        "{later:?}"
    );
    end(&scene, running);
}

#[test]
fn checks_go_on_while_a_channel_hangs() {
    let hook = Hook::new(std::iter::repeat_n(Behaviour::Hang, 1000));
    let scene = Scene::new();
    let more = site("shop", &scene.web.url("/shop")) + &hook.table("body = \"{text}\"");
    // Two check permits; the channel holds one of them.
    let limited = more + "[agent]\nstate = \"state\"\nmax_connections = 5\n";
    scene.sitemon.rewrite(&scene.config_with(&limited));
    let running = scene.start();
    scene.outage();
    hook.web.wait_requests(1);
    let checks = scene.web.requests();
    scene.web.wait_requests(checks + 6);
    assert_eq!(hook.web.requests(), 1, "it still hangs");
    scene.ask("/status", "1 down");
    end(&scene, running);
}
