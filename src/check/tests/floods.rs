//! Servers that send many bytes outside of the body: those count too, and are cut. Those of
//! well-behaved servers are not.

use super::server::{Server, request};
use super::*;
use crate::http::{CallError, HeaderValue};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const MIB: u64 = 1 << 20;

#[track_caller]
fn is_cut(server: &Server, change: impl Fn(&mut HttpCheck)) {
    let mut site = site(&server.url(), change);
    site.timeout = Duration::from_secs(60);
    let client = client();
    let outcome = block_on(run(&client, &site, false));
    let cause = "more than 8 MiB received before the answer ended";
    assert_eq!(failure(&outcome), (FailureKind::TooLarge, cause));
    all_permits_back(&client);
}

/// Sends `first`, then `again` endlessly, and counts the bytes of `again` that the client takes.
fn flooding(first: &'static [u8], again: Vec<u8>) -> (Server, Arc<AtomicU64>) {
    let taken = Arc::new(AtomicU64::new(0));
    let count = taken.clone();
    let server = Server::new(move |mut stream| {
        request(&mut stream);
        let _ = stream.write_all(first);
        while stream.write_all(&again).is_ok() {
            count.fetch_add(again.len() as u64, Ordering::Relaxed);
        }
    });
    (server, taken)
}

fn chunked() -> &'static [u8] {
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
}

#[test]
fn chunk_extensions_are_cut() {
    let mut chunk = b"1;".to_vec();
    chunk.extend([b'x'; 50_000]);
    chunk.extend(b"\r\nz\r\n");
    let (server, taken) = flooding(chunked(), chunk);
    is_cut(&server, |_| {});
    // 8 MiB, the bytes read between two checks of the limit, and the kernel's buffers on both
    // sides.
    let taken = taken.load(Ordering::Relaxed);
    assert!((8 * MIB..32 * MIB).contains(&taken), "{taken}");
    is_cut(&server, |check| check.body = Some("never".to_owned()));
}

#[test]
fn packed_bytes_and_chunk_extensions_are_cut_together() {
    let server = Server::new(|mut stream| {
        request(&mut stream);
        let head =
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n";
        let start = b"a\r\n\x1f\x8b\x08\0\0\0\0\0\0\xff\r\n";
        // 6 MiB of blocks without data, and as much of chunk extensions.
        let blocks = [0, 0, 0, 0xff, 0xff].repeat(3000);
        let extension = "x".repeat(blocks.len());
        let line = format!("{:x};{extension}\r\n", blocks.len());
        let chunk = [line.as_bytes(), &blocks, b"\r\n"].concat();
        let chunks = chunk.repeat((12 << 20) / chunk.len());
        let _ = stream.write_all(&[head, &start[..], &chunks, b"0\r\n\r\n"].concat());
    });
    is_cut(&server, |_| {});
}

#[test]
fn a_chunk_size_without_end_is_cut() {
    let (server, _) = flooding(chunked(), vec![b'0'; 50_000]);
    let outcome = outcome(&server.url(), |_| {});
    let bad = (FailureKind::Protocol, "bad chunk in the answer");
    assert_eq!(failure(&outcome), bad, "as ever");
}

#[test]
fn interim_answers_are_headers() {
    let interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n".repeat(1000);
    let (server, _) = flooding(b"", interim);
    let outcome = outcome(&server.url(), |_| {});
    let cause = "answer's headers are too large";
    assert_eq!(failure(&outcome), (FailureKind::TooLarge, cause));
}

#[test]
fn interim_answers_of_other_requests_do_not_count() {
    let server = Server::routing(|_| {
        let interim = format!(
            "HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n",
            "z".repeat(9000)
        );
        interim.repeat(20) + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    });
    let client = client();
    for _ in 0..5 {
        let good = site(&server.url(), |_| {});
        assert_eq!(block_on(run(&client, &good, false)).verdict, Ok(()));
    }
    assert_eq!(server.accepted(), 1);
}

#[test]
fn trailers_without_end_are_ended() {
    let first = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n";
    let (server, _) = flooding(first, b"X-Y: z\r\n".repeat(5000));
    let outcome = outcome(&server.url(), |_| {});
    let (kind, detail) = failure(&outcome);
    assert_ne!(kind, FailureKind::Timeout, "{detail}");
}

#[test]
fn what_is_read_as_a_body_is_not_counted() {
    let client = client();
    let server = Server::new(|mut stream| {
        while request(&mut stream).is_some() {
            let body = vec![b'b'; 900_000];
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            let sent = stream
                .write_all(head.as_bytes())
                .and(stream.write_all(&body));
            if sent.is_err() {
                break;
            }
        }
    });
    for _ in 0..25 {
        let good = site(&server.url(), |_| {});
        assert_eq!(block_on(run(&client, &good, false)).verdict, Ok(()));
    }
    assert_eq!(server.accepted(), 1);
    all_permits_back(&client);
}

#[test]
fn small_chunks_with_modest_extensions_are_no_flood() {
    let server = Server::new(|mut stream| {
        while request(&mut stream).is_some() {
            let chunks = b"4;sig=0123456789\r\nbody\r\n".repeat(50_000);
            let all = [chunked(), &chunks, b"0\r\n\r\n"].concat();
            if stream.write_all(&all).is_err() {
                break;
            }
        }
    });
    let client = client();
    // 1.2 MB each, of which 0.2 MB are a body.
    for _ in 0..12 {
        let good = site(&server.url(), |check| {
            check.body = Some("bodybody".to_owned())
        });
        assert_eq!(block_on(run(&client, &good, false)).verdict, Ok(()));
    }
    assert_eq!(server.accepted(), 1);
}

#[test]
fn a_large_page_is_cut_at_its_first_mebibyte_and_good() {
    let page = vec![b'p'; 1_500_000];
    let server = Server::new(move |mut stream| {
        while request(&mut stream).is_some() {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", page.len());
            let sent = stream
                .write_all(head.as_bytes())
                .and(stream.write_all(&page));
            if sent.is_err() {
                break;
            }
        }
    });
    for _ in 0..3 {
        let good = outcome(&server.url(), |check| check.body = Some("pp".to_owned()));
        assert_eq!(good.verdict, Ok(()));
    }
}

#[test]
fn a_long_poll_and_large_answers_of_the_bot_api_are_not_cut() {
    let server = Server::new(|mut stream| {
        while request(&mut stream).is_some() {
            std::thread::sleep(Duration::from_millis(50));
            let body = vec![b'b'; MIB as usize];
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            let sent = stream
                .write_all(head.as_bytes())
                .and(stream.write_all(&body));
            if sent.is_err() {
                break;
            }
        }
    });
    let (client, url) = (client(), server.url());
    for _ in 0..15 {
        let (kind, within) = (
            HeaderValue::from_static("text/plain"),
            Duration::from_secs(20),
        );
        let answer = block_on(client.post(&url, kind, b"x", within, IpVersion::Any));
        assert_eq!(answer.expect("an answer").body.len(), MIB as usize);
    }
    assert_eq!(server.accepted(), 1);
}

#[test]
fn a_call_is_told_that_a_head_is_too_large() {
    let status: &[u8] = b"HTTP/1.1 200 OK\r\n";
    let interim: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    // Many lines, few long ones, and interim answers of any length.
    for (first, again) in [
        (status, b"X-Y: z\r\n".to_vec()),
        (status, format!("X-Y: {}\r\n", "z".repeat(9000)).into()),
        (b"", interim.to_vec()),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000)),
    ] {
        let (server, _) = flooding(first, again);
        let (client, url) = (client(), server.url());
        let kind = HeaderValue::from_static("text/plain");
        let within = Duration::from_secs(20);
        match block_on(client.post(&url, kind, b"x", within, IpVersion::Any)) {
            Err(CallError::Failed(failure)) => {
                assert_eq!(failure.detail, "answer's headers are too large");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[cfg(feature = "http2")]
mod http2 {
    use super::super::h2::*;
    use super::*;
    use std::io;

    fn h2(check: &mut HttpCheck) {
        check.version = HttpVersion::Http2;
    }

    fn serving(script: impl Fn(&mut H2) -> io::Result<()> + Send + Sync + 'static) -> Server {
        Server::new(move |stream| {
            // Errors are caused by the client.
            let _ = H2::accept(stream).and_then(|mut h2| script(&mut h2));
        })
    }

    #[test]
    fn a_good_server_is_up() {
        let server = serving(|h2| {
            loop {
                let id = h2.request()?;
                h2.send(HEADERS, END_HEADERS, id, OK)?;
                h2.data(END_STREAM, b"hello")?;
            }
        });
        let found = outcome(&server.url(), |check| {
            h2(check);
            check.body = Some("hello".to_owned());
        });
        assert_eq!(found.verdict, Ok(()));
    }

    #[test]
    fn padding_is_cut() {
        let server = serving(|h2| {
            let id = h2.request()?;
            h2.send(HEADERS, END_HEADERS, id, OK)?;
            let padding = [&[255, b'z'][..], &[0; 255]].concat();
            loop {
                h2.data(PADDED, &padding)?;
            }
        });
        is_cut(&server, h2);
    }

    #[test]
    fn frames_that_say_nothing_are_cut_before_a_head_and_after_it() {
        let goaway = frame(
            GOAWAY,
            0,
            0,
            &[&[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0][..], &[b'z'; 16_000]].concat(),
        );
        let unknown = frame(0xbe, 0, 0, &[0; 16_000]);
        for (flood, with_head) in [(goaway, false), (unknown, true)] {
            let server = serving(move |h2| {
                let id = h2.request()?;
                if with_head {
                    h2.send(HEADERS, END_HEADERS, id, OK)?;
                    h2.data(0, b"z")?;
                }
                loop {
                    h2.write(&flood)?;
                }
            });
            is_cut(&server, h2);
        }
    }

    #[test]
    fn what_nghttp2_bounds_by_itself_is_ended_at_once() {
        let settings = frame(SETTINGS, 0, 0, &[]);
        for flood in [frame(PING, 0, 0, &[0; 8]), settings, frame(DATA, 0, 1, &[])] {
            let server = serving(move |h2| {
                let id = h2.request()?;
                h2.send(HEADERS, END_HEADERS, id, OK)?;
                loop {
                    h2.write(&flood.repeat(1000))?;
                }
            });
            let mut site = site(&server.url(), h2);
            site.timeout = Duration::from_secs(20);
            let told = block_on(run(&client(), &site, false));
            assert_ne!(
                failure(&told).0,
                FailureKind::Timeout,
                "{}",
                failure(&told).1
            );
        }
    }

    #[test]
    fn a_stream_that_is_not_read_is_not_sent_far_ahead() {
        let widest = Arc::new(AtomicU64::new(0));
        let seen = widest.clone();
        let server = serving(move |h2| {
            let id = h2.request()?;
            h2.send(HEADERS, END_HEADERS, id, OK)?;
            for _ in 0..64 {
                h2.data(0, &[b'z'; 16_000])?;
                seen.fetch_max(h2.window.unsigned_abs(), Ordering::Relaxed);
            }
            h2.data(END_STREAM, b"end")?;
            // Closing at once would reset the connection.
            h2.request().map(drop)
        });
        // The client sees the end of the body only if it has sent all window updates.
        let good = outcome(&server.url(), |check| {
            h2(check);
            check.body = Some("zend".to_owned());
        });
        assert_eq!(good.verdict, Ok(()));
        let widest = widest.load(Ordering::Relaxed);
        assert!(widest <= 131_072, "{widest}");
    }

    #[test]
    fn many_large_pages_over_one_connection_are_good() {
        let server = serving(|h2| {
            loop {
                let id = h2.request()?;
                h2.send(HEADERS, END_HEADERS, id, OK)?;
                for _ in 0..64 {
                    h2.data(0, &[b'z'; 16_000])?;
                }
                h2.data(END_STREAM, b"end")?;
            }
        });
        let client = client();
        let good = site(&server.url(), |check| {
            h2(check);
            check.body = Some("zend".to_owned());
        });
        for _ in 0..30 {
            assert_eq!(block_on(run(&client, &good, false)).verdict, Ok(()));
        }
        assert_eq!(server.accepted(), 1);
    }
}
