//! Causes of failed handshakes: limits of rustls or webpki, and requirements of the server.

use super::https::{Ca, bundle, config};
use super::server::Server;
use super::*;
use rcgen::{BasicConstraints, CertificateParams, GeneralSubtree, IsCa, Issuer, KeyPair};
use rcgen::{NameConstraints, SanType};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// Returns the causes of an `https://` and of a `tls://` check of this server; the latter sends and
/// expects a text.
#[track_caller]
fn causes(server: &Server, ca_file: Option<&Path>) -> [String; 2] {
    let ca_file = ca_file.map(Path::to_owned);
    let https = outcome(&format!("https://{}/", server.address), |check| {
        check.ca_file.clone_from(&ca_file);
    });
    let mut tls = super::tls::tls_check(server.address);
    tls.ca_file = ca_file;
    tls.send_expect.send = Some("hello".to_owned());
    tls.send_expect.expect = Some("hello".to_owned());
    let site = site_of(Check::Tls(tls), Duration::from_secs(5));
    let tls = block_on(run(&client(), &site, false));
    [https, tls].map(|outcome| {
        let (kind, detail) = failure(&outcome);
        assert_eq!(kind, FailureKind::Tls);
        detail.to_owned()
    })
}

#[test]
fn a_server_with_legacy_suites_alone_is_told_as_one() {
    let server = |version: u8| {
        Server::new(move |mut stream| {
            let mut hello = [0; 4096];
            let got = stream.read(&mut hello).unwrap_or(0);
            // Every hello of rustls offers TLS_AES_128_GCM_SHA256.
            let is_modern = hello[..got].windows(2).any(|pair| pair == [0x13, 0x01]);
            let answer: &[u8] = match is_modern {
                true => &[21, 3, 3, 0, 2, 2, 40],
                false => &[22, 3, version, 0, 80, 2, 0, 0, 76, 3, version],
            };
            let _ = stream.write_all(answer);
            super::tcp::wait(stream);
        })
    };
    let told =
        "server offers only TLS 1.2 suites that are out of date (CBC, RSA or DHE key exchange)";
    assert_eq!(causes(&server(3), None), [told, told]);
    let told = "TLS handshake failed: server sent alert HandshakeFailure";
    assert_eq!(causes(&server(1), None), [told, told]);
}

#[test]
fn a_server_that_demands_a_client_certificate_is_told_as_one() {
    for versions in [&[&TLS12] as &[_], &[&TLS13]] {
        let ca = Ca::new();
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
        let leaf = params.signed_by(&key, &ca.issuer).expect("a certificate");
        let dir = TempDir::new().expect("a directory");
        let ca_file = bundle(&dir, &[&ca]);
        let mut roots = RootCertStore::empty();
        roots.add(leaf.der().clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let demanded = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_client_cert_verifier(demanded.build().expect("a verifier"))
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .expect("a certificate and its key");
        let config = Arc::new(config);
        let server = Server::new(move |stream| {
            let tls = ServerConnection::new(config.clone()).expect("a connection");
            let _ = StreamOwned::new(tls, stream).read(&mut [0]);
        });
        let told = "server wants a client certificate";
        assert_eq!(causes(&server, Some(&ca_file)), [told, told]);
    }
}

#[test]
fn what_webpki_does_not_support_is_named() {
    let dir = TempDir::new().expect("a directory");
    let told = |name: &str, issuer: &dyn Fn(&mut CertificateParams)| {
        let ca = Ca::new();
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        issuer(&mut params);
        let middle = params.signed_by(&key, &ca.issuer).expect("an issuer");
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
        let san = SanType::DnsName("a.example".try_into().expect("a name"));
        params.subject_alt_names.push(san);
        let leaf = params.signed_by(&key, &issuer).expect("a certificate");
        let config = config(vec![leaf.der().clone(), middle.der().clone()], &key);
        let server = Server::new(move |stream| {
            let tls = ServerConnection::new(config.clone()).expect("a connection");
            let _ = StreamOwned::new(tls, stream).read(&mut [0]);
        });
        causes(&server, Some(&bundle(&dir, &[&ca])))
    };
    let constrained = "certificate not trusted (name constraints of its issuer that are violated, or of a kind that is not supported)";
    let directory = |params: &mut CertificateParams| {
        let mut name = rcgen::DistinguishedName::new();
        name.push(rcgen::DnType::OrganizationName, "Acme");
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DirectoryName(name)],
            excluded_subtrees: Vec::new(),
        });
    };
    assert_eq!(told("directory", &directory), [constrained, constrained]);
    let dns = |params: &mut CertificateParams| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("b.example".to_owned())],
            excluded_subtrees: Vec::new(),
        });
    };
    assert_eq!(told("dns", &dns), [constrained, constrained]);
    // Excluded by name, by network, and by a kind of name that webpki doesn't support.
    let mut organization = rcgen::DistinguishedName::new();
    organization.push(rcgen::DnType::OrganizationName, "Acme");
    for subtree in [
        GeneralSubtree::DnsName("example".to_owned()),
        GeneralSubtree::IpAddress(rcgen::CidrSubnet::V4([127, 0, 0, 0], [255, 0, 0, 0])),
        GeneralSubtree::DirectoryName(organization),
    ] {
        let excluding = |params: &mut CertificateParams| {
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees: Vec::new(),
                excluded_subtrees: vec![subtree.clone()],
            });
        };
        assert_eq!(
            told("excluding", &excluding),
            [constrained, constrained],
            "{subtree:?}"
        );
    }
    let no_ca = |params: &mut CertificateParams| params.is_ca = IsCa::ExplicitNoCa;
    let no_issuer = "certificate not trusted (an issuer in its chain may not issue)";
    assert_eq!(told("no CA", &no_ca), [no_issuer, no_issuer]);
}
