//! CRC-32 (IEEE 802.3) as used by PNG (annex D), gzip (RFC 1952, section 8) and our own files. The
//! crate crc32fast would add 17 KB to an ARMv7 binary for its table.

/// Processes four bits at a time, because a larger table would take more than the code that uses
/// it.
const TABLE: [u32; 16] = {
    let mut table = [0; 16];
    let mut i = 0;
    while i < 64 {
        // Each run of the loop shifts one of the four bits of an entry.
        let entry: u32 = if i % 4 == 0 {
            i as u32 / 4
        } else {
            table[i / 4]
        };
        table[i / 4] = (entry >> 1) ^ (0xEDB8_8320 & (entry & 1).wrapping_neg());
        i += 1;
    }
    table
};

/// The checksum of the bytes that were added so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Crc(u32);

impl Crc {
    /// Adds `bytes` at the end.
    #[must_use]
    pub fn add(self, bytes: &[u8]) -> Crc {
        let step = |crc: u32| (crc >> 4) ^ TABLE[(crc & 15) as usize];
        let sum = |crc, &byte: &u8| step(step(crc ^ u32::from(byte)));
        Crc(!bytes.iter().fold(!self.0, sum))
    }

    pub fn value(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_the_sum_of_the_whole() {
        // The check value of CRC-32/ISO-HDLC.
        let whole = Crc::default().add(b"123456789").value();
        assert_eq!(whole, 0xCBF4_3926);
        assert_eq!(
            Crc::default().add(b"1234").add(b"").add(b"56789").value(),
            whole
        );
    }
}
