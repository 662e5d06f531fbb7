//! Queries to each server, and the verdicts about the answers.

use super::*;
use crate::check::deadline::Deadline;

#[test]
fn a_good_answer_is_up_with_its_records_times_and_address() {
    let server = DnsServer::with(&[(1, ONE), (1, TWO)]);
    let outcome = asked(&server, Duration::from_secs(5), |_| {});
    assert_eq!(outcome.verdict, Ok(()));
    assert_eq!(outcome.detail.as_deref(), Some("A 192.0.2.1, 192.0.2.2"));
    let (took, phases) = (outcome.took.expect("answered"), outcome.phases);
    let phases = phases.expect("measured");
    assert!(phases.connect.is_zero() && phases.tls.is_zero() && !phases.reused);
    assert!(phases.dns + phases.first_byte <= phases.total && phases.total <= took);
    let query = server.queries.recv().expect("a question");
    assert_eq!(
        &query[2..12],
        b"\x01\0\0\x01\0\0\0\0\0\x01",
        "recursion, EDNS"
    );
    assert_eq!(&query[12..33], b"\x03www\x07example\x03org\0\0\x01\0\x01");
    assert_eq!(&query[33..], b"\0\0\x29\x04\xd0\0\0\0\0\0\0", "1232 bytes");
}

#[test]
fn ids_and_ports_change_from_check_to_check() {
    let server = DnsServer::with(&[(1, ONE)]);
    let mut ids: Vec<Vec<u8>> = (0..20)
        .map(|_| {
            asked(&server, Duration::from_secs(5), |_| {});
            server.queries.recv().expect("a question")[..2].to_vec()
        })
        .collect();
    ids.sort();
    ids.dedup();
    assert!(ids.len() > 15, "{ids:?}");
}

#[test]
fn every_kind_is_shown_in_words() {
    use RecordKind as K;
    let all: [(K, u16, &'static [u8], &str); 10] = [
        (K::A, 1, ONE, "A 192.0.2.1"),
        (K::Aaaa, 28, b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", "AAAA 2001:db8::1"),
        (K::Cname, 5, b"\x03web\xc0\x10", "CNAME web.example.org"),
        (K::Mx, 15, b"\0\x0a\x04mail\xc0\x10", "MX 10 mail.example.org"),
        (K::Ns, 2, b"\x02ns\xc0\x10", "NS ns.example.org"),
        (K::Txt, 16, b"\x07v=spf1 \x04-all", "TXT \"v=spf1 -all\""),
        (
            K::Soa,
            6,
            b"\x02ns\xc0\x10\x05admin\xc0\x10\x78\xc3\x5c\xa1\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x01",
            "SOA ns.example.org admin.example.org 2026069153 1 1 1 1",
        ),
        (K::Caa, 257, b"\0\x05issueca.example", "CAA 0 issue \"ca.example\""),
        (K::Ptr, 12, b"\x04host\xc0\x10", "PTR host.example.org"),
        (K::Srv, 33, b"\0\x0a\0\x05\x13\xc4\x03sip\xc0\x10", "SRV 10 5 5060 sip.example.org"),
    ];
    for (kind, code, data, shown) in all {
        let server = DnsServer::new(move |query| vec![reply(query, 0, &[(code, data)])]);
        let outcome = asked(&server, Duration::from_secs(5), |check| check.kind = kind);
        assert_eq!(outcome.verdict, Ok(()), "{shown}");
        assert_eq!(outcome.detail.as_deref(), Some(shown));
    }
}

#[test]
fn the_name_of_an_address_is_asked_for_under_arpa() {
    let server = DnsServer::with(&[(12, b"\x04host\0")]);
    let outcome = asked(&server, Duration::from_secs(5), |check| {
        (check.name, check.kind) = ("192.0.2.1".to_owned(), RecordKind::Ptr);
    });
    assert_eq!(outcome.detail.as_deref(), Some("PTR host"));
    let query = server.queries.recv().expect("a question");
    let name = b"\x011\x012\x010\x03192\x07in-addr\x04arpa\0\0\x0c";
    // 1.2.0.192
    let name = [&name[..1], b"1\x012\x010", &name[6..]].concat();
    assert_eq!(&query[12..12 + name.len()], name);
}

#[test]
fn an_alias_is_followed_to_the_records_that_count() {
    let server = DnsServer::new(|query| {
        // www.example.org → web.example.org, whose record follows.
        let mut message = reply(query, 0, &[(5, b"\x03web\xc0\x10")]);
        message[7] = 2;
        let alias = question_end(query) + 12;
        message.extend_from_slice(&[0xc0, alias as u8]);
        message.extend_from_slice(b"\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01");
        vec![message]
    });
    let outcome = asked(&server, Duration::from_secs(5), |_| {});
    assert_eq!(outcome.verdict, Ok(()));
    assert_eq!(outcome.detail.as_deref(), Some("A 192.0.2.1"));
    let outcome = asked(&server, Duration::from_secs(5), |check| {
        check.kind = RecordKind::Aaaa;
    });
    let none = "no AAAA record for www.example.org, an alias of web.example.org";
    assert_eq!(failure(&outcome), (FailureKind::Status, none));
}

#[test]
fn one_record_must_be_the_expected_one() {
    let server = DnsServer::with(&[(1, ONE), (1, TWO)]);
    let expecting = |value: &str| {
        asked(&server, Duration::from_secs(5), |check| {
            check.expect = Some(value.to_owned());
        })
    };
    assert_eq!(expecting("192.0.2.2").verdict, Ok(()));
    let outcome = expecting("192.0.2.3");
    let cause = "expected A 192.0.2.3 but got 192.0.2.1, 192.0.2.2";
    assert_eq!(failure(&outcome), (FailureKind::Redirected, cause));
    assert_eq!(outcome.detail.as_deref(), Some("A 192.0.2.1, 192.0.2.2"));
    assert!(outcome.took.is_some(), "it did answer");
    let text = DnsServer::with(&[(16, b"\x06v=spf1")]);
    let told = told(&text, |check| {
        (check.kind, check.expect) = (RecordKind::Txt, Some("v=spf2".to_owned()));
    });
    let cause = "expected TXT \"v=spf2\" but got \"v=spf1\"";
    assert_eq!(told, of(FailureKind::Body, cause));
}

#[test]
fn each_refusal_has_its_own_cause() {
    let status = |detail| of(FailureKind::Status, detail);
    for (code, cause) in [
        (2, "SERVFAIL from 127.0.0.1"),
        (3, "NXDOMAIN: no such name as www.example.org"),
        (5, "REFUSED from 127.0.0.1"),
        (9, "NOTAUTH from 127.0.0.1"),
        (0, "no A record for www.example.org"),
    ] {
        let server = DnsServer::refusing(code);
        let outcome = asked(&server, Duration::from_secs(5), |_| {});
        let (kind, detail) = failure(&outcome);
        assert_eq!(of(kind, detail), status(cause));
        assert!(outcome.took.is_some(), "it did answer");
    }
    let alias = DnsServer::new(|query| vec![reply(query, 3, &[(5, b"\x01x\0")])]);
    let cause = "NXDOMAIN: no such name as x, which www.example.org is an alias of";
    assert_eq!(told(&alias, |_| {}), status(cause));
}

#[test]
fn a_server_that_does_not_know_edns_is_asked_without() {
    let old = DnsServer::new(|query| match query[11] {
        0 => vec![reply(query, 0, &[(1, ONE)])],
        _ => vec![[&query[..2], b"\x81\x01\0\0\0\0\0\0\0\0"].concat()],
    });
    let outcome = asked(&old, Duration::from_secs(5), |_| {});
    assert_eq!(outcome.verdict, Ok(()));
    assert_eq!(old.queries.iter().take(2).count(), 2);
    for code in [2, 4, 5] {
        let plain_only = DnsServer::new(move |query| match query[11] {
            0 => vec![reply(query, 0, &[(1, ONE)])],
            _ => vec![reply(query, code, &[])],
        });
        let outcome = asked(&plain_only, Duration::from_secs(5), |_| {});
        assert_eq!(outcome.verdict, Ok(()), "code {code}");
    }
    let cause = of(FailureKind::Status, "FORMERR from 127.0.0.1");
    assert_eq!(told(&DnsServer::refusing(1), |_| {}), cause);
}

#[test]
fn a_question_with_edns_that_is_dropped_is_asked_without() {
    for instead in [&[][..], &[b"garbage".to_vec()]] {
        let instead = instead.to_vec();
        let server = DnsServer::new(move |query| match query[11] {
            0 => vec![reply(query, 0, &[(1, ONE)])],
            _ => instead.clone(),
        });
        let outcome = asked(&server, Duration::from_secs(10), |_| {});
        assert_eq!(outcome.verdict, Ok(()));
        // Much less than a third of the ten seconds.
        let took = outcome.took.expect("answered");
        assert!(took < Duration::from_millis(2500), "{took:?}");
    }
}

#[test]
fn what_dig_shows_can_be_expected() {
    use RecordKind as K;
    let all: [(K, u16, &'static [u8], &str); 6] = [
        (K::Txt, 16, b"\x0aends with ", "ends with "),
        (K::Txt, 16, b"\x04one \x03two", r#""one " "two""#),
        (K::Txt, 16, b"\x05a\"b\\\xe4", r#""a\"b\\\228""#),
        (K::Ns, 2, b"\x0dxn--bcher-kva\xc0\x10", "bücher.example.org"),
        (
            K::Caa,
            257,
            b"\0\x05issueca.example; a=b",
            r#"0 issue "ca.example; a=b""#,
        ),
        (
            K::Soa,
            6,
            b"\x02ns\xc0\x10\x04me.x\xc0\x10\0\0\0\x07\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04",
            r"ns.example.org. me\.x.example.org. 7 1 2 3 4",
        ),
    ];
    for (kind, code, data, shown) in all {
        let server = DnsServer::new(move |query| vec![reply(query, 0, &[(code, data)])]);
        let outcome = asked(&server, Duration::from_secs(5), |check| {
            (check.kind, check.expect) = (kind, Some(shown.to_owned()));
        });
        assert_eq!(outcome.verdict, Ok(()), "{shown}");
    }
}

#[test]
fn a_closed_port_is_told_at_once() {
    let socket = UdpSocket::bind((HERE, 0)).expect("a port");
    let address = socket.local_addr().expect("bound");
    // The port stays taken, but takes datagrams of another peer only (udp(7)).
    socket.connect((HERE, 9)).expect("connected");
    let start = Instant::now();
    let outcome = block_on(run(&client(), &dns_site(address, |_| {}), false));
    let cause = format!("connection refused by {address}");
    assert_eq!(failure(&outcome), (FailureKind::Connect, cause.as_str()));
    assert_eq!((outcome.address, outcome.took), (Some(HERE), None));
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_server_whose_name_leads_nowhere_is_told_so() {
    let mut site = dns_site(([127, 0, 0, 1], 53).into(), |check| {
        // The C library refuses it without asking any server.
        check.server = Some((String::new(), 53));
    });
    let outcome = block_on(run(&client(), &site, false));
    let denied = (FailureKind::NoName, "cannot resolve : no such name");
    assert_eq!((failure(&outcome), outcome.address), (denied, None));
    let Check::Dns(check) = &mut site.check else {
        panic!("a DNS check");
    };
    check.server = Some(("127.0.0.1".to_owned(), 53));
    check.ip = IpVersion::V6;
    let outcome = block_on(run(&client(), &site, false));
    let denied = (
        FailureKind::NoName,
        "cannot resolve 127.0.0.1: no IPv6 address",
    );
    assert_eq!(failure(&outcome), denied);
}

/// Queries these servers as the system's resolvers.
fn by_system(servers: &[&DnsServer], timeout: Duration) -> Outcome {
    let addresses: Vec<SocketAddr> = servers.iter().map(|server| server.address).collect();
    let Check::Dns(mut check) = dns_site(addresses[0], |_| {}).check else {
        panic!("a DNS check");
    };
    check.server = None;
    let outcome = block_on(ask(&check, &addresses, Deadline::new(timeout)));
    assert_eq!(outcome.address, None, "where a resolver is says nothing");
    outcome
}

#[test]
fn the_systems_resolvers_are_asked_in_turn() {
    let good = DnsServer::with(&[(1, ONE)]);
    let silent = DnsServer::new(|_| Vec::new());
    let failing = DnsServer::refusing(2);
    let absent = DnsServer::refusing(3);
    let second = Duration::from_secs(1);
    for others in [&[&silent, &good], &[&failing, &good]] {
        assert_eq!(by_system(others, second).verdict, Ok(()));
    }
    let outcome = by_system(&[&absent, &good], second);
    let cause = "NXDOMAIN: no such name as www.example.org";
    assert_eq!(failure(&outcome), (FailureKind::Status, cause), "an answer");
    let outcome = by_system(&[&failing, &silent], SHORT);
    let cause = "SERVFAIL from 127.0.0.1; no answer from 127.0.0.1 within 300ms";
    assert_eq!(failure(&outcome), (FailureKind::Dns, cause));
    let outcome = by_system(&[&silent, &silent], SHORT);
    let cause = "no answer from 127.0.0.1, 127.0.0.1 within 300ms";
    assert_eq!(failure(&outcome), (FailureKind::Dns, cause));
}

#[test]
fn what_cannot_be_a_name_is_not_asked_for() {
    let server = DnsServer::with(&[]);
    let mut site = dns_site(server.address, |check| check.name = "a..b".to_owned());
    site.timeout = SHORT;
    let outcome = block_on(run(&client(), &site, false));
    let failure = Failure::new(FailureKind::Internal, "\"a..b\" cannot be a name");
    assert_eq!(outcome.verdict, Err(failure));
}
