//! Strings of certificates, made safe to show: they are the certificate's maker's own words.

use super::super::der::Element;
use crate::monitor::site::printable;

/// Longer ones are cut.
const LENGTH: usize = 100;

/// A DirectoryString (RFC 5280 section 4.1.2.4) or one of its older kin; `None` when nothing of it
/// can be shown.
pub(super) fn text(string: Element<'_>) -> Option<String> {
    let bytes = string.body;
    match string.tag {
        // NumericString, PrintableString, IA5String, VisibleString.
        0x12 | 0x13 | 0x16 | 0x1a => ascii(bytes),
        // UTF8String; no more of it is looked at than could be shown.
        0x0c => {
            let most = bytes.len().min(4 * 4 * LENGTH);
            shown(String::from_utf8_lossy(&bytes[..most]).chars())
        }
        // TeletexString: Latin 1 is what it is used for.
        0x14 => shown(bytes.iter().copied().map(char::from)),
        // BMPString.
        0x1e => {
            let units = pairs(bytes);
            shown(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)))
        }
        // UniversalString.
        0x1c => {
            let units = bytes.chunks_exact(4).map(|unit| {
                let code = unit.iter().fold(0, |sum, &b| sum << 8 | u32::from(b));
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            });
            shown(units)
        }
        _ => None,
    }
}

pub(super) fn ascii(bytes: &[u8]) -> Option<String> {
    shown(
        bytes
            .iter()
            .filter(|b| b.is_ascii())
            .copied()
            .map(char::from),
    )
}

fn pairs(bytes: &[u8]) -> impl Iterator<Item = u16> {
    let pairs = bytes.chunks_exact(2);
    pairs.map(|pair| pair.iter().fold(0, |sum, &b| sum << 8 | u16::from(b)))
}

/// On one line, without what steers a terminal or the direction of writing; `None` when nothing is
/// left.
fn shown(chars: impl Iterator<Item = char>) -> Option<String> {
    // What is not shown doesn't count, but is not read without end.
    let text: String = chars.take(4 * LENGTH).collect();
    let text = printable::line(text.trim(), LENGTH);
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
