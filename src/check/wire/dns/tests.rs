use super::*;
use crate::clock::thread_cpu;
use proptest::prelude::*;
use std::time::Duration;

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn question(text: &str, kind: RecordKind) -> Question {
    Question {
        id: 0x1234,
        name: name(text),
        kind,
    }
}

/// Returns an answer to `question` with these records.
fn reply(question: &Question, flags: u16, records: &[(&str, u16, &[u8])]) -> Vec<u8> {
    let mut message = question.encode(false);
    message[2..4].copy_from_slice(&(0x8180 | flags).to_be_bytes());
    let count = u16::try_from(records.len()).expect("a few");
    message[6..8].copy_from_slice(&count.to_be_bytes());
    for (owner, code, data) in records {
        message.extend_from_slice(name(owner).wire());
        for part in [*code, IN, 0, 60, data.len() as u16] {
            message.extend_from_slice(&part.to_be_bytes());
        }
        message.extend_from_slice(data);
    }
    message
}

fn shown(question: &Question, message: &[u8]) -> Result<Vec<String>, Malformed> {
    let answer = question.answer(message).expect("an answer");
    let target = answer.canonical(&question.name)?;
    let shown = |data: Result<Data, Malformed>| data.map(|data| data.to_string());
    answer.records(&target, question.kind).map(shown).collect()
}

#[test]
fn a_question_is_the_bytes_that_every_server_knows() {
    let question = question("www.a", RecordKind::Aaaa);
    let plain = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03www\x01a\0\0\x1c\0\x01";
    assert_eq!(question.encode(false), plain);
    let edns =
        b"\x12\x34\x01\0\0\x01\0\0\0\0\0\x01\x03www\x01a\0\0\x1c\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0";
    assert_eq!(question.encode(true), edns);
}

#[test]
fn only_an_answer_to_this_question_is_one() {
    let asked = question("www.example.org", RecordKind::A);
    let good = reply(&asked, 0, &[]);
    assert!(asked.answer(&good).is_some());
    let spelt = reply(&question("WWW.example.ORG", RecordKind::A), 0, &[]);
    assert!(asked.answer(&spelt).is_some(), "case does not count");
    let changed = |at: usize, to: u8| {
        let mut message = good.clone();
        message[at] = to;
        message
    };
    for (what, message) in [
        ("another id", changed(1, 0)),
        ("a question", changed(2, 0x01)),
        ("another operation", changed(2, 0x81 | 0x28)),
        ("no question", changed(5, 0)),
        ("two questions", changed(5, 2)),
        ("another name", changed(13, b'v')),
        ("another kind", changed(good.len() - 3, 28)),
        ("another class", changed(good.len() - 1, 3)),
        ("cut off", good[..good.len() - 1].to_vec()),
        ("a header", good[..HEADER].to_vec()),
        ("nothing", Vec::new()),
    ] {
        assert!(asked.answer(&message).is_none(), "{what}");
    }
}

#[test]
fn a_refusal_may_leave_the_question_out() {
    let asked = question("a", RecordKind::A);
    let refusal = |code: u8| [b"\x12\x34\x81".as_slice(), &[code], &[0; 8]].concat();
    for (code, text) in [
        (1, "FORMERR"),
        (2, "SERVFAIL"),
        (5, "REFUSED"),
        (11, "error 11"),
    ] {
        let message = refusal(code);
        let answer = asked.answer(&message).expect("an answer");
        assert_eq!(answer.rcode.to_string(), text);
    }
    for code in [0, 3] {
        assert!(asked.answer(&refusal(code)).is_none(), "says too much");
    }
}

#[test]
fn aliases_are_followed_in_any_order() {
    let asked = question("www.a", RecordKind::A);
    let (b, c) = (b"\x01b\0".as_slice(), b"\x01c\0".as_slice());
    let (one, two) = (b"\xc0\0\x02\x01".as_slice(), b"\xc0\0\x02\x02".as_slice());
    let mut chain = vec![
        ("WWW.a", 5, b),
        ("b", 5, c),
        ("c", 1, one),
        ("c", 1, two),
        // Doesn't count, since it doesn't belong to the question.
        ("other", 1, b"\xff\xff\xff\xff"),
        ("c", 46, b"a signature"),
    ];
    let there = Ok(vec!["192.0.2.1".to_owned(), "192.0.2.2".to_owned()]);
    assert_eq!(shown(&asked, &reply(&asked, 0, &chain)), there);
    chain[..4].reverse();
    let message = reply(&asked, 0, &chain);
    assert_eq!(shown(&asked, &message).map(|all| all.len()), Ok(2));
    let answer = asked.answer(&message).expect("an answer");
    assert_eq!(answer.canonical(&asked.name), Ok(name("c")));
}

#[test]
fn sixty_aliases_are_followed_in_any_order() {
    const LAST: usize = 60;
    let owners: Vec<String> = (0..=LAST).map(|at| format!("a{at}")).collect();
    let targets: Vec<Vec<u8>> = owners.iter().map(|o| name(o).wire().to_vec()).collect();
    let links = owners.iter().zip(&targets[1..]);
    let mut chain: Vec<_> = links
        .map(|(o, t)| (o.as_str(), CNAME, t.as_slice()))
        .collect();
    chain.push((&owners[LAST], 1, b"\xc0\0\x02\x01"));
    let asked = question("a0", RecordKind::A);
    let there = Ok(vec!["192.0.2.1".to_owned()]);
    assert_eq!(shown(&asked, &reply(&asked, 0, &chain)), there);
    chain.reverse();
    assert_eq!(shown(&asked, &reply(&asked, 0, &chain)), there);
    // In an order that mixes the links.
    chain.sort_by_key(|(owner, ..)| owner.bytes().map(usize::from).sum::<usize>() % 3);
    assert_eq!(shown(&asked, &reply(&asked, 0, &chain)), there);
}

#[test]
fn aliases_in_a_ring_end() {
    let asked = question("a", RecordKind::A);
    let ring = [("a", 5, b"\x01b\0".as_slice()), ("b", 5, b"\x01a\0")];
    assert_eq!(shown(&asked, &reply(&asked, 0, &ring)), Ok(Vec::new()));
    let own = [("a", 5, b"\x01a\0".as_slice())];
    assert_eq!(shown(&asked, &reply(&asked, 0, &own)), Ok(Vec::new()));
}

#[test]
fn an_alias_that_was_asked_for_is_a_record() {
    let asked = question("a", RecordKind::Cname);
    let message = reply(&asked, 0, &[("a", 5, b"\x01b\0")]);
    let answer = asked.answer(&message).expect("an answer");
    let data: Vec<_> = answer.records(&asked.name, asked.kind).collect();
    assert_eq!(data, [Ok(Data(vec![Part::Name(name("b"))]))]);
}

#[test]
fn another_class_and_the_other_sections_do_not_count() {
    let asked = question("a", RecordKind::A);
    let mut message = reply(&asked, 0, &[("a", 1, b"\xc0\0\x02\x01")]);
    // An unreadable authority section follows.
    message[9] = 200;
    message.extend_from_slice(b"\xc0");
    assert_eq!(shown(&asked, &message).map(|all| all.len()), Ok(1));
    let class = message.len() - 1 - 4 - 2 - 4 - 1;
    assert_eq!(message[class], 1);
    message[class] = 3;
    assert_eq!(shown(&asked, &message), Ok(Vec::new()));
}

#[test]
fn what_lies_is_malformed() {
    let asked = question("a", RecordKind::A);
    let good = reply(&asked, 0, &[("a", 1, b"\xc0\0\x02\x01")]);
    for end in asked.encode(false).len()..good.len() {
        assert_eq!(shown(&asked, &good[..end]), Err(Malformed), "cut at {end}");
    }
    let mut more = good.clone();
    more[7] = 2;
    assert_eq!(shown(&asked, &more), Err(Malformed), "a record too few");
    let begin = asked.encode(false).len();
    for (what, low) in [("loop", begin), ("end", 0xff), ("header", 2)] {
        let mut message = good[..begin].to_vec();
        message.extend_from_slice(&[0xc0, low as u8]);
        message.extend_from_slice(&good[begin + 3..]);
        assert_eq!(shown(&asked, &message), Err(Malformed), "pointer to {what}");
    }
    let long = reply(&asked, 0, &[("a", 1, b"\xc0\0\x02\x01\0")]);
    assert_eq!(shown(&asked, &long), Err(Malformed), "an address of five");
}

#[test]
fn the_worst_answers_of_64_kib_take_no_time() {
    let asked = question("a", RecordKind::A);
    let start = thread_cpu();
    // As many records as fit, each an alias.
    let mut message = asked.encode(false);
    message[2] = 0x81;
    let begin = message.len();
    while message.len() + 14 <= TCP {
        message.extend_from_slice(b"\xc0\x0c\0\x05\0\x01\0\0\0\0\0\x02\xc0\x0c");
    }
    let count = u16::try_from((message.len() - begin) / 14).expect("fits");
    message[6..8].copy_from_slice(&count.to_be_bytes());
    assert!(count > 4500);
    assert_eq!(shown(&asked, &message), Ok(Vec::new()));
    // A ring of three aliases, repeated, in reverse order.
    let mut message = reply(&asked, 0, &[]);
    let begin = message.len();
    for _ in 0..1000 {
        for (owner, target) in [(b'c', b'a'), (b'b', b'c'), (b'a', b'b')] {
            message.extend_from_slice(&[1, owner, 0]);
            message.extend_from_slice(b"\0\x05\0\x01\0\0\0\0\0\x03");
            message.extend_from_slice(&[1, target, 0]);
        }
    }
    let count = u16::try_from((message.len() - begin) / 16).expect("fits");
    message[6..8].copy_from_slice(&count.to_be_bytes());
    assert_eq!(shown(&asked, &message), Ok(Vec::new()));
    // A name that consists of pointers to pointers.
    let mut message = reply(&asked, 0, &[]);
    message[7] = 1;
    let begin = message.len();
    for at in (begin..16_000).step_by(2) {
        message.extend_from_slice(&(0xc000 | (at as u16 + 2)).to_be_bytes());
    }
    message.extend_from_slice(b"\0\0\x01\0\x01\0\0\0\0\0\0");
    assert_eq!(shown(&asked, &message), Err(Malformed));
    assert!(
        thread_cpu() - start < Duration::from_secs(2),
        "{:?}",
        thread_cpu() - start
    );
}

fn any_kind() -> impl Strategy<Value = RecordKind> {
    proptest::sample::select(RecordKind::ALL.to_vec())
}

proptest! {
    #[test]
    fn a_question_reads_back_as_one(
        id: u16,
        labels in proptest::collection::vec("[a-zA-Z0-9_-]{1,20}", 0..8),
        kind in any_kind(),
        edns: bool,
    ) {
        let name = Name::parse(&labels.join(".")).expect("a name");
        let question = Question { id, name, kind };
        let mut message = question.encode(edns);
        prop_assert!(question.answer(&message).is_none(), "it isn't answered yet");
        message[2] |= 0x80;
        let answer = question.answer(&message);
        prop_assert!(answer.is_some_and(|a| a.rcode == Rcode::NO_ERROR && !a.truncated));
    }

    #[test]
    fn no_bytes_are_too_much(bytes: Vec<u8>, kind in any_kind()) {
        let question = question("a.b", kind);
        if let Some(answer) = question.answer(&bytes) {
            let _ = answer.canonical(&question.name);
        }
        // Random bytes after a valid beginning.
        let mut message = reply(&question, 0, &[]);
        message[6..8].copy_from_slice(&[0, 9]);
        message.extend_from_slice(&bytes);
        let _ = shown(&question, &message);
    }

    #[test]
    fn no_change_of_a_good_answer_is_too_much(
        changes in proptest::collection::vec((0..200usize, any::<u8>()), 0..6),
        kind in any_kind(),
    ) {
        let question = question("a.b", kind);
        let mut message = reply(&question, 0, &[
            ("a.b", 5, b"\x01c\xc0\x0c"),
            ("c.a.b", code(kind), b"\0\x05\x01d\xc0\x0c\x01e\xc0\x0c0123456789012345678"),
            ("c.a.b", code(kind), b"\0\0\0\0\0\0\xc0\x0c"),
            ("c.a.b", code(kind), b"\xc0\0\x02\x01"),
        ]);
        for (at, byte) in changes {
            if let Some(place) = message.get_mut(at) {
                *place = byte;
            }
        }
        if question.answer(&message).is_some() {
            let _ = shown(&question, &message);
        }
    }
}
