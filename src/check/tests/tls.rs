//! TLS checks: trust, `send` and `expect` under TLS, and servers that violate the protocol.

use super::https::{Ca, bundle, config, rejected};
use super::server::Server;
use super::tcp::{saying, wait};
use super::*;
use crate::monitor::site::{SendExpect, TlsCheck};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use tempfile::TempDir;

pub(super) fn tls_check(address: SocketAddr) -> TlsCheck {
    TlsCheck {
        host: address.ip().to_string(),
        port: address.port(),
        ip: IpVersion::Any,
        starttls: None,
        send_expect: SendExpect::default(),
        verify: true,
        ca_file: None,
    }
}

/// Checks once, trusting `ca`, with a generous timeout.
pub(super) fn check(
    server: &Server,
    ca: Option<&Ca>,
    change: impl FnOnce(&mut TlsCheck),
) -> Outcome {
    check_within(10_000, server, ca, change)
}

pub(super) fn check_within(
    millis: u64,
    server: &Server,
    ca: Option<&Ca>,
    change: impl FnOnce(&mut TlsCheck),
) -> Outcome {
    let dir = TempDir::new().expect("a directory");
    let mut check = tls_check(server.address);
    check.ca_file = ca.map(|ca| bundle(&dir, &[ca]));
    change(&mut check);
    let client = client();
    let site = site_of(Check::Tls(check), Duration::from_millis(millis));
    let outcome = block_on(run(&client, &site, false));
    assert_eq!(outcome.address, Some(server.address.ip()));
    assert_eq!(client.permits_in_use(), 0);
    outcome
}

/// Sends `text` under TLS, then only reads.
fn greeting(config: Arc<ServerConfig>, text: &'static [u8]) -> Server {
    Server::new(move |stream| {
        let tls = ServerConnection::new(config.clone()).expect("a connection");
        let mut stream = StreamOwned::new(tls, stream);
        let _ = stream.write_all(text);
        let _ = stream.flush();
        wait(stream);
    })
}

fn versions(ca: &Ca, versions: &[&'static rustls::SupportedProtocolVersion]) -> Arc<ServerConfig> {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let leaf = params.signed_by(&key, &ca.issuer).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .expect("a certificate and its key");
    Arc::new(config)
}

#[test]
fn a_handshake_is_enough_and_tells_its_version() {
    let ca = Ca::new();
    for (version, told) in [
        (&rustls::version::TLS13, "TLS 1.3"),
        (&rustls::version::TLS12, "TLS 1.2"),
    ] {
        let server = greeting(versions(&ca, &[version]), b"");
        let outcome = check(&server, Some(&ca), |_| {});
        assert_eq!(outcome.verdict, Ok(()));
        assert_eq!(outcome.detail.as_deref(), Some(told));
        let phases = outcome.phases.expect("measured");
        assert!(!phases.connect.is_zero() && !phases.tls.is_zero());
        assert_eq!(outcome.took, Some(phases.total));
    }
}

#[test]
fn what_is_said_under_tls_is_judged() {
    let ca = Ca::new();
    let server = greeting(ca.config(|_| {}), b"* OK IMAP4rev1 ready\r\n");
    let told = |send_expect: SendExpect| {
        let outcome = check(&server, Some(&ca), |check| check.send_expect = send_expect);
        let first_byte = outcome.phases.map(|phases| phases.first_byte);
        assert!(first_byte.is_some_and(|it| !it.is_zero()));
        outcome.verdict.map_err(|failure| failure.detail)
    };
    assert_eq!(told(saying("", "* OK")), Ok(()));
    assert_eq!(told(saying("a logout\r\n", "* OK")), Ok(()));
    assert_eq!(
        told(saying("", "* BYE")),
        Err(r#"expected "* BYE" but got "* OK IMAP4rev1 ready""#.to_owned())
    );
}

#[test]
fn an_answer_to_what_was_sent_comes_under_tls() {
    let ca = Ca::new();
    let config = ca.config(|_| {});
    let echo = Server::new(move |stream| {
        let tls = ServerConnection::new(config.clone()).expect("a connection");
        let mut stream = StreamOwned::new(tls, stream);
        let mut said = vec![0; 300_000];
        if stream.read_exact(&mut said).is_ok() {
            let _ = stream.write_all(b"thanks");
            let _ = stream.flush();
        }
        wait(stream);
    });
    // More than rustls takes in one write.
    let send_expect = saying(&"x".repeat(300_000), "thanks");
    let outcome = check(&echo, Some(&ca), |check| check.send_expect = send_expect);
    assert_eq!(outcome.verdict, Ok(()));
}

#[test]
fn a_server_that_goes_or_says_nothing_under_tls_is_told() {
    use FailureKind::{Body, Protocol, Timeout};
    let ca = Ca::new();
    let silent = greeting(ca.config(|_| {}), b"");
    let config = ca.config(|_| {});
    let closing = Server::new(move |mut stream| {
        let mut tls = ServerConnection::new(config.clone()).expect("a connection");
        let _ = tls.complete_io(&mut stream);
        // Without close_notify.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        wait(stream);
    });
    let config = ca.config(|_| {});
    let endless = Server::new(move |stream| {
        let tls = ServerConnection::new(config.clone()).expect("a connection");
        let mut stream = StreamOwned::new(tls, stream);
        while stream.write_all(&[b'.'; 1024]).is_ok() {}
    });
    for (server, kind, detail) in [
        (silent, Timeout, r#""220 " did not come within 1500ms"#),
        (closing, Protocol, r#"connection closed before "220 " came"#),
        (endless, Body, r#""220 " is not in the first 4096 bytes"#),
    ] {
        let within = if kind == Timeout { 1500 } else { 10_000 };
        let outcome = check_within(within, &server, Some(&ca), |check| {
            check.send_expect = saying("", "220 ")
        });
        assert_eq!(failure(&outcome), (kind, detail));
    }
}

#[test]
fn session_tickets_are_passed_over_and_a_flood_of_them_is_refused() {
    let ca = Ca::new();
    let told = |tickets| {
        let mut config = ca.config(|_| {});
        Arc::make_mut(&mut config).send_tls13_tickets = tickets;
        let server = greeting(config, b"220 hello");
        let outcome = check(&server, Some(&ca), |check| {
            check.send_expect = saying("", "220 ")
        });
        outcome
            .verdict
            .map_err(|failure| (failure.kind, failure.detail))
    };
    assert_eq!(told(50), Ok(()));
    // However many of them the library takes, there is a limit.
    let flood = told(300);
    let broke = "server broke the TLS protocol".to_owned();
    assert!(
        flood == Ok(()) || flood == Err((FailureKind::Tls, broke)),
        "{flood:?}"
    );
}

#[test]
fn a_certificate_that_is_not_accepted_is_told_as_for_https() {
    let ca = Ca::new();
    for (config, kind, detail) in rejected(&ca) {
        let server = greeting(config, b"220 hello");
        let outcome = check(&server, Some(&ca), |_| {});
        assert_eq!(failure(&outcome), (kind, detail));
        assert_eq!((outcome.took, outcome.phases), (None, None));
        let outcome = check(&server, None, |check| {
            check.verify = false;
            check.send_expect = saying("", "220 ");
        });
        assert_eq!(outcome.verdict, Ok(()), "{detail}");
    }
}

#[test]
fn a_ca_file_that_cannot_be_used_is_named() {
    let server = greeting(Ca::new().config(|_| {}), b"");
    let outcome = check(&server, None, |check| {
        check.ca_file = Some("/nowhere.pem".into());
    });
    let told = "cannot read ca_file /nowhere.pem: No such file or directory";
    assert_eq!(failure(&outcome), (FailureKind::Tls, told));
}

/// Returns the first bytes that a server of `config` answers to the client: hello and more.
fn first_flight(config: &Arc<ServerConfig>, stream: &mut TcpStream) -> Vec<u8> {
    let mut tls = ServerConnection::new(config.clone()).expect("a connection");
    while !tls.wants_write() {
        tls.read_tls(stream).expect("a hello");
        tls.process_new_packets().expect("a hello");
    }
    let mut flight = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut flight).expect("written");
    }
    flight
}

#[test]
fn a_server_that_does_not_speak_tls_or_speaks_it_wrongly_is_told() {
    use FailureKind::{Connect, Timeout, Tls};
    let ca = Ca::new();
    let plain = Server::new(|mut stream| {
        let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
        wait(stream);
    });
    let config = ca.config(|_| {});
    let garbage = Server::new(move |mut stream| {
        let flight = first_flight(&config, &mut stream);
        // The hello is the first record, whose header has a type, a version and a length.
        let hello = 5 + usize::from(u16::from_be_bytes([flight[3], flight[4]]));
        let _ = stream.write_all(&flight[..hello]);
        let _ = stream.write_all(&[b'x'; 4096]);
        wait(stream);
    });
    let closing = Server::new(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
    });
    let resetting = Server::new(|stream| {
        let _ = stream.peek(&mut [0]);
    });
    let silent = Server::new(wait);
    let config = ca.config(|_| {});
    let dripping = Server::new(move |mut stream| {
        let flight = first_flight(&config, &mut stream);
        for byte in flight {
            if stream.write_all(&[byte]).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let alert = |description: u8| {
        Server::new(move |mut stream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&[21, 3, 3, 0, 2, 2, description]);
            wait(stream);
        })
    };
    let late = "no end of the TLS handshake within 1500ms";
    for (server, kind, detail) in [
        (plain, Tls, "not a TLS server"),
        (
            garbage,
            Tls,
            "TLS handshake failed: server broke the protocol",
        ),
        (
            closing,
            Tls,
            "TLS handshake failed: server closed the connection",
        ),
        (resetting, Tls, "TLS handshake failed: connection reset"),
        (
            alert(70),
            Tls,
            "TLS handshake failed: server speaks no TLS 1.2 or newer",
        ),
        (
            alert(40),
            Tls,
            "TLS handshake failed: server sent alert HandshakeFailure",
        ),
        (silent, Timeout, late),
        (dripping, Timeout, late),
    ] {
        let outcome = check_within(1500, &server, Some(&ca), |_| {});
        assert_eq!(failure(&outcome), (kind, detail));
    }
    let free = refusing();
    let client = client();
    let site = site_of(Check::Tls(tls_check(free)), Duration::from_secs(1));
    let outcome = block_on(run(&client, &site, false));
    let told = format!("connection refused by {free}");
    assert_eq!(failure(&outcome), (Connect, told.as_str()));
}

/// A leaf behind this many authorities, each issued by the one before.
fn chain(ca: Ca, authorities: usize) -> Arc<ServerConfig> {
    let mut issuer = ca.issuer;
    let mut chain = Vec::new();
    for n in 0..authorities {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, format!("authority {n}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        chain.push(certificate.der().clone());
        issuer = Issuer::new(params, key);
    }
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let leaf = params.signed_by(&key, &issuer).expect("a certificate");
    chain.push(leaf.der().clone());
    chain.reverse();
    config(chain, &key)
}

#[test]
fn a_long_chain_costs_one_failed_check() {
    let told = |authorities| {
        let ca = Ca::new();
        let dir = TempDir::new().expect("a directory");
        let path = bundle(&dir, &[&ca]);
        let server = greeting(chain(ca, authorities), b"");
        let outcome = check(&server, None, |check| check.ca_file = Some(path));
        outcome.verdict.map_err(|failure| failure.detail)
    };
    assert_eq!(told(2), Ok(()));
    let long = "certificate not trusted (its chain is too long)";
    assert_eq!(told(100), Err(long.to_owned()));
    // More than fits into one handshake message.
    assert_eq!(
        told(400),
        Err("TLS handshake failed: server broke the protocol".to_owned())
    );
}
