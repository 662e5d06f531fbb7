//! `sitemon init`, the first set-up: at a terminal, wrong turns included, and by options alone.

use crate::support::agent::{Output, Running, Sitemon};
use crate::support::bot_api::{BOT_NAME, BotApi, CHAT, Fault, TOKEN};
use crate::support::clock_shim::{ClockShim, Kernel};
use crate::support::listener::Listener;
use crate::support::routes::{Gate, PASSWORD, PATH, Server, Straight, USER};
use crate::support::scene::no_token;
use crate::support::web::{Behaviour, Web};
use rustix::termios::{LocalModes, tcgetattr};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

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

/// `sitemon init` at a terminal, and what has been seen of it.
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

    /// Waits for `text` behind what was seen before, and returns everything up to its end.
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

    /// Reads the link, and its code.
    #[track_caller]
    fn code(&mut self) -> String {
        let shown = self.sees(WAITS);
        let start = format!("    https://t.me/{BOT_NAME}?start=");
        let code = shown.lines().find_map(|line| line.strip_prefix(&start));
        code.unwrap_or_else(|| panic!("no link: {shown}"))
            .trim()
            .to_owned()
    }

    /// Gives the token and presses Start.
    #[track_caller]
    fn connects(&mut self, api: &BotApi) {
        self.answers(ASKS_TOKEN, TOKEN);
        let code = self.code();
        api.say(CHAT, CHAT, &format!("/start {code}"));
    }

    /// Waits for the end; the token was never shown, and the terminal is as it was.
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

/// The names in the directory, `but` these.
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
    // From before, and not for us.
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
    // Others press Start first.
    api.say(777, 777, "/start");
    dialogue.sees("A message without the right code came to the bot and is ignored");
    api.say(778, 778, "/start aaaaaaaaaaaaaaaaaaaaaaaaaa");
    api.say(CHAT, CHAT, &format!("/start {code}"));
    dialogue.sees(&format!("Chat {CHAT} (Ada) gets the alerts.\r\n"));
    // What is no address is asked for again.
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

    // The agent that runs then answers its buttons, and watches the site.
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
    // A server that is not well, and what answers in its place.
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
        // SAFETY: the option takes such a value, of that size (socket(7)).
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
    assert!(
        scripted.stderr.contains("Telegram looks blocked here: "),
        "{scripted:?}"
    );
    assert_eq!(files(&sitemon, &["given"]), [""; 0]);
}

#[test]
fn no_network_is_told_apart_from_a_block() {
    let api = BotApi::start();
    let sitemon = empty();
    let arguments = ["-c", "sitemon.conf", "init", "--api", &api.url()];
    // Without even a loopback interface.
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
    // It is asked now.
    dialogue.answers(ASKS_AGAIN, "");
    dialogue.sees("Telegram looks blocked here: ");
    dialogue.sees(ASKS_AGAIN);
    // Ctrl-D.
    dialogue.types("\u{4}");
    let shown = dialogue.ends(&api, 2);
    assert!(
        shown.contains("the input ended: nothing was written"),
        "{shown}"
    );
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

/// `init` with all its answers, and with `api`; a token's file `given` is made.
#[track_caller]
fn scripted(sitemon: &Sitemon, api: &BotApi, site: &str) -> Output {
    scripted_with(sitemon, api, &api.url(), site, &[])
}

/// The same with the API at another address, and with more options.
#[track_caller]
fn scripted_with(
    sitemon: &Sitemon,
    api: &BotApi,
    api_url: &str,
    site: &str,
    more: &[&str],
) -> Output {
    fs::write(sitemon.dir().join("given"), TOKEN).expect("written");
    let chat = CHAT.to_string();
    let arguments = [
        "-c",
        "sitemon.conf",
        "init",
        "--token-file",
        "given",
        "--chat",
        &chat,
        "--site",
        site,
        "--api",
        api_url,
    ];
    let output = sitemon.bare_command(&[&arguments[..], more].concat());
    no_token(api, &(output.stdout.clone() + &output.stderr));
    assert_eq!(api.violations(), [""; 0]);
    output
}

#[test]
fn with_all_answers_given_no_terminal_is_needed() {
    let (api, web) = (BotApi::start(), Web::new());
    let sitemon = empty();
    let output = scripted(&sitemon, &api, &web.url("/"));
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(
        files(&sitemon, &["given"]),
        ["sitemon.conf", "sitemon.token"]
    );
    assert_eq!(api.messages().len(), 2);
    assert_eq!(api.calls("getUpdates"), 0);
    // Again: there is nothing to do.
    let before = text(sitemon.config_path());
    let again = scripted(&sitemon, &api, &web.url("/"));
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stdout.contains("has all it needs"), "{again:?}");
    assert_eq!(text(sitemon.config_path()), before);
    assert_eq!(api.messages().len(), 2);
}

fn mode(sitemon: &Sitemon) -> u32 {
    let found = fs::metadata(sitemon.config_path());
    found.expect("a file").mode() & 0o7777
}

/// A gate before the Bot API that resets what comes straight, and its URL.
fn blocked(api: &BotApi) -> (Gate, String) {
    let url = api.url();
    let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
    let gate = Gate::before(port.expect("a port"));
    gate.set(Straight::Reset);
    let url = format!("http://127.0.0.1:{}", gate.port());
    (gate, url)
}

#[test]
fn the_first_route_that_works_is_taken() {
    let (api, web) = (BotApi::start(), Web::new());
    let (_gate, url) = blocked(&api);
    let socks = Server::microsocks();
    let way = socks.route("socks5h");
    // One after the other, and each by itself; the last is not needed.
    for routes in [
        &["--route", &format!("direct,{way}")][..],
        &[
            "--route",
            "direct",
            "--route",
            &way,
            "--route",
            "https://127.0.0.1:1/a-long-secret",
        ],
    ] {
        let sitemon = empty();
        let before = api.messages().len();
        let output = scripted_with(&sitemon, &api, &url, &web.url("/"), routes);
        assert_eq!(output.code, Some(0), "{output:?}");
        assert_eq!(api.messages().len(), before + 2);
        let said = output.stdout + &output.stderr;
        assert!(said.contains("direct: "), "{said}");
        for secret in [USER, PASSWORD, PATH] {
            assert!(!said.contains(secret), "{said}");
        }
        let relay = routes.len() > 2;
        assert_eq!(said.contains("sees the bot's token"), relay, "{said}");
        let conf = text(sitemon.config_path());
        let line = format!("\nroute = [\"direct\", \"{way}\"");
        assert!(conf.contains(&line), "{conf}");
        assert_eq!(mode(&sitemon), 0o600);
    }
    // At a terminal, too, and the chat is found by it.
    let sitemon = empty();
    let way = format!("direct,{way}");
    let mut dialogue = Dialogue::start(&sitemon, &url, &["--route", &way]);
    dialogue.connects(&api);
    dialogue.answers(ASKS_SITE, &web.url("/"));
    dialogue.ends(&api, 0);
}

#[test]
fn routes_that_all_fail_are_named_and_no_block_is_claimed() {
    let (api, web) = (BotApi::start(), Web::new());
    let (_gate, url) = blocked(&api);
    let mut socks = Server::microsocks();
    socks.stop();
    let sitemon = empty();
    let routes = format!("direct,{}", socks.route("socks5h"));
    let output = scripted_with(&sitemon, &api, &url, &web.url("/"), &["--route", &routes]);
    assert_eq!(output.code, Some(3), "{output:?}");
    let shown = format!("direct, socks5h://***@127.0.0.1:{}", socks.port());
    assert!(
        output
            .stderr
            .contains(&format!("Telegram is not reached by {shown}: ")),
        "{output:?}"
    );
    assert!(!output.stderr.contains("looks blocked"), "{output:?}");
    assert_eq!(files(&sitemon, &["given"]), [""; 0]);
}

#[test]
fn a_file_with_a_secret_is_not_for_other_users() {
    let (api, web) = (BotApi::start(), Web::new());
    for (site, wanted) in [
        (web.url("/"), 0o644),
        // As it was copied.
        (format!(" {}\n", web.url("/?a=b")), 0o644),
        (web.url("/?api_key=5ecret"), 0o600),
        (web.url("/").replace("://", "://user:pa55word@"), 0o600),
    ] {
        let sitemon = empty();
        let output = scripted(&sitemon, &api, &site);
        assert_eq!(output.code, Some(0), "{output:?}");
        assert_eq!(mode(&sitemon), wanted, "{site}");
        assert!(!output.stderr.contains("holds secrets"), "{output:?}");
        assert!(!output.stdout.contains("pa55word"), "{output:?}");
        let config = sitemon.bare_command(&["-c", "sitemon.conf", "config"]);
        assert!(!config.stderr.contains("holds secrets"), "{config:?}");
    }
}

#[test]
fn a_test_alert_that_fails_is_told_beside_what_a_users_file_lacks() {
    let (api, web) = (BotApi::start(), Web::new());
    let sitemon = empty();
    let before = format!(
        "[telegram]\ntoken = \"{TOKEN}\"\nchats = [{CHAT}]\napi = \"{}\"\n",
        api.url()
    );
    fs::write(sitemon.config_path(), &before).expect("written");
    api.fail_chat(CHAT, Some(Fault::BadRequest("chat not found")));
    let output = scripted(&sitemon, &api, &web.url("/"));
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stdout.contains("[[site]]"), "{output:?}");
    for part in [
        "the test alert could not be sent: ",
        "sitemon.conf is left as it is",
    ] {
        assert!(output.stderr.contains(part), "{output:?}");
    }
    assert_eq!(text(sitemon.config_path()), before);
}

#[test]
fn a_group_that_has_another_id_by_now_is_taken_by_that() {
    let (api, web) = (BotApi::start(), Web::new());
    const MOVED: i64 = -1_001_234_567_890;
    api.fail_chat(CHAT, Some(Fault::MigrateTo(MOVED)));
    let sitemon = empty();
    let output = scripted(&sitemon, &api, &web.url("/"));
    assert_eq!(output.code, Some(0), "{output:?}");
    let conf = text(sitemon.config_path());
    assert!(conf.contains(&format!("\nchats = [{MOVED}]")), "{conf}");
    let sent = api.messages();
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|message| message.chat == MOVED), "{sent:?}");
}

#[test]
fn only_a_token_is_replaced_by_a_token() {
    let (api, web) = (BotApi::start(), Web::new());
    for (before, code) in [
        ("", 0),
        ("\n", 0),
        ("123456:AAnother-bot\n", 0),
        ("my diary\n", 2),
        ("KEY=5ecret\n", 2),
    ] {
        let sitemon = empty();
        let path = sitemon.dir().join("sitemon.token");
        fs::write(&path, before).expect("written");
        let asked = api.calls("getMe");
        let output = scripted(&sitemon, &api, &web.url("/"));
        assert_eq!(output.code, Some(code), "{before:?}: {output:?}");
        match code {
            0 => assert_eq!(text(&path), format!("{TOKEN}\n")),
            _ => {
                assert_eq!(text(&path), before);
                assert!(output.stderr.contains("move it away first"), "{output:?}");
                assert!(!output.stderr.contains("5ecret"), "{output:?}");
                assert_eq!(api.calls("getMe"), asked);
                assert!(!sitemon.config_path().exists());
            }
        }
    }
    // What cannot be one is found before anything is asked.
    let sitemon = empty();
    fs::create_dir(sitemon.dir().join("sitemon.token")).expect("made");
    let asked = api.calls("getMe");
    let output = scripted(&sitemon, &api, &web.url("/"));
    assert_eq!(
        (output.code, api.calls("getMe")),
        (Some(2), asked),
        "{output:?}"
    );
}

#[test]
fn a_terminal_that_is_too_small_shows_no_part_of_a_code() {
    let api = BotApi::start();
    for (size, shown) in [("rows 24", true), ("rows 20", false), ("columns 36", false)] {
        let sitemon = empty();
        let script = format!("stty {size}; exec \"$@\"");
        let arguments = ["-c", "sitemon.conf", "init", "--api", &api.url()];
        let mut dialogue =
            Dialogue::wrapped(&sitemon, &["sh", "-c", &script, "sh"], &arguments, &[]);
        dialogue.answers(ASKS_TOKEN, TOKEN);
        dialogue.code();
        let output = dialogue.running.stdout();
        assert_eq!(output.contains('█'), shown, "{size}: {output}");
        dialogue.types("\u{3}");
        dialogue.ends(&api, 130);
    }
}

#[test]
fn without_a_terminal_what_is_missing_is_named() {
    let (api, sitemon) = (BotApi::start(), empty());
    for (given, missing) in [
        (&[][..], "give --token-file, --chat, --site\n"),
        (&["--chat", "5"], "give --token-file, --site\n"),
        (&["--chat", "5", "--token-file", "given"], "give --site\n"),
    ] {
        let output = sitemon.bare_command(&[&["-c", "sitemon.conf", "init"], given].concat());
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stderr.ends_with(missing), "{output:?}");
    }
    for (site, chat, more, why) in [
        ("ftp://a/", "5", &[][..], "ftp"),
        (
            "https://a/?token=$T",
            "5",
            &[],
            "an address that is added takes nothing from the environment",
        ),
        ("example.org", "0", &[], "a chat's id is a number"),
        ("example.org", "5", &["--route", "carrier pigeon"], "route"),
    ] {
        fs::write(sitemon.dir().join("given"), TOKEN).expect("written");
        let url = api.url();
        let given = [
            "-c",
            "sitemon.conf",
            "init",
            "--token-file",
            "given",
            "--chat",
            chat,
            "--site",
            site,
            "--api",
            &url,
        ];
        let output = sitemon.bare_command(&[&given[..], more].concat());
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stderr.contains(why), "{output:?}");
    }
    let unreachable = {
        let site = Web::new();
        api.fail_chat(CHAT, Some(Fault::BadRequest("chat not found")));
        scripted(&sitemon, &api, &site.url("/"))
    };
    assert_eq!(unreachable.code, Some(3), "{unreachable:?}");
    assert!(
        unreachable
            .stderr
            .contains(&format!("Press Start in https://t.me/{BOT_NAME} first")),
        "{unreachable:?}"
    );
    assert_eq!(files(&sitemon, &["given"]), [""; 0]);
}

#[test]
fn a_users_file_stays_as_it_is_and_what_it_lacks_is_printed() {
    let (api, web) = (BotApi::start(), Web::new());
    let table = format!(
        "[telegram]\ntoken_file = \"my.token\"\napi = \"{}\"\n",
        api.url()
    );
    let site = format!("[[site]]\nname = \"blog\"\nurl = \"{}\"\n", web.url("/"));
    let chats = format!("chats = [{CHAT}]\n");
    let added = format!(
        "[[site]]\nname = \"127.0.0.1\"\nurl = \"{}\"\n",
        web.url("/")
    );
    let own = "token_file = \"sitemon.token\"\n";
    let all = format!("[telegram]\n{own}{chats}api = \"{}\"\n{added}", api.url());
    let nothing = "# nothing yet\n".to_owned();
    for (before, token_file, lines) in [
        (nothing, "sitemon.token", vec![all.as_str()]),
        (
            format!("{site}# mine\n"),
            "sitemon.token",
            vec!["[telegram]\n", own, &chats],
        ),
        (format!("{table}{site}"), "my.token", vec![&chats]),
        (format!("{table}{chats}"), "my.token", vec![&added]),
    ] {
        let sitemon = empty();
        fs::write(sitemon.config_path(), &before).expect("written");
        let output = scripted(&sitemon, &api, &web.url("/"));
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(
            output.stderr.contains("sitemon.conf is left as it is"),
            "{output:?}"
        );
        assert_eq!(text(sitemon.config_path()), before);
        for line in &lines {
            assert!(output.stdout.contains(line), "{line} in {output:?}");
        }
        assert_eq!(
            output.stdout.contains("[[site]]"),
            lines.concat().contains("[[site]]"),
            "{output:?}"
        );
        assert_eq!(text(sitemon.dir().join(token_file)), format!("{TOKEN}\n"));
        assert_eq!(files(&sitemon, &["given", "sitemon.conf"]), [token_file]);
    }
    // A link leads to what is a user's, whatever it is.
    let sitemon = empty();
    let real = sitemon.dir().join("real.conf");
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/sitemon.conf"), &real).expect("copied");
    symlink("real.conf", sitemon.config_path()).expect("linked");
    let output = scripted(&sitemon, &api, &web.url("/"));
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(sitemon.config_path().is_symlink());
    // One with mistakes is not even begun with.
    let sitemon = empty();
    fs::write(
        sitemon.config_path(),
        "[telegram]\ntoken_file = \"none\"\nchat = [5]\n",
    )
    .expect("written");
    let calls = api.calls("getMe");
    let output = scripted(&sitemon, &api, &web.url("/"));
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(
        output.stderr.contains("did you mean `chats`?"),
        "{output:?}"
    );
    assert_eq!(api.calls("getMe"), calls);
}

#[test]
fn a_file_without_chats_gets_the_chat_that_presses_start() {
    let (api, web) = (BotApi::start(), Web::new());
    let sitemon = empty();
    let before = format!(
        "[telegram]\ntoken = \"{TOKEN}\"\napi = \"{}\"\n[agent]\nstate = \"state\"\n[[site]]\nname = \"blog\"\nurl = \"{}\"\n",
        api.url(),
        web.url("/")
    );
    fs::write(sitemon.config_path(), &before).expect("written");
    let mut dialogue = Dialogue::wrapped(&sitemon, &[], &["-c", "sitemon.conf", "init"], &[]);
    let code = dialogue.code();
    const GROUP: i64 = -1_001_234_567_890;
    api.say(GROUP, CHAT, &format!("/start@{BOT_NAME} {code}"));
    let shown = dialogue.ends(&api, 2);
    assert!(!shown.contains("Its token"), "{shown}");
    assert!(
        shown.contains(&format!("\r\nchats = [{GROUP}]\r\n")),
        "{shown}"
    );
    assert_eq!(text(sitemon.config_path()), before);
    assert!(
        api.messages()[1]
            .text
            .starts_with("🔴 blog is down: only a test")
    );
}

/// Runs in mounts of its own, where `/etc` has the files of `script`.
fn with_etc(script: &str) -> Vec<String> {
    let script =
        format!("mount -t tmpfs none /etc && mkdir /etc/sitemon && {script} && exec \"$@\"");
    ["unshare", "-m", "sh", "-ec", &script, "sh"]
        .map(str::to_owned)
        .to_vec()
}

#[test]
fn the_packaged_file_is_replaced_and_the_token_is_the_services() {
    let (api, web) = (BotApi::start(), Web::new());
    let script = format!(". {}/packaging/lib.sh && conf", env!("CARGO_MANIFEST_DIR"));
    let packaged = std::process::Command::new("bash")
        .args(["-c", &script])
        .output();
    let packaged = String::from_utf8(packaged.expect("bash runs").stdout).expect("UTF-8");
    for state in ["/var/lib/sitemon", "/etc/sitemon/state"] {
        let sitemon = empty();
        fs::write(
            sitemon.dir().join("packaged"),
            packaged.replace("/var/lib/sitemon", state),
        )
        .expect("written");
        let out = sitemon.dir().join("out");
        fs::create_dir(&out).expect("made");
        let setup = "cp packaged /etc/sitemon.conf; : >/etc/sitemon/token; echo sitemon:x:4711:4712::/:/bin/false >/etc/passwd";
        // What came of it is copied out: the mounts end with the program.
        let wrapper = with_etc(setup);
        let mut wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
        wrapper.extend([
            "sh",
            "-c",
            "\"$@\" && cp -a /etc/sitemon.conf /etc/sitemon out",
            "sh",
        ]);
        let mut dialogue =
            Dialogue::wrapped(&sitemon, &wrapper, &["init", "--api", &api.url()], &[]);
        dialogue.connects(&api);
        dialogue.answers(ASKS_SITE, &web.url("/"));
        dialogue.sees("/etc/sitemon/token holds the token.");
        dialogue.sees("/etc/sitemon.conf is written.");
        dialogue.sees("Now start it: sitemon run\r\n");
        dialogue.ends(&api, 0);
        let token = out.join("sitemon/token");
        let found = fs::metadata(&token).expect("a file");
        assert_eq!(
            (found.mode() & 0o7777, found.uid(), found.gid()),
            (0o600, 4711, 4712)
        );
        assert_eq!(text(&token), format!("{TOKEN}\n"));
        let conf = text(out.join("sitemon.conf"));
        assert!(conf.contains(&format!("\nstate = \"{state}\"")), "{conf}");
        assert!(
            conf.contains("\ntoken_file = \"/etc/sitemon/token\" "),
            "{conf}"
        );
        let left: Vec<PathBuf> = fs::read_dir(out.join("sitemon"))
            .expect("a directory")
            .map(|e| e.expect("an entry").path())
            .collect();
        assert_eq!(left, [token]);
    }
}
