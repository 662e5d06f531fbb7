//! A TLS 1.2 ClientHello (RFC 5246 section 7.4.1.2) with only those suites that rustls lacks: CBC, RSA
//! and DHE key exchange. A server that rejects rustls and accepts this one supports nothing newer.

/// ECDHE with CBC, DHE, RSA key exchange, 3DES and RC4.
const SUITES: [u16; 24] = [
    0xc009, 0xc00a, 0xc013, 0xc014, 0xc023, 0xc024, 0xc027, 0xc028, 0x0033, 0x0039, 0x0067, 0x006b,
    0x009e, 0x009f, 0x002f, 0x0035, 0x003c, 0x003d, 0x009c, 0x009d, 0x000a, 0xc012, 0x0016, 0x0005,
];
/// x25519, secp256r1, secp384r1, secp521r1.
const GROUPS: [u16; 4] = [0x001d, 0x0017, 0x0018, 0x0019];
/// RSA and ECDSA with SHA-256, 384, 512 and 1; RSA-PSS with SHA-256.
const SIGNATURES: [u16; 9] = [
    0x0401, 0x0501, 0x0601, 0x0403, 0x0503, 0x0603, 0x0804, 0x0201, 0x0203,
];

/// Encodes the record. `host`: name for the SNI extension, `None` for an IP address.
pub fn hello(host: Option<&str>) -> Vec<u8> {
    let list = |values: &[u16]| -> Vec<u8> {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_be_bytes()).collect();
        sized(&bytes)
    };
    let mut extensions = Vec::new();
    let mut extend = |kind: u16, body: &[u8]| {
        extensions.extend(kind.to_be_bytes());
        extensions.extend(sized(body));
    };
    if let Some(host) = host {
        // A server name list with one host_name (RFC 6066 section 3).
        let name = [&[0][..], &sized(host.as_bytes())].concat();
        extend(0, &sized(&name));
    }
    extend(10, &list(&GROUPS));
    extend(11, &[1, 0]);
    extend(13, &list(&SIGNATURES));
    let mut body = vec![3, 3];
    // No secret depends on the random value.
    body.extend([0x5a; 32]);
    body.push(0);
    body.extend(list(&SUITES));
    body.extend([1, 0]);
    body.extend(sized(&extensions));
    // handshake(22), client_hello(1). The length never needs its third byte.
    let message = [&[1, 0][..], &sized(&body)].concat();
    [&[22, 3, 1][..], &sized(&message)].concat()
}

/// Prefixes a length in two bytes.
fn sized(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), body].concat()
}

/// Bytes of an alert, the shortest response of a TLS server.
pub const ALERT: usize = 7;
/// Bytes of a response that [`accepted`] needs.
pub const ANSWER_NEEDED: usize = 11;

/// The response begins with a handshake message, so more follows.
pub fn is_handshake(answer: &[u8]) -> bool {
    answer.first() == Some(&22)
}

/// Returns the version in the ServerHello at the start of a response, e.g. `0x0303` for TLS 1.2; `None`
/// for another message.
pub fn accepted(answer: &[u8]) -> Option<u16> {
    match answer {
        [22, 3, _, _, _, 2, _, _, _, major, minor, ..] => {
            Some(u16::from_be_bytes([*major, *minor]))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_add_up() {
        let hello = hello(Some("old.example"));
        assert_eq!(&hello[..3], [22, 3, 1]);
        assert_eq!(
            usize::from(u16::from_be_bytes([hello[3], hello[4]])),
            hello.len() - 5
        );
        assert_eq!(
            usize::from(u16::from_be_bytes([hello[7], hello[8]])),
            hello.len() - 9
        );
    }

    #[test]
    fn only_a_server_hello_is_an_acceptance() {
        assert_eq!(
            accepted(&[22, 3, 3, 0, 80, 2, 0, 0, 76, 3, 3, 9]),
            Some(0x0303)
        );
        assert_eq!(
            accepted(&[22, 3, 1, 0, 80, 2, 0, 0, 76, 3, 1]),
            Some(0x0301)
        );
        assert_eq!(accepted(&[21, 3, 3, 0, 2, 2, 40, 0, 0, 0, 0]), None);
        assert_eq!(accepted(b"HTTP/1.1 40"), None);
        assert_eq!(accepted(&[22, 3]), None);
    }
}
