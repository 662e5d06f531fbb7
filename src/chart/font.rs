//! The font of the pictures: Roboto Condensed as grey bitmaps, made once by `font/make`. The
//! bitmaps take 14,189 bytes; `ab_glyph` or `fontdue` with outlines of the same letters take 90 KB
//! on ARMv7. A block is decompressed when a text first needs it.

use crate::deflated;
use crate::monitor::render::picture::has_letter;
use std::cell::OnceCell;
use std::ops::RangeInclusive;

/// Size of the em in pixels.
const SIZE: i32 = 34;
/// Line height in pixels.
pub const LINE: i32 = SIZE + 8;
/// Last character of a text that was shortened.
const DOTS: char = '…';
/// The code at which [`DOTS`] is stored; U+007F itself is a control character.
const DOTS_PLACE: u32 = 0x7F;
/// Length of a letter's header in bytes.
const HEAD: usize = 5;

/// A block of characters: its decompressed length (two bytes, little-endian), then a deflate stream
/// (RFC 1951) of the headers of all letters and the pixels of all letters. A header consists of
/// advance, left offset, top offset (from the top of the em), width and height. Pixels have two
/// bits, the first one in the highest bits; each row starts at a byte.
const BLOCKS: [(RangeInclusive<u32>, &[u8]); 4] = [
    (0x20..=DOTS_PLACE, include_bytes!("font/basic")),
    (0xA0..=0xFF, include_bytes!("font/latin-1")),
    (0x100..=0x17F, include_bytes!("font/latin-a")),
    (0x400..=0x45F, include_bytes!("font/cyrillic")),
];

/// The blocks that have been decompressed so far.
#[derive(Default)]
pub struct Font {
    blocks: [OnceCell<Block>; BLOCKS.len()],
}

struct Block {
    /// The headers of all letters, then their pixels.
    letters: Vec<u8>,
    /// Offsets of the pixels of each letter in `letters`.
    starts: Vec<u16>,
}

/// A letter. Lengths are in pixels.
pub struct Letter<'a> {
    /// Distance to the next letter.
    pub advance: i32,
    /// Offset of the upper left pixel from the upper left corner of the em.
    pub offset: (i32, i32),
    pub width: i32,
    pub height: i32,
    pixels: &'a [u8],
}

impl Letter<'_> {
    /// Returns the coverage of a pixel: 0 to 3.
    pub fn ink(&self, x: i32, y: i32) -> u8 {
        let at = y * ((self.width + 3) / 4 * 4) + x;
        let byte = usize::try_from(at / 4)
            .ok()
            .and_then(|at| self.pixels.get(at));
        byte.map_or(0, |byte| byte >> (6 - 2 * (x % 4)) & 3)
    }
}

impl Font {
    /// Returns the letter for `c`, or a question mark if the font doesn't have it ([`has_letter`]).
    pub fn letter(&self, c: char) -> Letter<'_> {
        let code = if c == DOTS { DOTS_PLACE } else { u32::from(c) };
        let known = |(codes, _): &(RangeInclusive<u32>, &[u8])| codes.contains(&code);
        let Some(place) = BLOCKS.iter().position(known) else {
            return self.letter('?');
        };
        let (codes, packed) = &BLOCKS[place];
        let block = self.blocks[place].get_or_init(|| unpacked(packed, codes.clone().count()));
        let number = (code - codes.start()) as usize;
        let head = &block.letters[number * HEAD..][..HEAD];
        Letter {
            advance: head[0].into(),
            offset: ((head[1] as i8).into(), (head[2] as i8).into()),
            width: head[3].into(),
            height: head[4].into(),
            pixels: &block.letters[block.starts[number].into()..],
        }
    }

    /// Returns the width of `text` in pixels.
    pub fn width(&self, text: &str) -> i32 {
        text.chars().map(|c| self.letter(c).advance).sum()
    }

    /// Returns `text` as it can be drawn: combining marks are left out, runs of other unknown
    /// characters become one `?`, and text wider than `width` pixels is shortened and ends in
    /// [`DOTS`].
    pub fn fitting(&self, text: &str, width: i32) -> String {
        let dots = self.letter(DOTS).advance;
        let mut shown = String::new();
        let mut used = 0;
        // Length in bytes of the text that leaves room for the dots.
        let mut kept = 0;
        for c in text.chars() {
            let c = match c {
                _ if has_letter(c) => c,
                '\u{300}'..='\u{36F}' => continue,
                _ if shown.ends_with('?') => continue,
                _ => '?',
            };
            shown.push(c);
            used += self.letter(c).advance;
            if used + dots <= width {
                kept = shown.len();
            }
        }
        if used > width {
            shown.truncate(kept);
            shown.truncate(shown.trim_end().len());
            shown.push(DOTS);
        }
        shown
    }
}

fn unpacked(block: &[u8], count: usize) -> Block {
    let (length, packed) = block.split_at(2);
    let length = u16::from_le_bytes([length[0], length[1]]);
    let letters = deflated::unpacked(packed, length.into());
    let mut starts = Vec::with_capacity(count);
    let mut end = count * HEAD;
    for head in letters.chunks(HEAD).take(count) {
        starts.push(end as u16);
        end += usize::from(head[3]).div_ceil(4) * usize::from(head[4]);
    }
    Block { letters, starts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_that_a_picture_may_have_is_there() {
        let font = Font::default();
        for c in ('\0'..='\u{FFFF}').filter(|c| has_letter(*c)) {
            let letter = font.letter(c);
            assert!(letter.advance > 0, "{c}");
            let inks = (0..letter.height).flat_map(|y| (0..letter.width).map(move |x| (x, y)));
            let inked = inks.filter(|(x, y)| letter.ink(*x, *y) > 0).count();
            assert_eq!(inked == 0, c.is_whitespace(), "{c}");
            let (_, top) = letter.offset;
            assert!(top >= 0 && top + letter.height <= LINE + 4, "{c}");
        }
        assert!(BLOCKS.iter().all(|(_, packed)| packed.len() < 4000));
    }

    #[test]
    fn what_the_font_lacks_is_one_question_mark_and_what_is_too_long_ends_in_dots() {
        let font = Font::default();
        let shown = |text: &str, width: i32| font.fitting(text, width);
        assert_eq!(
            shown("Müller \u{1F600}\u{1F600} shop", 900),
            "Müller ? shop"
        );
        assert_eq!(shown("Žluťoučký кіт", 900), "Žluťoučký кіт");
        assert_eq!(shown("cafe\u{301}", 900), "cafe");
        assert_eq!(shown("\u{202E}\u{645}\u{648}\u{642}\u{639}", 900), "?");
        let cut = shown(&"x".repeat(64), 200);
        assert!(cut.ends_with("xx…") && font.width(&cut) <= 200, "{cut}");
        assert_eq!(shown("abc", 0), "…");
    }

    /// Phones show a picture 300 points wide.
    #[test]
    fn text_is_at_least_eleven_points_high_in_a_bubble() {
        let points = f64::from(SIZE) * 300.0 / f64::from(super::super::draw::WIDTH);
        assert!(points >= 11.0, "{points}");
    }
}
