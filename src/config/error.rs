//! Mistakes in the configuration: position, message, and the line with a caret below it.

use super::mask::Mask;
use super::secret_looks::scrub;
use crate::monitor::site::printable;
use crate::secret;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;
use toml_span::Span;

/// Maximum columns of a quoted line; of a longer one, those around the caret are shown.
const QUOTED: usize = 100;

/// Minimum bytes of a value of the environment that is masked: shorter ones are part of messages by
/// chance.
const SHORTEST_MASKED: usize = 6;

/// Maximum number of mistakes in a chat message or in the log.
const MAX_MISTAKES_SHOWN: usize = 10;

/// Why there is no configuration. `Display` prints the text for the user, without secrets and without a
/// final line break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistakes {
    /// The file could not be read: one sentence.
    Unreadable(String),
    /// All mistakes in the file in order of position; at least one.
    Found { file: String, list: Vec<Mistake> },
}

/// One mistake in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// At least 1.
    pub line: usize,
    /// In characters, at least 1.
    pub column: usize,
    /// What is wrong, and how to correct it.
    pub what: String,
    /// The line with masked secrets.
    quoted: String,
    /// Range in characters of `quoted`, not empty. May be the position after its end.
    caret: Range<usize>,
}

impl Mistakes {
    pub(super) fn unreadable(path: &Path, error: &io::Error) -> Mistakes {
        let remedy = match error.kind() {
            io::ErrorKind::NotFound => {
                "; copy the example sitemon.conf there, or name another file with -c FILE"
            }
            io::ErrorKind::PermissionDenied => "; run sitemon as a user who may read it",
            _ => "",
        };
        let why = crate::files::reason(error);
        Mistakes::Unreadable(harmless(&format!(
            "cannot read {}: {why}{remedy}",
            path.display()
        )))
    }

    /// Lists the mistakes without the lines of the file, for a chat and the log.
    pub fn sentences(&self) -> String {
        let Mistakes::Found { file, list } = self else {
            return self.to_string();
        };
        let sentence = |m: &Mistake| format!("{file}:{}:{}: {}", m.line, m.column, m.what);
        let mut lines: Vec<String> = list.iter().take(MAX_MISTAKES_SHOWN).map(sentence).collect();
        let more = list.len().saturating_sub(MAX_MISTAKES_SHOWN);
        if more > 0 {
            lines.push(format!("… and {more} more: `sitemon config` shows them"));
        }
        lines.join("\n")
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mistakes::Unreadable(sentence) => f.write_str(sentence),
            Mistakes::Found { file, list } => {
                for (i, mistake) in list.iter().enumerate() {
                    let Mistake {
                        line,
                        column,
                        what,
                        quoted,
                        caret,
                    } = mistake;
                    let break_before = if i > 0 { "\n" } else { "" };
                    let (indent, run) = (" ".repeat(caret.start), "^".repeat(caret.len()));
                    writeln!(f, "{break_before}{file}:{line}:{column}: {what}")?;
                    writeln!(f, "{}", format!("{line:>5} | {quoted}").trim_end())?;
                    write!(f, "      | {indent}{run}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for Mistakes {}

/// Collects the mistakes of one file.
pub(super) struct MistakeList<'t> {
    text: &'t str,
    /// Offsets of the starts of lines.
    lines: Vec<usize>,
    found: Vec<(Span, String)>,
    /// Secrets in the text, with their keys.
    secrets: Vec<(Span, String)>,
}

impl<'t> MistakeList<'t> {
    pub fn new(text: &'t str) -> MistakeList<'t> {
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        MistakeList {
            text,
            lines: std::iter::once(0).chain(breaks).collect(),
            found: Vec::new(),
            secrets: Vec::new(),
        }
    }

    /// The text to which the spans refer.
    pub fn text(&self) -> &'t str {
        self.text
    }

    pub fn add(&mut self, span: Span, what: impl Into<String>) {
        self.found.push((span, what.into()));
    }

    /// Registers the value of `key` at `span` as a secret.
    pub fn add_secret(&mut self, span: Span, key: impl Into<String>) {
        self.secrets.push((span, key.into()));
    }

    /// Returns the registered secrets in order of position.
    pub fn take_secrets(&mut self) -> Vec<(Span, String)> {
        self.secrets.sort_by_key(|(span, _)| span.start);
        std::mem::take(&mut self.secrets)
    }

    /// Returns the first mistake, without its position.
    pub fn first(self) -> Option<String> {
        let first = self.found.into_iter().min_by_key(|(span, _)| span.start);
        first.map(|(_, what)| what)
    }

    /// There are no mistakes so far.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Returns the line, counted from 1, in which `span` begins.
    pub fn line(&self, span: Span) -> usize {
        self.lines
            .partition_point(|&start| start <= span.start)
            .max(1)
    }

    /// Returns each mistake once, in order of position. Messages do not show values that were `taken` from
    /// the environment or another file, unless they are in this file, too.
    pub fn into_mistakes(mut self, file: &str, taken: &[String]) -> Mistakes {
        let found = std::mem::take(&mut self.found);
        let mask = Mask::of(self.text);
        let foreign =
            |value: &&String| value.len() >= SHORTEST_MASKED && !self.text.contains(*value);
        let foreign: Vec<&String> = taken.iter().filter(foreign).collect();
        let mut list: Vec<_> = found
            .into_iter()
            .map(|(span, mut what)| {
                for value in &foreign {
                    what = secret::scrub(&what, value);
                }
                self.mistake(span, &what, &mask)
            })
            .collect();
        list.sort_by(|a, b| (a.line, a.column, &a.what).cmp(&(b.line, b.column, &b.what)));
        list.dedup();
        Mistakes::Found {
            file: harmless(file),
            list,
        }
    }

    fn mistake(&self, span: Span, what: &str, mask: &Mask) -> Mistake {
        let mut start = span.start.min(self.text.len());
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let line = self.line(Span::new(start, start));
        let line_start = self.lines[line - 1];
        let rest = &self.text[line_start..];
        let full = rest
            .split('\n')
            .next()
            .unwrap_or(rest)
            .trim_end_matches('\r');
        let quoted = mask.line(line_start..line_start + full.len());
        let quoted: Vec<char> = quoted.into_iter().map(one_column).collect();
        // A span may end in another line, or with the line break.
        let end = span.end.clamp(start, (line_start + full.len()).max(start));
        let meant = self
            .text
            .get(start..end)
            .unwrap_or_default()
            .trim_end()
            .chars()
            .count();
        let column = self.text[line_start..start].chars().count();
        let (quoted, caret) = cut(&quoted, column..column + meant.max(1));
        Mistake {
            line,
            column: column + 1,
            what: scrub(&harmless(what)),
            quoted,
            caret,
        }
    }
}

/// Returns the part of a long line around `caret`.
fn cut(line: &[char], caret: Range<usize>) -> (String, Range<usize>) {
    if line.len() <= QUOTED {
        return (line.iter().collect(), caret);
    }
    let from = caret
        .start
        .saturating_sub(QUOTED / 2)
        .min(line.len() - QUOTED);
    let to = from + QUOTED;
    let mut text: String = line[from..to].iter().collect();
    let mut shift = 0;
    if from > 0 {
        text.insert(0, '…');
        shift = 1;
    }
    if to < line.len() {
        text.push('…');
    }
    let start = caret.start - from + shift;
    (
        text,
        start..caret.end.min(to.max(caret.start + 1)) - from + shift,
    )
}

/// Replaces control characters and invisible characters.
fn harmless(text: &str) -> String {
    text.chars().map(one_column).collect()
}

fn one_column(c: char) -> char {
    match c {
        '\t' => ' ',
        c if printable::refused(c) => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn rendered(text: &str, spans: &[(usize, usize)], expected: &str) {
        let mut log = MistakeList::new(text);
        for &(start, end) in spans {
            log.add(Span::new(start, end), "wrong");
        }
        assert_eq!(log.into_mistakes("a.conf", &[]).to_string(), expected);
    }

    #[test]
    fn columns_count_characters_and_tabs_take_one() {
        rendered(
            "\n\t\"ä\" = 1\r\n",
            &[(8, 9)],
            "a.conf:2:7: wrong\n    2 |  \"ä\" = *\n      |       ^",
        );
    }

    #[test]
    fn mistakes_come_by_position_and_each_once() {
        rendered(
            "ab\ncd",
            &[(3, 5), (1, 2), (3, 5)],
            "a.conf:1:2: wrong\n    1 | **\n      |  ^\na.conf:2:1: wrong\n    2 | **\n      | ^^",
        );
    }

    #[test]
    fn a_run_of_carets_stays_in_its_line() {
        rendered(
            "[a]  \nb",
            &[(0, 7)],
            "a.conf:1:1: wrong\n    1 | [a]\n      | ^^^",
        );
        rendered("a\n", &[(2, 3)], "a.conf:2:1: wrong\n    2 |\n      | ^");
        rendered("", &[(9, 99)], "a.conf:1:1: wrong\n    1 |\n      | ^");
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let line = format!("{}X{} = 1", "a".repeat(200), "b".repeat(200));
        rendered(
            &line,
            &[(200, 201), (0, 400)],
            &format!(
                "a.conf:1:1: wrong\n    1 | {}…\n      | {}\n\
                 a.conf:1:201: wrong\n    1 | …{}X{}…\n      | {}^",
                "a".repeat(100),
                "^".repeat(100),
                "a".repeat(50),
                "b".repeat(49),
                " ".repeat(51)
            ),
        );
        let (text, caret) = cut(&['x'; 101], 101..102);
        assert_eq!((text.chars().count(), caret), (101, 101..102));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        rendered(
            "[[site]]\nname = \"a\u{9b}2J\"",
            &[(9, 13)],
            "a.conf:2:1: wrong\n    2 | name = \"a\u{fffd}2J\"\n      | ^^^^",
        );
    }

    #[test]
    fn what_was_taken_from_elsewhere_is_in_no_message_unless_the_file_has_it() {
        let mut log = MistakeList::new("a = 'router'");
        log.add(
            Span::new(0, 1),
            "has `t0ps3cret` and `router`, must be https",
        );
        let taken = ["t0ps3cret", "router", "https"].map(str::to_owned);
        let shown = log.into_mistakes("a.conf", &taken).to_string();
        let expected = "a.conf:1:1: has `***` and `router`, must be https\n";
        assert!(shown.starts_with(expected), "{shown}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_one_sentence_with_a_remedy() {
        let missing = io::Error::from_raw_os_error(2);
        assert_eq!(
            Mistakes::unreadable(Path::new("/etc/sitemon.conf"), &missing).to_string(),
            "cannot read /etc/sitemon.conf: No such file or directory; copy the example \
             sitemon.conf there, or name another file with -c FILE"
        );
    }
}
