//! Decompresses gzip files (RFC 1952) in pieces, buffering neither compressed nor decompressed bytes.
//!
//! Accepts what curl and browsers accept: any number of members, trailing garbage, a truncated checksum
//! or length. Rejects what they reject: a wrong checksum or length, and truncated data.
//! data that end before they say so.

use crate::crc::Crc;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use std::ops::Range;

/// Window size of deflate (RFC 1951, section 2).
const WINDOW: usize = 32 * 1024;
const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// Bytes of the fixed part of a member's header.
const HEAD: usize = 10;
/// Maximum number of compressed bytes in excess of the decompressed ones. Compressors need 5 for 16 KiB
/// at worst; a file of nearly empty blocks has their tables built for every 10 bits.
const MAX_EXCESS: usize = 64 * 1024;

// Flags of a member's header. Each stands for a part after the fixed one: EXTRA, NAME, COMMENT, CRC.
const TEXT: u8 = 1;
const CRC: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;

/// Not a gzip file, or a damaged one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

/// Decompresses one file.
pub struct Gunzip {
    place: Place,
    /// Flags of the parts of the header that are still to be read.
    flags: u8,
    /// The first bytes of the current part.
    part: [u8; HEAD],
    /// Number of bytes in `part`.
    have: usize,
    /// At least one member is complete.
    complete: bool,
    inflater: Box<DecompressorOxide>,
    window: Box<[u8]>,
    /// Range of the current piece in `window`.
    piece: Range<usize>,
    crc: Crc,
    length: u32,
    /// Compressed bytes in excess of the decompressed ones.
    excess: usize,
}

/// The part of a member that the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Head,
    ExtraLength,
    Extra(u16),
    Name,
    Comment,
    HeadCrc,
    Data,
    /// Checksum and length of the decompressed data.
    Trailer,
    /// Trailing garbage.
    Rest,
    /// After [`MAX_EXCESS`]: nothing is decompressed any more.
    Waste,
}

impl Default for Gunzip {
    fn default() -> Gunzip {
        Gunzip {
            place: Place::Head,
            flags: 0,
            part: [0; HEAD],
            have: 0,
            complete: false,
            inflater: Box::default(),
            window: vec![0; WINDOW].into_boxed_slice(),
            piece: 0..0,
            crc: Crc::default(),
            length: 0,
            excess: 0,
        }
    }
}

impl Gunzip {
    /// Decompresses the next piece. Returns false if `packed` is used up and more is needed.
    ///
    /// # Errors
    ///
    /// If the file is damaged; there is no next piece then.
    pub fn advance(&mut self, packed: &mut &[u8]) -> Result<bool, Damaged> {
        while self.place == Place::Data || !packed.is_empty() {
            if self.place != Place::Data {
                self.frame(packed)?;
            } else if self.inflate(packed)? {
                return Ok(true);
            } else if self.place == Place::Data {
                break;
            }
        }
        Ok(false)
    }

    /// The current piece, at most 32 KiB.
    pub fn piece(&self) -> &[u8] {
        &self.window[self.piece.clone()]
    }

    /// Ends the file.
    ///
    /// # Errors
    ///
    /// If it is truncated.
    pub fn end(self) -> Result<(), Damaged> {
        let is_between = self.place == Place::Head && self.have < MAGIC.len();
        match self.place {
            Place::Trailer | Place::Rest => Ok(()),
            _ if is_between && (self.complete || self.have == 0) => Ok(()),
            _ => Err(Damaged),
        }
    }

    /// Decompresses up to the end of the window. Returns false if there was no output.
    fn inflate(&mut self, packed: &mut &[u8]) -> Result<bool, Damaged> {
        let at = self.piece.end % WINDOW;
        let flags = TINFL_FLAG_HAS_MORE_INPUT;
        let (status, used, got) =
            decompress(&mut self.inflater, packed, &mut self.window, at, flags);
        *packed = packed.get(used..).unwrap_or_default();
        self.piece = at..at + got;
        self.crc = self.crc.add(self.piece());
        self.length = self.length.wrapping_add(got as u32);
        match status {
            TINFLStatus::Done => self.enter(Place::Trailer),
            TINFLStatus::NeedsMoreInput => {}
            TINFLStatus::HasMoreOutput if got > 0 => {}
            _ => return Err(Damaged),
        }
        self.excess = (self.excess + used).saturating_sub(got);
        if self.excess > MAX_EXCESS {
            self.enter(Place::Waste);
        }
        Ok(got > 0)
    }

    /// Reads a part of the header or the trailer, or as much of it as there is.
    fn frame(&mut self, packed: &mut &[u8]) -> Result<(), Damaged> {
        match self.place {
            Place::Head => {
                let is_whole = self.fill(HEAD, packed);
                let known = self.have.min(MAGIC.len());
                if self.part[..known] != MAGIC[..known] {
                    self.enter(Place::Rest);
                    return if self.complete { Ok(()) } else { Err(Damaged) };
                }
                if is_whole {
                    self.flags = self.part[3] & !TEXT;
                    // An unknown flag: the header cannot be parsed (section 2.3.1.2).
                    if self.flags & !(CRC | EXTRA | NAME | COMMENT) != 0 {
                        return Err(Damaged);
                    }
                    self.optional();
                }
            }
            Place::ExtraLength => {
                if self.fill(2, packed) {
                    self.enter(Place::Extra(u16::from_le_bytes([
                        self.part[0],
                        self.part[1],
                    ])));
                }
            }
            Place::Extra(left) => {
                let skipped = packed.len().min(usize::from(left));
                *packed = &packed[skipped..];
                match left - skipped as u16 {
                    0 => self.optional(),
                    left => self.place = Place::Extra(left),
                }
            }
            Place::Name | Place::Comment => match packed.iter().position(|byte| *byte == 0) {
                Some(end) => {
                    *packed = &packed[end + 1..];
                    self.optional();
                }
                None => *packed = &[],
            },
            Place::HeadCrc => {
                if self.fill(2, packed) {
                    self.optional();
                }
            }
            Place::Trailer => {
                if self.fill(8, packed) {
                    let [a, b, c, d, e, f, g, h, ..] = self.part;
                    let sums = [[a, b, c, d], [e, f, g, h]].map(u32::from_le_bytes);
                    if sums != [self.crc.value(), self.length] {
                        return Err(Damaged);
                    }
                    self.complete = true;
                    self.enter(Place::Head);
                }
            }
            Place::Data | Place::Rest | Place::Waste => *packed = &[],
        }
        Ok(())
    }

    /// Moves on to the next part of the header, or to the data.
    fn optional(&mut self) {
        let parts = [
            (EXTRA, Place::ExtraLength),
            (NAME, Place::Name),
            (COMMENT, Place::Comment),
            (CRC, Place::HeadCrc),
        ];
        let next = parts.into_iter().find(|(flag, _)| self.flags & flag != 0);
        match next {
            Some((flag, place)) => {
                self.flags ^= flag;
                self.enter(place);
            }
            None => {
                self.inflater.init();
                self.crc = Crc::default();
                self.length = 0;
                self.enter(Place::Data);
            }
        }
    }

    fn enter(&mut self, place: Place) {
        self.place = place;
        self.have = 0;
    }

    /// Returns whether `wanted` bytes of the part are there.
    fn fill(&mut self, wanted: usize, packed: &mut &[u8]) -> bool {
        let taken = packed.len().min(wanted - self.have);
        let (bytes, rest) = packed.split_at(taken);
        self.part[self.have..self.have + taken].copy_from_slice(bytes);
        self.have += taken;
        *packed = rest;
        self.have == wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, GzBuilder};
    use proptest::prelude::*;
    use std::io::Write;

    fn packed(data: &[u8]) -> Vec<u8> {
        with(GzBuilder::new(), data)
    }

    fn with(head: GzBuilder, data: &[u8]) -> Vec<u8> {
        let mut file = head.write(Vec::new(), Compression::default());
        file.write_all(data).expect("memory");
        file.finish().expect("memory")
    }

    /// Decompresses in pieces of `size` bytes.
    fn unpacked(file: &[u8], size: usize) -> Result<Vec<u8>, Damaged> {
        let mut gunzip = Gunzip::default();
        let mut data = Vec::new();
        for mut piece in file.chunks(size) {
            while gunzip.advance(&mut piece)? {
                data.extend_from_slice(gunzip.piece());
            }
            assert!(piece.is_empty());
        }
        gunzip.end().map(|()| data)
    }

    fn told(file: &[u8]) -> Result<String, Damaged> {
        let whole = unpacked(file, usize::MAX);
        assert_eq!(whole, unpacked(file, 1));
        whole.map(|data| String::from_utf8(data).expect("text"))
    }

    fn text(text: &str) -> Result<String, Damaged> {
        Ok(text.to_owned())
    }

    #[test]
    fn members_are_read_one_after_the_other() {
        let two = [packed(b"hello, "), packed(b""), packed(b"world")].concat();
        assert_eq!(told(&two), text("hello, world"));
    }

    #[test]
    fn what_is_behind_the_last_member_does_not_count() {
        for rest in [
            &b"\0"[..],
            b"\0\0\0\0",
            b"garbage",
            b"\x1f",
            b"\x1f\x8b",
            b"\x1f\x8b\x07",
        ] {
            let file = [&packed(b"hello")[..], rest].concat();
            assert_eq!(told(&file), text("hello"), "{rest:?}");
        }
    }

    #[test]
    fn the_sums_at_the_end_may_be_missing_but_not_wrong() {
        let file = packed(b"hello");
        for missing in 1..=8 {
            assert_eq!(told(&file[..file.len() - missing]), text("hello"));
        }
        for at in file.len() - 8..file.len() {
            let mut wrong = file.clone();
            wrong[at] ^= 1;
            assert_eq!(told(&wrong), Err(Damaged));
        }
    }

    #[test]
    fn data_that_end_too_soon_are_damaged() {
        let file = packed(b"hello");
        for length in 1..file.len() - 8 {
            assert_eq!(told(&file[..length]), Err(Damaged), "{length}");
        }
        let second = packed(b"world");
        let two = [&file[..], &second[..second.len() - 9]].concat();
        assert_eq!(told(&two), Err(Damaged));
        assert_eq!(told(b""), text(""), "no body");
    }

    #[test]
    fn what_is_no_gzip_file_is_damaged() {
        for file in [&b"nope"[..], b"\0", b"\x1f\x8b\x08\xff\0\0\0\0\0\0\x03\0"] {
            assert_eq!(told(file), Err(Damaged));
        }
        let mut file = packed(b"hello");
        // A reserved block type.
        file[HEAD] = 7;
        assert_eq!(told(&file), Err(Damaged));
    }

    #[test]
    fn a_head_may_have_names_and_extras() {
        let head = || GzBuilder::new().filename("a.txt").comment("long").mtime(5);
        assert_eq!(told(&with(head(), b"hello")), text("hello"));
        let extra = with(head().extra(vec![1; 300]), b"hello");
        assert_eq!(told(&extra), text("hello"));
        // With a checksum of the header, which is ignored.
        let mut summed = with(GzBuilder::new(), b"hello");
        summed[3] = CRC | TEXT;
        summed.splice(HEAD..HEAD, [1, 2]);
        assert_eq!(told(&summed), text("hello"));
    }

    #[test]
    fn a_large_file_comes_in_pieces_of_a_window() {
        let data: Vec<u8> = (0..300_000u32)
            .map(|i| (i.wrapping_mul(i) >> 7) as u8)
            .collect();
        let file = packed(&data);
        let mut gunzip = Gunzip::default();
        let mut rest = &file[..];
        let mut size = 0;
        while gunzip.advance(&mut rest).expect("sound") {
            assert!((1..=WINDOW).contains(&gunzip.piece().len()));
            size += gunzip.piece().len();
        }
        assert_eq!((size, gunzip.end()), (data.len(), Ok(())));
    }

    #[test]
    fn blocks_that_hold_next_to_nothing_are_not_unpacked_for_ever() {
        let head = &packed(b"")[..HEAD];
        // Four fixed blocks of ten bits without data (RFC 1951, section 3.2.6).
        let blocks = [2, 8, 32, 128, 0].repeat(MAX_EXCESS / 4);
        let stored = [0, 0, 0, 0xff, 0xff].repeat(MAX_EXCESS / 4);
        let members = packed(b"").repeat(MAX_EXCESS);
        for file in [[head, &blocks].concat(), [head, &stored].concat(), members] {
            let mut gunzip = Gunzip::default();
            assert_eq!(gunzip.advance(&mut &file[..]), Ok(false));
            assert_eq!(gunzip.place, Place::Waste);
            assert_eq!(gunzip.end(), Err(Damaged));
        }
        let lines = packed(b"line\n").repeat(5000);
        assert_eq!(unpacked(&lines, 1000), Ok(b"line\n".repeat(5000)));
    }

    proptest! {
        #[test]
        fn what_another_program_packs_is_unpacked(
            data in proptest::collection::vec(0u8..=255, 0..400),
            times in 1usize..300,
            level in 0u32..10,
            size in 1usize..5000,
        ) {
            let data = data.repeat(times);
            let mut file = GzBuilder::new().write(Vec::new(), Compression::new(level));
            file.write_all(&data).expect("memory");
            prop_assert_eq!(unpacked(&file.finish().expect("memory"), size), Ok(data));
        }
    }
}
