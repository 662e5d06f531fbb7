//! Reports of jobs, from `sitemon push` to the agent: over a socket, or through a directory while
//! no agent runs.

pub mod client;
pub mod spool;
mod wire;

pub use wire::{LARGEST, Reply, parse};
