//! The real binary against loopback servers, and tests of the fakes: one program, so that the
//! library and libcurl are linked once.
//!
//! `simulation` is a program of its own, since `tests/simulation/mutate` builds it again for every
//! mutation. So is `wear`, which computes while the others wait. Both run the pure core in virtual
//! time, and are also built with `--profile sim`.
//!
//! Tests run beside each other: each counts only processes, directories, ports and networks of its
//! own.
//! of its own.

mod actions;
mod clocks;
mod command_line;
mod conversation;
mod emulator;
mod exec;
#[path = "../wear.rs"]
mod flash_wear;
mod hanging;
mod heartbeat;
mod host;
mod hours;
mod init;
mod ipv6_zones;
mod kinds;
#[cfg(feature = "listen")]
mod listen;
mod local_faults;
mod notify;
mod outside_text;
mod overload;
mod power_cuts;
mod push;
mod redirects;
mod resolver;
mod resources;
mod routes;
mod secrets;
mod state_files;
mod supervised;
#[path = "../support/mod.rs"]
mod support;
mod support_selftest;
mod survival;
mod telegram;
mod ten_thousand_commands;
mod unread_pipes;
mod uplink;
