//! Link-local addresses with their interface (RFC 6874).

use crate::kinds::{name_server, site};
use crate::support::agent::Sitemon;
use crate::support::namespace::{in_own_network, ip};
use crate::support::tls::{DAY, TestCa};
use crate::support::web::{Behaviour, Web};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::SystemTime;

/// Address on the interface `link9`, which has the index below.
const ADDRESS: &str = "fe80::5";
const INDEX: u32 = 99;

fn greeter(to: SocketAddr) {
    let listener = TcpListener::bind(to).expect("a port");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
            let _ = stream.read(&mut [0; 16]);
        }
    });
}

/// Forwards each connection to `to`.
fn relay(listener: &TcpListener, to: &str) {
    for ours in listener.incoming().flatten() {
        let theirs = TcpStream::connect(to).expect("it listens");
        for (mut from, mut to) in [(&ours, &theirs), (&theirs, &ours)]
            .map(|(from, to)| [from, to].map(|one| one.try_clone().expect("a handle")))
            .map(|[from, to]| (from, to))
        {
            thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Write);
            });
        }
    }
}

#[test]
fn an_address_of_a_link_is_reached_by_its_interface() {
    in_own_network(|_| {
        ip(&format!(
            "link add link9 index {INDEX} type veth peer name link8"
        ));
        ip("link set link8 up");
        ip(&format!("addr add {ADDRESS}/64 dev link9 nodad"));
        ip("link set link9 up");
        let at = |port| {
            let address = ADDRESS.parse().expect("an address");
            SocketAddr::from(std::net::SocketAddrV6::new(address, port, 0, INDEX))
        };
        greeter(at(2525));
        name_server(at(5353));
        let ca = TestCa::new();
        let now = SystemTime::now();
        let certificate = ca.issue(&[ADDRESS], now - DAY, now + 90 * DAY);
        let secure = Web::tls(&certificate);
        let (theirs, ours) = (
            secure.address(),
            TcpListener::bind(at(4433)).expect("a port"),
        );
        thread::spawn(move || relay(&ours, &theirs.to_string()));
        let plain = Web::new().on("/", Behaviour::Redirect("/next".to_owned()));
        let (theirs, ours) = (
            plain.address(),
            TcpListener::bind(at(8080)).expect("a port"),
        );
        thread::spawn(move || relay(&ours, &theirs.to_string()));
        let sitemon = Sitemon::new("");
        let pem = ca.write_pem(sitemon.dir()).display().to_string();
        let trusted = format!("ca_file = \"{pem}\"");
        let number = format!("tcp://[{ADDRESS}%25{INDEX}]:2525");
        let sites = [
            site("tcp", "tcp://[fe80::5%25link9]:2525", "expect = \"220 \""),
            site("number", &number, ""),
            site("bare", "tcp://[FE80:0::5%link9]:2525", ""),
            site("tls", "tls://[fe80::5%25link9]:4433", &trusted),
            site(
                "dns",
                "dns://[fe80::5%25link9]:5353/example.org",
                "expect = \"192.0.2.1\"",
            ),
            site("ping", "icmp://[fe80::5%25link9]", ""),
            site("http", "http://[fe80::5%25link9]:8080/", ""),
            site("http bare", "http://[fe80::5%link9]:8080/a?b", ""),
            site("https", "https://[fe80::5%25link9]:4433/", &trusted),
            site("http nowhere", "http://[fe80::5%25link7]:8080/", ""),
            site("nowhere", "tcp://[fe80::5%25link7]:2525", ""),
        ];
        sitemon.rewrite(&format!("[agent]\nstate = \"state\"\n{}", sites.concat()));
        let out = sitemon.command(&["check"]);
        for line in out.stdout.lines().skip(1).take(sites.len()) {
            let state = match line.contains("nowhere ") {
                true => "  down ",
                false => "  up ",
            };
            assert!(line.contains(state), "{out:?}");
        }
        let causes = [
            ("http://[fe80::5%25link9]:1/", "connection refused by "),
            ("https://[fe80::5%25link9]:4433/", "not trusted"),
        ];
        for (url, cause) in causes {
            let other = Sitemon::new(&format!(
                "[agent]\nstate = \"state\"\n{}",
                site("it", url, "")
            ));
            let found = other.command(&["check"]).stdout;
            assert!(
                found.contains(cause) && found.contains("  down "),
                "{found}"
            );
        }
        for name in ["tls", "https"] {
            let found = sitemon.command(&["check", name]).stdout;
            assert!(found.contains("certificate ends in "), "{found}");
        }
    });
}
