//! Tests of the uplink probe on loopback.

use super::*;
use crate::http::Limits;
use crate::timer;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Instant;

fn client() -> Client {
    let limits = Limits::of_tests();
    Client::new(&limits).expect("a client")
}

fn report(uplink: &[SocketAddr]) -> ProbeResult {
    let target = |address: &SocketAddr| Target {
        host: address.ip().to_string(),
        port: address.port(),
    };
    let probe = UplinkProbe {
        client: client(),
        resolvers: Resolvers::new(),
        uplink: uplink.iter().map(target).collect(),
        telegram: None,
    };
    timer::block_on(probe.report())
}

fn listener(ip: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((ip, 0)).expect("loopback");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// Returns the address of a closed port.
fn refusing(ip: &str) -> SocketAddr {
    listener(ip).1
}

/// Returns an address where a connection neither succeeds nor fails, because the queue of
/// connections to accept is full.
fn hanging() -> (TcpListener, TcpStream, SocketAddr) {
    let (listener, address) = listener("127.0.0.1");
    // SAFETY: a plain system call on a socket that is open; std always asks for a longer queue.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let first = TcpStream::connect(address).expect("the queue takes one");
    (listener, first, address)
}

#[test]
fn one_target_that_takes_a_connection_is_enough() {
    let (_open, open) = listener("127.0.0.1");
    let refusing = refusing("127.0.0.1");
    assert!(report(&[refusing, open]).up);
    assert!(!report(&[refusing, refusing]).up);
}

#[test]
fn targets_that_hang_are_not_waited_for_once_one_has_answered() {
    let (hanging, (_open, open)) = (hanging(), listener("127.0.0.1"));
    let begun = Instant::now();
    assert!(report(&[hanging.2, open]).up);
    assert!(begun.elapsed() < TIMEOUT, "{:?}", begun.elapsed());
}

#[test]
fn a_target_that_hangs_fails_after_its_deadline() {
    let hanging = hanging();
    assert!(!report(&[hanging.2]).up);
}

#[test]
fn ipv6_that_fails_beside_a_working_ipv4_does_not_work() {
    let over_ipv6 = TcpListener::bind("[::1]:0");
    let over_ipv6 = over_ipv6.expect("this test needs IPv6 on the loopback interface");
    let open6 = over_ipv6.local_addr().expect("an address");
    let (_open4, open4) = listener("127.0.0.1");
    assert_eq!(report(&[open4, open6]).ipv6, Some(true));
    assert_eq!(report(&[open4, refusing("::1")]).ipv6, Some(false));
    let refusing = refusing("127.0.0.1");
    let report = report(&[refusing, open6]);
    assert_eq!((report.up, report.ipv6), (true, Some(true)));
}

#[test]
fn only_a_name_elsewhere_is_worth_a_deep_look() {
    for near in [
        "http://127.0.0.1:8081",
        "https://149.154.167.220",
        "https://[::1]",
        "http://localhost:8081",
        "http://bot.localhost",
    ] {
        assert_eq!(far_name(near), None, "{near}");
        let probe = UplinkProbe {
            client: client(),
            resolvers: Resolvers::new(),
            uplink: Vec::new(),
            telegram: Some((near.to_owned(), Proxy::Environment)),
        };
        let report = timer::block_on(probe.report());
        assert_eq!((report.names, report.trusted), (None, None), "{near}");
    }
    assert!(far_name("https://api.telegram.org").is_some());
}

/// Issues certificates that [`Authority::bundle`] trusts.
struct Authority(Issuer<'static, KeyPair>, String);

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority(Issuer::new(params, key), pem)
    }

    fn bundle(&self) -> Bundle {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), &self.1).expect("written");
        Bundle::read(file.path()).expect("readable")
    }

    /// Starts a TLS server for one handshake, with a certificate for `name` that expires in the
    /// year `until`.
    fn server(&self, name: &str, until: i32) -> SocketAddr {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        serve_once(certificate.der().clone(), key)
    }
}

fn serve_once(certificate: rustls::pki_types::CertificateDer<'static>, key: KeyPair) -> SocketAddr {
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate and its key");
    let (listener, address) = listener("127.0.0.1");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut tls = ServerConnection::new(Arc::new(config)).expect("a session");
        // Ends with an error if the client refuses the certificate.
        while tls.is_handshaking() && tls.complete_io(&mut stream).is_ok() {}
    });
    address
}

#[test]
fn only_a_certificate_for_other_names_is_taken_for_a_portal() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let probe = UplinkProbe {
        client: client(),
        resolvers: Resolvers::new(),
        uplink: Vec::new(),
        telegram: None,
    };
    let bundle = ours.bundle();
    let trusted = |addresses: &[SocketAddr]| {
        let sockets = Semaphore::new(1);
        let probe = probe.certificate(addresses, "api.example", &bundle, &sockets);
        timer::block_on(probe)
    };
    let good = |authority: &Authority| authority.server("api.example", 4000);
    assert_eq!(trusted(&[good(&ours)]), Some(true));
    assert_eq!(trusted(&[good(&theirs)]), Some(false), "unknown issuer");
    let other_name = ours.server("portal.example", 4000);
    assert_eq!(trusted(&[other_name]), Some(false), "another name");
    let expired = ours.server("api.example", 2001);
    assert_eq!(trusted(&[expired]), None, "expired");
    let dead = refusing("127.0.0.1");
    assert_eq!(trusted(&[dead]), None, "no server there");
    assert_eq!(trusted(&[dead, good(&ours)]), Some(true), "the second one");

    let mut params = CertificateParams::new(["api.example".to_owned()]).expect("a name");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let own = params.self_signed(&key).expect("a certificate");
    let self_signed = serve_once(own.der().clone(), key);
    assert_eq!(trusted(&[self_signed]), Some(false), "self-signed");
}

#[test]
fn a_name_as_target_is_resolved() {
    let (_open, open) = listener("127.0.0.1");
    let probe = UplinkProbe {
        client: client(),
        resolvers: Resolvers::new(),
        uplink: vec![Target {
            host: "localhost".to_owned(),
            port: open.port(),
        }],
        telegram: None,
    };
    assert!(timer::block_on(probe.report()).up);
}

#[test]
fn a_look_up_that_hangs_does_not_hold_up_a_target_without_a_name() {
    let resolvers = Resolvers::new();
    let _hanging = resolvers.uplink.hanging();
    let (_open, open) = listener("127.0.0.1");
    let target = |host: &str| Target {
        host: host.to_owned(),
        port: open.port(),
    };
    let probe = UplinkProbe {
        client: client(),
        resolvers,
        uplink: vec![target("localhost"), target("127.0.0.1")],
        telegram: None,
    };
    assert!(timer::block_on(probe.report()).up);
}
