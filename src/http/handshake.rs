//! TLS handshakes without libcurl, which reveals neither the certificates nor why one was rejected.

use super::provider::{AnyCertificate, provider};
use super::tls_stream::Session;
use crate::{files, pem};
use async_io::Async;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
};
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use webpki::{EndEntityCert, VerifiedPath};

/// Parsed trusted roots. A system's bundle takes about a megabyte, so it must not be kept.
pub struct Bundle {
    store: Arc<RootCertStore>,
    /// The certificates of `store.roots`, in the same order.
    certificates: Vec<CertificateDer<'static>>,
}

impl Bundle {
    /// Reads a PEM file and skips unusable certificates. Blocks.
    pub fn read(path: &Path) -> io::Result<Bundle> {
        let pem = files::read(path, files::LARGEST_BUNDLE)?;
        Ok(Bundle::of(pem::roots(&pem)))
    }

    fn of(roots: impl IntoIterator<Item = Root>) -> Bundle {
        let mut store = RootCertStore::empty();
        let usable = |root: &Root| store.add(root.clone()).is_ok();
        let certificates = roots.into_iter().filter(usable).collect();
        Bundle {
            store: Arc::new(store),
            certificates,
        }
    }

    /// Returns a bundle of one root; `None` if it is unusable.
    pub(super) fn of_one(root: CertificateDer<'static>) -> Option<Bundle> {
        Some(Bundle::of([root])).filter(|bundle| !bundle.is_empty())
    }

    /// Finds the root in a PEM file that `chain`, leaf first, leads to. Parses one certificate at a time and
    /// keeps none of the others. Blocks.
    pub(super) fn find(path: &Path, chain: &[CertificateDer<'static>]) -> io::Result<Option<Root>> {
        let pem = files::read(path, files::LARGEST_BUNDLE)?;
        let mut ones = pem::roots(&pem).filter_map(Bundle::of_one);
        Ok(ones.find_map(|one| one.anchor(chain)))
    }

    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// Returns the root of this bundle that `chain`, leaf first, leads to.
    pub fn anchor(&self, chain: &[CertificateDer<'static>]) -> Option<CertificateDer<'static>> {
        self.verified(chain, UnixTime::now(), |path| self.root(path.anchor()))
            .flatten()
    }

    /// Calls `see` with the path from the leaf of `chain` to a root of this bundle that is valid at `time`, if
    /// there is one.
    fn verified<T>(
        &self,
        chain: &[CertificateDer<'static>],
        time: UnixTime,
        see: impl FnOnce(&VerifiedPath<'_>) -> T,
    ) -> Option<T> {
        let (leaf, intermediates) = chain.split_first()?;
        let leaf = EndEntityCert::try_from(leaf).ok()?;
        let path = leaf.verify_for_usage(
            provider().signature_verification_algorithms.all,
            &self.store.roots,
            intermediates,
            time,
            webpki::KeyUsage::server_auth(),
            None,
            None,
        );
        path.ok().map(|path| see(&path))
    }

    fn root(&self, anchor: &TrustAnchor<'_>) -> Option<CertificateDer<'static>> {
        let at = self.store.roots.iter().position(|root| {
            root.subject == anchor.subject
                && root.subject_public_key_info == anchor.subject_public_key_info
        })?;
        self.certificates.get(at).cloned()
    }

    /// Finds the path from the leaf of `chain` to the only root of this bundle that is valid longest: its
    /// end, and its certificates without the root. `end_of`: expiry of a certificate in Unix seconds.
    fn longest_way(
        &self,
        chain: &[CertificateDer<'static>],
        end_of: fn(&[u8]) -> Option<i64>,
    ) -> Option<Way> {
        let mut time = UnixTime::now();
        let mut longest: Option<Way> = None;
        // Each round excludes the certificate that expired first in the previous one.
        for _ in chain {
            let on_the_way = self.verified(chain, time, |path| {
                let intermediates = path.intermediate_certificates();
                let intermediates = intermediates.map(|one| one.der().into_owned());
                let leaf = chain.first().cloned();
                leaf.into_iter()
                    .chain(intermediates)
                    .collect::<Vec<CertificateDer<'static>>>()
            });
            let ends = on_the_way
                .into_iter()
                .flatten()
                .map(|one| Some((end_of(&one)?, one)))
                .collect::<Option<Vec<_>>>();
            let Some((end, first)) = ends.into_iter().flatten().min_by_key(|(end, _)| *end) else {
                break;
            };
            longest = Some(Way {
                end,
                first_to_end: first,
                root: self.certificates.first()?.clone(),
            });
            let after = u64::try_from(end).unwrap_or(0).saturating_add(1);
            time = UnixTime::since_unix_epoch(Duration::from_secs(after));
        }
        longest
    }

    /// Finds the path from `chain`, leaf first, to a root in a PEM file that is valid longest; of equals, the
    /// one whose root expires last. `root_counts`: a path ends with its root, too. Parses one root at a time.
    /// Blocks.
    pub(super) fn longest(
        path: &Path,
        chain: &[CertificateDer<'static>],
        end_of: fn(&[u8]) -> Option<i64>,
        root_counts: bool,
    ) -> io::Result<Option<Way>> {
        let pem = files::read(path, files::LARGEST_BUNDLE)?;
        let roots = pem::roots(&pem).filter_map(Bundle::of_one);
        let ways = roots.filter_map(|root| {
            let mut way = root.longest_way(chain, end_of)?;
            let root_end = end_of(&way.root).unwrap_or(i64::MAX);
            if root_counts && root_end < way.end {
                way.end = root_end;
                way.first_to_end = way.root.clone();
            }
            Some((way, root_end))
        });
        let longest = ways.max_by_key(|(way, root_end)| (way.end, *root_end));
        Ok(longest.map(|(way, _)| way))
    }
}

/// A path from a server's certificate to a trusted root.
pub struct Way {
    /// Its end in Unix seconds, without the root: validation (RFC 5280, section 6.1) ignores the expiry of
    /// roots.
    end: i64,
    /// The certificate that expires then.
    pub first_to_end: CertificateDer<'static>,
    pub root: CertificateDer<'static>,
}

/// The key of the certificate `issuer` made `signature` of `signed`; false for unsupported algorithms.
pub fn signs(issuer: &[u8], signed: &[u8], signature: &[u8]) -> bool {
    let issuer = CertificateDer::from(issuer);
    let Ok(issuer) = EndEntityCert::try_from(&issuer) else {
        return false;
    };
    let algorithms = provider().signature_verification_algorithms.all;
    algorithms.iter().any(|&algorithm| {
        issuer
            .verify_signature(algorithm, signed, signature)
            .is_ok()
    })
}

/// A root certificate.
pub(super) type Root = CertificateDer<'static>;

/// The certificates of a server.
pub struct Peer {
    /// As sent: the leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The reason if they are not trusted.
    pub trust: Result<(), CertificateError>,
    /// The server requested a client certificate and did not get one.
    pub wants_certificate: bool,
}

impl Peer {
    /// The leaf is issued by itself.
    pub fn is_self_signed(&self) -> bool {
        self.chain
            .first()
            .and_then(|leaf| EndEntityCert::try_from(leaf).ok())
            .is_some_and(|leaf| leaf.issuer() == leaf.subject())
    }
}

/// The server requires a client certificate.
#[derive(Debug)]
pub struct ClientCertificateWanted;

impl fmt::Display for ClientCertificateWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server wants a client certificate")
    }
}

impl std::error::Error for ClientCertificateWanted {}

/// Connects to `address` and does one full handshake for `host`, a name or an IP address without brackets.
/// Never resumes a session, as that would hide a renewed certificate. Has no timeout.
pub async fn handshake(address: SocketAddr, host: &str, bundle: &Bundle) -> io::Result<Peer> {
    let socket = Async::<TcpStream>::connect(address).await?;
    match ended(establish(socket, host, Some(bundle)).await).await {
        (_, Some(peer)) if peer.trust.is_err() => Ok(peer),
        (finished, peer) => finished.and_then(|()| peer.ok_or_else(no_certificate)),
    }
}

/// A session and the server's certificates.
pub struct Secured {
    pub session: Session,
    /// As sent: the leaf first.
    pub chain: Vec<CertificateDer<'static>>,
}

/// Why there is no session.
pub enum Refusal {
    /// The certificate was rejected: `trust` is an error.
    Certificate(Peer),
    Handshake(io::Error),
}

/// Does one full handshake over `socket` with `host`, a name or an IP address without brackets. Without a
/// `bundle` every certificate is accepted. Has no timeout.
///
/// # Errors
///
/// A rejected certificate, or a failed handshake. The error in `Handshake` contains a [`rustls::Error`]
/// if the server is at fault and not the connection.
/// holds a [`rustls::Error`] when the server, and not the connection, was at fault.
pub async fn secure(
    socket: Async<TcpStream>,
    host: &str,
    bundle: Option<&Bundle>,
) -> Result<Secured, Refusal> {
    match establish(socket, host, bundle).await {
        (Ok(session), peer) => Ok(Secured {
            session,
            chain: peer.map(|peer| peer.chain).unwrap_or_default(),
        }),
        (Err(_), Some(peer)) if peer.trust.is_err() => Err(Refusal::Certificate(peer)),
        (Err(error), _) => Err(Refusal::Handshake(error)),
    }
}

/// Does one full handshake over `socket` for `host` and returns the certificates as sent, leaf first and
/// unverified, even if the handshake failed after them, e.g. because the server requires a client
/// certificate. Has no timeout.
pub async fn chain(
    socket: Async<TcpStream>,
    host: &str,
) -> io::Result<Vec<CertificateDer<'static>>> {
    match ended(establish(socket, host, None).await).await {
        (_, Some(peer)) => Ok(peer.chain),
        (finished, None) => Err(finished.err().unwrap_or_else(no_certificate)),
    }
}

fn no_certificate() -> io::Error {
    io::Error::other("no certificate")
}

/// The session or an error, and the server if it has sent a certificate.
type Established = (io::Result<Session>, Option<Peer>);

/// Closes a session that was only established to see the server.
async fn ended((session, peer): Established) -> (io::Result<()>, Option<Peer>) {
    match session {
        Ok(mut session) => {
            session.end().await;
            (Ok(()), peer)
        }
        Err(error) => (Err(error), peer),
    }
}

/// Does one full handshake.
async fn establish(socket: Async<TcpStream>, host: &str, bundle: Option<&Bundle>) -> Established {
    let (mut tls, recorder) = match connection(host, bundle) {
        Ok(connection) => connection,
        Err(error) => return (Err(error), None),
    };
    let shaken = recorder.explained(shake(&mut tls, &socket).await);
    let peer = recorder.seen.get().cloned().map(|(chain, trust)| Peer {
        chain,
        trust,
        wants_certificate: recorder.wants_certificate(),
    });
    (shaken.map(|()| Session::new(socket, tls)), peer)
}

/// Returns a client that resumes no session.
fn connection(
    host: &str,
    bundle: Option<&Bundle>,
) -> io::Result<(ClientConnection, Arc<Recorder>)> {
    // Certificates do not contain interfaces.
    let host = host.split('%').next().unwrap_or_default();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let verifier: Arc<dyn ServerCertVerifier> = match bundle {
        Some(bundle) => {
            WebPkiServerVerifier::builder_with_provider(bundle.store.clone(), provider())
                .build()
                .map_err(io::Error::other)?
        }
        None => Arc::new(AnyCertificate),
    };
    let recorder = Arc::new(Recorder {
        verifier,
        seen: OnceLock::new(),
        asked: AtomicBool::new(false),
    });
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(recorder.clone())
        .with_client_cert_resolver(recorder.clone());
    config.resumption = Resumption::disabled();
    let tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    Ok((tls, recorder))
}

/// Performs the handshake.
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
            // The alert that tells the server the reason; delivery is optional.
            let _ = tls.write_tls(&mut socket.get_ref());
            return Err(io::Error::other(match error {
                // A peer that sent a ServerHello does speak TLS.
                rustls::Error::InvalidMessage(_) if tls.protocol_version().is_some() => {
                    rustls::Error::General("garbage in the handshake".to_owned())
                }
                error => error,
            }));
        }
    }
}

/// A verifier that records the chain and its result, and whether the server requested a client
/// certificate.
#[derive(Debug)]
struct Recorder {
    verifier: Arc<dyn ServerCertVerifier>,
    seen: OnceLock<(Vec<CertificateDer<'static>>, Result<(), CertificateError>)>,
    asked: AtomicBool,
}

impl Recorder {
    fn wants_certificate(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Attributes an alert after the request for a client certificate to that.
    fn explained<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
            match tls {
                Some(rustls::Error::AlertReceived(_)) if self.wants_certificate() => {
                    io::Error::other(ClientCertificateWanted)
                }
                _ => error,
            }
        })
    }
}

/// Provides no client certificate.
impl ResolvesClientCert for Recorder {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
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
        let result = (self.verifier).verify_server_cert(leaf, intermediates, name, ocsp, now);
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
        (self.verifier).verify_tls12_signature(message, leaf, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        (self.verifier).verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
