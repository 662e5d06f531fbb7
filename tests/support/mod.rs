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

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Checks that the text contains `part`, and shows the text otherwise.
#[track_caller]
pub fn assert_has(text: &impl AsRef<str>, part: &str) {
    let text = text.as_ref();
    assert!(text.contains(part), "no {part:?} in {text:?}");
}

/// Writes a program that every user may run, and returns its path. A process of its own writes it:
/// a file that is open for writing can't be executed, and a child that another test is just starting
/// would hold our descriptor for a moment.
pub fn write_program(path: &Path, content: impl AsRef<[u8]>) -> PathBuf {
    let mut install = Command::new("install");
    install.args(["-m", "755", "/dev/stdin"]).arg(path);
    let mut child = install
        .stdin(Stdio::piped())
        .spawn()
        .expect("install(1) starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(content.as_ref()).expect("it reads");
    drop(stdin);
    assert!(child.wait().expect("it ends").success());
    path.to_owned()
}
