//! sitemon's byte parsers by themselves: they are pure, so neither libcurl nor aws-lc is built to
//! fuzz them, and one that isn't pure any more doesn't compile here.
//!
//! The modules have the names they have in sitemon.

pub mod check;
#[path = "../../src/json/mod.rs"]
pub mod json;
pub mod monitor;
