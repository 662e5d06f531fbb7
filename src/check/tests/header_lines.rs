//! Heads that curl and browsers accept, but isahc's parser doesn't (`http/quirks/header_lines.rs`).

use super::server::Server;
use super::*;

#[track_caller]
fn is_up(answer: &'static [u8]) {
    let server = Server::closing(answer);
    let outcome = outcome(&server.url(), |check| check.body = Some("hello".to_owned()));
    assert_eq!(outcome.verdict, Ok(()), "{}", answer.escape_ascii());
}

#[track_caller]
fn cause(answer: &'static [u8]) -> String {
    let server = Server::closing(answer);
    failure(&outcome(&server.url(), |_| {})).1.to_owned()
}

#[test]
fn only_the_status_line_tells_the_status() {
    assert_eq!(
        cause(b"HTTP/1.1 500 Broken\r\nHTTP/1.1 200 OK: really\r\nContent-Length: 5\r\n\r\nhello"),
        "HTTP 500, wanted 200-299"
    );
    assert_eq!(
        cause(b"HTTP/1.1 503 Broken\r\nHTTP/2 200 OK:\r\nContent-Length: 0\r\n\r\n"),
        "HTTP 503, wanted 200-299"
    );
    assert_eq!(
        cause(b"HTTP/1.0 404 Gone\nServer: x\nHTTP/1.0 200 OK: yes\n\nhello"),
        "HTTP 404, wanted 200-299"
    );
    // Lines like status lines in a trailer, and after an interim answer.
    is_up(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nHTTP/1.1 500 No: x\r\n\r\n",
    );
    is_up(
        b"HTTP/1.1 103 Early Hints\r\nHTTP/1.1 404 Not: so\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    );
}

#[test]
fn header_lines_that_nothing_can_be_done_with_do_not_matter() {
    is_up(b"HTTP/1.1 200 OK\r\nX Trace: a\r\nContent-Length: 5\r\n\r\nhello");
    is_up(b"HTTP/1.1 200 OK\r\nX-Opt[0]: a\r\nContent-Length: 5\r\n\r\nhello");
    is_up(b"HTTP/1.1 200 OK\r\nX-Bell: a\x07b\r\nContent-Length: 5\r\n\r\nhello");
    is_up(b"HTTP/1.1 200 OK\r\n: nameless\r\nContent-Length: 5\r\n\r\nhello");
}

#[test]
fn trailer_lines_that_nothing_can_be_done_with_do_not_matter() {
    for trailer in [
        "X Trace: a",
        "no colon",
        "z",
        ": nameless",
        "X-Bell: a\x07b",
        " folded",
        "Fine: a\r\nX[0]: b\r\nFine: c",
    ] {
        let server = Server::routing(move |_| {
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n{trailer}\r\n\r\n"
            )
        });
        let client = client();
        let site = site(&server.url(), |check| check.body = Some("hello".to_owned()));
        for _ in 0..2 {
            let outcome = block_on(run(&client, &site, false));
            assert_eq!(outcome.verdict, Ok(()), "{trailer}");
        }
        assert_eq!(server.accepted(), 1, "{trailer}: the answer has an end");
    }
}

#[test]
fn line_ends_and_status_lines_are_taken_as_curl_takes_them() {
    is_up(b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello");
    is_up(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\nhello");
    is_up(b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello");
    is_up(b"HTTP/1.1 200OK\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(cause(b"HTTP/1.1 20 OK\r\n\r\n"), "answer is not HTTP");
}

#[test]
fn a_carriage_return_within_a_line_ends_the_check_as_in_curl() {
    assert_eq!(
        cause(b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 5\r\n\r\nhello"),
        "answer is not HTTP"
    );
    assert_eq!(
        cause(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: a\rb\r\n\r\n"
        ),
        "answer broken off"
    );
}
