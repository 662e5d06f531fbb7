//! Reads trusted roots from a PEM file (RFC 7468) and reports which of its blocks are unusable.
//!
//! Each block is parsed on its own, so that a file that is truncated or was assembled by hand still
//! yields its intact certificates. rustls would continue a block that isn't closed into the next
//! one, and rustls-ffi, which libcurl uses, rejects the whole file.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
/// Maximum number of lines that a warning names.
const NAMED: usize = 5;

/// A certificate block of the file.
struct Block {
    /// Number of its first line, from 1.
    line: usize,
    /// `None` if it can't be decoded.
    certificate: Option<CertificateDer<'static>>,
}

/// Iterates over the blocks labelled as certificates. Keys, requests and text between blocks are
/// skipped.
fn blocks(pem: &[u8]) -> Blocks<'_> {
    Blocks {
        rest: pem,
        line: 1,
        open: None,
    }
}

/// The result of checking a file of roots.
pub struct Review {
    /// Number of certificates that can be used as roots.
    pub sound: usize,
    /// First lines of the other certificates.
    unsound: Vec<usize>,
    /// rustls-ffi accepts the unchanged file and reads the same certificates from it.
    pub plain: bool,
}

impl Review {
    pub fn of(pem: &[u8]) -> Review {
        let (mut sound, mut unsound) = (0, Vec::new());
        for block in blocks(pem) {
            match block.is_usable() {
                true => sound += 1,
                false => unsound.push(block.line),
            }
        }
        let theirs = CertificateDer::pem_slice_iter(pem).map(Result::ok);
        let same = theirs.eq(blocks(pem).map(|block| block.certificate));
        Review {
            sound,
            plain: unsound.is_empty() && same,
            unsound,
        }
    }

    /// Returns a warning if some, but not all certificates are unusable; it follows the file's
    /// name.
    pub fn warning(&self) -> Option<String> {
        let (bad, all) = (self.unsound.len(), self.sound + self.unsound.len());
        if bad == 0 || self.sound == 0 {
            return None;
        }
        let lines: Vec<String> = self.unsound.iter().map(usize::to_string).collect();
        let (named, more) = lines.split_at(bad.min(NAMED));
        let more = match more.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let word = if bad == 1 { "line" } else { "lines" };
        Some(format!(
            "{bad} of {all} certificates cannot be used ({word} {}{more}); the others are trusted",
            named.join(", ")
        ))
    }
}

/// Returns the certificates in `pem` that can be used as roots.
pub fn roots(pem: &[u8]) -> impl Iterator<Item = CertificateDer<'static>> {
    let usable = blocks(pem).filter(Block::is_usable);
    usable.filter_map(|block| block.certificate)
}

impl Block {
    fn is_usable(&self) -> bool {
        let anchor = |one| webpki::anchor_from_trusted_cert(one).is_ok();
        self.certificate.as_ref().is_some_and(anchor)
    }
}

struct Blocks<'a> {
    rest: &'a [u8],
    /// Line number at which `rest` begins.
    line: usize,
    open: Option<Open>,
}

/// A block whose end hasn't been found yet.
struct Open {
    line: usize,
    label: Vec<u8>,
    base64: Vec<u8>,
}

impl<'a> Blocks<'a> {
    /// Returns the next line, without blanks and byte order marks around it. If files were joined
    /// without a line break, splits the line before the next BEGIN.
    fn next_line(&mut self) -> Option<(usize, &'a [u8])> {
        if self.rest.is_empty() {
            return None;
        }
        let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let found = self.rest.iter().position(is_break);
        let whole = &self.rest[..found.unwrap_or(self.rest.len())];
        let line = self.line;
        let glued = match trimmed(whole).starts_with(END) {
            true => whole.windows(BEGIN.len()).position(|part| part == BEGIN),
            false => None,
        };
        let (text, rest) = match (glued, found) {
            (Some(at), _) => self.rest.split_at(at),
            (None, Some(at)) => {
                self.line += usize::from(self.rest[at] == b'\n');
                (whole, &self.rest[at + 1..])
            }
            (None, None) => (whole, &self.rest[whole.len()..]),
        };
        self.rest = rest;
        Some((line, trimmed(text)))
    }
}

fn trimmed(mut line: &[u8]) -> &[u8] {
    const MARK: &[u8] = b"\xEF\xBB\xBF";
    loop {
        line = line.trim_ascii();
        match line.strip_prefix(MARK) {
            Some(rest) => line = rest,
            None => return line,
        }
    }
}

/// Returns the label, such as `CERTIFICATE`, of a BEGIN or END line.
fn label(after: &[u8]) -> Vec<u8> {
    let name = after.strip_suffix(b"-----").unwrap_or_default();
    name.to_vec()
}

impl Iterator for Blocks<'_> {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        loop {
            let Some((line, text)) = self.next_line() else {
                return self.open.take()?.cut_off();
            };
            let ended = if let Some(after) = text.strip_prefix(BEGIN) {
                let (label, base64) = (label(after), Vec::new());
                let next = Open {
                    line,
                    label,
                    base64,
                };
                self.open.replace(next).and_then(Open::cut_off)
            } else if let Some(after) = text.strip_prefix(END) {
                let label = label(after);
                self.open.take().and_then(|open| open.end(&label))
            } else {
                if let Some(open) = &mut self.open {
                    open.base64.extend(text);
                    open.base64.push(b'\n');
                }
                None
            };
            if ended.is_some() {
                return ended;
            }
        }
    }
}

impl Open {
    /// Includes OpenSSL's `TRUSTED CERTIFICATE`, which appends usage restrictions to the
    /// certificate. They can't be respected here, so such a block counts as unusable.
    fn is_certificate(&self) -> bool {
        let known: [&[u8]; 3] = [b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE"];
        known.contains(&self.label.as_slice())
    }

    fn cut_off(self) -> Option<Block> {
        let line = self.line;
        self.is_certificate().then_some(Block {
            line,
            certificate: None,
        })
    }

    fn end(self, label: &[u8]) -> Option<Block> {
        if label != self.label || self.label == b"TRUSTED CERTIFICATE" {
            return self.cut_off();
        }
        let pem = [
            b"-----BEGIN CERTIFICATE-----\n",
            self.base64.as_slice(),
            b"-----END CERTIFICATE-----\n",
        ];
        self.is_certificate().then(|| Block {
            line: self.line,
            certificate: CertificateDer::from_pem_slice(&pem.concat()).ok(),
        })
    }
}

/// Encodes `bytes` in Base64 (RFC 4648, section 4) without padding, so that a secret is found in
/// texts with or without it.
pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| {
            bits << 8 | usize::from(chunk.get(at).copied().unwrap_or_default())
        });
        for place in 0..=chunk.len() {
            text.push(char::from(LETTERS[bits >> (18 - 6 * place) & 63]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn root(name: &str) -> String {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name = rcgen::DistinguishedName::new();
        let common = rcgen::DnType::CommonName;
        params.distinguished_name.push(common, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.self_signed(&key).expect("a root").pem()
    }

    /// Returns the number of usable certificates, the lines of the others, and `Review::plain`.
    #[track_caller]
    fn review(pem: impl AsRef<[u8]>) -> (usize, Vec<usize>, bool) {
        let review = Review::of(pem.as_ref());
        assert_eq!(roots(pem.as_ref()).count(), review.sound);
        (review.sound, review.unsound, review.plain)
    }

    #[test]
    fn a_sound_file_is_left_to_libcurl() {
        let (one, two) = (root("one"), root("two"));
        for pem in [
            format!("{one}{two}"),
            format!("# one\n{one}\nSubject: two\n\n{two}"),
            format!("{one}{one}"),
            format!("{one}{two}").replace('\n', "\r\n"),
        ] {
            assert_eq!(review(&pem), (2, vec![], true), "{pem}");
        }
        let key = rcgen::KeyPair::generate().expect("a key").serialize_pem();
        assert_eq!(review(format!("{key}{one}")), (1, vec![], true));
    }

    #[test]
    fn a_block_that_is_cut_off_takes_no_other_with_it() {
        let (one, two) = (root("one"), root("two"));
        let lines = |text: &str| text.lines().count();
        let half: String = one
            .lines()
            .take(4)
            .map(|line| format!("{line}\n"))
            .collect();
        let begin = "-----BEGIN CERTIFICATE-----\n";
        let end = "-----END CERTIFICATE-----\n";
        let behind = lines(&two) + 1;
        for (pem, bad) in [
            (format!("{two}{half}"), behind),
            (format!("{half}{two}"), 1),
            (format!("{half}{end}{two}"), 1),
            (format!("{begin}{two}"), 1),
            (format!("{two}{begin}{end}"), behind),
            (format!("{two}{begin}!{end}"), behind),
            // A block with corrupt bytes, and one that isn't a certificate.
            (format!("{two}{}", one.replacen("\nM", "\nN", 1)), behind),
            (format!("{begin}aGVsbG8=\n{end}{two}"), 1),
        ] {
            assert_eq!(review(&pem), (1, vec![bad], false), "{pem}");
        }
    }

    #[test]
    fn what_openssl_alone_can_read_is_named_and_its_old_name_is_known() {
        let (one, two) = (root("one"), root("two"));
        let trusted = one.replace("CERTIFICATE", "TRUSTED CERTIFICATE");
        let behind = two.lines().count() + 1;
        assert_eq!(review(format!("{two}{trusted}")), (1, vec![behind], false));
        let old = one.replace("CERTIFICATE", "X509 CERTIFICATE");
        assert_eq!(review(format!("{old}{two}")), (2, vec![], false));
        let request = one.replace("CERTIFICATE", "CERTIFICATE REQUEST");
        assert_eq!(review(format!("{request}{two}")), (1, vec![], true));
    }

    #[test]
    fn byte_order_marks_indents_and_missing_line_breaks_are_nothing() {
        let (one, two) = (root("one"), root("two"));
        let mark = "\u{feff}";
        let indented: String = one.lines().map(|line| format!("  {line} \n")).collect();
        for pem in [
            format!("{mark}{one}{two}"),
            format!("{one}{mark}{two}"),
            format!("{indented}{two}"),
            format!("{}{two}", one.trim_end()),
        ] {
            assert_eq!(review(&pem), (2, vec![], false), "{pem}");
        }
        // Blocks that are commented out don't count.
        let commented = format!("#{}", one.replace('\n', "\n#"));
        assert_eq!(review(format!("{commented}\n{two}")), (1, vec![], true));
    }

    #[test]
    fn a_warning_names_the_first_lines() {
        let one = root("one");
        let bad = "-----BEGIN CERTIFICATE-----\n";
        let said = |pem: String| Review::of(pem.as_bytes()).warning();
        let warning = said(format!("{bad}{one}")).expect("a warning");
        assert_eq!(
            warning,
            "1 of 2 certificates cannot be used (line 1); the others are trusted"
        );
        let warning = said(format!("{}{one}", bad.repeat(7))).expect("a warning");
        assert_eq!(
            warning,
            "7 of 8 certificates cannot be used (lines 1, 2, 3, 4, 5 and 2 more); \
             the others are trusted"
        );
        // A file without any usable certificate is an error elsewhere.
        assert_eq!(said(bad.to_owned()), None);
        assert_eq!(said(one), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(parts in proptest::collection::vec(0..9_usize, 0..40)) {
            let words: [&[u8]; 9] = [
                BEGIN, END, b"CERTIFICATE", b"-----", b"\n", b"\r", b"\xEF\xBB\xBF", b"MII=", b" ",
            ];
            let pem: Vec<u8> = parts.iter().flat_map(|&at| words[at].to_vec()).collect();
            let _ = Review::of(&pem);
        }
    }

    #[test]
    fn base64_is_the_rfcs() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"foobar", "Zm9vYmFy"),
            (b"\xff\xef\xbe", "/+++"),
        ] {
            assert_eq!(base64(bytes), text);
        }
    }
}
