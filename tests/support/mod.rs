//! What the tests need around the real binary: the fake Bot API, test sites, and the binary itself.
//! Everything is on loopback, with plain threads, and waits on events, not on time.

// Each test binary is a crate of its own and uses a part of this.
#![allow(dead_code)]

pub mod agent;
mod bot_answer;
pub mod bot_api;
mod bot_html;
mod bot_limits;
mod bot_params;
mod bot_photo;
mod bot_press;
mod bot_serve;
mod bot_state;
pub mod clock_shim;
pub mod dead;
pub mod h2;
pub mod http;
pub mod json;
pub mod lab;
pub mod listener;
pub mod namespace;
pub mod raw_client;
pub mod scene;
pub mod tls;
pub mod web;
mod web_bodies;
