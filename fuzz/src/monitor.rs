//! The plain types that parsers name.

#[path = "../../src/monitor/site.rs"]
pub mod site;
