//! `tests/messages.txt` has every kind of message once: a change of words is read there as one text.

use crate::monitor::tests::messages::transcript;
use std::path::Path;

#[test]
fn messages_are_those_of_the_snapshot() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages.txt");
    let text = transcript();
    if std::env::var_os("WRITE_MESSAGES").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differ = text.lines().zip(written.lines()).find(|(a, b)| a != b);
    assert!(
        text == written,
        "tests/messages.txt is out of date, first here: {differ:?}; `WRITE_MESSAGES=1 cargo test --lib messages` \
         writes it anew"
    );
}
