//! Runs a program with the interface of Nagios' plugins (Monitoring Plugins Development Guidelines,
//! "Plugin Output for Nagios" and "Plugin Return Codes"): the exit code is the verdict, and the first
//! line of the output, up to `|`, is the cause.

use super::redacted;
use crate::command::{self, Command, End, Keep, NotStarted, Report};
use crate::http::within;
use crate::monitor::site::outcome::{Failure, FailureKind, LocalFault, Outcome};
use crate::monitor::site::{ExecCheck, Site};

/// Runs the program once. The timeout starts when a permit is acquired.
pub(super) async fn run(site: &Site, check: &ExecCheck) -> Outcome {
    let name = [("SITEMON_SITE".to_owned(), site.name.clone())];
    let report = command::run(Command {
        command: check.command.clone(),
        env: [&name[..], &check.env].concat(),
        timeout: site.timeout,
        keep: Keep::First,
    });
    judged(site, report.await)
}

fn judged(site: &Site, report: Report) -> Outcome {
    let said = text(site, &report.stdout).or_else(|| text(site, &report.stderr));
    // `WHAT: TEXT`
    let with = |what: String| match &said {
        Some(said) => format!("{what}: {said}"),
        None => what,
    };
    let down = |cause| Err(Failure::new(FailureKind::Limit, cause));
    let took = matches!(report.end, End::Exited(_)).then_some(report.took);
    let (mut detail, mut warning) = (None, None);
    let verdict = match report.end {
        End::Exited(0) => {
            detail = said;
            Ok(())
        }
        End::Exited(1) => {
            warning = said.or_else(|| Some("plugin warns".to_owned()));
            Ok(())
        }
        End::Exited(2) => down(said.unwrap_or_else(|| "plugin says critical".to_owned())),
        End::Exited(3) => down(with("plugin says unknown".to_owned())),
        End::Exited(code) => down(with(format!("plugin says unknown (exit code {code})"))),
        End::Signal(signal) => down(with(format!("plugin ended by signal {signal}"))),
        End::TimedOut => {
            let cause = with(format!("plugin not done within {}", within(site.timeout)));
            Err(Failure::new(FailureKind::Timeout, cause))
        }
        End::NotStarted(why) => Err(Failure::local(lack(&why))),
    };
    Outcome {
        detail,
        warning,
        ..Outcome::new(verdict, took)
    }
}

/// A program that cannot be started says nothing about the site.
fn lack(why: &NotStarted) -> LocalFault {
    LocalFault::Figure(match why {
        NotStarted::Missing => "a program to run does not exist",
        NotStarted::NotExecutable => "a program to run cannot be executed",
        NotStarted::Exposed(_) => "a program to run can be replaced by other users",
        NotStarted::Hangs => "a program to run does not answer (a network file system?)",
        NotStarted::Lacking(fault) => return *fault,
    })
}

/// The first line that is not empty, without performance data and secrets.
fn text(site: &Site, output: &[u8]) -> Option<String> {
    let output = redacted(site, &String::from_utf8_lossy(output));
    let output = without_escapes(&output);
    let lines = output.lines().map(str::trim);
    let line = lines.into_iter().find(|line| !line.is_empty())?;
    let text = line.split('|').next().unwrap_or_default().trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Removes escape sequences (ECMA-48, sections 5.3 to 5.6), none of which spans lines. Other control
/// characters are replaced by blanks later.
fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['\u{1b}', '\u{9b}', '\u{9d}']) {
        plain.push_str(&rest[..at]);
        let mut behind = rest[at..].chars();
        let introducer = match behind.next() {
            Some('\u{9b}') => '[',
            Some('\u{9d}') => ']',
            _ if behind.as_str().starts_with('\n') => '\n',
            _ => behind.next().unwrap_or_default(),
        };
        rest = behind.as_str();
        let is_last: fn(char) -> bool = match introducer {
            ']' | 'P' | 'X' | '^' | '_' => |c| matches!(c, '\u{7}' | '\u{9c}' | '\u{1b}'),
            '[' => |c| ('@'..='~').contains(&c),
            ' '..='/' => |c| ('0'..='~').contains(&c),
            _ => continue,
        };
        let line = rest.lines().next().unwrap_or_default();
        rest = match line.find(is_last) {
            // This ESC begins a string terminator or another sequence.
            Some(at) if rest[at..].starts_with('\u{1b}') => &rest[at..],
            Some(at) => {
                let mut behind = rest[at..].chars();
                behind.next();
                behind.as_str()
            }
            None => &rest[line.len()..],
        };
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn site() -> Site {
        let text = "[[site]]\nname = 'a'\nurl = 'exec:'\ncommand = ['/bin/true']\n\
                    env = { PASSWORD = '$P' }";
        let ctx = crate::config::Context {
            file: "",
            exposed: false,
            dir: std::path::Path::new(""),
            zone: &|_| Ok(()),
            env: &|_| Some("hunter22".to_owned()),
            read: &|_| Err(std::io::ErrorKind::NotFound.into()),
        };
        let config = crate::config::parse(text, &ctx).unwrap_or_else(|e| panic!("{e}"));
        (*config.sites[0]).clone()
    }

    fn of(end: End, stdout: &str, stderr: &str) -> Outcome {
        let report = Report {
            end,
            stdout: stdout.as_bytes().to_vec(),
            stderr: stderr.as_bytes().to_vec(),
            took: Duration::from_millis(5),
        };
        judged(&site(), report)
    }

    #[test]
    fn the_exit_code_is_the_verdict_and_the_first_line_the_text() {
        let good = of(End::Exited(0), "DISK OK - 9 GB | /=1GB;2\nmore\n", "");
        assert_eq!(good.verdict, Ok(()));
        assert_eq!(good.detail.as_deref(), Some("DISK OK - 9 GB"));
        assert_eq!(good.took, Some(Duration::from_millis(5)));
        let warned = of(End::Exited(1), "DISK WARNING", "");
        assert_eq!(warned.degraded_by(None).as_deref(), Some("DISK WARNING"));
        let silent = of(End::Exited(1), "", "");
        assert_eq!(silent.degraded_by(None).as_deref(), Some("plugin warns"));
        for (end, stdout, stderr, cause) in [
            (End::Exited(2), "\nDISK CRITICAL|x", "", "DISK CRITICAL"),
            (End::Exited(2), "|x=1", "", "plugin says critical"),
            (End::Exited(3), "no -w", "", "plugin says unknown: no -w"),
            (
                End::Exited(127),
                "",
                "sh: 1: x: not found\n",
                "plugin says unknown (exit code 127): sh: 1: x: not found",
            ),
            (End::Signal(11), "", "", "plugin ended by signal 11"),
            (End::TimedOut, "", "", "plugin not done within 10s"),
            (
                End::Exited(2),
                "user me, password hunter22",
                "",
                "user me, password ***",
            ),
        ] {
            let failure = of(end, stdout, stderr).verdict.expect_err("a failure");
            assert_eq!(failure.detail, cause);
        }
        let missing = of(End::NotStarted(NotStarted::Missing), "", "");
        let kind = missing.failure_kind().expect("a failure");
        assert!(matches!(kind, FailureKind::Local(_)));
        assert_eq!(missing.took, None);
    }

    #[test]
    fn escape_sequences_are_left_out() {
        for (text, plain) in [
            ("\u{1b}[1;31mDOWN\u{1b}[0m now", "DOWN now"),
            ("\u{9b}2Jx", "x"),
            (
                "\u{1b}]0;title\u{7}x \u{1b}]8;;http://h/a|b\u{1b}\\link",
                "x link",
            ),
            ("\u{1b}(Bx\u{1b}cy\u{1b}7", "xy"),
            ("a\u{1b}", "a"),
            ("a\u{1b}\nb\u{1b}[31\nc\u{1b}Pq\nd", "a\nb\nc\nd"),
            ("\u{1b}Pq#0\u{1b}\\x", "x"),
            ("ä\u{1b}[3ämx", "äx"),
        ] {
            assert_eq!(without_escapes(text), plain, "{text:?}");
        }
    }
}
