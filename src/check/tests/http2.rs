//! Answers over HTTP/2 that violate RFC 9113, sections 8.1.1 and 8.2: the check ends at
//! once, whatever the server does afterwards (`http/quirks/http2_faults.rs`).

use super::h2::*;
use super::server::Server;
use super::*;
use std::io;

const MALFORMED: &str = "answer is malformed HTTP/2";

/// Answers each request with `frames`, and reads the client's reaction.
fn answering(frames: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static) -> Server {
    Server::new(move |stream| {
        // Errors are caused by the client.
        let _ = H2::accept(stream).and_then(|mut h2| -> io::Result<()> {
            loop {
                let id = h2.request()?;
                h2.write(&frames(id))?;
            }
        });
    })
}

/// A site with a timeout that is much longer than anything here takes.
fn patient(server: &Server) -> Site {
    let mut site = site(&server.url(), |check| check.version = HttpVersion::Http2);
    site.timeout = Duration::from_secs(60);
    site
}

/// Checks the server several times, since the fault that is tested for showed only at times.
#[track_caller]
fn ends_with_one_of(causes: &[&str], frames: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static) {
    let server = answering(frames);
    let (site, client) = (patient(&server), client());
    let start = Instant::now();
    for _ in 0..5 {
        let outcome = block_on(run(&client, &site, false));
        let (kind, detail) = failure(&outcome);
        assert_eq!(kind, FailureKind::Protocol, "{detail}");
        assert!(causes.contains(&detail), "{detail}");
    }
    assert!(start.elapsed() < Duration::from_secs(30));
    all_permits_back(&client);
}

#[track_caller]
fn ends_with(cause: &str, frames: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static) {
    ends_with_one_of(&[cause], frames);
}

/// Returns a head with these fields, and the body `hello`.
fn hello(id: u32, fields: &[&[u8]]) -> Vec<u8> {
    let head = frame(HEADERS, END_HEADERS, id, &fields.concat());
    [head, frame(DATA, END_STREAM, id, b"hello")].concat()
}

#[test]
fn fields_of_http_1_end_the_check_at_once() {
    for name in [
        "connection",
        "transfer-encoding",
        "keep-alive",
        "proxy-connection",
        "upgrade",
        "te",
    ] {
        let cause = format!("{MALFORMED} (header field {name})");
        ends_with(&cause, move |id| {
            hello(id, &[OK, &field(name.as_bytes(), b"gzip")])
        });
    }
}

#[test]
fn names_and_pseudo_header_fields_that_are_wrong_end_the_check_at_once() {
    for (field_name, fields) in [
        ("Server", vec![OK.to_vec(), field(b"Server", b"x")]),
        ("x-aBc", vec![OK.to_vec(), field(b"x-aBc", b"x")]),
        (":status", vec![field(b"server", b"x"), OK.to_vec()]),
        (":status", vec![OK.to_vec(), OK.to_vec()]),
        (":status", vec![field(b":status", b"2000")]),
        (":status", vec![field(b":status", b"ok")]),
        (":status", vec![field(b":status", b"")]),
        (":path", vec![OK.to_vec(), field(b":path", b"/")]),
        (":new", vec![OK.to_vec(), field(b":new", b"/")]),
        (
            "content-length",
            vec![OK.to_vec(), field(b"content-length", b"five")],
        ),
        (
            "content-length",
            vec![OK.to_vec(), field(b"content-length", b"5").repeat(2)],
        ),
    ] {
        let cause = format!("{MALFORMED} (header field {field_name})");
        ends_with(&cause, move |id| hello(id, &[&fields.concat()]));
    }
}

#[test]
fn an_answer_without_a_status_or_of_another_length_ends_the_check_at_once() {
    ends_with(MALFORMED, |id| hello(id, &[&field(b"server", b"x")]));
    ends_with(MALFORMED, |id| {
        frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            id,
            &field(b"server", b"x"),
        )
    });
    for length in [b"4", b"6", b"0"] {
        ends_with(MALFORMED, move |id| {
            hello(id, &[OK, &field(b"content-length", length)])
        });
    }
    // The interim answer ends the stream.
    ends_with(MALFORMED, |id| {
        frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            id,
            &field(b":status", b"103"),
        )
    });
}

#[test]
fn frames_that_are_out_of_place_end_the_check_at_once() {
    // libcurl itself detects some of them.
    let causes = [MALFORMED, "answer is not HTTP/2"];
    let trailer = field(b"a", b"b");
    let frames: [fn(u32) -> Vec<u8>; 9] = [
        // A body before its head, a head within another, an undecodable one.
        |id| frame(DATA, END_STREAM, id, b"hello"),
        |id| frame(HEADERS, 0, id, OK).repeat(2),
        |id| frame(HEADERS, END_HEADERS, id, &[0xff; 20]),
        // Settings of an odd size, empty window updates, streams that do not exist.
        |_| frame(SETTINGS, 0, 0, &[0; 5]),
        |_| frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
        |id| frame(WINDOW_UPDATE, 0, id, &[0; 4]),
        |id| hello(id + 10, &[OK]),
        |id| frame(RST_STREAM, 0, id + 10, &[0; 4]),
        // A frame larger than the client allows.
        |id| frame(DATA, 0, id, &[0; 17_000]),
    ];
    for frames in frames {
        ends_with_one_of(&causes, frames);
    }
    // A trailer that does not end the stream.
    ends_with_one_of(&causes, move |id| {
        let head = frame(HEADERS, END_HEADERS, id, OK);
        let trailer = frame(HEADERS, END_HEADERS, id, &trailer);
        [head, frame(DATA, 0, id, b"hello"), trailer].concat()
    });
}

#[test]
fn a_stream_that_is_reset_or_refused_ends_the_check_at_once() {
    let broken_off = "HTTP/2 stream broken off";
    let reset = [0, 0, 0, 2];
    ends_with(broken_off, move |id| frame(RST_STREAM, 0, id, &reset));
    ends_with(broken_off, move |id| {
        let head = frame(HEADERS, END_HEADERS, id, OK);
        [head, frame(RST_STREAM, 0, id, &reset)].concat()
    });
}

#[test]
fn what_only_looks_wrong_is_up() {
    for fields in [
        vec![OK.to_vec(), field(b"te", b"trailers")],
        vec![OK.to_vec(), field(b"x trace", b"a")],
        vec![OK.to_vec(), field(b"content-length", b"5")],
        vec![field(b":status", b"103")],
    ] {
        let interim = fields.len() == 1;
        let server = answering(move |id| match interim {
            true => [
                frame(HEADERS, END_HEADERS, id, &fields.concat()),
                hello(id, &[OK]),
            ]
            .concat(),
            false => hello(id, &[&fields.concat()]),
        });
        let mut site = patient(&server);
        if let Check::Http(check) = &mut site.check {
            check.body = Some("hello".to_owned());
        }
        assert_eq!(block_on(run(&client(), &site, false)).verdict, Ok(()));
    }
}
