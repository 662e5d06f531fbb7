//! Sites that are not HTTP, and the keys that not every kind of site has.

use super::{parsed_in, rendered, sound, wrong, wrong_site};
use crate::config::scheme::Scheme;
use crate::config::{Config, keys, summary, to_json};
use crate::monitor::site::{
    Check, DnsCheck, Due, HostCheck, HttpCheck, IcmpCheck, IpVersion, JsonOp, JsonValue,
    RecordKind, SendExpect, Site, StartTls, TcpCheck, TlsCheck, Token,
};
use proptest::prelude::*;
use std::path::PathBuf;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// The only site of a file: its URL and more `keys`.
#[track_caller]
pub fn site(url: &str, keys: &str) -> Site {
    let config = sound(&format!("[[site]]\nname = 'a'\nurl = '{url}'\n{keys}"));
    std::sync::Arc::unwrap_or_clone(config.sites.into_iter().next().unwrap())
}

#[track_caller]
pub fn http(keys: &str) -> HttpCheck {
    match site("https://h/", keys).check {
        Check::Http(http) => http,
        other => panic!("{other:?}"),
    }
}

/// What is wrong with a site of `url` that has one more `line`, its fourth.
#[track_caller]
fn wrong_in(url: &str, line: &str, expected: &[&str]) {
    wrong(
        &format!("[[site]]\nname = 'a'\nurl = '{url}'\n{line}\n"),
        expected,
    );
}

#[test]
fn tcp_sends_and_expects() {
    let site = site(
        "tcp://$HOST:25",
        "send = \"EHLO $KEY\\r\\n\"\nexpect = '250'\nip = '6'",
    );
    let expected = TcpCheck {
        host: "example.org".to_owned(),
        port: 25,
        ip: IpVersion::V6,
        send_expect: SendExpect {
            send: Some("EHLO s3cret\r\n".to_owned()),
            expect: Some("250".to_owned()),
        },
    };
    assert_eq!(site.check, Check::Tcp(expected));
    assert_eq!(site.url, "tcp://$HOST:25");
    assert_eq!((site.cert, site.domain), (None, None));
}

#[test]
fn tls_has_a_certificate() {
    let plain = site("tls://[::1]:853", "");
    let expected = TlsCheck {
        host: "::1".to_owned(),
        port: 853,
        ip: IpVersion::Any,
        starttls: None,
        send_expect: SendExpect::default(),
        verify: true,
        ca_file: None,
    };
    assert_eq!(plain.check, Check::Tls(expected));
    assert_eq!(plain.cert, Some(14 * DAY));
    let keys = "verify = false\nca_file = 'ca.pem'\ncert = '30d'\nexpect = '220'";
    let mail = site("tls://h:25?starttls=smtp", keys);
    let expected = TlsCheck {
        host: "h".to_owned(),
        port: 25,
        ip: IpVersion::Any,
        starttls: Some(StartTls::Smtp),
        send_expect: SendExpect {
            send: None,
            expect: Some("220".to_owned()),
        },
        verify: false,
        ca_file: Some(PathBuf::from("/etc/ca.pem")),
    };
    assert_eq!(mail.check, Check::Tls(expected));
    assert_eq!(mail.cert, Some(30 * DAY));
    assert_eq!(site("tls://h:1", "cert = '0s'").cert, None);
    assert_eq!(site("https://h", "cert = '0s'").cert, None);
    assert_eq!(site("http://h", "").cert, None);
}

#[test]
fn dns_expects_a_record() {
    let site = site(
        "dns://[2620:fe::fe]/Example.com?type=AAAA",
        "expect = '2001:DB8:0::1'\ndomain = '30d'",
    );
    let expected = DnsCheck {
        server: Some(("2620:fe::fe".to_owned(), 53)),
        name: "example.com".to_owned(),
        kind: RecordKind::Aaaa,
        expect: Some("2001:db8::1".to_owned()),
        ip: IpVersion::Any,
    };
    assert_eq!(site.check, Check::Dns(expected));
    assert_eq!(site.domain, Some(30 * DAY));
    wrong_in(
        "dns:///example.com",
        "expect = 'www'",
        &["4:11: `expect` must be an IPv4 address, for that is what A records hold"],
    );
}

#[test]
fn icmp_has_a_host_alone() {
    let expected = IcmpCheck {
        host: "fe80::1".to_owned(),
        ip: IpVersion::Any,
        loss: None,
    };
    assert_eq!(site("icmp://[fe80::1]", "").check, Check::Icmp(expected));
}

#[test]
fn host_is_this_machine_and_takes_defaults_that_fit_it() {
    let text = "[defaults]\nslow = '5s'\ndomain = '30d'\nip = '4'\ninterval = '5m'\n\
                [[site]]\nname = 'disk'\nurl = 'host:disk/mnt/a//b@c?free=10%'\nretry = '2s'\nafter = 'root'\n\
                [[site]]\nname = 'root'\nurl = 'HOST:disk/?free=1G'";
    let config = sound(text);
    let disk = &config.sites[0];
    assert!(
        matches!(&disk.check, Check::Host(HostCheck::Disk { path, .. }) if path == "/mnt/a//b@c")
    );
    assert_eq!(disk.url, "host:disk/mnt/a//b@c?free=10%");
    assert_eq!((disk.slow, disk.domain, disk.cert), (None, None, None));
    assert_eq!(disk.interval, Duration::from_secs(300));
    let json = to_json(&config);
    assert!(
        json.contains("\"retry\":\"2s\"") && !json.contains("slow"),
        "{json}"
    );
    wrong_in(
        "host:disk/?free=1X",
        "tries = 1",
        &["3:8: `url` has a `free` that is neither a share such as 10% nor a size such as 100M"],
    );
    for key in ["slow = '1s'", "ip = '4'", "domain = '1d'"] {
        let name = key.split(' ').next().unwrap_or_default();
        let (kinds, remedy) = match name {
            "slow" => (", icmp and exec", "; `warn` in its URL makes it degraded"),
            _ => (" and icmp", ""),
        };
        let refusal = format!(
            "4:1: `{name}` is for http, https, tcp, tls, dns{kinds} sites, this one is host{remedy}"
        );
        wrong_in("host:load?max=4", key, &[&refusal]);
    }
    for key in [
        "cert", "status", "body", "login", "send", "expect", "verify",
    ] {
        assert!(Scheme::Host.refusal(key).is_some(), "{key}");
    }
    for key in ["retry", "after", "timeout", "chats", "maintenance", "note"] {
        assert_eq!(Scheme::Host.refusal(key), None);
    }
}

#[test]
fn a_ping_may_lose_a_share_and_any_site_has_a_topic() {
    let text = "[defaults]\nloss = '20%'\ntopic = 7\n\
                [[site]]\nname = 'a'\nurl = 'icmp://h'\nloss = '0%'\n\
                [[site]]\nname = 'b'\nurl = 'icmp://h'\ntopic = 8\n\
                [[site]]\nname = 'c'\nurl = 'https://h'";
    let config = sound(text);
    let loss = |site: &Site| match &site.check {
        Check::Icmp(check) => check.loss,
        _ => None,
    };
    let found = config.sites.iter().map(|site| (loss(site), site.topic));
    let found: Vec<_> = found.collect();
    assert_eq!(
        found,
        [(Some(0), Some(7)), (Some(20), Some(8)), (None, Some(7))]
    );
    assert!(to_json(&config).contains("\"loss\":\"20%\""));
    for loss in ["20", "100%", "-1%", "1.5%", "%"] {
        let what = "4:9: `loss` must be a share in whole percent below 100% such as \"20%\"; all lost is down";
        wrong_in("icmp://h", &format!("loss = '{loss}'"), &[what]);
    }
}

#[test]
fn exec_has_a_command_whose_arguments_are_public() {
    let text = "[[site]]\nname = 'disk'\nurl = 'exec:'\nslow = '2s'\nlocal = true\n\
                command = ['/bin/sh', '-c', 'test $$# = 0']\n\
                env = { PGPASSWORD = '$DB', PGHOST = 'db' }";
    let config =
        parsed_in(text, &|_| Some("hunter22".to_owned())).unwrap_or_else(|e| panic!("{e}"));
    let site = &config.sites[0];
    let Check::Exec(exec) = &site.check else {
        panic!("{:?}", site.check);
    };
    assert_eq!(exec.command, ["/bin/sh", "-c", "test $# = 0"]);
    assert!(exec.local && site.is_this_machine() && !site.needs_connection());
    assert_eq!(exec.env[1], ("PGHOST".to_owned(), "db".to_owned()));
    assert!(site.secrets.iter().any(|secret| secret == exec.env[0].1));
    let shown = format!("{config:?}{}{}", to_json(&config), summary(&config));
    assert!(!shown.contains(&exec.env[0].1), "{shown}");
    assert!(
        shown.contains("\"env\":{\"PGPASSWORD\":\"***\",\"PGHOST\":\"***\"}"),
        "{shown}"
    );
    for (command, what) in [
        (
            "['check_disk']",
            "4:13: `command` must begin with the absolute path of a program, such as \
             \"/usr/lib/nagios/plugins/check_disk\"",
        ),
        (
            "['/bin/true', '-p', 'a $DB']",
            "4:34: `command` takes nothing from the environment: every user of this machine can see \
             arguments; put it into `env`, or write `$$` for a dollar sign",
        ),
        (
            "['/bin/true', 'a$']",
            "4:27: `command` has a `$` that no name follows; write `$$` for a dollar sign",
        ),
        (
            "[\"/bin/true\", \"a\\u0000b\"]",
            "4:26: `command` has a NUL in it, which no program would see",
        ),
        (
            "[]",
            "4:11: `command` is empty; it must be a list such as \
             [\"/usr/lib/nagios/plugins/check_disk\", \"-w\", \"20%\"], or left out",
        ),
    ] {
        wrong_in("exec:", &format!("command = {command}"), &[what]);
    }
    let missing = "1:1: this site has no `command`; say what to run, e.g. command = \
                   [\"/usr/lib/nagios/plugins/check_procs\"]";
    wrong_in("exec:", "tries = 1", &[missing]);
    let refusal = "4:1: `command` is for exec sites, this one is https";
    wrong_in("https://h", "command = ['/bin/true']", &[refusal]);
    wrong_in(
        "exec:",
        "command = ['/bin/true']\nenv = { 'A=B' = '1' }",
        &["5:10: `env.A…` is no name of a variable: it must not be empty or have a `=`"],
    );
    wrong_in(
        "exec:/bin/true",
        "command = ['/bin/true']",
        &["3:8: `url` must be \"exec:\" alone; the program goes into `command`"],
    );
}

#[test]
fn a_program_that_others_can_replace_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a directory");
    let program = dir.path().join("check");
    std::fs::write(&program, "#!/bin/sh\n").expect("a file");
    let mode = |path: &std::path::Path, mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, mode).expect("a mode");
    };
    let line = format!("command = ['{}']", program.display());
    mode(&program, 0o755);
    sound(&format!("[[site]]\nname = 'a'\nurl = 'exec:'\n{line}"));
    for (path, bad, good) in [
        (program.as_path(), 0o757, 0o755),
        (dir.path(), 0o703, 0o700),
    ] {
        mode(path, bad);
        let what = format!(
            "4:13: `command` names a program that can be replaced by other users: {} is theirs to \
             write; take that from them (chown root, chmod o-w)",
            path.display()
        );
        wrong_in("exec:", &line, &[&what]);
        mode(path, good);
    }
}

#[test]
fn a_key_that_does_not_fit_the_url_is_refused_where_it_stands() {
    for (url, line, expected) in [
        (
            "http://h",
            "cert = 14",
            "4:1: `cert` is for https and tls sites, this one is http",
        ),
        (
            "http://h",
            "verify = false",
            "4:1: `verify` is for https and tls sites, this one is http",
        ),
        (
            "https://h",
            "expect = 'x'",
            "4:1: `expect` is for tcp, tls and dns sites, this one is https; `body` looks in the answer",
        ),
        (
            "tcp://h:1",
            "ca_file = 'x'",
            "4:1: `ca_file` is for https and tls sites, this one is tcp",
        ),
        (
            "TLS://h:1",
            "login.url = 'x'",
            "4:1: `login` is for http and https sites, this one is tls",
        ),
        (
            "dns:///h",
            "send = 'x'",
            "4:1: `send` is for http, https, tcp and tls sites, this one is dns",
        ),
        (
            "icmp://h",
            "expect = 'x'",
            "4:1: `expect` is for tcp, tls and dns sites, this one is icmp",
        ),
        // The URL is wrong otherwise, or not known yet: its scheme counts all the same.
        (
            "tcp://$host:1",
            "body = 'x'",
            "4:1: `body` is for http and https sites, this one is tcp; `expect` looks in the answer",
        ),
    ] {
        let unset = "3:14: `url` needs the environment variable host, which is not set; `$$` is a \
                     dollar sign";
        let mut all = Vec::from_iter(url.contains('$').then_some(unset));
        all.push(expected);
        wrong_in(url, line, &all);
    }
    // Which keys would fit cannot be told.
    wrong_in(
        "h",
        "expect = 'x'\nbody = 'x'",
        &[
            "3:8: `url` must begin with http://, https://, tcp://, tls://, dns://, icmp://, host:, exec: or push:",
        ],
    );
}

#[test]
fn defaults_apply_to_the_sites_that_have_the_key() {
    let defaults = "[defaults]\nmethod = 'HEAD'\nsend = 's'\nexpect = '192.0.2.1'\ncert = '7d'\n\
                    verify = false\ndomain = '30d'\nip = '4'\n";
    let sites = [
        ("http", "http://h.example"),
        ("tcp", "tcp://192.0.2.1:1"),
        ("tls", "tls://[::1]:1"),
        ("dns", "dns:///h.example"),
        ("icmp", "icmp://h"),
    ]
    .map(|(name, url)| format!("[[site]]\nname = '{name}'\nurl = '{url}'\n"));
    let config = sound(&(defaults.to_owned() + &sites.concat()));
    let [http, tcp, tls, dns, icmp] = config.sites.as_slice() else {
        panic!("five sites")
    };
    assert_eq!((http.cert, http.domain), (None, Some(30 * DAY)));
    let Check::Http(check) = &http.check else {
        panic!()
    };
    assert_eq!((check.method.as_str(), check.verify), ("HEAD", true));
    assert_eq!((tcp.cert, tcp.domain), (None, None));
    let Check::Tcp(check) = &tcp.check else {
        panic!()
    };
    assert_eq!(check.send_expect.expect.as_deref(), Some("192.0.2.1"));
    assert_eq!(
        (check.send_expect.send.as_deref(), check.ip),
        (Some("s"), IpVersion::V4)
    );
    assert_eq!((tls.cert, tls.domain), (Some(7 * DAY), None));
    let Check::Tls(check) = &tls.check else {
        panic!()
    };
    assert_eq!((check.verify, check.ip), (false, IpVersion::Any));
    let Check::Dns(check) = &dns.check else {
        panic!()
    };
    assert_eq!(check.expect.as_deref(), Some("192.0.2.1"));
    assert_eq!((dns.cert, dns.domain), (None, Some(30 * DAY)));
    assert_eq!((icmp.cert, icmp.domain), (None, None));
}

#[test]
fn a_family_and_a_domain_want_a_name() {
    for (url, line, expected) in [
        (
            "http://192.0.2.1/",
            "ip = '6'",
            "4:7: `ip` is \"6\", but `url` has an IPv4 address",
        ),
        (
            "tcp://[::1]:1",
            "ip = '4'",
            "4:7: `ip` is \"4\", but `url` has an IPv6 address",
        ),
        (
            "icmp://192.0.2.1",
            "domain = '30d'",
            "4:11: `domain` wants a registered name such as example.com in `url`",
        ),
        (
            "http://nas/",
            "domain = '30d'",
            "4:11: `domain` wants a registered name such as example.com in `url`",
        ),
        (
            "https://h.example/",
            "domain = 30",
            "4:10: `domain` must be a duration in quotes such as \"60s\", found an integer",
        ),
    ] {
        wrong_in(url, line, &[expected]);
    }
    site("http://192.0.2.1/", "ip = '4'\ndomain = '0s'");
    // The name that is asked for counts, not the server.
    assert!(
        site("dns://9.9.9.9/h.example", "domain = '1d'")
            .domain
            .is_some()
    );
}

#[test]
fn what_is_expected_of_a_conversation_is_bounded() {
    let long = "x".repeat(4096);
    site("tcp://h:1", &format!("expect = '{long}'"));
    wrong_in(
        "tcp://h:1",
        &format!("expect = '{long}ä'"),
        &["4:11: `expect` must be at most 4096 bytes long, not 4098"],
    );
    wrong_in(
        "tcp://h:1",
        "expect = ''",
        &["4:10: `expect` is empty; leave it out where any answer will do"],
    );
}

#[test]
fn json_is_a_list_of_conditions() {
    let http = http("json = ['a.# < 5', \"b == \\\"x y\\\"\"]");
    assert_eq!(http.json.len(), 2);
    assert_eq!(http.json[0].text, "a.# < 5");
    assert_eq!(
        (http.json[0].path.as_str(), http.json[0].op),
        ("a.#", JsonOp::Less)
    );
    assert_eq!(http.json[1].value, JsonValue::Text("x y".to_owned()));
    let wanted = "a list of conditions such as [\"status == ok\"]";
    for (line, expected) in [
        (
            "json = 'a == b'",
            format!("4:9: `json` must be {wanted}, found a text in quotes"),
        ),
        (
            "json = ['a exists', 5]",
            format!("4:21: `json` must be {wanted}, found an integer in it"),
        ),
        (
            "json = []",
            format!("4:8: `json` is empty; it must be {wanted}, or left out"),
        ),
        (
            "json = ['a exists']\nmethod = 'HEAD'",
            "4:8: `json` cannot be met with method \"HEAD\": no body comes back".to_owned(),
        ),
    ] {
        wrong_site(line, &[&expected]);
    }
}

#[test]
fn a_mistake_in_a_condition_has_its_caret_inside_the_text() {
    rendered(
        "[[site]]\nname = 'a'\nurl = 'http://h'\njson = ['ok == true', \"a == \\\"b\\\" c\", 'q.#(x==1) < 5', 'n < b', 'a']",
        "sitemon.conf:4:35: `json` goes on behind its value\n\
        \x20   4 | json = ['ok == true', \"a == \\\"b\\\" c\", 'q.#(x==1) < 5', 'n < b', 'a']\n\
        \x20     |                                   ^\n\
         sitemon.conf:4:42: `json` has `#(x==1)` in its path, which sitemon does not know: only a.b, a.0 and a.# \
         (write `\\` before a sign that belongs to a name)\n\
        \x20   4 | json = ['ok == true', \"a == \\\"b\\\" c\", 'q.#(x==1) < 5', 'n < b', 'a']\n\
        \x20     |                                          ^^^^^^^\n\
         sitemon.conf:4:61: `json` compares with `<`, which needs a number\n\
        \x20   4 | json = ['ok == true', \"a == \\\"b\\\" c\", 'q.#(x==1) < 5', 'n < b', 'a']\n\
        \x20     |                                                             ^\n\
         sitemon.conf:4:67: `json` ends behind the path; one of == != < <= > >= contains exists follows\n\
        \x20   4 | json = ['ok == true', \"a == \\\"b\\\" c\", 'q.#(x==1) < 5', 'n < b', 'a']\n\
        \x20     |                                                                   ^",
    );
}

/// One site of every kind, with many of its keys.
fn every_kind() -> Config {
    sound(
        "[[site]]\nname = 'web'\nurl = 'https://h.example'\njson = [\"a\\\\.b == \\\"c\\\"\", 'd exists']\n\
         domain = '30d'\nlogin = { url = 'https://h/$KEY', page = 'https://h', form = { p = '$KEY' }, expect = 302 }\n\
         [[site]]\nname = 'ssh'\nurl = 'tcp://h:22'\nexpect = \"SSH-\\u001b\"\n\
         [[site]]\nname = 'redis'\nurl = 'tcp://h:6379'\nsend = \"AUTH $KEY\\r\\n\"\nexpect = '+OK'\nslow = '1s'\n\
         [[site]]\nname = 'mail'\nurl = 'tls://h:25?starttls=smtp'\nexpect = '220'\nip = '6'\n\
         [[site]]\nname = 'port'\nurl = 'tls://h:853'\nverify = false\ncert = '0s'\n\
         [[site]]\nname = 'name'\nurl = 'dns://9.9.9.9/h.example'\nexpect = '192.0.2.1'\n\
         [[site]]\nname = 'mx'\nurl = 'dns:///h.example?type=MX'\n\
         [[site]]\nname = 'router'\nurl = 'icmp://192.0.2.1'\n",
    )
}

#[test]
fn the_summary_says_what_is_expected_of_every_kind() {
    let table = summary(&every_kind());
    let expected: Vec<&str> = table
        .lines()
        .skip(1)
        .take(8)
        .map(|line| line.split_once("10s      ").unwrap().1)
        .collect();
    assert_eq!(
        expected,
        [
            "login, status 200-299, a\\.b == \"c\", d exists, cert 14d, domain 30d",
            "banner \"SSH-\\u{1b}\"",
            "answer \"+OK\", within 1s",
            "banner \"220\", cert 14d",
            "connection, certificate not verified",
            "A 192.0.2.1",
            "any MX",
            "echo",
        ]
    );
}

#[test]
fn json_has_every_key_of_the_kind_and_no_other() {
    let config = every_kind();
    let json = to_json(&config);
    assert!(!json.contains("s3cret"), "{json}");
    for part in [
        r#""json":["a\\.b == \"c\"","d exists"],"#,
        r#""login":{"url":"***","page":"***","form":{"p":"***"},"expect":"302"},"#,
        r#""send":"***","expect":"+OK","domain":"0s","ip":null}"#,
        r#""send":null,"cert":"14d","verify":true,"ca_file":null,"expect":"220","domain":"0s","ip":"6"}"#,
        r#""paused":false,"chats":null,"topic":null,"maintenance":null,"note":null,"expect":null,"domain":"0s","ip":null}"#,
        r#""paused":false,"chats":null,"topic":null,"maintenance":null,"note":null,"loss":null,"domain":"0s","ip":null}],"agent":{"#,
    ] {
        assert!(json.contains(part), "{part}: {json}");
    }
    for site in &config.sites {
        let mut site = Site::clone(site);
        // It has an `expect` of its own.
        if let Check::Http(http) = &mut site.check {
            http.login = None;
        }
        let (url, scheme) = (site.url.clone(), Scheme::of(&site.url).unwrap());
        let alone = Config {
            sites: vec![site.into()],
            ..config.clone()
        };
        let json = to_json(&alone);
        let (json, _) = json.split_once("\"agent\"").unwrap();
        for key in keys::SITE.keys.iter().map(|key| key.name) {
            let there = json.contains(&format!("\"{key}\":"));
            assert_eq!(there, scheme.has(key), "{key} of {url}");
        }
    }
}

proptest! {
    #[test]
    fn no_url_breaks_the_reader(
        url in "(tcp|tls|dns|icmp|http)://.{0,16}",
        line in "(ip = '4'|domain = '1d'|expect = '.{0,3}'|json = \\['.{0,8}'\\])?",
    ) {
        let text = format!("[[site]]\nname = 'a'\nurl = '{url}'\n{line}\n");
        let _ = super::parsed(&text).map_err(|mistakes| mistakes.to_string());
    }
}

#[test]
fn push_waits_for_reports_by_a_schedule() {
    let push = |keys: &str| match site("push:", keys).check {
        Check::Push(push) => push,
        other => panic!("{other:?}"),
    };
    let daily = push("every = '1d'");
    let wanted = (Due::Every(DAY), Duration::from_secs(3600), None);
    assert_eq!((daily.due, daily.grace, daily.longest), wanted);
    let work =
        push("at = 'mon-FRI 3:00, 12:30'\ngrace = '0s'\nlongest = '2h'\ntoken = '$KEY-0123456789'");
    assert_eq!(work.due.to_string(), "at Mon-Fri 03:00, 12:30");
    assert_eq!(work.longest, Some(Duration::from_secs(7200)));
    assert_eq!(
        work.token.as_ref().map(Token::expose),
        Some("s3cret-0123456789")
    );
    let text = "[defaults]\ninterval = '5m'\ntries = 9\nrecover = 9\nslow = '1s'\ngrace = '2m'\nremind = '1h'\n\
                [[site]]\nname = 'a'\nurl = 'push:'\nevery = '1h'\ntoken = '0123456789abcdef'";
    let config = sound(text);
    let site = &config.sites[0];
    assert_eq!((site.tries, site.recover, site.slow), (1, 1, None));
    assert_eq!(site.remind, Some(Duration::from_secs(3600)));
    let json = to_json(&config);
    let shown = "\"every\":\"1h\",\"at\":null,\"token\":\"***\",\"remind\":\"1h\"";
    assert!(
        json.contains(shown) && json.contains("\"grace\":\"2m\""),
        "{json}"
    );
    assert!(!json.contains("0123456789abcdef") && !summary(&config).contains("0123456789abcdef"));
    assert!(
        summary(&config).contains("a     push:  1h              grace 2m"),
        "{}",
        summary(&config)
    );
}

#[test]
fn a_schedule_that_is_missing_or_wrong_is_told_with_its_place() {
    let url = |line: &str, wanted: &str| wrong_in("push:", line, &[wanted]);
    url(
        "grace = '1h'",
        "3:8: this site has neither `every` nor `at`; say when its reports are due, e.g. every = \"1d\" or at = \"Mon-Fri 03:00\"",
    );
    url(
        "every = '1d'\nat = '03:00'",
        "5:7: `at` is given and `every` too; keep one of them",
    );
    for bad in [
        "3",
        "24:00",
        "Mon-Fri",
        "Funday 03:00",
        "03:00,",
        "03:00-04:00",
    ] {
        let part = bad.strip_suffix("03:00,").map_or(bad, |_| "");
        url(
            &format!("at = '{bad}'"),
            &format!(
                "4:7: `at` must be times such as \"03:00\" or \"Mon-Fri 03:00\", with commas between them; `{part}` is none"
            ),
        );
    }
    url(
        "every = '1d'\ntoken = 'too short'",
        "5:10: `token` must have at least 16 characters, or it can be guessed; `head -c 18 /dev/urandom | base64 | tr +/ -_` makes one",
    );
    for key in [
        "tries = 1",
        "retry = '1s'",
        "recover = 1",
        "interval = '1m'",
        "timeout = '1s'",
    ] {
        let name = key.split(' ').next().unwrap_or_default();
        url(
            &format!("every = '1d'\n{key}"),
            &format!(
                "5:1: `{name}` is for http, https, tcp, tls, dns, icmp, host and exec sites, this one is push; one bad or missing report is down, and the next good one up"
            ),
        );
    }
    wrong_in(
        "push:backup",
        "every = '1d'",
        &["3:8: `url` must be `push:` alone: a job reports by the `name` of its site"],
    );
    wrong_in(
        "https://h",
        "every = '1d'",
        &["4:1: `every` is for push sites, this one is https"],
    );
    wrong(
        "[[site]]\nname = 'a'\nurl = 'push:'\nevery = '1d'\ntoken = '0123456789abcdef'\n\
         [[site]]\nname = 'b'\nurl = 'push:'\nevery = '1d'\ntoken = '0123456789abcdef'\n",
        &["10:10: another site, in line 5, has this `token` already; give each its own"],
    );
    wrong(
        "[defaults]\nevery = '1d'\n",
        &["2:1: unknown key `every` here; it belongs in [[site]]"],
    );
}
