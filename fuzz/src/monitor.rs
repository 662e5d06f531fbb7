//! The plain types that parsers name.

#[path = "../../src/monitor/outcome.rs"]
pub mod outcome;
#[path = "../../src/monitor/printable.rs"]
pub mod printable;
#[path = "../../src/monitor/site.rs"]
pub mod site;
