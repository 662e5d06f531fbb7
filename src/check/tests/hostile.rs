//! Hostile servers: each is one failed check that ends in time, with a cause, in bounded
//! memory, and releases its permit.

use super::server::{Server, request};
use super::*;
use std::io::Write;
use std::net::TcpStream;

#[track_caller]
fn told(server: &Server, timeout: Duration) -> (FailureKind, String) {
    let client = client();
    let mut site = site(&server.url(), |_| {});
    site.timeout = timeout;
    let start = Instant::now();
    let outcome = block_on(run(&client, &site, false));
    assert!(start.elapsed() < timeout + Duration::from_secs(1));
    all_permits_back(&client);
    let (kind, detail) = failure(&outcome);
    (kind, detail.to_owned())
}

#[track_caller]
fn closing(bytes: &'static [u8]) -> (FailureKind, String) {
    told(&Server::closing(bytes), Duration::from_secs(5))
}

fn protocol(detail: &str) -> (FailureKind, String) {
    (FailureKind::Protocol, detail.to_owned())
}

#[test]
fn a_server_that_closes_is_told_by_where_it_did() {
    assert_eq!(
        closing(b""),
        protocol("server closed the connection without an answer")
    );
    assert_eq!(
        closing(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
        protocol("answer broken off")
    );
    assert_eq!(
        closing(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
        protocol("answer broken off")
    );
    assert_eq!(
        closing(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal"),
        protocol("answer broken off")
    );
    let reset = Server::new(|mut stream| {
        // Closing with an unread byte resets the connection (RFC 1122, section 4.2.2.13).
        let _ = std::io::Read::read(&mut stream, &mut [0]);
    });
    let told = told(&reset, Duration::from_secs(5));
    assert_eq!(told, (FailureKind::Connect, "connection reset".to_owned()));
}

#[test]
fn what_is_not_http_is_told_so() {
    let not_http = protocol("answer is not HTTP");
    assert_eq!(closing(b"SSH-2.0-OpenSSH_9.2\r\n"), not_http);
    assert_eq!(closing(b"HTTP/1.1 OK\r\n\r\n"), not_http);
    assert_eq!(closing(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), not_http);
    assert_eq!(closing(b"\0\0\0\0\0\0\0\0\r\n\r\n"), not_http);
}

#[test]
fn a_bad_body_is_told_so() {
    assert_eq!(
        closing(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n"),
        protocol("bad chunk in the answer")
    );
}

#[test]
fn silence_is_a_timeout_that_says_where() {
    let short = Duration::from_millis(300);
    let silent = Server::new(|mut stream| while request(&mut stream).is_some() {});
    let timeout = |detail: &str| (FailureKind::Timeout, detail.to_owned());
    assert_eq!(told(&silent, short), timeout("no answer within 300ms"));
    let headers = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
    // isahc returns the head together with the first byte of the body.
    assert_eq!(told(&headers, short), timeout("no answer within 300ms"));
    let half = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    assert_eq!(
        told(&half, Duration::from_secs(1)),
        timeout("no end of the answer within 1s")
    );
}

#[test]
fn a_dripping_body_is_a_timeout_and_a_dripping_head_too() {
    let drip = |head: &'static [u8]| {
        Server::new(move |mut stream| {
            request(&mut stream);
            let _ = stream.write_all(head);
            while stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        })
    };
    let body = drip(b"HTTP/1.1 200 OK\r\n\r\n");
    let timeout = |detail: &str| (FailureKind::Timeout, detail.to_owned());
    let short = Duration::from_millis(300);
    assert_eq!(
        told(&body, short),
        timeout("no end of the answer within 300ms")
    );
    let head = drip(b"HTTP/1.1 200 OK\r\nX: ");
    assert_eq!(told(&head, short), timeout("no answer within 300ms"));
}

#[test]
fn endless_headers_are_too_large() {
    let endless = |line: &'static [u8]| {
        Server::new(move |mut stream| {
            request(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
            while stream.write_all(line).is_ok() {}
        })
    };
    let too_large = (
        FailureKind::TooLarge,
        "answer's headers are too large".to_owned(),
    );
    let limit = Duration::from_secs(5);
    assert_eq!(told(&endless(b"X-Header: value\r\n"), limit), too_large);
    assert_eq!(
        told(&endless(b"A: b\r\n"), limit),
        too_large,
        "more than 5000 of them"
    );
    assert_eq!(told(&endless(&[b'x'; 4096]), limit), too_large, "one line");
    static LONG: [u8; 402] = {
        let mut line = [b'x'; 402];
        (line[1], line[400], line[401]) = (b':', b'\r', b'\n');
        line
    };
    assert_eq!(told(&endless(&LONG), limit), too_large, "few but long ones");
}

/// Sends `head`, then `chunk` as long as the client takes it.
fn endless(head: &'static str, chunk: &'static [u8]) -> Server {
    Server::new(move |mut stream: TcpStream| {
        while request(&mut stream).is_some() {
            let _ = stream.write_all(head.as_bytes());
            while stream.write_all(chunk).is_ok() {}
        }
    })
}

#[test]
fn an_endless_body_is_cut_and_judged_by_its_beginning() {
    static CHUNK: [u8; 65536] = [b'z'; 65536];
    let server = endless(
        "HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\nok",
        &CHUNK,
    );
    let client = client();
    let good = site(&server.url(), |check| check.body = Some("okz".to_owned()));
    assert_eq!(block_on(run(&client, &good, false)).verdict, Ok(()));
    let bad = site(&server.url(), |check| check.body = Some("never".to_owned()));
    let outcome = block_on(run(&client, &bad, false));
    assert_eq!(
        failure(&outcome),
        (FailureKind::Body, "body lacks \"never\"")
    );
    all_permits_back(&client);
}

#[test]
fn an_unwanted_status_is_told_though_its_body_never_ends() {
    let server = endless("HTTP/1.1 500 Oh\r\n\r\n", b"no");
    let told = told(&server, Duration::from_secs(5));
    assert_eq!(
        told,
        (FailureKind::Status, "HTTP 500, wanted 200-299".to_owned())
    );
}

#[test]
fn a_hundred_failed_checks_leave_no_permit_behind() {
    let server = Server::closing(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    let (client, site) = (client(), site(&server.url(), |_| {}));
    for _ in 0..100 {
        let outcome = block_on(run(&client, &site, false));
        assert_eq!(failure(&outcome).1, "answer broken off");
    }
    all_permits_back(&client);
}
