//! sitemon's byte parsers by themselves: they are pure, so neither libcurl nor aws-lc is built to
//! fuzz them, and one that isn't pure any more doesn't compile here.
//!
//! The modules have the names they have in sitemon.

// What they name of isahc are the types that it takes from `http`.
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
// Whole, since it names nothing else: how it is cut into files is its own affair.
#[path = "../../src/monitor/mod.rs"]
pub mod monitor;
#[path = "../../src/push/wire.rs"]
pub mod push_wire;
