//! Encodes a picture as PNG (W3C "Portable Network Graphics"): four bits per pixel, indices into a
//! palette, a filter byte before each row. The picture is drawn and compressed in bands of rows, so
//! that the memory needed doesn't depend on its height.

use super::deflate::Zlib;
use super::font::Font;
use crate::crc::Crc;

/// Height of a band in rows.
const BAND: i32 = 48;
/// Number of rows of the previous band that the compressor may refer back to.
const BAND_OVERLAP: usize = 2;

/// An index into [`PALETTE`]. The two entries before a colour that text is written in are its
/// shades for antialiasing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    Grid = 1,
    Faint = 4,
    Text = 7,
    Median,
    Tail,
    Up,
    Slow,
    Down,
    Unwatched,
}

/// The background is dark and opaque, so that the picture looks the same in light and dark themes.
/// Down and up differ in luminance by at least 3:1, also without cones for red or green.
const PALETTE: [[u8; 3]; 14] = [
    [0x0B, 0x11, 0x17],
    [0x26, 0x33, 0x3F],
    [0x3E, 0x4A, 0x55],
    [0x75, 0x86, 0x94],
    [0xAE, 0xC2, 0xD2],
    [0x56, 0x5C, 0x61],
    [0xA3, 0xA8, 0xAC],
    [0xF4, 0xF8, 0xFB],
    [0x6C, 0xCB, 0xFF],
    [0x23, 0x56, 0x76],
    [0x12, 0x62, 0x64],
    [0xFF, 0xD2, 0x4D],
    [0xFF, 0xA8, 0x84],
    [0x6B, 0x78, 0x84],
];

/// A band of a picture. Drawing outside of it has no effect.
pub struct Canvas<'a> {
    pub font: &'a Font,
    width: i32,
    /// The first row of the band, and the row after its last.
    rows: (i32, i32),
    /// Rows in PNG format: a filter byte (0), then two pixels per byte. The first [`BAND_OVERLAP`]
    /// rows are the last ones of the previous band.
    data: Vec<u8>,
}

/// Returns a PNG file of a picture that is `width` pixels wide. `draw` is called once to measure
/// and then once per band; it returns the picture's height in pixels.
pub fn png(width: i32, draw: impl Fn(&mut Canvas) -> i32) -> Vec<u8> {
    let font = Font::default();
    let mut canvas = Canvas {
        font: &font,
        width,
        rows: (0, 0),
        data: Vec::new(),
    };
    let height = draw(&mut canvas);
    let row = canvas.row();
    canvas.data = vec![0; row * (BAND_OVERLAP + BAND as usize)];

    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let start = begin(&mut png, b"IHDR");
    png.extend([width, height].map(i32::to_be_bytes).as_flattened());
    // Bit depth 4, colour type 3 (palette), default compression and filter methods, not interlaced.
    png.extend_from_slice(&[4, 3, 0, 0, 0]);
    end(&mut png, start);
    let start = begin(&mut png, b"PLTE");
    png.extend_from_slice(PALETTE.as_flattened());
    end(&mut png, start);
    let start = begin(&mut png, b"IDAT");
    let mut zlib = Zlib::after(png);
    for top in (0..height).step_by(BAND as usize) {
        canvas.rows = (top, height.min(top + BAND));
        let last = canvas.data.len() - BAND_OVERLAP * row;
        canvas.data.copy_within(last.., 0);
        canvas.data[BAND_OVERLAP * row..].fill(0);
        canvas
            .data
            .truncate(row * (BAND_OVERLAP + (canvas.rows.1 - top) as usize));
        draw(&mut canvas);
        let first = if top == 0 { BAND_OVERLAP * row } else { 0 };
        zlib.add(&canvas.data[first..], BAND_OVERLAP * row - first, row);
    }
    let mut png = zlib.finish();
    end(&mut png, start);
    let start = begin(&mut png, b"IEND");
    end(&mut png, start);
    png
}

/// Begins a chunk and returns where its data starts. [`end`] fills in the length.
fn begin(png: &mut Vec<u8>, kind: &[u8; 4]) -> usize {
    png.extend_from_slice(&[0; 4]);
    png.extend_from_slice(kind);
    png.len()
}

fn end(png: &mut Vec<u8>, start: usize) {
    let length = (png.len() - start) as u32;
    png[start - 8..start - 4].copy_from_slice(&length.to_be_bytes());
    let sum = Crc::default().add(&png[start - 4..]).value();
    png.extend_from_slice(&sum.to_be_bytes());
}

impl Canvas<'_> {
    /// Returns the length of a row in bytes.
    fn row(&self) -> usize {
        1 + usize::try_from(self.width).unwrap_or(0).div_ceil(2)
    }

    fn set(&mut self, x: i32, y: i32, ink: u8) {
        let (top, bottom) = self.rows;
        if !(0..self.width).contains(&x) || !(top..bottom).contains(&y) {
            return;
        }
        let at = (BAND_OVERLAP + (y - top) as usize) * self.row() + 1 + x as usize / 2;
        let byte = &mut self.data[at];
        *byte = if x % 2 == 0 {
            *byte & 0x0F | ink << 4
        } else {
            *byte & 0xF0 | ink
        };
    }

    /// Fills the rectangle; `right` and `bottom` are exclusive.
    pub fn fill(&mut self, (x, y): (i32, i32), (right, bottom): (i32, i32), ink: Ink) {
        for y in y.max(self.rows.0)..bottom.min(self.rows.1) {
            for x in x.max(0)..right.min(self.width) {
                self.set(x, y, ink as u8);
            }
        }
    }

    /// Fills the rectangle with diagonal stripes and leaves the pixels between them unchanged.
    pub fn hatch(&mut self, (x, y): (i32, i32), (right, bottom): (i32, i32), ink: Ink) {
        for y in y.max(self.rows.0)..bottom.min(self.rows.1) {
            for x in (x..right).filter(|x| (x + y) % 8 < 4) {
                self.set(x, y, ink as u8);
            }
        }
    }

    /// Draws a line that is four pixels thick.
    pub fn line(&mut self, from: (i32, i32), to: (i32, i32), ink: Ink) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let steps = dx.abs().max(dy.abs()).max(1);
        for i in 0..=steps {
            let (x, y) = (from.0 + dx * i / steps, from.1 + dy * i / steps);
            self.fill((x - 2, y - 2), (x + 2, y + 2), ink);
        }
    }

    /// Writes text with its upper left corner at `x` and `y`, shortened to `width` pixels. Returns
    /// the `x` at which it ends.
    pub fn text(&mut self, (mut x, y): (i32, i32), width: i32, text: &str, ink: Ink) -> i32 {
        let font = self.font;
        for c in font.fitting(text, width).chars() {
            let letter = font.letter(c);
            let (left, top) = (x + letter.offset.0, y + letter.offset.1);
            for row in (self.rows.0 - top).max(0)..(self.rows.1 - top).min(letter.height) {
                for column in 0..letter.width {
                    match letter.ink(column, row) {
                        0 => {}
                        grey => self.set(left + column, top + row, ink as u8 + grey - 3),
                    }
                }
            }
            x += letter.advance;
        }
        x
    }

    /// Writes right-aligned text and returns the `x` at which it begins.
    pub fn text_to(&mut self, (right, y): (i32, i32), text: &str, ink: Ink) -> i32 {
        let width = self.font.width(text);
        self.text((right - width, y), width, text, ink);
        right - width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawing_beyond_the_edges_does_nothing() {
        for height in [1, BAND, BAND + 1, 3 * BAND - 1] {
            let png = png(7, |canvas| {
                canvas.fill((-5, -5), (100, 1000), Ink::Up);
                canvas.hatch((-5, -5), (100, 1000), Ink::Slow);
                canvas.line((-10, 2), (30, 900), Ink::Down);
                canvas.text((-3, 3), 100, "gW", Ink::Text);
                canvas.text_to((-50, 3), "gW", Ink::Text);
                height
            });
            assert!(png.starts_with(b"\x89PNG") && png.ends_with(b"IEND\xAE\x42\x60\x82"));
        }
    }
}
