//! `sitemon config`: its summary of the configuration, and its list of mistakes.

use super::{refused, sites_of, text};
use crate::support::agent::Sitemon;
use crate::support::assert_has;
use crate::support::bot_api::BotApi;
use crate::support::json::Json;
use crate::support::scene::{no_token, site};

#[test]
fn config_shows_what_would_run_and_no_secret() {
    let api = BotApi::start();
    let more = "auth = \"user:sesame-opens\"\nheaders = { X-Key = \"sesame-too\" }\n";
    let sitemon = Sitemon::new(&(api.config() + &site("blog", "http://127.0.0.1:1/") + more));
    let table = sitemon.command(&["config"]);
    assert_eq!((table.code, table.stderr.as_str()), (Some(0), ""));
    assert!(table.stdout.contains("blog"), "{}", table.stdout);
    let output = sitemon.command(&["config", "--json"]);
    let sites = sites_of(&output, 0);
    assert_eq!(text(&sites[0], "name"), "blog");
    assert_eq!(text(&sites[0], "auth"), "***");
    let headers = sites[0].get("headers").expect("every key is there");
    assert_eq!(text(headers, "X-Key"), "***");
    assert_eq!(text(&sites[0], "interval"), "1s");
    assert_eq!(text(&sites[0], "status"), "200-299");
    for stdout in [table.stdout, output.stdout] {
        no_token(&api, &stdout);
        assert!(!stdout.contains("sesame"), "{stdout}");
    }
}

#[test]
fn a_command_warns_in_a_line_and_the_agent_in_its_log() {
    let sitemon = Sitemon::new("");
    let path = sitemon.config_path();
    let warning = format!("no [[site]] in {}: nothing to watch\n", path.display());
    for arguments in [&["config"][..], &["check", "-q"], &["check", "--json"]] {
        let output = sitemon.command(arguments);
        assert_eq!(output.code, Some(0), "{output:?}");
        assert_eq!(
            output.stderr,
            format!("warning: {warning}"),
            "{arguments:?}"
        );
    }
    let running = sitemon.run();
    let log = running.wait_stderr(&warning);
    let line = log.lines().find(|line| line.contains("nothing to watch"));
    let times = line.is_some_and(|line| line.starts_with("20") && line.contains("WARN"));
    assert!(times, "{log}");
}

#[test]
fn config_shows_what_the_agent_asks_beside_the_sites() {
    let sitemon = Sitemon::new(
        &(site("router", "http://127.0.0.1:1/")
            + &site("blog", "http://127.0.0.1:2/")
            + "after = \"router\"\n\
               [agent]\nuplink = [\"tcp://[::1]:53\"]\nheartbeat = \"http://127.0.0.1:3/$PING\"\n"),
    )
    .env("PING", "sesame");
    let table = sitemon.command(&["config"]);
    assert_eq!((table.code, table.stderr.as_str()), (Some(0), ""));
    for line in [
        "status 200-299, after router\n",
        "\nuplink    tcp://[::1]:53\n",
        "\nheartbeat *** every minute\n",
    ] {
        assert!(table.stdout.contains(line), "{line}: {}", table.stdout);
    }
    assert!(!table.stdout.contains("sesame"), "{}", table.stdout);
    let sites = sites_of(&sitemon.command(&["config", "--json"]), 0);
    assert_eq!(sites[0].get("after"), Some(&Json::Null));
    assert_eq!(text(&sites[1], "after"), "router");
}

#[test]
fn config_shows_every_kind_of_site() {
    let form = "login = { url = \"http://127.0.0.1:1/\", form = { password = \"sesame\" } }\n";
    let json = "json = [\"queue.# < 100\"]\n";
    let sitemon = Sitemon::new(
        &(site("web", "http://127.0.0.1:1/")
            + form
            + json
            + &site("mail", "tls://mail.example:25?starttls=smtp")
            + "expect = \"220\"\ndomain = \"30d\"\n"
            + &site("name", "dns:///example.com")
            + "expect = \"192.0.2.1\"\n"
            + &site("router", "icmp://[fe80::1]")),
    );
    let table = sitemon.command(&["config"]);
    assert_eq!((table.code, table.stderr.as_str()), (Some(0), ""));
    for expected in [
        "login, status 200-299, queue.# < 100\n",
        "banner \"220\", cert 14d, domain 30d\n",
        "A 192.0.2.1\n",
        "icmp://[fe80::1]",
    ] {
        assert!(
            table.stdout.contains(expected),
            "{expected}: {}",
            table.stdout
        );
    }
    let output = sitemon.command(&["config", "--json"]);
    let sites = sites_of(&output, 0);
    let login = sites[0].get("login").expect("every key is there");
    assert_eq!(text(login.get("form").expect("a form"), "password"), "***");
    assert_eq!(sites[0].get("cert"), None);
    assert_eq!(text(&sites[1], "cert"), "14d");
    assert_eq!(sites[1].get("verify"), Some(&Json::Bool(true)));
    assert_eq!(text(&sites[2], "expect"), "192.0.2.1");
    assert_eq!(sites[3].get("send"), None);
    for stdout in [table.stdout, output.stdout] {
        assert!(!stdout.contains("sesame"), "{stdout}");
    }
}

#[test]
fn a_mistake_inside_a_condition_or_a_url_is_told() {
    let sitemon = Sitemon::new(
        "[[site]]\nname = \"a\"\nurl = \"https://a.example/\"\njson = [\"a.*.b == 1\"]\n\n\
         [[site]]\nname = \"b\"\nurl = \"tcp://b.example\"\nbody = \"x\"\n",
    );
    let output = sitemon.command(&["config"]);
    refused(&output, 2, "sitemon.conf:4:12: `json` has `*` in its path");
    let caret = "    4 | json = [\"a.*.b == 1\"]\n      |            ^\n";
    assert!(output.stderr.contains(caret), "{}", output.stderr);
    for mistake in [
        "sitemon.conf:8:8: `url` must be \"tcp://HOST:PORT\": the port is missing\n",
        "sitemon.conf:9:1: `body` is for http and https sites, this one is tcp",
    ] {
        assert!(output.stderr.contains(mistake), "{}", output.stderr);
    }
}

#[test]
fn mistakes_in_the_file_are_told_with_line_and_column() {
    let sitemon = Sitemon::new(
        "[[site]]\nname = \"blog\"\nurl = \"http://a.example/\"\nintervall = \"1s\"\n\n\
         [[site]]\nname = \"blog\"\nurl = \"gopher://b.example/\"\ntries = \"two\"\n",
    );
    for arguments in [&["config"][..], &["check"], &["run"], &["status"]] {
        let output = sitemon.command(arguments);
        refused(&output, 2, "sitemon.conf:4:1: ");
        assert!(
            output.stderr.contains("`interval`"),
            "the nearest known key"
        );
        for place in ["sitemon.conf:7:", "sitemon.conf:8:", "sitemon.conf:9:"] {
            assert!(output.stderr.contains(place), "{place}: {}", output.stderr);
        }
        assert!(output.stderr.contains("^^^"), "a caret");
    }
}

#[test]
fn no_value_of_an_unknown_key_is_shown() {
    for text in [
        "bearer = \"hunter2\"",
        "api_key = { hunter2 = [\"hunter2\", 'hunter2'] } # hunter2",
        "bearer = \"\"\"\nhunter2\n\"\"\"\n",
        "bearer = \"\"\"\nhunter2\n",
        "bearer = hunter2",
        "bearer hunter2",
        "auth = \"me:hunter2",
        "auth = \"hunter2\"\nauth = \"hunter2\"",
        "headers = { X-Key = [\"hunter2\"], \"Cookie: hunter2\" = \"\" }",
        "login = { form = { p = \"hunter2\", q = 5 }, expct = \"hunter2\" }",
        "\"Authorization: hunter2\" = 1",
        "\"Bearer hunter2\" = 1",
        "\"Bearer hunter2\" = 1\n\"Bearer hunter2\" = 2",
        "[\"Bearer hunter2\"]\n[\"Bearer hunter2\"]",
        "headers = { \"Authorization hunter2\" = \"\" }",
        "[vault]\npin = \"hunter2\"\n[vault]\n",
        "[[site]]\nname = \"b\"\nurl = \"htps://u:hunter2\\u0040h/\"",
        "[[site]]\nname = \"b\"\nurl = \"htps://h\\u003ftoken=hunter2\"",
        "[agent]\nheartbeat = \"hunter2\"\nuplink = [\"https://hunter2@h/?hunter2\"]",
        "[telegram]\ntoken_file = \"hunter2hunter2hunter2hunter2hunter2\"",
    ] {
        let sitemon = Sitemon::new(
            &("[[site]]\nname = \"a\"\nurl = \"ftp://me:hunter2@a.example/?k=hunter2\"\n"
                .to_owned()
                + text),
        );
        let output = sitemon.command(&["config"]);
        refused(&output, 2, "sitemon.conf:");
        for line in output.stderr.lines().chain(output.stdout.lines()) {
            assert!(!line.contains("hunter2"), "{text}\n{}", output.stderr);
        }
    }
}

#[test]
fn secrets_in_a_file_that_others_can_read_are_warned_about() {
    let scene = "[telegram]\ntoken = \"123456:ABC\"\napi = \"http://far\"\n".to_owned();
    let sitemon =
        Sitemon::new(&(scene + &site("a", "http://127.0.0.1:1/") + "auth = \"me:sesame\"\n"));
    let path = sitemon.config_path();
    let open = |mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&path, mode).expect("the mode can be set");
        let output = sitemon.command(&["config"]);
        assert_eq!(output.code, Some(0), "{output:?}");
        assert_has(&output.stderr, "travels unencrypted to far; use https://\n");
        assert!(!output.stderr.contains("sesame"), "{output:?}");
        output.stderr.contains(&format!(
            "{0} can be read by other users and holds secrets: `token` in line 2, `auth` in line 10; \
             put them into the environment as $NAME (the token also into a `token_file`), or chmod 600 {0}\n",
            path.display()
        ))
    };
    assert!(open(0o644) && open(0o604));
    assert!(!open(0o600));
}

#[test]
fn a_long_text_breaks_no_table() {
    let long = |n: usize| format!("body = \"{}\"\n", "x".repeat(n));
    let sitemon = Sitemon::new(
        &(site("a", "http://127.0.0.1:1/")
            + &long(65_508)
            + &site("b", &format!("http://127.0.0.1:1/{}", "y".repeat(70_000)))),
    );
    let output = sitemon.command(&["config"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_has(&output.stdout, "\na     http://127.0.0.1:1/ ");
}
