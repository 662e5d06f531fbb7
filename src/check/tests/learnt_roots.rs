//! Learnt roots in TLS checks: one root instead of the whole bundle, but only roots of the bundle.

use super::https::{Ca, DAY, bundle};
use super::server::Server;
use super::tcp::wait;
use super::tls::tls_check;
use super::*;
use crate::monitor::site::StartTls;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use tempfile::TempDir;

/// A mail server whose certificate may change, and a client that trusts a bundle of its own.
struct Mail {
    certificate: Arc<Mutex<Arc<ServerConfig>>>,
    server: Server,
    client: Client,
    site: Site,
    _dir: TempDir,
}

impl Mail {
    fn new(cas: &[&Ca]) -> Mail {
        let dir = TempDir::new().expect("a directory");
        let path = bundle(&dir, cas);
        let certificate = Arc::new(Mutex::new(cas[0].config(|_| {})));
        let shown = certificate.clone();
        let server = Server::new(move |mut stream| {
            let _ = stream.write_all(b"+OK hi\r\n");
            if stream.read(&mut [0; 6]).is_ok_and(|n| n == 6) {
                let _ = stream.write_all(b"+OK begin\r\n");
                let config = shown.lock().expect("unpoisoned").clone();
                let tls = ServerConnection::new(config).expect("a connection");
                wait(StreamOwned::new(tls, stream));
            }
        });
        let mut check = tls_check(server.address);
        check.starttls = Some(StartTls::Pop3);
        Mail {
            certificate,
            client: client_with(|limits| limits.ca_file = Some(path)),
            site: site_of(Check::Tls(check), Duration::from_secs(10)),
            server,
            _dir: dir,
        }
    }

    fn show(&self, config: Arc<ServerConfig>) {
        *self.certificate.lock().expect("unpoisoned") = config;
    }

    fn check(&self) -> Outcome {
        block_on(run(&self.client, &self.site, false))
    }

    fn learnt(&self) -> bool {
        let url = format!("https://{}/", self.server.address);
        self.client.has_learnt_root(&url)
    }
}

#[test]
fn the_first_handshake_tells_the_root_and_costs_no_other_connection() {
    let ca = Ca::new();
    let mail = Mail::new(&[&ca]);
    assert!(!mail.learnt());
    assert_eq!(mail.check().verdict, Ok(()));
    assert!(mail.learnt());
    assert_eq!(mail.check().verdict, Ok(()));
    assert_eq!(mail.server.accepted(), 2);
}

#[test]
fn another_chain_of_the_bundle_is_accepted_in_the_same_check() {
    let (first, second, stranger) = (Ca::new(), Ca::new(), Ca::new());
    let mail = Mail::new(&[&first, &second]);
    assert_eq!(mail.check().verdict, Ok(()));
    mail.show(second.config(|_| {}));
    let outcome = mail.check();
    assert_eq!(outcome.verdict, Ok(()));
    assert!(!outcome.phases.expect("measured").tls.is_zero());
    assert_eq!(mail.server.accepted(), 3, "said in the clear once more");
    assert!(!mail.learnt(), "not at once again: it may alternate");
    mail.show(stranger.config(|_| {}));
    let cause = "certificate not trusted (unknown issuer)";
    assert_eq!(failure(&mail.check()), (FailureKind::Untrusted, cause));
    assert_eq!(mail.server.accepted(), 4);
    assert_eq!(mail.client.permits_in_use(), 0);
}

#[test]
fn a_learnt_root_never_makes_up_for_a_bad_certificate() {
    let ca = Ca::new();
    let stranger = Ca::new();
    let yesterday = SystemTime::now() - DAY - DAY / 2;
    let other = |p: &mut rcgen::CertificateParams| {
        let name = "other.example".try_into().expect("a name");
        p.subject_alt_names = vec![rcgen::SanType::DnsName(name)];
    };
    for (config, kind, cause) in [
        (
            ca.config(|p| p.not_after = yesterday.into()),
            FailureKind::Tls,
            "certificate expired 1 day ago",
        ),
        (
            ca.config(other),
            FailureKind::Untrusted,
            "certificate is for other.example, not for 127.0.0.1",
        ),
        (
            stranger.config(|_| {}),
            FailureKind::Untrusted,
            "certificate not trusted (unknown issuer)",
        ),
    ] {
        let mail = Mail::new(&[&ca]);
        assert_eq!(mail.check().verdict, Ok(()));
        assert!(mail.learnt());
        mail.show(config);
        assert_eq!(failure(&mail.check()), (kind, cause));
        assert!(!mail.learnt());
    }
}

#[test]
fn nothing_is_learnt_of_what_was_not_verified() {
    let ca = Ca::new();
    let mut mail = Mail::new(&[&ca]);
    let Check::Tls(check) = &mut mail.site.check else {
        unreachable!("it is one");
    };
    check.verify = false;
    assert_eq!(mail.check().verdict, Ok(()));
    assert!(!mail.learnt());
}

#[test]
fn a_look_at_the_certificate_goes_by_the_learnt_root_and_by_any_other() {
    let (first, second) = (Ca::new(), Ca::new());
    let mail = Mail::new(&[&first, &second]);
    assert_eq!(mail.check().verdict, Ok(()));
    let look = || block_on(crate::check::certificate(&mail.client, &mail.site));
    assert!(look().is_ok());
    mail.show(second.config(|_| {}));
    assert!(look().is_ok());
    assert!(mail.learnt(), "a look is for dates, and judges nothing");
}

#[test]
fn the_whole_bundle_is_in_memory_once_however_many_use_it() {
    let (first, second) = (Ca::new(), Ca::new());
    let dir = TempDir::new().expect("a directory");
    let path = bundle(&dir, &[&first, &second]);
    let client = client_with(|limits| limits.ca_file = Some(path));
    let read = |file| block_on(client.bundle(file)).expect("readable");
    let (one, two) = (read(None), read(None));
    assert!(Arc::ptr_eq(&one, &two));
    let other = dir.path().join("ca.pem");
    std::fs::write(&other, &first.pem).expect("written");
    assert!(!Arc::ptr_eq(&one, &read(Some(&other))));
    let old = Arc::downgrade(&one);
    drop((one, two));
    assert!(old.upgrade().is_none(), "not kept");
}
