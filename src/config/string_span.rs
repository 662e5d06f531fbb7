//! Locates a part of a string in the file, which may have escapes.

use std::ops::Range;
use toml_span::Span;

/// Returns the span in `file` of `part`, a range of bytes in `text`, whose literal is at `span`. Returns
/// `span` if that cannot be determined (a multi-line string with escapes).
pub fn within(file: &str, span: Span, text: &str, part: Range<usize>) -> Span {
    let places = || -> Option<Span> {
        let escapes = file.get(..span.start)?.ends_with('"');
        let source = file.get(span.start..span.end)?;
        // Tries every start of a character, and the end.
        let place = |wanted: usize| {
            let (mut at, mut read) = (0, 0);
            while read < wanted {
                let c = text[read..].chars().next()?;
                at += match source.get(at..)?.strip_prefix('\\') {
                    Some(escape) if escapes => escape_length(escape)?,
                    _ => source[at..].starts_with(c).then_some(c.len_utf8())?,
                };
                read += c.len_utf8();
            }
            Some(at)
        };
        // The end must match as well, or the match is a coincidence.
        (place(text.len())? == source.len()).then_some(())?;
        Some(Span::new(
            span.start + place(part.start)?,
            span.start + place(part.end)?,
        ))
    };
    places().unwrap_or(span)
}

/// Length in bytes of a TOML escape including its backslash. `rest` follows the backslash.
fn escape_length(rest: &str) -> Option<usize> {
    match rest.chars().next()? {
        'x' => Some(4),
        'u' => Some(6),
        'U' => Some(10),
        'b' | 't' | 'n' | 'f' | 'r' | 'e' | '"' | '\\' => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn meant(file: &str, text: &str, part: Range<usize>, expected: &str) {
        let start = file.find(['"', '\'']).unwrap() + 1;
        let end = file.rfind(['"', '\'']).unwrap();
        let span = within(file, Span::new(start, end), text, part);
        assert_eq!(&file[span.start..span.end], expected);
    }

    #[test]
    fn escapes_are_stepped_over() {
        meant("a = 'b \\\"c'", "b \\\"c", 4..5, "c");
        meant("a = \"b \\\"c\\\" d\"", "b \"c\" d", 2..5, "\\\"c\\\"");
        meant("a = \"\\u00e4\\tb\"", "ä\tb", 3..4, "b");
        meant("a = \"ab\"", "ab", 2..2, "");
        // A line continuation.
        meant("a = \"b\\\n  cd\"", "bcd", 2..3, "b\\\n  cd");
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(file in ".{0,20}", text in ".{0,20}", from in 0usize..20, to in 0usize..20) {
            let part = from.min(text.len())..to.min(text.len());
            if text.is_char_boundary(part.start) && text.is_char_boundary(part.end) {
                let _ = within(&file, Span::new(1, file.len()), &text, part);
            }
        }
    }
}
