//! The whole flow against an emulator of the Bot API by other authors: `telegram-test-api`
//! from npm. It has no long poll, ignores `offset` and `limit`, and answers methods that it does not
//! know with HTTP 500. Ignored by default, since npm fetches it from its registry:
//!
//! ```text
//! cargo test --locked --test end_to_end emulator -- --ignored
//! ```

use crate::support::agent::Sitemon;
use crate::support::json::{Json, object};
use crate::support::listener::LIMIT;
use crate::support::scene::site;
use crate::support::web::{Behaviour, Web};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const PACKAGE: &str = "telegram-test-api@4.2.1";
const TOKEN: &str = "987654:AAemulator-TOKEN";
const CHAT: i64 = 4242;

const SERVER: &str = "const Server = require('telegram-test-api');
const server = new (Server.TelegramServer || Server)({ port: Number(process.argv[1]), host: '127.0.0.1' });
server.start().then(() => console.log('up'));
process.stdin.on('end', () => process.exit(0)).resume();";

/// The emulator and its port. It ends when its stdin is closed.
struct Emulator {
    port: u16,
    child: Child,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Emulator {
    fn start() -> Emulator {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("telegram-test-api");
        if !home
            .join("node_modules/telegram-test-api/package.json")
            .exists()
        {
            std::fs::create_dir_all(&home).expect("a directory");
            let install = Command::new("npm")
                .args(["install", "--no-audit", "--no-fund", "--fetch-retries=0"])
                .args(["--fetch-timeout=20000", "--prefix"])
                .arg(&home)
                .arg(PACKAGE)
                .stdin(Stdio::null())
                .output()
                .expect("npm starts");
            let stderr = String::from_utf8_lossy(&install.stderr);
            assert!(
                install.status.success(),
                "npm can't get {PACKAGE}: {stderr}"
            );
        }
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("its number").port();
        drop(free);
        let mut child = Command::new("node")
            .args(["-e", SERVER, &port.to_string()])
            .current_dir(&home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("node starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        let emulator = Emulator { port, child };
        let read = BufReader::new(stdout).read_line(&mut line);
        read.expect("a line");
        assert_eq!(line, "up\n", "the emulator does not start");
        emulator
    }

    /// Sends a request of the emulator's API for users.
    fn post(&self, path: &str, body: &Json) -> Json {
        let body = body.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let request = format!(
            "POST /{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        Json::parse(body).unwrap()
    }

    fn say(&self, text: &str) {
        let message = [
            ("botToken", TOKEN.into()),
            ("from", person()),
            ("chat", chat()),
            ("date", unix_now().into()),
            ("text", text.into()),
        ];
        self.post("sendMessage", &object(message));
    }

    fn press(&self, message: &Message, label: &str) {
        let (_, data) = message.buttons.iter().find(|(l, _)| l == label).unwrap();
        let under = object([
            ("message_id", message.id.into()),
            ("chat", chat()),
            ("date", unix_now().into()),
            ("text", message.text.as_str().into()),
        ]);
        let callback = [
            ("botToken", TOKEN.into()),
            ("from", person()),
            ("message", under),
            ("data", data.as_str().into()),
        ];
        self.post("sendCallback", &object(callback));
    }

    fn messages(&self) -> Vec<Message> {
        let history = self.post("getUpdatesHistory", &object([("token", TOKEN.into())]));
        let result = history.get("result").and_then(Json::array).unwrap();
        result.iter().filter_map(Message::of_bot).collect()
    }

    #[track_caller]
    fn wait(&self, wanted: impl Fn(&Message) -> bool) -> Message {
        let give_up = Instant::now() + LIMIT;
        loop {
            let messages = self.messages();
            if let Some(message) = messages.iter().find(|m| wanted(m)) {
                return message.clone();
            }
            assert!(
                Instant::now() < give_up,
                "waited in vain among {messages:#?}"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    fn wait_text(&self, part: &str) -> Message {
        self.wait(|m| m.text.contains(part))
    }
}

#[derive(Clone, Debug)]
struct Message {
    id: i64,
    /// Present text as HTML.
    text: String,
    /// Labels and data.
    buttons: Vec<(String, String)>,
}

impl Message {
    fn of_bot(update: &Json) -> Option<Message> {
        let message = update.get("message")?;
        message.get("chat_id")?;
        let rows = message
            .get("reply_markup")
            .and_then(|m| m.get("inline_keyboard")?.array());
        let buttons = rows.unwrap_or_default().iter().filter_map(Json::array);
        let text = |button: &Json, key| Some(button.get(key)?.str()?.to_owned());
        Some(Message {
            id: update.get("messageId")?.int()?,
            text: message.get("text")?.str()?.to_owned(),
            buttons: buttons
                .flatten()
                .filter_map(|b| Some((text(b, "text")?, text(b, "callback_data")?)))
                .collect(),
        })
    }
}

fn person() -> Json {
    object([("id", CHAT.into()), ("first_name", "Ada".into())])
}

fn chat() -> Json {
    object([("id", CHAT.into()), ("type", "private".into())])
}

fn unix_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| d.as_secs() as i64)
}

#[test]
#[ignore = "wants node, and npm's registry once"]
fn the_whole_flow_with_another_projects_bot_api() {
    let emulator = Emulator::start();
    let web = Web::new();
    let port = emulator.port;
    let sitemon = Sitemon::new(&format!(
        "[telegram]\ntoken = \"{TOKEN}\"\napi = \"http://127.0.0.1:{port}\"\nchats = [{CHAT}]\n{}{}",
        site("blog", &web.url("/")),
        site("shop", &web.url("/shop")),
    ));
    let mut running = sitemon.run();
    running.wait_stderr("Telegram knows us as @TestNameBot");
    emulator.say("/check");
    emulator.wait_text("<b>2 sites checked</b> in ");
    emulator.say("/status");
    emulator.wait_text("<b>2 up</b>");

    web.set("/", Behaviour::status(503));
    let alert = emulator.wait_text("🔴 <b>blog</b> is down: HTTP 503");
    let labels: Vec<&str> = alert.buttons.iter().map(|(l, _)| l.as_str()).collect();
    assert_eq!(labels, ["Check now", "Acknowledge", "Mute 1 h", "Mute 1 d"]);
    emulator.press(&alert, "Acknowledge");
    let done = emulator.wait(|m| m.id == alert.id && m.text.contains("👍 acknowledged by Ada"));
    assert_eq!(done.buttons.len(), 3);
    emulator.press(&alert, "Mute 1 h");
    emulator.wait(|m| m.id == alert.id && m.text.contains("🔕 muted for 1 h by Ada"));

    emulator.say("/check");
    emulator.wait_text(": 1 fine, 1 failed");
    emulator.say("/status");
    let status = emulator.wait_text("<b>1 up, 1 down</b>");
    emulator.press(&status, "blog");
    let view = emulator.wait_text("🔴 <b>blog</b> has been down for ");
    emulator.press(&view, "Unmute");
    emulator.wait(|m| m.id == view.id && m.text.ends_with("🔔 Unmuted by Ada"));
    if view.buttons.iter().any(|(label, _)| label == "Chart") {
        // The emulator doesn't support pictures: the text is sent without one.
        emulator.press(&view, "Chart");
        emulator
            .wait(|m| m.id > view.id && m.text.contains("<b>blog</b>") && m.text.contains("24 h"));
    }
    web.set("/", Behaviour::ok());
    emulator.wait_text("🟢 <b>blog</b> is up again");
    emulator.say("/stats");
    emulator.wait_text("Up for ");
    assert_eq!(running.terminate().code(), Some(0), "{}", running.stderr());
    assert!(
        !running.stderr().contains("AAemulator"),
        "the token is in the log"
    );
}
