//! The cryptography of all TLS connections, libcurl's and ours.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use std::sync::{Arc, OnceLock};

/// Returns aws-lc's provider, with X25519 first. rustls-ffi's features prefer the post-quantum hybrid
/// X25519MLKEM768, which adds 1,216 bytes to the ClientHello and a key generation to every check: it is
/// offered last, for servers that accept nothing else (they ask for it by HelloRetryRequest, RFC 8446
/// section 4.1.4).
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let make = || {
        use aws_lc_rs::kx_group::{SECP256R1, SECP384R1, X25519, X25519MLKEM768};
        Arc::new(CryptoProvider {
            kx_groups: vec![X25519, SECP256R1, SECP384R1, X25519MLKEM768],
            ..aws_lc_rs::default_provider()
        })
    };
    PROVIDER.get_or_init(make).clone()
}

/// Makes [`provider`] the process's default, which rustls-ffi and thus libcurl uses. To be called before
/// the first connection.
pub(super) fn install() {
    // Fails if a default is set: this one, in a process with several clients.
    let _ = CryptoProvider::install_default(provider().as_ref().clone());
}

/// For `verify = false`: accepts every certificate, including unreadable ones (X.509 v1, RSA keys under
/// 2048 bits, unknown critical extensions), and every signature with its key.
#[derive(Debug)]
pub(super) struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
    use std::time::Duration;

    fn of_this_thread() -> Duration {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `time` is a valid timespec to write to.
        let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        assert_eq!(result, 0);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

    /// Returns the client's CPU time for one handshake, and the size of its ClientHello in bytes.
    fn handshake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> (Duration, usize) {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut at_server = ServerConnection::new(server.clone()).expect("a server");
        let begun = of_this_thread();
        let mut at_client = ClientConnection::new(client.clone(), name).expect("a client");
        let mut taken = of_this_thread() - begun;
        let mut hello = 0;
        while at_client.is_handshaking() || at_server.is_handshaking() {
            let (mut there, mut back) = (Vec::new(), Vec::new());
            let begun = of_this_thread();
            while at_client.wants_write() {
                at_client.write_tls(&mut there).expect("room");
            }
            taken += of_this_thread() - begun;
            hello = if hello == 0 { there.len() } else { hello };
            let mut rest = there.as_slice();
            while !rest.is_empty() {
                at_server.read_tls(&mut rest).expect("bytes");
                at_server.process_new_packets().expect("a client's");
            }
            while at_server.wants_write() {
                at_server.write_tls(&mut back).expect("room");
            }
            let begun = of_this_thread();
            let mut rest = back.as_slice();
            while !rest.is_empty() {
                at_client.read_tls(&mut rest).expect("bytes");
                at_client.process_new_packets().expect("a server's");
            }
            taken += of_this_thread() - begun;
        }
        (taken, hello)
    }

    /// `cargo test --release --locked --lib what_the_order -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement"]
    fn what_the_order_of_key_shares_costs() {
        const HANDSHAKES: usize = 1000;
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).expect("a root");
        // A server that accepts either.
        let server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .map(Arc::new)
            .expect("a server");
        let client = |provider: Arc<CryptoProvider>| {
            let mut config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            config.resumption = rustls::client::Resumption::disabled();
            Arc::new(config)
        };
        let mut upstream = provider().as_ref().clone();
        upstream.kx_groups.rotate_right(1);
        let clients = [client(provider()), client(Arc::new(upstream))];
        let mut taken = [Vec::new(), Vec::new()];
        let mut hellos = [0, 0];
        // Alternating, so that both see the same load of the machine.
        for _ in 0..HANDSHAKES {
            for (at, client) in clients.iter().enumerate() {
                let (took, hello) = handshake(client, &server);
                taken[at].push(took.as_nanos());
                hellos[at] = hello;
            }
        }
        let [ours, upstream] = taken.map(|mut taken| {
            taken.sort_unstable();
            taken[HANDSHAKES / 2] as f64 / 1000.0
        });
        println!(
            "X25519 first: {ours:.0} µs, ClientHello {} bytes",
            hellos[0]
        );
        println!(
            "X25519MLKEM768 first: {upstream:.0} µs, ClientHello {} bytes",
            hellos[1]
        );
        println!("ratio of medians: {:.2}", ours / upstream);
        assert!(hellos[0] + 1000 < hellos[1], "{hellos:?}");
    }
}
