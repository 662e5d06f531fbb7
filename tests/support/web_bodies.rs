//! Bodies that are too big for memory, generated chunk by chunk as the client reads them.

use std::iter;

pub type Body = Box<dyn Iterator<Item = Vec<u8>>>;

const CHUNK: u64 = 64 * 1024;

/// A body of `size` letters.
pub fn letters(size: u64) -> Body {
    Box::new(sizes(size, CHUNK).map(|n| vec![b'b'; n as usize]))
}

/// `count` header lines.
pub fn headers(count: u64) -> Body {
    let mut written = 0;
    Box::new(sizes(count, 1000).map(move |n| {
        let lines = (written..written + n).map(|i| format!("X-Header-{i}: value\r\n"));
        written += n;
        lines.collect::<String>().into_bytes()
    }))
}

/// A gzip file (RFC 1952) of `size` zero bytes: one deflate block with fixed codes (RFC 1951), a
/// literal zero and then copies of up to 258 bytes at distance 1.
pub fn gzip_of_zeros(size: u64) -> Body {
    const FILE_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut bits = Bits::default();
    bits.put(1, 1); // The last block,
    bits.put(1, 2); // with fixed codes.
    let literals = if size < 258 {
        size
    } else {
        1 + (size - 1) % 258
    };
    for _ in 0..literals {
        bits.put_code(0x30, 8);
    }
    let mut crc = Crc::default();
    crc.zeros(literals);
    let start = FILE_HEAD.to_vec();
    let mut batches = sizes((size - literals) / 258, CHUNK / 16);
    let mut ended = false;
    let blocks = iter::from_fn(move || {
        if let Some(copies) = batches.next() {
            for _ in 0..copies {
                bits.put_code(0b1100_0101, 8); // Length 258,
                bits.put_code(0, 5); // distance 1.
            }
            crc.zeros(copies * 258);
            return Some(std::mem::take(&mut bits.bytes));
        }
        if ended {
            return None;
        }
        ended = true;
        bits.put_code(0, 7); // End of block.
        let mut end = std::mem::take(&mut bits).into_bytes();
        end.extend_from_slice(&crc.value().to_le_bytes());
        end.extend_from_slice(&(size as u32).to_le_bytes());
        Some(end)
    });
    Box::new(iter::once(start).chain(blocks))
}

/// Splits `total` into portions of at most `portion`.
fn sizes(total: u64, portion: u64) -> impl Iterator<Item = u64> {
    let mut left = total;
    iter::from_fn(move || {
        let n = left.min(portion);
        left -= n;
        (n > 0).then_some(n)
    })
}

/// Bits in the order of deflate: from the lowest of each byte.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    last: u8,
    used: u32,
}

impl Bits {
    /// Appends `count` bits, the lowest first.
    fn put(&mut self, value: u32, count: u32) {
        for i in 0..count {
            self.last |= ((value >> i & 1) as u8) << self.used;
            self.used += 1;
            if self.used == 8 {
                self.bytes.push(std::mem::take(&mut self.last));
                self.used = 0;
            }
        }
    }

    /// Appends a Huffman code, the highest bit first.
    fn put_code(&mut self, code: u32, count: u32) {
        self.put(code.reverse_bits() >> (32 - count), count);
    }

    fn into_bytes(mut self) -> Vec<u8> {
        if self.used > 0 {
            self.bytes.push(self.last);
        }
        self.bytes
    }
}

/// CRC-32 of zero bytes.
struct Crc {
    register: u32,
    table: [u32; 256],
}

impl Default for Crc {
    fn default() -> Crc {
        let table = std::array::from_fn(|n| {
            (0..8).fold(n as u32, |c, _| {
                if c & 1 == 1 {
                    0xEDB8_8320 ^ (c >> 1)
                } else {
                    c >> 1
                }
            })
        });
        let register = !0;
        Crc { register, table }
    }
}

impl Crc {
    fn zeros(&mut self, count: u64) {
        for _ in 0..count {
            self.register = self.table[(self.register & 0xff) as usize] ^ (self.register >> 8);
        }
    }

    fn value(&self) -> u32 {
        !self.register
    }
}
