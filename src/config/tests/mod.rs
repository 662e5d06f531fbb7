//! Whole configurations: what they mean, and every mistake with its text.

mod conditions;
mod endpoints;
mod kinds;
#[cfg(feature = "listen")]
mod listen;
mod logins;
mod notify;
mod reference;
mod sites;
mod tables;

use super::*;
use crate::plain_site::plain_site;
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt;

/// A world in which `HOST`, `KEY` and `LINES` are set and two token files exist.
fn parsed(text: &str) -> Result<Config, Mistakes> {
    parsed_in(text, &|name| match name {
        "HOST" => Some("example.org".to_owned()),
        "KEY" => Some("s3cret".to_owned()),
        "LINES" => Some("a\nb".to_owned()),
        _ => None,
    })
}

fn parsed_in(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Mistakes> {
    parsed_from(text, false, env)
}

/// `exposed`: others can read the file.
fn parsed_from(
    text: &str,
    exposed: bool,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Mistakes> {
    let read = |path: &Path| match path.to_str() {
        Some("/etc/sound.token") => Ok(SmallFile {
            text: "\n123456:ABC-DEF \n".to_owned(),
            exposed: false,
        }),
        Some("/etc/shut.token" | "/etc/lost.token") => Err(io::Error::from_raw_os_error(13)),
        Some("/run/credentials/shut.token") => Ok(SmallFile {
            text: "123456:ABC-DEF".to_owned(),
            exposed: false,
        }),
        Some("/etc/open.token") => Ok(SmallFile {
            text: "123456:ABC-DEF".to_owned(),
            exposed: true,
        }),
        Some("/etc/empty.token") => Ok(SmallFile {
            text: " \n".to_owned(),
            exposed: false,
        }),
        Some("/etc/bad.token") => Ok(SmallFile {
            text: "hunter2".to_owned(),
            exposed: false,
        }),
        _ => Err(io::Error::from_raw_os_error(2)),
    };
    let ctx = Context {
        file: "sitemon.conf",
        exposed,
        dir: Path::new("/etc"),
        zone: &|name| match name {
            "Europe/Berlin" | "CET-1CEST,M3.5.0,M10.5.0/3" => Ok(()),
            _ => Err(format!("{name:?} is not a known time zone")),
        },
        env,
        read: &read,
    };
    parse(text, &ctx)
}

#[track_caller]
fn sound(text: &str) -> Config {
    parsed(text).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// The mistakes as `LINE:COL: what`.
fn mistakes(text: &str) -> Vec<String> {
    let list = match parsed(text) {
        Err(Mistakes::Found { list, .. }) => list,
        Err(Mistakes::Unreadable(sentence)) => panic!("{sentence}"),
        Ok(_) => Vec::new(),
    };
    list.iter()
        .map(|m| format!("{}:{}: {}", m.line, m.column, m.what))
        .collect()
}

#[track_caller]
fn wrong(text: &str, expected: &[&str]) {
    assert_eq!(mistakes(text), expected);
}

/// A site that has one more `line`, its fourth, and what is wrong with it.
#[track_caller]
fn wrong_site(line: &str, expected: &[&str]) {
    wrong(
        &format!("[[site]]\nname = \"a\"\nurl = \"https://h/\"\n{line}\n"),
        expected,
    );
}

#[track_caller]
fn rendered(text: &str, expected: &str) {
    assert_eq!(parsed(text).unwrap_err().to_string(), expected);
}

#[test]
fn the_example_in_the_repository_is_sound() {
    let config = sound(include_str!("../../../sitemon.conf"));
    let names: Vec<&str> = config.sites.iter().map(|site| site.name.as_str()).collect();
    assert_eq!(names, ["example", "rust", "debian"]);
    assert!(config.telegram.is_none());
    assert_eq!(config.warnings, [""; 0]);
    assert_eq!(config.agent.state, Path::new("/etc/state"));
}

#[test]
fn the_example_shows_every_key_and_all_of_it_is_sound() {
    let example = include_str!("../../../sitemon.conf");
    let everything: String = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(active) if active.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => {
                active
            }
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let set = |name: &str| Some(format!("value-of-{name}"));
    parsed_in(&everything, &set).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    for section in [&keys::TELEGRAM, &keys::AGENT, &keys::SITE, &keys::LOGIN] {
        for key in section.keys.iter().map(|key| key.name) {
            assert!(example.contains(&format!("{key} = ")), "{key}");
        }
    }
}

#[test]
fn many_mistakes_are_reported_together() {
    let text = include_str!("../../../tests/config_errors/many.conf");
    let expected = include_str!("../../../tests/config_errors/many.txt");
    rendered(text, expected.trim_end());
}

#[test]
fn what_the_file_does_not_say_has_the_documented_default() {
    let config = sound("[telegram]\ntoken = '1:a'\n[[site]]\nname = 'a'\nurl = 'https://h'");
    let telegram = config.telegram.unwrap();
    assert_eq!(telegram.token.expose(), "1:a");
    assert_eq!((telegram.chats, telegram.users), (vec![], None));
    assert_eq!(telegram.api, "https://api.telegram.org");
    assert_eq!(telegram.poll, Duration::from_secs(50));
    let agent = config.agent;
    assert_eq!(agent.state, Path::new("/var/lib/sitemon"));
    assert_eq!(
        (
            agent.max_connections,
            agent.idle_connections,
            agent.commands
        ),
        (10, 5, 2)
    );
    assert_eq!(agent.idle_timeout, Duration::from_secs(30));
    let uplink: Vec<String> = agent.uplink.iter().map(ToString::to_string).collect();
    assert_eq!(uplink, ["tcp://1.1.1.1:443", "tcp://9.9.9.9:443"]);
    assert_eq!(agent.heartbeat, None);
    assert_eq!(agent.rdap, None);
    assert_eq!(
        agent.user_agent,
        concat!("sitemon/", env!("CARGO_PKG_VERSION"))
    );
    // The URL is shown as it is written, and asked for in full.
    let expected = Site {
        url: "https://h".to_owned(),
        cert: Some(Duration::from_secs(14 * 86_400)),
        ..plain_site("a", "https://h/")
    };
    assert_eq!(config.sites, [expected.into()]);
}

#[test]
fn load_reads_the_file_and_the_token_beside_it() {
    use std::fs::{Permissions, set_permissions, write};
    let dir = tempfile::tempdir().unwrap();
    let (conf, token) = (dir.path().join("sitemon.conf"), dir.path().join("token"));
    // As an editor of Windows writes it.
    write(&token, "\u{feff}1:abc\r\n").unwrap();
    write(
        &conf,
        "[telegram]\ntoken_file = 'token'\n[agent]\nstate = 'state'",
    )
    .unwrap();
    set_permissions(&token, Permissions::from_mode(0o640)).unwrap();
    let config = load(&conf, &|_| None).unwrap();
    assert_eq!(config.telegram.unwrap().token.expose(), "1:abc");
    assert_eq!(config.agent.state, dir.path().join("state"));
    assert!(config.warnings[0].starts_with(&format!("{} holds the bot token", token.display())));
    // Root can try what it looks like when a service's group was given the file.
    if std::os::unix::fs::chown(&token, Some(0), Some(12345)).is_ok() {
        assert_eq!(load(&conf, &|_| None).unwrap().warnings.len(), 1);
    }

    write(&conf, "[telegram]\ntoken = '1:abc'").unwrap();
    set_permissions(&conf, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(load(&conf, &|_| None).unwrap().warnings.len(), 1);
    set_permissions(&conf, Permissions::from_mode(0o604)).unwrap();
    let warnings = load(&conf, &|_| None).unwrap().warnings;
    assert!(
        warnings[0].ends_with(&format!("chmod 600 {}", conf.display())),
        "{warnings:?}"
    );
}

#[test]
fn load_says_why_a_file_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let failure = |path: &Path| load(path, &|_| None).unwrap_err().to_string();
    let shown = dir.path().display();
    assert_eq!(
        failure(dir.path()),
        format!("cannot read {shown}: Is a directory")
    );
    let path = dir.path().join("a");
    std::fs::write(&path, b"a\n\xff").unwrap();
    assert_eq!(
        failure(&path),
        format!("cannot read {shown}/a: line 2 is not UTF-8 text")
    );
    std::fs::write(&path, vec![b'\n'; 1 << 21]).unwrap();
    assert_eq!(
        failure(&path),
        format!("cannot read {shown}/a: it is larger than 1 MiB")
    );
}

/// A file in which much is given.
const FULL: &str = "[telegram]\ntoken = '123456:ABC-DEF'\nchats = [5, -6]\nusers = [7]\ntopic = 42\nquiet = '22:00-7:00'\n\
    [agent]\nstate = 'state'\nuser_agent = 'x'\nca_file = 'roots.pem'\n\
    timezone = 'Europe/Berlin'\ndigest = '9:00'\nuplink = ['tcp://[::1]:53', 'tcp://h:443']\nheartbeat = 'https://h/s4?s5'\n\
    [[site]]\nname = 'a \"b\"'\nurl = 'https://u:p@h/ä'\ninterval = '90s'\nslow = '2s'\ngroup = 'g'\n\
    chats = [5]\nmethod = 'POST'\nheaders = { A = 's1', B = 's2' }\nsend = 's3'\nbody = \"x\\u001b\"\n\
    body_not = 'y'\nhttp = '2'\nip = '6'\nverify = false\nca_file = 'ca.pem'\nremind = '0s'\nmaintenance = 'Sun 2:00-4:00,12:00-12:30'\nnote = 'call Ann'\n\
    [[site]]\nname = 'second'\nurl = 'http://h'\npaused = true\nafter = 'a \"b\"'\n";

#[test]
fn the_summary_is_a_table_without_secrets() {
    assert_eq!(
        summary(&sound(FULL)),
        "NAME    URL                EVERY  TIMEOUT  EXPECTED\n\
         a \"b\"   https://u:***@h/ä  1m30s  10s      status 200-299, body with \"x\\u{1b}\", \
         body without \"y\", certificate not verified, cert 14d, within 2s, \
         maintenance Sun 02:00-04:00, 12:00-12:30\n\
         second  http://h           1m     10s      paused, status 200-299, after a \"b\"\n\
         \n\
         agent     state /etc/state, 10 connections at once (5 idle for 30s), 2 commands at once, \
         user agent x, roots /etc/roots.pem\n\
         time zone Europe/Berlin\n\
         digest    at 09:00\n\
         uplink    tcp://[::1]:53, tcp://h:443\n\
         heartbeat *** every minute\n\
         telegram  token ***, chats 5, -6, users 7, topic 42, quiet 22:00-07:00, api https://api.telegram.org, poll 50s\n"
    );
    assert_eq!(
        summary(&sound(
            "[agent]\nstate = '/s'\nuser_agent = 'x'\nuplink = []"
        )),
        "agent     state /s, 10 connections at once (5 idle for 30s), 2 commands at once, user agent x\n\
         time zone the system's\n\
         uplink    none: our own line is never asked\n\
         heartbeat none\n\
         telegram  none: the terminal is the chat\n"
    );
}

#[test]
fn json_has_every_key_and_no_secret() {
    let json = to_json(&sound(FULL));
    assert_eq!(
        json,
        r#"{"sites":[{"name":"a \"b\"","url":"https://u:***@h/ä","after":null,"interval":"1m30s","timeout":"10s","#
            .to_owned()
            + r#""tries":3,"retry":"10s","recover":1,"remind":"0s","slow":"2s","group":"g","#
            + r#""paused":false,"chats":[5],"maintenance":"Sun 02:00-04:00, 12:00-12:30","note":"call Ann","method":"POST","headers":{"A":"***","B":"***"},"#
            + r#""send":"***","auth":"***","status":"200-299","body":"x\u001b","body_not":"y","#
            + r#""json":[],"redirects":10,"private_redirects":false,"proxy":null,"http":"2","login":null,"cert":"14d","verify":false,"#
            + r#""ca_file":"/etc/ca.pem","domain":"0s","ip":"6"},"#
            + r#"{"name":"second","url":"http://h","after":"a \"b\"","interval":"1m","timeout":"10s","tries":3,"#
            + r#""retry":"10s","recover":1,"remind":"6h","slow":null,"group":null,"paused":true,"#
            + r#""chats":null,"maintenance":null,"note":null,"method":"GET","headers":{},"send":null,"auth":null,"#
            + r#""status":"200-299","body":null,"body_not":null,"json":[],"redirects":10,"private_redirects":false,"proxy":null,"#
            + r#""http":null,"login":null,"domain":"0s","ip":null}],"#
            + r#""agent":{"state":"/etc/state","socket":"/etc/state/push.sock","spool":"/etc/state/spool","max_connections":10,"idle_connections":5,"idle_timeout":"30s","#
            + r#""commands":2,"uplink":["tcp://[::1]:53","tcp://h:443"],"heartbeat":"***","#
            + r#""digest":"09:00","timezone":"Europe/Berlin","rdap":null,"ca_file":"/etc/roots.pem","user_agent":"x"},"#
            + r#""telegram":{"token":"***","chats":[5,-6],"users":[7],"topic":42,"quiet":"22:00-07:00","#
            + r#""api":"https://api.telegram.org","route":["direct"],"poll":"50s"}}"#
    );
}

proptest! {
    #[test]
    fn no_text_breaks_the_reader(text in any::<String>()) {
        let _ = parsed(&text).map_err(|mistakes| mistakes.to_string());
    }

    #[test]
    fn no_toml_like_text_breaks_the_reader(
        lines in proptest::collection::vec(
            r#"(\[\[?(site|agent|telegram|defaults|site\.headers)\]?\]|(name|url|after|uplink|heartbeat|chats|headers|status|token|slow|json|login|form|expect|domain) ?= ?)?[a-z0-9=.\[\]{}"'$:/ é\\-]{0,12}"#,
            0..12,
        )
    ) {
        let _ = parsed(&lines.join("\n")).map_err(|mistakes| mistakes.to_string());
    }

    /// A secret under its key or a slip of it, in any quotes or none, the line sound or broken.
    #[test]
    fn no_secret_is_ever_shown(
        section in "(\\[telegram\\]|\\[agent\\]|\\[\\[site\\]\\]|\\[site\\.headers\\]\nx = 5)",
        key in "(token|auth|send|form|login|lgoin|tokn|auht|heartbeat|hartbeat|telegram\\.token|x = token|headers\\.X|\"auth\"|login\\.form|login\\.form\\.p)",
        equals in "( = |=| |: )",
        open in "(\"|'|\"\"\"|'''||\\{ a = \"|\\{ form = \\{ p = ')",
        before in "[a-z$:\\\\ ]{0,3}",
        after in "[a-z#,= ]{0,3}",
        close in "(\"|'|\"\"\"|'''|)",
        rest in "[a-z\"'#,= ]{0,3}",
    ) {
        let secret = "Xk7QzW";
        let text = format!("{section}\n{key}{equals}{open}{before}{secret}{after}{close}{rest}\nname = 5\n");
        if let Err(mistakes) = parsed(&text) {
            prop_assert!(!mistakes.to_string().contains(secret), "{text}\n{mistakes}");
        }
    }

    #[test]
    fn no_bot_token_is_ever_shown(before in "[^0-9]{0,20}", after in "([^A-Za-z0-9_-].{0,20})?") {
        let token = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";
        if let Err(mistakes) = parsed(&format!("{before}{token}{after}")) {
            prop_assert!(!mistakes.to_string().contains(token));
        }
    }
}
