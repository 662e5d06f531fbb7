//! What came of one check.

use crate::monitor::site::printable::{self, CAUSE};
use crate::monitor::time::text::too_slow;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// The result of one check, whatever happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// `Ok` when every condition held.
    pub verdict: Result<(), Failure>,
    /// Whole check, from connect to last byte; `None` when there was no answer.
    pub took: Option<Duration>,
    /// Where the time went, when the library could tell.
    pub phases: Option<Phases>,
    /// The address that answered; of a failure the one that was tried, as far as the name resolved.
    pub address: Option<IpAddr>,
    /// What else is worth showing, e.g. `A 192.0.2.1` or `3 of 3 answered`.
    pub detail: Option<String>,
    /// Why the site is degraded, though no condition failed.
    pub warning: Option<String>,
}

/// When a certificate chain or a domain's registration ends, as an inspection found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// When the first of them ends, in Unix seconds.
    pub ends: i64,
    /// What it is that ends: the name of a certificate, or the domain.
    pub subject: String,
    /// Who issued the certificate, or the registrar.
    pub issuer: String,
    /// The kind of key, e.g. `ECDSA P-256`; empty for a domain.
    pub key: String,
}

/// What an inspection of something that runs out found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// What ends first.
    pub first: Expiry,
    /// The root certificate of this machine's bundle that the site's chain leads to, whenever it
    /// ends.
    pub root: Option<Expiry>,
}

impl From<Expiry> for Inspection {
    /// Without a root.
    fn from(first: Expiry) -> Inspection {
        Inspection { first, root: None }
    }
}

impl Expiry {
    /// `subject`, `issuer` and `key` may be a server's own words: each becomes one
    /// [`printable::line`] of at most [`CAUSE`] characters.
    pub fn new(ends: i64, subject: &str, issuer: &str, key: &str) -> Expiry {
        let line = |text| printable::line(text, CAUSE);
        Expiry {
            ends,
            subject: line(subject),
            issuer: line(issuer),
            key: line(key),
        }
    }
}

impl Outcome {
    /// Of which no more is known. `took`: until the answer; none: there was no answer.
    pub fn new(verdict: Result<(), Failure>, took: Option<Duration>) -> Outcome {
        Outcome {
            verdict,
            took,
            phases: None,
            address: None,
            detail: None,
            warning: None,
        }
    }

    /// A check that got no answer.
    pub fn failed(kind: FailureKind, detail: impl Into<String>) -> Outcome {
        Outcome::new(Err(Failure::new(kind, detail)), None)
    }

    /// Why an answer counts as degraded; `slow`: it may take so long.
    pub fn degraded_by(&self, slow: Option<Duration>) -> Option<String> {
        self.verdict.as_ref().ok()?;
        let late = slow.zip(self.took).filter(|(limit, took)| took > limit);
        late.map(|(limit, took)| too_slow(took, limit))
            .or_else(|| self.warning.clone())
    }

    /// How it failed; `None`: every condition held.
    pub fn failure_kind(&self) -> Option<FailureKind> {
        self.verdict.as_ref().err().map(|failure| failure.kind)
    }
}

/// What a check counts as, for the statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckResult {
    Success,
    Failure,
    /// It failed and was not judged: by a fault of ours, or behind a site that is down.
    Excused,
}

impl CheckResult {
    pub const ALL: [CheckResult; 3] = [
        CheckResult::Success,
        CheckResult::Failure,
        CheckResult::Excused,
    ];

    /// The word of the metrics.
    pub fn word(self) -> &'static str {
        match self {
            CheckResult::Success => "success",
            CheckResult::Failure => "failure",
            CheckResult::Excused => "excused",
        }
    }
}

/// Phases of the last request of a check. Each is a duration of its own, not a running total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    pub dns: Duration,
    pub connect: Duration,
    /// Zero for plain HTTP.
    pub tls: Duration,
    /// From the request being ready to be sent to the first byte of the answer.
    pub first_byte: Duration,
    /// The whole request.
    pub total: Duration,
    /// The check rode on a connection that was open already.
    pub reused: bool,
}

/// Why a check failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    /// One line that a user understands, e.g. `HTTP 503, wanted 200-299`.
    pub detail: String,
    /// `detail` without what is another one for every site, the server's address; `None` when
    /// `detail` has nothing of the kind.
    pub common: Option<String>,
}

impl Failure {
    /// `detail` may hold what a server said: it becomes one [`printable::line`] of at most [`CAUSE`]
    /// characters.
    pub fn new(kind: FailureKind, detail: impl Into<String>) -> Failure {
        Failure {
            kind,
            detail: printable::line(&detail.into(), CAUSE),
            common: None,
        }
    }

    /// `common`, a text of our own, and which server it is about, e.g. `by 192.0.2.1:80`.
    pub fn of_server(kind: FailureKind, common: &str, server: impl fmt::Display) -> Failure {
        Failure {
            common: Some(common.to_owned()),
            ..Failure::new(kind, format!("{common} {server}"))
        }
    }

    /// The same in other words.
    pub fn reworded(self, words: impl Fn(&str) -> String) -> Failure {
        Failure {
            common: self.common.map(|common| words(&common)),
            ..Failure::new(self.kind, words(&self.detail))
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// The few kinds of failure; the detail is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The name did not resolve: no resolver answered, or it could not tell.
    Dns,
    /// A resolver answered that there is no such name, or no address of the wanted family.
    NoName,
    /// No connection.
    Connect,
    /// This machine has no route to an address of that family.
    NoRoute,
    /// The proxy by which the site is asked cannot be reached.
    Proxy,
    /// Handshake or certificate.
    Tls,
    /// A certificate of another server: an unknown issuer, or made for another name. What a captive
    /// portal shows.
    Untrusted,
    Timeout,
    /// An unwanted HTTP status.
    Status,
    /// A redirect that was not wanted. What a captive portal shows.
    Redirected,
    /// The body lacks or has a text.
    Body,
    /// Not HTTP, or broken off.
    Protocol,
    /// Headers over the library's bound.
    TooLarge,
    /// A figure of this machine is beyond its limit, or what is to be there is not.
    Limit,
    /// A job has failed, ran for too long or did not report.
    Job,
    /// This machine lacked what the check needs: it says nothing of the site.
    Local(LocalFault),
    /// A panic in our own code, or a request that could not be made.
    Internal,
}

/// What a machine may lack for a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LocalFault {
    /// File descriptors: of the process, or of the whole system.
    Descriptors,
    /// Memory, buffers of the kernel, or room for one more thread.
    Memory,
    /// A local port to connect from.
    Ports,
    /// An address of its own: no interface is up, or none has one yet.
    Address,
    /// What a `host:` site is to look at: why not, as a sentence without a full stop.
    Figure(&'static str),
}

impl LocalFault {
    /// Why a check came to nothing.
    pub fn reason(self) -> &'static str {
        match self {
            LocalFault::Descriptors => "this machine has no file descriptors left",
            LocalFault::Memory => "this machine has no memory left",
            LocalFault::Ports => "this machine has no free port left",
            LocalFault::Address => "this machine has no network address",
            LocalFault::Figure(why) => why,
        }
    }

    /// What can be done about it; a sentence.
    pub fn remedy(self) -> &'static str {
        match self {
            LocalFault::Descriptors => {
                "Raise the limit (ulimit -n, LimitNOFILE=) or lower `max_connections`."
            }
            LocalFault::Memory => "What else runs on it?",
            LocalFault::Ports => "What else holds so many connections?",
            LocalFault::Address => "Is its network up?",
            LocalFault::Figure(_) => "`sitemon config` says which.",
        }
    }
}

impl Failure {
    pub fn local(local_fault: LocalFault) -> Failure {
        Failure::new(FailureKind::Local(local_fault), local_fault.reason())
    }
}

impl FailureKind {
    /// There was an answer, if a wrong one: the way there works.
    pub fn spoke(self) -> bool {
        use FailureKind::{Body, Redirected, Status, TooLarge, Untrusted};
        matches!(self, Body | Redirected | Status | TooLarge | Untrusted)
    }

    /// Another server answered, or a redirect led elsewhere.
    pub fn foreign(self) -> bool {
        matches!(self, FailureKind::Untrusted | FailureKind::Redirected)
    }
}
