//! Every kind of check with the real binary, and certificates that expire.

mod causes;
mod roots;
use crate::support::agent::Sitemon;
use crate::support::assert_has;
use crate::support::scene::Scene;
use crate::support::tls::{DAY, TestCa};
use crate::support::web::{Behaviour, Web};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// Greets each client like a mail server, until the test ends. Returns the port.
fn greeter() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
            let _ = stream.read(&mut [0; 16]);
        }
    });
    port
}

/// Answers every query with the address 192.0.2.1. Returns the port.
pub fn name_server(at: impl Into<SocketAddr>) -> u16 {
    let socket = UdpSocket::bind(at.into()).expect("a port");
    let port = socket.local_addr().expect("bound").port();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((size, from)) = socket.recv_from(&mut buffer) {
            let end = 12 + buffer[12..size].iter().position(|b| *b == 0).unwrap_or(0) + 5;
            let mut answer = buffer[..end].to_vec();
            answer[2] = 0x81;
            answer[3] = 0x80;
            answer[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
            let _ = socket.send_to(&answer, from);
        }
    });
    port
}

pub fn site(name: &str, url: &str, keys: &str) -> String {
    format!("[[site]]\nname = \"{name}\"\nurl = \"{url}\"\n{keys}\n")
}

#[test]
fn a_table_shows_what_matters_of_each_kind() {
    let ca = TestCa::new();
    let secure = Web::tls(&ca.good_for_days(40));
    let plain = Web::new().on("/", Behaviour::body(r#"{"queue":[1,2],"state":"ok"}"#));
    let (mail, dns) = (greeter(), name_server(([127, 0, 0, 1], 0)));
    let sitemon = Sitemon::new("");
    let pem = ca.write_pem(sitemon.dir()).display().to_string();
    let trusted = format!("ca_file = \"{pem}\"");
    let sites = [
        site("secure", &secure.url("/"), &trusted),
        site(
            "soon",
            &secure.url("/"),
            &format!("{trusted}\ncert = \"50d\""),
        ),
        site(
            "api",
            &plain.url("/"),
            "json = [\"queue.# < 3\", \"state == ok\"]",
        ),
        site("full", &plain.url("/"), "json = [\"queue.# < 2\"]"),
        site(
            "mail",
            &format!("tcp://127.0.0.1:{mail}"),
            "expect = \"220 \"",
        ),
        site(
            "wrong",
            &format!("tcp://127.0.0.1:{mail}"),
            "expect = \"+OK\"\ntimeout = \"1s\"",
        ),
        site("tls", &format!("tls://{}", secure.address()), &trusted),
        site(
            "zone",
            &format!("dns://127.0.0.1:{dns}/example.org?type=A"),
            "expect = \"192.0.2.1\"",
        ),
    ];
    sitemon.rewrite(&format!("[agent]\nstate = \"state\"\n{}", sites.concat()));
    let out = sitemon.command(&["check"]);
    let line = |name: &str| {
        let found = out
            .stdout
            .lines()
            .find(|l| l.starts_with(&format!("{name} ")));
        found
            .unwrap_or_else(|| panic!("no {name} in {}", out.stdout))
            .to_owned()
    };
    for (name, state, what) in [
        ("secure", "up", "certificate ends in "),
        ("soon", "degraded", "certificate ends in "),
        ("api", "up", "http://"),
        ("full", "down", "json: queue.# is 2, wanted < 2"),
        ("mail", "up", "tcp://127.0.0.1:"),
        ("wrong", "down", "+OK"),
        ("tls", "up", "TLS 1.3"),
        ("zone", "up", "A 192.0.2.1"),
    ] {
        let line = line(name);
        assert!(line.contains(&format!("  {state} ")), "{line}");
        assert!(line.contains(what), "{line}");
    }
    assert_eq!(out.code, Some(1));
}

#[test]
fn a_site_that_is_named_is_looked_at_even_when_it_is_down() {
    let ca = TestCa::new();
    let broken = Web::tls(&ca.good_for_days(40)).on("/", Behaviour::status(503));
    let expired = Web::tls(&ca.expired());
    let sitemon = Sitemon::new("");
    let pem = ca.write_pem(sitemon.dir()).display().to_string();
    let trusted = format!("ca_file = \"{pem}\"");
    let sites = [
        site("broken", &broken.url("/"), &trusted),
        site("expired", &expired.url("/"), &trusted),
        site("gone", "https://127.0.0.1:1/", &trusted),
    ];
    sitemon.rewrite(&format!("[agent]\nstate = \"state\"\n{}", sites.concat()));
    let said = |name: &str| sitemon.command(&["check", name]).stdout;
    let both = said("broken");
    assert_has(&both, "HTTP 503, wanted 200-299  certificate ends in ");
    let both = said("expired");
    assert_has(
        &both,
        "certificate expired 1 day ago  certificate ended 1 d ago",
    );
    let gone = said("gone");
    assert!(
        gone.lines()
            .nth(1)
            .is_some_and(|row| row.ends_with("connection refused by 127.0.0.1:1")),
        "{gone}"
    );
    let round = sitemon.command(&["check"]).stdout;
    assert!(!round.contains("certificate ends in"), "{round}");
}

#[test]
fn a_certificate_that_ends_soon_is_told_and_a_new_one_clears_it() {
    let ca = TestCa::new();
    let secure = Web::tls(&ca.good_for_days(3));
    let scene = Scene::new();
    let pem = ca.write_pem(scene.sitemon.dir()).display().to_string();
    let keys = format!("ca_file = \"{pem}\"\ninterval = \"1s\"\n");
    let more = site("shop", &secure.url("/"), &keys);
    scene.sitemon.rewrite(&scene.config_with(&more));
    let running = scene.start();
    let told = scene.wait_text("🟡 shop: its certificate ends in ");
    assert_has(&told.text, "(sitemon test server, by sitemon test CA)");
    secure.wait_requests(2);
    scene.ask("/status", "🟡 shop for ");
    let about = scene.ask("/site shop", "Certificate: ends in ");
    let whose = ", sitemon test server by sitemon test CA, ECDSA P-256";
    assert!(about.text.contains(whose), "{}", about.text);
    secure.set_certificate(&ca.good_for_days(90));
    secure.cut_all();
    scene.ask("/check shop", "shop");
    scene.wait_text("🟢 shop has a new certificate, it ends in ");
    assert_eq!(scene.count("its certificate ends"), 1);
    scene.end(running);
}

#[test]
fn a_host_that_no_proxy_excepts_has_its_certificate_looked_at() {
    let ca = TestCa::new();
    let secure = Web::tls(&ca.good_for_days(3));
    for (proxy, excepted, list) in [
        ("https_proxy", "no_proxy", "localhost, 127.0.0.0/8"),
        ("HTTPS_PROXY", "NO_PROXY", "*"),
        ("all_proxy", "no_proxy", "example.org,127.0.0.1"),
    ] {
        let sitemon = Sitemon::new("")
            .env(proxy, "http://127.0.0.1:1")
            .env(excepted, list);
        let pem = ca.write_pem(sitemon.dir()).display().to_string();
        let shop = site("shop", &secure.url("/"), &format!("ca_file = \"{pem}\""));
        sitemon.rewrite(&format!("[agent]\nstate = \"state\"\n{shop}"));
        let out = sitemon.command(&["check", "shop"]);
        let degraded = out.stdout.contains("  degraded ");
        assert!(
            degraded && out.stdout.contains("certificate ends in "),
            "{list}: {}",
            out.stdout
        );
    }
}

#[test]
fn a_registration_that_ends_soon_degrades_however_its_date_is_written() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let in_three_days = rcgen::date_time_ymd(1970, 1, 1) + now.expect("a clock") + 3 * DAY;
    let day = in_three_days.date();
    for (bom, date) in [
        ("", day.to_string()),
        ("\u{feff}", format!("{day} 00:00:00")),
        ("\n", format!("{day}T00:00:00+0000")),
    ] {
        let body = format!(
            "{bom}{{\"objectClassName\":\"domain\",\"ldhName\":\"example.org\",\"events\":[{{\"eventAction\":\"expiration\",\"eventDate\":\"{date}\"}}]}}"
        );
        let registry = Web::new().on("/domain/example.org", Behaviour::body(&body));
        let url = format!(
            "dns://127.0.0.1:{}/example.org",
            name_server(([127, 0, 0, 1], 0))
        );
        let rdap = registry.url("");
        let agent = format!("[agent]\nstate = \"state\"\nrdap = \"{rdap}\"\n");
        let sitemon = Sitemon::new(&(agent + &site("name", &url, "domain = \"30d\"")));
        let json = sitemon.command(&["check", "name", "--json"]).stdout;
        let state = "\"state\":\"degraded\",\"cause\":\"domain ends in ";
        assert!(json.contains(state), "{date}: {json}");
        assert!(!json.contains("unknown"), "{date}: {json}");
    }
}

#[test]
fn what_could_not_be_found_out_is_shown_by_check() {
    let registry = Web::new().on("/domain/example.org", Behaviour::status(403));
    let dns = name_server(([127, 0, 0, 1], 0));
    let url = format!("dns://127.0.0.1:{dns}/example.org");
    let agent = format!(
        "[agent]\nstate = \"state\"\nrdap = \"{}\"\n",
        registry.url("")
    );
    let sitemon = Sitemon::new(&(agent + &site("name", &url, "domain = \"30d\"")));
    let why = "domain unknown: 127.0.0.1 answered HTTP 403";
    let table = sitemon.command(&["check", "name"]);
    assert_eq!(table.code, Some(0), "{table:?}");
    let end = format!("  A 192.0.2.1, {why}");
    let row = table.stdout.lines().nth(1).unwrap_or_default();
    assert!(row.ends_with(&end), "{table:?}");
    let json = sitemon.command(&["check", "name", "--json"]).stdout;
    let end = format!(",\"unknown\":[\"{why}\"]}}]}}");
    assert!(json.contains("\"state\":\"up\",\"cause\":null"), "{json}");
    assert!(json.trim_end().ends_with(&end), "{json}");
    // Without the name of a site its domain is not looked up.
    let json = sitemon.command(&["check", "--json"]).stdout;
    assert!(!json.contains("unknown"), "{json}");
}
