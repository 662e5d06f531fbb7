//! Reads, unpacks and searches response bodies within bounds.

use super::charset::{self, Charset};
use super::wire::gzip::{Damaged, Gunzip};
use crate::http::{BodyPermit, Client};
use futures_lite::{AsyncRead, future};
use isahc::http::{HeaderMap, header};
use std::cell::Cell;
use std::io;
use std::mem::take;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Maximum body size in bytes, after decompression. Longer bodies are truncated and judged by that part.
pub(super) const MAX_BODY: usize = 1024 * 1024;
/// Size in bytes up to which a body may be buffered without a permit.
const PERMIT_FREE: usize = 64 * 1024;
/// Size of a read in bytes.
const CHUNK: usize = 16 * 1024;
thread_local! {
    /// A chunk that no reader has: zeros for each would take longer than most bodies.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}
/// Maximum number of compressed bytes that are read, whatever they decompress to.
const PACKED: usize = 8 * 1024 * 1024;
/// Maximum number of characters of an unsupported `Content-Encoding` in a cause.
const NAMES: usize = 40;

/// Searches a stream of chunks for one text. Buffers only what may be the beginning of a match, and the
/// start of the page until its charset is known.
pub(super) struct Search {
    text: String,
    /// `None` until it is detected from the start of the page.
    charset: Option<Charset>,
    /// The text in the page's charset; `None` if that charset cannot encode it.
    needle: Option<Vec<u8>>,
    seam: Vec<u8>,
    pub(super) found: bool,
}

impl Search {
    /// Searches for a text in UTF-8.
    pub(super) fn new(text: &str) -> Search {
        Search::in_page(text, Some(Charset::Utf8))
    }

    /// Searches a page whose response headers declare this charset, if any.
    pub(super) fn in_page(text: &str, charset: Option<Charset>) -> Search {
        let mut search = Search {
            text: text.to_owned(),
            charset: None,
            needle: None,
            seam: Vec::new(),
            found: text.is_empty(),
        };
        if let Some(charset) = charset {
            search.decide(charset);
        }
        search
    }

    pub(super) fn feed(&mut self, chunk: &[u8]) {
        if self.found {
            return;
        }
        self.seam.extend_from_slice(chunk);
        if self.charset.is_none() {
            if self.seam.len() < charset::PRESCAN {
                return;
            }
            self.decide(Charset::of_page(&self.seam));
        }
        self.look();
    }

    /// Ends the search at the end of the body.
    pub(super) fn finish(&mut self) {
        if self.charset.is_none() {
            self.decide(Charset::of_page(&self.seam));
            self.look();
        }
    }

    /// Returns the name of the page's charset if it is unsupported and the text is not ASCII: the bytes of
    /// UTF-8 were searched for then.
    pub(super) fn unknown_charset(&self) -> Option<&str> {
        match &self.charset {
            Some(Charset::Unknown(name)) if !self.text.is_ascii() => Some(name),
            _ => None,
        }
    }

    fn decide(&mut self, charset: Charset) {
        self.needle = charset.encode(&self.text);
        self.charset = Some(charset);
    }

    fn look(&mut self) {
        let Some(needle) = self.needle.as_ref().filter(|needle| !needle.is_empty()) else {
            self.seam = Vec::new();
            return;
        };
        if contains(&self.seam, needle) {
            self.found = true;
            self.seam = Vec::new();
            return;
        }
        let keep = self.seam.len().min(needle.len() - 1);
        self.seam.drain(..self.seam.len() - keep);
    }
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    let Some(&first) = part.first() else {
        return true;
    };
    let mut rest = all;
    while let Some(at) = rest.iter().position(|&byte| byte == first) {
        rest = &rest[at..];
        if rest.starts_with(part) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// Compression of a body, by its `Content-Encoding` (RFC 9110, section 8.4).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Plain,
    Gzip,
    /// An unsupported coding, or several: their names, truncated.
    Other(String),
}

impl Coding {
    pub(super) fn of(headers: &HeaderMap) -> Coding {
        let lines = headers.get_all(header::CONTENT_ENCODING).iter();
        let names: Vec<String> = lines
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .map(|name| String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase())
            .filter(|name| !name.is_empty() && name != "identity")
            .collect();
        match &names[..] {
            [] => Coding::Plain,
            [name] if name == "gzip" || name == "x-gzip" => Coding::Gzip,
            names => {
                let mut shown: String = names.join(", ").chars().take(NAMES).collect();
                shown = shown.replace(|c: char| !c.is_ascii_graphic() && c != ' ', "?");
                Coding::Other(shown)
            }
        }
    }
}

/// Why a body cannot be read any further.
#[derive(Debug)]
pub(super) enum Trouble {
    Transfer(io::Error),
    Damaged(&'static str),
    /// The coding is unsupported.
    Coded(String),
    /// More than [`PACKED`] bytes came, and the body is still below its limit.
    TooMuch,
}

/// Reads a body in pieces, up to a limit on decompressed bytes.
pub(super) struct Reader<'b, B> {
    body: &'b mut B,
    coding: Coding,
    /// Created with the first read.
    gunzip: Option<Gunzip>,
    /// Empty while there is nothing to read.
    chunk: Vec<u8>,
    /// The part of `chunk` that is still to be decompressed; if there is no coding, the piece itself.
    rest: Range<usize>,
    /// Decompressed bytes up to the limit.
    left: usize,
    /// Compressed bytes up to [`PACKED`].
    packed_left: usize,
    /// Length of the current piece.
    piece: usize,
    /// No caller looks at the pieces.
    unseen: bool,
}

impl<'b, B: AsyncRead + Unpin> Reader<'b, B> {
    /// `unseen`: the body is only read to its end or the limit. Errors of its coding are ignored, and bytes
    /// that cannot be decompressed count as they are.
    pub(super) fn new(body: &'b mut B, mut coding: Coding, limit: usize, unseen: bool) -> Self {
        if unseen && matches!(coding, Coding::Other(_)) {
            coding = Coding::Plain;
        }
        Reader {
            body,
            coding,
            gunzip: None,
            chunk: Vec::new(),
            rest: 0..0,
            left: limit,
            packed_left: PACKED,
            piece: 0,
            unseen,
        }
    }

    /// Reads the next piece. Returns false at the end of the body or at the limit.
    pub(super) async fn advance(&mut self) -> Result<bool, Trouble> {
        self.left -= self.piece;
        self.piece = 0;
        while self.left > 0 {
            if let Some(gunzip) = &mut self.gunzip {
                let mut packed = &self.chunk[self.rest.clone()];
                let more = gunzip.advance(&mut packed);
                self.rest.start = self.rest.end - packed.len();
                match more {
                    Ok(true) => {
                        self.piece = gunzip.piece().len().min(self.left);
                        return Ok(true);
                    }
                    // A compressed stream that is at hand and decompresses to nothing must not block the loop.
                    Ok(false) => future::yield_now().await,
                    Err(Damaged) if self.unseen => {
                        self.coding = Coding::Plain;
                        self.gunzip = None;
                    }
                    Err(Damaged) => return Err(Trouble::Damaged("answer cannot be decompressed")),
                }
            }
            let got = future::poll_fn(|cx| self.poll_chunk(cx)).await;
            let got = got.map_err(Trouble::Transfer)?;
            self.rest = 0..got;
            if got == 0 {
                let end = self.gunzip.take().filter(|_| !self.unseen);
                let end = end.map_or(Ok(()), Gunzip::end);
                let cut = "answer cannot be decompressed: it ends too soon";
                return end.map(|()| false).map_err(|Damaged| Trouble::Damaged(cut));
            }
            match &self.coding {
                Coding::Plain => {
                    self.piece = got.min(self.left);
                    return Ok(true);
                }
                Coding::Gzip if got > self.packed_left => return Err(Trouble::TooMuch),
                Coding::Gzip => {
                    self.packed_left -= got;
                    self.gunzip.get_or_insert_default();
                }
                Coding::Other(names) => return Err(Trouble::Coded(names.clone())),
            }
        }
        Ok(false)
    }

    /// Reads into the chunk, which is not kept while there is nothing to read.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut chunk = take(&mut self.chunk);
        if chunk.is_empty() {
            chunk = SPARE.take();
            chunk.resize(CHUNK, 0);
        }
        let got = Pin::new(&mut *self.body).poll_read(cx, &mut chunk);
        match got {
            Poll::Pending => SPARE.set(chunk),
            Poll::Ready(_) => self.chunk = chunk,
        }
        got
    }

    pub(super) fn piece(&self) -> &[u8] {
        match &self.gunzip {
            Some(gunzip) => &gunzip.piece()[..self.piece],
            None => &self.chunk[..self.piece],
        }
    }

    /// The limit is reached, and more may follow.
    pub(super) fn is_cut(&self) -> bool {
        self.left == 0
    }
}

impl<B> Drop for Reader<'_, B> {
    fn drop(&mut self) {
        if !self.chunk.is_empty() {
            // Fails in a thread that is ending.
            let _ = SPARE.try_with(|spare| spare.set(take(&mut self.chunk)));
        }
    }
}

/// A body that is buffered whole. Beyond [`PERMIT_FREE`] bytes it waits for a permit.
pub(super) struct BufferedBody<'c> {
    client: &'c Client,
    site: &'c str,
    pub(super) bytes: Vec<u8>,
    /// Must be held as long as anything that is derived from the bytes.
    pub(super) permit: Option<BodyPermit>,
}

impl BufferedBody<'_> {
    pub(super) fn new<'c>(client: &'c Client, site: &'c str) -> BufferedBody<'c> {
        BufferedBody {
            client,
            site,
            bytes: Vec::new(),
            permit: None,
        }
    }

    pub(super) async fn add(&mut self, piece: &[u8]) {
        if self.permit.is_none() && self.bytes.len() + piece.len() > PERMIT_FREE {
            self.permit = Some(self.client.body_permit(self.site).await);
            // Reserve once: a vector that grows by doubling takes up to twice what it needs.
            self.bytes
                .reserve_exact(MAX_BODY - self.bytes.len().min(MAX_BODY));
        }
        self.bytes.extend_from_slice(piece);
    }
}

/// Converts bytes to text in place; those that are not UTF-8 become `?`.
pub(super) fn text(mut bytes: Vec<u8>) -> String {
    let mut sound = 0;
    loop {
        match std::str::from_utf8(&bytes[sound..]) {
            Ok(_) => return String::from_utf8(bytes).unwrap_or_default(),
            Err(error) => {
                let from = sound + error.valid_up_to();
                sound = error.error_len().map_or(bytes.len(), |len| from + len);
                bytes[from..sound].fill(b'?');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timer::block_on;
    use flate2::{Compression, GzBuilder};
    use isahc::http::HeaderValue;
    use proptest::prelude::*;
    use std::io::Write;

    #[test]
    fn a_text_is_found_over_a_seam_and_only_once_looked_for() {
        let mut search = Search::new("needle");
        search.feed(b"hay nee");
        assert!(!search.found);
        search.feed(b"dle hay");
        assert!(search.found);
        assert!(search.seam.is_empty());
        assert!(Search::new("").found);
    }

    /// Returns the first `limit` bytes, and whether more may follow.
    fn read(body: &[u8], coding: Coding, limit: usize) -> Result<(Vec<u8>, bool), Trouble> {
        let mut body = body;
        let mut reader = Reader::new(&mut body, coding, limit, false);
        let mut all = Vec::new();
        while block_on(reader.advance())? {
            all.extend_from_slice(reader.piece());
        }
        Ok((all, reader.is_cut()))
    }

    fn packed(data: &[u8]) -> Vec<u8> {
        let mut file = GzBuilder::new().write(Vec::new(), Compression::default());
        file.write_all(data).expect("memory");
        file.finish().expect("memory")
    }

    #[test]
    fn a_body_is_read_to_its_end_or_to_the_limit() {
        let body = [7; 3 * CHUNK];
        for limit in [1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            let (all, cut) = read(&body, Coding::Plain, limit).expect("reads");
            assert_eq!((&all[..], cut), (&body[..limit], true));
        }
        let (all, cut) = read(&body, Coding::Plain, body.len() + 1).expect("reads");
        assert_eq!((&all[..], cut), (&body[..], false));
    }

    #[test]
    fn the_limit_counts_unpacked_bytes() {
        let body = packed(&[7; 500_000]);
        assert!(body.len() < 1000);
        for limit in [1, 32 * 1024, 100_000, 500_000] {
            let (all, cut) = read(&body, Coding::Gzip, limit).expect("reads");
            assert_eq!((all, cut), (vec![7; limit], true));
        }
        let (all, cut) = read(&body, Coding::Gzip, 500_001).expect("reads");
        assert_eq!((all.len(), cut), (500_000, false));
    }

    #[test]
    fn packed_bytes_that_come_to_nothing_are_not_read_for_ever() {
        let head = &packed(b"")[..10];
        // A stored block of no bytes, not the last one (RFC 1951, section 3.2.4).
        let body = [head, &[0, 0, 0, 0xff, 0xff].repeat(PACKED / 5)].concat();
        let told = read(&body, Coding::Gzip, 100);
        assert!(matches!(told, Err(Trouble::TooMuch)), "{told:?}");
    }

    #[test]
    fn unpacking_to_nothing_lets_others_have_their_turn() {
        let body = packed(b"").repeat(CHUNK);
        let mut body = &body[..];
        let mut reader = Reader::new(&mut body, Coding::Gzip, 100, false);
        let mut advance = std::pin::pin!(reader.advance());
        for _ in 0..10 {
            assert!(block_on(future::poll_once(&mut advance)).is_none());
        }
    }

    #[test]
    fn a_damaged_body_is_told_by_what_is_wrong_with_it() {
        let cause = |body: &[u8], coding| match read(body, coding, 100) {
            Err(Trouble::Damaged(cause)) => cause.to_owned(),
            Err(Trouble::Coded(names)) => names,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            cause(b"nope", Coding::Gzip),
            "answer cannot be decompressed"
        );
        assert_eq!(
            cause(&packed(b"hello")[..14], Coding::Gzip),
            "answer cannot be decompressed: it ends too soon"
        );
        assert_eq!(cause(b"x", Coding::Other("br".to_owned())), "br");
        // An empty body has no coding to undo.
        for coding in [Coding::Gzip, Coding::Other("br".to_owned())] {
            assert_eq!(read(b"", coding, 9).expect("reads"), (vec![], false));
        }
    }

    #[test]
    fn codings_are_read_as_servers_write_them() {
        let of = |lines: &[&'static str]| {
            let value = HeaderValue::from_static;
            let line = |line| (header::CONTENT_ENCODING, value(line));
            let mut headers = HeaderMap::new();
            lines.iter().copied().map(line).for_each(|(name, value)| {
                headers.append(name, value);
            });
            Coding::of(&headers)
        };
        for plain in [&[][..], &[""], &[" , "], &["identity"], &["IDENTITY", ""]] {
            assert_eq!(of(plain), Coding::Plain);
        }
        for gzip in [
            &["gzip"][..],
            &["X-GZIP"],
            &["identity, Gzip ,"],
            &["", "gzip"],
        ] {
            assert_eq!(of(gzip), Coding::Gzip);
        }
        let other = |names: &str| Coding::Other(names.to_owned());
        assert_eq!(of(&["br"]), other("br"));
        assert_eq!(of(&["gzip,gzip"]), other("gzip, gzip"));
        assert_eq!(of(&["gzip", "deflate"]), other("gzip, deflate"));
        assert_eq!(of(&["a\tb"]), other("a?b"));
        let long = "a-very-long-name-that-has-no-meaning-and-no-end-in-sight";
        assert_eq!(of(&[long]), other(&long[..NAMES]));
    }

    #[test]
    fn text_takes_no_more_room_than_its_bytes() {
        assert_eq!(text("gr\u{fc}n".into()), "gr\u{fc}n");
        assert_eq!(text(b"\xffa\xc3(\xf0\x9f\x98".to_vec()), "?a?(???");
        assert_eq!(text(vec![0xff; 1000]).capacity(), 1000);
    }

    proptest! {
        #[test]
        fn chunks_make_no_difference(
            text in "[ab]{1,5}", all in "[ab]{0,60}", size in 1usize..8,
        ) {
            let mut search = Search::new(&text);
            for chunk in all.as_bytes().chunks(size) {
                search.feed(chunk);
                prop_assert!(search.seam.len() < text.len() || search.found);
            }
            prop_assert_eq!(search.found, all.contains(&text));
        }
    }
}
