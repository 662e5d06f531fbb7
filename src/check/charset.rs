//! Detects a page's charset, and encodes the text of `body` and `body_not` in it. The text is encoded
//! rather than the page decoded, so that the page need not be buffered.
//!
//! Supports UTF-8, UTF-16 and the single-byte charsets of the Encoding Standard
//! (encoding.spec.whatwg.org), not the legacy charsets of Chinese, Japanese and Korean: their tables
//! would take 200 KB.

use encoding_index_singlebyte as index;
use isahc::http::{HeaderMap, header};

/// Number of bytes that are searched for a declaration of the charset (HTML, "prescan a byte stream").
pub(super) const PRESCAN: usize = 1024;
/// Maximum number of characters of a name in a cause.
const NAME: usize = 40;

#[derive(Clone, Debug)]
pub(super) enum Charset {
    Utf8,
    Utf16Le,
    Utf16Be,
    /// Maps a character beyond ASCII to its byte, or to 0 if there is none.
    OneByte(fn(u32) -> u8),
    /// The declared name: printable ASCII, at most [`NAME`] characters.
    Unknown(String),
}

impl Charset {
    /// Returns the charset that `Content-Type` declares.
    pub(super) fn of_headers(headers: &HeaderMap) -> Option<Charset> {
        let kind = headers.get(header::CONTENT_TYPE)?.as_bytes();
        Some(Charset::named(parameter(kind, b"charset")?))
    }

    /// Detects the charset from a byte order mark, `<meta charset=…>`, `<meta http-equiv=… content="…charset=…">`
    /// or the `encoding` of an XML declaration. Defaults to UTF-8.
    pub(super) fn of_page(start: &[u8]) -> Charset {
        let start = &start[..start.len().min(PRESCAN)];
        match start {
            [0xef, 0xbb, 0xbf, ..] => return Charset::Utf8,
            [0xff, 0xfe, ..] => return Charset::Utf16Le,
            [0xfe, 0xff, ..] => return Charset::Utf16Be,
            _ => {}
        }
        let lower = start.to_ascii_lowercase();
        let declared = match lower.starts_with(b"<?xml") {
            true => parameter(up_to(&lower, |byte| *byte == b'>'), b"encoding"),
            false => tags(&lower, b"<meta").find_map(|tag| parameter(tag, b"charset")),
        };
        match declared.map(Charset::named) {
            // UTF-16 could not have been read as ASCII (HTML, "prescan a byte stream", step 2.5).
            None | Some(Charset::Utf16Le | Charset::Utf16Be) => Charset::Utf8,
            Some(charset) => charset,
        }
    }

    fn named(name: &[u8]) -> Charset {
        let name = name.trim_ascii().to_ascii_lowercase();
        let letters = name.iter().copied().filter(u8::is_ascii_alphanumeric);
        match &letters.collect::<Vec<u8>>()[..] {
            b"utf8" | b"unicode11utf8" | b"xunicode20utf8" => Charset::Utf8,
            b"utf16" | b"utf16le" => Charset::Utf16Le,
            b"utf16be" => Charset::Utf16Be,
            plain => match one_byte(plain) {
                Some(byte_of) => Charset::OneByte(byte_of),
                None => {
                    let shown = name.iter().copied().filter(u8::is_ascii_graphic);
                    Charset::Unknown(shown.map(char::from).take(NAME).collect())
                }
            },
        }
    }

    /// Encodes `text`; `None` if the charset lacks one of its characters. Unknown charsets get UTF-8.
    pub(super) fn encode(&self, text: &str) -> Option<Vec<u8>> {
        Some(match self {
            Charset::Utf8 | Charset::Unknown(_) => text.as_bytes().to_vec(),
            Charset::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Charset::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Charset::OneByte(byte_of) => {
                let byte = |c: char| match u8::try_from(c) {
                    Ok(ascii @ 0..=0x7f) => Some(ascii),
                    _ => Some(byte_of(c.into())).filter(|byte| *byte != 0),
                };
                text.chars().map(byte).collect::<Option<_>>()?
            }
        })
    }
}

/// Looks a single-byte charset up by its label in the Encoding Standard without punctuation. As there,
/// ISO-8859-1 and ASCII are windows-1252, ISO-8859-9 is windows-1254, ISO-8859-11 is windows-874.
fn one_byte(label: &[u8]) -> Option<fn(u32) -> u8> {
    Some(match label {
        b"iso88591" | b"latin1" | b"l1" | b"usascii" | b"ascii" | b"ansix341968" | b"cp819"
        | b"ibm819" | b"windows1252" | b"cp1252" | b"xcp1252" => index::windows_1252::backward,
        b"iso88592" | b"latin2" | b"l2" => index::iso_8859_2::backward,
        b"iso88593" | b"latin3" | b"l3" => index::iso_8859_3::backward,
        b"iso88594" | b"latin4" | b"l4" => index::iso_8859_4::backward,
        b"iso88595" | b"cyrillic" => index::iso_8859_5::backward,
        b"iso88596" | b"arabic" => index::iso_8859_6::backward,
        b"iso88597" | b"greek" | b"greek8" => index::iso_8859_7::backward,
        b"iso88598" | b"iso88598i" | b"hebrew" | b"logical" | b"visual" => {
            index::iso_8859_8::backward
        }
        b"iso885910" | b"latin6" | b"l6" => index::iso_8859_10::backward,
        b"iso885913" => index::iso_8859_13::backward,
        b"iso885914" => index::iso_8859_14::backward,
        b"iso885915" | b"latin9" | b"l9" => index::iso_8859_15::backward,
        b"iso885916" => index::iso_8859_16::backward,
        b"koi8r" | b"koi8" | b"koi" => index::koi8_r::backward,
        b"koi8u" | b"koi8ru" => index::koi8_u::backward,
        b"ibm866" | b"cp866" | b"866" => index::ibm866::backward,
        b"macintosh" | b"mac" | b"xmacroman" => index::macintosh::backward,
        b"xmaccyrillic" | b"xmacukrainian" => index::x_mac_cyrillic::backward,
        b"windows874" | b"tis620" | b"iso885911" | b"dos874" => index::windows_874::backward,
        b"windows1250" | b"cp1250" | b"xcp1250" => index::windows_1250::backward,
        b"windows1251" | b"cp1251" | b"xcp1251" => index::windows_1251::backward,
        b"windows1253" | b"cp1253" | b"xcp1253" => index::windows_1253::backward,
        b"windows1254" | b"cp1254" | b"xcp1254" | b"iso88599" | b"latin5" | b"l5" => {
            index::windows_1254::backward
        }
        b"windows1255" | b"cp1255" | b"xcp1255" => index::windows_1255::backward,
        b"windows1256" | b"cp1256" | b"xcp1256" => index::windows_1256::backward,
        b"windows1257" | b"cp1257" | b"xcp1257" => index::windows_1257::backward,
        b"windows1258" | b"cp1258" | b"xcp1258" => index::windows_1258::backward,
        _ => return None,
    })
}

/// Returns the value of `name=` in `text`, with or without quotes.
fn parameter<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = text;
    loop {
        let at = rest
            .windows(name.len())
            .position(|part| part.eq_ignore_ascii_case(name))?;
        rest = &rest[at + name.len()..];
        let Some(value) = rest.trim_ascii_start().strip_prefix(b"=") else {
            continue;
        };
        let value = value.trim_ascii_start();
        return Some(match value {
            [quote @ (b'"' | b'\''), value @ ..] => up_to(value, |byte| byte == quote),
            value => up_to(value, |byte| {
                byte.is_ascii_whitespace() || b";,\"'/>".contains(byte)
            }),
        });
    }
}

fn up_to(text: &[u8], is_end: impl Fn(&u8) -> bool) -> &[u8] {
    let end = text.iter().position(is_end);
    &text[..end.unwrap_or(text.len())]
}

/// Iterates over the tags of `text` that begin with `open`, each up to its `>`.
fn tags<'a>(text: &'a [u8], open: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let at = rest.windows(open.len()).position(|part| part == open)?;
        rest = &rest[at + open.len()..];
        Some(up_to(rest, |byte| *byte == b'>'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use isahc::http::HeaderValue;
    use proptest::prelude::*;

    fn in_header(value: &str) -> Option<Charset> {
        let value = HeaderValue::from_str(value).expect("a value");
        Charset::of_headers(&HeaderMap::from_iter([(header::CONTENT_TYPE, value)]))
    }

    #[track_caller]
    fn is(charset: Option<Charset>, wanted: &str) {
        assert_eq!(
            charset.map(|charset| format!("{charset:?}")).as_deref(),
            Some(wanted)
        );
    }

    #[test]
    fn a_text_has_the_bytes_of_the_charset() {
        let bytes = |name: &str, text: &str| Charset::named(name.as_bytes()).encode(text);
        assert_eq!(bytes("ISO-8859-1", "Störung"), Some(b"St\xf6rung".to_vec()));
        assert_eq!(bytes("latin1", "5 €"), Some(b"5 \x80".to_vec()));
        assert_eq!(bytes("iso-8859-15", "5 €"), Some(b"5 \xa4".to_vec()));
        assert_eq!(bytes("iso-8859-2", "Łódź"), Some(b"\xa3\xf3d\xbc".to_vec()));
        assert_eq!(
            bytes("windows-1250", "Łódź"),
            Some(b"\xa3\xf3d\x9f".to_vec())
        );
        assert_eq!(
            bytes("windows-1251", "Сбой"),
            Some(b"\xd1\xe1\xee\xe9".to_vec())
        );
        assert_eq!(bytes("KOI8-R", "Сбой"), Some(b"\xf3\xc2\xcf\xca".to_vec()));
        assert_eq!(bytes("utf-16le", "ö"), Some(vec![0xf6, 0]));
        assert_eq!(bytes("utf-16be", "😀"), Some(vec![0xd8, 0x3d, 0xde, 0]));
        assert_eq!(bytes("iso-8859-1", "Сбой"), None, "it has no such letters");
        assert_eq!(bytes("Shift_JIS", "ok"), Some(b"ok".to_vec()));
    }

    #[test]
    fn a_header_names_it_first() {
        is(in_header("text/html; charset=utf-8"), "Utf8");
        is(in_header("text/html;charset=\"UTF-16BE\";x=y"), "Utf16Be");
        is(in_header("text/html; Charset = utf-8 "), "Utf8");
        is(
            in_header("text/html; charset=shift_jis"),
            "Unknown(\"shift_jis\")",
        );
        assert!(in_header("text/html").is_none());
        assert!(in_header("text/html; charset").is_none());
    }

    #[test]
    fn a_page_names_it_in_its_beginning() {
        let page = |text: &str| Some(Charset::of_page(text.as_bytes()));
        is(
            page("<html><meta charset=shift_jis>"),
            "Unknown(\"shift_jis\")",
        );
        is(
            page("<meta name=x><META CharSet='gbk'/>"),
            "Unknown(\"gbk\")",
        );
        is(
            page("<meta http-equiv=\"Content-Type\" content=\"text/html; charset=big5\">"),
            "Unknown(\"big5\")",
        );
        is(
            page("<?xml version=\"1.0\" encoding=\"EUC-KR\"?>"),
            "Unknown(\"euc-kr\")",
        );
        is(page("<p>charset=gbk</p>"), "Utf8");
        is(page("<meta charset=utf-16>"), "Utf8");
        is(
            page(&format!("{}<meta charset=gbk>", " ".repeat(PRESCAN))),
            "Utf8",
        );
        is(page("\u{feff}<meta charset=gbk>"), "Utf8");
        is(Some(Charset::of_page(b"\xff\xfeo\0")), "Utf16Le");
        is(Some(Charset::of_page(b"\xfe\xff\0o")), "Utf16Be");
        is(Some(Charset::of_page(b"")), "Utf8");
    }

    proptest! {
        #[test]
        fn no_page_is_too_odd(page in proptest::collection::vec(any::<u8>(), 0..200), tag in "<meta[ -~]{0,40}") {
            let _ = Charset::of_page(&page);
            if let Charset::Unknown(name) = Charset::of_page(tag.as_bytes()) {
                prop_assert!(name.len() <= NAME);
            }
        }
    }
}
