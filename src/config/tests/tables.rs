//! `[telegram]`, `[agent]`, the shape of the file and its syntax.

use super::{parsed_from, parsed_in, rendered, sound, wrong, wrong_site};
use crate::config::{TOKEN_VARIABLE, summary, to_json};
use std::path::Path;
use std::time::Duration;

#[test]
fn telegram_is_checked() {
    for (line, expected) in [
        (
            "chats = []",
            "3:9: `chats` is empty; it must be a list of ids such as [123456789], or left out",
        ),
        (
            "chats = [0]",
            "3:10: `chats` has the id 0, which Telegram never gives",
        ),
        ("chats = [1, 1]", "3:13: `chats` has 1 twice"),
        (
            "users = [\"me\"]",
            "3:11: `users` must be a list of ids such as [123456789], found a text in quotes in it",
        ),
        (
            "users = []",
            "3:9: `users` is empty; it must be a list of ids such as [123456789], or left out",
        ),
        (
            "users = [-1]",
            "3:9: `users` has -1, but only groups have negative ids",
        ),
        ("poll = '51s'", "3:9: `poll` must be at most 50s, not 51s"),
        (
            "poll = '1500ms'",
            "3:9: `poll` must be whole seconds, not 1s500ms",
        ),
        (
            "api = 'h'",
            "3:8: `api` must begin with http:// or https://",
        ),
        (
            "api = 'http://h/?q'",
            "3:8: `api` must end before any `?` or `#`",
        ),
        (
            "route = []",
            "3:9: `route` is empty; it must be a list such as [\"direct\", \"socks5h://127.0.0.1:1080\"], or left out",
        ),
        (
            "route = \"direct\"",
            "3:10: `route` must be a list such as [\"direct\", \"socks5h://127.0.0.1:1080\"], found a text in quotes",
        ),
        (
            "route = ['straight']",
            "3:11: `route` takes \"direct\", a proxy (http://, socks5:// or socks5h://) or a relay (https://)",
        ),
        (
            "route = ['ftp://u:p@h']",
            "3:11: `route` takes \"direct\", a proxy (http://, socks5:// or socks5h://) or a relay (https://); ftp:// is none of them",
        ),
        (
            "route = ['socks4://h']",
            "3:11: `route` takes \"direct\", a proxy (http://, socks5:// or socks5h://) or a relay (https://); of SOCKS it knows version 5: socks5h://",
        ),
        (
            "route = ['http://h/relay']",
            "3:11: `route` has an http:// address with a path: a proxy has none, and a relay must begin with https://, for the token travels to it",
        ),
        (
            "route = ['https://h/?a=b']",
            "3:11: `route` has a relay with a `?` or a `#`; /bot<token>/<method> is put behind its path",
        ),
        (
            "route = ['https://u:p@h/']",
            "3:11: `route` has a relay with a user and a password, which it cannot have; its path may be the secret",
        ),
        (
            "route = ['socks5h://u:p@']",
            "3:11: `route` has an address that is no URL: empty host",
        ),
        (
            "route = ['socks5h://h:99999']",
            "3:11: `route` has an address that is no URL: invalid port number",
        ),
        (
            "route = ['socks5h://$USER:$PASSWORD@h']",
            "3:11: `route` needs the environment variable USER, which is not set; `$$` is a dollar sign",
        ),
        (
            "route = ['direct', 'direct']",
            "3:21: `route` has direct twice",
        ),
        (
            "route = ['socks5h://u:p@h', 'socks5h://u:p@h:1080/']",
            "3:30: `route` has socks5h://***@h:1080 twice",
        ),
        (
            "topic = 0",
            "3:9: `topic` must be a whole number from 1 to 2147483647, not 0",
        ),
        (
            "topic = \"alerts\"",
            "3:10: `topic` must be a whole number from 1 to 2147483647, found a text in quotes",
        ),
        (
            "quiet = '22-7'",
            "3:10: `quiet` must be hours such as \"22:00-07:00\"; `22-7` is none",
        ),
        (
            "quiet = 22",
            "3:9: `quiet` must be hours in quotes such as \"22:00-07:00\", found an integer",
        ),
        (
            "chat = [1]",
            "3:1: unknown key `chat`; did you mean `chats`?",
        ),
        (
            "state = 'x'",
            "3:1: unknown key `state` here; it belongs in [agent]",
        ),
    ] {
        wrong(&format!("[telegram]\ntoken = '1:a'\n{line}"), &[expected]);
    }
    let config = sound("[telegram]\ntoken = '1:a'\napi = 'http://[::1]:8081/bot/'\npoll = '0s'");
    let telegram = config.telegram.unwrap();
    assert_eq!(
        (telegram.api.as_str(), telegram.poll),
        ("http://[::1]:8081/bot", Duration::ZERO)
    );
}

/// Of users, passwords and paths nothing is shown: not in what would run, nor in a line with a mistake.
#[test]
fn routes_show_neither_user_nor_path() {
    let text = "[telegram]\ntoken = '1:a'\nroute = ['direct', 'socks5h://al:$KEY@h:9', 'https://relay.example/pa7h/']";
    let config = sound(text);
    let shown = "direct, socks5h://***@h:9, https://relay.example/***";
    assert!(summary(&config).contains(&format!(", route {shown}, poll 50s")));
    let json = to_json(&config);
    let list = "[\"direct\",\"socks5h://***@h:9\",\"https://relay.example/***\"]";
    assert!(json.contains(&format!("\"route\":{list},")), "{json}");
    assert_eq!(
        config.warnings[0],
        "`route` has the relay https://relay.example/***: what runs there sees the bot's token and every message; \
         use none but your own"
    );
    assert!(!format!("{config:?}").contains("pa7h"));
    rendered(
        "[telegram]\ntoken = '1:a'\nroute = ['socks5h://al:pw@h:9', 'https://h/pa7h', 'https://h/pa7h']",
        "sitemon.conf:3:52: `route` has https://h/*** twice\n\
        \x20   3 | route = ['socks5h://*****@h:9', 'https://h*****', 'https://h*****']\n\
        \x20     |                                                    ^^^^^^^^^^^^^^",
    );
    let exposed = parsed_from(text, true, &|_| Some("s3cret".to_owned())).expect("sound");
    let warning = exposed
        .warnings
        .iter()
        .find(|w| w.contains("can be read by other users"));
    assert!(
        warning.is_some_and(|w| w.contains("`route` in line 3")),
        "{:?}",
        exposed.warnings
    );
}

#[test]
fn the_token_comes_from_exactly_one_place() {
    let token = |text: &str| sound(text).telegram.unwrap().token.expose().to_owned();
    assert_eq!(
        token("[telegram]\ntoken = '123456:ABC-DEF'"),
        "123456:ABC-DEF"
    );
    assert_eq!(
        token("[telegram]\ntoken_file = 'sound.token'"),
        "123456:ABC-DEF"
    );
    wrong(
        "[telegram]\ntoken = '1:a'\ntoken_file = 'sound.token'",
        &["3:15: `token_file` and `token` are both given; keep one of them"],
    );
    wrong(
        "[telegram] # x",
        &[
            "1:1: [telegram] has no bot token; give it as `token`, in a file named by `token_file`, \
           or in the environment as SITEMON_TELEGRAM_TOKEN",
        ],
    );
    let env =
        |value: &'static str| move |name: &str| (name == TOKEN_VARIABLE).then(|| value.to_owned());
    let from_env = parsed_in("[telegram]", &env(" 7:env\n")).unwrap();
    assert_eq!(from_env.telegram.unwrap().token.expose(), "7:env");
    let from_file = parsed_in("[telegram]\ntoken = '1:a'", &env("7:env")).unwrap();
    assert_eq!(from_file.telegram.unwrap().token.expose(), "1:a");
    assert_eq!(
        parsed_in("[telegram]", &env("hunter2"))
            .unwrap_err()
            .to_string(),
        "sitemon.conf:1:1: what SITEMON_TELEGRAM_TOKEN holds is not a bot token; BotFather gives it \
         in the form 123456:ABC-DEF\n    1 | [telegram]\n      | ^^^^^^^^^^"
    );
}

#[test]
fn a_bad_token_is_never_shown() {
    rendered(
        "[telegram]\ntoken = '123456:ABC DEF' # 1:a",
        "sitemon.conf:2:10: `token` is not a bot token; BotFather gives it in the form 123456:ABC-DEF\n\
        \x20   2 | token = '**************' *****\n\
        \x20     |          ^^^^^^^^^^^^^^",
    );
    for (path, why) in [
        (
            "no.token",
            "names /etc/no.token, which cannot be read: No such file or directory",
        ),
        (
            "empty.token",
            "names /etc/empty.token, which is empty; put the bot token into it",
        ),
        (
            "bad.token",
            "names /etc/bad.token, but what that holds is not a bot token; BotFather gives it in the form 123456:ABC-DEF",
        ),
        (
            " 123456:A B",
            "must be the path of a file; a token itself goes into `token`",
        ),
    ] {
        wrong(
            &format!("[telegram]\ntoken_file = '{path}'"),
            &[&format!("2:15: `token_file` {why}")],
        );
    }
}

#[test]
fn a_token_file_that_only_root_may_read_comes_from_systemd() {
    let with = |credentials: Option<&str>, file: &str| {
        let env = |name: &str| match name {
            "CREDENTIALS_DIRECTORY" => credentials.map(str::to_owned),
            _ => None,
        };
        let text = format!("[telegram]\ntoken_file = '{file}'");
        match parsed_in(&text, &env) {
            Ok(config) => config.telegram.unwrap().token.expose().to_owned(),
            Err(mistakes) => mistakes.to_string(),
        }
    };
    let systemd = Some("/run/credentials");
    assert_eq!(with(systemd, "shut.token"), "123456:ABC-DEF");
    for (credentials, file) in [(None, "shut.token"), (systemd, "lost.token")] {
        let said = with(credentials, file);
        let why = format!("names /etc/{file}, which cannot be read: Permission denied");
        assert!(said.contains(&why), "{said}");
    }
}

#[test]
fn a_secret_that_others_can_read_is_a_warning() {
    let warning = "/etc/open.token holds the bot token and other users can read it; chmod 600 /etc/open.token";
    let site = "[[site]]\nname='a'\nurl='http://h'";
    assert_eq!(
        sound(&format!("[telegram]\ntoken_file='open.token'\n{site}")).warnings,
        [warning]
    );
    let none = "no [[site]] in sitemon.conf: nothing to watch";
    assert_eq!(sound("").warnings, [none]);
}

#[test]
fn literal_secrets_in_a_file_that_others_can_read_are_named() {
    let warnings = |text: &str, exposed: bool| {
        let text = format!("{text}\n[[site]]\nname = 'last'\nurl = 'http://h'");
        let env = |_: &str| Some("1:a".to_owned());
        parsed_from(&text, exposed, &env).unwrap().warnings
    };
    let site = "[[site]]\nname = 'a'\nurl = 'https://h/'\n";
    for (line, key) in [
        ("auth = 'u:p'", "auth"),
        ("headers = { X-Api-Key = 'k' }", "headers.X-Api-Key"),
        ("send = '{\"password\":\"x\"}'", "send"),
        (
            "login = { url = 'https://h/', form = { user = 'me', pw = 'x' } }",
            "login.form.pw",
        ),
        (
            "login = { url = 'https://h/', form = { a = 'me', b = 'x' } }",
            "login.form",
        ),
    ] {
        let text = format!("{site}{line}");
        let expected = format!(
            "sitemon.conf can be read by other users and holds secrets: `{key}` in line 4; put them \
             into the environment as $NAME (the token also into a `token_file`), or chmod 600 \
             sitemon.conf"
        );
        assert_eq!(warnings(&text, true), [expected], "{line}");
        assert_eq!(warnings(&text, false), [""; 0], "{line}");
    }
    for line in [
        "auth = 'bearer $T'",
        "headers = { X-Api-Key = '$K', Accept = 'text/html' }",
        "send = 'PING'",
        "login = { url = 'https://h/', form = { user = 'me', kennwort = '$P' } }",
    ] {
        assert_eq!(warnings(&format!("{site}{line}"), true), [""; 0], "{line}");
    }
    let many = "[telegram]\ntoken = '1:a'\n[agent]\nheartbeat = 'https://h/id'\n[defaults]\nauth = 'u:p'\n\
                headers = { Cookie = 'a', X-Token = 'b' }\nsend = 'token'\n\
                [[site]]\nname = 'a'\nurl = 'https://u:p@h/'\n";
    let [warning] = &warnings(many, true)[..] else {
        panic!("one for the file");
    };
    let named = "`token` in line 2, `heartbeat` in line 4, `auth` in line 6, \
                 `headers.Cookie` in line 7, `headers.X-Token` in line 7 and 2 more; ";
    assert!(warning.contains(named), "{warning}");
}

#[test]
fn the_files_of_the_packages_hold_no_secret() {
    let example = include_str!("../../../sitemon.conf");
    assert_eq!(
        parsed_from(example, true, &|_| None).unwrap().warnings,
        [""; 0]
    );
}

#[test]
fn secrets_that_travel_unencrypted_are_warned_about() {
    let warnings =
        |text: &str| sound(&format!("{text}\n[[site]]\nname = 'a'\nurl = 'http://h'")).warnings;
    assert_eq!(
        warnings("[telegram]\ntoken = '1:a'\napi = 'http://far'"),
        ["`api` begins with http://: the token travels unencrypted to far; use https://"]
    );
    assert_eq!(
        warnings("[agent]\nheartbeat = 'http://hc.example/id'"),
        [
            "`heartbeat` begins with http://: its secret address travels unencrypted to hc.example; use https://"
        ]
    );
    for near in ["http://127.0.0.1:8081", "http://192.168.1.2", "https://far"] {
        let text = format!("[telegram]\ntoken = '1:a'\napi = '{near}'");
        assert_eq!(warnings(&text), [""; 0], "{near}");
    }
}

#[test]
fn the_agent_is_checked() {
    for (line, expected) in [
        (
            "max_connections = 3",
            "2:19: `max_connections` must be a whole number from 4 to 1000, not 3",
        ),
        (
            "idle_connections = -1",
            "2:20: `idle_connections` must be a whole number from 0 to 1000, not -1",
        ),
        (
            "commands = 0",
            "2:12: `commands` must be a whole number from 1 to 1000, not 0",
        ),
        (
            "idle_timeout = '0s'",
            "2:17: `idle_timeout` must be at least 1s, not 0s",
        ),
        (
            "idle_timeout = '1500ms'",
            "2:17: `idle_timeout` must be whole seconds, not 1s500ms",
        ),
        (
            "state = 5",
            "2:9: `state` must be a path in quotes, found an integer",
        ),
        (
            "user_agent = ' '",
            "2:15: `user_agent` is empty; leave it out for the usual one",
        ),
        (
            "uplink = 'tcp://1.1.1.1:443'",
            "2:11: `uplink` must be a list such as [\"tcp://1.1.1.1:443\"], found a text in quotes",
        ),
        (
            "uplink = [443]",
            "2:11: `uplink` must be a list such as [\"tcp://1.1.1.1:443\"], found an integer in it",
        ),
        (
            "uplink = ['tcp://h:1', 'tcp://H:1']",
            "2:25: `uplink` has tcp://h:1 twice",
        ),
        (
            "uplink = ['https://h/']",
            "2:12: `uplink` must be a list of \"tcp://HOST:PORT\" such as \"tcp://1.1.1.1:443\" or \
             \"tcp://[2620:fe::fe]:443\"; `https://h/` is none",
        ),
        (
            "uplink = ['','','','','','','','','']",
            "2:10: `uplink` has 9 addresses; at most 8, for all of them are asked at once when a \
             site fails",
        ),
        (
            "heartbeat = ['https://h/']",
            "2:13: `heartbeat` must be a URL in quotes, found a list",
        ),
        (
            "heartbeat = 'tcp://h:1'",
            "2:14: `heartbeat` must begin with http:// or https://, not with tcp://",
        ),
        (
            "heartbeat = 'https://h/$id'",
            "2:24: `heartbeat` needs an environment variable that is not set; `$$` is a dollar sign",
        ),
        (
            "rdap = 'rdap.org'",
            "2:9: `rdap` must begin with http:// or https://",
        ),
        (
            "rdap = 'https://rdap.org/?a'",
            "2:9: `rdap` must end before any `?` or `#`",
        ),
        (
            "after = 'a'",
            "2:1: unknown key `after` here; it belongs in [[site]]",
        ),
        (
            "timezone = 'Europe/Brelin'",
            "2:13: `timezone` \"Europe/Brelin\" is not a known time zone",
        ),
        (
            "digest = '9'",
            "2:11: `digest` must be a time from 00:00 to 23:59 such as \"09:00\"; `9` is none",
        ),
    ] {
        wrong(&format!("[agent]\n{line}"), &[expected]);
    }
    let agent = sound("[agent]\nidle_connections = 0\nstate = '/s'\nca_file = 'ca.pem'").agent;
    assert_eq!(
        (agent.idle_connections, agent.state.to_str()),
        (0, Some("/s"))
    );
    assert_eq!(agent.ca_file.as_deref(), Some(Path::new("/etc/ca.pem")));
    let config = sound("[agent]\nrdap = 'https://RDAP.example/v1/'");
    assert_eq!(
        config.agent.rdap.as_deref(),
        Some("https://rdap.example/v1")
    );
    assert!(summary(&config).contains("\nrdap      https://rdap.example/v1\n"));
}

#[test]
fn the_heartbeat_is_filled_in_and_never_shown() {
    let config = sound("[agent]\nheartbeat = 'https://$HOST/$KEY#x'\nuplink = []");
    let heartbeat = config.agent.heartbeat.as_ref().unwrap();
    assert_eq!(heartbeat.expose(), "https://example.org/s3cret");
    assert_eq!(config.agent.uplink, []);
    let shown = format!("{config:?}{}{}", summary(&config), to_json(&config));
    assert!(!shown.contains("s3cret"), "{shown}");
    rendered(
        "[agent]\nheartbeat = 'https//hc.example/id' # old: id",
        "sitemon.conf:2:14: `heartbeat` must begin with http:// or https://\n\
        \x20   2 | heartbeat = '********************' *********\n\
        \x20     |              ^^^^^^^^^^^^^^^^^^^^",
    );
}

#[test]
fn tables_have_the_right_shape_and_known_names() {
    wrong(
        "[site]\nname='a'",
        &["1:1: write [[site]], with two brackets"],
    );
    wrong(
        "[site]\nx=1\n[site]\nx=1",
        &["3:1: write [[site]], with two brackets, for every site"],
    );
    wrong(
        "site = 5",
        &["1:8: [[site]] must be a table, found an integer"],
    );
    wrong(
        "site = [5]",
        &["1:9: [[site]] must be a table, found an integer"],
    );
    wrong(
        "agent = 5",
        &["1:9: [agent] must be a table, found an integer"],
    );
    wrong(
        "[[agent]]",
        &["1:1: there is only one [agent]: write it with one bracket"],
    );
    wrong(
        "[sites]",
        &["1:2: unknown table `sites`; did you mean `site`?"],
    );
    wrong(
        "[listne]",
        &["1:2: unknown table `listne`; did you mean `listen`?"],
    );
    wrong(
        "interval='9s'",
        &["1:1: unknown key `interval` here; it belongs in [defaults] or [[site]]"],
    );
    wrong(
        "[x]",
        &[
            "1:2: unknown table `x`; the file has telegram, agent, defaults, site, notify, action, listen",
        ],
    );
    wrong(
        "[defaults]\nurl='x'\nafter='x'",
        &[
            "2:1: unknown key `url` here; it belongs in [[site]]",
            "3:1: unknown key `after` here; it belongs in [[site]]",
        ],
    );
    wrong_site(
        "maintenance = '14d'",
        &[
            "4:16: `maintenance` must be windows such as \"Sun 02:00-04:00\", \
             \"Mon-Fri 12:00-13:00\" or \"02:00-04:00\", with commas between them; `14d` is none",
        ],
    );
    wrong_site(
        "maintenance = 'Sun 02:00-02:00'",
        &[
            "4:16: `maintenance` has `Sun 02:00-02:00`, which begins when it ends; \
             the whole day is 00:00-24:00",
        ],
    );
    // What follows a blank may be a secret.
    wrong(
        "\"Bearer x\" = 1",
        &[
            "1:2: unknown table `Bearer…`; the file has telegram, agent, defaults, site, notify, action, listen",
        ],
    );
    wrong(
        "\"Bearer x\" = 1\n\"Bearer x\" = 1",
        &["2:2: `Bearer…` is here twice; the first is in line 1"],
    );
    wrong(
        "[\"Bearer x\"]\n[\"Bearer x\"]",
        &["2:1: [Bearer…] is here twice; the first is in line 1"],
    );
    wrong_site(
        "form = { user = 'me' }",
        &["4:1: unknown key `form` here; it belongs in `login`"],
    );
    let site = &sound("site = [{ name = 'a', url = 'http://h', headers.A = 'b' }]").sites[0];
    assert_eq!(site.name, "a");
}

#[test]
fn an_unknown_key_is_shown_as_the_specification_says() {
    rendered(
        "\n[defaults]\nintervall = \"60s\"",
        "sitemon.conf:3:1: unknown key `intervall`; did you mean `interval`?\n\
        \x20   3 | intervall = \"***\"\n\
        \x20     | ^^^^^^^^^",
    );
}

#[test]
fn syntax_errors_are_said_in_words() {
    for (text, expected) in [
        (
            "a = 'b",
            "1:5: this text is never closed: the quotes at its end are missing",
        ),
        (
            "a = 'b\n",
            "1:7: the quote that closes the text is missing in this line",
        ),
        (
            "a = \"\"\"b\n",
            "1:5: this text is never closed: the quotes at its end are missing",
        ),
        (
            "a = 60s",
            "1:5: this is no number; texts such as \"60s\" stand in quotes",
        ),
        (
            "a = yes",
            "1:5: this is no value; texts stand in quotes, and true and false are in small letters",
        ),
        (
            "a = \"\\q\"",
            "1:7: `\\` before `q` means nothing; write `\\\\` for a backslash, or use single quotes",
        ),
        (
            "a = \"\\ud800\"",
            "1:7: this escape stands for no character",
        ),
        (
            "a = \"\u{1b}\"",
            "1:6: the character \\u{1b} must be written as an escape such as \\u001b",
        ),
        ("a 'b'", "1:3: expected `=`, found a text in quotes"),
        ("a = 1 b", "1:7: expected the end of the line, found a word"),
        ("[agent", "1:7: expected `]`, found the end of the file"),
        ("[agent\n\n", "1:7: expected `]`, found the end of the line"),
        ("a = [1,\n\n", "1:8: the file ends where a value should be"),
        ("a =", "1:4: the file ends where a value should be"),
        ("= 1", "1:1: expected a key, found `=`"),
        (
            "a = {b = 1",
            "1:11: expected `,`, found the end of the file",
        ),
        ("ä = 1", "1:1: `\\u{e4}` cannot stand here"),
        (
            "a = 1\na = 2",
            "2:1: `a` is here twice; the first is in line 1",
        ),
        (
            "[agent]\n[agent]",
            "2:1: [agent] is here twice; the first is in line 1",
        ),
        (
            "[site.headers]\n[[site]]",
            "2:1: this was a table before and cannot become a list",
        ),
        (
            "a = 1\na.b = 2",
            "2:1: this extends the value in line 1, which is no table",
        ),
    ] {
        wrong(text, &[expected]);
    }
    wrong(
        &format!("a = {}", "[".repeat(100_000)),
        &["1:133: this is nested too deeply"],
    );
}
