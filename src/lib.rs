//! sitemon: a site monitor for small always-on Linux boxes.
//!
//! ```text
//! main → cli → agent → { config, check, chat, chart, listen, state } → monitor
//! ```
//!
//! [`monitor`] is the pure core: state, an event and the time go in, actions come out; it names no
//! other module of this crate. [`agent`] is its only owner: it waits, passes it events and executes
//! its actions. The edges ([`config`], [`check`], [`chat`], [`chart`], [`listen`], [`state`]) don't
//! import one another. They share the HTTP client in [`http`] and the [`clock`], read files whose
//! paths users give with `files`, and parse trusted roots with `pem`.

// `tests/support`, which unit tests include, refers to the crate by this name.
#[cfg(test)]
extern crate self as sitemon;

#[macro_use]
pub mod mutation;

pub mod agent;
pub mod chart;
pub mod chat;
pub mod check;
pub mod cli;
pub mod clock;
#[cfg(feature = "exec")]
pub mod command;
pub mod config;
mod crc;
mod deflated;
mod files;
#[cfg(feature = "host")]
mod host;
pub mod http;
mod json;
#[cfg(feature = "listen")]
pub mod listen;
mod lock;
mod machine;
#[cfg(test)]
mod message_snapshot;
pub mod monitor;
mod offload;
mod peers;
mod pem;
#[cfg(test)]
#[path = "../tests/support/plain_site.rs"]
mod plain_site;
mod process;
mod push;
pub mod secret;
pub mod state;
mod timeout;
mod timer;
pub mod vitals;
