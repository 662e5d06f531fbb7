//! Describes TOML's syntax errors.

use super::error::MistakeList;
use super::keys::plain_part;
use super::value::{is_word, leading};
use toml_span::{ErrorKind, Span};

/// Returns where the error is, and how to correct it.
pub fn explain(error: &toml_span::Error, log: &MistakeList) -> (Span, String) {
    let text = log.text();
    let line = |first: &Span| log.line(*first);
    let what = match &error.kind {
        ErrorKind::UnexpectedEof => "the file ends where a value should be".to_owned(),
        ErrorKind::UnterminatedString => {
            "this text is never closed: the quotes at its end are missing".to_owned()
        }
        ErrorKind::InvalidCharInString('\n') => {
            "the quote that closes the text is missing in this line".to_owned()
        }
        ErrorKind::InvalidCharInString(c) => {
            format!(
                "the character {} must be written as an escape such as \\u001b",
                c.escape_default()
            )
        }
        ErrorKind::InvalidEscape(c) | ErrorKind::InvalidHexEscape(c) => format!(
            "`\\` before `{}` means nothing; write `\\\\` for a backslash, or use single quotes",
            c.escape_default()
        ),
        ErrorKind::InvalidEscapeValue(_) => "this escape stands for no character".to_owned(),
        ErrorKind::InvalidNumber | ErrorKind::OutOfRange(_) => {
            "this is no number; texts such as \"60s\" stand in quotes".to_owned()
        }
        ErrorKind::UnquotedString => {
            "this is no value; texts stand in quotes, and true and false are in small letters"
                .to_owned()
        }
        ErrorKind::Unexpected(c) => format!("`{}` cannot stand here", c.escape_default()),
        ErrorKind::Wanted { expected, found } => {
            format!("expected {}, found {}", token(expected), token(found))
        }
        ErrorKind::DuplicateKey { key, .. } | ErrorKind::DuplicateTable { name: key, .. }
            if key == "site" =>
        {
            "write [[site]], with two brackets, for every site".to_owned()
        }
        ErrorKind::DuplicateKey { key, first } => {
            let key = plain_part(key);
            format!(
                "`{key}` is here twice; the first is in line {}",
                line(first)
            )
        }
        ErrorKind::DuplicateTable { name, first } => {
            let name = plain_part(name);
            format!(
                "[{name}] is here twice; the first is in line {}",
                line(first)
            )
        }
        ErrorKind::RedefineAsArray => "this was a table before and cannot become a list".to_owned(),
        ErrorKind::DottedKeyInvalidType { first } => {
            format!(
                "this extends the value in line {}, which is no table",
                line(first)
            )
        }
        ErrorKind::MultilineStringKey => "a key must stay in one line".to_owned(),
        ErrorKind::ExceededDepthLimit => "this is nested too deeply".to_owned(),
        // The other errors come from deserializing, which is not used here.
        _ => "this is not TOML".to_owned(),
    };
    let Span { mut start, mut end } = error.span;
    if start >= text.len() {
        // Not on the empty line at the end.
        start = text.trim_end().len();
        end = start;
    }
    if matches!(error.kind, ErrorKind::Wanted { .. }) {
        let rest = text.get(start..).unwrap_or_default();
        end = start + leading(rest, is_word).len();
    }
    (Span::new(start, end), what)
}

/// The common name of a token.
fn token(name: &'static str) -> &'static str {
    match name {
        "a table key" => "a key",
        "an identifier" => "a word",
        "an equals" => "`=`",
        "a period" => "`.`",
        "a comma" => "`,`",
        "a colon" => "`:`",
        "a plus" => "`+`",
        "a left brace" => "`{`",
        "a right brace" => "`}`",
        "a left bracket" => "`[`",
        "a right bracket" => "`]`",
        "a string" | "a multiline string" => "a text in quotes",
        "newline" | "a newline" => "the end of the line",
        "eof" => "the end of the file",
        other => other,
    }
}
