//! HTTPS: trust, the causes of its failures, and learnt roots.

use super::server::{Server, request};
use super::*;
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use tempfile::TempDir;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
pub(super) const DAY: Duration = Duration::from_secs(86_400);

pub(super) struct Ca {
    pub(super) issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
}

impl Ca {
    pub(super) fn new() -> Ca {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(
            rcgen::DnType::CommonName,
            format!("CA {:?}", key.public_key_raw()),
        );
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Ca {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    pub(super) fn config(&self, change: impl FnOnce(&mut CertificateParams)) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
        change(&mut params);
        let leaf = params.signed_by(&key, &self.issuer).expect("a certificate");
        config(vec![leaf.der().clone()], &key)
    }
}

/// Serves `chain`, its leaf first. `key` is the leaf's.
pub(super) fn config(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate and its key");
    Arc::new(config)
}

/// Answers `OK` to every request, with the certificate that is in `config` when a client connects.
pub(super) fn serve(config: Arc<Mutex<Arc<ServerConfig>>>) -> Server {
    Server::new(move |stream| {
        let config = config.lock().expect("unpoisoned").clone();
        let tls = ServerConnection::new(config).expect("a connection");
        let mut stream = StreamOwned::new(tls, stream);
        while request(&mut stream).is_some() {
            if stream.write_all(OK).is_err() {
                break;
            }
        }
    })
}

pub(super) fn url(server: &Server) -> String {
    format!("https://{}/", server.address)
}

/// Writes a bundle with the roots of `cas`. As large as a system's, since roots are not learnt from
/// small ones.
pub(super) fn bundle(dir: &TempDir, cas: &[&Ca]) -> PathBuf {
    let path = dir.path().join("bundle.pem");
    let mut pem: String = cas.iter().map(|ca| ca.pem.as_str()).collect();
    pem.push_str(&"# as large as a system's\n".repeat(1000));
    std::fs::write(&path, pem).expect("written");
    path
}

#[track_caller]
fn told(config: Arc<ServerConfig>, ca: &Ca) -> (FailureKind, String) {
    let dir = TempDir::new().expect("a directory");
    let server = serve(Arc::new(Mutex::new(config)));
    let path = bundle(&dir, &[ca]);
    let outcome = outcome(&url(&server), |check| check.ca_file = Some(path));
    assert_eq!(outcome.address, Some(server.address.ip()));
    let (kind, detail) = failure(&outcome);
    (kind, detail.to_owned())
}

/// Returns certificates that a client which trusts `ca` rejects, and the causes.
pub(super) fn rejected(ca: &Ca) -> Vec<(Arc<ServerConfig>, FailureKind, &'static str)> {
    use FailureKind::{Tls, Untrusted};
    let now = SystemTime::now();
    let expired = ca.config(|p| {
        p.not_before = (now - 90 * DAY).into();
        p.not_after = (now - 3 * DAY).into();
    });
    // The certificate of a captive portal.
    let other = ca.config(|p| {
        p.subject_alt_names = vec![rcgen::SanType::DnsName(
            "other.example".try_into().expect("a name"),
        )];
    });
    let other_name = "certificate is for other.example, not for 127.0.0.1";
    let stranger = Ca::new().config(|_| {});
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let own = params.self_signed(&key).expect("a certificate");
    let own = config(vec![own.der().clone()], &key);
    let unknown = "certificate not trusted (unknown issuer)";
    vec![
        (expired, Tls, "certificate expired 3 days ago"),
        (other, Untrusted, other_name),
        (stranger, Untrusted, unknown),
        (own, Untrusted, "self-signed certificate"),
    ]
}

#[test]
fn a_certificate_that_is_not_accepted_is_told_with_dates_and_names() {
    use FailureKind::Tls;
    let ca = Ca::new();
    let now = SystemTime::now();
    let early = ca.config(|p| p.not_before = (now + 2 * DAY + DAY / 2).into());
    let client_only =
        ca.config(|p| p.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth]);
    let more = [
        (early, Tls, "certificate not yet valid, starts in 2 days"),
        (client_only, Tls, "certificate is not for a server"),
    ];
    for (config, kind, detail) in rejected(&ca).into_iter().chain(more) {
        assert_eq!(told(config, &ca), (kind, detail.to_owned()));
    }
}

#[test]
fn without_verification_any_certificate_will_do() {
    let now = SystemTime::now();
    let expired = Ca::new().config(|p| p.not_after = (now - 3 * DAY).into());
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    let mut unknown = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
    unknown.set_criticality(true);
    params.custom_extensions = vec![unknown];
    let key = KeyPair::generate().expect("a key");
    let critical = params.self_signed(&key).expect("a certificate");
    // webpki can't read these.
    let unreadable = [
        critical.der(),
        &include_bytes!("../wire/x509/samples/v1_t61.der")[..],
        include_bytes!("../wire/x509/samples/rsa_1024.der"),
    ];
    let unreadable = unreadable.map(presenting);
    for config in unreadable.into_iter().chain([expired]) {
        let server = serve(Arc::new(Mutex::new(config)));
        let over_https = outcome(&url(&server), |check| check.verify = false);
        assert_eq!(over_https.verdict, Ok(()));
        let over_tls = block_on(run(&client(), &tls_site_at(&server), false));
        assert_eq!(over_tls.verdict, Ok(()));
    }
}

#[test]
fn a_hello_fits_into_one_segment() {
    let (tell, told) = std::sync::mpsc::channel();
    let server = Server::new(move |mut stream| {
        // The length of the record follows its type and version (RFC 8446, section 5.1).
        let mut head = [0; 5];
        let _ = std::io::Read::read_exact(&mut stream, &mut head);
        let _ = tell.send(u16::from_be_bytes([head[3], head[4]]));
    });
    let _ = outcome(&url(&server), |check| check.verify = false);
    let _ = block_on(run(&client(), &tls_site_at(&server), false));
    for _ in 0..2 {
        let length = told.recv().expect("a hello");
        assert!((100..600).contains(&length), "{length}");
    }
}

#[test]
fn a_server_that_wants_a_post_quantum_key_gets_one() {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768];
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(Vec::new()).expect("parameters");
    let own = params.self_signed(&key).expect("a certificate");
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![own.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .expect("a certificate and its key");
    let server = serve(Arc::new(Mutex::new(Arc::new(config))));
    let over_https = outcome(&url(&server), |check| check.verify = false);
    assert_eq!(over_https.verdict, Ok(()));
    let over_tls = block_on(run(&client(), &tls_site_at(&server), false));
    assert_eq!(over_tls.verdict, Ok(()));
}

/// A `tls://` site that isn't verified.
fn tls_site_at(server: &Server) -> Site {
    let mut check = super::tls::tls_check(server.address);
    check.verify = false;
    site_of(Check::Tls(check), Duration::from_secs(5))
}

/// Presents this certificate, with a key that isn't its own.
fn presenting(certificate: &[u8]) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = KeyPair::generate().expect("a key").serialize_der();
    let key = PrivateKeyDer::Pkcs8(key.into());
    let key = provider.key_provider.load_private_key(key).expect("a key");
    let certified = CertifiedKey::new(vec![certificate.to_vec().into()], key);
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    Arc::new(config)
}

#[test]
fn a_server_that_speaks_no_tls_is_told_so() {
    let ca = Ca::new();
    let dir = TempDir::new().expect("a directory");
    let path = bundle(&dir, &[&ca]);
    let told = |server: Server| {
        let outcome = outcome(&url(&server), |check| check.ca_file = Some(path.clone()));
        let (kind, detail) = failure(&outcome);
        (kind, detail.to_owned())
    };
    let plain = Server::new(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        // Until the client has read it: closing at once would reset the connection.
        while std::io::Read::read(&mut stream, &mut [0; 512]).is_ok_and(|n| n > 0) {}
    });
    assert_eq!(
        told(plain),
        (FailureKind::Tls, "not a TLS server".to_owned())
    );
    let closing = Server::new(|mut stream| {
        let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
    });
    assert_eq!(
        told(closing),
        (
            FailureKind::Tls,
            "TLS handshake failed: server closed the connection".to_owned()
        )
    );
}

#[test]
fn a_handshake_that_hangs_is_told_as_one() {
    let ca = Ca::new();
    let dir = TempDir::new().expect("a directory");
    let path = bundle(&dir, &[&ca]);
    let told = |address: std::net::SocketAddr| {
        let mut site = site(&format!("https://{address}/"), |check| {
            check.ca_file = Some(path.clone());
        });
        site.timeout = Duration::from_millis(500);
        let outcome = block_on(run(&client(), &site, false));
        assert_eq!(outcome.address, Some(address.ip()));
        let (kind, detail) = failure(&outcome);
        (kind, detail.to_owned())
    };
    let silent = Server::new(super::tcp::wait);
    let hung = "no end of the TLS handshake within 500ms";
    assert_eq!(
        told(silent.address),
        (FailureKind::Timeout, hung.to_owned())
    );
    let (full, _queue) = unconnectable();
    assert_eq!(
        told(full.local_addr().expect("bound")),
        (
            FailureKind::Timeout,
            "no connection within 500ms".to_owned()
        )
    );
}

#[test]
fn a_ca_file_that_cannot_be_used_is_named() {
    let told = |path: PathBuf| {
        let outcome = outcome("https://127.0.0.1:1/", |check| check.ca_file = Some(path));
        failure(&outcome).1.to_owned()
    };
    // The port refuses first: the file is not read when no connection is made.
    assert!(told("/nowhere.pem".into()).starts_with("connection refused"));
    let server = serve(Arc::new(Mutex::new(Ca::new().config(|_| {}))));
    let missing = outcome(&url(&server), |check| {
        check.ca_file = Some("/nowhere.pem".into());
    });
    assert_eq!(
        failure(&missing),
        (
            FailureKind::Tls,
            "cannot read ca_file /nowhere.pem: No such file or directory"
        )
    );
    assert_eq!(missing.address, Some(server.address.ip()));
}

/// Answers with `answer` in one segment with the FIN, without close_notify.
fn farewell(answer: &'static [u8], ca: &Ca) -> Server {
    let config = ca.config(|_| {});
    Server::new(move |stream| {
        let tls = ServerConnection::new(config.clone()).expect("a connection");
        let mut stream = StreamOwned::new(tls, stream);
        request(&mut stream);
        // Holds the segment back until the socket is closed.
        rustix::net::sockopt::set_tcp_cork(&stream.sock, true).expect("corked");
        let _ = stream.write_all(answer);
    })
}

#[test]
fn a_server_that_ends_tcp_without_ending_tls_has_answered() {
    let ca = Ca::new();
    let dir = TempDir::new().expect("a directory");
    let path = bundle(&dir, &[&ca]);
    for (answer, wanted) in [
        (OK, None),
        (b"HTTP/1.0 200 OK\r\n\r\nwell", None),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
            Some((FailureKind::Protocol, "answer broken off")),
        ),
        (
            b"",
            Some((
                FailureKind::Protocol,
                "server closed the connection without an answer",
            )),
        ),
    ] {
        let server = farewell(answer, &ca);
        let outcome = outcome(&url(&server), |check| {
            check.ca_file = Some(path.clone());
            check.body = Some(String::new());
        });
        match wanted {
            None => assert_eq!(outcome.verdict, Ok(())),
            Some(wanted) => assert_eq!(failure(&outcome), wanted),
        }
    }
}

#[test]
fn what_is_no_body_is_cut_over_tls_too() {
    let ca = Ca::new();
    let dir = TempDir::new().expect("a directory");
    let path = bundle(&dir, &[&ca]);
    let config = ca.config(|_| {});
    let server = Server::new(move |stream| {
        let tls = ServerConnection::new(config.clone()).expect("a connection");
        let mut stream = StreamOwned::new(tls, stream);
        request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = [b"1;", &[b'x'; 15_000][..], b"\r\nz\r\n"].concat();
        while stream.write_all(&chunk).is_ok() {}
    });
    let mut site = site(&url(&server), |check| check.ca_file = Some(path));
    site.timeout = Duration::from_secs(60);
    let outcome = block_on(run(&client(), &site, false));
    let cause = "more than 8 MiB received before the answer ended";
    assert_eq!(failure(&outcome), (FailureKind::TooLarge, cause));
}

#[test]
fn a_server_of_http_1_is_not_what_was_wanted() {
    let ca = Ca::new();
    let dir = TempDir::new().expect("a directory");
    let path = bundle(&dir, &[&ca]);
    let server = serve(Arc::new(Mutex::new(ca.config(|_| {}))));
    let outcome = outcome(&url(&server), |check| {
        check.ca_file = Some(path);
        check.version = HttpVersion::Http2;
    });
    assert_eq!(
        failure(&outcome),
        (
            FailureKind::Protocol,
            "server speaks HTTP/1.1, wanted HTTP/2"
        )
    );
}

#[test]
fn a_root_is_learnt_and_another_chain_is_still_accepted() {
    let (first, second, stranger) = (Ca::new(), Ca::new(), Ca::new());
    let dir = TempDir::new().expect("a directory");
    let path = bundle(&dir, &[&first, &second]);
    let certificate = Arc::new(Mutex::new(first.config(|_| {})));
    let server = serve(certificate.clone());
    let client = client_with(|limits| limits.ca_file = Some(path));
    let site = site(&url(&server), |_| {});
    let learnt = || client.has_learnt_root(&url(&server));
    // A fresh connection each time, so that it is verified each time.
    let check = || block_on(run(&client, &site, true));
    assert_eq!(check().verdict, Ok(()));
    assert!(
        !learnt() && server.accepted() == 1,
        "once may be the only time"
    );
    assert_eq!(check().verdict, Ok(()));
    assert!(learnt() && server.accepted() == 3, "by a look of our own");
    assert_eq!(check().verdict, Ok(()));
    assert_eq!(server.accepted(), 4);

    *certificate.lock().expect("unpoisoned") = second.config(|_| {});
    assert_eq!(check().verdict, Ok(()), "the whole bundle trusts it");
    assert!(!learnt());
    *certificate.lock().expect("unpoisoned") = stranger.config(|_| {});
    let outcome = check();
    assert_eq!(
        failure(&outcome).1,
        "certificate not trusted (unknown issuer)"
    );
    all_permits_back(&client);
}

#[test]
fn a_learnt_root_never_makes_up_for_a_bad_certificate() {
    let ca = Ca::new();
    let dir = TempDir::new().expect("a directory");
    let path = bundle(&dir, &[&ca]);
    let certificate = Arc::new(Mutex::new(ca.config(|_| {})));
    let server = serve(certificate.clone());
    let client = client_with(|limits| limits.ca_file = Some(path));
    let site = site(&url(&server), |_| {});
    let check = || block_on(run(&client, &site, true));
    assert!(check().verdict.is_ok() && check().verdict.is_ok());
    assert!(client.has_learnt_root(&url(&server)));
    let yesterday = SystemTime::now() - DAY - DAY / 2;
    *certificate.lock().expect("unpoisoned") = ca.config(|p| p.not_after = yesterday.into());
    assert_eq!(failure(&check()).1, "certificate expired 1 day ago");
}

#[test]
fn a_verified_connection_is_reused_and_a_retry_makes_a_new_one() {
    let ca = Ca::new();
    let dir = TempDir::new().expect("a directory");
    let path = bundle(&dir, &[&ca]);
    let server = serve(Arc::new(Mutex::new(ca.config(|_| {}))));
    let site = site(&url(&server), |check| check.ca_file = Some(path));
    let client = client();
    let reused = |fresh| {
        let outcome = block_on(run(&client, &site, fresh));
        assert_eq!(outcome.verdict, Ok(()));
        let phases = outcome.phases.expect("measured");
        assert_eq!(phases.reused, phases.tls.is_zero());
        phases.reused
    };
    assert!(!reused(false));
    assert!(reused(false));
    assert!(!reused(true));
}
