//! Draws a QR code (ISO/IEC 18004) with half blocks, two modules per character.

use qrcodegen::{QrCode, QrCodeEcc};
use std::io::{self, IsTerminal};

/// Width of the light border in modules. The standard requires four; two suffice on a screen and
/// leave room for text.
const QUIET: i32 = 2;
/// Black on white (ECMA-48, SGR), because readers expect dark modules on a light background,
/// whatever the terminal's colours.
const COLOURS: (&str, &str) = ("\x1b[30;107m", "\x1b[0m");

/// Returns the code of `text` as lines for stdout, or `None` if stdout isn't a terminal, is too
/// small, or isn't UTF-8.
pub fn for_terminal(text: &str) -> Option<String> {
    let stdout = io::stdout();
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    if !stdout.is_terminal() || variable("TERM") == "dumb" || !is_utf8(&variable) {
        return None;
    }
    let lines = lines(text)?;
    let size = rustix::termios::tcgetwinsize(stdout).ok()?;
    let width = lines.first().map_or(0, |line| line.chars().count());
    // One line of text and the cursor's line follow.
    let fits = width <= usize::from(size.ws_col) && lines.len() + 2 <= usize::from(size.ws_row);
    fits.then(|| {
        let (on, off) = COLOURS;
        lines
            .iter()
            .map(|line| format!("{on}{line}{off}\n"))
            .collect()
    })
}

/// Returns whether the locale's encoding is UTF-8 (setlocale(3)).
fn is_utf8(variable: &dyn Fn(&str) -> String) -> bool {
    let deciding = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().map(variable);
    let deciding = { deciding }.find(|value| !value.is_empty());
    let deciding = deciding.unwrap_or_default().to_ascii_lowercase();
    deciding.ends_with("utf-8") || deciding.ends_with("utf8")
}

/// Draws dark modules as filled blocks.
fn lines(text: &str) -> Option<Vec<String>> {
    let code = QrCode::encode_text(text, QrCodeEcc::Low).ok()?;
    let range = || -QUIET..code.size() + QUIET;
    let line = |y: i32| {
        range()
            .map(
                |x| match (code.get_module(x, y), code.get_module(x, y + 1)) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                },
            )
            .collect()
    };
    Some(range().step_by(2).map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_have_the_modules_of_the_code() {
        let text = "https://t.me/a_bot_with_a_name_of_32_letters_?start=abcdefghijklmnopqrstuvwxyz";
        let code = QrCode::encode_text(text, QrCodeEcc::Low).expect("it fits");
        let lines = lines(text).expect("it fits");
        assert_eq!(
            (code.size(), lines.len()),
            (33, 19),
            "it fits into 80 x 24 beside some text"
        );
        for (row, line) in (0..).zip(&lines) {
            let cells: Vec<char> = line.chars().collect();
            assert_eq!(cells.len(), 37);
            for (column, cell) in (0..).zip(cells) {
                let module = |y: i32| code.get_module(column - QUIET, y - QUIET);
                assert_eq!(module(2 * row), "█▀".contains(cell), "{row} {column}");
                assert_eq!(module(2 * row + 1), "█▄".contains(cell), "{row} {column}");
            }
        }
        assert!(lines[0].trim().is_empty() && lines[18].trim().is_empty());
    }

    #[test]
    fn the_first_variable_that_is_set_decides() {
        let with = |set: &[(&str, &str)]| {
            let value = |name: &str| {
                let found = set.iter().find(|(other, _)| *other == name);
                found.map_or_else(String::new, |(_, value)| (*value).to_owned())
            };
            is_utf8(&value)
        };
        assert!(with(&[("LANG", "de_DE.UTF-8")]));
        assert!(with(&[("LC_CTYPE", "C.utf8"), ("LANG", "C")]));
        assert!(!with(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]));
        assert!(!with(&[]));
    }
}
