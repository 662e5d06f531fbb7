//! `sitemon init`, the first set-up: at a terminal, wrong turns included, and by options alone.

mod options_and_files;

use crate::support::agent::{Running, Sitemon};
use crate::support::assert_has;
use crate::support::bot_api::{BOT_NAME, BotApi, CHAT, Fault, TOKEN};
use crate::support::clock_shim::{ClockShim, Kernel};
use crate::support::listener::Listener;
use crate::support::scene::no_token;
use crate::support::web::{Behaviour, Web};
use rustix::termios::{LocalModes, tcgetattr};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const ASKS_TOKEN: &str = "Its token: ";
const ASKS_AGAIN: &str = "Its token (Enter: the same as before): ";
const ASKS_SITE: &str = "Address to watch first, such as https://example.org: ";
const WAITS: &str = "Waiting for it …";

/// A directory without a configuration.
fn empty() -> Sitemon {
    let sitemon = Sitemon::new("").env("LANG", "C.UTF-8").env("LC_ALL", "");
    fs::remove_file(sitemon.config_path()).expect("removed");
    sitemon
}

/// `sitemon init` at a terminal, and how much of its output was read.
struct Dialogue {
    running: Running,
    keyboard: File,
    seen: usize,
}

impl Dialogue {
    fn start(sitemon: &Sitemon, api: &str, more: &[&str]) -> Dialogue {
        Dialogue::wrapped(
            sitemon,
            &[],
            &["-c", "sitemon.conf", "init", "--api", api],
            more,
        )
    }

    fn wrapped(sitemon: &Sitemon, wrapper: &[&str], arguments: &[&str], more: &[&str]) -> Dialogue {
        let arguments = [arguments, more].concat();
        let (running, keyboard) = sitemon.at_terminal(wrapper, &arguments);
        Dialogue {
            running,
            keyboard,
            seen: 0,
        }
    }

    /// Waits for `text` after the output read so far, and returns everything up to its end.
    #[track_caller]
    fn sees(&mut self, text: &str) -> String {
        let new = self
            .running
            .wait_stdout_from(self.seen, |new| new.contains(text));
        let end = new.find(text).map_or(0, |at| at + text.len());
        self.seen += end;
        new[..end].to_owned()
    }

    fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).expect("typed");
    }

    /// Answers `question`.
    #[track_caller]
    fn answers(&mut self, question: &str, answer: &str) {
        self.sees(question);
        self.types(&format!("{answer}\n"));
    }

    fn shows_what_is_typed(&self) -> bool {
        let modes = tcgetattr(&self.keyboard).expect("a terminal").local_modes;
        modes.contains(LocalModes::ECHO)
    }

    /// Reads the link, and returns its code.
    #[track_caller]
    fn code(&mut self) -> String {
        let shown = self.sees(WAITS);
        let start = format!("    https://t.me/{BOT_NAME}?start=");
        let code = shown.lines().find_map(|line| line.strip_prefix(&start));
        code.unwrap_or_else(|| panic!("no link: {shown}"))
            .trim()
            .to_owned()
    }

    /// Enters the token and presses Start.
    #[track_caller]
    fn connects(&mut self, api: &BotApi) {
        self.answers(ASKS_TOKEN, TOKEN);
        let code = self.code();
        api.say(CHAT, CHAT, &format!("/start {code}"));
    }

    /// Waits for the end. Checks that the token was never shown and that the terminal was restored.
    #[track_caller]
    fn ends(mut self, api: &BotApi, code: i32) -> String {
        assert_eq!(
            self.running.wait_exit().code(),
            Some(code),
            "{}",
            self.running.stdout()
        );
        assert!(self.shows_what_is_typed());
        drop(self.keyboard);
        let shown = self.running.rest_of_stdout();
        no_token(api, &shown);
        assert_eq!(api.violations(), [""; 0]);
        shown
    }
}

/// Returns the names in the directory, without those in `but`.
fn files(sitemon: &Sitemon, but: &[&str]) -> Vec<String> {
    let entries = fs::read_dir(sitemon.dir()).expect("a directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.retain(|name| !but.contains(&name.as_str()));
    names.sort();
    names
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).expect("a file")
}

#[test]
fn from_nothing_to_the_first_alert() {
    let (api, web) = (BotApi::start(), Web::new());
    let sitemon = empty();
    // A message from before, which must be ignored.
    api.say(CHAT, CHAT, "/start");
    let mut dialogue = Dialogue::start(&sitemon, &api.url(), &[]);
    dialogue.sees("ask @BotFather for one (/newbot)");
    dialogue.sees(ASKS_TOKEN);
    assert!(!dialogue.shows_what_is_typed());
    dialogue.types(&format!("{TOKEN}\n"));
    dialogue.sees(&format!("The bot is @{BOT_NAME}.\r\n"));
    let code = dialogue.code();
    assert!(dialogue.shows_what_is_typed());
    // 128 bits of base32.
    assert!(
        code.len() == 26
            && code
                .bytes()
                .all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b)),
        "{code}"
    );
    assert!(
        dialogue
            .running
            .stdout()
            .contains("\u{1b}[30;107m  █▀▀▀▀▀█ "),
        "a QR code"
    );
    // Other users press Start first.
    api.say(777, 777, "/start");
    dialogue.sees("A message without the right code came to the bot and is ignored");
    api.say(778, 778, "/start aaaaaaaaaaaaaaaaaaaaaaaaaa");
    api.say(CHAT, CHAT, &format!("/start {code}"));
    dialogue.sees(&format!("Chat {CHAT} (Ada) gets the alerts.\r\n"));
    // A text that is no address is asked for again.
    dialogue.answers(ASKS_SITE, "");
    dialogue.sees("An address is needed");
    dialogue.answers(ASKS_SITE, "ftp://example.org/");
    dialogue.answers(ASKS_SITE, &web.url("/"));
    dialogue.sees("up ");
    dialogue.sees("A test alert is in the chat.\r\n");
    dialogue.sees("Now start it: sitemon -c sitemon.conf run\r\n");
    let shown = dialogue.ends(&api, 0);
    assert_eq!(shown.matches("is ignored").count(), 1, "{shown}");
    assert_eq!(files(&sitemon, &[]), ["sitemon.conf", "sitemon.token"]);
    let found = |path: &str| {
        fs::metadata(sitemon.dir().join(path))
            .expect("a file")
            .mode()
            & 0o7777
    };
    assert_eq!(
        (found("sitemon.conf"), found("sitemon.token")),
        (0o644, 0o600)
    );
    assert_eq!(
        text(sitemon.dir().join("sitemon.token")),
        format!("{TOKEN}\n")
    );
    let conf = text(sitemon.config_path());
    assert!(conf.contains("\ntoken_file = \"sitemon.token\" "), "{conf}");
    assert!(conf.contains(&format!("\nchats = [{CHAT}] ")), "{conf}");
    let sent = api.messages();
    assert_eq!(
        sent[0].text,
        "Hello, this is sitemon. Alerts come to this chat."
    );
    assert_eq!(
        sent[1].text,
        "🔴 127.0.0.1 is down: only a test, this is what alerts look like (#0)"
    );
    assert_eq!(
        sent[1].labels(),
        ["Check now", "Acknowledge", "Mute 1 h", "Mute 1 d"]
    );
    assert_eq!(sent.len(), 2);
    api.wait_confirmed();

    // The agent that runs afterwards answers the buttons of these messages, and checks the site.
    let update = api.press(CHAT, CHAT, sent[1].message_id, &sent[1].data("Acknowledge"));
    sitemon.rewrite(&conf.replace("interval = \"60s\"", "interval = \"1s\"\ntries = 1"));
    let mut running = sitemon.run();
    assert_eq!(api.wait_answer(update), "That was a test: nothing is down.");
    web.wait_requests(2);
    web.set("/", Behaviour::status(503));
    api.wait_message(|m| m.text.contains("127.0.0.1 is down: HTTP 503"));
    assert_eq!(running.terminate().code(), Some(0));
}

#[test]
fn a_wrong_token_is_asked_for_again() {
    let (api, web) = (BotApi::start(), Web::new());
    let sitemon = empty();
    let mut dialogue = Dialogue::start(&sitemon, &api.url(), &[]);
    dialogue.answers(ASKS_TOKEN, "my bot");
    dialogue.sees("That is not a bot token; BotFather gives it in the form 123456:ABC-DEF.");
    dialogue.answers(ASKS_TOKEN, "123456:AAnother-bot");
    dialogue.sees("Telegram refuses this token. @BotFather shows the right one");
    // A server with a fault, and a page in the place of its answer.
    api.fail_always("getMe", Some(Fault::Status(200)));
    dialogue.answers(ASKS_TOKEN, TOKEN);
    dialogue.sees("Something answers in the place of Telegram");
    api.fail_always("getMe", None);
    dialogue.answers(ASKS_AGAIN, "");
    let code = dialogue.code();
    api.say(CHAT, CHAT, &format!("/start {code}"));
    dialogue.answers(ASKS_SITE, &web.url("/"));
    dialogue.ends(&api, 0);
}

/// Reads the client's hello, and resets the connection.
fn blocker() -> Listener {
    Listener::start(|mut stream, _| {
        let _ = stream.read(&mut [0; 4096]);
        let at_once = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        // SAFETY: the option takes a value of this type and size (socket(7)).
        let set = unsafe {
            libc::setsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const at_once).cast(),
                size_of::<libc::linger>() as libc::socklen_t,
            )
        };
        assert_eq!(set, 0);
    })
}

#[test]
fn a_block_is_told_with_a_way_around_it() {
    let (api, blocker) = (BotApi::start(), blocker());
    let sitemon = empty();
    let url = format!("https://{}", blocker.address());
    let mut dialogue = Dialogue::start(&sitemon, &url, &[]);
    dialogue.answers(ASKS_TOKEN, TOKEN);
    dialogue.sees("Telegram looks blocked here: ");
    dialogue.sees("sitemon init --route direct,socks5h://");
    dialogue.sees(ASKS_AGAIN);
    assert!(!dialogue.shows_what_is_typed());
    // Ctrl-C.
    dialogue.types("\u{3}");
    dialogue.ends(&api, 130);
    assert_eq!(files(&sitemon, &[]), [""; 0]);
    fs::write(sitemon.dir().join("given"), TOKEN).expect("written");
    let given = [
        "-c",
        "sitemon.conf",
        "init",
        "--token-file",
        "given",
        "--chat",
        "1",
        "--site",
        "a",
        "--api",
        &url,
    ];
    let scripted = sitemon.bare_command(&given);
    assert_eq!(scripted.code, Some(3), "{scripted:?}");
    assert_has(&scripted.stderr, "Telegram looks blocked here: ");
    assert_eq!(files(&sitemon, &["given"]), [""; 0]);
}

#[test]
fn no_network_is_told_apart_from_a_block() {
    let api = BotApi::start();
    let sitemon = empty();
    let arguments = ["-c", "sitemon.conf", "init", "--api", &api.url()];
    // Not even a loopback interface is up.
    let mut dialogue = Dialogue::wrapped(&sitemon, &["unshare", "-n"], &arguments, &[]);
    dialogue.answers(ASKS_TOKEN, TOKEN);
    dialogue.sees("There is no network: ");
    dialogue.sees("Check the cable, the Wi-Fi and the router.");
    dialogue.sees(ASKS_AGAIN);
    dialogue.running.signal("TERM");
    dialogue.ends(&api, 130);
}

#[test]
fn a_clock_that_is_not_set_is_told_and_waited_for() {
    let (api, blocker) = (BotApi::start(), blocker());
    let (sitemon, clock) = ClockShim::before(empty());
    clock.set(-1_000_000_000, Kernel::NotSynchronised);
    let url = format!("https://{}", blocker.address());
    let mut dialogue = Dialogue::start(&sitemon, &url, &[]);
    dialogue.answers(ASKS_TOKEN, TOKEN);
    dialogue.sees("The clock of this machine is not set: it shows ");
    dialogue.sees("or set it: date -s ");
    clock.set(0, Kernel::Synchronised);
    // This time Telegram answers the request for the bot.
    dialogue.answers(ASKS_AGAIN, "");
    dialogue.sees("Telegram looks blocked here: ");
    dialogue.sees(ASKS_AGAIN);
    // Ctrl-D.
    dialogue.types("\u{4}");
    let shown = dialogue.ends(&api, 2);
    assert_has(&shown, "the input ended: nothing was written");
}

#[test]
fn a_site_that_is_down_is_kept_only_when_wanted() {
    let web = Web::new().on("/bad", Behaviour::status(503));
    let api = BotApi::start();
    let sitemon = empty();
    let mut dialogue = Dialogue::start(&sitemon, &api.url(), &[]);
    dialogue.connects(&api);
    dialogue.answers(ASKS_SITE, &web.url("/bad"));
    dialogue.sees("HTTP 503, wanted 200-299");
    dialogue.answers("Keep it anyway? [y/N] ", "");
    dialogue.answers(ASKS_SITE, &web.url("/bad"));
    dialogue.answers("Keep it anyway? [y/N] ", "y");
    dialogue.ends(&api, 0);
    assert!(text(sitemon.config_path()).contains(&format!("\nurl = \"{}\"\n", web.url("/bad"))));
}
