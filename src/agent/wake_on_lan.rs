//! Wake-on-LAN: the magic packet (AMD, "Magic Packet Technology", 1995: six bytes of ones, then the
//! MAC address 16 times) in a UDP datagram to port 9 of every broadcast address.

use crate::files;
use std::net::{Ipv4Addr, UdpSocket};
use std::{fs, io};

/// The discard port, which is customary.
const PORT: u16 = 9;
/// The kernel's table of local addresses, in which the line after an address gives its type.
const TABLE: &str = "/proc/net/fib_trie";

/// Sends the packet; returns as text to which addresses it was sent, and to which it couldn't be.
pub(super) fn send(mac: [u8; 6]) -> String {
    let mut packet = vec![0xff; 6];
    packet.extend(mac.repeat(16));
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0));
    let socket = match socket.and_then(|socket| socket.set_broadcast(true).map(|()| socket)) {
        Ok(socket) => socket,
        Err(error) => return format!("packet not sent: {}", reason(&error)),
    };
    let mut addresses = broadcast_addresses(&fs::read_to_string(TABLE).unwrap_or_default());
    addresses.push(Ipv4Addr::BROADCAST);
    let (mut sent, mut failed) = (Vec::new(), Vec::new());
    for address in addresses {
        match socket.send_to(&packet, (address, PORT)) {
            Ok(_) => sent.push(address.to_string()),
            Err(error) => failed.push(format!("{address}: {}", reason(&error))),
        }
    }
    match (sent.as_slice(), failed.as_slice()) {
        ([], _) => format!("packet not sent: {}", failed.join(", ")),
        (_, []) => format!("packet sent to {}", sent.join(", ")),
        _ => format!(
            "packet sent to {}; not to {}",
            sent.join(", "),
            failed.join(", ")
        ),
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!(
                "{}: a firewall or the service's unit forbids it",
                files::reason(error)
            )
        }
        _ => files::reason(error),
    }
}

/// Returns the broadcast addresses of all interfaces that are up but loopback, each once.
fn broadcast_addresses(table: &str) -> Vec<Ipv4Addr> {
    let mut found: Vec<Ipv4Addr> = Vec::new();
    let mut last = None;
    for line in table.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 link BROADCAST"
            && let Some(address) = last.filter(|a| !a.is_loopback() && !found.contains(a))
        {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broadcast_addresses_are_found_once_each_and_loopbacks_is_not() {
        let table = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
           |-- 127.255.255.255
              /32 link BROADCAST
     +-- 192.168.1.0/24 2 0 2
        |-- 192.168.1.7
           /32 host LOCAL
        |-- 192.168.1.255
           /32 link BROADCAST
Local:
  +-- 192.168.1.0/24 2 0 2
        |-- 192.168.1.255
           /32 link BROADCAST
        |-- 10.0.3.255
           /32 link BROADCAST
";
        let wanted = [
            Ipv4Addr::new(192, 168, 1, 255),
            Ipv4Addr::new(10, 0, 3, 255),
        ];
        assert_eq!(broadcast_addresses(table), wanted);
        assert!(broadcast_addresses("").is_empty());
    }
}
