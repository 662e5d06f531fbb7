//! Texts from outside, over real sockets and in every output: none of them controls a terminal,
//! forges a line, grows without limit or reveals a secret.

use crate::support::agent::{Output, Sitemon};
use crate::support::assert_has;
use crate::support::bot_api::{BotApi, CHAT, Fault};
use crate::support::json::{Json, object};
use crate::support::scene::{Scene, no_token, site};
use crate::support::web::{Behaviour, Web};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

/// A line break and a forged line, ESC, a bidi override, an isolate, and characters without width.
const HOSTILE: &str =
    "Eve\r\n2026-01-01T00:00:00Z WARN forged\u{1b}[2J\u{9b}\u{202e}\u{2066}\u{200b}\u{feff}";
/// The part of it that is shown.
const SHOWN: &str = "Eve  2026-01-01T00:00:00Z WARN forged [2J ";

/// Checks that the text has no forged line and no control character.
#[track_caller]
fn harmless(text: &str) {
    let steers = |c: char| {
        c.is_control() && c != '\n' && c != '\t'
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    assert!(!text.contains(steers), "{text:?}");
    assert!(
        !text.lines().any(|line| line.starts_with("2026-01-01")),
        "{text}"
    );
}

fn causes(output: &Output) -> Vec<String> {
    let json = Json::parse(&output.stdout).expect("one JSON object");
    let sites = json.get("sites").and_then(Json::array).expect("sites");
    let cause = |site: &Json| site.get("cause").and_then(Json::str).map(str::to_owned);
    sites.iter().filter_map(cause).collect()
}

/// Sends back what it receives. Returns the port.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut said = [0; 1024];
            let length = stream.read(&mut said).unwrap_or(0);
            let _ = stream.write_all(&said[..length]);
        }
    });
    port
}

#[test]
fn a_server_that_says_secrets_back_gets_them_into_no_cause() {
    const KEY: &str = "k3y-Of-The-House";
    let web = Web::start(move |request| {
        let header = |name| request.header(name).unwrap_or_default().to_owned();
        let said = match request.path() {
            "/key" => header("x-key"),
            "/basic" => header("authorization"),
            "/bearer" => format!("{}, of course", header("authorization")),
            "/long" => format!("{}{KEY}", "x".repeat(52)),
            "/spelt" => "%6B3y%2DOf%2dThe-house".to_owned(),
            _ => String::from_utf8_lossy(&request.body).into_owned(),
        };
        match request.path() {
            "/host" => Behaviour::status(302).with_header("Location", &format!("ftp://{said}/")),
            _ => Behaviour::body(&object([("s", said.as_str().into())]).to_string()),
        }
    });
    let mut config = String::new();
    for (path, keys) in [
        ("/key", "headers = { X-Key = \"$KEY\" }"),
        ("/basic", "auth = \"me:$KEY\""),
        ("/bearer", "auth = \"bearer $KEY\""),
        ("/long", "headers = { X-Key = \"$KEY\" }"),
        ("/spelt", "headers = { X-Key = \"$KEY\" }"),
        ("/send", "method = \"POST\"\nsend = \"<$KEY>\""),
        ("/host", "method = \"POST\"\nsend = \"$KEY\""),
    ] {
        config += &site(path.trim_start_matches('/'), &web.url(path));
        config += &format!("{keys}\njson = [\"s == ok\"]\n");
    }
    config += &site("tcp", &format!("tcp://127.0.0.1:{}", echo()));
    config += "send = \"login $KEY\\n\"\nexpect = \"welcome\"\n";
    let sitemon = Sitemon::new(&config).env("KEY", KEY);
    let output = sitemon.command(&["check", "--json"]);
    let is = |said: &str| format!("json: s is \"{said}\", wanted == \"ok\"");
    let expected = [
        is("***"),
        is("Basic ***=="),
        is("Bearer ***, of course"),
        is(&format!("{}***…", "x".repeat(52))),
        is("***"),
        is("<***>"),
        "redirect to ftp: is not followed".to_owned(),
        "expected \"welcome\" but got \"login ***\"".to_owned(),
    ];
    assert_eq!(causes(&output), expected);
    // Not in the log either.
    for part in [KEY, "k3y-of", "%6B3y", "bWU6azN5"] {
        assert!(!output.stderr.contains(part), "{output:?}");
    }
}

#[test]
fn what_the_bot_api_says_steers_no_terminal_and_tells_no_token() {
    // The text that the proxy of a hostile or broken `api` might send, quoting the URL of the
    // request.
    const WHY: &str = "no \u{1b}]0;pwned\u{7}\u{202e}/bot987654%3AAAtest%2dTOKEN_that-nobody-may-ever-see/x \
                       AAtest-TOKEN_that-nobody-may-ever-see\nWARN forged";
    let api = BotApi::start();
    let sitemon = Sitemon::new(&(api.config() + &site("blog", "tcp://127.0.0.1:1")));
    api.fail_always("sendMessage", Some(Fault::BadRequest(WHY)));
    let said = sitemon.command(&["-v", "say", "hello"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert_has(&said.stderr, "no  ]0;pwned /bot***/x *** WARN forged");
    harmless(&said.stderr);
    no_token(&api, &said.stderr);

    let mut running = sitemon.run();
    let log = running.wait_stderr("was refused and dropped: ");
    harmless(&log);
    api.fail_always("getUpdates", Some(Fault::BadRequest(WHY)));
    // The message ends the parked poll.
    api.say(CHAT, CHAT, "hi");
    running.wait_stderr("Telegram doesn't serve us, trying again: ");
    running.terminate();
    let state = fs::read_dir(sitemon.state_dir()).expect("a directory");
    for file in state.map(|entry| entry.expect("an entry").path()) {
        no_token(
            &api,
            &String::from_utf8_lossy(&fs::read(file).expect("a file")),
        );
    }
    harmless(&running.stderr());
    no_token(&api, &running.stderr());
    assert!(!running.stderr().contains("%3AAA"));
}

#[test]
fn names_and_commands_from_the_chat_forge_no_line() {
    let scene = Scene::new();
    let running = scene.start();
    scene.outage();
    let from = object([
        ("id", CHAT.into()),
        ("is_bot", false.into()),
        (
            "first_name",
            format!("{HOSTILE}{}", "x".repeat(5000)).as_str().into(),
        ),
    ]);
    let message = |text: &str| {
        let text = Json::from(text);
        scene.api.push_raw(&format!(
            r#"{{"update_id":UPDATE_ID,"message":{{"message_id":9,"date":{},"from":{from},
                "chat":{{"id":{CHAT},"type":"private"}},"text":{text}}}}}"#,
            scene.api.messages()[0].date
        ));
    };
    message("/ack");
    scene.wait_text("👍 Acknowledged: #1 blog");
    let incidents = scene.ask("/incidents", "acknowledged by ");
    message(&format!("/site {HOSTILE}{}", "x".repeat(3000)));
    let unknown = scene.wait_text("There is no site ");
    assert!(unknown.text.contains(SHOWN), "{unknown:?}");
    assert!(unknown.text.chars().count() < 100, "{unknown:?}");
    message(&format!("/add {} {HOSTILE}", scene.web.url("/")));
    scene.wait_text("Not added: ");
    message(&format!("/add {} {HOSTILE}", scene.web.url("/")));
    scene.wait_text("is watched, though it fails");
    let list = scene.ask("/list", SHOWN.trim());
    for text in [&incidents.text, &unknown.text, &list.text] {
        harmless(text);
    }
    running.wait_stderr(&format!("{} was added by user {CHAT}", SHOWN.trim()));
    let mut running = running;
    running.terminate();
    harmless(&running.stderr());
    let state: u64 = fs::read_dir(scene.sitemon.state_dir())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").metadata().map_or(0, |m| m.len()))
        .sum();
    assert!(state < 64 << 10, "{state}");
    harmless(&scene.sitemon.command(&["status"]).stdout);
    harmless(&scene.sitemon.command(&["status", "--json"]).stdout);
}

#[test]
fn a_line_typed_at_the_console_is_shown_harmless() {
    let web = Web::new();
    let sitemon = Sitemon::new(&site("blog", &web.url("/")));
    let mut running = sitemon.run_console();
    let line = HOSTILE.replace(['\r', '\n'], " ");
    running.type_line(&format!("/site {line}"));
    running.wait_stdout("There is no site ");
    let shown = running.wait_stdout(SHOWN.trim());
    harmless(&shown);
}

#[test]
fn a_site_of_the_file_has_a_name_that_can_be_seen() {
    for bad in [
        "a\u{202e}b",
        "a\u{200b}b",
        "a\u{feff}",
        "a\u{2066}b",
        "\u{1b}[2J",
    ] {
        let escaped: String = bad
            .chars()
            .map(|c| format!("\\u{:04X}", u32::from(c)))
            .collect();
        for name in [bad.to_owned(), escaped] {
            if name.contains('\u{1b}') {
                // TOML itself refuses it.
                continue;
            }
            let sitemon = Sitemon::new(&site(&name, "tcp://127.0.0.1:1"));
            let output = sitemon.command(&["config"]);
            assert_eq!(output.code, Some(2), "{output:?}");
            assert_has(&output.stderr, "`name` must not have ");
            harmless(&output.stderr);
        }
    }
    for good in [
        "سرویس می\u{200c}خواهم",
        "👨\u{200d}👩\u{200d}👧 blog ❤\u{fe0f}",
        "בלוג",
        "Cafe\u{301}",
    ] {
        let sitemon = Sitemon::new(&site(good, "tcp://127.0.0.1:1"));
        let output = sitemon.command(&["config"]);
        assert_eq!(output.code, Some(0), "{output:?}");
        assert!(output.stdout.contains(good), "{output:?}");
    }
}
