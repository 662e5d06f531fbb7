//! Which addresses are on this network, and so not reached over the line.

use std::net::IpAddr;

/// Loopback, private and link-local addresses are not reached over the line.
pub fn is_lan(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified()
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_lan(IpAddr::V4(v4)),
            None => {
                v6.is_loopback()
                    || v6.is_unicast_link_local()
                    || v6.is_unique_local()
                    || v6.is_unspecified()
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lan() {
        for lan in [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "169.254.3.4",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:192.168.1.1",
        ] {
            assert!(is_lan(lan.parse().expect("an address")), "{lan}");
        }
        for elsewhere in [
            "203.0.113.34",
            "172.32.0.1",
            "100.64.0.1",
            "2001:db8::1",
            "::ffff:1.1.1.1",
        ] {
            assert!(
                !is_lan(elsewhere.parse().expect("an address")),
                "{elsewhere}"
            );
        }
    }
}
