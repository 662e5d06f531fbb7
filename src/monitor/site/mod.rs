//! Configuration of a site: plain data, built by the configuration parser.

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
use url::Url;

/// One site of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// Unique, 1 to 64 characters.
    pub name: String,
    /// The URL as the configuration has it: `$NAME` unexpanded, a password masked. Safe to show.
    pub url: String,
    /// Time between checks, at least 1 s.
    pub interval: Duration,
    /// Limit for the whole check, from connect to last byte. Waiting for a permit is not counted.
    pub timeout: Duration,
    /// Failures in a row before the site is down, 1 to 100.
    pub tries: u32,
    /// Time between tries after a failure.
    pub retry: Duration,
    /// Successes in a row before the site is up again, 1 to 100.
    pub recover: u32,
    /// Time between repeats of a down alert that no user acknowledged; `None` = never.
    pub remind: Option<Duration>,
    /// Response time above which the site is degraded.
    pub slow: Option<Duration>,
    /// Name of the site that this one depends on: while that site is down, this one is unreachable.
    pub after: Option<String>,
    /// Label for `/status` and `/check`.
    pub group: Option<String>,
    /// Text shown below its down alert and in `/site`.
    pub note: Option<String>,
    /// Whether the site is configured but not checked.
    pub paused: bool,
    /// The only chats that get its alerts; `None` = all.
    pub chats: Option<Vec<i64>>,
    /// Topic of a forum group for its alerts, from 1 = General; `None` = the chat's.
    pub topic: Option<i64>,
    /// Windows of local time in which the site is checked but no alert is sent.
    pub maintenance: Vec<Window>,
    /// Warn when a certificate of the chain expires within this time (https and tls); `None` =
    /// never inspect it.
    pub cert: Option<Duration>,
    /// Warn when the registration of the domain expires within this time; `None` = never query it.
    pub domain: Option<Duration>,
    /// Texts that are masked in every cause.
    pub secrets: Secrets,
    /// What is checked, and how.
    pub check: Check,
}

/// Secrets of one site, longest first.
#[derive(Clone, Default, PartialEq)]
pub struct Secrets(Vec<String>);

impl Secrets {
    pub fn new(secrets: Vec<String>) -> Secrets {
        Secrets(secrets)
    }

    /// Iterates over the secrets in clear text, for masking.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// Shows no secret.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Site {
    /// Returns whether the check verifies certificates, for which the clock must be set.
    pub fn uses_tls(&self) -> bool {
        match &self.check {
            Check::Http(check) => check.url.scheme() == "https",
            Check::Tls(_) => true,
            Check::Tcp(_)
            | Check::Dns(_)
            | Check::Icmp(_)
            | Check::Host(_)
            | Check::Exec(_)
            | Check::Push(_) => false,
        }
    }

    /// Returns whether the result of the check is valid only if the wall clock is set.
    pub fn needs_clock(&self) -> bool {
        self.uses_tls() || matches!(&self.check, Check::Host(check) if check.needs_clock())
    }

    /// Returns whether the check observes this machine, or (`exec:`) something on it or on its
    /// network.
    pub fn is_this_machine(&self) -> bool {
        match &self.check {
            Check::Host(_) | Check::Push(_) => true,
            Check::Exec(check) => check.local,
            _ => false,
        }
    }

    /// Returns whether the check opens network connections.
    pub fn needs_connection(&self) -> bool {
        !matches!(self.check, Check::Host(_) | Check::Exec(_) | Check::Push(_))
    }

    /// Returns the host to connect to, without brackets; empty for the system's resolvers, this
    /// machine and programs.
    pub fn host(&self) -> &str {
        match &self.check {
            Check::Http(check) => host_of(check.url.as_str()),
            Check::Tcp(check) => &check.host,
            Check::Tls(check) => &check.host,
            Check::Dns(check) => check.server.as_ref().map_or("", |(host, _)| host),
            Check::Icmp(check) => &check.host,
            Check::Host(_) | Check::Exec(_) | Check::Push(_) => "",
        }
    }

    /// Returns the host if it is an IP address; loopback for this machine.
    pub fn literal(&self) -> Option<IpAddr> {
        if self.is_this_machine() {
            return Some(Ipv4Addr::LOCALHOST.into());
        }
        // A link-local address may carry a zone (`fe80::1%eth0`).
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

/// What a check does: one variant per protocol.
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

/// `tcp://host:port`: connects, then optionally sends and expects text.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpCheck {
    /// A name, or an address without brackets.
    pub host: String,
    pub port: u16,
    pub ip: IpVersion,
    pub send_expect: SendExpect,
}

/// `tls://host:port`: the same over TLS.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsCheck {
    /// A name, or an address without brackets.
    pub host: String,
    pub port: u16,
    pub ip: IpVersion,
    /// Protocol whose STARTTLS command precedes the handshake (`?starttls=smtp`).
    pub starttls: Option<StartTls>,
    pub send_expect: SendExpect,
    /// Whether to verify trust and host name.
    pub verify: bool,
    /// PEM file of a private CA for this site.
    pub ca_file: Option<PathBuf>,
}

/// The proxy for the requests of a site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Proxy {
    /// The proxy that environment variables name, if any.
    #[default]
    Environment,
    /// Direct connection.
    None,
    /// `http://`, `socks5://` or `socks5h://`, always with a port.
    Server(SecretUrl),
}

/// Text to send, and text to expect.
#[derive(Clone, Default, PartialEq)]
pub struct SendExpect {
    /// With `$NAME` expanded. May hold secrets: never show it.
    pub send: Option<String>,
    /// Text that must occur in the first 4 KiB.
    pub expect: Option<String>,
}

/// Shows no secret.
impl fmt::Debug for SendExpect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendExpect")
            .field("expect", &self.expect)
            .finish_non_exhaustive()
    }
}

/// Protocols that begin in clear text (RFC 3207, RFC 9051 section 6.2.1, RFC 2595 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartTls {
    Smtp,
    Imap,
    Pop3,
}

/// `dns://[server[:port]]/name?type=A` (RFC 4501).
#[derive(Clone, Debug, PartialEq)]
pub struct DnsCheck {
    /// The server to query; `None` = the system's resolvers (`/etc/resolv.conf`).
    pub server: Option<(String, u16)>,
    /// The name to query, without a trailing dot.
    pub name: String,
    pub kind: RecordKind,
    /// A value that one of the records must have.
    pub expect: Option<String>,
    /// Address family for the connection to the server.
    pub ip: IpVersion,
}

/// Types of DNS records (RFC 1035 section 3.2.2, RFC 3596, RFC 2782, RFC 8659).
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

    /// Returns the type as written in a URL: `A`, `AAAA`, …
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
    /// Packet loss above which the site is degraded, in percent, below 100.
    pub loss: Option<u32>,
}

/// `host:KIND`: a figure of this machine and its limits. Beyond the limit the site is down; beyond
/// `warn`, which is reached first, it is degraded.
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
    /// `host:memory`: memory available to programs without swapping (`MemAvailable`).
    Memory {
        available: Amount,
        warn: Option<Amount>,
    },
    /// `host:load`: the load average over 5 minutes.
    Load { max: f64, warn: Option<f64> },
    /// `host:temperature`: that of the hottest thermal zone, in whole degrees Celsius.
    Temperature { max: i32, warn: Option<i32> },
    /// `host:file/PATH`: the file at an absolute path, its maximum age and its minimum size.
    File {
        path: PathBuf,
        age: Option<Duration>,
        /// In bytes.
        size: Option<u64>,
    },
    /// `host:process/NAME`: a running process of this name.
    Process { name: String },
}

impl HostCheck {
    /// Returns whether the wall clock is needed: the age of a file is computed from it.
    fn needs_clock(&self) -> bool {
        matches!(self, HostCheck::File { age: Some(_), .. })
    }
}

/// `push:`: a job that reports its end to sitemon.
#[derive(Clone, Debug, PartialEq)]
pub struct PushCheck {
    pub due: Due,
    /// How late a report may be.
    pub grace: Duration,
    /// Maximum run time of a job that reported its start.
    pub longest: Option<Duration>,
    /// The token that a report over HTTP must carry.
    pub token: Option<Token>,
}

/// When reports are due.
#[derive(Clone, Debug, PartialEq)]
pub enum Due {
    /// At most this long after the previous report.
    Every(Duration),
    /// In these windows of local time, one minute each.
    At(Vec<Window>),
}

/// Shows e.g. `every 1 d`, `at Mon-Fri 03:00`.
impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Due::Every(every) => write!(f, "every {}", lasting(*every)),
            Due::At(times) => write!(f, "at {}", hours::beginnings(times)),
        }
    }
}

/// A secret that authenticates another machine.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    pub fn new(token: String) -> Token {
        Token(token)
    }

    /// Returns the secret in clear text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Shows no secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// `exec:`: a program with the interface of Nagios plugins.
#[derive(Clone, PartialEq)]
pub struct ExecCheck {
    /// Absolute path of the program, and its arguments. Safe to show.
    pub command: Vec<String>,
    /// Environment variables, with `$NAME` expanded. May hold secrets: never show them.
    pub env: Vec<(String, String)>,
    /// Whether the program checks this machine or its network.
    pub local: bool,
}

/// Shows no secret.
impl std::fmt::Debug for ExecCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecCheck")
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}

/// A minimum that must be free.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// Percentage of the total, above 0 and at most 100.
    Percent(f64),
    /// Number of bytes, or of inodes.
    Count(u64),
}

/// A condition on a JSON body, e.g. `queue.# < 100`.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonCondition {
    /// The condition as the user wrote it.
    pub text: String,
    /// Path in GJSON syntax: `a.b`, `a.0`, `a.#` (length).
    pub path: String,
    pub op: JsonOp,
    /// The value to compare with; `Null` for [`JsonOp::Exists`].
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
    /// The text is part of a text, or the value an element of an array.
    Contains,
    Exists,
}

/// A JSON literal, or a bare word, which is read as a string.
#[derive(Clone, Debug, PartialEq)]
pub enum JsonValue {
    Null,
    Bool(bool),
    /// As the user wrote it (RFC 8259, section 6): f64 cannot represent every integer.
    Number(String),
    Text(String),
}

/// A login before the check, which then sends the cookies of the login.
#[derive(Clone, PartialEq)]
pub struct Login {
    /// URL that the form is sent to, with `$NAME` expanded. May hold secrets.
    pub url: String,
    /// Page with the form; its hidden fields are sent too.
    pub page: Option<String>,
    /// Form fields, with `$NAME` expanded. They hold secrets: never show them.
    pub form: Vec<(String, String)>,
    pub expect: Option<LoginExpect>,
}

/// How a successful login is recognised; without it by any status of 200-399.
#[derive(Clone, Debug, PartialEq)]
pub enum LoginExpect {
    Status(StatusSet),
    /// Text in the response to the form.
    Text(String),
}

/// Shows no secret.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// An HTTP request and the conditions on its response.
#[derive(Clone, PartialEq)]
pub struct HttpCheck {
    /// `http:` or `https:`, with `$NAME` expanded. May hold secrets: never show it. Parsed once: to
    /// do it for each check would be a thirtieth of its instructions.
    pub url: Url,
    pub proxy: Proxy,
    /// Interface (name or index) of link-local addresses of this check: a standard URL cannot hold
    /// it.
    pub zone: Option<String>,
    pub method: String,
    /// Extra request headers, with `$NAME` expanded. May hold secrets.
    pub headers: Vec<(String, String)>,
    /// Request body, with `$NAME` expanded. May hold secrets.
    pub send: Option<String>,
    pub auth: Option<Auth>,
    /// Accepted status codes.
    pub status: StatusSet,
    /// Text that must occur in the first 1 MiB of the body.
    pub body: Option<String>,
    /// Text that must not occur in the first 1 MiB of the body.
    pub body_not: Option<String>,
    /// Conditions on the body, which must be JSON if there are any.
    pub json: Vec<JsonCondition>,
    /// Boxed because few sites have a login.
    pub login: Option<Box<Login>>,
    /// Maximum number of redirects; 0 = follow none and judge the redirect itself.
    pub redirects: u32,
    /// Whether a public server may redirect to addresses that aren't public.
    pub private_redirects: bool,
    pub version: HttpVersion,
    pub ip: IpVersion,
    /// Whether to verify trust and host name of a TLS server.
    pub verify: bool,
    /// PEM file of a private CA for this site.
    pub ca_file: Option<PathBuf>,
}

/// Shows no secret: every other field may hold one.
impl fmt::Debug for HttpCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCheck")
            .field("method", &self.method)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Credentials for the first request and for redirects to the same origin.
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
