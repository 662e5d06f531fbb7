//! The targets for the parsers of checks and reports.

#[path = "../../src/check/cookie_date.rs"]
mod cookie_date;
#[allow(dead_code)]
#[path = "../../src/check/cookies.rs"]
mod cookies;
#[path = "../../src/check/form.rs"]
mod form;
#[path = "../../src/check/html.rs"]
mod html;
#[allow(dead_code)]
#[path = "../../src/check/redirect.rs"]
mod redirect;
#[path = "../../src/check/wire/mod.rs"]
pub mod wire;

use crate::listen::{push, request};
use crate::monitor::site::report::{MOST_BYTES, Way};
use crate::push_wire::{self, Reply};
use http::{HeaderMap, HeaderValue, header};
use url::Url;
use wire::gzip::Gunzip;
use wire::mail::{SmtpLine, capabilities, is_starttls, starts, take_line};
use wire::x509::{Certificate, first_to_end};

/// Certificates of a hostile server.
pub fn x509(bytes: &[u8]) {
    if let Some(read) = Certificate::read(bytes) {
        for text in [read.title(), read.issuer.readable()].into_iter().flatten() {
            // Two names of 100 characters, and "() " around one of them.
            assert!(text.chars().count() <= 203);
            assert!(!text.contains(char::is_control));
        }
        assert!(read.key.len() < 40);
    }
    let (leaf, issuer) = bytes.split_at(bytes.len() / 2);
    let _ = first_to_end(&[leaf, issuer, bytes], |one, _| one.der.len() % 2 == 0);
}

/// A web server's answers to a login: the lines up to the first empty one are cookies and
/// locations, the rest is a page with a form.
pub fn login(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (lines, page) = text.split_once("\n\n").unwrap_or(("", &text));
    let from = Url::parse("https://app.example.com/app/login?next=1").expect("a URL");
    let to = from.join("../session").expect("a URL");

    if let Ok(fields) = form::fields(page, &from, &to, &["user", "password"]) {
        assert!(fields.len() <= 200);
        let size: usize = fields.iter().map(|f| f.name.len() + f.value.len()).sum();
        // A button's coordinates, a line's end and an invalid byte may become longer when they are
        // sent.
        assert!(size <= 3 * page.len());
        assert!(fields.iter().all(|field| !field.name.is_empty()));
    }

    let mut headers = HeaderMap::new();
    for line in lines.lines() {
        if let Ok(value) = HeaderValue::from_bytes(line.as_bytes()) {
            headers.append(header::SET_COOKIE, value.clone());
            headers.insert(header::LOCATION, value);
        }
    }
    let mut jar = cookies::Jar::default();
    jar.take(&from, &headers);
    let elsewhere = Url::parse("https://example.org/").expect("a URL");
    assert!(jar.header(&elsewhere, &HeaderMap::new()).is_none());
    if let Some(sent) = jar.header(&to, &HeaderMap::new()) {
        assert!(sent.len() <= lines.len() + 2 * lines.lines().count());
    }

    for status in [200, 302, 308] {
        if let Ok(Some(url)) = redirect::target(10, &from, status, &headers, 0) {
            assert_eq!(url.scheme(), "https");
            assert!(status != 200);
        }
    }
}

/// A request of a client of `[listen]`: a head, and the bytes after it.
pub fn listen(bytes: &[u8]) {
    let Some(end) = request::head_end(bytes, 0) else {
        return;
    };
    assert!(bytes[..end].ends_with(b"\r\n\r\n"));
    // The end of the head is the same however it is split into reads.
    assert_eq!(request::head_end(&bytes[..end], end - 1), Some(end));
    let (head, body) = bytes.split_at(end);
    let Ok(request) = request::read(head) else {
        return;
    };
    assert!(head.len() + request.body_length <= request::LARGEST || request.body_length == 0);
    // There is nothing that another parser could read differently.
    let lower = head.to_ascii_lowercase();
    let lines = |name: &[u8]| lower.windows(name.len()).filter(|w| *w == name).count();
    assert_eq!(lines(b"\r\ntransfer-encoding:"), 0);
    assert!(lines(b"\r\ncontent-length:") <= 1 && lines(b"\r\nhost:") <= 1);
    assert!(!head.contains(&0) && lines(b"\n") == lines(b"\r\n"));
    if let Some(push) = push::read(&request, body) {
        assert!(request.path.starts_with("/push/") && push.site.len() <= request.path.len());
    }
}

/// A job's report, from the socket or from a file of the spool, and the reply to it.
pub fn push(bytes: &[u8]) {
    if let Some(reply) = Reply::of(bytes) {
        assert_eq!(reply.word().as_bytes(), bytes);
    }
    let again = |report| push_wire::parse(push_wire::encode(report).as_bytes(), Way::Spool);
    let Some(report) = push_wire::parse(bytes, Way::Spool) else {
        return;
    };
    assert!(report.lines.len() <= MOST_BYTES && !report.site.contains('\n'));
    // Writing it to the spool doesn't change it, unless the name has a CR, which no site's name
    // has.
    let kept = again(&report).expect("a report");
    assert!(kept == report || report.site.contains('\r'));
    assert_eq!(again(&kept), Some(kept));
}

/// The lines of a mail server before TLS.
pub fn mail(bytes: &[u8]) {
    let mut received = bytes.to_vec();
    let mut taken = 0;
    while let Some(line) = take_line(&mut received) {
        taken += line.len() + 1;
        assert!(!line.contains(&b'\n'));
        if let Some(smtp) = SmtpLine::parse(&line) {
            assert!(smtp.code < 1000 && smtp.text.len() + 3 <= line.len());
        }
        if let Some(mut words) = capabilities(&line) {
            let _ = words.any(is_starttls);
        }
        if starts(&line, b"a001 OK") {
            assert!(line.len() >= 7);
        }
    }
    assert!(taken <= bytes.len() && !received.contains(&b'\n'));
}

/// A compressed body, in pieces of the size in its first byte.
pub fn inflate(bytes: &[u8]) {
    let Some((size, file)) = bytes.split_first() else {
        return;
    };
    let mut gunzip = Gunzip::default();
    let mut unpacked = 0;
    for mut piece in file.chunks(usize::from(*size) + 1) {
        loop {
            match gunzip.advance(&mut piece) {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => return,
            }
            assert!((1..=32 * 1024).contains(&gunzip.piece().len()));
            unpacked += gunzip.piece().len();
        }
        assert!(piece.is_empty());
    }
    // Two bits stand for at most 258 bytes.
    assert!(unpacked <= 1032 * file.len());
    let _ = gunzip.end();
}
