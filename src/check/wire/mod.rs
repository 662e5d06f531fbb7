//! What stands in the bytes of other protocols: pure, bounded, without I/O.

pub mod jsonpath;
