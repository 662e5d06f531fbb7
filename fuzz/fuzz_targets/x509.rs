#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sitemon::check::x509(bytes));
