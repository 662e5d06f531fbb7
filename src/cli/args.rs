//! The arguments, read with argh. Bad usage exits with 2, unlike argh's own `from_env`.

use super::{Failure, print};
use crate::monitor::bot::nearest::nearest;
use crate::monitor::site::printable;
use argh::FromArgs;
use std::ffi::OsString;
use std::path::PathBuf;

const DEFAULT_CONFIG: &str = "/etc/sitemon.conf";

const COMMANDS: [&str; 9] = [
    "init", "run", "check", "config", "pair", "say", "status", "push", "version",
];

/// A site monitor that alerts in Telegram and is steered from the same chat.
#[derive(FromArgs, Debug, PartialEq)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(
    help_triggers("-h", "--help"),
    example = "sitemon init                       the first set-up, by questions",
    example = "sitemon -c sitemon.conf config     what would run, or every mistake in the file",
    example = "sitemon -c sitemon.conf run        the agent; without Telegram this terminal is the chat",
    example = "sitemon help check                 the help of a command",
    note = "man sitemon, or docs/ beside the program's source: all of it.",
    error_code(1, "a site is down (check, status)"),
    error_code(2, "wrong usage, or a mistake in the configuration"),
    error_code(3, "Telegram cannot be reached or refuses the token (init, pair, say)"),
    error_code(4, "no agent is running (status), or a report is lost (push)")
)]
pub struct Args {
    /// the configuration file (default: /etc/sitemon.conf)
    #[argh(
        option,
        short = 'c',
        arg_name = "FILE",
        default = "DEFAULT_CONFIG.into()"
    )]
    pub config: PathBuf,

    /// log everything
    #[argh(switch, short = 'v')]
    pub verbose: bool,

    /// log warnings only
    #[argh(switch, short = 'q')]
    pub quiet: bool,

    #[argh(subcommand)]
    pub command: Command,
}

#[derive(FromArgs, Debug, PartialEq)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(subcommand)]
pub enum Command {
    Init(Init),
    Run(Run),
    Check(Check),
    Config(Config),
    Pair(Pair),
    Say(Say),
    Status(Status),
    Push(Push),
    Version(Version),
}

/// first set-up by questions: token, chat, first site; writes the file
#[derive(FromArgs, Debug, Default, PartialEq)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(
    subcommand,
    name = "init",
    help_triggers("-h", "--help"),
    example = "sitemon init",
    example = "sitemon init --token-file bot.token --chat 123456789 --site https://example.org",
    example = "sitemon init --route direct,socks5h://127.0.0.1:1080   where Telegram is blocked",
    note = "What an option gives is not asked for; with --token-file, --chat and --site no terminal is needed."
)]
pub struct Init {
    /// the bot's token is in this file
    #[argh(option, arg_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// the chat that gets the alerts
    #[argh(option, arg_name = "ID", from_str_fn(chat))]
    pub chat: Option<i64>,

    /// the address to watch first
    #[argh(option, arg_name = "URL")]
    pub site: Option<String>,

    /// a Bot API server of your own
    #[argh(option, arg_name = "URL")]
    pub api: Option<String>,

    /// ways to Telegram, in the order in which they are tried: direct, a proxy, a relay
    #[argh(option, arg_name = "WAYS")]
    pub route: Vec<String>,
}

fn chat(text: &str) -> Result<i64, String> {
    let id = text.parse().ok().filter(|id| *id != 0);
    id.ok_or_else(|| "a chat's id is a number, of a group a negative one".to_owned())
}

/// the agent, in the foreground
#[derive(FromArgs, Debug, PartialEq)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(
    subcommand,
    name = "run",
    help_triggers("-h", "--help"),
    example = "sitemon run --console",
    example = "sitemon -v run"
)]
pub struct Run {
    /// the terminal is the chat, even when Telegram is configured
    #[argh(switch)]
    pub console: bool,
}

/// one round now, printed as a table
#[derive(FromArgs, Debug, PartialEq)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(
    subcommand,
    name = "check",
    help_triggers("-h", "--help"),
    example = "sitemon check",
    example = "sitemon check blog home        the site blog and those of the group home",
    example = "sitemon check --json | jq -r '.sites[] | select(.state == \"down\").name'"
)]
pub struct Check {
    /// sites or groups (default: all)
    #[argh(positional, arg_name = "NAME")]
    pub names: Vec<String>,

    /// print JSON
    #[argh(switch)]
    pub json: bool,
}

/// read the file, print what would run, or every error in it
#[derive(FromArgs, Debug, PartialEq)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(
    subcommand,
    name = "config",
    help_triggers("-h", "--help"),
    example = "sitemon -c sitemon.conf config",
    example = "sitemon config --json"
)]
pub struct Config {
    /// print JSON
    #[argh(switch)]
    pub json: bool,
}

/// find the chat: prints a one-time code and waits for it in Telegram
#[derive(FromArgs, Debug, PartialEq)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(
    subcommand,
    name = "pair",
    help_triggers("-h", "--help"),
    example = "sitemon pair --write"
)]
pub struct Pair {
    /// put the chat into the configuration file
    #[argh(switch)]
    pub write: bool,
}

/// send one message to the configured chats
#[derive(FromArgs, Debug, PartialEq)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(
    subcommand,
    name = "say",
    help_triggers("-h", "--help"),
    example = "sitemon say back in ten minutes",
    example = "df -h | sitemon say -",
    example = "sitemon say -- -5 degrees"
)]
pub struct Say {
    /// the message; - alone: read it from stdin
    #[argh(positional, arg_name = "TEXT")]
    pub text: Vec<String>,
}

/// what the running agent last wrote to its state
#[derive(FromArgs, Debug, PartialEq)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(
    subcommand,
    name = "status",
    help_triggers("-h", "--help"),
    example = "sitemon status",
    example = "sitemon status --json | jq .running"
)]
pub struct Status {
    /// print JSON
    #[argh(switch)]
    pub json: bool,
}

/// report to the running agent: a job started, ended, failed
#[derive(FromArgs, Debug, Default, PartialEq)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(
    subcommand,
    name = "push",
    help_triggers("-h", "--help"),
    example = "sitemon push backup -- /usr/local/bin/backup --all   runs it and reports how it ends",
    example = "sitemon push backup                                  it has ended well",
    example = "sitemon push backup --fail --message \"disk full\"",
    note = "Ends with the exit code of COMMAND (128+N by signal N, 127 not found); without COMMAND 0 when the report is \
            taken or kept for the agent's next start, 2 when there is no such site."
)]
pub struct Push {
    /// the job has started
    #[argh(switch)]
    pub start: bool,

    /// the job has failed
    #[argh(switch)]
    pub fail: bool,

    /// a line for the alert
    #[argh(option, arg_name = "TEXT")]
    pub message: Option<String>,

    /// do not report what COMMAND prints, and do not touch it
    #[argh(switch)]
    pub no_output: bool,

    /// where the agent is (default: by the configuration)
    #[argh(option, arg_name = "PATH")]
    pub socket: Option<PathBuf>,

    /// where the report is kept without an agent (default: by the configuration)
    #[argh(option, arg_name = "DIRECTORY")]
    pub spool: Option<PathBuf>,

    /// the site
    #[argh(positional, arg_name = "NAME")]
    pub name: String,

    /// behind --: the command to run, and its arguments
    #[argh(positional, arg_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// print the version
#[derive(FromArgs, Debug, PartialEq)]
#[cfg_attr(test, derive(argh::ArgsInfo))]
#[argh(
    subcommand,
    name = "version",
    help_triggers("-h", "--help"),
    example = "sitemon version"
)]
pub struct Version {}

/// Help that was asked for, or a usage error.
#[derive(Debug)]
pub struct EarlyExit {
    text: String,
    help: bool,
}

impl EarlyExit {
    fn usage(text: String) -> EarlyExit {
        EarlyExit { text, help: false }
    }

    /// The help as a result, or what is wrong with the usage.
    pub fn tell(&self) -> Result<(), Failure> {
        let text = self.text.trim_end();
        if self.help {
            print(format_args!("{text}\n"))
        } else {
            let more = match text.contains("\nTry: ") {
                true => "",
                false => "\nTry: sitemon --help",
            };
            Err(Failure::Usage(format!("{text}{more}")))
        }
    }
}

/// Reads the arguments, the program's name first.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Args, EarlyExit> {
    let mut words: Vec<OsString> = args.into_iter().skip(1).collect();
    let job = take_job(&mut words);
    let lossy = is_push(&words);
    let words = words
        .into_iter()
        .map(|word| match lossy {
            // A message with a foreign letter in it is no reason to lose the report.
            true => Ok(word.to_string_lossy().into_owned()),
            false => word.into_string(),
        })
        .collect::<Result<Vec<String>, _>>()
        .map_err(|word| EarlyExit::usage(format!("not UTF-8: {}", word.to_string_lossy())))?;
    if matches!(words.as_slice(), [one] if one == "--version" || one == "-V") {
        return Err(EarlyExit {
            text: format!("sitemon {}", env!("CARGO_PKG_VERSION")),
            help: true,
        });
    }
    let (mut words, rest) = ordered(words);
    match rest.first() {
        // An option that lacks its value is argh's to complain about.
        None if words.last().is_none_or(|word| !takes_value(word)) => words.push("--help".into()),
        Some(word)
            if (!word.starts_with('-') || word == "--") && !COMMANDS.contains(&word.as_str()) =>
        {
            return Err(EarlyExit::usage(unknown_command(word)));
        }
        _ => words.extend(rest),
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let parsed = Args::from_args(&["sitemon"], &words).map_err(|early| {
        let command = words.iter().find(|word| COMMANDS.contains(word));
        let unknown = early
            .output
            .trim_end()
            .strip_prefix("Unrecognized argument: ");
        EarlyExit {
            help: early.status.is_ok(),
            text: match (unknown, command) {
                (Some(word), Some(command)) => unknown_argument(command, word),
                _ => early.output,
            },
        }
    });
    let mut args = parsed?;
    if let Command::Push(push) = &mut args.command {
        let wrong = match (&job, push.command.first()) {
            (_, Some(word)) => {
                let shown = printable::line(&word.to_string_lossy(), 40);
                format!("`{shown}`: the command to run stands behind `--`")
            }
            (Some(job), None) if job.is_empty() => "no command stands behind `--`".to_owned(),
            (Some(_), None) if push.start || push.fail => {
                "--start and --fail report what is done; a command is run and reports by itself"
                    .to_owned()
            }
            _ if push.start && push.fail => "--start and --fail contradict each other".to_owned(),
            _ => {
                push.command = job.unwrap_or_default();
                return Ok(args);
            }
        };
        let more = "\nTry: sitemon help push";
        return Err(EarlyExit::usage(format!("{wrong}{more}")));
    }
    Ok(args)
}

/// What stands behind `--` of a `push` is a command: its words are taken as they are. Where no NAME stands before it
/// yet, it is what comes next, which may begin with a dash; a command is then behind another `--`.
fn take_job(words: &mut Vec<OsString>) -> Option<Vec<OsString>> {
    let at = words.iter().position(|word| word == "--")?;
    if !is_push(&words[..at]) {
        return None;
    }
    let mut job = words.split_off(at + 1);
    if has_name(&words[..at]) {
        words.pop();
        return Some(job);
    }
    let end = job.iter().position(|word| word == "--");
    let behind = end.map(|at| job.split_off(at + 1));
    words.extend(job.drain(..end.unwrap_or(job.len())));
    behind
}

/// Whether a word of this `push` is none of an option.
fn has_name(words: &[OsString]) -> bool {
    let mut words = words.iter().map(|word| word.to_string_lossy());
    let mut free = 0;
    while let Some(word) = words.next() {
        if takes_value(&word) || ["--message", "--socket", "--spool"].contains(&&*word) {
            words.next();
        } else if !word.starts_with('-') {
            free += 1;
        }
    }
    // The first is the command itself.
    free > 1
}

fn is_push(words: &[OsString]) -> bool {
    let words = words.iter();
    let words = words.map(|word| word.to_string_lossy().into_owned());
    let (_, rest) = ordered(words.collect());
    rest.first().is_some_and(|command| command == "push")
}

/// What argh did not take behind a command.
fn unknown_argument(command: &str, word: &str) -> String {
    let shown = printable::line(word, 40);
    if !word.starts_with('-') {
        return format!("`{command}` takes no `{shown}`\nTry: sitemon help {command}");
    }
    let help = Args::from_args(&["sitemon"], &[command, "--help"]);
    let help = help.map_or_else(|early| early.output, |_| String::new());
    let of_it = help
        .split_whitespace()
        .filter(|word| word.starts_with("--"));
    let all = ["--config", "--verbose", "--quiet"]
        .into_iter()
        .chain(of_it);
    let near = match nearest(word, all) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => String::new(),
    };
    format!("`{command}` has no option `{shown}`{near}\nTry: sitemon help {command}")
}

fn takes_value(option: &str) -> bool {
    option == "-c" || option == "--config"
}

/// The options of the program itself, which may stand anywhere before `--`, and the rest: the
/// command first. argh wants them in this order. `-h` is `--help`, and stands behind its command.
fn ordered(words: Vec<String>) -> (Vec<String>, Vec<String>) {
    let (mut options, mut rest) = (Vec::new(), Vec::new());
    let mut help = false;
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--" => {
                if !rest.contains(&word) {
                    rest.push(word);
                }
                break;
            }
            // To argh it would be an option without a name.
            "-" if !rest.contains(&word) => rest.extend(["--".to_owned(), word]),
            "-h" | "--help" => help = true,
            // Of the command that follows.
            "help" if rest.is_empty() => help = true,
            "-v" | "--verbose" | "-q" | "--quiet" => options.push(word),
            _ if takes_value(&word) => {
                options.push(word);
                options.extend(words.next());
            }
            _ => match word.strip_prefix("--config=") {
                Some(value) => options.extend(["--config".to_owned(), value.to_owned()]),
                None => rest.push(word),
            },
        }
    }
    if help {
        rest.truncate(1);
        rest.push("--help".to_owned());
    }
    rest.extend(words);
    (options, rest)
}

fn unknown_command(word: &str) -> String {
    let near = match nearest(word, COMMANDS) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => format!("; there are {}", COMMANDS.join(", ")),
    };
    format!("there is no command `{}`{near}", printable::line(word, 40))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Args, EarlyExit> {
        parse(["sitemon"].iter().chain(words).map(OsString::from))
    }

    #[test]
    fn the_configuration_is_in_etc_unless_said_otherwise() {
        let args = read(&["run"]).expect("parses");
        assert_eq!(args.config, PathBuf::from("/etc/sitemon.conf"));
        let args = read(&["-c", "x.conf", "-v", "check", "a", "b", "--json"]).expect("parses");
        assert_eq!(args.config, PathBuf::from("x.conf"));
        assert!(args.verbose);
        let names = vec!["a".into(), "b".into()];
        assert_eq!(args.command, Command::Check(Check { names, json: true }));
    }

    #[test]
    fn help_is_no_error_and_nonsense_is() {
        assert!(read(&["--help"]).is_err_and(|e| e.help));
        assert!(read(&["--version"]).is_err_and(|e| e.help));
        for bad in [
            &["frobnicate"][..],
            &["run", "--frob"],
            &["-c"],
            &["run", "-c"],
            &["help", "chek"],
        ] {
            assert!(read(bad).is_err_and(|e| !e.help), "{bad:?}");
        }
        for help in [
            &[][..],
            &["-v"],
            &["-h"],
            &["check", "-h"],
            &["-h", "check"],
            &["check", "a", "--help"],
            &["help"],
            &["help", "check"],
            &["-v", "help", "check", "a"],
        ] {
            let early = read(help).expect_err("help");
            assert!(early.help, "{help:?}");
            let about_check = early.text.contains("sites or groups");
            assert_eq!(about_check, help.contains(&"check"), "{}", early.text);
        }
    }

    #[test]
    fn options_of_the_program_stand_anywhere() {
        let wanted = read(&["-c", "x.conf", "-v", "check", "a", "--json"]).expect("parses");
        for words in [
            &["check", "-v", "a", "--json", "-c", "x.conf"][..],
            &["check", "--config=x.conf", "--json", "a", "--verbose"],
            &["--config", "x.conf", "check", "--json", "-v", "--", "a"],
        ] {
            assert_eq!(read(words).expect("parses"), wanted, "{words:?}");
        }
    }

    #[test]
    fn words_behind_two_dashes_are_no_options() {
        let args = read(&["say", "--", "-c", "-h", "--json"]).expect("parses");
        let text = ["-c", "-h", "--json"].map(str::to_owned).to_vec();
        assert_eq!(args.command, Command::Say(Say { text }));
        let args = read(&["say", "help", "-v"]).expect("parses");
        let text = vec!["help".to_owned()];
        assert_eq!(args.command, Command::Say(Say { text }));
        assert_eq!(args.config, PathBuf::from("/etc/sitemon.conf"));
    }

    #[test]
    fn a_dash_is_a_word() {
        for (words, wanted) in [
            (&["say", "-"][..], &["-"][..]),
            (&["say", "-", "-c", "x.conf"], &["-"]),
            (&["say", "--", "-"], &["-"]),
            (
                &["say", "5", "-", "3", "-", "1"],
                &["5", "-", "3", "-", "1"],
            ),
            (&["say", "a", "-", "--", "-v"], &["a", "-", "-v"]),
        ] {
            let text = wanted.iter().map(|&word| word.to_owned()).collect();
            let args = read(words).expect("parses");
            assert_eq!(args.command, Command::Say(Say { text }), "{words:?}");
        }
    }

    #[test]
    fn a_mistyped_option_gets_the_nearest_one_of_its_command() {
        for (words, said) in [
            (
                &["check", "--jsn"][..],
                "`check` has no option `--jsn`; did you mean `--json`?\nTry: sitemon help check",
            ),
            (
                &["--verbos", "run"],
                "`run` has no option `--verbos`; did you mean `--verbose`?\nTry: sitemon help run",
            ),
            (
                &["run", "--json"],
                "`run` has no option `--json`\nTry: sitemon help run",
            ),
            (
                &["version", "x"],
                "`version` takes no `x`\nTry: sitemon help version",
            ),
        ] {
            let early = read(words).expect_err("unknown");
            assert_eq!((early.text.as_str(), early.help), (said, false));
        }
    }

    #[test]
    fn init_takes_its_answers_as_options() {
        let words = [
            "init",
            "--chat",
            "-5",
            "--route",
            "direct,http://a:1",
            "--route",
            "https://b/c",
        ];
        let Command::Init(init) = read(&words).expect("parses").command else {
            panic!("another command");
        };
        assert_eq!(init.chat, Some(-5));
        assert_eq!(init.route, ["direct,http://a:1", "https://b/c"]);
        for bad in ["0", "x", "@name"] {
            let refused = read(&["init", "--chat", bad]);
            assert!(
                refused.is_err_and(|e| e.text.contains("a chat's id is a number")),
                "{bad}"
            );
        }
    }

    #[test]
    fn what_stands_behind_two_dashes_of_a_push_is_a_command_as_it_is() {
        use std::os::unix::ffi::OsStringExt;
        let odd = OsString::from_vec(vec![b'a', 0xff]);
        let words = [
            "sitemon", "-v", "push", "backup", "--", "git", "-h", "--", "-c", "--fail",
        ];
        let words = words.iter().map(OsString::from).chain([odd.clone()]);
        let args = parse(words).expect("parses");
        let Command::Push(push) = args.command else {
            panic!("another command");
        };
        let command = ["git", "-h", "--", "-c", "--fail"].map(OsString::from);
        assert_eq!(push.command, [&command[..], &[odd]].concat());
        assert!(args.verbose && !push.fail && push.name == "backup");
        let message = [b"full: ".to_vec(), vec![0xe9]].concat();
        let words = ["sitemon", "push", "backup", "--message"];
        let words = words.iter().map(OsString::from);
        let words = words.chain([OsString::from_vec(message)]);
        let Command::Push(push) = parse(words).expect("parses").command else {
            panic!("another command");
        };
        assert_eq!(push.message.as_deref(), Some("full: \u{fffd}"));
        for (words, said) in [
            (
                &["push", "a", "b"][..],
                "`b`: the command to run stands behind `--`",
            ),
            (&["push", "a", "--"], "no command stands behind `--`"),
            (
                &["push", "a", "--fail", "--", "b"],
                "--start and --fail report what is done",
            ),
            (
                &["push", "a", "--fail", "--start"],
                "--start and --fail contradict each other",
            ),
        ] {
            let early = read(words).expect_err("wrong");
            assert!(
                early.text.starts_with(said) && !early.help,
                "{}",
                early.text
            );
        }
        let name = |words: &[&str]| match read(words).expect("parses").command {
            Command::Push(push) => (push.name, push.fail, push.command),
            other => panic!("{other:?}"),
        };
        let command = vec![OsString::from("-y"), "--".into()];
        for (words, fail, command) in [
            (&["push", "--", "-x"][..], false, vec![]),
            (&["push", "--fail", "--", "-x"], true, vec![]),
            (&["push", "--message", "m", "--", "-x"], false, vec![]),
            (&["push", "--", "-x", "--", "-y", "--"], false, command),
        ] {
            assert_eq!(name(words), ("-x".to_owned(), fail, command), "{words:?}");
        }
        for words in [
            &["push", "--"][..],
            &["push", "--", "-x", "y"],
            &["push", "--", "-x", "--"],
            &["push", "--message", "--", "-x"],
        ] {
            assert!(read(words).is_err_and(|early| !early.help), "{words:?}");
        }
        assert!(read(&["push"]).is_err_and(|early| early.text.contains("NAME")));
        assert!(read(&["push", "a", "--help"]).is_err_and(|early| early.help));
    }

    #[test]
    fn a_mistyped_command_gets_the_nearest_one() {
        let said = |word| read(&[word]).expect_err("unknown").text;
        assert_eq!(
            said("chek"),
            "there is no command `chek`; did you mean `check`?"
        );
        assert!(
            said("frobnicate")
                .ends_with("there are init, run, check, config, pair, say, status, push, version")
        );
        for none in ["--", "-"] {
            assert!(said(none).starts_with("there is no command `--`"));
        }
    }
}
