//! The limits of redirects, in a network of each test's own, which has public addresses.

use crate::support::agent::Sitemon;
use crate::support::assert_has;
use crate::support::bot_api::Sent;
use crate::support::json::Json;
use crate::support::lab::Lab;
use crate::support::listener::Listener;
use crate::support::namespace::{Network, in_own_network};
use crate::support::tls::{DAY, TestCa, yesterday};
use crate::support::web::{Behaviour, Web};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

/// Returns the cause of each site after one check, by name. Empty when the site is up.
#[track_caller]
fn causes(sitemon: &Sitemon) -> Vec<(String, String)> {
    let output = sitemon.command(&["check", "--json"]);
    let json = Json::parse(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let sites = json.get("sites").and_then(Json::array).expect("sites");
    let text = |site: &Json, key| {
        site.get(key)
            .and_then(Json::str)
            .unwrap_or_default()
            .to_owned()
    };
    sites
        .iter()
        .map(|site| (text(site, "name"), text(site, "cause")))
        .collect()
}

fn refused(place: &str) -> String {
    format!(
        "redirected from a public address to {place} (set private_redirects = true if that is meant)"
    )
}

/// Returns `http://HOST:PORT/PATH` of a server.
fn url(host: &str, web: &Web, path: &str) -> String {
    let address = web.address();
    let port = address.rsplit(':').next().unwrap_or_default();
    format!("http://{host}:{port}{path}")
}

#[test]
fn a_public_server_does_not_lead_a_check_into_this_network() {
    in_own_network(|network| {
        network.resolve("www.example.net", 11);
        network.resolve_to("nas.example.net", Network::lan(5));
        let inside = Web::at(Network::lan(5));
        let public = Web::at(Network::elsewhere(10));
        let other = Web::at(Network::elsewhere(11));
        let printer = Web::at(Network::lan(6));
        let lan = inside.url("/");
        let cases = [
            ("literal", lan.clone(), refused("10.7.0.5")),
            (
                "name",
                url("nas.example.net", &inside, "/"),
                refused("nas.example.net at 10.7.0.5"),
            ),
            (
                "loopback",
                url("127.0.0.1", &inside, "/"),
                refused("127.0.0.1"),
            ),
            (
                "number",
                url("0x7f000001", &inside, "/"),
                refused("127.0.0.1"),
            ),
            (
                "localhost",
                url("localhost", &inside, "/"),
                refused("localhost at 127.0.0.1"),
            ),
            (
                "mapped",
                url("[::ffff:10.7.0.5]", &inside, "/"),
                refused("::ffff:10.7.0.5"),
            ),
            (
                "metadata",
                "http://169.254.169.254/latest".to_owned(),
                refused("169.254.169.254"),
            ),
            ("by another", other.url("/lan"), refused("10.7.0.5")),
            (
                "by a name",
                url("www.example.net", &other, "/lan"),
                refused("10.7.0.5"),
            ),
            ("allowed", lan.clone(), String::new()),
            (
                "elsewhere",
                url("www.example.net", &other, "/"),
                String::new(),
            ),
            ("itself", "/there".to_owned(), String::new()),
        ];
        other.set("/lan", Behaviour::Redirect(lan.clone()));
        let mut config = String::new();
        for (number, (name, to, _)) in cases.iter().enumerate() {
            let path = format!("/{number}");
            public.set(&path, Behaviour::Redirect(to.clone()));
            let url = public.url(&path);
            config += &format!("[[site]]\nname = \"{name}\"\nurl = \"{url}\"\n");
            if *name == "allowed" {
                config += "private_redirects = true\n";
            }
        }
        // A site on this network isn't restricted, and may redirect to another server and back.
        printer.set("/lan", Behaviour::Redirect(lan.clone()));
        printer.set("/login", Behaviour::Redirect(other.url("/login")));
        other.set("/login", Behaviour::Redirect(printer.url("/in")));
        printer.set("/further", Behaviour::Redirect(other.url("/lan")));
        let own = [
            ("printer", "/lan", String::new()),
            ("printer login", "/login", String::new()),
            ("printer by another", "/further", refused("10.7.0.5")),
        ];
        for (name, path, _) in &own {
            let url = printer.url(path);
            config += &format!("[[site]]\nname = \"{name}\"\nurl = \"{url}\"\n");
        }
        let sitemon = Sitemon::new(&config);
        let cases = cases
            .into_iter()
            .map(|(name, _, cause)| (name.to_owned(), cause));
        let own = own
            .into_iter()
            .map(|(name, _, cause)| (name.to_owned(), cause));
        let wanted: Vec<(String, String)> = cases.chain(own).collect();
        assert_eq!(causes(&sitemon), wanted);
        assert_eq!(
            inside.requests(),
            2,
            "of the site that is allowed to and of the printer"
        );
    });
}

#[test]
fn an_alert_of_it_comes_after_the_uplink_was_asked() {
    in_own_network(|_| {
        let inside = Web::at(Network::lan(5));
        let lab = Lab::new().site("shop", Network::elsewhere(10));
        let running = lab.start();
        let asked = lab.asked();
        lab.web("shop")
            .set("/", Behaviour::Redirect(inside.url("/")));
        let told = lab.wait_text("shop is down: redirected from a public address to 10.7.0.5");
        assert_has(&told.latest(), "private_redirects");
        assert!(
            lab.asked() > asked,
            "it is not taken for a site of this network"
        );
        assert_eq!(inside.requests(), 0);
        lab.works("shop");
        lab.wait_text("shop is up again");
        let of_shop = |m: &Sent| m.latest().contains("shop is down");
        assert_eq!(lab.api.messages().into_iter().filter(of_shop).count(), 1);
        lab.end(running);
    });
}

/// Starts a name server on the network's resolver address. `answer` returns the IPv4 addresses of a
/// name; there are no others. Ends with the test process.
fn name_server(answer: impl Fn(&str) -> Vec<Ipv4Addr> + Send + 'static) {
    let socket = UdpSocket::bind((Network::resolver(), 53)).expect("the resolver's address");
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((size, from)) = socket.recv_from(&mut query) {
            if let Some(reply) = query.get(..size).and_then(|query| reply(query, &answer)) {
                let _ = socket.send_to(&reply, from);
            }
        }
    });
}

/// Returns the query's answer with an A record for each address (RFC 1035, section 4.1).
fn reply(query: &[u8], answer: &impl Fn(&str) -> Vec<Ipv4Addr>) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*query.get(at)?);
        let label = query.get(at + 1..at + 1 + length)?;
        at += 1 + length;
        if length == 0 {
            break;
        }
        labels.push(std::str::from_utf8(label).ok()?.to_owned());
    }
    let question = query.get(12..at + 4)?;
    let is_a = question.ends_with(&[0, 1, 0, 1]);
    let addresses = if is_a {
        answer(&labels.join("."))
    } else {
        Vec::new()
    };
    let mut reply = query.get(..2)?.to_vec();
    reply.extend([
        0x81,
        0x80,
        0,
        1,
        0,
        u8::try_from(addresses.len()).ok()?,
        0,
        0,
        0,
        0,
    ]);
    reply.extend(question);
    for address in addresses {
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
}

/// Starts a server on every address that gives one `answer`, and records the addresses it was
/// reached at.
fn everywhere(answer: &'static str) -> (Listener, Arc<Mutex<Vec<IpAddr>>>) {
    let seen: Arc<Mutex<Vec<IpAddr>>> = Arc::default();
    let log = seen.clone();
    let listener = Listener::start_at(Network::elsewhere(66), None, move |mut stream, _| {
        // Short requests arrive in one piece.
        if stream.read(&mut [0; 4096]).is_ok_and(|size| size > 0) {
            let local = stream.local_addr().expect("a connection").ip();
            log.lock().expect("sound").push(local);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (listener, seen)
}

/// Resolves `turnN.example.net` to a public address for the first N queries, and to this machine
/// afterwards.
fn turning() -> impl Fn(&str) -> Vec<Ipv4Addr> + Send {
    let counts: Mutex<HashMap<String, usize>> = Mutex::default();
    move |name| {
        let turn = name.strip_prefix("turn").and_then(|rest| rest.get(..1));
        let Some(turn) = turn.and_then(|turn| turn.parse().ok()) else {
            return Vec::new();
        };
        let mut counts = counts.lock().expect("sound");
        let count = counts.entry(name.to_owned()).or_default();
        *count += 1;
        match *count <= turn {
            true => vec![Network::elsewhere(66)],
            false => vec![Ipv4Addr::LOCALHOST],
        }
    }
}

#[test]
fn a_name_that_leads_elsewhere_a_moment_later_is_not_followed_there() {
    in_own_network(|_| {
        name_server(turning());
        let (server, seen) = everywhere(
            "HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n",
        );
        let port = server.address().port();
        for turn in 1..=3 {
            let host = format!("turn{turn}.example.net");
            // Not by `check`, which never reuses a connection.
            let url = format!("http://{host}:{port}/");
            let keys = "tries = 1\ninterval = \"1h\"";
            let lab = Lab::new().address("turn", &url, keys);
            let running = lab.launch();
            let cause = refused(&format!("{host} at 127.0.0.1"));
            lab.wait_text(&format!("turn is down: {cause}"));
            lab.end(running);
            let seen = std::mem::take(&mut *seen.lock().expect("sound"));
            assert_eq!(seen, vec![Network::elsewhere(66); turn]);
        }
    });
}

/// Its certificate proves that it is the same server, so an open connection is reused.
#[test]
fn within_an_https_server_the_open_connection_is_used_and_no_private_address_counts() {
    in_own_network(|_| {
        name_server(turning());
        let ca = TestCa::new();
        let names = ["turn1.open.example", "turn1.closed.example"];
        let certificate = ca.issue(&names, yesterday(), SystemTime::now() + 90 * DAY);
        let web = Web::at_port(Network::elsewhere(66), 8443, Some(&certificate), |_| {
            Behaviour::ok()
        });
        web.set("/", Behaviour::Redirect("/there".to_owned()));
        let keys = "ca_file = \"ca.pem\"\ncert = \"0s\"\ntries = 1";
        // Checked every second, or so seldom that the connection is closed at once.
        for (name, interval, told) in [
            ("open", "1s", String::new()),
            ("closed", "1h", refused("turn1.closed.example at 127.0.0.1")),
        ] {
            let url = format!("https://turn1.{name}.example:8443/");
            let keys = format!("interval = \"{interval}\"\n{keys}");
            let lab = Lab::new().address(name, &url, &keys);
            ca.write_pem(lab.dir());
            let running = lab.launch();
            match told.as_str() {
                "" => lab.wait_state(name, "up"),
                told => drop(lab.wait_text(&format!("{name} is down: {told}"))),
            }
            lab.end(running);
        }
    });
}

#[test]
fn of_several_addresses_the_next_is_tried_and_none_that_is_private() {
    const NO_ROUTE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
    const SILENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 8);
    in_own_network(|network| {
        network.silence(SILENT);
        let web = Web::at_port(Network::elsewhere(66), 8081, None, |request| match request
            .header("host")
        {
            Some("two.example.net:8081" | "slow.example.net:8081") => Behaviour::ok(),
            _ => Behaviour::status(400),
        });
        name_server(|name| match name {
            "two.example.net" => vec![NO_ROUTE, Network::elsewhere(66)],
            "slow.example.net" => vec![SILENT, Network::elsewhere(66)],
            "mixed.example.net" => vec![Network::elsewhere(66), Network::lan(5)],
            _ => Vec::new(),
        });
        let here = Web::at(Network::elsewhere(10));
        let mut config = String::new();
        for (name, to) in [
            ("two", url("two.example.net", &web, "/")),
            ("slow", url("slow.example.net", &web, "/")),
            ("mixed", url("mixed.example.net", &web, "/")),
            ("none", url("none.example.net", &web, "/")),
            ("closed", "http://203.0.113.66:1/".to_owned()),
        ] {
            let path = format!("/{name}");
            here.set(&path, Behaviour::Redirect(to));
            let url = here.url(&path);
            config += &format!("[[site]]\nname = \"{name}\"\nurl = \"{url}\"\n");
        }
        let found = causes(&Sitemon::new(&config));
        let wanted = [
            ("two", String::new()),
            ("slow", String::new()),
            ("mixed", refused("mixed.example.net at 10.7.0.5")),
            (
                "none",
                "cannot resolve none.example.net: no address".to_owned(),
            ),
            ("closed", "connection refused by 203.0.113.66:1".to_owned()),
        ];
        assert_eq!(found, wanted.map(|(name, cause)| (name.to_owned(), cause)));
        assert_eq!(web.requests(), 2);
    });
}

#[test]
fn from_http_to_https_at_the_default_ports_everything_goes_along() {
    in_own_network(|network| {
        let ca = TestCa::new();
        network.resolve("shop.example.net", 20);
        let names = ["shop.example.net"];
        let certificate = ca.issue(&names, yesterday(), SystemTime::now() + 90 * DAY);
        let plain = Web::at_port(Network::elsewhere(20), 80, None, |request| {
            let to = format!("https://shop.example.net{}", request.target);
            let answer = Behaviour::status(308);
            answer.with_header("Location", &to)
        });
        let secure = Web::at_port(Network::elsewhere(20), 443, Some(&certificate), |request| {
            let has = |name: &str, value| request.header(name) == Some(value);
            let whole = has("x-key", "k") && has("authorization", "Bearer t");
            let posted = request.method == "POST" && request.body == b"x=1";
            match whole && posted && has("host", "shop.example.net") {
                true => Behaviour::ok(),
                false => Behaviour::status(400),
            }
        });
        let sitemon = Sitemon::new(
            "[[site]]\nname = \"shop\"\nurl = \"http://shop.example.net/a?b\"\nmethod = \"POST\"\n\
             send = \"x=1\"\nheaders = { X-Key = \"k\" }\nauth = \"bearer t\"\n",
        );
        // An http site has no `ca_file` of its own: the agent's roots are used.
        let pem = ca.write_pem(sitemon.dir());
        let sitemon = sitemon.env("SSL_CERT_FILE", &pem.display().to_string());
        assert_eq!(causes(&sitemon), [("shop".to_owned(), String::new())]);
        assert_eq!((plain.requests(), secure.requests()), (1, 1));
    });
}

/// The proxy resolves names, so only addresses in the URL itself are known.
#[test]
fn behind_a_proxy_addresses_and_localhost_are_refused() {
    let proxy = Web::start(|request| {
        let to = |to: &str| Behaviour::Redirect(to.to_owned());
        match request.target.as_str() {
            "http://site.example/literal" => to("http://192.168.1.1/"),
            "http://site.example/localhost" => to("http://localhost:8080/"),
            "http://site.example/below" => to("http://app.localhost./"),
            "http://site.example/name" => to("http://other.example/"),
            "http://192.168.1.2/" => to("http://192.168.1.1/"),
            "http://other.example/" | "http://192.168.1.1/" => Behaviour::ok(),
            _ => Behaviour::status(400),
        }
    });
    let mut config = String::new();
    for path in [
        "site.example/literal",
        "site.example/localhost",
        "site.example/below",
        "site.example/name",
        "192.168.1.2/",
    ] {
        config += &format!("[[site]]\nname = \"{path}\"\nurl = \"http://{path}\"\n");
    }
    let sitemon = Sitemon::new(&config).env("http_proxy", &proxy.url(""));
    let found: Vec<String> = causes(&sitemon)
        .into_iter()
        .map(|(_, cause)| cause)
        .collect();
    let wanted = [
        refused("192.168.1.1"),
        refused("localhost"),
        refused("app.localhost."),
        String::new(),
        String::new(),
    ];
    assert_eq!(found, wanted);
    assert_eq!(proxy.requests(), 7);
}
