//! What stands in the bytes of other protocols: pure, bounded, without I/O.

mod der;
pub mod x509;
