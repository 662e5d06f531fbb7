//! DNS checks: selects the servers, and judges the response.

mod exchange;
mod system;

use super::deadline::Deadline;
use super::explain::{OTHER_FAMILY_WAIT, addresses, unresolved};
use super::wire::dns::{Answer, Data, Malformed, Name, Question, Rcode};
use crate::http::Client;
use crate::monitor::site::outcome::{Failure, FailureKind, LocalFault, Outcome, Phases};
use crate::monitor::site::{DnsCheck, RecordKind, Site};
use exchange::{NoAnswer, TransferRequest};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Maximum number of addresses of a server that are tried.
const SERVERS: usize = 4;
/// Maximum number of characters of records in a detail.
const SHOWN: usize = 160;

/// Checks once. The timeout starts now.
pub(super) async fn run(client: &Client, site: &Site, check: &DnsCheck) -> Outcome {
    let deadline = Deadline::new(site.timeout);
    let servers = match &check.server {
        None => system::servers(check.ip),
        Some((host, port)) => {
            let found = addresses(client, host, *port, check.ip, OTHER_FAMILY_WAIT);
            let late = || Err(unresolved(host, deadline));
            deadline.bound(found).await.unwrap_or_else(late)
        }
    };
    let servers = match servers {
        Ok(servers) => servers.into_iter().take(SERVERS).collect::<Vec<_>>(),
        Err(failure) => return Outcome::failed(failure.kind, failure.detail),
    };
    let dns = match check.server {
        Some(_) => deadline.start.elapsed(),
        None => Duration::ZERO,
    };
    let mut outcome = ask(check, &servers, deadline).await;
    if let Some(phases) = &mut outcome.phases {
        phases.dns = dns;
        phases.first_byte = phases.first_byte.saturating_sub(dns);
    }
    outcome
}

/// Queries `servers` in turn until one responds.
pub(super) async fn ask(check: &DnsCheck, servers: &[SocketAddr], deadline: Deadline) -> Outcome {
    let Some(name) = asked_for(check) else {
        let detail = format!("\"{}\" cannot be a name", check.name);
        return Outcome::failed(FailureKind::Internal, detail);
    };
    let question = Question {
        // Must be unpredictable, which fastrand is not: a hash that is keyed with the system's randomness.
        id: RandomState::new().hash_one(deadline.start) as u16,
        name,
        kind: check.kind,
    };
    let mut connect = Duration::ZERO;
    let found = find(check, &question, servers, deadline, &mut connect).await;
    let total = deadline.start.elapsed();
    // The address of a system resolver says nothing about where the site is, and a resolver on this network
    // cannot answer when the uplink is down. So it is not reported as the site's address, and if no
    // resolver answers, that is a fault of name resolution, judged together with the uplink.
    let by_system = check.server.is_none();
    match found {
        Ok(((verdict, detail), server)) => Outcome {
            verdict,
            took: Some(total),
            phases: Some(Phases {
                connect,
                first_byte: total.saturating_sub(connect),
                total,
                ..Phases::default()
            }),
            address: (!by_system).then(|| server.ip()),
            detail,
            warning: None,
        },
        Err((failure, _)) if by_system => Outcome::failed(FailureKind::Dns, failure.detail),
        Err((failure, server)) => Outcome {
            address: Some(server.ip()),
            ..Outcome::failed(failure.kind, failure.detail)
        },
    }
}

/// The verdict, and the records as shown.
type Judged = (Result<(), Failure>, Option<String>);
/// With the server that responded, or that was tried last.
type Found = Result<(Judged, SocketAddr), (Failure, SocketAddr)>;

async fn find(
    check: &DnsCheck,
    question: &Question,
    servers: &[SocketAddr],
    deadline: Deadline,
    connect: &mut Duration,
) -> Found {
    let mut misses = Vec::new();
    for (at, &server) in servers.iter().enumerate() {
        let ask = TransferRequest {
            question,
            server,
            // The remaining time is shared with the servers after this one.
            until: Instant::now()
                + deadline.left() / u32::try_from(servers.len() - at).unwrap_or(1),
            deadline,
        };
        let judged = async {
            let message = ask.answer(connect).await?;
            let answer = question.answer(&message).ok_or(Malformed)?;
            if check.server.is_none() && answer.rcode.refuses() {
                // The next server may have an answer; the C library asks it, too.
                return Err(NoAnswer::Failed(refusal(answer.rcode, server)));
            }
            Ok(judge(check, question, &answer, server)?)
        };
        match judged.await {
            Ok(judged) => return Ok((judged, server)),
            Err(miss) => misses.push((miss, server)),
        }
    }
    Err(missed(misses, deadline))
}

/// The name to query: for the PTR of an address, its reverse name.
fn asked_for(check: &DnsCheck) -> Option<Name> {
    match check.name.parse::<IpAddr>() {
        Ok(address) if check.kind == RecordKind::Ptr => Name::reverse(address),
        _ => Name::parse(&check.name),
    }
}

/// Chooses the cause when no server responded, and the server it is of.
fn missed(mut misses: Vec<(NoAnswer, SocketAddr)>, deadline: Deadline) -> (Failure, SocketAddr) {
    let no_route = |miss: &NoAnswer| matches!(miss, NoAnswer::Failed(f) if matches!(f.kind, FailureKind::NoRoute | FailureKind::Local(LocalFault::Address)));
    if misses.iter().any(|(miss, _)| !no_route(miss)) {
        // Prefer the error of the address family that has a route.
        misses.retain(|(miss, _)| !no_route(miss));
    }
    let server = misses.last().map(|(_, server)| *server);
    let server = server.unwrap_or((Ipv4Addr::LOCALHOST, system::PORT).into());
    let strays = |miss: &NoAnswer| matches!(miss, NoAnswer::Silent { strays: true });
    let fitting = match misses.iter().any(|(miss, _)| strays(miss)) {
        true => "fitting ",
        false => "",
    };
    let silent: Vec<String> = misses
        .iter()
        .filter(|(miss, _)| matches!(miss, NoAnswer::Silent { .. }))
        .map(|(_, server)| server.ip().to_string())
        .collect();
    let mut kind = FailureKind::Timeout;
    let mut causes = Vec::new();
    for (miss, _) in misses {
        if let NoAnswer::Failed(failure) = miss {
            kind = failure.kind;
            if !causes.contains(&failure.detail) {
                causes.push(failure.detail);
            }
        }
    }
    if !silent.is_empty() {
        let what = format!("no {fitting}answer from {}", silent.join(", "));
        causes.push(deadline.missed(&what).detail);
    }
    (Failure::new(kind, causes.join("; ")), server)
}

/// A response other than the expected one is like an unexpected HTTP status, not like a host that does
/// not resolve: the site is this name at this server, which did respond. So the site is at fault, even
/// while name resolution fails on this machine.
fn refusal(rcode: Rcode, server: SocketAddr) -> Failure {
    Failure::new(FailureKind::Status, format!("{rcode} from {}", server.ip()))
}

fn judge(
    check: &DnsCheck,
    question: &Question,
    answer: &Answer,
    server: SocketAddr,
) -> Result<Judged, Malformed> {
    let (asked, kind) = (&check.name, check.kind.word());
    let status = |detail: String| Ok((Err(Failure::new(FailureKind::Status, detail)), None));
    if answer.rcode.refuses() {
        return Ok((Err(refusal(answer.rcode, server)), None));
    }
    let name = match check.kind {
        RecordKind::Cname => question.name.clone(),
        _ => answer.canonical(&question.name)?,
    };
    let alias = name != question.name;
    if answer.rcode == Rcode::NO_SUCH_NAME {
        return status(match alias {
            true => format!("NXDOMAIN: no such name as {name}, which {asked} is an alias of"),
            false => format!("NXDOMAIN: no such name as {asked}"),
        });
    }
    let mut list = List::default();
    let mut expected = false;
    for data in answer.records(&name, check.kind) {
        let data = data?;
        list.push(&data);
        expected |= check.expect.as_ref().is_none_or(|wanted| data.is(wanted));
    }
    if list.records == 0 {
        return status(match alias {
            true => format!("no {kind} record for {asked}, an alias of {name}"),
            false => format!("no {kind} record for {asked}"),
        });
    }
    let detail = Some(format!("{kind} {list}"));
    let verdict = match &check.expect {
        Some(wanted) if !expected => Err(unexpected(check.kind, wanted, &list)),
        _ => Ok(()),
    };
    Ok((verdict, detail))
}

fn unexpected(kind: RecordKind, wanted: &str, got: &List) -> Failure {
    let word = kind.word();
    // The expected text may be quoted in the configuration.
    let quote = match kind {
        RecordKind::Txt if !wanted.starts_with('"') => "\"",
        _ => "",
    };
    let detail = format!("expected {word} {quote}{wanted}{quote} but got {got}");
    let kind = match kind {
        // A captive portal answers every query with its own address.
        RecordKind::A | RecordKind::Aaaa => FailureKind::Redirected,
        _ => FailureKind::Body,
    };
    Failure::new(kind, detail)
}

/// The records to show, up to a limit.
#[derive(Default)]
struct List {
    records: usize,
    shown: usize,
    text: String,
}

impl List {
    fn push(&mut self, data: &Data) {
        self.records += 1;
        if self.shown + 1 < self.records {
            // A record before this one did not fit.
            return;
        }
        let text = data.to_string();
        if self.shown > 0 {
            if self.text.len() + text.len() > SHOWN {
                return;
            }
            self.text.push_str(", ");
        }
        self.text.extend(text.chars().take(SHOWN));
        if text.len() > SHOWN {
            self.text.push('…');
        }
        self.shown += 1;
    }
}

impl std::fmt::Display for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)?;
        match self.records - self.shown {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::wire::dns::Part;

    #[test]
    fn as_many_records_are_shown_as_fit() {
        let mut list = List::default();
        for at in 0..=255 {
            list.push(&Data(vec![Part::Address([192, 0, 2, at].into())]));
        }
        let text = list.to_string();
        assert!(text.starts_with("192.0.2.0, 192.0.2.1, "), "{text}");
        assert!(text.ends_with(", 192.0.2.13 and 242 more"), "{text}");
        let mut long = List::default();
        long.push(&Data(vec![Part::Text(vec![b'x'; 5000])]));
        long.push(&Data(vec![Part::Text(b"short".to_vec())]));
        let text = long.to_string();
        assert!(
            text.starts_with("\"xxx") && text.ends_with("x… and 1 more"),
            "{text}"
        );
        assert!(text.chars().count() < 200);
    }
}
