//! Classifies addresses: on this network, and so not reached over the uplink, or at least not on
//! the public internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns whether the address is not reached over the uplink: loopback, private, link-local or
/// unspecified.
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

/// Returns whether the address is not public. Besides those of [`is_lan`] these are addresses
/// behind the NAT of a provider or a tunnel (100.64/10, RFC 6598), "this network" (0/8; Linux
/// treats 0.0.0.0 as the local host) and 192.0.0/24 (RFC 6890), also when embedded in an IPv6
/// address. Networks for documentation (RFC 5737) and benchmarks (RFC 2544) count as public: no
/// machine has an address of the former, and some routers return the latter for every name.
pub fn is_internal(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            is_lan(address)
                || a == 0
                || a == 100 && (64..128).contains(&b)
                || (a, b, c) == (192, 0, 0)
        }
        IpAddr::V6(v6) => match embedded(v6) {
            Some(v4) => is_internal(v4.into()),
            // fec0::/10 was private (RFC 3879), 64:ff9b:1::/48 is for local translation (RFC 8215).
            None => {
                let [a, b, c, ..] = v6.segments();
                is_lan(address) || a & 0xffc0 == 0xfec0 || (a, b, c) == (0x64, 0xff9b, 1)
            }
        },
    }
}

/// Returns the IPv4 address that packets to `v6` reach: mapped and compatible addresses (RFC 4291,
/// section 2.5.5), NAT64 (64:ff9b::/96, RFC 6052) and 6to4 (2002::/16, RFC 3056).
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(v4(high, low))
        }
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

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
    #[test]
    fn what_is_internal() {
        for internal in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.1",
            "192.168.0.0",
            "192.168.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:0.0.0.0",
            "::ffff:10.0.0.1",
            "::ffff:100.64.0.1",
            "64:ff9b::192.168.1.1",
            "64:ff9b:1::1",
            "2002:c0a8:0101::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "fc00::",
            "fdff:ffff::1",
        ] {
            assert!(is_internal(address(internal)), "{internal}");
        }
        for public in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.2.1",
            "192.167.255.255",
            "192.169.0.0",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.34",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "64:ff9b:2::1",
            "2001:db8::1",
            "2002:101:101::1",
            "2606:4700::1111",
            "fbff::1",
            "ff00::1",
        ] {
            assert!(!is_internal(address(public)), "{public}");
        }
    }

    proptest! {
        #[test]
        fn internal_is_what_a_list_of_networks_says(bits: u32, near in 0..9_usize, offset in -2..3_i64) {
            // First address and size of each network.
            const NETWORKS: [(u32, u32); 8] = [
                (0x0000_0000, 1 << 24),
                (0x0a00_0000, 1 << 24),
                (0x6440_0000, 1 << 22),
                (0x7f00_0000, 1 << 24),
                (0xa9fe_0000, 1 << 16),
                (0xac10_0000, 1 << 20),
                (0xc000_0000, 1 << 8),
                (0xc0a8_0000, 1 << 16),
            ];
            let bits = match NETWORKS.get(near) {
                Some((first, _)) if bits % 2 == 0 => (i64::from(*first) + offset) as u32,
                Some((first, size)) => (i64::from(*first) + i64::from(*size) + offset) as u32,
                None => bits,
            };
            let wanted = NETWORKS.iter().any(|(first, size)| bits.wrapping_sub(*first) < *size);
            let v4 = Ipv4Addr::from(bits);
            prop_assert_eq!(is_internal(v4.into()), wanted, "{}", v4);
            let [a, b, c, d] = v4.octets().map(u16::from);
            let (high, low) = (a << 8 | b, c << 8 | d);
            for v6 in [
                v4.to_ipv6_mapped(),
                v4.to_ipv6_compatible(),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 1, 2, 3, 4, 5),
            ] {
                prop_assert_eq!(is_internal(v6.into()), wanted, "{}", v6);
            }
        }

        #[test]
        fn what_is_lan_is_internal(bits: u128, v4: bool) {
            let address = match v4 {
                true => IpAddr::from(Ipv4Addr::from(bits as u32)),
                false => Ipv6Addr::from(bits).into(),
            };
            prop_assert!(is_internal(address) || !is_lan(address), "{}", address);
        }
    }
}
