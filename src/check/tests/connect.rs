//! Which of a name's addresses is connected to, and which failure is reported.

use super::server::Server;
use super::*;
use crate::check::connect::{CheckFailure, Race, Target, alternate};
use crate::check::deadline::Deadline;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

fn v4(n: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, n], 80))
}

fn v6(n: u16) -> SocketAddr {
    SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, n], 80))
}

fn within(millis: u64) -> Deadline {
    Deadline::new(Duration::from_millis(millis))
}

#[track_caller]
fn failed(addresses: Vec<SocketAddr>, millis: u64) -> (FailureKind, String, Option<IpAddr>) {
    let failed = block_on(Race::new(addresses).run(within(millis))).expect_err("no connection");
    let CheckFailure { failure, address } = failed;
    (failure.kind, failure.detail, address)
}

#[test]
fn families_take_turns_and_the_preferred_one_begins() {
    assert_eq!(
        alternate(&[v6(1), v6(2), v6(3), v4(1)]),
        [v6(1), v4(1), v6(2), v6(3)]
    );
    assert_eq!(alternate(&[v4(1), v4(2), v6(1)]), [v4(1), v6(1), v4(2)]);
    assert_eq!(alternate(&[v4(1)]), [v4(1)]);
    assert_eq!(alternate(&[]), []);
    let many: Vec<_> = (0..200).map(v4).chain([v6(1)]).collect();
    let tried = alternate(&many);
    assert_eq!(tried.len(), 8);
    assert_eq!(tried[..3], [v4(0), v6(1), v4(1)]);
}

#[test]
fn after_a_failure_the_next_address_is_tried_at_once() {
    let server = Server::answering("");
    let mut addresses = vec![refusing(); 7];
    addresses.push(server.address);
    let start = Instant::now();
    let (_socket, address) =
        block_on(Race::new(addresses).run(within(5000))).expect("a connection");
    assert_eq!(address, server.address);
    // The delays between seven attempts would add up to 1750 ms.
    assert!(start.elapsed() < Duration::from_millis(1000));
}

#[test]
fn an_address_that_hangs_is_overtaken_after_its_head_start() {
    let (hanging, _queue) = unconnectable();
    let hanging = hanging.local_addr().expect("bound");
    let server = Server::answering("");
    let start = Instant::now();
    let addresses = vec![hanging, server.address];
    let (_socket, address) =
        block_on(Race::new(addresses).run(within(5000))).expect("a connection");
    assert_eq!(address, server.address);
    assert!(start.elapsed() >= Duration::from_millis(250));
}

#[test]
fn of_several_failures_the_one_that_tells_most_is_told() {
    use FailureKind::{Connect, NoRoute, Timeout};
    let (listener, _queue) = unconnectable();
    let hanging = listener.local_addr().expect("bound");
    let refused = refusing();
    // The kernel has no route to it.
    let unrouted = SocketAddr::from(([255; 4], 80));
    let nowhere = (NoRoute, "network unreachable", unrouted);
    let late = (Timeout, "no connection within 400ms", hanging);
    let text = format!("connection refused by {refused}");
    let denied = (Connect, text.as_str(), refused);
    for (addresses, (kind, detail, address)) in [
        (vec![unrouted], nowhere),
        (vec![unrouted, hanging], late),
        (vec![unrouted, refused], denied),
        (vec![hanging, refused], denied),
        (vec![refused, hanging, unrouted], denied),
    ] {
        assert_eq!(
            failed(addresses, 400),
            (kind, detail.to_owned(), Some(address.ip()))
        );
    }
}

#[test]
fn a_name_leads_to_a_connection_and_tells_what_it_took() {
    let server = Server::answering("");
    let connect = |host, ip| {
        let port = server.address.port();
        let target = Target { host, port, ip };
        block_on(target.connect(&client(), within(5000)))
    };
    for host in ["localhost", "127.0.0.1"] {
        let connection = connect(host, IpVersion::V4).expect("a connection");
        assert_eq!(connection.address, server.address);
        assert!(!connection.connect.is_zero());
    }
    let missing = connect("127.0.0.1", IpVersion::V6).err().expect("none");
    assert_eq!(missing.failure.kind, FailureKind::NoName);
    assert_eq!(
        missing.failure.detail,
        "cannot resolve 127.0.0.1: no IPv6 address"
    );
    // No resolver is asked: the label is longer than 63 bytes.
    let long = "x".repeat(64);
    let unknown = connect(&long, IpVersion::Any).err().expect("none");
    assert_eq!(unknown.failure.kind, FailureKind::NoName);
    assert_eq!(unknown.address, None);
}

#[test]
fn of_both_families_the_one_that_listens_is_found() {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0));
    let listener = listener.expect("this test needs IPv6 on the loopback interface");
    let there = listener.local_addr().expect("bound");
    let elsewhere = SocketAddr::from(([127, 0, 0, 1], there.port()));
    let addresses = alternate(&[elsewhere, there]);
    let (_socket, address) =
        block_on(Race::new(addresses).run(within(5000))).expect("a connection");
    assert_eq!(address, there);
}
