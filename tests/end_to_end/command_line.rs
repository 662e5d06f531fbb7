//! The commands of the command line, their output and their exit codes.

mod completions;
mod config;
mod console;
use crate::support::agent::{Output, Running, Sitemon};
use crate::support::bot_api::{ANY, BOT_NAME, BotApi, CHAT, Fault, TOKEN};
use crate::support::json::Json;
use crate::support::scene::{no_token, site};
use crate::support::tls::{Certificate, DAY, LOOPBACK, TestCa, yesterday};
use crate::support::web::{Behaviour, Web};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Returns the sites of `check --json` or `status --json`, which must end with `code`.
#[track_caller]
fn sites_of(output: &Output, code: i32) -> Vec<Json> {
    assert_eq!(output.code, Some(code), "{output:?}");
    let json = Json::parse(&output.stdout).expect("one JSON object");
    let sites = json.get("sites").and_then(Json::array);
    sites.expect("an array of sites").to_vec()
}

fn keys(json: &Json) -> Vec<&str> {
    let members = json.object().unwrap_or_default();
    members.iter().map(|(key, _)| key.as_str()).collect()
}

fn text<'a>(json: &'a Json, key: &str) -> &'a str {
    json.get(key).and_then(Json::str).unwrap_or_default()
}

#[track_caller]
fn refused(output: &Output, code: i32, sentence: &str) {
    assert_eq!(output.code, Some(code), "{output:?}");
    assert!(output.stderr.contains(sentence), "{output:?}");
    assert_eq!(output.stdout, "", "results only");
}

#[test]
fn the_version_is_printed() {
    let sitemon = Sitemon::new("");
    let version = format!("sitemon {}\n", env!("CARGO_PKG_VERSION"));
    for arguments in [["version"], ["--version"]] {
        let output = sitemon.bare_command(&arguments);
        assert_eq!((output.code, &output.stdout), (Some(0), &version));
        assert_eq!(output.stderr, "");
    }
}

#[test]
fn usage_errors_end_with_2_and_a_sentence() {
    let sitemon = Sitemon::new("");
    for bad in [
        &["frobnicate"][..],
        &["chek"],
        &["run", "--frob"],
        &["-c"],
        &["-v", "-q", "version"],
    ] {
        let output = sitemon.bare_command(bad);
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (Some(2), ""),
            "{bad:?}"
        );
        let sentence = output.stderr.lines().next().unwrap_or_default();
        assert!(sentence.contains(' '), "{bad:?}: {}", output.stderr);
    }
    let missing = sitemon.bare_command(&["-c", "nowhere.conf", "check"]);
    refused(&missing, 2, "nowhere.conf");
}

#[test]
fn help_lists_the_commands() {
    let sitemon = Sitemon::new("");
    for arguments in [&["--help"][..], &["-h"], &[]] {
        let help = sitemon.bare_command(arguments);
        assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
        for command in [
            "init", "run", "check", "config", "pair", "say", "status", "version",
        ] {
            assert!(help.stdout.contains(command), "{command}: {}", help.stdout);
        }
    }
}

#[test]
fn every_command_has_help_with_an_example() {
    let sitemon = Sitemon::new("");
    for command in [
        "init", "run", "check", "config", "pair", "say", "status", "version",
    ] {
        let help = sitemon.bare_command(&["help", command]);
        assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
        assert_eq!(help.stdout, sitemon.bare_command(&[command, "-h"]).stdout);
        let example = help.stdout.split_once("Examples:\n").map(|(_, end)| end);
        let runs = example.is_some_and(|example| example.contains(&format!(" {command}")));
        assert!(runs, "{}", help.stdout);
    }
    let all = sitemon.bare_command(&["help"]);
    assert_eq!(all.stdout, sitemon.bare_command(&["--help"]).stdout);
    refused(
        &sitemon.bare_command(&["help", "chek"]),
        2,
        "did you mean `check`?",
    );
}

#[test]
fn a_reader_that_has_gone_away_changes_no_exit_code() {
    let web = Web::new().on("/bad", Behaviour::status(503));
    let sitemon = Sitemon::new(&(site("good", &web.url("/")) + &site("bad", &web.url("/bad"))));
    let mut running = sitemon.run();
    running.wait_stderr("bad is down: ");
    assert_eq!(running.terminate().code(), Some(0));
    for (arguments, code) in [
        (&["--help"][..], 0),
        (&["check", "--help"], 0),
        (&["version"], 0),
        (&["-c", "sitemon.conf", "config"], 0),
        (&["-c", "sitemon.conf", "config", "--json"], 0),
        (&["-c", "sitemon.conf", "check"], 1),
        (&["-c", "sitemon.conf", "status"], 4),
        (&["-c", "nowhere.conf", "config"], 2),
        (&["frobnicate"], 2),
    ] {
        assert_eq!(sitemon.unread(arguments), Some(code), "{arguments:?}");
    }
}

#[test]
fn check_prints_a_table_and_ends_with_0_when_all_is_well() {
    let web = Web::new();
    let sitemon =
        Sitemon::new(&(site("blog", &web.url("/")) + &site("webshop", &web.url("/shop"))));
    let output = sitemon.command(&["check"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(output.stderr, "", "no progress in a pipe");
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines.len(), 4);
    assert!(lines[3].starts_with("2 sites: 2 up ("), "{lines:?}");
    assert!(lines[0].starts_with("SITE     STATE"), "{lines:?}");
    assert!(lines[1].starts_with("blog     up  "), "{lines:?}");
    assert!(lines[2].starts_with("webshop  up  "), "{lines:?}");
    assert!(lines[2].ends_with(&web.url("/shop")), "{lines:?}");
    assert_eq!(web.requests(), 2, "each once");
}

#[test]
fn check_ends_with_1_when_a_site_is_down_and_asks_it_once() {
    let web = Web::new().on("/bad", Behaviour::status(503));
    let sitemon = Sitemon::new(&(site("good", &web.url("/")) + &site("bad", &web.url("/bad"))));
    let output = sitemon.command(&["check"]);
    assert_eq!(output.code, Some(1));
    let lines: Vec<&str> = output.stdout.lines().collect();
    let (total, last) = (lines[3], lines[2]);
    assert!(last.starts_with("bad   down "), "{last}");
    assert!(last.ends_with("HTTP 503, wanted 200-299"), "{last}");
    assert!(total.starts_with("2 sites: 1 up, 1 down ("), "{total}");
    assert_eq!(web.requests(), 2);
}

#[test]
fn the_json_of_a_check_has_the_keys_of_the_contract() {
    let web = Web::new().on("/bad", Behaviour::Close);
    let sitemon = Sitemon::new(&(site("good", &web.url("/")) + &site("bad", &web.url("/bad"))));
    let output = sitemon.command(&["check", "--json"]);
    let sites = sites_of(&output, 1);
    for site in &sites {
        assert_eq!(keys(site), ["name", "url", "state", "cause", "ms"]);
    }
    assert_eq!(
        (text(&sites[0], "name"), text(&sites[0], "state")),
        ("good", "up")
    );
    assert_eq!(text(&sites[0], "url"), web.url("/"));
    assert_eq!(sites[0].get("cause"), Some(&Json::Null));
    assert!(sites[0].get("ms").and_then(Json::int).is_some());
    assert_eq!(
        (text(&sites[1], "name"), text(&sites[1], "state")),
        ("bad", "down")
    );
    assert_eq!(sites[1].get("ms"), Some(&Json::Null));
    let whole = Json::parse(&output.stdout).expect("JSON");
    assert_eq!(keys(&whole), ["sites"]);
}

#[test]
fn check_takes_names_parts_of_names_and_groups() {
    let web = Web::new();
    let group = "group = \"home\"\n";
    let sitemon = Sitemon::new(
        &(site("blog", &web.url("/"))
            + &site("router", &web.url("/"))
            + group
            + &site("nas", &web.url("/"))
            + group),
    );
    for (names, wanted) in [
        (&["blog"][..], &["blog"][..]),
        (&["rout"], &["router"]),
        (&["home"], &["router", "nas"]),
        (&["nas", "blog"], &["blog", "nas"]),
    ] {
        let mut arguments = vec!["check", "--json"];
        arguments.extend(names);
        let sites = sites_of(&sitemon.command(&arguments), 0);
        let asked: Vec<&str> = sites.iter().map(|s| text(s, "name")).collect();
        assert_eq!(asked, wanted, "{names:?}");
    }
    let unknown = sitemon.command(&["check", "shop"]);
    refused(&unknown, 2, "there is no site `shop`");
    let mistyped = sitemon.command(&["check", "blgo"]);
    refused(&mistyped, 2, "did you mean `blog`?");
    let unclear = sitemon.command(&["check", "o"]);
    refused(&unclear, 2, "`o` could be blog, router");
}

#[test]
fn the_cause_of_a_failure_is_told_exactly() {
    let ca = TestCa::new();
    let gone = Web::new();
    let web = Web::new()
        .on("/503", Behaviour::status(503))
        .on("/hang", Behaviour::Hang)
        .on("/file", Behaviour::Redirect("file:///etc/passwd".into()))
        .on("/close", Behaviour::Close)
        .on(
            "/garbage",
            Behaviour::Garbage(b"SSH-2.0-OpenSSH\r\n".to_vec()),
        );
    let expired_on = SystemTime::now() - 3 * DAY - Duration::from_secs(60);
    let expired = Web::tls(&ca.issue(LOOPBACK, expired_on - 30 * DAY, expired_on));
    let private = Web::tls(&ca.good_for_days(90));
    // Its CA has the name of the trusted one, but another key.
    let imposter = Web::tls(&TestCa::new().good_for_days(90));
    let self_signed = Web::tls(&Certificate::self_signed(LOOPBACK));
    let other_name = Web::tls(&ca.issue(&["other.example"], yesterday(), SystemTime::now() + DAY));
    let refused = format!("connection refused by {}", gone.address());
    let tls = "ca_file = \"ca.pem\"\n";
    let (gone_url, plain) = (gone.url("/"), |path| web.url(path));
    let cases = [
        (gone_url, "", refused.as_str()),
        (plain("/503"), "", "HTTP 503, wanted 200-299"),
        (
            plain("/hang"),
            "timeout = \"400ms\"\n",
            "no answer within 400ms",
        ),
        (plain("/"), "body = \"welcome\"\n", "body lacks \"welcome\""),
        (plain("/"), "body_not = \"hell\"\n", "body has \"hell\""),
        (plain("/file"), "", "redirect to file: is not followed"),
        (
            plain("/close"),
            "",
            "server closed the connection without an answer",
        ),
        (plain("/garbage"), "", "answer is not HTTP"),
        (expired.url("/"), tls, "certificate expired 3 days ago"),
        (
            private.url("/"),
            "",
            "certificate not trusted (unknown issuer)",
        ),
        (imposter.url("/"), tls, "certificate has a wrong signature"),
        (self_signed.url("/"), tls, "self-signed certificate"),
        (
            other_name.url("/"),
            tls,
            "certificate is for other.example, not for 127.0.0.1",
        ),
    ];
    let mut config = String::new();
    for (number, (url, more, _)) in cases.iter().enumerate() {
        config += &(site(&format!("site {number}"), url) + more);
    }
    config += &site("nameless", "http://nothing.invalid/");
    gone.stop();
    let sitemon = Sitemon::new(&config);
    ca.write_pem(sitemon.dir());
    let output = sitemon.command(&["check", "--json"]);
    let sites = sites_of(&output, 1);
    let causes: Vec<&str> = sites.iter().map(|site| text(site, "cause")).collect();
    let wanted: Vec<&str> = cases.iter().map(|(_, _, cause)| *cause).collect();
    let (nameless, causes) = causes.split_last().expect("causes");
    assert_eq!(causes, wanted);
    // The text of the resolver's error depends on the machine.
    let why = nameless.strip_prefix("cannot resolve nothing.invalid: ");
    assert!(
        matches!(why, Some("no such name" | "no answer from the resolver")),
        "{nameless}"
    );
}

#[test]
fn a_certificate_of_the_private_ca_is_trusted() {
    let ca = TestCa::new();
    let web = Web::tls(&ca.good_for_days(90));
    let sitemon = Sitemon::new(&(site("blog", &web.url("/")) + "ca_file = \"ca.pem\"\n"));
    ca.write_pem(sitemon.dir());
    sites_of(&sitemon.command(&["check", "--json"]), 0);
}

/// Checks `status` without an agent: the figures, and a sentence that they are old.
#[track_caller]
fn refused_after(output: &Output, result: &str, sentence: &str) {
    assert_eq!(output.code, Some(4), "{output:?}");
    assert!(output.stdout.contains(result), "{output:?}");
    assert!(output.stderr.contains(sentence), "{output:?}");
}

#[test]
fn status_shows_what_the_agent_last_wrote() {
    let web = Web::new().on("/bad", Behaviour::status(503));
    let sitemon = Sitemon::new(&(site("good", &web.url("/")) + &site("bad", &web.url("/bad"))));
    let nothing = sitemon.command(&["status"]);
    refused_after(
        &nothing,
        "unknown  not checked yet",
        "there is no state in ",
    );
    let mut running = sitemon.run();
    running.wait_stderr("bad is down: ");
    running.wait_stderr("good is up");
    // The state may be written later.
    let live = sitemon.command(&["status", "--json"]);
    assert!(live.stdout.contains("\"running\":true"), "{live:?}");
    assert_eq!(live.stderr, "");
    assert_eq!(running.terminate().code(), Some(0));

    let table = sitemon.command(&["status"]);
    refused_after(&table, "HTTP 503, wanted 200-299", "no agent is running: ");
    let output = sitemon.command(&["status", "--json"]);
    let sites = sites_of(&output, 4);
    assert_eq!(
        keys(&sites[0]),
        ["name", "url", "state", "cause", "ms", "since"]
    );
    assert_eq!(text(&sites[0], "state"), "up");
    assert_eq!(text(&sites[1], "state"), "down");
    let whole = Json::parse(&output.stdout).expect("JSON");
    assert_eq!(keys(&whole), ["sites", "written", "running"]);
    let written = whole.get("written").and_then(Json::int).unwrap_or(0);
    let since = sites[1].get("since").and_then(Json::int).unwrap_or(0);
    assert!(
        since > 1_700_000_000 && since <= written,
        "{since} {written}"
    );
}

#[test]
fn say_reaches_every_chat_or_says_why_not() {
    let api = BotApi::start();
    let sitemon = Sitemon::new(&api.config());
    let said = sitemon.command(&["say", "bread", "&", "<butter>"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), ""), "{said:?}");
    assert_eq!(api.messages()[0].text, "bread & <butter>");
    assert_eq!(api.messages()[0].chat, CHAT);

    api.fail_next("sendMessage", Fault::Forbidden);
    let blocked = sitemon.command(&["-v", "say", "hello"]);
    refused(&blocked, 3, "bot was blocked by the user");
    api.fail_always(ANY, Some(Fault::Unauthorized));
    let unauthorised = sitemon.command(&["-v", "say", "hello"]);
    refused(&unauthorised, 3, &format!("chat {CHAT} did not get it: "));
    api.pause();
    let unreachable = sitemon.command(&["-v", "say", "hello"]);
    refused(&unreachable, 3, "cannot connect to 127.0.0.1");
    sitemon.rewrite(&format!("[telegram]\ntoken = \"{TOKEN}\"\n"));
    let nobody = sitemon.command(&["say", "hello"]);
    refused(&nobody, 2, "no `chats`");
    refused(&sitemon.command(&["run"]), 2, "`sitemon pair` finds yours");
    sitemon.rewrite("");
    refused(&sitemon.command(&["say", "hello"]), 2, "[telegram]");
    for output in [blocked, unauthorised, unreachable, nobody] {
        no_token(&api, &output.stderr);
    }
    assert_eq!(api.violations(), [""; 0]);
}

/// `sitemon say -` with `input` on stdin.
#[track_caller]
fn say_from_stdin(sitemon: &Sitemon, input: &str) -> Output {
    let mut running = sitemon.spawn(&["say", "-"]);
    running.type_line(input);
    running.output()
}

#[test]
fn say_with_a_dash_reads_stdin() {
    let api = BotApi::start();
    let sitemon = Sitemon::new(&api.config());
    let said = say_from_stdin(&sitemon, "disk <full>\n/dev/sda1 99 %\n");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(api.messages()[0].text, "disk <full>\n/dev/sda1 99 %");
    let empty = sitemon.command(&["say", "-"]);
    refused(&empty, 2, "df -h | sitemon say -");
    refused(&say_from_stdin(&sitemon, " \n"), 2, "say what?");
    let endless = say_from_stdin(&sitemon, &"long ".repeat(4_000));
    refused(&endless, 2, "it is larger than 16 KiB; nothing was sent");
    assert_eq!(api.messages().len(), 1);
    let long = say_from_stdin(&sitemon, &"a line\n".repeat(1_000));
    assert_eq!(long.code, Some(0), "{long:?}");
    let sent = api.messages();
    let lines: usize = sent[1..].iter().map(|m| m.text.lines().count()).sum();
    assert_eq!(lines, 1_000);
    assert_eq!(api.violations(), [""; 0]);
}

/// Starts `pair` on a file without `chats`, and reads its code.
#[track_caller]
fn pairing(api: &BotApi) -> (Sitemon, Running, u32) {
    let config = api.config().replace(&format!("chats = [{CHAT}]\n"), "");
    let sitemon = Sitemon::new(&config);
    let (running, code) = pairing_by(&sitemon);
    (sitemon, running, code)
}

#[track_caller]
fn pairing_by(sitemon: &Sitemon) -> (Running, u32) {
    pairing_with(sitemon, &["-v", "pair"])
}

#[track_caller]
fn pairing_with(sitemon: &Sitemon, arguments: &[&str]) -> (Running, u32) {
    let running = sitemon.spawn(arguments);
    let code = code_of(&running);
    (running, code)
}

#[track_caller]
fn code_of(running: &Running) -> u32 {
    let printed = running.wait_stdout_from(0, |s| s.ends_with("\n\n") && s.lines().count() > 2);
    assert!(printed.contains(&format!("@{BOT_NAME}")), "{printed}");
    let code = printed.lines().find_map(|l| l.strip_prefix("    "));
    let code = code.filter(|c| c.len() == 6).and_then(|c| c.parse().ok());
    code.expect("a code of six digits")
}

#[test]
fn pair_prints_the_chat_that_sends_the_code() {
    const GROUP: i64 = -1_001_234_567_890;
    for (chat, start) in [(CHAT, ""), (GROUP, "/start ")] {
        let api = BotApi::start();
        let (_sitemon, mut running, code) = pairing(&api);
        api.say(777, 777, &format!("{:06}", (code + 1) % 1_000_000));
        api.say(777, 777, "hello");
        api.say(chat, CHAT, &format!("{start}{code:06}"));
        assert_eq!(running.wait_exit().code(), Some(0));
        let stdout = running.wait_stdout("chats = ");
        assert!(
            stdout.ends_with(&format!("\nchats = [{chat}]\n")),
            "{stdout}"
        );
        let answered: Vec<i64> = api.messages().iter().map(|m| m.chat).collect();
        assert_eq!(answered, [chat]);
        api.wait_confirmed();
        no_token(&api, &(stdout + &running.stderr()));
        assert_eq!(api.violations(), [""; 0]);
    }
}

/// Runs `pair --write` on the file as it is, and sends the right code from [`CHAT`].
#[track_caller]
fn pairing_into_the_file(api: &BotApi, sitemon: &Sitemon) -> Output {
    let (running, code) = pairing_with(sitemon, &["pair", "--write"]);
    api.say(CHAT, CHAT, &format!("{code:06}"));
    running.output()
}

#[test]
fn pair_write_puts_the_chat_into_the_file_and_leaves_the_rest() {
    let api = BotApi::start();
    let table = format!("token = \"{TOKEN}\"\napi = \"{}\"", api.url());
    let text = |chats: &str| {
        format!(
            "# mine\n\n [telegram]  # the bot\n{chats}{table}\n\n[agent]\nstate = \"state\"\nuplink = []\n# end"
        )
    };
    let sitemon = Sitemon::new("");
    let path = sitemon.config_path();
    fs::write(&path, text("")).expect("written");
    fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("its mode is set");
    chown(&path, Some(12_345), Some(54_321)).expect("its owner is set");
    let paired = pairing_into_the_file(&api, &sitemon);
    assert_eq!(paired.code, Some(0), "{paired:?}");
    let said = format!(
        "\nchats = [{CHAT}]\nThis line is in {} now, below [telegram].\n",
        path.display()
    );
    assert!(paired.stdout.ends_with(&said), "{paired:?}");
    let line = format!("chats = [{CHAT}]\n");
    assert_eq!(fs::read_to_string(&path).expect("text"), text(&line));
    let found = fs::metadata(&path).expect("it is there");
    let kept = (found.mode() & 0o7777, found.uid(), found.gid());
    assert_eq!(kept, (0o640, 12_345, 54_321));
    assert_eq!(api.messages()[0].text, "Paired. Start sitemon.");
    assert_eq!(sitemon.command(&["say", "hello"]).code, Some(0));

    // The file has `chats` by now.
    let refused = pairing_into_the_file(&api, &sitemon);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let why = format!(
        "{} has `chats` in [telegram] already: it is as it was. \
         Write into its table [telegram]: chats = [{CHAT}]\n",
        path.display()
    );
    assert!(refused.stderr.ends_with(&why), "{refused:?}");
    assert_eq!(fs::read_to_string(&path).expect("text"), text(&line));
    let mut names: Vec<_> = fs::read_dir(sitemon.dir()).expect("a directory").collect();
    names.retain(|name| name.as_ref().is_ok_and(|name| name.file_name() != "state"));
    assert_eq!(names.len(), 1, "{names:?}");
    assert_eq!(api.violations(), [""; 0]);
}

#[test]
fn pair_write_refuses_what_is_no_file_of_its_own() {
    let api = BotApi::start();
    let config = api.config().replace(&format!("chats = [{CHAT}]\n"), "");
    let sitemon = Sitemon::new(&config);
    let (path, real) = (sitemon.config_path(), sitemon.dir().join("real.conf"));
    fs::rename(&path, &real).expect("renamed");
    symlink("real.conf", &path).expect("linked");
    let before = fs::read_to_string(&real).expect("text");
    let refused = pairing_into_the_file(&api, &sitemon);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let line = format!("chats = [{CHAT}]\n");
    assert!(
        refused.stdout.ends_with(&format!("\n{line}")),
        "{refused:?}"
    );
    let why =
        "cannot be written: it is a symbolic link, not a regular file: it is as it was. Write";
    assert!(refused.stderr.contains(why), "{refused:?}");
    assert!(refused.stderr.ends_with(&line), "{refused:?}");
    assert_eq!(fs::read_to_string(&real).expect("text"), before);
    assert_eq!(
        fs::read_link(&path).expect("a link"),
        Path::new("real.conf")
    );
    let answer = "Paired. Put the printed line into sitemon.conf and start sitemon.";
    assert_eq!(api.messages()[0].text, answer);

    // A file system that cannot be written.
    fs::remove_file(&path).expect("removed");
    fs::rename(&real, &path).expect("renamed");
    let script = "mount --bind \"$2\" \"$2\" && mount -o remount,bind,ro \"$2\" && exec \"$1\" -c \"$2\" pair --write";
    let running = sitemon.run_program("unshare", &["-m", "sh", "-ec", script, "sh"]);
    let code = code_of(&running);
    api.say(CHAT, CHAT, &format!("{code:06}"));
    let refused = running.output();
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let why = "cannot be written: Read-only file system: it is as it was.";
    assert!(refused.stderr.contains(why), "{refused:?}");
    assert_eq!(fs::read_to_string(&path).expect("text"), before);
}

/// A code that isn't `code`.
fn wrong(code: u32, by: u32) -> String {
    format!("{:06}", (code + by) % 1_000_000)
}

#[test]
fn a_guesser_is_ignored_after_ten_wrong_codes_and_others_can_pair() {
    let api = BotApi::start();
    let (_sitemon, mut running, code) = pairing(&api);
    for guess in 1..=25 {
        api.say(777, 777, &wrong(code, guess));
    }
    running.wait_stderr("user 777 sent 10 wrong codes and is ignored");
    // Even the right code is ignored then, in every chat.
    api.say(777, 777, &format!("{code:06}"));
    api.say(-777, 777, &format!("/start {code:06}"));
    api.wait_confirmed();
    assert!(running.is_running());
    api.say(CHAT, CHAT, &format!("{code:06}"));
    assert_eq!(running.wait_exit().code(), Some(0));
    let stdout = running.wait_stdout("chats = ");
    assert!(
        stdout.ends_with(&format!("\nchats = [{CHAT}]\n")),
        "{stdout}"
    );
}

#[test]
fn a_hundred_wrong_codes_of_many_end_pair_and_do_not_end_the_next() {
    let api = BotApi::start();
    let (sitemon, mut running, code) = pairing(&api);
    for guess in 0..100 {
        let user = 1000 + i64::from(guess % 20);
        api.say(user, user, &wrong(code, guess + 1));
    }
    assert_eq!(running.wait_exit().code(), Some(3));
    running.wait_stderr("100 wrong codes came: the code is being guessed.");
    assert_eq!(api.messages().len(), 0);
    assert!(!running.stdout().contains("chats ="));
    api.wait_confirmed();
    drop(running);

    // Codes sent while `pair` doesn't run don't count at its next start.
    for guess in 0..120 {
        let user = 2000 + i64::from(guess);
        api.say(user, user, &format!("{:06}", guess * 7919));
    }
    let (mut running, code) = pairing_by(&sitemon);
    api.say(CHAT, CHAT, &format!("{code:06}"));
    assert_eq!(running.wait_exit().code(), Some(0));
    running.wait_stdout(&format!("chats = [{CHAT}]"));
}

#[test]
fn pair_goes_by_no_clock() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = i64::try_from(now.expect("a clock").as_secs()).expect("a time");
    for off in [-86_400 * 400, -400, 86_400] {
        let api = BotApi::start();
        let (_sitemon, mut running, code) = pairing(&api);
        api.say_at(CHAT, CHAT, &format!("{code:06}"), now + off);
        assert_eq!(running.wait_exit().code(), Some(0));
        running.wait_stdout(&format!("chats = [{CHAT}]"));
    }
}

#[test]
fn pair_passes_over_what_waits_behind_a_webhook_or_is_poisoned() {
    let api = BotApi::start();
    api.set_webhook();
    let (_sitemon, mut running, code) = pairing(&api);
    running.wait_stderr("A webhook was set for this bot");
    api.say(CHAT, CHAT, &format!("{code:06}"));
    assert_eq!(running.wait_exit().code(), Some(0));

    let api = BotApi::start();
    api.push_raw(r#"{"update_id":UPDATE_ID,"message":{"chat":7,"text":"\ud800"}}"#);
    let (_sitemon, mut running, code) = pairing(&api);
    api.say(CHAT, CHAT, &format!("{code:06}"));
    assert_eq!(running.wait_exit().code(), Some(0));
    running.wait_stdout(&format!("chats = [{CHAT}]"));
}

#[test]
fn pair_ends_with_3_on_a_bad_token_and_with_2_beside_a_running_agent() {
    let api = BotApi::start();
    let sitemon = Sitemon::new(&api.config());
    api.fail_next("getMe", Fault::Unauthorized);
    let bad = sitemon.command(&["-v", "pair"]);
    assert_eq!(bad.code, Some(3), "{bad:?}");
    no_token(&api, &bad.stderr);
    let running = sitemon.run();
    api.wait_calls("getUpdates", 1);
    refused(&sitemon.command(&["pair"]), 2, "another sitemon uses ");
    drop(running);
}

#[test]
fn run_without_telegram_and_terminal_logs_the_alerts() {
    let web = Web::new().on("/", Behaviour::status(503));
    let sitemon = Sitemon::new(&site("blog", &web.url("/")));
    let mut running = sitemon.spawn(&["run"]);
    running.type_line("/help");
    running.wait_stderr("🔴 blog is down: HTTP 503, wanted 200-299 (#1)");
    web.set("/", Behaviour::ok());
    running.wait_stderr("🟢 blog is up again after ");
    assert_eq!(running.stdout(), "");
    assert_eq!(running.terminate().code(), Some(0));
}

#[test]
fn with_console_the_terminal_is_the_chat_even_beside_telegram() {
    let api = BotApi::start();
    let web = Web::new();
    let sitemon = Sitemon::new(&(api.config() + &site("blog", &web.url("/"))));
    let mut running = sitemon.run_console();
    running.type_line("/help");
    running.wait_stdout("/status · ");
    running.type_line("check blog");
    running.wait_stdout("✅ blog ");
    web.set("/", Behaviour::status(503));
    running.wait_stdout("🔴 blog is down: HTTP 503, wanted 200-299 (#1)\n");
    running.type_line("/status");
    running.wait_stdout("0 up, 1 down\n");
    running.close_stdin();
    web.set("/", Behaviour::ok());
    running.wait_stdout("🟢 blog is up again after ");
    assert_eq!(running.terminate().code(), Some(0));
    assert_eq!(api.calls("getMe") + api.calls("sendMessage"), 0);
    no_token(&api, &(running.stdout() + &running.stderr()));
}

#[test]
fn a_failing_site_behind_one_that_failed_is_unreachable_unless_it_is_named() {
    let web = Web::new();
    web.set("/", Behaviour::status(503));
    web.set("/good", Behaviour::ok());
    let behind = |name: &str, path: &str, parent: &str| {
        site(name, &web.url(path)) + &format!("after = \"{parent}\"\n")
    };
    let sitemon = Sitemon::new(
        &(site("router", &web.url("/"))
            + &behind("blog", "/", "router")
            + &behind("shop", "/", "blog")
            + &behind("good", "/good", "router")
            + &behind("alone", "/", "good")),
    );
    let states = |output: &Output, code: i32| -> Vec<String> {
        let sites = sites_of(output, code);
        sites.iter().map(|s| text(s, "state").to_owned()).collect()
    };
    let all = sitemon.command(&["check", "--json"]);
    assert_eq!(
        states(&all, 1),
        ["down", "unreachable", "unreachable", "up", "down"]
    );
    assert!(all.stdout.contains("behind router"), "{all:?}");
    let named = sitemon.command(&["check", "blog", "--json"]);
    assert_eq!(states(&named, 1), ["down"]);
}
