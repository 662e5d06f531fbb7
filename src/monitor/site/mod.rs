//! What is watched and how it is to be judged: plain data made by the configuration.

pub mod access;
mod dependencies;
pub(crate) mod flapping;
pub mod job;
pub mod network;
pub mod outcome;
pub mod printable;
pub mod report;
pub mod secret_url;
pub(crate) mod state;
pub(crate) mod streak;
pub(crate) mod suppression;
pub(crate) mod table;

use crate::monitor::site::secret_url::SecretUrl;
use crate::monitor::time::hours::{self, Window};
use crate::monitor::time::text::lasting;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

/// One site of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// Unique, 1 to 64 characters.
    pub name: String,
    /// The address as the file has it: `$NAME` not filled in, a password in it masked. Safe to show.
    pub url: String,
    /// Time between checks, at least 1 s.
    pub interval: Duration,
    /// For the whole check, connect to last byte; waiting for a permit is not counted.
    pub timeout: Duration,
    /// Failures in a row that make it down, 1 to 100.
    pub tries: u32,
    /// Time between tries after a first failure.
    pub retry: Duration,
    /// Successes in a row that make it up again, 1 to 100.
    pub recover: u32,
    /// Time between repeats of a down alert that no user acknowledged; `None` = never.
    pub remind: Option<Duration>,
    /// Slower than this is degraded.
    pub slow: Option<Duration>,
    /// Name of the site this one depends on: while that one is down, this one is unreachable.
    pub after: Option<String>,
    /// Label for `/status` and `/check`.
    pub group: Option<String>,
    /// A line under its down alert and in `/site`.
    pub note: Option<String>,
    /// Configured but not checked.
    pub paused: bool,
    /// These chats alone get its alerts; `None` = all.
    pub chats: Option<Vec<i64>>,
    /// The topic of a forum group that its alerts go to, from 1 = General; `None` = the chat's.
    pub topic: Option<i64>,
    /// Windows of local time in which it is checked, but no alert is made.
    pub maintenance: Vec<Window>,
    /// Warn when a certificate of the chain ends within this (https and tls); `None` = it is never inspected.
    pub cert: Option<Duration>,
    /// Warn when the registration of the domain ends within this; `None` = never ask.
    pub domain: Option<Duration>,
    /// What no cause may show, whatever the server says.
    pub secrets: Secrets,
    /// What is asked of it.
    pub check: Check,
}

/// Secrets of one site, longer ones first.
#[derive(Clone, Default, PartialEq)]
pub struct Secrets(Vec<String>);

impl Secrets {
    pub fn new(secrets: Vec<String>) -> Secrets {
        Secrets(secrets)
    }

    /// The secrets themselves, to be looked for.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// Only what is safe to show.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Site {
    /// It needs a certificate, and so a clock that is set.
    pub fn uses_tls(&self) -> bool {
        match &self.check {
            Check::Http(check) => check.url.starts_with("https:"),
            Check::Tls(_) => true,
            Check::Tcp(_)
            | Check::Dns(_)
            | Check::Icmp(_)
            | Check::Host(_)
            | Check::Exec(_)
            | Check::Push(_) => false,
        }
    }

    /// What its check finds is true only as long as the wall clock is.
    pub fn needs_clock(&self) -> bool {
        self.uses_tls() || matches!(&self.check, Check::Host(check) if check.needs_clock())
    }

    /// It is this machine itself, or what a program looks at near it.
    pub fn is_this_machine(&self) -> bool {
        match &self.check {
            Check::Host(_) | Check::Push(_) => true,
            Check::Exec(check) => check.local,
            _ => false,
        }
    }

    /// Its check makes connections.
    pub fn needs_connection(&self) -> bool {
        !matches!(self.check, Check::Host(_) | Check::Exec(_) | Check::Push(_))
    }

    /// The host that is spoken to, without brackets; empty for the system's resolvers, for this
    /// machine and for programs.
    pub fn host(&self) -> &str {
        match &self.check {
            Check::Http(check) => host_of(&check.url),
            Check::Tcp(check) => &check.host,
            Check::Tls(check) => &check.host,
            Check::Dns(check) => check.server.as_ref().map_or("", |(host, _)| host),
            Check::Icmp(check) => &check.host,
            Check::Host(_) | Check::Exec(_) | Check::Push(_) => "",
        }
    }

    /// The address, when the host is one and not a name; that of this machine is loopback's.
    pub fn literal(&self) -> Option<IpAddr> {
        if self.is_this_machine() {
            return Some(Ipv4Addr::LOCALHOST.into());
        }
        // An address of a link may have its interface behind it.
        self.host().split('%').next()?.parse().ok()
    }
}

fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, h)| h);
    match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// What a check does; one variant a protocol.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // nearly every site is an HTTP one
pub enum Check {
    Http(HttpCheck),
    Tcp(TcpCheck),
    Tls(TlsCheck),
    Dns(DnsCheck),
    Icmp(IcmpCheck),
    Host(HostCheck),
    Exec(ExecCheck),
    Push(PushCheck),
}

/// `tcp://host:port`: a connection, and what is said over it.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpCheck {
    /// A name, or an address without brackets.
    pub host: String,
    pub port: u16,
    pub ip: IpVersion,
    pub send_expect: SendExpect,
}

/// `tls://host:port`: the same under TLS.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsCheck {
    /// A name, or an address without brackets.
    pub host: String,
    pub port: u16,
    pub ip: IpVersion,
    /// TLS begins only after a word of this protocol (`?starttls=smtp`).
    pub starttls: Option<StartTls>,
    pub send_expect: SendExpect,
    /// Check trust and host name.
    pub verify: bool,
    /// PEM file of a private CA for this site.
    pub ca_file: Option<PathBuf>,
}

/// The proxy that a request goes by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Proxy {
    /// What the environment names, if anything.
    #[default]
    Environment,
    /// None at all.
    None,
    /// `http://`, `socks5://` or `socks5h://`, always with a port.
    Server(SecretUrl),
}

/// What is sent, and what must come.
#[derive(Clone, Default, PartialEq)]
pub struct SendExpect {
    /// Filled in. May hold secrets: never show it.
    pub send: Option<String>,
    /// Text that must occur in the first 4 KiB.
    pub expect: Option<String>,
}

/// Only what is safe to show.
impl fmt::Debug for SendExpect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Talk")
            .field("expect", &self.expect)
            .finish_non_exhaustive()
    }
}

/// Protocols that begin in the clear (RFC 3207, RFC 9051 section 6.2.1, RFC 2595 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartTls {
    Smtp,
    Imap,
    Pop3,
}

/// `dns://[server[:port]]/name?type=A` (RFC 4501).
#[derive(Clone, Debug, PartialEq)]
pub struct DnsCheck {
    /// The server to ask; `None` = the system's resolvers (`/etc/resolv.conf`).
    pub server: Option<(String, u16)>,
    /// What is asked for, without the dot at the end.
    pub name: String,
    pub kind: RecordKind,
    /// A value that one of the records must have.
    pub expect: Option<String>,
    /// The family in which the server is spoken to.
    pub ip: IpVersion,
}

/// Kinds of DNS records that can be asked for (RFC 1035 section 3.2.2, RFC 3596, RFC 2782, RFC 8659).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    A,
    Aaaa,
    Cname,
    Mx,
    Ns,
    Txt,
    Soa,
    Caa,
    Ptr,
    Srv,
}

impl RecordKind {
    pub const ALL: [RecordKind; 10] = [
        RecordKind::A,
        RecordKind::Aaaa,
        RecordKind::Cname,
        RecordKind::Mx,
        RecordKind::Ns,
        RecordKind::Txt,
        RecordKind::Soa,
        RecordKind::Caa,
        RecordKind::Ptr,
        RecordKind::Srv,
    ];

    /// As it is written in a URL: `A`, `AAAA`, …
    pub fn word(self) -> &'static str {
        match self {
            RecordKind::A => "A",
            RecordKind::Aaaa => "AAAA",
            RecordKind::Cname => "CNAME",
            RecordKind::Mx => "MX",
            RecordKind::Ns => "NS",
            RecordKind::Txt => "TXT",
            RecordKind::Soa => "SOA",
            RecordKind::Caa => "CAA",
            RecordKind::Ptr => "PTR",
            RecordKind::Srv => "SRV",
        }
    }
}

/// `icmp://host`.
#[derive(Clone, Debug, PartialEq)]
pub struct IcmpCheck {
    /// A name, or an address without brackets.
    pub host: String,
    pub ip: IpVersion,
    /// More lost requests than this make it degraded, in percent, below 100.
    pub loss: Option<u32>,
}

/// `host:KIND`: a figure of this machine, and how far it may go. Beyond that the site is down; beyond
/// `warn`, which comes before, it is degraded.
#[derive(Clone, Debug, PartialEq)]
pub enum HostCheck {
    /// `host:disk/PATH`: the file system at an absolute path; at least one of `free` and `inodes`.
    Disk {
        path: PathBuf,
        free: Option<Amount>,
        /// Only with `free`.
        warn: Option<Amount>,
        inodes: Option<Amount>,
    },
    /// `host:memory`: what programs can still have without swapping (`MemAvailable`).
    Memory {
        available: Amount,
        warn: Option<Amount>,
    },
    /// `host:load`: the load average of 5 minutes.
    Load { max: f64, warn: Option<f64> },
    /// `host:temperature`: of the hottest thermal zone, in whole degrees Celsius.
    Temperature { max: i32, warn: Option<i32> },
    /// `host:file/PATH`: a file at an absolute path, at most so old and at least so large.
    File {
        path: PathBuf,
        age: Option<Duration>,
        /// In bytes.
        size: Option<u64>,
    },
    /// `host:process/NAME`: a process of this name.
    Process { name: String },
}

impl HostCheck {
    /// The age of a file is a difference of wall clock times.
    fn needs_clock(&self) -> bool {
        matches!(self, HostCheck::File { age: Some(_), .. })
    }
}

/// `push:`: a job that reports by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct PushCheck {
    pub due: Due,
    /// A report may be so late.
    pub grace: Duration,
    /// A job that was started must end within this.
    pub longest: Option<Duration>,
    /// What a report by HTTP must come with.
    pub token: Option<Token>,
}

/// When reports are due.
#[derive(Clone, Debug, PartialEq)]
pub enum Due {
    /// So long after the last one.
    Every(Duration),
    /// Within these minutes of local time.
    At(Vec<Window>),
}

/// `every 1 d`, `at Mon-Fri 03:00`.
impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Due::Every(every) => write!(f, "every {}", lasting(*every)),
            Due::At(times) => write!(f, "at {}", hours::beginnings(times)),
        }
    }
}

/// A secret by which another machine is known.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    pub fn new(token: String) -> Token {
        Token(token)
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Only what is safe to show.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// `exec:`: a program by the interface of Nagios' plugins.
#[derive(Clone, PartialEq)]
pub struct ExecCheck {
    /// The absolute path of the program, and its arguments. Safe to show.
    pub command: Vec<String>,
    /// Filled in. May hold secrets: never show it.
    pub env: Vec<(String, String)>,
    /// What it looks at is on this machine or its network.
    pub local: bool,
}

/// Only what is safe to show.
impl std::fmt::Debug for ExecCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecCheck")
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}

/// How much there must be at least.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// Of all there is, above 0 and at most 100.
    Percent(f64),
    /// Of bytes, or of inodes.
    Count(u64),
}

/// A condition on a JSON body, e.g. `queue.# < 100`.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonCondition {
    /// As the user wrote it.
    pub text: String,
    /// GJSON's: `a.b`, `a.0`, `a.#` (length).
    pub path: String,
    pub op: JsonOp,
    /// What it is compared with; `Null` for [`JsonOp::Exists`].
    pub value: JsonValue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonOp {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
    /// A text within a text, or an element of an array.
    Contains,
    Exists,
}

/// A JSON literal, or a bare word, which is a string.
#[derive(Clone, Debug, PartialEq)]
pub enum JsonValue {
    Null,
    Bool(bool),
    /// As the user wrote it (RFC 8259, section 6): no f64 holds every integer.
    Number(String),
    Text(String),
}

/// Log in first, then check with the cookies of that.
#[derive(Clone, PartialEq)]
pub struct Login {
    /// Where the form is sent, filled in. May hold secrets.
    pub url: String,
    /// The page with the form: its hidden fields are sent along.
    pub page: Option<String>,
    /// Fields, filled in. Hold secrets: never show them.
    pub form: Vec<(String, String)>,
    pub expect: Option<LoginExpect>,
}

/// How a login is known to have worked; without it any answer of 200-399 will do.
#[derive(Clone, Debug, PartialEq)]
pub enum LoginExpect {
    Status(StatusSet),
    /// Text in the answer to the form.
    Text(String),
}

/// Only what is safe to show.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// An HTTP request and the conditions on its answer.
#[derive(Clone, PartialEq)]
pub struct HttpCheck {
    /// Absolute `http:` or `https:` URL with everything filled in. May hold secrets: never show it.
    pub url: String,
    /// The proxy that the requests go by.
    pub proxy: Proxy,
    /// Name or number of the interface behind which link-local addresses of this check are: no URL
    /// of the standard holds it.
    pub zone: Option<String>,
    pub method: String,
    /// Extra request headers, filled in. May hold secrets.
    pub headers: Vec<(String, String)>,
    /// Request body, filled in. May hold secrets.
    pub send: Option<String>,
    pub auth: Option<Auth>,
    /// Wanted status codes.
    pub status: StatusSet,
    /// Text that must occur in the first 1 MiB of the body.
    pub body: Option<String>,
    /// Text that must not occur in the first 1 MiB of the body.
    pub body_not: Option<String>,
    /// Conditions on the body, which must then be JSON.
    pub json: Vec<JsonCondition>,
    /// Boxed, as few sites have one.
    pub login: Option<Box<Login>>,
    /// Redirects followed at most; 0 = none, the redirect itself is judged.
    pub redirects: u32,
    /// A public server may redirect to addresses that aren't public.
    pub private_redirects: bool,
    pub version: HttpVersion,
    pub ip: IpVersion,
    /// Check trust and host name of a TLS server.
    pub verify: bool,
    /// PEM file of a private CA for this site.
    pub ca_file: Option<PathBuf>,
}

/// Only what is safe to show: everything else may hold secrets.
impl fmt::Debug for HttpCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCheck")
            .field("method", &self.method)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Credentials sent with the first request and to the same origin after a redirect.
#[derive(Clone, PartialEq)]
pub enum Auth {
    Basic { user: String, password: String },
    Bearer(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    Any,
    Http11,
    Http2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    Any,
    V4,
    V6,
}

/// A set of status codes as the user wrote it, e.g. `200-299,401`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusSet {
    /// Inclusive ranges within 100..=999.
    pub ranges: Vec<(u16, u16)>,
}

impl StatusSet {
    pub fn contains(&self, code: u16) -> bool {
        self.ranges
            .iter()
            .any(|&(from, to)| from <= code && code <= to)
    }
}

impl fmt::Display for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (from, to)) in self.ranges.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            if from == to {
                write!(f, "{from}")?;
            } else {
                write!(f, "{from}-{to}")?;
            }
        }
        Ok(())
    }
}
