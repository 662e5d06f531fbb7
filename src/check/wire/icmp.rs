//! Echo requests and replies: ICMP (RFC 792) and ICMPv6 (RFC 4443, section 4).

/// Type, code, checksum, identifier, sequence number.
const HEADER: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// The message types of a request and a reply.
    fn types(self) -> (u8, u8) {
        match self {
            Family::V4 => (8, 0),
            Family::V6 => (128, 129),
        }
    }
}

/// The fields of a request that its reply repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo<'a> {
    pub id: u16,
    pub number: u16,
    pub payload: &'a [u8],
}

/// Encodes a request. The checksum of ICMPv6 covers addresses, too; the kernel computes it on every
/// ICMPv6 socket (RFC 3542, section 3.1).
pub fn request(family: Family, echo: Echo<'_>) -> Vec<u8> {
    message(family, family.types().0, echo)
}

/// Encodes the reply to such a request.
pub fn reply(family: Family, echo: Echo<'_>) -> Vec<u8> {
    message(family, family.types().1, echo)
}

fn message(family: Family, kind: u8, echo: Echo<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + echo.payload.len());
    bytes.extend([kind, 0, 0, 0]);
    bytes.extend(echo.id.to_be_bytes());
    bytes.extend(echo.number.to_be_bytes());
    bytes.extend(echo.payload);
    if family == Family::V4 {
        let sum = checksum(&bytes).to_be_bytes();
        bytes[2..4].copy_from_slice(&sum);
    }
    bytes
}

/// Decodes a reply; `None` for other messages and for wrong checksums (the kernel verifies ICMPv6's).
pub fn read_reply(family: Family, bytes: &[u8]) -> Option<Echo<'_>> {
    let (head, payload) = bytes.split_at_checked(HEADER)?;
    if family == Family::V4 && checksum(bytes) != 0 {
        return None;
    }
    let (id, number) = read_header(head, family.types().1)?;
    Some(Echo {
        id,
        number,
        payload,
    })
}

/// Returns identifier and sequence number of the request that an error message quotes.
pub fn read_quoted(family: Family, bytes: &[u8]) -> Option<(u16, u16)> {
    read_header(bytes.get(..HEADER)?, family.types().0)
}

fn read_header(head: &[u8], wanted: u8) -> Option<(u16, u16)> {
    match *head {
        [kind, 0, _, _, id1, id2, number1, number2] if kind == wanted => Some((
            u16::from_be_bytes([id1, id2]),
            u16::from_be_bytes([number1, number2]),
        )),
        _ => None,
    }
}

/// Returns the payload of an IPv4 packet: raw sockets deliver the header (RFC 791, section 3.1), too.
pub fn behind_ipv4_header(packet: &[u8]) -> Option<&[u8]> {
    let first = *packet.first()?;
    let length = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || length < 20 {
        return None;
    }
    packet.get(length..)
}

/// RFC 1071; 0 for a message with a valid checksum.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        let word = u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
        // Folded at once: cannot overflow, whatever the length.
        sum += u32::from(word);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ECHO: Echo<'static> = Echo {
        id: 0x1234,
        number: 1,
        payload: b"abc",
    };

    #[test]
    fn a_request_is_laid_out_as_the_rfc_draws_it() {
        let v4 = request(Family::V4, ECHO);
        // 0x0800 + 0x1234 + 0x0001 + 0x6162 + 0x6300 = 0xde97; the complement is 0x2168.
        assert_eq!(v4, b"\x08\x00\x21\x68\x12\x34\x00\x01abc");
        let v6 = request(Family::V6, ECHO);
        assert_eq!(v6, b"\x80\x00\x00\x00\x12\x34\x00\x01abc");
    }

    #[test]
    fn what_is_no_answer_is_none() {
        let good = reply(Family::V4, ECHO);
        assert_eq!(read_reply(Family::V4, &good), Some(ECHO));
        assert_eq!(read_reply(Family::V6, &good), None, "of the other family");
        assert_eq!(read_reply(Family::V4, &request(Family::V4, ECHO)), None);
        assert_eq!(read_reply(Family::V4, &good[..7]), None, "too short");
        let mut damaged = good.clone();
        damaged[9] ^= 1;
        assert_eq!(read_reply(Family::V4, &damaged), None, "wrong checksum");
    }

    #[test]
    fn a_quote_needs_the_header_alone() {
        let sent = request(Family::V4, ECHO);
        assert_eq!(read_quoted(Family::V4, &sent[..8]), Some((0x1234, 1)));
        assert_eq!(read_quoted(Family::V4, &sent[..7]), None);
        assert_eq!(read_quoted(Family::V4, &reply(Family::V4, ECHO)), None);
    }

    #[test]
    fn an_ipv4_header_is_taken_off_with_its_options() {
        let packet = |first: u8, length: usize| {
            let mut packet = vec![0; length];
            packet[0] = first;
            packet.extend(b"rest");
            packet
        };
        assert_eq!(behind_ipv4_header(&packet(0x45, 20)), Some(&b"rest"[..]));
        assert_eq!(behind_ipv4_header(&packet(0x46, 24)), Some(&b"rest"[..]));
        assert_eq!(behind_ipv4_header(&packet(0x44, 20)), None);
        assert_eq!(behind_ipv4_header(&packet(0x65, 20)), None);
        assert_eq!(behind_ipv4_header(&packet(0x4f, 20)), None);
        assert_eq!(behind_ipv4_header(b""), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for family in [Family::V4, Family::V6] {
                let _ = read_reply(family, &bytes);
                let _ = read_quoted(family, &bytes);
            }
            let _ = behind_ipv4_header(&bytes);
        }

        #[test]
        fn an_echo_comes_back_whole(
            id: u16, number: u16, payload in prop::collection::vec(any::<u8>(), 0..100), v6: bool,
        ) {
            let family = if v6 { Family::V6 } else { Family::V4 };
            let echo = Echo { id, number, payload: &payload };
            let answer = reply(family, echo);
            prop_assert_eq!(read_reply(family, &answer), Some(echo));
            prop_assert_eq!(read_quoted(family, &request(family, echo)), Some((id, number)));
        }

        #[test]
        fn one_flipped_bit_is_noticed(
            payload in prop::collection::vec(any::<u8>(), 0..40), at: prop::sample::Index, bit in 0u8..8,
        ) {
            let mut bytes = reply(Family::V4, Echo { id: 7, number: 2, payload: &payload });
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(read_reply(Family::V4, &bytes), None);
        }
    }
}
