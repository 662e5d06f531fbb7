//! Compresses pictures (RFC 1950, RFC 1951), a band of rows at a time. Uses the fixed Huffman codes
//! and four candidates for a match: one byte, one row and two rows back, because charts consist of
//! runs and repeated rows, and the last place with the same three bytes, because letters repeat.
//!
//! Written by hand because `miniz_oxide`, which decompresses bodies, would take 14,208 bytes more
//! on ARMv7 to compress, and 270 KB of working memory per picture.

/// Maximum length of a match.
const MAX_MATCH: usize = 258;
/// First length and number of extra bits of the length codes 257 to 285 (RFC 1951, section 3.2.5).
/// From the ninth code on, the number of extra bits grows by one every four codes; the last code
/// stands for the maximum length alone.
const LENGTHS: [(u16, u8); 29] = {
    let mut table = [(MAX_MATCH as u16, 0); 29];
    let (mut first, mut code) = (3, 0);
    while code < 28 {
        let extra = if code < 8 { 0 } else { code / 4 - 1 };
        table[code] = (first, extra as u8);
        first += 1 << extra;
        code += 1;
    }
    table
};

/// An unfinished zlib stream, appended to the content of `out`.
pub struct Zlib {
    bits: Bits,
    /// The two sums of Adler-32.
    sums: (u32, u32),
    /// Last position in the band of three bytes with this hash.
    seen: Box<[u16; 4096]>,
}

impl Zlib {
    /// Starts a stream.
    pub fn after(mut out: Vec<u8>) -> Zlib {
        out.extend_from_slice(&[0x78, 0x01]);
        let mut bits = Bits {
            out,
            held: 0,
            count: 0,
        };
        // Header of the last block, with fixed codes.
        bits.put(0b011, 3);
        Zlib {
            bits,
            sums: (1, 0),
            seen: Box::new([0; 4096]),
        }
    }

    /// Compresses `data` from `start` on. The bytes before it were added by the previous call and
    /// may be referred to. `row` is the length of a row (1 to 16,384 bytes); `data` has at most
    /// 32,768 bytes.
    pub fn add(&mut self, data: &[u8], start: usize, row: usize) {
        self.seen.fill(0);
        let mut at = start;
        while at < data.len() {
            let last = self.last(data, at);
            // `max_by_key` returns the last of equal lengths: the shortest distance, which takes
            // the fewest bits.
            let (length, back) = [at - last, 2 * row, row, 1]
                .map(|back| (matching(data, at, back), back))
                .into_iter()
                .max_by_key(|(length, _)| *length)
                .unwrap_or_default();
            if length < 3 || length == 3 && back > 256 {
                self.bits.literal(data[at]);
                at += 1;
            } else {
                self.bits.back_reference(length, back);
                for passed in at + 1..at + length {
                    self.last(data, passed);
                }
                at += length;
            }
        }
        // The sums can't overflow in 5552 bytes (RFC 1950, section 9).
        for chunk in data[start..].chunks(5552) {
            let (mut a, mut b) = self.sums;
            for byte in chunk {
                a += u32::from(*byte);
                b += a;
            }
            self.sums = (a % 65_521, b % 65_521);
        }
    }

    /// Returns where the three bytes at `at` may have occurred last, or 0, and records `at` for
    /// them.
    fn last(&mut self, data: &[u8], at: usize) -> usize {
        let Some(&[a, b, c]) = data.get(at..at + 3) else {
            return 0;
        };
        let hash = u32::from_le_bytes([a, b, c, 0]).wrapping_mul(0x9E37_79B1) >> 20;
        let at = u16::try_from(at).unwrap_or(0);
        std::mem::replace(&mut self.seen[hash as usize], at).into()
    }

    /// Ends the stream and returns the bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.bits.symbol(256);
        let mut out = self.bits.finish();
        let (a, b) = self.sums;
        out.extend_from_slice(&(b << 16 | a).to_be_bytes());
        out
    }
}

/// Returns the length of the match of the bytes at `at` with those `back` bytes before; 0 for
/// `back` 0.
fn matching(data: &[u8], at: usize, back: usize) -> usize {
    let Some(from) = at.checked_sub(back).filter(|from| *from < at) else {
        return 0;
    };
    let pairs = data[at..].iter().zip(&data[from..]).take(MAX_MATCH);
    pairs.take_while(|(a, b)| a == b).count()
}

struct Bits {
    out: Vec<u8>,
    held: u32,
    count: u32,
}

impl Bits {
    /// Writes a number, lowest bit first.
    fn put(&mut self, value: u32, bits: u32) {
        self.held |= value << self.count;
        self.count += bits;
        while self.count >= 8 {
            self.out.push(self.held as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }

    /// Writes a Huffman code, highest bit first.
    fn code(&mut self, code: u32, bits: u32) {
        self.put(code.reverse_bits() >> (32 - bits), bits);
    }

    fn symbol(&mut self, symbol: u32) {
        match symbol {
            0..144 => self.code(0x30 + symbol, 8),
            144..256 => self.code(0x190 + symbol - 144, 9),
            256..280 => self.code(symbol - 256, 7),
            _ => self.code(0xC0 + symbol - 280, 8),
        }
    }

    fn literal(&mut self, byte: u8) {
        self.symbol(u32::from(byte));
    }

    fn back_reference(&mut self, length: usize, back: usize) {
        let fits = |(first, _): &(u16, u8)| usize::from(*first) <= length;
        let place = LENGTHS.iter().rposition(fits).unwrap_or(0);
        let (first, extra) = LENGTHS[place];
        self.symbol(257 + place as u32);
        self.put(length as u32 - u32::from(first), u32::from(extra));
        // There are two distance codes per power of two; extra bits select the distance.
        let back = back as u32 - 1;
        if back < 4 {
            self.code(back, 5);
        } else {
            let extra = back.ilog2() - 1;
            self.code(2 * extra + 2 + (back >> extra & 1), 5);
            self.put(back & ((1 << extra) - 1), extra);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.put(0, 7);
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    fn unpacked(packed: &[u8]) -> Vec<u8> {
        let mut data = Vec::new();
        flate2::read::ZlibDecoder::new(packed)
            .read_to_end(&mut data)
            .expect("a sound stream");
        data
    }

    /// Compresses `data` in pieces of `rows` rows, each passed with the two rows before it.
    fn packed(data: &[u8], row: usize, rows: usize) -> Vec<u8> {
        let mut zlib = Zlib::after(vec![1, 2, 3]);
        for start in (0..data.len()).step_by(row * rows) {
            let first = start.saturating_sub(2 * row);
            let end = data.len().min(start + row * rows);
            zlib.add(&data[first..end], start - first, row);
        }
        zlib.finish().split_off(3)
    }

    #[test]
    fn rows_that_repeat_cost_next_to_nothing() {
        let row: Vec<u8> = (0..=255).cycle().take(401).collect();
        let data = row.repeat(450);
        let packed = packed(&data, 401, 32);
        assert!(packed.len() < 3000, "{}", packed.len());
        assert_eq!(unpacked(&packed), data);
    }

    proptest! {
        #[test]
        fn another_program_reads_it_back(
            data in proptest::collection::vec(0u8..=255, 0..300),
            times in 1usize..40,
            row in 1usize..9000,
            rows in 1usize..20,
        ) {
            let data = data.repeat(times);
            let rows = rows.min(32_768 / row - 2).max(1);
            prop_assert_eq!(unpacked(&packed(&data, row, rows)), data);
        }
    }
}
