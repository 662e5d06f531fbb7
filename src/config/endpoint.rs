//! Parses URLs other than HTTP's, given the text after `://`: `tcp://HOST:PORT`, `tls://HOST:PORT`,
//! `dns://SERVER/NAME` (RFC 4501), `icmp://HOST`.
//!
//! Variables may have been replaced in them, so errors do not quote them.

use super::Target;
use super::ipv6_zone;
use super::scheme::listed;
use super::value::cut;
use crate::monitor::site::{RecordKind, StartTls};
use std::net::{Ipv4Addr, Ipv6Addr};
use url::Host;

const TCP: &str = "\"tcp://HOST:PORT\"";
const TLS: &str = "\"tls://HOST:PORT\"";
const DNS: &str = "\"dns://SERVER/NAME\" or, for the system's resolvers, \"dns:///NAME\"";
const ICMP: &str = "\"icmp://HOST\"";

/// Default port of a DNS server (RFC 4501, section 3).
const DNS_PORT: u16 = 53;

pub const STARTTLS: [(&str, StartTls); 3] = [
    ("smtp", StartTls::Smtp),
    ("imap", StartTls::Imap),
    ("pop3", StartTls::Pop3),
];

/// A DNS query and its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Host name or IP address without brackets, and port; `None` = the system's resolvers.
    pub server: Option<(String, u16)>,
    /// Without the final dot.
    pub name: String,
    pub kind: RecordKind,
}

pub fn tcp(rest: &str) -> Result<Target, String> {
    let parts = Parts::of(rest, TCP)?;
    parts.no_path(TCP)?;
    if parts.query.is_some() {
        return Err(wrong(TCP, "nothing follows the port"));
    }
    parts.target(TCP)
}

pub fn tls(rest: &str) -> Result<(Target, Option<StartTls>), String> {
    let parts = Parts::of(rest, TLS)?;
    parts.no_path(TLS)?;
    let mut starttls = None;
    for (key, value) in parts.pairs() {
        if !key.eq_ignore_ascii_case("starttls") {
            let form = "only `?starttls=smtp`, `imap` or `pop3` may follow the port";
            return Err(wrong(TLS, form));
        }
        if starttls.is_some() {
            return Err("has `starttls` twice".to_owned());
        }
        let protocol = STARTTLS
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(value));
        match protocol {
            Some((_, protocol)) => starttls = Some(*protocol),
            None => return Err("has a `starttls` other than smtp, imap and pop3".to_owned()),
        }
    }
    Ok((parts.target(TLS)?, starttls))
}

pub fn dns(rest: &str) -> Result<Question, String> {
    let parts = Parts::of(rest, DNS)?;
    let Some(path) = parts.path else {
        return Err(wrong(DNS, "the `/` before the name is missing"));
    };
    let server = match parts.authority {
        "" => None,
        _ => {
            let (host, port) = parts.host_and_port(DNS)?;
            Some((host, port.unwrap_or(DNS_PORT)))
        }
    };
    if path.contains('/') {
        return Err(wrong(DNS, "a name has no `/` in it"));
    }
    let name = asked_name(path)?;
    let (mut kind, mut class) = (None, false);
    for (key, value) in parts.pairs() {
        if key.eq_ignore_ascii_case("type") {
            if kind.is_some() {
                return Err("has `type` twice".to_owned());
            }
            kind = Some(record_kind(value)?);
        } else if key.eq_ignore_ascii_case("class") {
            if class || !value.eq_ignore_ascii_case("IN") {
                return Err("can ask for class IN alone".to_owned());
            }
            class = true;
        } else {
            return Err(wrong(
                DNS,
                "only `?type=A` or another type may follow the name",
            ));
        }
    }
    Ok(Question {
        server,
        name,
        kind: kind.unwrap_or(RecordKind::A),
    })
}

pub fn icmp(rest: &str) -> Result<String, String> {
    let parts = Parts::of(rest, ICMP)?;
    if parts.path.is_some() || parts.query.is_some() {
        return Err(wrong(ICMP, "nothing follows the host"));
    }
    match parts.host_and_port(ICMP)? {
        (host, None) => Ok(host),
        (_, Some(_)) => Err(wrong(ICMP, "a ping has no port")),
    }
}

/// Normalises the expected record for the comparison.
pub fn record(kind: RecordKind, value: &str) -> Result<String, String> {
    if value.chars().any(char::is_control) {
        return Err("has a line break or another control character in it".to_owned());
    }
    match kind {
        RecordKind::A => match value.trim().parse::<Ipv4Addr>() {
            Ok(address) => Ok(address.to_string()),
            Err(_) => Err("must be an IPv4 address, for that is what A records hold".to_owned()),
        },
        RecordKind::Aaaa => match value.trim().parse::<Ipv6Addr>() {
            Ok(address) => Ok(address.to_string()),
            Err(_) => Err("must be an IPv6 address, for that is what AAAA records hold".to_owned()),
        },
        // Blanks around a text may be part of it.
        _ => Ok(value.to_owned()),
    }
}

fn wrong(form: &str, why: &str) -> String {
    format!("must be {form}: {why}")
}

/// The parts of a URL after `://`.
struct Parts<'a> {
    authority: &'a str,
    /// After the first `/`.
    path: Option<&'a str>,
    /// After the first `?`.
    query: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str, form: &str) -> Result<Parts<'a>, String> {
        if rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("has a blank or a line break in it".to_owned());
        }
        if rest.contains('#') {
            return Err(wrong(form, "it has no `#`"));
        }
        let (before, query) = cut(rest, |c| c == '?');
        let (authority, path) = cut(before, |c| c == '/');
        if authority.contains('@') {
            return Err("cannot hold a user and a password".to_owned());
        }
        Ok(Parts {
            authority,
            path,
            query,
        })
    }

    fn no_path(&self, form: &str) -> Result<(), String> {
        match self.path {
            Some(_) => Err(wrong(form, "it has no path, not even a `/`")),
            None => Ok(()),
        }
    }

    /// Iterates over `a=b` in the query, separated by `;` (RFC 4501) or `&` (other URLs).
    fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.query
            .into_iter()
            .flat_map(|query| query.split([';', '&']))
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }

    fn target(&self, form: &str) -> Result<Target, String> {
        match self.host_and_port(form)? {
            (host, Some(port)) => Ok(Target { host, port }),
            (_, None) => Err(wrong(form, "the port is missing")),
        }
    }

    fn host_and_port(&self, form: &str) -> Result<(String, Option<u16>), String> {
        // Colons within brackets do not precede a port.
        let behind = self.authority.rfind(']').unwrap_or_default();
        let (name, port) = match self.authority[behind..].find(':') {
            Some(colon) => {
                let (name, port) = self.authority.split_at(behind + colon);
                (name, Some(&port[1..]))
            }
            None => (self.authority, None),
        };
        if self.authority.parse::<Ipv6Addr>().is_ok() || port.is_some_and(|port| port.contains(':'))
        {
            return Err(wrong(
                form,
                "an IPv6 address stands in brackets, as in [::1]",
            ));
        }
        if name.is_empty() {
            return Err(wrong(form, "the host is missing"));
        }
        let name = host(name).ok_or_else(|| wrong(form, "the host is no name and no address"))?;
        let port = match port {
            Some("") => return Err(wrong(form, "the port is missing")),
            Some(port) => {
                let digits = port.bytes().all(|b| b.is_ascii_digit());
                let number = port.parse().ok().filter(|&port| digits && port > 0);
                let why = || wrong(form, "the port is no number from 1 to 65535");
                Some(number.ok_or_else(why)?)
            }
            None => None,
        };
        Ok((name, port))
    }
}

/// Parses the host of a URL: a lower-case ASCII name, or an IP address without brackets. A link-local
/// address may have a zone (RFC 6874), which is appended as resolvers expect it.
fn host(text: &str) -> Option<String> {
    if let Some((address, zone)) = ipv6_zone::zoned(text) {
        return Some(format!("{address}%{zone}"));
    }
    match Host::parse(text).ok()? {
        Host::Domain(name) => is_name(&name).then_some(name),
        // The URL standard accepts `1.1` and `0x1010101`.
        Host::Ipv4(address) => {
            let plain = text.parse::<Ipv4Addr>() == Ok(address);
            plain.then(|| address.to_string())
        }
        Host::Ipv6(address) => Some(address.to_string()),
    }
}

/// RFC 1035, section 2.3.4: labels of 1 to 63 bytes, 253 in total; a final dot is allowed.
fn is_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let usual = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'*');
    name.len() <= 253
        && name
            .split('.')
            .all(|label| (1..=63).contains(&label.len()) && label.bytes().all(usual))
}

fn asked_name(path: &str) -> Result<String, String> {
    if path.is_empty() {
        return Err(wrong(DNS, "the name is missing"));
    }
    match Host::parse(path) {
        Ok(Host::Domain(name)) if is_name(&name) => {
            Ok(name.strip_suffix('.').unwrap_or(&name).to_owned())
        }
        Ok(Host::Domain(_)) | Err(_) => Err(wrong(DNS, "the name is none")),
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) => Err(
            "asks for an address instead of a name; whose 192.0.2.1 is says \
             \"dns:///1.2.0.192.in-addr.arpa?type=PTR\""
                .to_owned(),
        ),
    }
}

fn record_kind(word: &str) -> Result<RecordKind, String> {
    RecordKind::ALL
        .into_iter()
        .find(|kind| kind.word().eq_ignore_ascii_case(word))
        .ok_or_else(|| {
            let words = RecordKind::ALL.map(RecordKind::word);
            format!("can ask for the types {}", listed(&words, "and"))
        })
}
