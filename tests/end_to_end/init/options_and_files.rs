//! `sitemon init` with options in the place of answers, and its treatment of files that exist.

use super::{ASKS_SITE, ASKS_TOKEN, Dialogue, empty, files, text};
use crate::support::agent::{Output, Sitemon};
use crate::support::assert_has;
use crate::support::bot_api::{BOT_NAME, BotApi, CHAT, Fault, TOKEN};
use crate::support::routes::{Gate, PASSWORD, PATH, Server, Straight, USER};
use crate::support::scene::no_token;
use crate::support::web::Web;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;

/// Runs `init` with all its answers as options; the token is in the file `given`.
#[track_caller]
fn scripted(sitemon: &Sitemon, api: &BotApi, site: &str) -> Output {
    scripted_with(sitemon, api, &api.url(), site, &[])
}

/// The same with another URL of the API, and with more options.
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
    // A second run has nothing to do.
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

/// Returns a gate before the Bot API that resets direct connections, and its URL.
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
    // Both in one option, and each in its own; the third isn't needed.
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
    // At a terminal, too, where the chat is found by that route.
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
    assert_has(
        &output.stderr,
        &format!("Telegram is not reached by {shown}: "),
    );
    assert!(!output.stderr.contains("looks blocked"), "{output:?}");
    assert_eq!(files(&sitemon, &["given"]), [""; 0]);
}

#[test]
fn a_file_with_a_secret_is_not_for_other_users() {
    let (api, web) = (BotApi::start(), Web::new());
    for (site, wanted) in [
        (web.url("/"), 0o644),
        // With blanks, as copied.
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
    // A token file that can't be written is found before anything is requested.
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
    assert_has(
        &unreachable.stderr,
        &format!("Press Start in https://t.me/{BOT_NAME} first"),
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
        assert_has(&output.stderr, "sitemon.conf is left as it is");
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
    // A link leads to a user's own file, which is not replaced, whatever is in it.
    let sitemon = empty();
    let real = sitemon.dir().join("real.conf");
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/sitemon.conf"), &real).expect("copied");
    symlink("real.conf", sitemon.config_path()).expect("linked");
    let output = scripted(&sitemon, &api, &web.url("/"));
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(sitemon.config_path().is_symlink());
    // With mistakes in the file `init` doesn't even start.
    let sitemon = empty();
    fs::write(
        sitemon.config_path(),
        "[telegram]\ntoken_file = \"none\"\nchat = [5]\n",
    )
    .expect("written");
    let calls = api.calls("getMe");
    let output = scripted(&sitemon, &api, &web.url("/"));
    assert_eq!(output.code, Some(2), "{output:?}");
    assert_has(&output.stderr, "did you mean `chats`?");
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
    assert_has(&shown, &format!("\r\nchats = [{GROUP}]\r\n"));
    assert_eq!(text(sitemon.config_path()), before);
    assert!(
        api.messages()[1]
            .text
            .starts_with("🔴 blog is down: only a test")
    );
}

/// Returns a wrapper that runs in its own mount namespace, where `script` fills `/etc`.
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
    // As packaging/openwrt/Makefile and packaging/install.sh do it.
    let openwrt = packaged.replace("\"/var/lib/sitemon\"", "\"/etc/sitemon/state\"");
    let openwrt = openwrt.replace("\"/run/", "\"/var/run/");
    for (state, packaged) in [
        ("/var/lib/sitemon", packaged),
        ("/etc/sitemon/state", openwrt),
    ] {
        let sitemon = empty();
        fs::write(sitemon.dir().join("packaged"), packaged).expect("written");
        let out = sitemon.dir().join("out");
        fs::create_dir(&out).expect("made");
        let setup = "cp packaged /etc/sitemon.conf; : >/etc/sitemon/token; echo sitemon:x:4711:4712::/:/bin/false >/etc/passwd";
        // The results are copied out: the mounts end with the program.
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
        assert_has(&conf, "\ntoken_file = \"/etc/sitemon/token\" ");
        let left: Vec<PathBuf> = fs::read_dir(out.join("sitemon"))
            .expect("a directory")
            .map(|e| e.expect("an entry").path())
            .collect();
        assert_eq!(left, [token]);
    }
}
