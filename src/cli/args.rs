//! The arguments, read with argh. Bad usage exits with 2, unlike argh's own `from_env`.

use super::{Failure, print};
use argh::FromArgs;
use std::ffi::OsString;
use std::path::PathBuf;

const DEFAULT_CONFIG: &str = "/etc/sitemon.conf";

/// A site monitor that alerts in Telegram and is steered from the same chat.
#[derive(FromArgs, Debug, PartialEq)]
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
#[argh(subcommand)]
pub enum Command {
    Run(Run),
    Check(Check),
    Config(Config),
    Pair(Pair),
    Say(Say),
    Status(Status),
    Version(Version),
}

/// the agent, in the foreground
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "run")]
pub struct Run {
    /// the terminal is the chat, even when Telegram is configured
    #[argh(switch)]
    pub console: bool,
}

/// one round now, printed as a table
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "check")]
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
#[argh(subcommand, name = "config")]
pub struct Config {
    /// print JSON
    #[argh(switch)]
    pub json: bool,
}

/// find the chat: prints a one-time code and waits for it in Telegram
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "pair")]
pub struct Pair {}

/// send one message to the configured chats
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "say")]
pub struct Say {
    /// the message
    #[argh(positional, arg_name = "TEXT")]
    pub text: Vec<String>,
}

/// what the running agent last wrote to its state
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "status")]
pub struct Status {
    /// print JSON
    #[argh(switch)]
    pub json: bool,
}

/// print the version
#[derive(FromArgs, Debug, PartialEq)]
#[argh(subcommand, name = "version")]
pub struct Version {}

/// Help that was asked for, or a usage error.
#[derive(Debug)]
pub struct Early {
    text: String,
    help: bool,
}

impl Early {
    /// The help as a result, or what is wrong with the usage.
    pub fn tell(&self) -> Result<(), Failure> {
        let text = self.text.trim_end();
        if self.help {
            print(format_args!("{text}\n"))
        } else {
            Err(Failure::Usage(format!("{text}\nTry: sitemon --help")))
        }
    }
}

/// Reads the arguments, the program's name first.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Args, Early> {
    let usage = |text: String| Early { text, help: false };
    let words = args
        .into_iter()
        .skip(1)
        .map(OsString::into_string)
        .collect::<Result<Vec<String>, _>>()
        .map_err(|word| usage(format!("not UTF-8: {}", word.to_string_lossy())))?;
    if matches!(words.as_slice(), [one] if one == "--version" || one == "-V") {
        return Err(Early {
            text: format!("sitemon {}", env!("CARGO_PKG_VERSION")),
            help: true,
        });
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Args::from_args(&["sitemon"], &words).map_err(|early| Early {
        help: early.status.is_ok(),
        text: early.output,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Args, Early> {
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
        for bad in [&["frobnicate"][..], &[], &["run", "--frob"], &["-c"]] {
            assert!(read(bad).is_err_and(|e| !e.help), "{bad:?}");
        }
    }
}
