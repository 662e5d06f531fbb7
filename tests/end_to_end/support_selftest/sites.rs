//! Tests of the test sites.

use crate::support::listener::until;
use crate::support::raw_client::connect;
use crate::support::tls::{self, Certificate, LOOPBACK, TestCa};
use crate::support::web::{Behaviour, Web};
use isahc::ReadResponseExt as _;
use isahc::config::Configurable as _;
use isahc::tls::{TlsConfig, TrustStore};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::thread;
use std::time::Duration;

#[test]
fn a_site_changes_its_behaviour_and_counts_its_connections() {
    let web = Web::new().on("/shop", Behaviour::status(503));
    assert_eq!(isahc::get(web.url("/")).unwrap().status(), 200);
    assert_eq!(isahc::get(web.url("/shop")).unwrap().status(), 503);
    web.set("/shop", Behaviour::ok());
    assert_eq!(isahc::get(web.url("/shop")).unwrap().status(), 200);
    web.wait_requests(3);
    assert_eq!(web.requests(), 3);
    assert_eq!(web.seen()[1].path(), "/shop");

    let idle = connect(&web.url("/"));
    until("an idle connection", || web.idle_open() >= 1);
    drop(idle);
    web.stop();
    web.wait_open(0);
    assert!(TcpStream::connect(web.address()).is_err());
    web.start_again();
    assert_eq!(isahc::get(web.url("/")).unwrap().status(), 200);
}

#[test]
fn a_site_that_stops_refuses_connections_while_a_process_is_started() {
    let web = Web::new();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let (mut forked, mut child_end) = std::io::pipe().unwrap();
    let mut command = Command::new("true");
    // SAFETY: between fork(2) and execve(2) only write(2) and read(2) are called.
    unsafe {
        command.pre_exec(move || {
            child_end.write_all(b"x")?;
            (&reader).read_exact(&mut [0])
        });
    }
    thread::scope(|scope| {
        let started = scope.spawn(move || command.status());
        forked.read_exact(&mut [0]).unwrap();
        web.stop();
        let refused = TcpStream::connect(web.address()).is_err();
        writer.write_all(b"x").unwrap();
        assert!(started.join().unwrap().unwrap().success());
        assert!(refused);
    });
    web.start_again();
}

#[test]
fn a_hanging_site_sees_that_the_client_gave_up() {
    let web = Web::new().on("/", Behaviour::Hang);
    let mut stream = connect(&web.url("/"));
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    web.wait_requests(1);
    assert_eq!((web.open(), web.idle_open()), (1, 0));
    drop(stream);
    web.wait_open(0);
    assert_eq!(web.max_open(), 1);
}

#[test]
fn bodies_are_what_they_claim_to_be() {
    let web = Web::new()
        .on("/big", Behaviour::Big(300_000))
        .on(
            "/late",
            Behaviour::body("late").after(Duration::from_millis(20)),
        )
        .on("/short", Behaviour::Short(10));
    for size in [0, 1, 257, 258, 259, 100_000, 3_000_000] {
        web.set("/zip", Behaviour::GzipBomb(size));
        let unpacked = isahc::get(web.url("/zip")).unwrap().bytes().unwrap();
        assert_eq!(unpacked.len() as u64, size);
        assert!(unpacked.iter().all(|&b| b == 0));
    }
    let big = isahc::get(web.url("/big")).unwrap().bytes().unwrap();
    assert_eq!(big.len(), 300_000);
    let late = isahc::get(web.url("/late")).unwrap().bytes().unwrap();
    assert_eq!(late, b"late");
    assert!(isahc::get(web.url("/short")).unwrap().bytes().is_err());
}

#[test]
fn certificates_are_trusted_exactly_when_they_should_be() {
    let ca = TestCa::new();
    let roots = TrustStore::builder().certificate_from_pem(ca.pem()).build();
    let get = |web: &Web| {
        let request = isahc::Request::get(web.url("/"))
            .tls_config(TlsConfig::builder().trust_store(roots.clone()).build())
            .body(())
            .unwrap();
        isahc::send(request).map(|answer| answer.status().as_u16())
    };
    let web = Web::tls(&ca.good_for_days(30));
    assert_eq!(get(&web).unwrap(), 200);
    let now = std::time::SystemTime::now();
    let other_name = ca.issue(&["example.org"], tls::yesterday(), now + tls::DAY);
    for bad in [ca.expired(), Certificate::self_signed(LOOPBACK), other_name] {
        assert!(get(&Web::tls(&bad)).is_err());
    }
    // The next connection gets a renewed certificate.
    web.set_certificate(&ca.expired());
    web.cut_all();
    assert!(get(&web).is_err());
}
