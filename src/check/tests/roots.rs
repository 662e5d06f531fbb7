//! Trusted roots: files that are valid in part, and roots that expire.

use super::cert::{DAY, ca, https_site, in_days, key, params, tls_site, unix};
use super::https::{Ca, config, serve, url};
use super::server::Server;
use super::*;
use crate::check::certificate;
use crate::http::HeaderValue;
use crate::monitor::site::outcome::{Failure, Inspection};
use rcgen::{Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use tempfile::TempDir;

fn server(config: Arc<ServerConfig>) -> Server {
    serve(Arc::new(Mutex::new(config)))
}

fn written(dir: &TempDir, pem: &[u8]) -> PathBuf {
    let path = dir.path().join("ca.pem");
    std::fs::write(&path, pem).expect("written");
    path
}

/// Returns the site with this `ca_file`.
fn holding(mut site: Site, path: &Path) -> Site {
    let path = Some(path.to_owned());
    match &mut site.check {
        Check::Http(check) => check.ca_file = path,
        Check::Tls(check) => check.ca_file = path,
        _ => unreachable!("a site with TLS"),
    }
    site
}

/// Returns the verdicts of an https and a tls check of one server.
fn both(client: &Client, server: &Server, ca_file: Option<&Path>) -> [Result<(), Failure>; 2] {
    [https_site(server, |_| {}), tls_site(server)].map(|site| {
        let site = match ca_file {
            Some(path) => holding(site, path),
            None => site,
        };
        block_on(run(client, &site, true)).verdict
    })
}

/// Returns the first lines of a certificate.
fn cut_off(ca: &Ca) -> String {
    ca.pem.lines().take(4).map(|l| format!("{l}\n")).collect()
}

#[test]
fn what_is_sound_in_a_file_is_used_by_every_check() {
    let (ca, other) = (Ca::new(), Ca::new());
    let server = server(ca.config(|_| {}));
    let (good, half) = (&ca.pem, cut_off(&other));
    let trusted = other.pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE");
    let begin = "-----BEGIN CERTIFICATE-----\n";
    for pem in [
        format!("{good}{half}"),
        format!("{half}{good}"),
        format!("{half}-----END CERTIFICATE-----\n{good}"),
        format!("{begin}no base64!\n-----END CERTIFICATE-----\n{good}"),
        format!("{good}{begin}"),
        format!("{trusted}{good}"),
        // These files are valid, but libcurl misses a certificate in them.
        format!("\u{feff}{good}"),
        format!("{}{good}", other.pem.trim_end()),
    ] {
        let dir = TempDir::new().expect("a directory");
        let path = written(&dir, pem.as_bytes());
        let own = both(&client(), &server, Some(&path));
        assert_eq!(own, [Ok(()), Ok(())], "{pem}");
        let client = client_with(|limits| limits.ca_file = Some(path));
        let shared = both(&client, &server, None);
        assert_eq!(shared, [Ok(()), Ok(())], "{pem}");
        // A POST, as to the Bot API.
        let text = HeaderValue::from_static("text/plain");
        let any = IpVersion::Any;
        let url = url(&server);
        let call = client.post(&url, text, b"", Duration::from_secs(10), any);
        assert_eq!(block_on(call).map(|answer| answer.status), Ok(200), "{pem}");
    }
}

#[test]
fn a_file_in_which_nothing_is_sound_is_named() {
    let ca = Ca::new();
    let server = server(ca.config(|_| {}));
    let dir = TempDir::new().expect("a directory");
    let path = written(&dir, cut_off(&ca).as_bytes());
    let detail = format!("no usable certificates in ca_file {}", path.display());
    for verdict in both(&client(), &server, Some(&path)) {
        assert_eq!(verdict, Err(Failure::new(FailureKind::Tls, detail.clone())));
    }
}

#[test]
fn what_is_not_in_the_file_or_cut_off_is_not_trusted() {
    let (ca, other) = (Ca::new(), Ca::new());
    let server = server(ca.config(|_| {}));
    let dir = TempDir::new().expect("a directory");
    let path = written(&dir, format!("{}{}", other.pem, cut_off(&ca)).as_bytes());
    let client = client();
    for verdict in both(&client, &server, Some(&path)) {
        assert_eq!(
            verdict.expect_err("not trusted").kind,
            FailureKind::Untrusted
        );
    }
    // A new version of the file counts from the next check on.
    written(&dir, format!("{}{}", ca.pem, cut_off(&other)).as_bytes());
    let https = holding(https_site(&server, |_| {}), &path);
    assert_eq!(block_on(run(&client, &https, true)).verdict, Ok(()));
    written(&dir, format!("{0}{0}", other.pem).as_bytes());
    let again = block_on(run(&client, &https, true)).verdict;
    assert_eq!(again.expect_err("not trusted").kind, FailureKind::Untrusted);
}

/// A root with this end, and a server with a leaf of it that is valid for 60 days.
struct Root {
    key: KeyPair,
    pem: String,
    leaf_ends: SystemTime,
    server: Server,
}

impl Root {
    fn ending(ends: SystemTime) -> Root {
        let key = key();
        let params_of_it = ca("root", ends);
        let pem = params_of_it.self_signed(&key).expect("a root").pem();
        let issuer = Issuer::from_params(&params_of_it, &key);
        let leaf_key = super::cert::key();
        let leaf_ends = in_days(60);
        let leaf = params("leaf", leaf_ends).signed_by(&leaf_key, &issuer);
        let chain: Vec<CertificateDer<'static>> = vec![leaf.expect("a leaf").der().clone()];
        let server = server(config(chain, &leaf_key));
        Root {
            key,
            pem,
            leaf_ends,
            server,
        }
    }

    /// Returns the same root with another end.
    fn renewed(&self, ends: SystemTime) -> String {
        let renewed = ca("root", ends).self_signed(&self.key);
        renewed.expect("a root").pem()
    }
}

#[track_caller]
fn looked(client: &Client, site: &Site) -> Inspection {
    block_on(certificate(client, site)).expect("certificates")
}

#[test]
fn an_ended_root_of_the_machine_is_trusted_and_told_apart() {
    let ended = in_days(0) - 3 * DAY;
    let root = Root::ending(ended);
    let dir = TempDir::new().expect("a directory");
    let path = written(&dir, root.pem.as_bytes());
    let client = client_with(|limits| limits.ca_file = Some(path.clone()));
    assert_eq!(both(&client, &root.server, None), [Ok(()), Ok(())]);
    for site in [https_site(&root.server, |_| {}), tls_site(&root.server)] {
        let found = looked(&client, &site);
        assert_eq!(found.first.subject, "leaf");
        assert_eq!(found.first.ends, unix(root.leaf_ends));
        let told = found.root.expect("a root");
        assert_eq!((told.subject.as_str(), told.ends), ("root", unix(ended)));
        // With a `ca_file` of its own, though the same one, the site has nothing to do with the
        // client's roots.
        assert_eq!(looked(&client, &holding(site, &path)).first.subject, "leaf");
    }
    // Without verification no root is relied on.
    let unverified = https_site(&root.server, |check| check.verify = false);
    assert_eq!(looked(&client, &unverified).root, None);
}

#[test]
fn of_two_roots_with_one_key_the_one_that_lasts_counts() {
    let root = Root::ending(in_days(0) - 3 * DAY);
    let later = in_days(4000);
    let renewed = root.renewed(later);
    for pem in [
        format!("{}{renewed}", root.pem),
        format!("{renewed}{}", root.pem),
    ] {
        let dir = TempDir::new().expect("a directory");
        let path = written(&dir, pem.as_bytes());
        let client = client_with(|limits| limits.ca_file = Some(path.clone()));
        let site = https_site(&root.server, |_| {});
        let told = looked(&client, &site).root.expect("a root");
        assert_eq!(told.ends, unix(later));
        let own = looked(&super::client(), &holding(site, &path));
        assert_eq!((own.first.subject.as_str(), own.root), ("leaf", None));
    }
}

#[test]
fn a_root_in_the_sites_own_file_is_one_of_its_certificates() {
    for ends in [in_days(0) - 3 * DAY, in_days(5)] {
        let root = Root::ending(ends);
        let dir = TempDir::new().expect("a directory");
        let path = written(&dir, root.pem.as_bytes());
        let client = client();
        assert_eq!(both(&client, &root.server, Some(&path)), [Ok(()), Ok(())]);
        for site in [https_site(&root.server, |_| {}), tls_site(&root.server)] {
            let found = looked(&client, &holding(site, &path));
            assert_eq!(found.first.subject, "root");
            assert_eq!((found.first.ends, found.root), (unix(ends), None));
        }
        let unverified = https_site(&root.server, |check| check.verify = false);
        let found = looked(&client, &holding(unverified, &path));
        assert_eq!(found.first.subject, "leaf");
    }
}
