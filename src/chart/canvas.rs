//! A small frame buffer with a palette of sixteen, and the PNG that is made of it (W3C "Portable
//! Network Graphics"): four bits a pixel, a filter byte in front of every row.
//!
//! Our own: the `png` crate compresses with its own deflate (see `deflate`), and what is left is `chunk`.

use super::deflate;
use crate::crc::Crc;
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::iso_8859_1::FONT_10X20;
use embedded_graphics::pixelcolor::Gray4;
use embedded_graphics::prelude::{
    Dimensions, DrawTarget, Drawable, GrayColor, OriginDimensions, Pixel, Point, Size,
};
use embedded_graphics::text::{Baseline, Text};
use std::convert::Infallible;

/// Width and height of a character.
pub const GLYPH: (i32, i32) = (10, 20);

/// An entry of the palette; the first one is the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    Plot = 1,
    Grid,
    Faint,
    Text,
    Median,
    Tail,
    DownBand,
    Down,
    Unknown,
    Up,
}

/// On a dark ground of its own, so that it is the same in a light chat and in a dark one. The
/// signal colours differ in brightness too, for those who cannot tell red from green.
const PALETTE: [[u8; 3]; 11] = [
    [0x17, 0x21, 0x2B],
    [0x1F, 0x2C, 0x39],
    [0x33, 0x43, 0x53],
    [0x9F, 0xB3, 0xC4],
    [0xF2, 0xF6, 0xF9],
    [0x5A, 0xC8, 0xFA],
    [0x2F, 0x6F, 0x93],
    [0x8E, 0x2A, 0x35],
    [0xFF, 0x5C, 0x5C],
    [0x3E, 0x49, 0x54],
    [0x35, 0xA8, 0x6B],
];

pub struct Canvas {
    width: i32,
    height: i32,
    row: usize,
    /// As the format wants it: rows of nibbles, each after a zero.
    data: Vec<u8>,
}

impl Canvas {
    /// Empty paper.
    pub fn new(width: i32, height: i32) -> Canvas {
        let side = |pixels: i32| usize::try_from(pixels).unwrap_or(0);
        let row = 1 + side(width).div_ceil(2);
        Canvas {
            width,
            height,
            row,
            data: vec![0; row * side(height)],
        }
    }

    fn set(&mut self, x: i32, y: i32, ink: u8) {
        if !(0..self.width).contains(&x) || !(0..self.height).contains(&y) {
            return;
        }
        let at = y as usize * self.row + 1 + x as usize / 2;
        let byte = &mut self.data[at];
        *byte = if x % 2 == 0 {
            *byte & 0x0F | ink << 4
        } else {
            *byte & 0xF0 | ink
        };
    }

    /// Fills from `x` and `y` to before `right` and `bottom`.
    pub fn fill(&mut self, (x, y): (i32, i32), (right, bottom): (i32, i32), ink: Ink) {
        for y in y.max(0)..bottom.min(self.height) {
            for x in x.max(0)..right.min(self.width) {
                self.set(x, y, ink as u8);
            }
        }
    }

    /// Every other pixel of a column, so that what is behind it stays seen.
    pub fn dotted(&mut self, x: i32, (top, bottom): (i32, i32), ink: Ink) {
        for y in (top..bottom).step_by(4) {
            self.fill((x, y), (x + 1, y + 2), ink);
        }
    }

    /// A line two pixels thick.
    pub fn line(&mut self, from: (i32, i32), to: (i32, i32), ink: Ink) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let steps = dx.abs().max(dy.abs()).max(1);
        for i in 0..=steps {
            let (x, y) = (from.0 + dx * i / steps, from.1 + dy * i / steps);
            self.fill((x, y), (x + 2, y + 2), ink);
        }
    }

    /// Writes with the upper left corner at `x` and `y`; of what does not fit into `width` pixels the
    /// end is left out. Returns where it ends.
    pub fn text(&mut self, (x, y): (i32, i32), width: i32, text: &str, ink: Ink) -> i32 {
        let text = fitting(text, usize::try_from(width / GLYPH.0).unwrap_or(0));
        let style = MonoTextStyle::new(&FONT_10X20, Gray4::new(ink as u8));
        let at = Point::new(x, y);
        match Text::with_baseline(&text, at, style, Baseline::Top).draw(self) {
            Ok(end) => end.x,
            Err(never) => match never {},
        }
    }

    /// Writes so that it ends at `right`.
    pub fn text_to(&mut self, (right, y): (i32, i32), text: &str, ink: Ink) {
        let wide = i32::try_from(text.chars().count()).unwrap_or(0) * GLYPH.0;
        self.text((right - wide, y), wide, text, ink);
    }

    /// The whole file.
    pub fn png(&self) -> Vec<u8> {
        let mut header = Vec::new();
        for side in [self.width, self.height] {
            header.extend_from_slice(&side.to_be_bytes());
        }
        // Four bits a pixel, indices into a palette; the only methods there are; not interlaced.
        header.extend_from_slice(&[4, 3, 0, 0, 0]);
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        chunk(&mut png, b"IHDR", &header);
        chunk(&mut png, b"PLTE", PALETTE.as_flattened());
        chunk(&mut png, b"IDAT", &deflate::zlib(&self.data, self.row));
        chunk(&mut png, b"IEND", &[]);
        png
    }
}

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    png.extend_from_slice(&(data.len() as u32).to_be_bytes());
    let start = png.len();
    png.extend_from_slice(kind);
    png.extend_from_slice(data);
    let sum = Crc::default().add(&png[start..]).value();
    png.extend_from_slice(&sum.to_be_bytes());
}

/// What the font can show of a text: runs of other characters become one `?`, and what is longer
/// than `most` ends in dots. The caption has the whole of it.
fn fitting(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            ' '..='~' | '\u{A1}'..='\u{FF}' => shown.push(c),
            _ if shown.ends_with('?') => {}
            _ => shown.push('?'),
        }
    }
    if shown.chars().count() > most {
        let kept = shown.chars().take(most.saturating_sub(2));
        return kept.chain("..".chars().take(most)).collect();
    }
    shown
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(self.width.unsigned_abs(), self.height.unsigned_abs())
    }
}

impl DrawTarget for Canvas {
    type Color = Gray4;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Gray4>>,
    {
        let bounds = self.bounding_box();
        for Pixel(at, ink) in pixels {
            if bounds.contains(at) {
                self.set(at.x, at.y, ink.luma());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_font_lacks_is_one_question_mark_and_what_is_too_long_ends_in_dots() {
        assert_eq!(
            fitting("Müller \u{1F600}\u{1F600} shop", 40),
            "Müller ? shop"
        );
        assert_eq!(fitting("\u{202E}\u{645}\u{648}\u{642}\u{639}", 40), "?");
        assert_eq!(fitting(&"x".repeat(64), 10), "xxxxxxxx..");
        assert_eq!(fitting("abc", 0), "");
    }

    #[test]
    fn drawing_beyond_the_edges_does_nothing() {
        let mut canvas = Canvas::new(7, 5);
        canvas.fill((-5, -5), (100, 100), Ink::Up);
        canvas.line((-10, 2), (30, 9), Ink::Down);
        canvas.text((-3, 3), 100, "gW", Ink::Text);
        canvas.text_to((-50, 3), "gW", Ink::Text);
        assert!(canvas.png().starts_with(b"\x89PNG"));
    }
}
