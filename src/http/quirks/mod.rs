//! Workarounds, each for one version of a dependency that `Cargo.toml` pins. Each file says what upstream
//! does, what is done about it, and which test fails when upstream changes.

mod decompression;
mod header_lines;
mod high_descriptors;
#[cfg(feature = "http2")]
mod http2_faults;
#[cfg(feature = "http2")]
mod http2_window;
mod missing_close_notify;
mod object_identifiers;
mod private_keys;
mod unverified_certificates;
pub(super) mod wire_bytes;
