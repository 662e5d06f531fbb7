//! Any bytes received from an ICMP socket: no panic, and a reply that was read is the same after
//! it is encoded again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sitemon::check::wire::icmp::{Family, behind_ipv4_header, read_quoted, read_reply, reply};

fuzz_target!(|bytes: &[u8]| {
    for family in [Family::V4, Family::V6] {
        let message = match family {
            Family::V4 => behind_ipv4_header(bytes),
            Family::V6 => Some(bytes),
        };
        for message in message.into_iter().chain([bytes]) {
            let _ = read_quoted(family, message);
            if let Some(echo) = read_reply(family, message) {
                let again = reply(family, echo);
                assert_eq!(read_reply(family, &again), Some(echo));
            }
        }
    }
});
