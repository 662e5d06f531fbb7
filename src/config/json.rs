//! The little JSON that is written by hand.

use std::fmt::Write;

/// `text` as a JSON string, quotes included.
pub fn json_string(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            // DEL and the C1 controls are legal in JSON, but steer a terminal.
            c if c.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(json, "\\u{:04x}", u32::from(c));
            }
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use nanoserde::DeJson;
    use proptest::prelude::*;

    #[test]
    fn quotes_backslashes_and_control_characters_are_escaped() {
        assert_eq!(
            json_string("a\"\\\n\u{1b}\u{7f}\u{85}ä"),
            r#""a\"\\\n\u001b\u007f\u0085ä""#
        );
    }

    proptest! {
        #[test]
        fn a_json_reader_gets_the_text_back(text in any::<String>()) {
            let json = json_string(&text);
            prop_assert_eq!(String::deserialize_json(&json).ok(), Some(text));
        }
    }
}
