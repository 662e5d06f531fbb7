//! Conditions on JSON bodies, over real connections.

use super::server::{Server, request};
use super::*;
use crate::monitor::site::{JsonCondition, JsonOp, JsonValue};
use std::io::Write;

fn status_ok() -> JsonCondition {
    JsonCondition {
        text: "data.status == ok".to_owned(),
        path: "data.status".to_owned(),
        op: JsonOp::Equal,
        value: JsonValue::Text("ok".to_owned()),
    }
}

fn answering(body: &str) -> Server {
    let length = body.len();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
    Server::routing(move |_| answer.clone())
}

/// Returns the cause, or an empty text.
#[track_caller]
fn told(server: &Server, change: impl FnOnce(&mut HttpCheck)) -> String {
    let outcome = outcome(&server.url(), |check| {
        check.json = vec![status_ok()];
        change(check);
    });
    assert!(outcome.took.is_some() && outcome.address.is_some());
    match outcome.verdict {
        Ok(()) => String::new(),
        Err(failure) => {
            assert_eq!(failure.kind, FailureKind::Body);
            failure.detail
        }
    }
}

#[test]
fn a_json_body_is_judged_by_its_conditions() {
    for (body, cause) in [
        (r#"{"data":{"status":"ok"}}"#, ""),
        (
            r#"{"data":{"status":"degraded"}}"#,
            r#"json: data.status is "degraded", wanted == "ok""#,
        ),
        (r#"{"data":{}}"#, "json: data.status is missing"),
        ("<html>Bad Gateway", "the body is not JSON (byte 1)"),
        ("", "the body is empty, not JSON"),
    ] {
        assert_eq!(told(&answering(body), |_| {}), cause);
    }
}

#[test]
fn numbers_are_compared_exactly_at_any_size() {
    for (id, value, cause) in [
        (
            "9007199254740993",
            "9007199254740992",
            "json: id is 9007199254740993, wanted == 9007199254740992",
        ),
        (
            "0.1000000000000000000001",
            "0.1",
            "json: id is 0.1000000000000000000001, wanted == 0.1",
        ),
        ("1e2", "100.0", ""),
    ] {
        let condition = JsonCondition {
            text: format!("id == {value}"),
            path: "id".to_owned(),
            op: JsonOp::Equal,
            value: JsonValue::Number(value.to_owned()),
        };
        let server = answering(&format!("{{\"id\":{id}}}"));
        let told = told(&server, |check| check.json = vec![condition]);
        assert_eq!(told, cause);
    }
}

#[test]
fn a_text_that_is_wanted_is_looked_for_first() {
    let server = answering("no");
    let cause = told(&server, |check| check.body = Some("yes".to_owned()));
    assert_eq!(cause, "body lacks \"yes\"");
}

#[test]
fn json_is_judged_after_decompression() {
    // {"data":{"status":"ok"}}, compressed by gzip.
    let server = Server::closing(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\
        \x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\x4a\x49\x2c\x49\x54\xb2\xaa\x56\x2a\x2e\x49\x2c\x29\x2d\x56\xb2\x52\xca\xcf\x56\xaa\xad\x05\x00\x33\x2b\x3c\x05\x18\x00\x00\x00",
    );
    assert_eq!(told(&server, |_| {}), "");
}

#[test]
fn a_body_over_1_mib_is_judged_by_what_was_read() {
    let endless = |start: &'static str| {
        Server::new(move |mut stream| {
            request(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            let _ = stream.write_all(start.as_bytes());
            while stream.write_all(&[b' '; 65536]).is_ok() {}
        })
    };
    let whole = endless(r#"{"data":{"status":"ok"}}"#);
    assert_eq!(told(&whole, |_| {}), "");
    let cut = endless(r#"{"data":{"status":"ok"},"more":["#);
    let cause = "the body is cut off at 1 MiB: not JSON";
    assert_eq!(told(&cut, |_| {}), cause);
    let deep = Server::new(|mut stream| {
        request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'['; 65536]).is_ok() {}
    });
    assert_eq!(told(&deep, |_| {}), cause);
}
