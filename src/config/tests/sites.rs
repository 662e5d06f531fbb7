//! `[defaults]` and `[[site]]`.

use super::{mistakes, rendered, sound, wrong, wrong_site};
use crate::config::{summary, to_json};
use crate::monitor::site::{Auth, Check, HttpCheck};
use proptest::prelude::*;
use std::time::Duration;

#[test]
fn a_site_goes_before_the_defaults_and_the_defaults_before_ours() {
    let config = sound(
        "[defaults]\ntries = 5\ninterval = '5m'\nremind = '0s'\nheaders = { A = 'a' }\n\
         [[site]]\nname = 'a'\nurl = 'http://h/'\ntries = 2\nheaders = { B = 'b' }\n",
    );
    let site = &config.sites[0];
    assert_eq!(
        (site.tries, site.interval, site.remind),
        (2, Duration::from_secs(300), None)
    );
    let Check::Http(http) = &site.check else {
        panic!("not http")
    };
    assert_eq!(http.headers, [("B".to_owned(), "b".to_owned())]);
}

#[test]
fn a_site_may_have_a_proxy_or_none() {
    use crate::monitor::site::Proxy;
    assert_eq!(http("").proxy, Proxy::Environment);
    assert_eq!(http("proxy = 'none'").proxy, Proxy::None);
    let Proxy::Server(url) = http("proxy = 'socks5h://u:$KEY@Proxy:9'").proxy else {
        panic!("no server");
    };
    assert_eq!(url.expose(), "socks5h://u:s3cret@proxy:9");
    assert_eq!(url.to_string(), "socks5h://***@proxy:9");
    let form = "`proxy` must begin with http://, socks5:// or socks5h://";
    for (key, expected) in [
        ("proxy = 'https://h'", format!("4:10: {form}, not with https://")),
        ("proxy = 'direct'", format!("4:10: {form}")),
        ("proxy = 'socks4://h'", format!("4:10: {form}: of SOCKS version 5 alone is known")),
        (
            "proxy = 'http://h/x'",
            "4:10: `proxy` has a proxy with a path, a `?` or a `#`; a proxy is scheme, host and port".to_owned(),
        ),
    ] {
        wrong(&format!("[[site]]\nname = 'a'\nurl = 'https://h'\n{key}"), &[&expected]);
    }
    wrong(
        "[[site]]\nname = 'c'\nurl = 'icmp://h'\nproxy = 'none'\n",
        &["4:1: `proxy` is for http and https sites, this one is icmp"],
    );
}

#[test]
fn private_redirects_are_the_sites_or_the_defaults() {
    assert!(!http("").private_redirects);
    assert!(http("private_redirects = true").private_redirects);
    let config = sound(
        "[defaults]\nprivate_redirects = true\n[[site]]\nname = 'a'\nurl = 'http://h/'\n\
         [[site]]\nname = 'b'\nurl = 'https://h/'\nprivate_redirects = false\n\
         [[site]]\nname = 'c'\nurl = 'icmp://h'\n",
    );
    let sites = config.sites.iter();
    let found = sites.map(|site| match &site.check {
        Check::Http(http) => Some(http.private_redirects),
        _ => None,
    });
    let found: Vec<_> = found.collect();
    assert_eq!(found, [Some(true), Some(false), None]);
    wrong(
        "[[site]]\nname = 'c'\nurl = 'icmp://h'\nprivate_redirects = true\n",
        &["4:1: `private_redirects` is for http and https sites, this one is icmp"],
    );
}

/// The only site of a file that has just `[[site]]` with a name, a URL and `keys`.
#[track_caller]
fn http(keys: &str) -> HttpCheck {
    let config = sound(&format!(
        "[[site]]\nname = \"a\"\nurl = \"http://h/\"\n{keys}"
    ));
    match config.sites[0].check.clone() {
        Check::Http(http) => http,
        other => panic!("{other:?}"),
    }
}

#[test]
fn variables_are_filled_in_but_not_shown() {
    let config = sound(
        "[[site]]\nname = 'a'\nurl = 'https://me:$KEY@$HOST/?k=$KEY&d=$$1#x'\nsend = 'k=$KEY'\n\
         [site.headers]\nX-Key = '$KEY'\nHost = 'other'\n",
    );
    let site = &config.sites[0];
    assert_eq!(site.url, "https://me:***@$HOST/?k=$KEY&d=$$1#x");
    let Check::Http(http) = &site.check else {
        panic!("not http")
    };
    assert_eq!(http.url.as_str(), "https://example.org/?k=s3cret&d=$1");
    assert_eq!(http.send.as_deref(), Some("k=s3cret"));
    assert_eq!(http.headers[0], ("X-Key".to_owned(), "s3cret".to_owned()));
    assert!(http.auth == Some(basic("me", "s3cret")));
    assert!(!format!("{config:?}{}{}", summary(&config), to_json(&config)).contains("s3cret"));
}

fn basic(user: &str, password: &str) -> Auth {
    Auth::Basic {
        user: user.to_owned(),
        password: password.to_owned(),
    }
}

#[test]
fn auth_is_basic_or_bearer() {
    assert!(http("auth = 'me:a:b'").auth == Some(basic("me", "a:b")));
    assert!(http("auth = 'BEARER  $KEY'").auth == Some(Auth::Bearer("s3cret".to_owned())));
    let form = "must be \"user:password\" or \"bearer TOKEN\"";
    wrong_site("auth = 'hunter2'", &[&format!("4:9: `auth` {form}")]);
    let word = format!("4:9: `auth` {form}; one word follows \"bearer\"");
    wrong_site("auth = 'bearer '", &[&word]);
    wrong_site("auth = 'bearer a b'", &[&word]);
    wrong_site(
        "auth = 'me:$LINES'",
        &["4:9: `auth` has a line break or another control character in it"],
    );
    let site = "[[site]]\nname = 'a'\nurl = 'http://u:p@h/'\n";
    wrong(
        &format!("{site}auth = 'a:b'"),
        &["4:9: `auth` is given and `url` holds a user too; keep one of them"],
    );
    let config = sound(&format!("[defaults]\nauth = 'a:b'\n{site}"));
    let Check::Http(http) = &config.sites[0].check else {
        panic!("not http")
    };
    assert!(http.auth == Some(basic("u", "p")));
}

#[test]
fn status_is_a_set_or_one_code() {
    assert_eq!(
        http("status = '200-299,401'").status.to_string(),
        "200-299,401"
    );
    assert_eq!(http("status = 204").status.to_string(), "204");
    let form = "`status` must be codes from 100 to 999 and ranges of them such as \"200-299,401\"";
    wrong_site("status = 99", &[&format!("4:10: {form}; `99` is none")]);
    wrong_site("status = '20x'", &[&format!("4:11: {form}; `20x` is none")]);
    wrong_site(
        "status = [200]",
        &["4:10: `status` must be codes in quotes such as \"200-299,401\", found a list"],
    );
}

#[test]
fn every_key_of_a_site_is_checked() {
    for (line, expected) in [
        (
            "interval = '0s'",
            "4:13: `interval` must be at least 1s, not 0s",
        ),
        (
            "interval = 60",
            "4:12: `interval` must be a duration in quotes such as \"60s\", found an integer",
        ),
        (
            "timeout = '0s'",
            "4:12: `timeout` must be at least 1ms, not 0s",
        ),
        (
            "timeout = '301s'",
            "4:12: `timeout` must be at most 5m, not 5m1s",
        ),
        (
            "tries = 101",
            "4:9: `tries` must be a whole number from 1 to 100, not 101",
        ),
        (
            "tries = '3'",
            "4:10: `tries` must be a whole number from 1 to 100, found a text in quotes",
        ),
        (
            "tries = -1",
            "4:9: `tries` must be a whole number from 1 to 100, not -1",
        ),
        (
            "recover = 0",
            "4:11: `recover` must be a whole number from 1 to 100, not 0",
        ),
        (
            "retry = '500ms'",
            "4:10: `retry` must be at least 1s, not 500ms",
        ),
        (
            "remind = '5ms'",
            "4:11: `remind` must be at least 1s, or \"0s\" for never",
        ),
        (
            "slow = '10s'",
            "4:9: `slow` (10s) must be shorter than `timeout` (10s)",
        ),
        (
            "group = ''",
            "4:9: `group` must have 1 to 64 characters, not 0",
        ),
        (
            "group = ' a'",
            "4:10: `group` must not begin or end with a blank",
        ),
        (
            "group = \"a\\u0007\"",
            "4:10: `group` must not have control characters in it",
        ),
        (
            "paused = 1",
            "4:10: `paused` must be true or false, found an integer",
        ),
        (
            "chats = []",
            "4:9: `chats` is empty; it must be a list of ids such as [123456789], or left out",
        ),
        (
            "chats = 5",
            "4:9: `chats` must be a list of ids such as [123456789], found an integer",
        ),
        (
            "method = 'get'",
            "4:11: `method` must be a method in capital letters such as \"GET\"; did you mean \"GET\"?",
        ),
        (
            "method = 'CONNECT'",
            "4:11: `method` cannot be CONNECT: that opens a tunnel and gets no answer to judge",
        ),
        (
            "headers = 'A: b'",
            "4:12: `headers` must be a table such as { Accept = \"text/html\" }, found a text in quotes",
        ),
        (
            "headers = { 'A b' = 'x' }",
            "4:14: `headers.A…` is no header name: letters, digits and `-` only",
        ),
        (
            "headers = { A = 1 }",
            "4:17: `headers.A` must be a text in quotes, found an integer",
        ),
        (
            "headers = { A = '$LINES' }",
            "4:18: `headers.A` has a line break or another control character in it",
        ),
        (
            "headers = { A = 'Größe' }",
            "4:18: `headers.A` cannot hold characters beyond ASCII: write them as the server expects them, e.g. percent-encoded",
        ),
        (
            "headers = { connection = 'close' }",
            "4:13: `headers.connection` cannot be set: connections are kept or closed by the agent",
        ),
        (
            "headers.Transfer-Encoding = 'x'",
            "4:9: `headers.Transfer-Encoding` cannot be set: it follows from `send`",
        ),
        (
            "body = ''",
            "4:8: `body` is empty, which every body contains",
        ),
        (
            "redirects = 51",
            "4:13: `redirects` must be a whole number from 0 to 50, not 51",
        ),
        (
            "private_redirects = 1",
            "4:21: `private_redirects` must be true or false, found an integer",
        ),
        (
            "private_redirect = true",
            "4:1: unknown key `private_redirect`; did you mean `private_redirects`?",
        ),
        (
            "http = '3'",
            "4:9: `http` must be \"1.1\" or \"2\"; leave it out for either",
        ),
        (
            "http = 1.1",
            "4:8: `http` must be \"1.1\" or \"2\" in quotes, found a number with a point",
        ),
        (
            "ip = 'v4'",
            "4:7: `ip` must be \"4\" or \"6\"; leave it out for either",
        ),
        (
            "verify = 'no'",
            "4:11: `verify` must be true or false, found a text in quotes",
        ),
        ("ca_file = ''", "4:11: `ca_file` must be a path"),
    ] {
        wrong_site(line, &[expected]);
    }
}

#[test]
fn a_dollar_that_cannot_be_filled_in_is_pointed_at() {
    wrong_site(
        "send = 'a$NOPE$'",
        &[
            "4:10: `send` needs the environment variable NOPE, which is not set; `$$` is a dollar sign",
            "4:15: `send` has a `$` that no name follows; write `$$` for a dollar sign",
        ],
    );
    // May be a password: nothing of it is quoted.
    rendered(
        "[[site]]\nname = 'a'\nurl = 'http://h/'\nauth = 'me:pa$sword'",
        "sitemon.conf:4:14: `auth` needs an environment variable that is not set; `$$` is a dollar sign\n\
        \x20   4 | auth = '***********'\n\
        \x20     |              ^^^^^^",
    );
    // Behind an escape, too.
    wrong_site(
        "send = \"\\u0061$NOPE\"",
        &[
            "4:15: `send` needs the environment variable NOPE, which is not set; `$$` is a dollar sign",
        ],
    );
    wrong(
        "[[site]]\nname = 'a'\nurl = 'http://$host/'",
        &[
            "3:15: `url` needs the environment variable host, which is not set; `$$` is a dollar sign",
        ],
    );
}

#[test]
fn names_and_urls_are_needed_and_names_are_unique() {
    wrong(
        "[[site]] # one\nname = 'a'\n[[site]]\nurl = 'http://h/'\n[[site]]\nname = 'a'\nurl = 'h'",
        &[
            "1:1: this site has no `url`; say what to watch, e.g. url = \"https://example.com/\"",
            "3:1: this site has no `name`; give it one, e.g. name = \"blog\"",
            "6:9: another site, in line 2, has this `name` already; names are unique",
            "7:8: `url` must begin with http://, https://, tcp://, tls://, dns://, icmp://, host:, exec: or push:",
        ],
    );
    let long = "ä".repeat(64);
    assert_eq!(
        sound(&format!("[[site]]\nname='{long}'\nurl='http://h'")).sites[0].name,
        long
    );
    wrong(
        &format!("[[site]]\nname='{long}ä'\nurl='http://h'"),
        &["2:7: `name` must have 1 to 64 characters, not 65"],
    );
}

/// Sites of these names, each after the other one, its fourth line.
fn chain(links: &[(&str, &str)]) -> String {
    let site = |(name, after): &(&str, &str)| {
        format!("[[site]]\nname = '{name}'\nurl = 'http://h'\nafter = '{after}'\n")
    };
    links.iter().map(site).collect()
}

#[test]
fn a_site_may_come_after_any_other() {
    let router = "[[site]]\nname = 'router'\nurl = 'http://h'\n";
    let config = sound(&(chain(&[("b", "a"), ("a", "router"), ("c", "router")]) + router));
    let after: Vec<_> = config.sites.iter().map(|s| s.after.as_deref()).collect();
    assert_eq!(after, [Some("a"), Some("router"), Some("router"), None]);
    // A site with another mistake is there all the same.
    wrong(
        "[[site]]\nname = 'a'\nurl = 'h'\n[[site]]\nname = 'b'\nurl = 'http://h'\nafter = 'a'",
        &[
            "3:8: `url` must begin with http://, https://, tcp://, tls://, dns://, icmp://, host:, exec: or push:",
        ],
    );
}

#[test]
fn what_a_site_comes_after_must_exist() {
    let unknown = |at: &str, name: &str, remedy: &str| {
        format!("{at}: `after` names `{name}`, which is no site; {remedy}")
    };
    let near = |at, name, near| unknown(at, name, &format!("did you mean `{near}`?"));
    wrong(
        &chain(&[("Router", "nas"), ("nsa", "rotuer"), ("blog", "")]),
        &[
            &near("4:10", "nas", "nsa"),
            &near("8:10", "rotuer", "Router"),
            &unknown("12:9", "", "it wants the `name` of another [[site]]"),
        ],
    );
    wrong_site(
        "after = 'A'",
        &[&unknown(
            "4:10",
            "A",
            "it wants the `name` of another [[site]]",
        )],
    );
    wrong_site(
        "after = 'a'",
        &["4:10: `after` names this site itself; name the one it depends on"],
    );
    wrong_site(
        "after = ['b']",
        &["4:9: `after` must be the name of a site in quotes, found a list"],
    );
}

#[test]
fn a_loop_is_told_once_and_shown() {
    let told = |at: &str, shown: &str| {
        format!(
            "{at}: `after` goes round in a loop: {shown}; one of them must not depend on the next"
        )
    };
    let links = [("a", "b"), ("b", "c"), ("c", "a")];
    wrong(&chain(&links), &[&told("4:10", "a → b → c → a")]);
    // Those that lead into it are not of it, nor does a second name make a second loop.
    let links = [("x", "b"), ("a", "b"), ("b", "a"), ("c", "d"), ("d", "c")];
    wrong(
        &chain(&links),
        &[&told("12:10", "b → a → b"), &told("16:10", "c → d → c")],
    );
    wrong(
        &chain(&[("a", "b"), ("a", "a"), ("b", "a")]),
        &[
            &told("4:10", "a → b → a"),
            "6:9: another site, in line 2, has this `name` already; names are unique",
        ],
    );
}

proptest! {
    /// Each of nine sites comes after one of them, or after none where that is itself.
    #[test]
    fn every_loop_is_found_and_nothing_else(next in proptest::collection::vec(0usize..9, 9)) {
        let ends = |at: usize| next[at] == at;
        let sites: String = (0..9)
            .map(|at| {
                let after = if ends(at) { String::new() } else { format!("after = '{}'\n", next[at]) };
                format!("[[site]]\nname = '{at}'\nurl = 'http://h'\n{after}")
            })
            .collect();
        let walk = |from: usize| std::iter::successors(Some(from), |&at| Some(next[at])).skip(1).take(9);
        let looped: Vec<usize> =
            (0..9).filter(|&at| !ends(at) && walk(at).any(|step| step == at)).collect();
        // Of every loop, its least site.
        let loops = looped.iter().filter(|&&at| walk(at).all(|step| at <= step)).count();
        prop_assert_eq!(mistakes(&sites).len(), loops, "{}", sites);
    }
}

#[test]
fn rules_over_two_keys_point_at_the_site_or_once_at_the_defaults() {
    let site =
        |name: &str, keys: &str| format!("[[site]]\nname='{name}'\nurl='http://h'\n{keys}\n");
    let defaults = "[defaults]\nslow = '20s'\nmethod = 'HEAD'\n";
    wrong(
        &format!("{defaults}{}{}", site("a", ""), site("b", "")),
        &["2:9: `slow` (20s) must be shorter than `timeout` (10s)"],
    );
    wrong(&format!("{defaults}{}", site("a", "timeout = '30s'")), &[]);
    wrong(
        &format!(
            "{defaults}{}",
            site("a", "timeout = '15s'\nbody = 'x'\nbody_not = 'y'")
        ),
        &[
            "7:12: `slow` (20s) must be shorter than `timeout` (15s)",
            "8:9: `body` cannot be met with method \"HEAD\": no body comes back",
            "9:13: `body_not` cannot be met with method \"HEAD\": no body comes back",
        ],
    );
    // A timeout that is wrong itself is no ground for a second mistake.
    wrong(
        &site("a", "timeout = '9'\nslow = '20s'"),
        &[
            "4:12: `timeout` must be a duration such as \"60s\" or \"1h30m\"; `9` has no unit (ms, s, m, h or d)",
        ],
    );
}

#[test]
fn a_site_may_name_only_chats_that_telegram_has() {
    let site = "[[site]]\nname='a'\nurl='http://h'\nchats=[1, -2]";
    wrong(
        &format!("[telegram]\ntoken='1:a'\nchats=[-2,1]\n{site}"),
        &[],
    );
    wrong(
        &format!("[telegram]\ntoken='1:a'\nchats=[1]\n{site}"),
        &["7:7: `chats` has -2, which is not among the `chats` of [telegram]; add it there"],
    );
    wrong(
        &format!("[telegram]\ntoken='1:a'\n{site}"),
        &["6:7: `chats` has 1, which is not among the `chats` of [telegram]; add it there"],
    );
    wrong(site, &[]);
}
