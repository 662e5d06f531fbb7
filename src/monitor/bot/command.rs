//! Parses the text of a chat into a [`Command`]. Whether the user may give it is checked elsewhere.

use crate::monitor::bot::nearest::nearest;
use crate::monitor::history::Span;
use crate::monitor::time::text::parse_span;
use std::time::Duration;

/// A parsed command. Names are as typed; they are resolved later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Status {
        group: Option<String>,
    },
    List {
        group: Option<String>,
    },
    Site {
        name: String,
    },
    History {
        name: String,
    },
    /// One name, or several separated by blanks.
    Check {
        name: Option<String>,
    },
    Incidents {
        name: Option<String>,
    },
    Ack {
        number: Option<u32>,
    },
    Mute {
        name: Option<String>,
        span: Duration,
    },
    Unmute {
        name: Option<String>,
    },
    Pause {
        name: String,
    },
    Resume {
        name: String,
    },
    /// Without a name: all sites.
    Chart {
        name: Option<String>,
        span: Span,
    },
    Add {
        url: String,
        /// `None`: the host is the name.
        name: Option<String>,
    },
    Remove {
        name: String,
    },
    /// The name of an action; without one, all are listed.
    Run {
        name: Option<String>,
    },
    Stats,
    Help,
    /// A command with a missing or wrong argument: the sentence to answer with.
    Wrong(String),
    /// An unknown command: the known one that is most likely meant.
    NotOurs(Option<&'static str>),
}

/// Name and one-line description of each command, for `/help` and `setMyCommands`. In the order in
/// which they are used, starting with an alert.
pub const COMMANDS: [(&str, &str); 17] = [
    ("status", "how things are: [group]"),
    ("check", "check now: [names or group]"),
    ("ack", "I am on it, no more reminders: [number]"),
    ("mute", "no alerts for a while: [name] [30m 1h 2d]"),
    ("unmute", "alerts again: [name]"),
    ("run", "run an action of sitemon.conf: [name]"),
    ("site", "one site in detail: name"),
    ("incidents", "the last outages: [name]"),
    ("history", "the last 10 checks: name"),
    ("chart", "a picture: [name or group] [1h 6h 24h 7d 30d 90d]"),
    ("list", "every site: [group]"),
    ("pause", "do not check: name"),
    ("resume", "check again: name"),
    ("add", "watch one more site: url [name]"),
    ("remove", "no longer watch a site that was added: name"),
    ("stats", "the agent itself"),
    ("help", "this list"),
];

impl Command {
    /// Returns the line that gives this command for the site `name`; `None` for a command that
    /// takes no site.
    pub fn line_about(&self, name: &str) -> Option<String> {
        Some(match self {
            Command::Status { .. } => format!("/status {name}"),
            Command::List { .. } => format!("/list {name}"),
            Command::Site { .. } => format!("/site {name}"),
            Command::History { .. } => format!("/history {name}"),
            Command::Check { .. } => format!("/check {name}"),
            Command::Incidents { .. } => format!("/incidents {name}"),
            Command::Mute { span, .. } => format!("/mute {name} {}s", span.as_secs()),
            Command::Unmute { .. } => format!("/unmute {name}"),
            Command::Pause { .. } => format!("/pause {name}"),
            Command::Resume { .. } => format!("/resume {name}"),
            Command::Chart { span, .. } => format!("/chart {name} {}", span.word()),
            Command::Remove { .. } => format!("/remove {name}"),
            Command::Ack { .. }
            | Command::Add { .. }
            | Command::Run { .. }
            | Command::Stats
            | Command::Help
            | Command::Wrong(_)
            | Command::NotOurs(_) => return None,
        })
    }
}

const DEFAULT_MUTE: Duration = Duration::from_secs(3600);

/// Parses a line. `bot` is our username, without `@`, if it is known. `known` says whether a site
/// or group has exactly this name, so that a time or span at its end belongs to the name. Returns
/// `None` for text that is no command, and for a command to another bot (`/status@other`).
pub fn parse(
    text: &str,
    bot: Option<&str>,
    console: bool,
    known: &dyn Fn(&str) -> bool,
) -> Option<Command> {
    let text = text.trim();
    let (word, rest) = match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim()),
        None => (text, ""),
    };
    let word = match word.strip_prefix('/') {
        Some(word) => word,
        // At a terminal the slash is optional.
        None if console && !word.is_empty() => word,
        None => return None,
    };
    let word = match word.split_once('@') {
        Some((word, to)) if bot.is_some_and(|bot| bot.eq_ignore_ascii_case(to)) => word,
        Some(_) => return None,
        None => word,
    };
    let name = || (!rest.is_empty()).then(|| rest.to_owned());
    let needed = |make: fn(String) -> Command| match name() {
        Some(name) => make(name),
        None => Command::Wrong(format!("Which site? Write /{} NAME.", word.to_lowercase())),
    };
    Some(match word.to_ascii_lowercase().as_str() {
        "status" => Command::Status { group: name() },
        "list" | "sites" => Command::List { group: name() },
        "site" => needed(|name| Command::Site { name }),
        "history" => needed(|name| Command::History { name }),
        "check" => Command::Check { name: name() },
        "incidents" => Command::Incidents { name: name() },
        "chart" => parse_chart(rest, known),
        "ack" => parse_ack(rest),
        "mute" => parse_mute(rest, known),
        "unmute" => Command::Unmute { name: name() },
        "pause" => needed(|name| Command::Pause { name }),
        "resume" => needed(|name| Command::Resume { name }),
        "add" => parse_add(rest),
        "remove" => needed(|name| Command::Remove { name }),
        "run" => Command::Run { name: name() },
        "stats" => Command::Stats,
        "help" | "start" => Command::Help,
        word => Command::NotOurs(nearest_command(word)),
    })
}

/// Returns the command that a word most likely means.
pub fn nearest_command(word: &str) -> Option<&'static str> {
    nearest(word, COMMANDS.iter().map(|(name, _)| *name))
}

fn parse_add(rest: &str) -> Command {
    let (url, name) = match rest.split_once(char::is_whitespace) {
        Some((url, name)) => (url, Some(name.trim().to_owned())),
        None => (rest, None),
    };
    if url.is_empty() {
        return Command::Wrong("What shall I watch? Write /add URL, or /add URL NAME.".into());
    }
    Command::Add {
        url: url.to_owned(),
        name,
    }
}

fn parse_ack(rest: &str) -> Command {
    if rest.is_empty() {
        return Command::Ack { number: None };
    }
    match rest.strip_prefix('#').unwrap_or(rest).parse() {
        Ok(number) => Command::Ack {
            number: Some(number),
        },
        Err(_) => Command::Wrong("/ack takes the number of an incident, as in /ack 12.".into()),
    }
}

/// The last word is the span if it parses as one; the words before it are the name.
fn parse_chart(rest: &str, known: &dyn Fn(&str) -> bool) -> Command {
    let (before, last) = rest.rsplit_once(char::is_whitespace).unwrap_or(("", rest));
    let (name, span) = match Span::from_word(last) {
        _ if known(rest) => (rest, Span::Day),
        Some(span) => (before.trim(), span),
        None if parse_span(last).is_some() => {
            return Command::Wrong("/chart shows the last 1h, 6h, 24h, 7d, 30d or 90d.".into());
        }
        None => (rest, Span::Day),
    };
    Command::Chart {
        name: (!name.is_empty()).then(|| name.to_owned()),
        span,
    }
}

/// Returns whether a word looks like a time span, as one that does not parse may be a typing
/// mistake.
fn like_a_span(word: &str) -> bool {
    let units = ['s', 'm', 'h', 'd'];
    word.starts_with(|c: char| c.is_ascii_digit())
        && word.ends_with(units)
        && word
            .chars()
            .all(|c| c.is_ascii_digit() || units.contains(&c))
}

/// The last word is the time if it parses as one; the words before it are the name.
fn parse_mute(rest: &str, known: &dyn Fn(&str) -> bool) -> Command {
    let split = |text| str::rsplit_once(text, char::is_whitespace).unwrap_or(("", text));
    let (before, last) = split(rest);
    // `2 h` is `2h`.
    let (earlier, number) = split(before.trim());
    let two_words = parse_span(&format!("{number}{last}"));
    let two_words = two_words.filter(|_| last.starts_with(char::is_alphabetic) && !known(before));
    let (name, span) = match parse_span(last).or(two_words) {
        _ if known(rest) => (rest, DEFAULT_MUTE),
        Some(span) if two_words.is_some() => (earlier.trim(), span),
        Some(span) => (before.trim(), span),
        None if like_a_span(last) => {
            return Command::Wrong(
                "The time is from 1s to 366d, as in /mute blog 30m, 2h or 1d12h.".into(),
            );
        }
        None => (rest, DEFAULT_MUTE),
    };
    let everything = name.is_empty() || name.eq_ignore_ascii_case("all") && !known(name);
    Command::Mute {
        name: (!everything).then(|| name.to_owned()),
        span,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn reads(text: &str) -> Command {
        parse(text, Some("site_bot"), false, &|_| false).expect("a command")
    }

    #[test]
    fn names_may_have_blanks_and_capitals() {
        let name = Some("My Blog".to_owned());
        assert_eq!(reads("/check My Blog "), Command::Check { name });
        assert_eq!(reads("/STATUS"), Command::Status { group: None });
    }

    #[test]
    fn our_name_after_the_at_is_ours_and_another_is_not() {
        assert_eq!(reads("/stats@Site_Bot"), Command::Stats);
        assert_eq!(
            parse("/stats@other_bot", Some("site_bot"), false, &|_| false),
            None
        );
        assert_eq!(parse("/stats@site_bot", None, false, &|_| false), None);
    }

    #[test]
    fn chatter_is_no_command_but_at_the_terminal_the_slash_may_go() {
        assert_eq!(
            parse("status of things?", Some("b"), false, &|_| false),
            None
        );
        assert_eq!(parse("", None, true, &|_| false), None);
        assert_eq!(parse("stats", None, true, &|_| false), Some(Command::Stats));
    }

    #[test]
    fn mute_takes_name_and_time_in_any_combination() {
        let mute = |name: Option<&str>, secs| Command::Mute {
            name: name.map(str::to_owned),
            span: Duration::from_secs(secs),
        };
        assert_eq!(reads("/mute"), mute(None, 3600));
        assert_eq!(reads("/mute 2d"), mute(None, 172_800));
        assert_eq!(reads("/mute my blog"), mute(Some("my blog"), 3600));
        assert_eq!(reads("/mute my blog 30m"), mute(Some("my blog"), 1800));
        for out_of_range in ["/mute my blog 0s", "/mute 2000d"] {
            assert!(matches!(reads(out_of_range), Command::Wrong(_)));
        }
        assert_eq!(reads("/mute blog 4x"), mute(Some("blog 4x"), 3600));
        assert_eq!(reads("/mute 2 h"), mute(None, 7200));
        assert_eq!(reads("/mute my blog 30 m"), mute(Some("my blog"), 1800));
        assert_eq!(reads("/mute all"), mute(None, 3600));
        assert_eq!(reads("/mute ALL 2 h"), mute(None, 7200));
    }

    #[test]
    fn chart_takes_name_and_span_in_any_combination() {
        let chart = |name: Option<&str>, span| Command::Chart {
            name: name.map(str::to_owned),
            span,
        };
        assert_eq!(reads("/chart"), chart(None, Span::Day));
        assert_eq!(reads("/chart 7D"), chart(None, Span::Week));
        assert_eq!(reads("/chart 1h"), chart(None, Span::Hour));
        assert_eq!(
            reads("/chart my blog 6h"),
            chart(Some("my blog"), Span::SixHours)
        );
        assert_eq!(reads("/chart my blog"), chart(Some("my blog"), Span::Day));
        assert_eq!(
            reads("/chart my blog 90d"),
            chart(Some("my blog"), Span::Quarter)
        );
        assert!(matches!(reads("/chart blog 5d"), Command::Wrong(_)));
    }

    #[test]
    fn a_known_name_that_ends_like_a_time_is_a_name() {
        let known = |name: &str| ["backup 24h", "7d", "job 400d"].contains(&name);
        let reads = |text: &str| parse(text, None, false, &known).expect("a command");
        let mute = |name: &str, secs| Command::Mute {
            name: Some(name.to_owned()),
            span: Duration::from_secs(secs),
        };
        assert_eq!(reads("/mute backup 24h"), mute("backup 24h", 3600));
        assert_eq!(reads("/mute backup 24h 2h"), mute("backup 24h", 7200));
        assert_eq!(reads("/mute backup 2h"), mute("backup", 7200));
        assert_eq!(reads("/mute 7d"), mute("7d", 3600));
        assert_eq!(reads("/mute job 400d"), mute("job 400d", 3600));
        let chart = |name: &str, span| Command::Chart {
            name: Some(name.to_owned()),
            span,
        };
        assert_eq!(reads("/chart backup 24h"), chart("backup 24h", Span::Day));
        assert_eq!(reads("/chart 7d 30d"), chart("7d", Span::Month));
        assert_eq!(reads("/chart job 400d"), chart("job 400d", Span::Day));
    }

    #[test]
    fn ack_takes_a_number_with_or_without_its_sign() {
        assert_eq!(reads("/ack #12"), Command::Ack { number: Some(12) });
        assert_eq!(reads("/ack"), Command::Ack { number: None });
        assert!(matches!(reads("/ack blog"), Command::Wrong(_)));
    }

    #[test]
    fn a_command_without_its_name_says_what_to_write() {
        let wrong = Command::Wrong("Which site? Write /pause NAME.".into());
        assert_eq!(reads("/pause"), wrong);
    }

    #[test]
    fn every_listed_command_is_understood_and_fits_set_my_commands() {
        for (name, text) in COMMANDS {
            let command = reads(&format!("/{name} x"));
            assert!(!matches!(command, Command::NotOurs(_)), "{name}");
            assert!(name.len() <= 32 && (1..=256).contains(&text.len()));
        }
        assert_eq!(reads("/frobnicate"), Command::NotOurs(None));
        assert_eq!(reads("/chek blog"), Command::NotOurs(Some("check")));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}", console: bool) {
            let _ = parse(&text, Some("bot"), console, &|_| false);
        }
    }
}
