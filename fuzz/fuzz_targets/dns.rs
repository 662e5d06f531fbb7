//! Any bytes as the answer to a query of any type: no panic, no long work, and the text of each
//! record matches the record.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sitemon::check::wire::dns::{Name, Question};
use sitemon::monitor::site::RecordKind;

fuzz_target!(|input: &[u8]| {
    let Some((&kind, bytes)) = input.split_first() else {
        return;
    };
    let kind = RecordKind::ALL[usize::from(kind) % RecordKind::ALL.len()];
    let Some(name) = Name::parse("www.example.org") else {
        return;
    };
    let question = Question {
        id: 0x7369,
        name,
        kind,
    };
    // The bytes as they are, and after a valid header and question, with a count from the bytes.
    let mut message = question.encode(false);
    message[2] |= 0x80;
    if let Some((count, records)) = bytes.split_first() {
        message[7] = *count;
        message.extend_from_slice(records);
    }
    for message in [bytes, &message] {
        let Some(answer) = question.answer(message) else {
            continue;
        };
        let Ok(name) = answer.canonical(&question.name) else {
            continue;
        };
        for data in answer.records(&name, kind).flatten() {
            let shown = data.to_string();
            // A tag may contain blanks here, which no real one does.
            if kind != RecordKind::Caa {
                assert!(data.is(&shown), "{shown}");
            }
        }
    }
});
