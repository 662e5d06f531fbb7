//! The system's resolvers (resolv.conf(5)).

use crate::files;
use crate::monitor::site::IpVersion;
use crate::monitor::site::outcome::{Failure, FailureKind};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV6};
use std::path::Path;

const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Maximum bytes of resolv.conf.
const MAX_RESOLV_CONF: u64 = 64 * 1024;
/// The C library uses the first three.
const RESOLVERS: usize = 3;
pub(super) const PORT: u16 = 53;

/// Returns the system's resolvers of the wanted family.
pub(super) fn servers(ip: IpVersion) -> Result<Vec<SocketAddr>, Failure> {
    // A small, cached file that the C library reads for each lookup, too; without it, resolvers run on this
    // machine.
    let bytes = files::read_now(Path::new(RESOLV_CONF), MAX_RESOLV_CONF).unwrap_or_default();
    let mut servers = resolvers(&bytes);
    let family = match ip {
        IpVersion::Any => return Ok(servers),
        IpVersion::V4 => "IPv4",
        IpVersion::V6 => "IPv6",
    };
    servers.retain(|server| server.is_ipv4() == (ip == IpVersion::V4));
    if servers.is_empty() {
        let detail = format!("no {family} nameserver in {RESOLV_CONF}");
        return Err(Failure::new(FailureKind::Dns, detail));
    }
    Ok(servers)
}

/// Parses the `nameserver` lines of resolv.conf(5). Comments may be in any encoding.
fn resolvers(file: &[u8]) -> Vec<SocketAddr> {
    let mut servers: Vec<SocketAddr> = String::from_utf8_lossy(file)
        .lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let server = (words.next() == Some("nameserver")).then(|| words.next())??;
            resolver(server)
        })
        .take(RESOLVERS)
        .collect();
    if servers.is_empty() {
        servers.push((Ipv4Addr::LOCALHOST, PORT).into());
    }
    servers
}

/// Parses `192.0.2.53`, `2001:db8::53` or `fe80::1%eth0`.
fn resolver(text: &str) -> Option<SocketAddr> {
    let Some((address, interface)) = text.split_once('%') else {
        return Some(SocketAddr::new(text.parse().ok()?, PORT));
    };
    let scope = interface.parse().ok().or_else(|| index_of(interface))?;
    let address = address.parse().ok()?;
    Some(SocketAddrV6::new(address, PORT, 0, scope).into())
}

/// Returns the index of a network interface.
fn index_of(interface: &str) -> Option<u32> {
    if interface.contains('/') {
        return None;
    }
    let file = format!("/sys/class/net/{interface}/ifindex");
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_which_servers_to_ask() {
        let all = |text: &str| -> Vec<String> {
            let all = resolvers(text.as_bytes());
            all.iter().map(SocketAddr::to_string).collect()
        };
        let file = "# nameserver 192.0.2.9\nsearch example.org\n  nameserver\t192.0.2.1 \n\
                    nameserver 2001:db8::1\nnameserver nonsense\nnameserver\noptions edns0\n\
                    nameserver fe80::1%lo\nnameserver 192.0.2.4\n";
        let lo = "[fe80::1%1]:53";
        assert_eq!(all(file), ["192.0.2.1:53", "[2001:db8::1]:53", lo]);
        assert_eq!(all("nameserver fe80::1%1"), [lo]);
        let latin = resolvers(b"# f\xfcr zu Hause\nnameserver 192.0.2.1 # \xe9\n");
        assert_eq!(latin, ["192.0.2.1:53".parse().expect("an address")]);
        for none in [
            "",
            "nameserver fe80::1%none",
            "nameserver fe80::1%../net/lo",
        ] {
            assert_eq!(all(none), ["127.0.0.1:53"], "{none}");
        }
    }
}
