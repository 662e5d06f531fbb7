//! TCP checks: a connection and a dialogue.

use super::connect::Target;
use super::deadline::Deadline;
use super::dialogue::{DialogueOutcome, broken, run_dialogue};
use crate::http::Client;
use crate::monitor::site::outcome::{Outcome, Phases};
use crate::monitor::site::{Site, TcpCheck};
use std::net::SocketAddr;

/// Checks once. The timeout starts now.
pub(super) async fn run(client: &Client, site: &Site, check: &TcpCheck) -> Outcome {
    let deadline = Deadline::new(site.timeout);
    let target = Target {
        host: &check.host,
        port: check.port,
        ip: check.ip,
    };
    let mut connection = match target.connect(client, deadline).await {
        Ok(connection) => connection,
        Err(failed) => return failed.into(),
    };
    let dialogue = run_dialogue(&mut connection.socket, &check.send_expect, deadline, broken).await;
    outcome(connection.address, connection.phases(), dialogue, deadline)
}

/// The outcome of a dialogue with `address`. `phases`: measured before it.
pub(super) fn outcome(
    address: SocketAddr,
    phases: Phases,
    outcome: DialogueOutcome,
    deadline: Deadline,
) -> Outcome {
    let total = deadline.start.elapsed();
    let answered = outcome.verdict.is_ok() || outcome.first_byte.is_some();
    Outcome {
        phases: answered.then(|| Phases {
            first_byte: outcome.first_byte.unwrap_or_default(),
            total,
            ..phases
        }),
        address: Some(address.ip()),
        ..Outcome::new(outcome.verdict, answered.then_some(total))
    }
}
