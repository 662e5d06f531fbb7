//! A TLS handshake of our own: libcurl shows neither the certificates nor why one was refused.

use super::session::Session;
use crate::files;
use async_io::Async;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use webpki::EndEntityCert;

/// Trusted roots, parsed. About a megabyte for a system's bundle: not to be kept.
pub struct Bundle {
    store: Arc<RootCertStore>,
    /// As many as `store.roots`, in the same order.
    certificates: Vec<CertificateDer<'static>>,
}

impl Bundle {
    /// Reads a PEM file; certificates in it that can't be used are skipped. Blocks.
    pub fn read(path: &Path) -> io::Result<Bundle> {
        use rustls::pki_types::pem::PemObject;
        let pem = files::read(path, files::LARGEST_BUNDLE)?;
        let mut store = RootCertStore::empty();
        let mut certificates = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(&pem).flatten() {
            if store.add(certificate.clone()).is_ok() {
                certificates.push(certificate);
            }
        }
        Ok(Bundle {
            store: Arc::new(store),
            certificates,
        })
    }

    /// One root alone; `None` when it can't be used.
    pub(super) fn of_one(root: CertificateDer<'static>) -> Option<Bundle> {
        let mut store = RootCertStore::empty();
        store.add(root.clone()).ok()?;
        Some(Bundle {
            store: Arc::new(store),
            certificates: vec![root],
        })
    }

    /// The root in a PEM file that `chain`, leaf first, leads to. One certificate after the other:
    /// nothing is kept of the others. Blocks.
    pub(super) fn find(path: &Path, chain: &[CertificateDer<'static>]) -> io::Result<Option<Root>> {
        use rustls::pki_types::pem::PemObject;
        let pem = files::read(path, files::LARGEST_BUNDLE)?;
        let file = CertificateDer::pem_slice_iter(&pem);
        let mut ones = file.flatten().filter_map(Bundle::of_one);
        Ok(ones.find_map(|one| one.anchor(chain)))
    }

    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// The root of this bundle that `chain`, leaf first, leads to.
    pub fn anchor(&self, chain: &[CertificateDer<'static>]) -> Option<CertificateDer<'static>> {
        let (leaf, intermediates) = chain.split_first()?;
        let leaf = EndEntityCert::try_from(leaf).ok()?;
        let path = leaf
            .verify_for_usage(
                provider().signature_verification_algorithms.all,
                &self.store.roots,
                intermediates,
                UnixTime::now(),
                webpki::KeyUsage::server_auth(),
                None,
                None,
            )
            .ok()?;
        let anchor = path.anchor();
        let at = self.store.roots.iter().position(|root| {
            root.subject == anchor.subject
                && root.subject_public_key_info == anchor.subject_public_key_info
        })?;
        self.certificates.get(at).cloned()
    }
}

/// A root certificate.
pub(super) type Root = CertificateDer<'static>;

/// What a server presented.
pub struct Peer {
    /// As sent: the leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The root of the bundle that the chain leads to, or why it isn't trusted.
    pub trust: Result<CertificateDer<'static>, CertificateError>,
}

impl Peer {
    /// The leaf was issued by itself.
    pub fn is_self_signed(&self) -> bool {
        self.chain
            .first()
            .and_then(|leaf| EndEntityCert::try_from(leaf).ok())
            .is_some_and(|leaf| leaf.issuer() == leaf.subject())
    }
}

/// Connects to `address` and does one full handshake (never a resumed one: that would hide a
/// renewed certificate) for `host`, a name or an IP address without brackets. Has no timeout.
pub async fn handshake(address: SocketAddr, host: &str, bundle: &Bundle) -> io::Result<Peer> {
    let (mut tls, recorder) = connection(host, Some(bundle))?;
    let socket = Async::<TcpStream>::connect(address).await?;
    let finished = drive(&mut tls, &socket).await;
    let Some((chain, verified)) = recorder.seen.get().cloned() else {
        // No certificate came: the handshake's own error is what there is to tell.
        finished?;
        return Err(io::Error::other("no certificate"));
    };
    let trust = match verified {
        Ok(()) => {
            finished?;
            bundle.anchor(&chain).ok_or(CertificateError::UnknownIssuer)
        }
        Err(error) => Err(error),
    };
    Ok(Peer { chain, trust })
}

/// A session, and whom it is with.
pub struct Secured {
    pub session: Session,
    /// As sent: the leaf first.
    pub chain: Vec<CertificateDer<'static>>,
}

/// Why there is no session.
pub enum Refusal {
    /// The certificate was not accepted: `trust` is an error.
    Certificate(Peer),
    Handshake(io::Error),
}

/// One full handshake over `socket` with `host`, a name or an IP address without brackets. Without
/// a `bundle` any certificate will do. Has no timeout.
///
/// # Errors
///
/// A certificate that was not accepted, or a handshake that came to nothing; `Handshake`'s error
/// holds a [`rustls::Error`] when the server, and not the connection, was at fault.
pub async fn secure(
    socket: Async<TcpStream>,
    host: &str,
    bundle: Option<&Bundle>,
) -> Result<Secured, Refusal> {
    let (mut tls, recorder) = connection(host, bundle).map_err(Refusal::Handshake)?;
    let shaken = shake(&mut tls, &socket).await;
    let seen = recorder.seen.get().cloned();
    match (shaken, seen) {
        (Ok(()), seen) => Ok(Secured {
            session: Session::new(socket, tls),
            chain: seen.map(|(chain, _)| chain).unwrap_or_default(),
        }),
        (Err(_), Some((chain, Err(error)))) => Err(Refusal::Certificate(Peer {
            chain,
            trust: Err(error),
        })),
        (Err(error), _) => Err(Refusal::Handshake(error)),
    }
}

/// One full handshake over `socket` for `host`, only for the certificates: as they were sent, the
/// leaf first, nothing of them verified. They are there even when the handshake failed after them,
/// e.g. because the server wants one of ours. Has no timeout.
pub async fn chain(
    socket: &Async<TcpStream>,
    host: &str,
) -> io::Result<Vec<CertificateDer<'static>>> {
    let (mut tls, recorder) = connection(host, None)?;
    let finished = drive(&mut tls, socket).await;
    match recorder.seen.get() {
        Some((chain, _)) => Ok(chain.clone()),
        None => Err(finished
            .err()
            .unwrap_or_else(|| io::Error::other("no certificate"))),
    }
}

/// A client's side, before the first word. Nothing is resumed.
fn connection(
    host: &str,
    bundle: Option<&Bundle>,
) -> io::Result<(ClientConnection, Arc<Recorder>)> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let verifier = bundle.map(|bundle| {
        WebPkiServerVerifier::builder_with_provider(bundle.store.clone(), provider()).build()
    });
    let recorder = Arc::new(Recorder {
        verifier: verifier.transpose().map_err(io::Error::other)?,
        seen: OnceLock::new(),
    });
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(recorder.clone())
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    let tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    Ok((tls, recorder))
}

/// A handshake, and goodbye.
pub(super) async fn drive(tls: &mut ClientConnection, socket: &Async<TcpStream>) -> io::Result<()> {
    shake(tls, socket).await?;
    tls.send_close_notify();
    let _ = tls.write_tls(&mut socket.get_ref());
    Ok(())
}

/// The handshake alone.
async fn shake(tls: &mut ClientConnection, socket: &Async<TcpStream>) -> io::Result<()> {
    loop {
        while tls.wants_write() {
            socket.write_with(|mut s| tls.write_tls(&mut s)).await?;
        }
        if !tls.is_handshaking() {
            return Ok(());
        }
        if socket.read_with(|mut s| tls.read_tls(&mut s)).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Err(error) = tls.process_new_packets() {
            // The alert that tells the server why; whether it arrives doesn't matter.
            let _ = tls.write_tls(&mut socket.get_ref());
            return Err(io::Error::other(match error {
                // Who said hello does speak TLS.
                rustls::Error::InvalidMessage(_) if tls.protocol_version().is_some() => {
                    rustls::Error::General("garbage in the handshake".to_owned())
                }
                error => error,
            }));
        }
    }
}

/// The provider libcurl's rustls uses.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER
        .get_or_init(|| Arc::new(aws_lc_rs::default_provider()))
        .clone()
}

/// The usual verification, or none, with the chain and the result kept.
#[derive(Debug)]
struct Recorder {
    /// `None`: any certificate will do, as long as the server has its key.
    verifier: Option<Arc<WebPkiServerVerifier>>,
    seen: OnceLock<(Vec<CertificateDer<'static>>, Result<(), CertificateError>)>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let result = match &self.verifier {
            Some(verifier) => verifier.verify_server_cert(leaf, intermediates, name, ocsp, now),
            None => Ok(ServerCertVerified::assertion()),
        };
        let verified = match &result {
            Ok(_) => Ok(()),
            Err(rustls::Error::InvalidCertificate(error)) => Err(error.clone()),
            Err(_) => Err(CertificateError::ApplicationVerificationFailure),
        };
        let chain = std::iter::once(leaf)
            .chain(intermediates)
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        let _ = self.seen.set((chain, verified));
        result
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls12_signature(message, leaf, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, leaf, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
