//! TCP checks, and `send` and `expect` over them.

use super::server::Server;
use super::*;
use crate::monitor::site::{SendExpect, TcpCheck};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) fn saying(send: &str, expect: &str) -> SendExpect {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    SendExpect {
        send: text(send),
        expect: text(expect),
    }
}

/// Checks with a generous timeout.
fn check(address: SocketAddr, send_expect: SendExpect) -> Outcome {
    check_within(10_000, address, send_expect)
}

fn check_within(millis: u64, address: SocketAddr, send_expect: SendExpect) -> Outcome {
    let client = client();
    let check = Check::Tcp(TcpCheck {
        host: address.ip().to_string(),
        port: address.port(),
        ip: IpVersion::Any,
        send_expect,
    });
    let site = site_of(check, Duration::from_millis(millis));
    let outcome = block_on(run(&client, &site, false));
    assert_eq!(outcome.address, Some(address.ip()));
    assert_eq!(client.permits_in_use(), 0);
    outcome
}

/// Reads until the other side closes.
pub(super) fn wait(mut stream: impl Read) {
    while stream.read(&mut [0; 512]).is_ok_and(|n| n > 0) {}
}

/// Sends `text`, then only reads.
fn greeting(text: &'static [u8]) -> Server {
    Server::new(move |mut stream| {
        let _ = stream.write_all(text);
        wait(stream);
    })
}

#[test]
fn without_an_expectation_a_connection_is_enough() {
    for server in [greeting(b""), greeting(b"554 no\r\n"), Server::new(drop)] {
        let outcome = check(server.address, SendExpect::default());
        assert_eq!(outcome.verdict, Ok(()));
        let phases = outcome.phases.expect("measured");
        assert!(!phases.connect.is_zero() && phases.total >= phases.connect);
        assert_eq!(outcome.took, Some(phases.total));
        assert_eq!((phases.tls, phases.first_byte), Default::default());
        assert_eq!(outcome.detail, None);
    }
}

#[test]
fn what_is_expected_is_found_wherever_it_is_and_however_it_comes() {
    let early = greeting(b"220 mail.example ESMTP\r\n");
    let late = Server::new(|mut stream| {
        let _ = stream.write_all(&[b'.'; 4092]);
        let _ = stream.write_all(b"220 and no more counts");
        wait(stream);
    });
    let dripping = Server::new(|mut stream| {
        let _ = stream.set_nodelay(true);
        for byte in b"22 220 hello" {
            let _ = stream.write_all(&[*byte]);
            std::thread::sleep(Duration::from_millis(5));
        }
        wait(stream);
    });
    let closing = Server::new(|mut stream| {
        let _ = stream.write_all(b"220 and goodbye");
    });
    let bytes = greeting(b"\xff\0\xfe220 \xff");
    for server in [early, late, dripping, closing, bytes] {
        let outcome = check(server.address, saying("", "220 "));
        assert_eq!(outcome.verdict, Ok(()));
        assert!(!outcome.phases.expect("measured").first_byte.is_zero());
    }
}

#[test]
fn an_answer_to_what_was_sent_is_found_behind_the_greeting() {
    let server = Server::new(|mut stream| {
        let _ = stream.write_all(b"+OK ready\r\n");
        let mut said = [0; 6];
        if stream.read_exact(&mut said).is_ok() && &said == b"PING\r\n" {
            let _ = stream.write_all(b"+PONG\r\n");
        }
        wait(stream);
    });
    let outcome = check(server.address, saying("PING\r\n", "+PONG"));
    assert_eq!(outcome.verdict, Ok(()));
}

#[test]
fn what_is_sent_arrives_though_nothing_is_expected() {
    let (sender, arrived) = std::sync::mpsc::channel();
    let server = Server::new(move |mut stream| {
        let _ = stream.write_all(b"who are you?\r\n");
        let mut said = String::new();
        let _ = stream.read_to_string(&mut said);
        let _ = sender.send(said);
    });
    let outcome = check(server.address, saying("load 1\n", ""));
    assert_eq!(outcome.verdict, Ok(()));
    let said = arrived.recv_timeout(Duration::from_secs(5));
    assert_eq!(said.as_deref(), Ok("load 1\n"));
}

#[test]
fn more_than_the_connection_holds_is_sent_while_the_server_speaks() {
    // The server writes before it reads, and the text is longer than the connection's buffers.
    let server = Server::new(|mut stream| {
        let _ = stream.write_all(b"first me");
        let mut all = vec![0; 8 << 20];
        let read = stream.read_exact(&mut all);
        let _ = stream.write_all(if read.is_ok() { b"thanks" } else { b"broken" });
        wait(stream);
    });
    let outcome = check(server.address, saying(&"x".repeat(8 << 20), "thanks"));
    assert_eq!(outcome.verdict, Ok(()));
}

#[test]
fn every_other_answer_is_told() {
    use FailureKind::{Body, Connect, Protocol, Timeout};
    let refused = refusing();
    let refused_text = format!("connection refused by {refused}");
    let (full, _queue) = unconnectable();
    let wrong = greeting(b"\r\n554 \x07no\xff\r\n221 bye\r\n");
    let wrong_and_gone = Server::new(|mut stream| {
        let _ = stream.write_all(b"554 no");
    });
    let long = greeting(&[b'x'; 300]);
    let cut = format!("expected \"220 \" but got \"{}…\"", "x".repeat(60));
    let closing = Server::new(drop);
    let resetting = Server::new(|stream| {
        // Closing with unread bytes resets the connection.
        let _ = stream.peek(&mut [0]);
    });
    let silent = greeting(b"");
    let beyond = greeting(&[b'.'; 4096]);
    for (address, kind, detail) in [
        (refused, Connect, refused_text.as_str()),
        (
            full.local_addr().expect("bound"),
            Timeout,
            "no connection within 500ms",
        ),
        (
            wrong.address,
            Body,
            r#"expected "220 " but got "554 \u{7}no\xff""#,
        ),
        (
            wrong_and_gone.address,
            Body,
            r#"expected "220 " but got "554 no""#,
        ),
        (long.address, Body, cut.as_str()),
        (
            closing.address,
            Protocol,
            r#"connection closed before "220 " came"#,
        ),
        (
            silent.address,
            Timeout,
            r#""220 " did not come within 500ms"#,
        ),
        (
            beyond.address,
            Body,
            r#""220 " is not in the first 4096 bytes"#,
        ),
    ] {
        let outcome = check_within(500, address, saying("", "220 "));
        assert_eq!(failure(&outcome), (kind, detail));
        assert_eq!(outcome.took.is_some(), kind == Body, "{detail}");
    }
    let outcome = check(resetting.address, saying("hello", "220 "));
    assert_eq!(failure(&outcome), (Connect, "connection reset"));
}

#[test]
fn an_endless_banner_costs_four_kilobytes() {
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    let (sender, ended) = std::sync::mpsc::channel();
    let server = Server::new(move |mut stream| {
        for _ in 0..1 << 20 {
            if stream.write_all(&[b'.'; 1024]).is_err() {
                break;
            }
            count.fetch_add(1024, Ordering::SeqCst);
        }
        let _ = sender.send(());
    });
    let outcome = check(server.address, saying("", "220 "));
    let told = (
        FailureKind::Body,
        r#""220 " is not in the first 4096 bytes"#,
    );
    assert_eq!(failure(&outcome), told);
    ended
        .recv_timeout(Duration::from_secs(5))
        .expect("the connection is closed");
    // Not much more than the kernel's buffers hold.
    assert!(written.load(Ordering::SeqCst) < 64 << 20);
}

#[test]
fn a_server_that_drips_for_ever_is_cut_off_in_time() {
    let server = Server::new(|mut stream| {
        while stream.write_all(b".").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let start = Instant::now();
    let outcome = check_within(500, server.address, saying("", "220 "));
    assert_eq!(failure(&outcome).0, FailureKind::Body);
    assert!(start.elapsed() < Duration::from_secs(2));
}
