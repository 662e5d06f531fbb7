//! Outcome of one check.

use crate::monitor::site::printable::{self, CAUSE};
use crate::monitor::time::text::too_slow;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// The outcome of one check, whether it succeeded or failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// `Ok` when all conditions are met.
    pub verdict: Result<(), Failure>,
    /// Duration of the whole check, from connect to last byte; `None` without an answer.
    pub took: Option<Duration>,
    /// Duration of the phases, if the protocol provides them.
    pub phases: Option<Phases>,
    /// The address that answered; for a failure the one that was tried, if the name was resolved.
    pub address: Option<IpAddr>,
    /// Details of a result, e.g. `A 192.0.2.1` or `3 of 3 answered`.
    pub detail: Option<String>,
    /// Why the site is degraded, though all conditions are met.
    pub warning: Option<String>,
}

/// The end of a certificate's validity or of a domain's registration, as an inspection found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// When it ends, in Unix seconds.
    pub ends: i64,
    /// Name of the certificate, or the domain.
    pub subject: String,
    /// Issuer of the certificate, or the registrar.
    pub issuer: String,
    /// Type of key, e.g. `ECDSA P-256`; empty for a domain.
    pub key: String,
}

/// Result of the inspection of a certificate chain or a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The part that expires first.
    pub first: Expiry,
    /// The root certificate in the bundle of this machine that the chain of the site leads to,
    /// whenever it expires.
    pub root: Option<Expiry>,
}

impl From<Expiry> for Inspection {
    fn from(first: Expiry) -> Inspection {
        Inspection { first, root: None }
    }
}

impl Expiry {
    /// `subject`, `issuer` and `key` may come from a server: each becomes one [`printable::line`]
    /// of at most [`CAUSE`] characters.
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
    /// Returns an outcome without details. `took`: time until the answer; `None` without one.
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

    /// Returns the outcome of a check that got no answer.
    pub fn failed(kind: FailureKind, detail: impl Into<String>) -> Outcome {
        Outcome::new(Err(Failure::new(kind, detail)), None)
    }

    /// Returns why a success counts as degraded; `slow`: the maximum response time.
    pub fn degraded_by(&self, slow: Option<Duration>) -> Option<String> {
        self.verdict.as_ref().ok()?;
        let late = slow.zip(self.took).filter(|(limit, took)| took > limit);
        late.map(|(limit, took)| too_slow(took, limit))
            .or_else(|| self.warning.clone())
    }

    /// Returns the kind of failure; `None` if all conditions were met.
    pub fn failure_kind(&self) -> Option<FailureKind> {
        self.verdict.as_ref().err().map(|failure| failure.kind)
    }
}

/// Result of a check in the statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckResult {
    Success,
    Failure,
    /// Failed but not judged: our own connection had a fault, or the site is behind one that is
    /// down.
    Excused,
}

impl CheckResult {
    pub const ALL: [CheckResult; 3] = [
        CheckResult::Success,
        CheckResult::Failure,
        CheckResult::Excused,
    ];

    /// Returns the word for the metrics.
    pub fn word(self) -> &'static str {
        match self {
            CheckResult::Success => "success",
            CheckResult::Failure => "failure",
            CheckResult::Excused => "excused",
        }
    }
}

/// Phases of the last request of a check. Each is a duration by itself, not a running total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    pub dns: Duration,
    pub connect: Duration,
    /// Zero for plain HTTP.
    pub tls: Duration,
    /// From when the request is ready to be sent to the first byte of the answer.
    pub first_byte: Duration,
    /// The whole request.
    pub total: Duration,
    /// Whether the request reused an open connection.
    pub reused: bool,
}

/// Why a check failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    /// One line that a user understands, e.g. `HTTP 503, wanted 200-299`.
    pub detail: String,
    /// `detail` without the server's address, which differs between sites; `None` when `detail`
    /// holds no address.
    pub common: Option<String>,
}

impl Failure {
    /// `detail` may hold text from a server: it becomes one [`printable::line`] of at most
    /// [`CAUSE`] characters.
    pub fn new(kind: FailureKind, detail: impl Into<String>) -> Failure {
        Failure {
            kind,
            detail: printable::line(&detail.into(), CAUSE),
            common: None,
        }
    }

    /// Returns a failure with a text of our own, `common`, and its server, e.g. `by 192.0.2.1:80`.
    pub fn of_server(kind: FailureKind, common: &str, server: impl fmt::Display) -> Failure {
        Failure {
            common: Some(common.to_owned()),
            ..Failure::new(kind, format!("{common} {server}"))
        }
    }

    /// Returns the failure with both texts changed by `words`.
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

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The name did not resolve: no resolver answered, or the resolver failed.
    Dns,
    /// A resolver answered that the name, or an address of the wanted family, does not exist.
    NoName,
    /// No connection.
    Connect,
    /// This machine has no route to an address of that family.
    NoRoute,
    /// The proxy of the site cannot be reached.
    Proxy,
    /// Handshake or certificate failed.
    Tls,
    /// The certificate has an unknown issuer or is for another name, as with a captive portal.
    Untrusted,
    Timeout,
    /// The HTTP status is not accepted.
    Status,
    /// A redirect that is not allowed, as from a captive portal.
    Redirected,
    /// The body lacks a required text, or holds a forbidden one.
    Body,
    /// The answer is not HTTP, or incomplete.
    Protocol,
    /// Headers longer than the library's limit.
    TooLarge,
    /// A figure of this machine is beyond its limit, or a file or process does not exist.
    Limit,
    /// A job failed, ran for too long or did not report.
    Job,
    /// This machine lacked a resource for the check, which says nothing about the site.
    Local(LocalFault),
    /// A panic in our own code, or a request that could not be built.
    Internal,
}

/// A resource that this machine lacked for a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LocalFault {
    /// File descriptors, of the process or of the whole system.
    Descriptors,
    /// Memory, kernel buffers, or another thread.
    Memory,
    /// A local port for the connection.
    Ports,
    /// An address of its own: no interface is up, or none has an address yet.
    Address,
    /// The figure of a `host:` site: why it cannot be read, as a sentence without a full stop.
    Figure(&'static str),
}

impl LocalFault {
    /// Returns why the check failed.
    pub fn reason(self) -> &'static str {
        match self {
            LocalFault::Descriptors => "this machine has no file descriptors left",
            LocalFault::Memory => "this machine has no memory left",
            LocalFault::Ports => "this machine has no free port left",
            LocalFault::Address => "this machine has no network address",
            LocalFault::Figure(why) => why,
        }
    }

    /// Returns what the user can do about it, as a sentence.
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
    /// Returns whether there was an answer, if a wrong one: the connection works.
    pub fn spoke(self) -> bool {
        use FailureKind::{Body, Redirected, Status, TooLarge, Untrusted};
        matches!(self, Body | Redirected | Status | TooLarge | Untrusted)
    }

    /// Returns whether another server answered, or a redirect led to one.
    pub fn foreign(self) -> bool {
        matches!(self, FailureKind::Untrusted | FailureKind::Redirected)
    }
}
