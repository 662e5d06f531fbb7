//! The TLS check: a handshake, and what is said over it.

use super::connect::{Deadline, Failed};
use super::explain::{certificate_cause, handshake_cause};
use super::talk::{broken, talk};
use super::{starttls, tcp};
use crate::http::{Client, Refusal, Session, secure};
use crate::monitor::outcome::{Failure, FailureKind, Outcome, Phases};
use crate::monitor::site::{Site, TlsCheck};
use futures_lite::AsyncWriteExt;
use futures_lite::future::poll_once;
use std::io;
use std::time::Instant;

/// One TLS check. The clock starts here.
pub(super) async fn run(client: &Client, site: &Site, check: &TlsCheck) -> Outcome {
    let deadline = Deadline::new(site.timeout);
    let connection = match starttls::connect(client, check, deadline).await {
        Ok(connection) => connection,
        Err(failed) => return failed.into(),
    };
    let (address, phases) = (connection.address, connection.phases());
    let session = deadline.bound(async {
        let bundle = match check.verify {
            true => client.bundle(check.ca_file.as_deref()).await.map(Some),
            false => Ok(None),
        };
        let bundle = bundle.map_err(|why| Failure::new(FailureKind::Tls, why))?;
        let start = Instant::now();
        let session = secure(connection.socket, &check.host, bundle.as_ref()).await;
        let session = session.map_err(|refusal| refused(&refusal, &check.host))?;
        Ok((session, start.elapsed()))
    });
    let session = session.await.unwrap_or_else(|| {
        let detail = format!("no end of the TLS handshake within {}", deadline.within());
        Err(Failure::new(FailureKind::Timeout, detail))
    });
    let (mut session, tls) = match session {
        Ok(session) => session,
        Err(failure) => return Failed::new(failure, address.ip()).into(),
    };
    let talked = talk(&mut session, &check.talk, deadline, session_broken).await;
    goodbye(&mut session).await;
    let phases = Phases { tls, ..phases };
    Outcome {
        detail: Some(session.version().to_owned()),
        ..tcp::outcome(address, phases, talked, deadline)
    }
}

fn refused(refusal: &Refusal, host: &str) -> Failure {
    let (kind, detail) = match refusal {
        Refusal::Certificate(peer) => certificate_cause(peer, host)
            .unwrap_or_else(|| (FailureKind::Tls, "certificate not trusted".to_owned())),
        Refusal::Handshake(error) => (FailureKind::Tls, handshake_cause(error)),
    };
    Failure::new(kind, detail)
}

/// A session that failed: by what TLS says, or with its connection.
fn session_broken(error: &io::Error) -> Failure {
    use rustls::Error as E;
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    let detail = match tls {
        Some(E::AlertReceived(alert)) => format!("server sent TLS alert {alert:?}"),
        // Too much of what can't be taken yet: rustls' own bound, not the socket's.
        None if error.kind() != io::ErrorKind::InvalidData => return broken(error),
        _ => "server broke the TLS protocol".to_owned(),
    };
    Failure::new(FailureKind::Tls, detail)
}

/// Says that there is nothing more to say, if that goes at once.
async fn goodbye(session: &mut Session) {
    let _ = poll_once(session.close()).await;
}
