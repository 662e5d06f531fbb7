//! Compressed bodies, and the part of them that is kept.

use super::server::{Server, request};
use super::*;
use crate::http::HeaderValue;
use crate::monitor::site::{JsonCondition, JsonOp, JsonValue};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::sync::mpsc;

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut file = GzEncoder::new(Vec::new(), Compression::default());
    file.write_all(data).expect("memory");
    file.finish().expect("memory")
}

/// Answers 200 with these header lines and this body, and closes.
fn serving(lines: &'static str, body: Vec<u8>) -> Server {
    Server::new(move |mut stream| {
        if request(&mut stream).is_some() {
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{lines}\r\n");
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&body);
        }
    })
}

const PACKED: &str = "Content-Encoding: gzip\r\n";

fn wants(body: &'static str) -> impl Fn(&mut HttpCheck) {
    move |check| check.body = Some(body.to_owned())
}

fn wants_ok(check: &mut HttpCheck) {
    check.json = vec![JsonCondition {
        text: String::new(),
        path: "ok".to_owned(),
        op: JsonOp::Equal,
        value: JsonValue::Bool(true),
    }];
}

/// Returns JSON of `size` bytes whose `ok` is true.
fn fine(size: usize) -> Vec<u8> {
    let mut json = b"{\"ok\":true,\"fill\":\"".to_vec();
    json.resize(size - 2, b'x');
    json.extend_from_slice(b"\"}");
    json
}

#[track_caller]
fn told(server: &Server, change: impl Fn(&mut HttpCheck)) -> (FailureKind, String) {
    let outcome = outcome(&server.url(), change);
    let (kind, detail) = failure(&outcome);
    (kind, detail.to_owned())
}

fn protocol(detail: &str) -> (FailureKind, String) {
    (FailureKind::Protocol, detail.to_owned())
}

#[test]
fn what_is_packed_is_looked_at_unpacked() {
    let two = [gzip(b"hello, "), gzip(b"world")].concat();
    let nul = [gzip(b"hello, world"), vec![0]].concat();
    let no_sums = gzip(b"hello, world")[..28].to_vec();
    for body in [gzip(b"hello, world"), two, nul, no_sums] {
        for lines in [PACKED, "content-encoding: X-Gzip\r\nContent-Encoding:\r\n"] {
            let server = serving(lines, body.clone());
            let found = outcome(&server.url(), wants("hello, world"));
            assert_eq!(found.verdict, Ok(()));
        }
    }
    let server = serving(PACKED, gzip(&fine(500_000)));
    assert_eq!(outcome(&server.url(), wants_ok).verdict, Ok(()));
    let identity = serving("Content-Encoding: identity\r\n", b"hello".to_vec());
    assert_eq!(outcome(&identity.url(), wants("hello")).verdict, Ok(()));
}

#[test]
fn how_a_body_is_packed_matters_to_those_who_look_at_it() {
    for (lines, body, cause) in [
        (
            "Content-Encoding: br\r\n",
            b"hello".to_vec(),
            "answer is compressed with br, which was not asked for",
        ),
        (
            "Content-Encoding: gzip, gzip, gzip\r\n",
            gzip(&gzip(&gzip(&vec![0; 10_000_000]))),
            "answer is compressed with gzip, gzip, gzip, which was not asked for",
        ),
        (PACKED, b"nope".to_vec(), "answer cannot be decompressed"),
        (
            PACKED,
            gzip(b"hello, world")[..20].to_vec(),
            "answer cannot be decompressed: it ends too soon",
        ),
    ] {
        let server = serving(lines, body);
        assert_eq!(outcome(&server.url(), |_| {}).verdict, Ok(()), "{cause}");
        let refuses = |check: &mut HttpCheck| check.body_not = Some("bad".to_owned());
        assert_eq!(told(&server, wants("hello")), protocol(cause));
        assert_eq!(told(&server, refuses), protocol(cause));
        assert_eq!(told(&server, wants_ok), protocol(cause));
    }
    let server = serving("Content-Encoding: br\r\n", b"hello".to_vec());
    let asked = |check: &mut HttpCheck| {
        check.headers = vec![("accept-encoding".to_owned(), "br".to_owned())];
        check.body = Some("hello".to_owned());
    };
    let cause = "answer is compressed with br, which cannot be undone";
    assert_eq!(told(&server, asked), protocol(cause));
}

#[test]
fn only_what_can_be_undone_is_asked_for_and_by_checks_alone() {
    let (heads, seen) = mpsc::channel();
    let heads = std::sync::Mutex::new(heads);
    let server = Server::routing(move |head| {
        let _ = heads.lock().expect("unpoisoned").send(head.to_owned());
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned()
    });
    let asked = || {
        let head = seen.recv().expect("a request");
        let line = head
            .lines()
            .find_map(|l| l.strip_prefix("accept-encoding: "));
        line.map(str::to_owned)
    };
    let _ = outcome(&server.url(), |_| {});
    assert_eq!(asked().as_deref(), Some("gzip"));
    let _ = outcome(&server.url(), |check| {
        check.headers = vec![("Accept-Encoding".to_owned(), "zstd".to_owned())];
    });
    assert_eq!(asked().as_deref(), Some("zstd"));
    let (kind, within) = (
        HeaderValue::from_static("text/plain"),
        Duration::from_secs(5),
    );
    let (call, url) = (client(), server.url());
    let answer = call.post(&url, kind, b"x", within, IpVersion::Any);
    assert!(block_on(answer).is_ok());
    assert_eq!(asked(), None);
}

#[test]
fn a_bomb_is_judged_by_its_first_mebibyte() {
    let bomb = serving(PACKED, gzip(&vec![b'z'; 50_000_000]));
    assert_eq!(outcome(&bomb.url(), wants("zzzz")).verdict, Ok(()));
    assert_eq!(told(&bomb, wants("a")).1, "body lacks \"a\"");
    assert_eq!(
        told(&bomb, wants_ok).1,
        "the body is cut off at 1 MiB: not JSON"
    );
}

#[test]
fn empty_blocks_without_end_are_cut() {
    let server = Server::new(|mut stream| {
        request(&mut stream);
        let head = format!("HTTP/1.1 200 OK\r\n{PACKED}\r\n");
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(&gzip(b"")[..10]);
        let blocks = [0, 0, 0, 0xff, 0xff].repeat(10_000);
        while stream.write_all(&blocks).is_ok() {}
    });
    let cause = "more than 8 MiB received before the answer ended";
    let too_large = (FailureKind::TooLarge, cause.to_owned());
    assert_eq!(told(&server, wants("hello")), too_large);
    assert_eq!(told(&server, |_| {}), too_large);
}

/// Sends most of its JSON, and the rest after a message in `end`. The receiver gets a message when
/// a request has come.
fn halting(end: mpsc::Receiver<()>) -> (Server, mpsc::Receiver<()>) {
    let (begun, has_begun) = mpsc::channel();
    let script = std::sync::Mutex::new((end, begun));
    let server = Server::new(move |mut stream| {
        request(&mut stream);
        let json = fine(200_000);
        let (early, late) = json.split_at(150_000);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", json.len());
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(early);
        let (end, begun) = &*script.lock().expect("unpoisoned");
        let _ = begun.send(());
        let _ = end.recv();
        let _ = stream.write_all(late);
    });
    (server, has_begun)
}

#[test]
fn large_bodies_that_are_kept_wait_for_room_and_small_ones_do_not() {
    let client = client();
    let long = |url: &str| {
        let mut site = site(url, wants_ok);
        (site.name, site.timeout) = (url.to_owned(), Duration::from_secs(60));
        site
    };
    let executor = smol::LocalExecutor::new();
    block_on(executor.run(async {
        let mut held = Vec::new();
        for _ in 0..2 {
            let (end, ends) = mpsc::channel();
            let (server, begun) = halting(ends);
            let site = long(&server.url());
            let client = client.clone();
            let check = executor.spawn(async move { run(&client, &site, false).await });
            smol::unblock(move || begun.recv())
                .await
                .expect("a request");
            held.push((server, end, check));
        }
        while client.body_permits_free() > 0 {
            futures_lite::future::yield_now().await;
        }
        let small = serving("", fine(60_000));
        assert_eq!(
            run(&client, &long(&small.url()), false).await.verdict,
            Ok(())
        );
        let large = serving("", fine(70_000));
        let mut short = long(&large.url());
        short.timeout = Duration::from_millis(300);
        let late = run(&client, &short, false).await;
        assert_eq!(failure(&late).0, FailureKind::Timeout);
        // When one of them ends there is room for the next.
        for (_server, end, check) in held {
            end.send(()).expect("it waits");
            assert_eq!(check.await.verdict, Ok(()));
            let site = long(&large.url());
            assert_eq!(run(&client, &site, false).await.verdict, Ok(()));
        }
        assert_eq!(client.body_permits_free(), 2);
    }));
    all_permits_back(&client);
}

#[test]
fn sites_that_were_slow_share_one_permit() {
    let client = client();
    let drip = Server::new(|mut stream| {
        request(&mut stream);
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(&[b' '; 100_000]);
        while stream.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let slow = |name: &str, timeout: u64| {
        let mut site = site(&drip.url(), wants_ok);
        (site.name, site.timeout) = (name.to_owned(), Duration::from_millis(timeout));
        site
    };
    let both = |timeout| {
        let (one, two) = (slow("one", timeout), slow("two", timeout));
        let client = client.clone();
        async move {
            let (one, two) = (run(&client, &one, false), run(&client, &two, false));
            futures_lite::future::zip(one, two).await
        }
    };
    let executor = smol::LocalExecutor::new();
    block_on(executor.run(async {
        let (one, two) = both(2_100).await;
        let late = "no end of the answer within 2100ms";
        assert_eq!([failure(&one).1, failure(&two).1], [late; 2]);
        let again = executor.spawn(both(60_000));
        while client.body_permits_free() == 2 {
            futures_lite::future::yield_now().await;
        }
        let large = serving("", fine(1_000_000));
        let good = run(&client, &site(&large.url(), wants_ok), false).await;
        assert_eq!(good.verdict, Ok(()));
        assert_eq!(client.body_permits_free(), 1, "they are still at it");
        drop(again);
    }));
}
