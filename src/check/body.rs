//! Reading a body up to a bound, and looking for texts in it without keeping it.

use futures_lite::{AsyncRead, AsyncReadExt};
use std::io;

/// Looks for one text in a stream of chunks; keeps no more than fits over their seams.
pub(super) struct Search {
    text: Vec<u8>,
    seam: Vec<u8>,
    pub(super) found: bool,
}

impl Search {
    pub(super) fn new(text: &str) -> Search {
        Search {
            text: text.as_bytes().to_vec(),
            seam: Vec::new(),
            found: text.is_empty(),
        }
    }

    pub(super) fn feed(&mut self, chunk: &[u8]) {
        if self.found {
            return;
        }
        self.seam.extend_from_slice(chunk);
        if contains(&self.seam, &self.text) {
            self.found = true;
            self.seam = Vec::new();
            return;
        }
        let keep = self.seam.len().min(self.text.len() - 1);
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

/// Reads `body` to its end or until `limit` bytes have come, and shows them to `see` piece by piece.
/// What is read beyond `limit` isn't shown. True: the limit was reached, and more may follow.
pub(super) async fn read(
    body: &mut (impl AsyncRead + Unpin),
    limit: usize,
    mut see: impl FnMut(&[u8]),
) -> io::Result<bool> {
    let mut chunk = vec![0; 16 * 1024];
    let mut left = limit;
    while left > 0 {
        let got = body.read(&mut chunk).await?;
        if got == 0 {
            break;
        }
        let got = got.min(left);
        left -= got;
        see(&chunk[..got]);
    }
    Ok(left == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::block_on;
    use proptest::prelude::*;

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

    #[test]
    fn a_text_beyond_the_limit_does_not_count() {
        let mut search = Search::new("ok");
        let mut body: &[u8] = b"..........ok";
        let cut = block_on(read(&mut body, 11, |chunk| search.feed(chunk)));
        assert!(cut.expect("reads") && !search.found);
        let mut whole: &[u8] = b"..........ok";
        let cut = block_on(read(&mut whole, 13, |chunk| search.feed(chunk)));
        assert!(!cut.expect("reads") && search.found);
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
