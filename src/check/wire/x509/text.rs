//! Decodes strings of certificates and makes them safe to show: certificates may come from anyone.

use super::super::der::Element;
use crate::monitor::site::printable;

/// Maximum number of characters; longer strings are truncated.
const LENGTH: usize = 100;

/// Decodes a DirectoryString (RFC 5280 section 4.1.2.4) or an older string type; `None` if nothing of it
/// can be shown.
pub(super) fn text(string: Element<'_>) -> Option<String> {
    let bytes = string.body;
    match string.tag {
        // NumericString, PrintableString, IA5String, VisibleString.
        0x12 | 0x13 | 0x16 | 0x1a => ascii(bytes),
        // UTF8String. Only as many bytes as can be shown are read.
        0x0c => {
            let most = bytes.len().min(4 * 4 * LENGTH);
            shown(String::from_utf8_lossy(&bytes[..most]).chars())
        }
        // TeletexString: in practice Latin-1.
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

/// Puts the text on one line, without control characters and those that change the direction of
/// writing; `None` if nothing is left.
fn shown(chars: impl Iterator<Item = char>) -> Option<String> {
    // Omitted characters do not count, but how many are read is bounded.
    let text: String = chars.take(4 * LENGTH).collect();
    let text = printable::line(text.trim(), LENGTH);
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
