//! Certificates for test servers: a CA of the test's own, valid and invalid certificates.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A certificate authority that is trusted only where its PEM is given.
pub struct TestCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl TestCa {
    pub fn new() -> TestCa {
        TestCa::until(SystemTime::now() + 3650 * DAY)
    }

    /// Creates a CA whose certificate expires at `end`.
    pub fn until(end: SystemTime) -> TestCa {
        let mut params = params(&[], end - 3660 * DAY, end);
        params.distinguished_name = common_name("sitemon test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, new_key()).expect("a CA certificate");
        TestCa { issuer }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Writes the PEM to `dir/ca.pem`, for the key `ca_file`.
    pub fn write_pem(&self, dir: &Path) -> PathBuf {
        let path = dir.join("ca.pem");
        std::fs::write(&path, self.pem()).expect("the CA's PEM can be written");
        path
    }

    /// Issues a certificate for `names` (host names and IP addresses).
    pub fn issue(&self, names: &[&str], from: SystemTime, until: SystemTime) -> Certificate {
        let key = new_key();
        let params = params(names, from, until);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let chain = vec![certificate.der().clone(), self.issuer.der().clone()];
        Certificate::new(chain, certificate.pem() + &self.issuer.pem(), &key)
    }

    /// Issues a certificate for `127.0.0.1` and `localhost` that expires in `days` days.
    pub fn good_for_days(&self, days: u32) -> Certificate {
        self.issue(LOOPBACK, yesterday(), SystemTime::now() + days * DAY)
    }

    /// Issues a certificate for `127.0.0.1` and `localhost` that expired yesterday.
    pub fn expired(&self) -> Certificate {
        self.issue(LOOPBACK, yesterday() - 30 * DAY, yesterday())
    }
}

/// A certificate chain with its private key. Its first certificate is the server's.
#[derive(Clone)]
pub struct Certificate {
    chain: Vec<CertificateDer<'static>>,
    /// PKCS #8.
    key: Vec<u8>,
    pem: (String, String),
}

impl Certificate {
    /// Creates a self-signed certificate for `names`, valid for 90 days.
    pub fn self_signed(names: &[&str]) -> Certificate {
        let key = new_key();
        let params = params(names, yesterday(), SystemTime::now() + 90 * DAY);
        let certificate = params.self_signed(&key).expect("a certificate");
        Certificate::new(vec![certificate.der().clone()], certificate.pem(), &key)
    }

    /// Returns the configuration of a TLS 1.2 and 1.3 server that speaks HTTP/1.1.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider's default versions")
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), key)
            .expect("a key that fits the certificate");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }

    /// Returns the chain and the key as PEM.
    pub fn pem(&self) -> &(String, String) {
        &self.pem
    }

    fn new(chain: Vec<CertificateDer<'static>>, pem: String, key: &KeyPair) -> Certificate {
        let pem = (pem, key.serialize_pem());
        let key = key.serialize_der();
        Certificate { chain, key, pem }
    }
}

/// Names in the certificate of a server on loopback.
pub const LOOPBACK: &[&str] = &["127.0.0.1", "localhost"];

pub fn yesterday() -> SystemTime {
    SystemTime::now() - DAY
}

fn params(names: &[&str], from: SystemTime, until: SystemTime) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("valid names");
    params.distinguished_name = common_name("sitemon test server");
    let since_epoch = |t: SystemTime| t.duration_since(UNIX_EPOCH).expect("a date after 1970");
    params.not_before = date_time_ymd(1970, 1, 1) + since_epoch(from);
    params.not_after = date_time_ymd(1970, 1, 1) + since_epoch(until);
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut dn = DistinguishedName::new();
    dn.push(DnType::CommonName, name);
    dn
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("a key pair")
}
