//! The environment of the real binary in tests: the fake Bot API, test sites, and the runner of the
//! binary. Everything is on loopback, with plain threads, and waits for events, not for time.

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
// The tests of checks in the library use the rest of it.
#[allow(dead_code)]
pub mod h2;
pub mod http;
pub mod json;
pub mod lab;
pub mod listener;
pub mod namespace;
pub mod raw_client;
pub mod routes;
pub mod scene;
pub mod tls;
pub mod web;
mod web_bodies;

/// Checks that the text contains `part`, and shows the text otherwise.
#[track_caller]
pub fn assert_has(text: &impl AsRef<str>, part: &str) {
    let text = text.as_ref();
    assert!(text.contains(part), "no {part:?} in {text:?}");
}
