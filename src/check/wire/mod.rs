//! What stands in the bytes of other protocols: pure, bounded, without I/O.

pub mod dns;
mod der;
pub mod x509;
pub mod icmp;
pub mod rdap;
pub mod jsonpath;
