//! Resolvers that answer queries for one address family, and not or late for the other.

use crate::support::agent::Sitemon;
use crate::support::json::Json;
use crate::support::namespace::{Network, in_own_network};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const A: u16 = 1;
const AAAA: u16 = 28;

/// Name and type of every query.
type Asked = Arc<Mutex<Vec<(String, u16)>>>;

/// Starts the system's resolver, which resolves every name to `v4` and `::1`. `delay` returns how
/// late it answers a query of this type; `None`: never.
fn resolver(v4: Ipv4Addr, delay: fn(u16) -> Option<Duration>) -> Asked {
    let asked = Asked::default();
    let log = asked.clone();
    let socket = UdpSocket::bind((Network::uplink(53), 53)).expect("the resolver's address");
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((size, from)) = socket.recv_from(&mut buffer) {
            let query = &buffer[..size];
            let end = 12 + query[12..].iter().position(|b| *b == 0).expect("a name") + 5;
            let kind = u16::from_be_bytes([query[end - 4], query[end - 3]]);
            let label = &query[13..13 + usize::from(query[12])];
            let label = String::from_utf8_lossy(label).into_owned();
            log.lock().expect("sound").push((label, kind));
            let data = match kind {
                A => v4.octets().to_vec(),
                _ => std::net::Ipv6Addr::LOCALHOST.octets().to_vec(),
            };
            let mut answer = query[..end].to_vec();
            answer[2..4].copy_from_slice(&[0x81, 0x80]);
            answer[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
            answer.extend([
                0xc0,
                12,
                0,
                kind as u8,
                0,
                1,
                0,
                0,
                0,
                60,
                0,
                data.len() as u8,
            ]);
            answer.extend(data);
            let Some(delay) = delay(kind) else {
                continue;
            };
            let socket = socket.try_clone().expect("a descriptor");
            thread::spawn(move || {
                thread::sleep(delay);
                let _ = socket.send_to(&answer, from);
            });
        }
    });
    asked
}

/// Returns the states of `names`, tcp sites at `port`; `v4` and `v6` require that family.
fn states(names: &[&str], port: u16) -> Vec<(String, String)> {
    let site = |name: &&str| {
        let ip = match *name {
            "v4" => "ip = \"4\"\n",
            "v6" => "ip = \"6\"\n",
            _ => "",
        };
        let url = format!("tcp://{name}.example.net:{port}");
        format!("[[site]]\nname = \"{name}\"\nurl = \"{url}\"\ntimeout = \"8s\"\n{ip}")
    };
    let config: String = names.iter().map(site).collect();
    let output = Sitemon::new(&config).command(&["check", "--json"]);
    let json = Json::parse(&output.stdout).expect("JSON");
    let text = |site: &Json, key| {
        site.get(key)
            .and_then(Json::str)
            .unwrap_or_default()
            .to_owned()
    };
    let sites = json
        .get("sites")
        .and_then(Json::array)
        .expect("sites")
        .to_vec();
    sites
        .iter()
        .map(|site| (text(site, "state"), text(site, "cause")))
        .collect()
}

fn up() -> (String, String) {
    ("up".to_owned(), String::new())
}

#[test]
fn a_resolver_that_never_answers_for_ipv6_is_enough_for_ipv4() {
    in_own_network(|_| {
        let server = TcpListener::bind((Network::elsewhere(10), 0)).expect("a port");
        let port = server.local_addr().expect("bound").port();
        let delay = |kind| (kind == A).then_some(Duration::ZERO);
        let asked = resolver(Network::elsewhere(10), delay);
        let found = states(&["v4", "any", "v6"], port);
        assert_eq!(found[..2], [up(), up()]);
        let cause = "cannot resolve v6.example.net within 8s".to_owned();
        assert_eq!(found[2], ("down".to_owned(), cause));
        let asked = asked.lock().expect("sound");
        let of = |name| asked.iter().filter(move |(label, _)| label == name);
        assert!(of("v4").all(|(_, kind)| *kind == A), "{asked:?}");
        assert!(of("v6").all(|(_, kind)| *kind == AAAA), "{asked:?}");
        assert!(of("any").any(|(_, kind)| *kind == AAAA), "{asked:?}");
    });
}

#[test]
fn a_family_that_comes_late_is_tried_when_the_first_one_does_not_connect() {
    in_own_network(|_| {
        let server = TcpListener::bind((Network::elsewhere(10), 0)).expect("a port");
        let port = server.local_addr().expect("bound").port();
        // Nothing listens at [::1].
        let delay = |kind| Some(Duration::from_secs(if kind == A { 1 } else { 0 }));
        resolver(Network::elsewhere(10), delay);
        assert_eq!(states(&["any"], port), [up()]);
    });
}
