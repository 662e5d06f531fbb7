//! TLS that begins after a command in plain text.

use super::https::Ca;
use super::server::Server;
use super::tcp::{saying, wait};
use super::tls::{check, check_within};
use super::*;
use crate::monitor::site::StartTls;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::sync::Arc;

const EHLO: &str = "EHLO [127.0.0.1]";
const OFFER: &str = "250-mail.example\r\n250-SIZE 1000\r\n250 STARTTLS\r\n";

/// Sends `greeting`, answers each line if it is the expected one, then starts TLS and sends `220
/// tls`.
fn server(
    greeting: &'static str,
    dialogue: &'static [(&'static str, &'static str)],
    config: Arc<ServerConfig>,
) -> Server {
    Server::new(move |mut stream| {
        let _ = stream.write_all(greeting.as_bytes());
        for (line, answer) in dialogue {
            if heard(&mut stream) != format!("{line}\r\n") {
                // Closes the connection.
                return;
            }
            let _ = stream.write_all(answer.as_bytes());
        }
        let tls = ServerConnection::new(config.clone()).expect("a connection");
        let mut stream = StreamOwned::new(tls, stream);
        let _ = stream.write_all(b"220 tls\r\n");
        let _ = stream.flush();
        wait(stream);
    })
}

fn heard(stream: &mut impl Read) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
        line.push(byte[0]);
    }
    String::from_utf8_lossy(&line).into_owned()
}

#[test]
fn tls_begins_after_the_word_of_each_protocol() {
    let ca = Ca::new();
    let good = |protocol, greeting, dialogue| {
        let server = server(greeting, dialogue, ca.config(|_| {}));
        let outcome = check(&server, Some(&ca), |check| {
            check.starttls = Some(protocol);
            check.send_expect = saying("", "220 tls");
        });
        assert_eq!(outcome.verdict, Ok(()), "{greeting}");
        assert_eq!(outcome.detail.as_deref(), Some("TLS 1.3"));
    };
    good(
        StartTls::Smtp,
        "220 mail.example ESMTP\r\n",
        &[(EHLO, OFFER), ("STARTTLS", "220 go ahead\r\n")],
    );
    good(
        StartTls::Smtp,
        "220-no\r\n220-spam\r\n220 please\r\n",
        &[
            (EHLO, "250-hello\n250-starttls \n250 HELP\n"),
            ("STARTTLS", "220\r\n"),
        ],
    );
    good(
        StartTls::Imap,
        "* OK ready\r\n",
        &[("a001 STARTTLS", "a001 OK begin\r\n")],
    );
    good(
        StartTls::Imap,
        "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] ready\r\n",
        &[("a001 STARTTLS", "* NOTE wait\r\na001 ok begin\r\n")],
    );
    good(
        StartTls::Imap,
        "* OK [CAPABILITY IMAP4rev1 ID] ready\r\n",
        &[
            (
                "a001 CAPABILITY",
                "* capability IMAP4rev1 starttls AUTH=PLAIN\r\na001 OK done\r\n",
            ),
            ("a002 STARTTLS", "a002 OK begin\r\n"),
        ],
    );
    good(StartTls::Pop3, "+OK\r\n", &[("STLS", "+OK begin\r\n")]);
}

/// Refuses each command of `refused` with its answer, and starts TLS otherwise. Returns the
/// commands it received, too.
fn choosy(
    refused: &'static [(&'static str, &'static str)],
    config: Arc<ServerConfig>,
) -> (Server, Arc<std::sync::Mutex<Vec<String>>>) {
    let heard_lines = Arc::<std::sync::Mutex<Vec<String>>>::default();
    let log = heard_lines.clone();
    let server = Server::new(move |mut stream| {
        let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
        loop {
            let line = heard(&mut stream);
            if line.is_empty() {
                return;
            }
            log.lock().expect("sound").push(line.trim_end().to_owned());
            let refusal = refused.iter().find(|(start, _)| line.starts_with(start));
            let answer = match (refusal, line.split(' ').next().unwrap_or_default()) {
                (Some((_, answer)), _) => answer,
                (None, "EHLO") => OFFER,
                (None, "HELO") => "250 mail.example\r\n",
                (None, _) => break,
            };
            let _ = stream.write_all(answer.as_bytes());
        }
        let _ = stream.write_all(b"220 go ahead\r\n");
        let tls = ServerConnection::new(config.clone()).expect("a connection");
        let mut stream = StreamOwned::new(tls, stream);
        let _ = stream.write_all(b"220 tls\r\n");
        let _ = stream.flush();
        wait(stream);
    });
    (server, heard_lines)
}

#[test]
fn a_server_that_refuses_one_hello_gets_another() {
    let ca = Ca::new();
    for (refused, hellos) in [
        (
            &[("EHLO [", "501 Syntactically invalid EHLO argument(s)\r\n")][..],
            2,
        ),
        (
            &[("EHLO [", "550-no literals\r\n550-please\r\n550 at all\r\n")],
            2,
        ),
        (&[("EHLO", "502 not implemented\r\n")], 3),
        (
            &[("EHLO [", "504 what?\r\n"), ("EHLO ", "500 what?\r\n")],
            3,
        ),
    ] {
        let (server, heard) = choosy(refused, ca.config(|_| {}));
        let outcome = check(&server, Some(&ca), |check| {
            check.starttls = Some(StartTls::Smtp);
            check.send_expect = saying("", "220 tls");
        });
        let heard = heard.lock().expect("sound");
        assert_eq!(outcome.verdict, Ok(()), "{heard:?}");
        assert_eq!(heard[0], EHLO);
        assert_eq!(heard.len(), hellos + 1, "{heard:?}");
        assert!(
            heard[1].starts_with("EHLO ") && heard[1].contains('.'),
            "{heard:?}"
        );
        assert_eq!(heard[hellos], "STARTTLS");
    }
    // This server knows STARTTLS only after EHLO.
    let all: &[(&str, &str)] = &[("EHLO", "502 no\r\n"), ("STARTTLS", "503 EHLO first\r\n")];
    let (server, _) = choosy(all, ca.config(|_| {}));
    let outcome = check(&server, Some(&ca), |check| {
        check.starttls = Some(StartTls::Smtp)
    });
    let cause = r#"answer to STARTTLS: expected "220" but got "503 EHLO first""#;
    assert_eq!(failure(&outcome), (FailureKind::Protocol, cause));
    let none: &[(&str, &str)] = &[("EHLO", "502 no\r\n"), ("HELO", "500-not\r\n500 even\r\n")];
    let (server, _) = choosy(none, ca.config(|_| {}));
    let outcome = check(&server, Some(&ca), |check| {
        check.starttls = Some(StartTls::Smtp)
    });
    let cause = r#"answer to EHLO: expected "250" but got "502 no""#;
    assert_eq!(failure(&outcome), (FailureKind::Protocol, cause));
    // A temporary refusal: HELO is not tried.
    let (server, heard) = choosy(&[("EHLO", "421 too busy\r\n")], ca.config(|_| {}));
    let outcome = check(&server, Some(&ca), |check| {
        check.starttls = Some(StartTls::Smtp)
    });
    let cause = r#"answer to EHLO: expected "250" but got "421 too busy""#;
    assert_eq!(failure(&outcome), (FailureKind::Protocol, cause));
    assert_eq!(heard.lock().expect("sound")[..], [EHLO]);
}

#[track_caller]
fn told(
    protocol: StartTls,
    greeting: &'static str,
    dialogue: &'static [(&'static str, &'static str)],
    detail: &str,
) {
    let ca = Ca::new();
    let server = server(greeting, dialogue, ca.config(|_| {}));
    let outcome = check(&server, Some(&ca), |check| check.starttls = Some(protocol));
    assert_eq!(failure(&outcome), (FailureKind::Protocol, detail));
    assert_eq!(outcome.took, None);
}

#[test]
fn a_server_that_does_not_go_along_is_told() {
    use StartTls::{Imap, Pop3, Smtp};
    told(
        Smtp,
        "554 no \"service\"\r\n",
        &[],
        r#"greeting: expected "220" but got "554 no \"service\"""#,
    );
    told(
        Smtp,
        "SSH-2.0-OpenSSH\r\n",
        &[],
        r#"greeting: expected "220" but got "SSH-2.0-OpenSSH""#,
    );
    told(
        Smtp,
        "220 hi\r\n",
        // Closes at the next command.
        &[(EHLO, "502 what?\r\n"), ("", "")],
        r#"answer to EHLO: expected "250" but got "502 what?""#,
    );
    let none = "server does not offer STARTTLS";
    told(
        Smtp,
        "220 hi\r\n",
        &[(EHLO, "250-STARTTLSX\r\n250 HELP\r\n")],
        none,
    );
    told(
        Smtp,
        "220 hi\r\n",
        &[(EHLO, OFFER), ("STARTTLS", "454 TLS not available\r\n")],
        r#"answer to STARTTLS: expected "220" but got "454 TLS not available""#,
    );
    told(
        Imap,
        "* BYE overloaded\r\n",
        &[],
        r#"greeting: expected "* OK" but got "* BYE overloaded""#,
    );
    told(
        Imap,
        "* OK [capability IMAP4rev1] hi STARTTLS\r\n",
        &[(
            "a001 CAPABILITY",
            "* CAPABILITY IMAP4rev1 XSTARTTLS\r\na001 OK\r\n",
        )],
        none,
    );
    told(
        Imap,
        "* OK [CAPABILITY IMAP4rev1] hi\r\n",
        &[("a001 CAPABILITY", "a001 BAD what?\r\n")],
        r#"answer to CAPABILITY: expected "a001 OK" but got "a001 BAD what?""#,
    );
    told(
        Imap,
        "* OK hi\r\n",
        &[("a001 STARTTLS", "a001 BAD unknown\r\n")],
        r#"answer to STARTTLS: expected "a001 OK" but got "a001 BAD unknown""#,
    );
    told(
        Pop3,
        "+OK hi\r\n",
        &[("STLS", "-ERR unknown\r\n")],
        r#"answer to STLS: expected "+OK" but got "-ERR unknown""#,
    );
}

#[test]
fn data_that_comes_before_tls_is_refused() {
    use StartTls::{Imap, Pop3, Smtp};
    let refused = "data before TLS";
    told(
        Smtp,
        "220 hi\r\n",
        &[(EHLO, OFFER), ("STARTTLS", "220 go\r\n250 injected\r\n")],
        refused,
    );
    told(
        Imap,
        "* OK hi\r\n",
        &[("a001 STARTTLS", "a001 OK\r\n* BYE")],
        refused,
    );
    told(Pop3, "+OK\r\n", &[("STLS", "+OK\r\n+OK\r\n")], refused);
}

#[test]
fn data_that_comes_a_moment_later_is_never_taken_for_what_is_said_under_tls() {
    let injecting = Server::new(|mut stream| {
        let _ = stream.write_all(b"+OK\r\n");
        heard(&mut stream);
        let _ = stream.write_all(b"+OK begin\r\n");
        // The client's hello.
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"+OK injected\r\n");
        wait(stream);
    });
    let outcome = check(&injecting, None, |check| {
        check.verify = false;
        check.starttls = Some(StartTls::Pop3);
        check.send_expect = saying("", "+OK");
    });
    let told = (FailureKind::Tls, "not a TLS server");
    assert_eq!(failure(&outcome), told);
}

#[test]
fn a_server_that_stops_in_the_middle_is_told() {
    use FailureKind::{Protocol, Timeout};
    let told = |script: fn(TcpStream), kind, detail: &str| {
        let outcome = check_within(1000, &Server::new(script), None, |check| {
            check.verify = false;
            check.starttls = Some(StartTls::Smtp);
        });
        assert_eq!(failure(&outcome), (kind, detail));
    };
    told(wait, Timeout, "no greeting within 1s");
    told(drop, Protocol, "connection closed before the greeting");
    told(
        |mut stream| {
            let _ = stream.write_all(b"220 hi\r\n");
            heard(&mut stream);
        },
        Protocol,
        "connection closed before the answer to EHLO",
    );
    told(
        |mut stream| {
            let _ = stream.write_all(b"220 hi\r\n");
            wait(stream);
        },
        Timeout,
        "no answer to EHLO within 1s",
    );
    told(
        |mut stream| {
            while stream.write_all(b"220-and so on\r\n").is_ok() {}
        },
        Protocol,
        "greeting is too long",
    );
    told(
        |mut stream| while stream.write_all(&[b'2'; 1024]).is_ok() {},
        Protocol,
        "greeting is too long",
    );
}
