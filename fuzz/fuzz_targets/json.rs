//! A JSON body of a hostile server, and a path: the path is the first line, the body the rest.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sitemon::check::wire::decimal::compare;
use sitemon::json::{Document, Value};
use std::cmp::Ordering;

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|&byte| byte == b'\n');
    let (path, body) = bytes.split_at(end.unwrap_or(0));
    let path = String::from_utf8_lossy(path);
    match Document::parse(body) {
        Ok(document) => match document.get(&path) {
            Some(Value::Text(text)) => {
                // U+FFFD has three bytes, the byte that it replaces is one.
                assert!(text.decoded().len() <= 3 * body.len());
            }
            Some(Value::Number(number)) => {
                // The number in the path, to compare with.
                let other = match path.trim_start_matches(|c: char| !c.is_ascii_digit()) {
                    "" => "1e-9",
                    other => other,
                };
                assert_eq!(compare(&number, &number), Ordering::Equal);
                assert_eq!(compare(&number, other), compare(other, &number).reverse());
            }
            Some(Value::Array(items) | Value::Object(items)) => {
                assert!(items.values().count() <= body.len());
            }
            _ => {}
        },
        Err(at) => assert!(at <= body.len()),
    }
});
