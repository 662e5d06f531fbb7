//! What each target does with its bytes.

#[path = "../../src/check/wire/mod.rs"]
pub mod wire;

use wire::x509::{Certificate, first_to_end};

/// Certificates as a hostile server sends them.
pub fn x509(bytes: &[u8]) {
    if let Some(read) = Certificate::read(bytes) {
        for text in [read.title(), read.issuer.readable()].into_iter().flatten() {
            // Twice a hundred, and "() " between them.
            assert!(text.chars().count() <= 203);
            assert!(!text.contains(char::is_control));
        }
        assert!(read.key.len() < 40);
    }
    let (leaf, issuer) = bytes.split_at(bytes.len() / 2);
    let _ = first_to_end(&[leaf, issuer, bytes], Some(issuer));
}
