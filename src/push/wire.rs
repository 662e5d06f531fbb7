//! A report as text, on the socket and in a file: the line `sitemon push 1`, a line for each field,
//! an empty line, and the last output of the job. Unknown fields are ignored: newer versions may
//! add some.

use crate::monitor::site::report::{Report, ReportAnswer, ReportKind, Way, last_lines};
use std::time::Duration;

/// Maximum size of a report in bytes.
pub const LARGEST: u64 = 64 << 10;
const FIRST_LINE: &str = "sitemon push 1";

/// The reply over the socket: one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Answer(ReportAnswer),
    /// The peer may not report, or what it sent is no report.
    Refused,
}

const WORDS: [(Reply, &str); 4] = [
    (Reply::Answer(ReportAnswer::Saved), "ok\n"),
    (Reply::Answer(ReportAnswer::Unsaved), "unsaved\n"),
    (Reply::Answer(ReportAnswer::Unknown), "unknown\n"),
    (Reply::Refused, "refused\n"),
];

impl Reply {
    pub fn word(self) -> &'static str {
        let found = WORDS.iter().find(|(reply, _)| *reply == self);
        found.map_or("", |(_, word)| word)
    }

    pub fn of(word: &[u8]) -> Option<Reply> {
        let mut words = WORDS.iter();
        let found = words.find(|(_, known)| known.as_bytes() == word)?;
        Some(found.0)
    }
}

pub fn encode(report: &Report) -> String {
    let kind = match report.kind {
        ReportKind::Start => "start",
        ReportKind::Good => "good",
        ReportKind::Bad => "bad",
    };
    // No site has a name with a line break.
    let site = report.site.replace(['\n', '\r'], " ");
    let mut text = format!("{FIRST_LINE}\nsite {site}\nkind {kind}\nat {}\n", report.at);
    if let Some(code) = report.code {
        text.push_str(&format!("code {code}\n"));
    }
    if let Some(took) = report.took {
        text.push_str(&format!("took {}\n", took.as_millis()));
    }
    text.push('\n');
    text.push_str(&report.lines);
    text
}

/// Parses a report that arrived by `way`. Returns `None` if it is malformed.
pub fn parse(bytes: &[u8], way: Way) -> Option<Report> {
    let text = String::from_utf8_lossy(bytes);
    let (head, printed) = text.split_once("\n\n")?;
    let facts = head.strip_prefix(FIRST_LINE)?.strip_prefix('\n')?;
    let fact = |name: &str| {
        let mut facts = facts.lines().filter_map(|line| line.split_once(' '));
        Some(facts.find(|(known, _)| *known == name)?.1)
    };
    let took = fact("took").and_then(|took| took.parse().ok());
    Some(Report {
        site: fact("site")?.to_owned(),
        kind: match fact("kind")? {
            "start" => ReportKind::Start,
            "good" => ReportKind::Good,
            "bad" => ReportKind::Bad,
            _ => return None,
        },
        at: fact("at")?.parse().ok()?,
        code: fact("code").and_then(|code| code.parse().ok()),
        took: took.map(Duration::from_millis),
        lines: last_lines(printed),
        way,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_reply_comes_back_as_it_was() {
        for (reply, word) in WORDS {
            assert_eq!(
                (Reply::of(word.as_bytes()), reply.word()),
                (Some(reply), word)
            );
        }
        assert_eq!(Reply::of(b"ok"), None);
        assert_eq!(Reply::of(b""), None);
    }

    #[test]
    fn what_is_no_report_is_none() {
        let whole = "sitemon push 1\nsite a\nkind good\nat 5\n\nx";
        assert!(parse(whole.as_bytes(), Way::Socket).is_some());
        for (part, other) in [
            ("push 1", "push 2"),
            ("site a\n", ""),
            ("good", "great"),
            ("at 5", "at five"),
            ("\n\nx", "\n"),
        ] {
            let broken = whole.replace(part, other);
            assert_eq!(parse(broken.as_bytes(), Way::Socket), None, "{broken}");
        }
        let newer = whole.replace("at 5", "at 5\nhost nas");
        assert!(parse(newer.as_bytes(), Way::Socket).is_some());
    }

    proptest! {
        #[test]
        fn a_report_comes_back_as_it_was(
            site in "[^\n\r]{1,64}", at in any::<i64>(), code in proptest::option::of(any::<i32>()),
            took in proptest::option::of(0u64..1 << 40), lines in "[a-z \n]{0,200}", kind in 0..3usize,
        ) {
            let kind = [ReportKind::Start, ReportKind::Good, ReportKind::Bad][kind];
            let report = Report {
                site, kind, at, code,
                took: took.map(Duration::from_millis),
                lines: last_lines(&lines),
                way: Way::Spool,
            };
            prop_assert_eq!(parse(encode(&report).as_bytes(), Way::Spool), Some(report));
        }

        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes, Way::Socket);
            let mut with_head = b"sitemon push 1\n".to_vec();
            with_head.extend(bytes);
            let _ = parse(&with_head, Way::Socket);
        }
    }
}
