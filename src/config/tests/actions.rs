//! `[[action]]`: what it means, and every mistake in it.

use super::*;
use crate::config::Task;
use crate::monitor::incident::remediation::{Limit, When};

const SITE: &str = "[[site]]\nname = 'wan'\nurl = 'https://h/'\ngroup = 'lines'\n";

/// An action with these lines, from the sixth of the file on.
fn action(lines: &str) -> String {
    format!("{SITE}[[action]]\n{lines}\n")
}

#[track_caller]
fn wrong_action(lines: &str, expected: &[&str]) {
    wrong(&action(lines), expected);
}

/// A sound one but for this line, the ninth of the file.
#[track_caller]
fn wrong_line(line: &str, expected: &[&str]) {
    wrong_action(
        &format!("name = 'a'\nsites = ['wan']\nwake = 'aa:bb:cc:dd:ee:ff'\n{line}"),
        expected,
    );
}

#[test]
fn an_action_with_everything_is_read_and_shows_no_secret() {
    let config = sound(&action(
        "name = 'restart modem'\nsites = ['wan', 'lines']\nauto = '10m'\nlimit = '3 per 1d'\n\
         request = { url = 'https://plug.lan/relay/0?key=$KEY', method = 'PUT', headers = { \
         Authorization = 'Bearer $KEY' }, body = 'off=$KEY' }",
    ));
    let action = &config.actions[0];
    assert_eq!(action.remediation.name, "restart modem");
    assert_eq!(action.remediation.sites, ["wan", "lines"]);
    assert_eq!(action.remediation.when, When::Down);
    assert_eq!(action.remediation.auto, Some(Duration::from_secs(600)));
    let day = Duration::from_secs(86_400);
    let limit = Limit {
        runs: 3,
        within: day,
    };
    assert_eq!(action.remediation.limit, limit);
    let Task::Request(request) = &action.task else {
        panic!("{action:?}")
    };
    assert_eq!(request.url.expose(), "https://plug.lan/relay/0?key=s3cret");
    assert_eq!(request.headers[0].1.expose(), "Bearer s3cret");
    for shown in [format!("{config:?}"), to_json(&config), summary(&config)] {
        assert!(
            !shown.contains("s3cret") && !shown.contains("relay"),
            "{shown}"
        );
    }
    let line = "action    restart modem: PUT https://plug.lan/***, when wan, lines down, \
                by itself after 10m, 3 per 1d\n";
    assert!(summary(&config).ends_with(line), "{}", summary(&config));
    let json = "\"action\":[{\"name\":\"restart modem\",\"request\":{\"url\":\"***\",\"method\":\"PUT\",\
                \"headers\":{\"Authorization\":\"***\"},\"body\":\"***\"},\"command\":null,\"wake\":null,\
                \"sites\":[\"wan\",\"lines\"],\"when\":\"down\",\"auto\":\"10m\",\"limit\":\"3 per 1d\"}]";
    assert!(to_json(&config).contains(json), "{}", to_json(&config));
}

#[test]
fn what_an_action_does_not_say_has_its_default() {
    let config = sound(&action(
        "name = 'a'\nwhen = 'offline'\nwake = 'AA-bb-cc-dd-ee-0f'\n[agent]\nuplink = ['tcp://h:1']",
    ));
    let action = &config.actions[0];
    assert_eq!(
        (action.remediation.auto, action.remediation.sites.len()),
        (None, 0)
    );
    let limit = Limit {
        runs: 2,
        within: Duration::from_secs(6 * 3600),
    };
    assert_eq!(action.remediation.limit, limit);
    assert!(matches!(
        action.task,
        Task::Wake([0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0x0f])
    ));
}

#[test]
fn an_action_does_one_thing() {
    wrong_action(
        "name = 'a'\nsites = ['wan']",
        &["5:1: this [[action]] does nothing; give it one of `request`, `command` and `wake`"],
    );
    wrong_line(
        "request = { url = 'http://plug.lan/' }",
        &["8:9: `request` and `wake` are both given; an [[action]] has one of them"],
    );
    wrong_action(
        "name = 'a'\nsites = ['wan']\nrequest = { method = 'get' }",
        &[
            "8:11: `request` has no `url`; say what is to be asked",
            "8:23: `request.method` must be a method in capital letters such as \"GET\"; did you mean \"GET\"?",
        ],
    );
}

#[test]
fn an_action_names_its_sites_or_is_for_our_own_connection() {
    let wake = "name = 'a'\nwake = 'aa:bb:cc:dd:ee:ff'";
    wrong_action(
        wake,
        &[
            "5:1: this [[action]] names no site; say whose down alert has its button, e.g. sites = [\"wan\"], \
           or when = \"offline\"",
        ],
    );
    wrong_action(
        &format!("{wake}\nsites = []"),
        &[
            "8:9: `sites` is empty; it must be a list of names of sites and groups such as [\"wan\"], or left out",
        ],
    );
    wrong_action(
        &format!("{wake}\nsites = ['wam']"),
        &["8:11: `sites` names `wam`, which is no site and no group; did you mean `wan`?"],
    );
    wrong_action(
        &format!("{wake}\nsites = ['wan']\nwhen = 'offline'"),
        &[
            "8:9: `sites` is not for when = \"offline\", which is about our own connection; take it out",
        ],
    );
    wrong_action(
        &format!("{wake}\nsites = ['wan']\nwhen = 'up'"),
        &["9:9: `when` must be \"down\" or \"offline\"; `up` is neither"],
    );
}

#[test]
fn mistakes_in_the_values_of_an_action_say_what_to_write() {
    for (mac, what) in [
        (
            "aa:bb:cc:dd:ee",
            "must be a MAC address such as \"aa:bb:cc:dd:ee:ff\"; `aa:bb:cc:dd:ee` is none",
        ),
        (
            "aa:bb:cc:dd:ee:fg",
            "must be a MAC address such as \"aa:bb:cc:dd:ee:ff\"; `aa:bb:cc:dd:ee:fg` is none",
        ),
        (
            "ff:ff:ff:ff:ff:ff",
            "must be the MAC address of one machine, not of a group or of none",
        ),
    ] {
        wrong_action(
            &format!("name = 'a'\nsites = ['wan']\nwake = '{mac}'"),
            &[&format!("8:9: `wake` {what}")],
        );
    }
    for (limit, what) in [
        (
            "2",
            "must be a number of runs and a time such as \"2 per 6h\"; `2` is none",
        ),
        (
            "two per 6h",
            "must be a number of runs and a time such as \"2 per 6h\"; `two per 6h` is none",
        ),
        (
            "0 per 6h",
            "must allow 1 to 100 runs, not 0; without `auto` nothing runs by itself",
        ),
        ("2 per 5s", "has a time, which must be at least 1m, not 5s"),
    ] {
        wrong_line(
            &format!("limit = '{limit}'"),
            &[&format!("9:10: `limit` {what}")],
        );
    }
    wrong_line("auto = '0s'", &["9:9: `auto` must be at least 1s, not 0s"]);
    let twice = "[[action]]\nname = 'a'\nsites = ['wan']\nwake = 'aa:bb:cc:dd:ee:ff'";
    wrong_line(
        twice,
        &["10:9: `name` is that of another [[action]]; names are unique"],
    );
}

#[test]
fn the_words_of_a_command_are_public_and_its_program_is_known() {
    let command = |words: &str| format!("name = 'a'\nsites = ['wan']\ncommand = [{words}]");
    wrong_action(
        &command("'modem', 'restart'"),
        &[
            "8:13: `command` must begin with the absolute path of a program, such as \"/usr/local/bin/modem\"",
        ],
    );
    wrong_action(
        &command("'/bin/modem', '$PIN'"),
        &[
            "8:27: `command` takes nothing from the environment: every user of this machine can see arguments; \
           let the program read it, or write `$$` for a dollar sign",
        ],
    );
    let config = sound(&action(&command("'/bin/modem', 'a b', '$$(id)'")));
    let Task::Command(words) = &config.actions[0].task else {
        panic!("no command")
    };
    assert_eq!(words, &["/bin/modem", "a b", "$(id)"]);
    let lacking = crate::config::exec::warnings(&config);
    let missing = "the [[action]] a can do nothing: /bin/modem does not exist";
    assert_eq!(lacking, [missing]);
    let config = sound(&action(&command("'/etc/passwd'")));
    let lacking = crate::config::exec::warnings(&config);
    let no_program = "the [[action]] a can do nothing: /etc/passwd cannot be executed";
    assert_eq!(lacking, [no_program]);
}

#[test]
fn an_action_in_a_group_needs_users() {
    let with = |telegram: &str, site: &str| {
        format!(
            "[[site]]\nname = 'wan'\nurl = 'https://h/'\n{site}\n[[action]]\nname = 'a'\nsites = ['wan']\n\
             wake = 'aa:bb:cc:dd:ee:ff'\n[telegram]\ntoken = '1:a'\n{telegram}\n"
        )
    };
    let needs = "5:1: an [[action]] in a group needs `users` in [telegram]: every member of the group could \
                 run it; say who may, e.g. users = [123456789]";
    wrong(&with("chats = [7, -100]", ""), &[needs]);
    sound(&with("chats = [7, -100]\nusers = [7]", ""));
    sound(&with("chats = [7]", ""));
    sound(&with("chats = [7, -100]", "chats = [7]"));
}
