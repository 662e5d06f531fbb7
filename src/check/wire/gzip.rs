//! What a gzip file (RFC 1952) unpacks to, piece by piece: neither the packed nor the unpacked
//! bytes are kept.
//!
//! What curl and browsers take is taken: any number of members, anything behind the last one, a
//! check sum or length that is cut off. What they don't take isn't: a wrong check sum or length, and
//! data that end before they say so.

use crate::crc::Crc;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use std::ops::Range;

/// As far back as deflate refers (RFC 1951, section 2).
const WINDOW: usize = 32 * 1024;
const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// Fixed part of a member's head.
const HEAD: usize = 10;
/// Deflated bytes that may come beyond what they unpack to. Packers need 5 for 16 KiB or more at worst;
/// who sends blocks that hold next to nothing makes their tables be built for each 10 bits.
const MAX_EXCESS: usize = 64 * 1024;

// Flags of a member's head: what follows its fixed part, in the order EXTRA, NAME, COMMENT, CRC.
const TEXT: u8 = 1;
const CRC: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;

/// Not a gzip file, or not as it was packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

/// Unpacks one file.
pub struct Gunzip {
    place: Place,
    /// What is still to come of the head.
    flags: u8,
    /// The first bytes of the part that is being read.
    part: [u8; HEAD],
    /// How many of them have come.
    have: usize,
    /// A member is complete.
    complete: bool,
    inflater: Box<DecompressorOxide>,
    window: Box<[u8]>,
    /// Where in `window` the bytes are that came last.
    piece: Range<usize>,
    crc: Crc,
    length: u32,
    /// Deflated bytes beyond what they unpacked to.
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
    /// Check sum and length of what was packed.
    Trailer,
    /// Behind the last member.
    Rest,
    /// Behind [`MAX_EXCESS`]: nothing is unpacked any more.
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
    /// Goes on to the next unpacked bytes. False: `packed` is used up, and more is wanted.
    ///
    /// # Errors
    ///
    /// The file is no good; nothing more can be had of it.
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

    /// Unpacked bytes, at most 32 KiB.
    pub fn piece(&self) -> &[u8] {
        &self.window[self.piece.clone()]
    }

    /// To be called at the end of the packed bytes.
    ///
    /// # Errors
    ///
    /// They ended too soon.
    pub fn end(self) -> Result<(), Damaged> {
        let is_between = self.place == Place::Head && self.have < MAGIC.len();
        match self.place {
            Place::Trailer | Place::Rest => Ok(()),
            _ if is_between && (self.complete || self.have == 0) => Ok(()),
            _ => Err(Damaged),
        }
    }

    /// Unpacks up to the end of the window. False: nothing came of it.
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

    /// Reads what isn't data: a part that is complete, or all there is.
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
                    // A flag that isn't known: nor is what follows (section 2.3.1.2).
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

    /// Goes on to the next part of the head, or to the data.
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

    /// Whether `wanted` bytes of the part have come.
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

    /// Unpacked in pieces of `size` bytes.
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
        // A block of the kind that there is none of.
        file[HEAD] = 7;
        assert_eq!(told(&file), Err(Damaged));
    }

    #[test]
    fn a_head_may_have_names_and_extras() {
        let head = || GzBuilder::new().filename("a.txt").comment("long").mtime(5);
        assert_eq!(told(&with(head(), b"hello")), text("hello"));
        let extra = with(head().extra(vec![1; 300]), b"hello");
        assert_eq!(told(&extra), text("hello"));
        // With a check sum of the head, which isn't looked at.
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
        // Ten bits of a fixed block without data (RFC 1951, section 3.2.6), four times.
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
