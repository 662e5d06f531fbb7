//! The certificates that a server presents, whatever they are worth.

use super::handshake::{drive, provider};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use std::io;
use std::net::TcpStream;
use std::sync::{Arc, OnceLock};

/// One full handshake over `socket` (never a resumed one: that would hide a renewed certificate)
/// for `host`, a name or an IP address without brackets. The chain is as it was sent: the leaf
/// first, nothing of it verified, and there even when the handshake failed after it, e.g. because
/// the server wants a certificate of ours. Has no timeout.
pub async fn chain(
    socket: &async_io::Async<TcpStream>,
    host: &str,
) -> io::Result<Vec<CertificateDer<'static>>> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let collector = Arc::new(Collector {
        schemes: provider()
            .signature_verification_algorithms
            .supported_schemes(),
        seen: OnceLock::new(),
    });
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(collector.clone())
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    let mut tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let finished = drive(&mut tls, socket).await;
    match collector.seen.get() {
        Some(chain) => Ok(chain.clone()),
        None => Err(finished
            .err()
            .unwrap_or_else(|| io::Error::other("no certificate"))),
    }
}

/// Accepts everything: whether it is to be trusted isn't the question, and nothing is ever said
/// over such a connection.
#[derive(Debug)]
struct Collector {
    schemes: Vec<SignatureScheme>,
    seen: OnceLock<Vec<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Collector {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(leaf)
            .chain(intermediates)
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        let _ = self.seen.set(chain);
        Ok(ServerCertVerified::assertion())
    }

    // What can't be parsed can't be verified: the certificates of old devices among them.
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
        self.schemes.clone()
    }
}
