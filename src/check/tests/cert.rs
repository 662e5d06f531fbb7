//! Inspection of certificates: which one of a chain expires first, and servers that hide it.

use super::server::Server;
use super::*;
use crate::check::certificate;
use crate::monitor::site::StartTls;
use crate::monitor::site::outcome::{Expiry, Failure};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer};
use rcgen::{KeyPair, SignatureAlgorithm};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ALL_VERSIONS, HandshakeKind, RootCertStore, ServerConfig, ServerConnection};
use rustls::{StreamOwned, SupportedProtocolVersion};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::SystemTime;

pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// Returns the time in `days` days, in whole seconds, as in certificates.
pub(super) fn in_days(days: u32) -> SystemTime {
    let now = unix(SystemTime::now());
    SystemTime::UNIX_EPOCH + Duration::from_secs(now.unsigned_abs()) + DAY * days
}

pub(super) fn unix(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_secs()).expect("small")
}

/// Returns parameters with a name, an organization, and an end.
pub(super) fn params(name: &str, ends: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Acme");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (ends - 400 * DAY).into();
    params.not_after = ends.into();
    params
}

pub(super) fn ca(name: &str, ends: SystemTime) -> CertificateParams {
    let mut params = params(name, ends);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

pub(super) fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

/// A server's chain and the key of its leaf.
struct Chain {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

impl Chain {
    /// A self-signed certificate.
    fn own(params: &CertificateParams, algorithm: &'static SignatureAlgorithm) -> Chain {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let leaf = params.self_signed(&key).expect("a certificate");
        Chain {
            chain: vec![leaf.der().clone()],
            key,
        }
    }

    /// Leaf, intermediate and root with these ends.
    fn three(leaf: SystemTime, intermediate: SystemTime, root: SystemTime) -> Chain {
        let root_params = ca("root", root);
        let root_key = key();
        let root = root_params.self_signed(&root_key).expect("a root");
        let root_issuer = Issuer::new(root_params, root_key);
        let middle_params = ca("R3", intermediate);
        let middle_key = key();
        let middle = middle_params
            .signed_by(&middle_key, &root_issuer)
            .expect("an intermediate");
        let leaf_key = key();
        let leaf = params("leaf", leaf)
            .signed_by(&leaf_key, &Issuer::new(middle_params, middle_key))
            .expect("a leaf");
        Chain {
            chain: [leaf, middle, root].map(|made| made.der().clone()).to_vec(),
            key: leaf_key,
        }
    }

    /// Presents the certificates as they are, valid or not.
    fn config(self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
        self.config_with(versions, WebPkiClientVerifier::no_client_auth())
    }

    fn config_with(
        self,
        versions: &[&'static SupportedProtocolVersion],
        clients: Arc<dyn ClientCertVerifier>,
    ) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = provider.key_provider.load_private_key(key).expect("a key");
        let certified = CertifiedKey::new(self.chain, key);
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        Arc::new(config)
    }

    fn serve(self) -> Server {
        let config = self.config(ALL_VERSIONS);
        Server::new(move |stream| shake_hands(&config, stream))
    }
}

/// Makes a handshake, and then waits until the peer closes.
fn shake_hands(config: &Arc<ServerConfig>, stream: TcpStream) {
    let tls = ServerConnection::new(config.clone()).expect("a connection");
    let _ = StreamOwned::new(tls, stream).read(&mut [0]);
}

pub(super) fn tls_site(server: &Server) -> Site {
    let check = Check::Tls(super::tls::tls_check(server.address));
    site_of(check, Duration::from_secs(5))
}

pub(super) fn https_site(server: &Server, change: impl FnOnce(&mut HttpCheck)) -> Site {
    site(&format!("https://{}/", server.address), change)
}

/// Inspects the site with a new client, which must release its permit.
#[track_caller]
fn look(site: &Site) -> Result<Expiry, Failure> {
    let client = client();
    let found = block_on(certificate(&client, site));
    all_permits_back(&client);
    found.map(|looked| looked.first)
}

#[track_caller]
fn refused(site: &Site) -> (FailureKind, String) {
    let failure = look(site).expect_err("a failure");
    (failure.kind, failure.detail)
}

#[test]
fn every_kind_of_certificate_is_told_by_its_end_name_issuer_and_key() {
    let (soon, past) = (in_days(3), in_days(0) - 2 * DAY);
    for (ends, algorithm, key) in [
        (soon, &rcgen::PKCS_ECDSA_P256_SHA256, "ECDSA P-256"),
        (soon, &rcgen::PKCS_ECDSA_P384_SHA384, "ECDSA P-384"),
        (soon, &rcgen::PKCS_RSA_SHA256, "RSA 2048"),
        (soon, &rcgen::PKCS_ED25519, "Ed25519"),
        (past, &rcgen::PKCS_ECDSA_P256_SHA256, "ECDSA P-256"),
    ] {
        let server = Chain::own(&params("own", ends), algorithm).serve();
        let told = Expiry {
            ends: unix(ends),
            subject: "own".to_owned(),
            issuer: "Acme (own)".to_owned(),
            key: key.to_owned(),
        };
        // Trusted or not, verified or not.
        let unverified = https_site(&server, |check| check.verify = false);
        assert_eq!(look(&unverified), Ok(told.clone()));
        assert_eq!(look(&https_site(&server, |_| {})), Ok(told.clone()));
        assert_eq!(look(&tls_site(&server)), Ok(told));
        assert_eq!(server.accepted(), 3, "a connection for each look");
    }
}

#[test]
fn the_certificate_of_the_chain_that_ends_first_is_told() {
    let (near, far) = (in_days(5), in_days(50));
    for (leaf, intermediate, root, told) in [
        (near, far, far, ("leaf", "Acme (R3)")),
        (far, near, far, ("R3", "Acme (root)")),
        // The root in the chain doesn't count, since a client has its own.
        (near, far, in_days(1), ("leaf", "Acme (R3)")),
    ] {
        let chain = Chain::three(leaf, intermediate, root);
        let dir = tempfile::TempDir::new().expect("a directory");
        let path = dir.path().join("ca.der");
        // Not PEM: without a readable bundle the chain is built by names alone.
        std::fs::write(&path, &chain.chain[2]).expect("written");
        let server = chain.serve();
        let found = look(&https_site(&server, |check| check.ca_file = Some(path)));
        let found = found.expect("certificates");
        assert_eq!((found.subject.as_str(), found.issuer.as_str()), told);
        assert_eq!(found.ends, unix(near));
    }
}

#[test]
fn what_leads_on_from_a_trusted_root_does_not_count() {
    // A root that is also signed by an older one, for clients that know only the older one.
    let (far, near) = (in_days(50), in_days(5));
    let mut chain = Chain::three(far, far, far);
    let root = ca("root", far);
    let root_key = key();
    let pem = root.self_signed(&root_key).expect("a root").pem();
    let older = Issuer::new(ca("older", near), key());
    let crossed = ca("root", near)
        .signed_by(&root_key, &older)
        .expect("a certificate");
    let leaf = params("leaf", far)
        .signed_by(&chain.key, &Issuer::new(root, root_key))
        .expect("a leaf");
    chain.chain = vec![leaf.der().clone(), crossed.der().clone()];
    let server = chain.serve();
    let dir = tempfile::TempDir::new().expect("a directory");
    let path = dir.path().join("ca.pem");
    std::fs::write(&path, pem).expect("written");
    let knows = https_site(&server, |check| check.ca_file = Some(path));
    assert_eq!(look(&knows).map(|found| found.ends), Ok(unix(far)));
    let other = https_site(&server, |check| check.ca_file = Some("/nowhere.pem".into()));
    assert_eq!(look(&other).map(|found| found.ends), Ok(unix(near)));
}

#[test]
fn certificates_are_linked_by_key_and_not_by_name() {
    let (near, far) = (in_days(4), in_days(300));
    let (root, root_key) = (ca("root", far), key());
    let pem = root.self_signed(&root_key).expect("a root").pem();
    let root = Issuer::new(root, root_key);
    let (signer, other) = (Issuer::new(ca("R3", far), key()), key());
    let made = |ends: SystemTime, key: &KeyPair| {
        let made = ca("R3", ends).signed_by(key, &root);
        made.expect("an intermediate").der().clone()
    };
    let (short, stranger) = (made(near, signer.key()), made(far, &other));
    let renewed = made(far, signer.key());
    let leaf_key = key();
    let leaf = params("leaf", far).signed_by(&leaf_key, &signer);
    let leaf = leaf.expect("a leaf").der().clone();
    let dir = tempfile::TempDir::new().expect("a directory");
    let path = dir.path().join("ca.pem");
    std::fs::write(&path, pem).expect("written");
    let told = |chain: &[&CertificateDer<'static>], ca_file: &std::path::Path| {
        let chain = Chain {
            chain: chain.iter().map(|&one| one.clone()).collect(),
            key: KeyPair::from_pem(&leaf_key.serialize_pem()).expect("a key"),
        };
        let server = chain.serve();
        let site = https_site(&server, |check| check.ca_file = Some(ca_file.to_owned()));
        look(&site).map(|found| found.ends)
    };
    let untrusted = std::path::Path::new("/nowhere.pem");
    for ca_file in [path.as_path(), untrusted] {
        assert_eq!(told(&[&leaf, &short, &stranger], ca_file), Ok(unix(near)));
        assert_eq!(told(&[&leaf, &stranger, &short], ca_file), Ok(unix(near)));
        // Two intermediates have the same key: when one has expired, the chain by the other is
        // valid.
        assert_eq!(told(&[&leaf, &short, &renewed], ca_file), Ok(unix(far)));
    }
    // An intermediate that lasts longer, but whose issuer isn't trusted.
    let elsewhere = Issuer::new(ca("not trusted", far), key());
    let crossed = ca("R3", far)
        .signed_by(signer.key(), &elsewhere)
        .expect("an intermediate");
    assert_eq!(told(&[&leaf, &short, crossed.der()], &path), Ok(unix(near)));
}

#[test]
fn the_certificate_of_a_mail_server_is_seen_after_starttls() {
    let ends = in_days(3);
    let chain = Chain::own(&params("mail", ends), &rcgen::PKCS_ECDSA_P256_SHA256);
    let config = chain.config(ALL_VERSIONS);
    let server = Server::new(move |mut stream| {
        let _ = stream.write_all(b"+OK ready\r\n");
        let mut line = [0; 6];
        if stream.read_exact(&mut line).is_ok() && &line == b"STLS\r\n" {
            let _ = stream.write_all(b"+OK begin\r\n");
            shake_hands(&config, stream);
        }
    });
    let mut site = tls_site(&server);
    if let Check::Tls(check) = &mut site.check {
        check.starttls = Some(StartTls::Pop3);
    }
    let found = look(&site).expect("a certificate");
    assert_eq!((found.ends, found.subject.as_str()), (unix(ends), "mail"));
    let silent = Server::new(super::tcp::wait);
    if let Check::Tls(check) = &mut site.check {
        check.port = silent.address.port();
    }
    site.timeout = Duration::from_secs(1);
    let late = "no greeting within 1s".to_owned();
    assert_eq!(refused(&site), (FailureKind::Timeout, late));
}

#[test]
fn every_look_is_a_full_handshake() {
    let config = Chain::own(&params("own", in_days(3)), &rcgen::PKCS_ED25519).config(ALL_VERSIONS);
    let (tell, told) = std::sync::mpsc::channel();
    let server = Server::new(move |stream| {
        let tls = ServerConnection::new(config.clone()).expect("a connection");
        let mut stream = StreamOwned::new(tls, stream);
        let _ = stream.read(&mut [0]);
        let _ = tell.send(stream.conn.handshake_kind());
    });
    let client = client();
    for _ in 0..2 {
        let found = block_on(certificate(&client, &tls_site(&server)));
        assert!(found.is_ok());
        assert_eq!(told.recv(), Ok(Some(HandshakeKind::Full)));
    }
}

#[test]
fn a_server_that_wants_a_certificate_of_ours_shows_its_own_all_the_same() {
    let ends = in_days(3);
    for versions in [&[&TLS12] as &[_], &[&TLS13]] {
        let chain = Chain::own(&params("own", ends), &rcgen::PKCS_ED25519);
        let mut roots = RootCertStore::empty();
        roots.add(chain.chain[0].clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let asked = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
        let config = chain.config_with(versions, asked.build().expect("a verifier"));
        let server = Server::new(move |stream| shake_hands(&config, stream));
        assert_eq!(
            look(&tls_site(&server)).map(|found| found.ends),
            Ok(unix(ends))
        );
    }
}

#[test]
fn a_certificate_without_any_name_is_called_by_its_host() {
    let mut nameless = params("", in_days(3));
    nameless.distinguished_name = DistinguishedName::new();
    let server = Chain::own(&nameless, &rcgen::PKCS_ECDSA_P256_SHA256).serve();
    let found = look(&tls_site(&server)).expect("a certificate");
    assert_eq!(
        (found.subject.as_str(), found.issuer.as_str()),
        ("127.0.0.1", "unknown")
    );
}

#[test]
fn a_chain_of_a_hundred_is_no_trouble() {
    let near = in_days(5);
    let mut chain = Chain::three(near, in_days(50), in_days(50));
    let stray = chain.chain[2].clone();
    chain.chain.extend(std::iter::repeat_n(stray, 97));
    let server = chain.serve();
    let found = look(&tls_site(&server)).expect("a certificate");
    assert_eq!((found.ends, found.subject.as_str()), (unix(near), "leaf"));
}

#[test]
fn a_certificate_that_no_verifier_reads_has_dates_all_the_same() {
    let mut chain = Chain::three(in_days(5), in_days(5), in_days(5));
    // A certificate of version 1, as old devices have. The server's key is another one.
    chain.chain = vec![CertificateDer::from_slice(include_bytes!(
        "../wire/x509/samples/v1_t61.der"
    ))];
    let found = look(&tls_site(&chain.serve())).expect("a certificate");
    assert_eq!(
        (found.ends, found.subject.as_str()),
        (2_110_938_382, "Fritz!Box")
    );
}

#[test]
fn a_hostile_server_costs_one_look_and_the_cause_is_told() {
    let presenting = |bytes: Vec<u8>| {
        let mut chain = Chain::three(in_days(5), in_days(5), in_days(5));
        chain.chain = vec![bytes.into()];
        chain.serve()
    };
    let told = |server: &Server| refused(&tls_site(server));
    let told_soon = |server: &Server| {
        let mut site = tls_site(server);
        site.timeout = Duration::from_millis(500);
        refused(&site)
    };
    let tls = |detail: &str| (FailureKind::Tls, detail.to_owned());
    let late = (
        FailureKind::Timeout,
        "no certificate within 500ms".to_owned(),
    );
    assert_eq!(
        told(&presenting(vec![0x30; 900])),
        tls("certificate cannot be read")
    );
    assert_eq!(
        told(&presenting(vec![0x30; 1_000_000])),
        tls("TLS handshake failed: server broke the protocol")
    );
    let silent = Server::new(|mut stream| while stream.read(&mut [0; 512]).is_ok_and(|n| n > 0) {});
    assert_eq!(told_soon(&silent), late);
    // A handshake record that never ends.
    let dripping = Server::new(|mut stream| {
        let _ = stream.write_all(&[22, 3, 3, 0x40, 0, 2, 0, 0x3f, 0xfc]);
        while stream.write_all(&[3]).is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    assert_eq!(told_soon(&dripping), late);
    let garbage = Server::new(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        while stream.write_all(&[0xaa; 4096]).is_ok() {}
    });
    assert_eq!(told(&garbage), tls("not a TLS server"));
    let closing = Server::new(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
    });
    assert_eq!(
        told(&closing),
        tls("TLS handshake failed: server closed the connection")
    );
}

#[test]
fn no_connection_and_no_name_are_told_as_a_check_tells_them() {
    let closed = {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        listener.local_addr().expect("bound")
    };
    assert_eq!(
        refused(&site(&format!("https://{closed}/"), |_| {})),
        (
            FailureKind::Connect,
            format!("connection refused by {closed}")
        )
    );
    assert_eq!(
        refused(&site("https://127.0.0.1/", |check| check.ip = IpVersion::V6)),
        (
            FailureKind::NoName,
            "cannot resolve 127.0.0.1: no IPv6 address".to_owned()
        )
    );
}

#[test]
fn a_site_without_tls_has_no_certificate() {
    assert_eq!(
        refused(&site("http://127.0.0.1/", |_| {})),
        (
            FailureKind::Internal,
            "this site has no certificate".to_owned()
        )
    );
}

#[test]
fn the_time_of_a_look_begins_with_its_permit() {
    let server = Chain::own(&params("own", in_days(3)), &rcgen::PKCS_ED25519).serve();
    let client = client_with(|limits| limits.max_connections = 4);
    let held = block_on(client.check_permit());
    let mut site = tls_site(&server);
    site.timeout = Duration::from_secs(2);
    let given_back = async {
        crate::timer::Timer::after(site.timeout + Duration::from_millis(100)).await;
        assert_eq!(server.accepted(), 0, "it waits");
        drop(held);
    };
    let (found, ()) = block_on(futures_lite::future::zip(
        certificate(&client, &site),
        given_back,
    ));
    assert_eq!(found.map(|found| found.first.subject), Ok("own".to_owned()));
}
