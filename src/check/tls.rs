//! TLS checks: a handshake and a dialogue.

use super::connect::CheckFailure;
use super::deadline::Deadline;
use super::dialogue::{broken, run_dialogue};
use super::explain::NO_HANDSHAKE;
use super::tls_cause::{WANTS_CERTIFICATE, certificate_cause, handshake_cause, refused_hello};
use super::{starttls, tcp};
use crate::http::{Client, Refusal, Session, Trust, secure};
use crate::monitor::site::outcome::{Failure, FailureKind, Outcome, Phases};
use crate::monitor::site::{Site, TlsCheck};
use rustls::AlertDescription;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

/// Checks once. The timeout starts now.
pub(super) async fn run(client: &Client, site: &Site, check: &TlsCheck) -> Outcome {
    let deadline = Deadline::new(site.timeout);
    let established = match establish(client, check, deadline, None).await {
        // The chain may have changed since the root was learnt: verify it with the whole bundle.
        Err(HandshakeFailure { learnt, .. }) if learnt.is_some() => {
            establish(client, check, deadline, learnt).await
        }
        established => established,
    };
    let (mut session, address, phases) = match established {
        Ok(established) => established,
        Err(missed) => return missed.failed.into(),
    };
    let outcome = run_dialogue(&mut session, &check.send_expect, deadline, session_broken).await;
    session.end().await;
    Outcome {
        detail: Some(session.version().to_owned()),
        ..tcp::outcome(address, phases, outcome, deadline)
    }
}

/// Why no session was established.
struct HandshakeFailure {
    failed: CheckFailure,
    /// Only the learnt root failed to verify the server.
    learnt: Option<Box<Trust>>,
}

impl From<CheckFailure> for HandshakeFailure {
    fn from(failed: CheckFailure) -> HandshakeFailure {
        HandshakeFailure {
            failed,
            learnt: None,
        }
    }
}

/// Establishes a session. `distrusted`: the learnt root that has just failed to verify the server.
async fn establish(
    client: &Client,
    check: &TlsCheck,
    deadline: Deadline,
    distrusted: Option<Box<Trust>>,
) -> Result<(Session, SocketAddr, Phases), HandshakeFailure> {
    let connection = starttls::connect(client, check, deadline).await?;
    let (address, phases) = (connection.address, connection.phases());
    let failed = |failure| CheckFailure::new(failure, address.ip());
    let secured = deadline.bound(async {
        let trust = match (check.verify, distrusted) {
            (false, _) => Ok(None),
            (true, Some(trust)) => client.distrust(*trust).await.map(Some),
            (true, None) => {
                let ca_file = check.ca_file.as_deref();
                client
                    .trust(&check.host, check.port, ca_file)
                    .await
                    .map(Some)
            }
        };
        let trust = trust.map_err(|why| failed(Failure::new(FailureKind::Tls, why)))?;
        let start = Instant::now();
        let bundle = trust.as_ref().map(|trust| &*trust.bundle);
        let secured = secure(connection.socket, &check.host, bundle).await;
        let tls = start.elapsed();
        match secured {
            Ok(secured) => {
                if let Some(trust) = trust {
                    client.verified(&trust, &secured.chain);
                }
                Ok((secured.session, address, Phases { tls, ..phases }))
            }
            Err(refusal) => Err(HandshakeFailure {
                failed: failed(refused(&refusal, check, address).await),
                learnt: trust
                    .filter(|trust| trust.is_learnt())
                    .filter(|_| matches!(refusal, Refusal::Certificate(_)))
                    .map(Box::new),
            }),
        }
    });
    let late = || Err(failed(deadline.missed(NO_HANDSHAKE)).into());
    secured.await.unwrap_or_else(late)
}

async fn refused(refusal: &Refusal, check: &TlsCheck, address: SocketAddr) -> Failure {
    let (kind, detail) = match refusal {
        Refusal::Certificate(peer) => certificate_cause(peer, &check.host)
            .unwrap_or_else(|| (FailureKind::Tls, "certificate not trusted".to_owned())),
        Refusal::Handshake(error) if check.starttls.is_none() => (
            FailureKind::Tls,
            refused_hello(error, address, &check.host).await,
        ),
        Refusal::Handshake(error) => (FailureKind::Tls, handshake_cause(error)),
    };
    Failure::new(kind, detail)
}

/// The failure of a session, by its TLS error or by its connection's.
fn session_broken(error: &io::Error) -> Failure {
    use rustls::Error as E;
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    let detail = match tls {
        Some(E::AlertReceived(AlertDescription::CertificateRequired)) => {
            WANTS_CERTIFICATE.to_owned()
        }
        Some(E::AlertReceived(alert)) => format!("server sent TLS alert {alert:?}"),
        // rustls buffers too much data: an error of its own, not of the socket.
        None if error.kind() != io::ErrorKind::InvalidData => return broken(error),
        _ => "server broke the TLS protocol".to_owned(),
    };
    Failure::new(FailureKind::Tls, detail)
}
