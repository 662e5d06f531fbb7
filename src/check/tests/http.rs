//! Plain HTTP: verdicts, redirects, requests as sent, reuse of connections.

use super::server::{Server, request};
use super::*;
use crate::check::guarded;
use crate::http::{CallError, HeaderValue};
use crate::monitor::site::Auth;
use futures_lite::FutureExt;
use futures_lite::future::poll_once;
use rustix::net::{Shutdown, shutdown};
use std::io::{Read, Write};
use std::sync::mpsc;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nall ok\n";
const DOWN: &str = "HTTP/1.1 503 Gone\r\nContent-Length: 3\r\n\r\nno\n";

#[test]
fn a_good_answer_is_up_with_its_times_and_address() {
    let server = Server::answering(OK);
    let outcome = outcome(&server.url(), |check| {
        check.body = Some("all ok".to_owned());
        check.body_not = Some("error".to_owned());
    });
    assert_eq!(outcome.verdict, Ok(()));
    assert_eq!(outcome.address, Some(server.address.ip()));
    let took = outcome.took.expect("answered");
    let phases = outcome.phases.expect("measured");
    assert!(!phases.reused && phases.tls.is_zero() && !phases.connect.is_zero());
    assert!(
        phases.dns + phases.connect + phases.first_byte <= phases.total && phases.total <= took
    );
}

#[test]
fn what_waits_for_our_own_threads_is_lag_and_a_slow_server_is_not() {
    const TIME: Duration = Duration::from_millis(400);
    let slow = Server::routing(|_| {
        std::thread::sleep(TIME);
        OK.to_owned()
    });
    let client = client();
    let slow = site(&slow.url(), |_| {});
    // A busy machine causes lag too, but hardly in all five checks.
    let lags = (0..5).map(|_| {
        assert_eq!(block_on(run(&client, &slow, false)).verdict, Ok(()));
        client.take_lag()
    });
    let least = lags.min().expect("five");
    assert!(least < TIME / 2, "{least:?}");
    assert!(client.take_lag().is_zero(), "it was taken");
    let (allow, allowed) = std::sync::mpsc::channel();
    let allowed = std::sync::Mutex::new(allowed);
    let server = Server::routing(move |_| {
        let _ = allowed.lock().expect("a sender").recv();
        OK.to_owned()
    });
    let quick = site(&server.url(), |_| {});
    block_on(async {
        let mut check = Box::pin(run(&client, &quick, false));
        while server.accepted() == 0 {
            assert!(poll_once(&mut check).await.is_none());
        }
        allow.send(()).expect("a server");
        std::thread::sleep(TIME);
        check.await
    });
    let lag = client.take_lag();
    assert!(lag > TIME / 2, "{lag:?}");
}

#[test]
fn an_unwanted_status_comes_before_the_body() {
    let server = Server::answering(DOWN);
    let outcome = outcome(&server.url(), |check| check.body = Some("ok".to_owned()));
    assert_eq!(
        failure(&outcome),
        (FailureKind::Status, "HTTP 503, wanted 200-299")
    );
    assert!(outcome.took.is_some(), "it did answer");
}

#[test]
fn a_body_is_judged_by_what_is_in_it() {
    let server = Server::answering(OK);
    let lacks = outcome(&server.url(), |check| check.body = Some("fine".to_owned()));
    assert_eq!(failure(&lacks), (FailureKind::Body, "body lacks \"fine\""));
    let has = outcome(&server.url(), |check| {
        check.body_not = Some("all".to_owned())
    });
    assert_eq!(failure(&has), (FailureKind::Body, "body has \"all\""));
}

#[test]
fn what_is_configured_is_what_is_sent() {
    let (heads, seen) = mpsc::channel();
    let server = Server::routing(move |head| {
        let _ = heads.send(head.to_owned());
        OK.to_owned()
    });
    let posted = outcome(&server.url(), |check| {
        check.method = "POST".to_owned();
        check.send = Some("{\"a\":1}".to_owned());
        check.headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        check.auth = Some(Auth::Basic {
            user: "user".to_owned(),
            password: "password".to_owned(),
        });
    });
    assert_eq!(posted.verdict, Ok(()));
    let head = seen.recv().expect("a request");
    for part in [
        "post / http/1.1\r\n",
        "authorization: basic dxnlcjpwyxnzd29yza==\r\n",
        "content-type: application/json\r\n",
        "user-agent: sitemon/test\r\n",
        "{\"a\":1}",
    ] {
        assert!(head.contains(part), "{part} in {head}");
    }
    outcome(&server.url(), |check| {
        check.auth = Some(Auth::Bearer("token".to_owned()));
        check.method = "PUT".to_owned();
    });
    let head = seen.recv().expect("a request");
    assert!(head.contains("authorization: bearer token\r\n"), "{head}");
    assert!(head.contains("content-length: 0\r\n"), "{head}");
    assert!(!head.contains("expect:"), "{head}");
}

#[test]
fn a_head_has_no_body_to_wait_for() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
    let outcome = outcome(&server.url(), |check| check.method = "HEAD".to_owned());
    assert_eq!(outcome.verdict, Ok(()));
}

#[test]
fn a_header_that_cannot_be_sent_is_told_without_its_value() {
    let outcome = outcome("http://127.0.0.1:1/", |check| {
        check.headers = vec![("X-Key".to_owned(), "geheim\u{fc}".to_owned())];
    });
    let (kind, detail) = failure(&outcome);
    assert_eq!(kind, FailureKind::Internal);
    assert_eq!(detail, "header x-key has characters beyond ASCII");
}

#[test]
fn redirects_are_followed_and_secrets_stay_behind() {
    let (heads, seen) = mpsc::channel();
    let there = Server::routing(move |head| {
        let _ = heads.send(head.to_owned());
        OK.to_owned()
    });
    let to = there.url();
    let here = Server::routing(move |_| {
        format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
    });
    let outcome = outcome(&here.url(), |check| {
        check.headers = vec![("Cookie".to_owned(), "secret".to_owned())];
        check.auth = Some(Auth::Bearer("token".to_owned()));
    });
    assert_eq!(outcome.verdict, Ok(()));
    let head = seen.recv().expect("a request");
    assert!(
        !head.contains("secret") && !head.contains("token"),
        "{head}"
    );
}

#[test]
fn a_redirect_that_leads_nowhere_good_is_told_from_a_bad_status() {
    use FailureKind::{Redirected, Status};
    let unwanted = "HTTP 301, wanted 200-299";
    for (head, redirects, kind, detail) in [
        (
            "302 Found\r\nLocation: file:/etc/passwd",
            10,
            Redirected,
            "redirect to file: is not followed",
        ),
        (
            "302 Found\r\nLocation: http://[",
            10,
            Redirected,
            "redirect to what is not an address",
        ),
        (
            "302 Found\r\nLocation: /",
            10,
            Redirected,
            "more than 10 redirects",
        ),
        ("301 Moved\r\nLocation: /", 0, Redirected, unwanted),
        ("301 Moved", 0, Status, unwanted),
        ("301 Moved", 10, Status, unwanted),
        (
            "300 Choose\r\nLocation: /",
            10,
            Status,
            "HTTP 300, wanted 200-299",
        ),
    ] {
        let answer = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n");
        let server = Server::routing(move |_| answer.clone());
        let outcome = outcome(&server.url(), |check| check.redirects = redirects);
        assert_eq!(failure(&outcome), (kind, detail), "{head}");
        assert_eq!(outcome.address, Some(server.address.ip()));
    }
}

fn failure_of(url: &str) -> (FailureKind, String) {
    let outcome = outcome(url, |_| {});
    let (kind, detail) = failure(&outcome);
    (kind, detail.to_owned())
}

#[test]
fn without_redirects_the_redirect_itself_is_judged() {
    let server =
        Server::answering("HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n");
    let outcome = outcome(&server.url(), |check| {
        check.redirects = 0;
        check.status.ranges = vec![(301, 301)];
    });
    assert_eq!(outcome.verdict, Ok(()));
    assert_eq!(server.accepted(), 1);
}

#[test]
fn a_refused_connection_is_told_with_its_address() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    // The port stays taken.
    shutdown(&listener, Shutdown::Both).expect("shut down");
    assert_eq!(
        failure_of(&format!("http://{address}/")),
        (
            FailureKind::Connect,
            format!("connection refused by {address}")
        )
    );
}

#[test]
fn a_name_that_does_not_exist_is_no_name_where_a_resolver_says_so() {
    // RFC 6761: such a name never resolves. Without any resolver this can't be known.
    let outcome = outcome("http://nothing.invalid/", |_| {});
    assert_eq!(outcome.address, None);
    let denied = (
        FailureKind::NoName,
        "cannot resolve nothing.invalid: no such name",
    );
    let unanswered = (
        FailureKind::Dns,
        "cannot resolve nothing.invalid: no answer from the resolver",
    );
    let told = failure(&outcome);
    assert!(told == denied || told == unanswered, "{told:?}");
}

#[test]
fn an_address_of_the_wrong_family_is_no_name() {
    let outcome = outcome("http://127.0.0.1:1/", |check| check.ip = IpVersion::V6);
    assert_eq!(
        failure(&outcome),
        (
            FailureKind::NoName,
            "cannot resolve 127.0.0.1: no IPv6 address"
        )
    );
    assert_eq!(outcome.address, Some([127, 0, 0, 1].into()));
}

#[test]
fn a_network_without_a_route_is_told_from_a_host_that_refuses() {
    // Linux makes no TCP connection to a broadcast address, whatever routes exist.
    let outcome = outcome("http://255.255.255.255/", |_| {});
    let told = (FailureKind::NoRoute, "network unreachable");
    assert_eq!(failure(&outcome), told);
    assert_eq!(outcome.address, Some([255; 4].into()));
}

#[test]
fn every_failure_tells_the_address_that_the_name_led_to() {
    use FailureKind::{Connect, Internal, Protocol, Status, Timeout};
    let by_name = |server: &Server| format!("http://localhost:{}/", server.address.port());
    let free = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let refusing = format!(
        "http://localhost:{}/",
        free.local_addr().expect("bound").port()
    );
    // The port stays taken.
    shutdown(&free, Shutdown::Both).expect("shut down");
    let (listener, _queue) = unconnectable();
    let port = listener.local_addr().expect("bound").port();
    let waiting = format!("http://localhost:{port}/");
    let silent = Server::new(|mut stream| while request(&mut stream).is_some() {});
    let half = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    let closing = Server::closing(b"");
    let broken = Server::closing(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    let down = Server::answering(DOWN);
    for (url, kind, detail) in [
        (refusing, Connect, "connection refused by "),
        (waiting, Timeout, "no connection within 1s"),
        (by_name(&silent), Timeout, "no answer within 1s"),
        (by_name(&half), Timeout, "no end of the answer within 1s"),
        (by_name(&closing), Protocol, "server closed the connection"),
        (by_name(&broken), Protocol, "answer broken off"),
        (by_name(&down), Status, "HTTP 503"),
    ] {
        let mut site = site(&url, |check| check.ip = IpVersion::V4);
        if kind == Timeout {
            site.timeout = Duration::from_secs(1);
        }
        let outcome = block_on(run(&client(), &site, false));
        let told = failure(&outcome);
        assert!(told.0 == kind && told.1.starts_with(detail), "{told:?}");
        assert_eq!(outcome.address, Some([127, 0, 0, 1].into()), "{detail}");
    }
    let unsendable = outcome("http://localhost:1/", |check| {
        check.headers = vec![("X-Key".to_owned(), "\u{fc}".to_owned())];
        check.ip = IpVersion::V4;
    });
    assert_eq!(failure(&unsendable).0, Internal);
    assert_eq!(unsendable.address, Some([127, 0, 0, 1].into()));
}

#[test]
fn a_check_may_ride_on_an_open_connection_but_a_retry_does_not() {
    let (heads, seen) = mpsc::channel();
    let server = Server::routing(move |head| {
        let _ = heads.send(head.to_owned());
        DOWN.to_owned()
    });
    let client = client();
    let site = site(&server.url(), |check| {
        check.auth = Some(Auth::Basic {
            user: "user".to_owned(),
            password: "password".to_owned(),
        });
    });
    let reused = |fresh| {
        let outcome = block_on(run(&client, &site, fresh));
        assert_eq!(failure(&outcome).1, "HTTP 503, wanted 200-299");
        outcome.phases.expect("measured").reused
    };
    assert!(!reused(false));
    assert!(reused(false), "the same connection");
    assert_eq!(server.accepted(), 1);
    assert!(!reused(true));
    assert_eq!(server.accepted(), 2);
    assert!(!reused(true), "nor on that of the retry before");
    assert_eq!(server.accepted(), 3);
    let host = format!("host: {}\r\n", server.address);
    for head in seen.try_iter() {
        assert!(
            head.contains(&host) && head.contains("authorization: basic"),
            "{head}"
        );
    }
}

#[test]
fn a_connection_that_could_not_be_reused_is_not_left_open() {
    let (heads, seen) = mpsc::channel();
    let server = Server::routing(move |head| {
        let _ = heads.send(head.to_owned());
        OK.to_owned()
    });
    let mut site = site(&server.url(), |_| {});
    site.interval = Duration::from_secs(30);
    let client = client();
    for connections in 1..=2 {
        assert_eq!(block_on(run(&client, &site, false)).verdict, Ok(()));
        let head = seen.recv().expect("a request");
        assert!(head.contains("connection: close\r\n"), "{head}");
        assert_eq!(server.accepted(), connections);
    }
}

#[test]
fn a_permit_is_held_until_the_transfer_has_ended() {
    let (asked, asking) = mpsc::channel();
    let (ended, ending) = mpsc::channel();
    let server = Server::new(move |mut stream| {
        request(&mut stream);
        let _ = asked.send(());
        let _ = stream.read(&mut [0]);
        let _ = ended.send(());
    });
    let client = client();
    let mut site = site(&server.url(), |_| {});
    site.timeout = Duration::from_millis(700);
    assert_eq!(client.check_permits(), 7);
    let cancelled = async {
        smol::unblock(move || asking.recv())
            .await
            .expect("a request");
    };
    let check = async {
        run(&client, &site, false).await;
    };
    block_on(check.or(cancelled));
    // The check was dropped; its transfer goes on.
    assert_eq!(client.permits_in_use(), 1);
    assert!(ending.try_recv().is_err());
    ending
        .recv_timeout(Duration::from_secs(5))
        .expect("closed at the transfer's own timeout");
    all_permits_back(&client);
}

#[test]
fn a_panic_fails_its_check_alone_and_gives_the_permit_back() {
    let client = client();
    let outcome = block_on(guarded(async {
        let _permit = client.check_permit().await;
        panic!("out of cheese");
    }));
    assert_eq!(
        failure(&outcome),
        (FailureKind::Internal, "internal error: out of cheese")
    );
    assert_eq!(client.permits_in_use(), 0);
}

#[test]
fn the_time_for_a_permit_is_not_counted() {
    let server = Server::answering(OK);
    let client = client_with(|limits| limits.max_connections = 4);
    let permit = block_on(client.check_permit());
    let mut site = site(&server.url(), |_| {});
    site.timeout = Duration::from_secs(1);
    let (outcome, ()) = block_on(futures_lite::future::zip(
        run(&client, &site, false),
        async {
            crate::timer::Timer::after(Duration::from_millis(1100)).await;
            assert_eq!(server.accepted(), 0, "one check's connection at a time");
            drop(permit);
        },
    ));
    assert_eq!(outcome.verdict, Ok(()));
    assert!(outcome.took < Some(site.timeout));
}

#[test]
fn a_call_posts_json_and_gets_the_body_of_any_status() {
    let server = Server::routing(|head| {
        assert!(
            head.starts_with("post /bot1:a/getme http/1.1\r\n"),
            "{head}"
        );
        assert!(
            head.contains("content-type: application/json\r\n"),
            "{head}"
        );
        assert!(head.ends_with("{\"a\":1}"), "{head}");
        DOWN.to_owned()
    });
    let (client, url) = (client(), format!("{}bot1:A/getMe", server.url()));
    let call = || {
        let timeout = Duration::from_secs(5);
        block_on(client.post(&url, JSON, b"{\"a\":1}", timeout, IpVersion::Any))
    };
    let answer = call().expect("an answer");
    assert_eq!((answer.status, answer.body), (503, b"no\n".to_vec()));
    assert!(call().is_ok());
    assert_eq!(server.accepted(), 1);
    assert_eq!(client.permits_in_use(), 0);
}

#[test]
fn a_call_that_fails_tells_nothing_of_its_url_and_a_huge_body_is_cut() {
    let timeout = Duration::from_secs(5);
    let (client, refused) = (client(), "http://127.0.0.1:1/bot1:SECRET/getMe");
    match block_on(client.post(refused, JSON, b"{}", timeout, IpVersion::Any)) {
        Err(CallError::Failed(failure)) => {
            assert_eq!(failure.kind, FailureKind::Connect);
            assert_eq!(failure.detail, "cannot connect to 127.0.0.1");
        }
        other => panic!("{other:?}"),
    }
    let server = Server::new(|mut stream| {
        request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    match block_on(client.post(&server.url(), JSON, b"{}", timeout, IpVersion::Any)) {
        Err(CallError::TooLarge(body)) => assert_eq!(body.len(), 1024 * 1024),
        other => panic!("{other:?}"),
    }
}

#[test]
fn texts_are_compared_in_the_charset_of_the_page() {
    let told = |kind: &str, page: &[u8]| {
        let kind = kind.to_owned();
        let page = page.to_vec();
        let server = Server::new(move |mut stream| {
            super::server::request(&mut stream);
            let length = page.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
            );
            let _ = std::io::Write::write_all(&mut stream, &[head.as_bytes(), &page].concat());
        });
        let banned = outcome(&server.url(), |check| {
            check.body_not = Some("Störung".to_owned());
        });
        let wanted = outcome(&server.url(), |check| {
            check.body = Some("Störung".to_owned());
        });
        [banned, wanted].map(|outcome| outcome.verdict.err().map(|failure| failure.detail))
    };
    let found = [Some("body has \"Störung\"".to_owned()), None];
    let latin_1 = b"<h1>St\xf6rung</h1>";
    assert_eq!(told("text/html; charset=ISO-8859-1", latin_1), found);
    let with_meta = [b"<meta charset=windows-1252>", &latin_1[..]].concat();
    assert_eq!(told("text/html", &with_meta), found);
    assert_eq!(told("text/html", "Störung".as_bytes()), found);
    let utf_16: Vec<u8> = "\u{feff}Störung"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(told("text/html", &utf_16), found);
    let macintosh = b"<h1>St\x9arung</h1>";
    assert_eq!(told("text/html; Charset=\"Macintosh\"", macintosh), found);
    let equiv = b"<meta http-equiv=Content-Type content='text/html; charset=iso-8859-15'>";
    assert_eq!(told("text/html", &[equiv, &latin_1[..]].concat()), found);
    let lacking = |why: &str| [None, Some(format!("body lacks \"Störung\"{why}"))];
    assert_eq!(told("text/html; charset=utf-8", latin_1), lacking(""));
    let unknown = " (compared byte by byte: charset gbk is not supported)";
    assert_eq!(told("text/html; charset=GBK", latin_1), lacking(unknown));
}

#[test]
fn a_socket_may_have_any_descriptor() {
    let (_, short) = crate::machine::make_room(1000, 0);
    assert_eq!(short, None, "this test needs 1,100 open files");
    let file = std::fs::File::open("/dev/null").expect("is always there");
    let open = (0..1100).map(|_| file.try_clone().expect("one more"));
    let open: Vec<_> = open.collect();
    let server = Server::answering(OK);
    assert_eq!(outcome(&server.url(), |_| {}).verdict, Ok(()));
    drop(open);
}
