//! Byte parsers without I/O. What they read comes from strangers: none panics, recurses or keeps
//! more than its input.

pub(super) mod jsonpath;
