//! Compares the messages with `tests/messages.txt`, which contains each kind of message once, so
//! that changes of wording show in one text, and with `docs/chat.md`, which shows those of one day.

use crate::agent::reload;
use crate::chat::poller::WEBHOOK_DELETED;
use crate::cli::pair::{PAIRED, PAIRED_UNWRITTEN};
use crate::monitor::tests::chat_day;
use crate::monitor::tests::messages::transcript;
use crate::state::State;
use std::path::Path;

/// Returns the messages that aren't written by the core.
fn of_the_shell() -> String {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("snapshot"), "no snapshot").expect("written");
    let damage = State::open(dir.path()).expect("opens").load().damage;
    let damage = damage.expect("the file is no snapshot");
    let shown = dir.path().display().to_string();
    let notices = [
        reload::unreadable("Permission denied"),
        format!("{} `sitemon config` shows them.", reload::MISTAKES),
        reload::NO_CHATS.to_owned(),
        reload::NO_SITES.to_owned(),
        reload::wants_restart("`state`, `max_connections`"),
        WEBHOOK_DELETED.to_owned(),
        damage.replace(&shown, "/var/lib/sitemon"),
    ];
    let notices = notices.map(|text| format!("ℹ️ {text}\n\n"));
    format!(
        "\n# Notices of the agent\n\n{}\n# The answers of `sitemon pair`\n\n{PAIRED}\n\n{PAIRED_UNWRITTEN}\n",
        notices.concat()
    )
}

#[test]
fn messages_are_those_of_the_snapshot() {
    is_up_to_date("tests/messages.txt", &(transcript() + &of_the_shell()));
}

#[test]
fn messages_of_a_day_are_those_of_the_page() {
    is_up_to_date("docs/chat.md", &chat_day::page().0);
}

/// `docs/pictures/draw-chat` draws the messages of the page and this chart.
#[cfg(feature = "charts")]
#[test]
fn messages_of_a_day_have_the_chart_of_the_page() {
    let drawn = crate::chart::png(&chat_day::page().1.expect("a chart"));
    let written = on_disk("docs/pictures/day.png", &drawn);
    assert!(
        written == drawn,
        "docs/pictures/day.png looks different; `WRITE_MESSAGES=1 cargo test --lib messages` writes it anew"
    );
}

/// Returns the content of the file, after rewriting it if `WRITE_MESSAGES` is set.
fn on_disk(file: &str, bytes: &[u8]) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("WRITE_MESSAGES").is_some() {
        std::fs::write(&path, bytes).unwrap();
    }
    std::fs::read(&path).unwrap_or_default()
}

fn is_up_to_date(file: &str, text: &str) {
    let written = on_disk(file, text.as_bytes());
    let written = String::from_utf8_lossy(&written);
    let differ = text.lines().zip(written.lines()).find(|(a, b)| a != b);
    assert!(
        text == written,
        "{file} is out of date, first here: {differ:?}; `WRITE_MESSAGES=1 cargo test --lib messages` writes it anew"
    );
}
