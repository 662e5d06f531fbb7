//! Any bytes as a registry's answer, as IANA's list, as a time and as a host: no panic, no long
//! work.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sitemon::check::wire::date::seconds;
use sitemon::check::wire::rdap::{candidates, registration, services};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(found) = registration(bytes) {
        // A byte that is not UTF-8 is replaced by three.
        assert!(found.registrar.len() <= 3 * bytes.len());
    }
    let wanted = ["com".to_owned(), "org".to_owned()];
    if let Ok(found) = services(bytes, &wanted) {
        assert_eq!(found.len(), wanted.len());
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = seconds(text);
        assert!(candidates(text).len() <= 4);
    }
});
