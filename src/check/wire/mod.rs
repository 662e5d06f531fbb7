//! Encoders and decoders of protocols: pure, bounded, without I/O.

pub mod date;
pub mod decimal;
mod der;
pub mod dns;
pub mod gzip;
pub mod icmp;
pub mod legacy_hello;
pub mod mail;
pub mod rdap;
pub mod x509;
