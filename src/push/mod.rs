//! Reports of jobs between `sitemon push` and the agent: a socket, and a directory for those that come while there
//! is no agent.

pub mod client;
pub mod spool;
mod wire;

pub use wire::{LARGEST, Reply, parse};
