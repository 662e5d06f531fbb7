//! Servers that are silent, lie or are hostile: each is one failed check with a cause, in time.

use super::*;

#[test]
fn silence_is_a_timeout_after_asking_twice() {
    let server = DnsServer::new(|_| Vec::new());
    let outcome = asked(&server, SHORT, |_| {});
    let cause = (
        FailureKind::Timeout,
        "no answer from 127.0.0.1 within 300ms",
    );
    assert_eq!((failure(&outcome), outcome.took), (cause, None));
    let (first, second) = (server.queries.recv(), server.queries.recv());
    let (first, second) = (first.expect("a question"), second.expect("another"));
    assert_eq!(first[..11], second[..11]);
    assert_eq!((first[11], second[11]), (1, 0), "EDNS, and then none");
    assert_eq!(
        second,
        [&first[..11], &[0], &first[12..second.len()]].concat()
    );
}

#[test]
fn a_lost_datagram_is_no_failure() {
    let asked_before = std::sync::atomic::AtomicBool::new(false);
    let server = DnsServer::new(move |query| {
        match asked_before.swap(true, std::sync::atomic::Ordering::SeqCst) {
            true => vec![reply(query, 0, &[(1, ONE)])],
            false => Vec::new(),
        }
    });
    assert_eq!(
        asked(&server, Duration::from_secs(1), |_| {}).verdict,
        Ok(())
    );
}

#[test]
fn what_is_no_answer_to_us_is_passed_over() {
    let noise = |query: &[u8]| {
        let good = reply(query, 0, &[(1, TWO)]);
        let mut id = good.clone();
        id[0] ^= 1;
        let mut question = good.clone();
        question[13] = b'x';
        let mut kind = good.clone();
        kind[question_end(query) - 3] = 28;
        vec![
            id,
            question,
            kind,
            query.to_vec(),
            b"garbage".to_vec(),
            Vec::new(),
        ]
    };
    let server = DnsServer::new(move |query| {
        let mut answers = noise(query);
        answers.push(reply(query, 0, &[(1, ONE)]));
        answers
    });
    let outcome = asked(&server, Duration::from_secs(5), |_| {});
    assert_eq!(outcome.detail.as_deref(), Some("A 192.0.2.1"));
    let never = DnsServer::new(noise);
    let outcome = asked(&never, SHORT, |_| {});
    let cause = "no fitting answer from 127.0.0.1 within 300ms";
    assert_eq!(failure(&outcome), (FailureKind::Timeout, cause));
}

#[test]
fn a_spelling_of_the_question_does_not_matter() {
    let server = DnsServer::new(|query| {
        let mut message = reply(query, 0, &[(1, ONE)]);
        message[13..16].make_ascii_uppercase();
        vec![message]
    });
    assert_eq!(
        asked(&server, Duration::from_secs(5), |_| {}).verdict,
        Ok(())
    );
}

#[test]
fn an_answer_that_lies_is_malformed() {
    let malformed = of(FailureKind::Protocol, "malformed answer");
    let lie = |what, answer: fn(&[u8]) -> Vec<u8>| {
        let server = DnsServer::new(move |query| vec![answer(query)]);
        assert_eq!(told(&server, |_| {}), malformed, "{what}");
    };
    lie("a name that points at itself", |query| {
        let mut message = reply(query, 0, &[(1, ONE)]);
        let begin = question_end(query);
        message[begin + 1] = begin as u8;
        message
    });
    lie("a name that points past the end", |query| {
        let mut message = reply(query, 0, &[(1, ONE)]);
        let begin = question_end(query);
        message[begin..begin + 2].copy_from_slice(&[0xff, 0xff]);
        message
    });
    lie("an address of three bytes", |query| {
        reply(query, 0, &[(1, &ONE[..3])])
    });
    lie("fewer records than it says", |query| {
        let mut message = reply(query, 0, &[(1, ONE)]);
        message[6..8].fill(0xff);
        message
    });
    lie("garbage in place of records", |query| {
        let mut message = reply(query, 0, &[]);
        message[7] = 1;
        message.extend_from_slice(&[0x99; 100]);
        message
    });
}

#[test]
fn an_alias_in_a_ring_is_no_record() {
    let server = DnsServer::with(&[(5, b"\xc0\x0c")]);
    let cause = "no A record for www.example.org";
    assert_eq!(told(&server, |_| {}), of(FailureKind::Status, cause));
}

#[test]
fn a_truncated_answer_is_fetched_over_tcp() {
    let server = DnsServer::over_tcp(|mut stream, query| {
        let _ = stream.write_all(&framed(&reply(query, 0, &[(1, ONE)])));
    });
    let outcome = asked(&server, Duration::from_secs(5), |_| {});
    assert_eq!(outcome.detail.as_deref(), Some("A 192.0.2.1"));
    assert!(!outcome.phases.expect("measured").connect.is_zero());
}

#[test]
fn five_thousand_records_in_64_kib_are_read() {
    let server = DnsServer::over_tcp(|mut stream, query| {
        let mut message = reply(query, 0, &[(1, ONE)]);
        let record = message[question_end(query)..].to_vec();
        let mut count: u16 = 1;
        while count < 4094 && message.len() + record.len() <= 65_535 {
            message.extend_from_slice(&record);
            count += 1;
        }
        // The last record differs, and the bytes after it are no record.
        message.truncate(message.len() - 4);
        message.extend_from_slice(TWO);
        message[6..8].copy_from_slice(&count.to_be_bytes());
        message.resize(65_535, 0);
        let _ = stream.write_all(&framed(&message));
    });
    let outcome = asked(&server, Duration::from_secs(5), |check| {
        check.expect = Some("192.0.2.2".to_owned());
    });
    assert_eq!(outcome.verdict, Ok(()));
    let detail = outcome.detail.expect("records");
    assert!(detail.ends_with("192.0.2.1 and 4079 more"), "{detail}");
    assert!(detail.len() < 200);
}

#[test]
fn tcp_that_fails_is_told_by_how_it_did() {
    let within = |timeout, script: fn(TcpStream, &[u8])| {
        let outcome = asked(&DnsServer::over_tcp(script), timeout, |_| {});
        let (kind, detail) = failure(&outcome);
        let detail = detail.strip_prefix("answer is truncated; over TCP: ");
        of(kind, detail.expect("over TCP"))
    };
    let over_tcp = |script| within(Duration::from_secs(5), script);
    let protocol = |detail| of(FailureKind::Protocol, detail);
    let nothing = "server closed the connection without an answer";
    assert_eq!(over_tcp(|_, _| {}), protocol(nothing));
    assert_eq!(
        over_tcp(|mut stream, query| {
            let message = framed(&reply(query, 0, &[(1, ONE)]));
            let _ = stream.write_all(&message[..20]);
        }),
        protocol("answer broken off")
    );
    assert_eq!(
        over_tcp(|mut stream, _| {
            let _ = stream.write_all(&[0]);
        }),
        protocol("answer broken off")
    );
    assert_eq!(
        over_tcp(|mut stream, _| {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            let _ = stream.write_all(&[b'x'; 20_000]);
        }),
        protocol("malformed answer")
    );
    assert_eq!(
        over_tcp(|mut stream, query| {
            let mut message = reply(query, 0, &[(1, ONE)]);
            message[0] ^= 1;
            let _ = stream.write_all(&framed(&message));
        }),
        protocol("malformed answer")
    );
    assert_eq!(
        within(SHORT, |mut stream, _| {
            // Silent until the client gives up.
            let _ = stream.read(&mut [0]);
        }),
        of(FailureKind::Timeout, "no answer within 300ms")
    );
    assert_eq!(
        within(SHORT, |mut stream, _| {
            let _ = stream.write_all(&[0xff; 2]);
            while stream.write_all(&[0]).is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }),
        of(FailureKind::Timeout, "no answer within 300ms")
    );
    let no_tcp = DnsServer::new(|query| vec![truncated(query)]);
    let cause = format!(
        "answer is truncated; over TCP: connection refused by {}",
        no_tcp.address
    );
    assert_eq!(told(&no_tcp, |_| {}), of(FailureKind::Connect, &cause));
}

#[test]
fn a_flood_of_wrong_answers_ends_in_time_and_costs_little() {
    let server = DnsServer::new(|query| {
        let mut wrong = reply(query, 0, &[(1, ONE)]);
        wrong[0] ^= 1;
        vec![wrong; 20_000]
    });
    let before = thread_time();
    let outcome = asked(&server, Duration::from_secs(1), |_| {});
    let cause = "no fitting answer from 127.0.0.1 within 1s";
    assert_eq!(failure(&outcome), (FailureKind::Timeout, cause));
    let spent = thread_time() - before;
    assert!(
        spent < Duration::from_millis(200),
        "{spent:?} of one second"
    );
}

/// Returns the CPU time of this thread, on which the check runs.
fn thread_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let spent = stat.split(' ').next().expect("a number");
    Duration::from_nanos(spent.parse().expect("a number"))
}
