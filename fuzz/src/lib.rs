//! sitemon's byte parsers alone: they are pure, so neither libcurl nor aws-lc is built for
//! fuzzing, and a parser that isn't pure any more doesn't compile here.
//!
//! The modules have the same names as in sitemon.

// The types of isahc that they use are re-exports of `http`.
extern crate self as isahc;
pub use http;

#[macro_use]
#[path = "../../src/mutation.rs"]
pub mod mutation;

pub mod check;
#[path = "../../src/crc.rs"]
pub mod crc;
#[path = "../../src/host/procfs.rs"]
pub mod procfs;
#[path = "../../src/json/mod.rs"]
pub mod json;
pub mod listen;
// The whole module, since it depends on no other.
#[path = "../../src/monitor/mod.rs"]
pub mod monitor;
#[path = "../../src/push/wire.rs"]
pub mod push_wire;
