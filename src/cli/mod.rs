//! The commands of the command line (docs/command-line.md). Each is one function that ends in an
//! exit code.

mod args;
mod check;
mod config_file;
mod init;
mod logging;
pub(crate) mod pair;
mod push;
mod return_addresses;
mod run;
mod say;
mod status;
mod table;

#[cfg(test)]
mod completions_tests;

use crate::agent;
use crate::config::{self, Config};
use crate::http::Client;
use crate::machine;
use crate::process;
use args::{Args, Command};
use log::LevelFilter;
use std::fmt;
use std::io::{self, Write};
use std::panic;
use std::path::Path;
use std::time::Duration;

/// The failure of a command.
#[derive(Debug)]
pub enum Failure {
    /// At least one site is down; the result has been printed.
    Down,
    /// `status` found no running agent; the result has been printed.
    NotRunning(String),
    /// Wrong usage or configuration; the text says what is wrong.
    Usage(String),
    /// Telegram can't be reached or refuses the token; the text says why.
    Telegram(String),
    /// A signal, as from Ctrl-C, ended the command.
    Interrupted,
    /// The exit code of the command that `push` ran.
    Exit(i32),
}

/// How long the exit waits for queued log lines to be written.
const LAST_WORDS: Duration = Duration::from_millis(800);

/// Runs the command and ends the process.
pub fn main() -> ! {
    let run = || match args::parse(std::env::args_os()) {
        Ok(args) => dispatch(args),
        Err(early) => early.tell(),
    };
    let code = match panic::catch_unwind(run) {
        Ok(Ok(())) => 0,
        Ok(Err(failure)) => {
            let (code, text) = match failure {
                Failure::Down => (1, None),
                Failure::Usage(text) => (2, Some(text)),
                Failure::Telegram(text) => (3, Some(text)),
                Failure::NotRunning(text) => (4, Some(text)),
                // The exit code by which shells report SIGINT.
                Failure::Interrupted => (130, None),
                Failure::Exit(code) => (code, None),
            };
            if let Some(text) = text {
                logging::say(text.trim_end());
            }
            code
        }
        // The exit code of a panic. The panic hook has printed the message.
        Err(_) => 101,
    };
    logging::flush(LAST_WORDS);
    #[cfg(feature = "exec")]
    crate::command::end_all();
    process::end(code)
}

fn dispatch(args: Args) -> Result<(), Failure> {
    let level = match (args.verbose, args.quiet) {
        (true, true) => {
            return Err(Failure::Usage("-v and -q contradict each other".into()));
        }
        (true, false) => Some(LevelFilter::Debug),
        (false, true) => Some(LevelFilter::Warn),
        (false, false) => None,
    };
    let path = args.config;
    if let Command::Push(push) = args.command {
        // Changes nothing that the job's command would inherit.
        logging::start(level.unwrap_or(LevelFilter::Info));
        return push::push(&path, &push);
    }
    process::forbid_core_dumps();
    // Loads the configuration and logs its warnings.
    let load = |usual| {
        logging::start(level.unwrap_or(usual));
        let config = read(&path)?;
        warn(&config);
        Ok(config)
    };
    match args.command {
        Command::Version(_) => print(format_args!("sitemon {}\n", env!("CARGO_PKG_VERSION"))),
        Command::Init(options) => {
            logging::start(level.unwrap_or(LevelFilter::Warn));
            init::init(&path, &options)
        }
        Command::Config(options) => show_config(&load(LevelFilter::Info)?, options.json),
        Command::Run(options) => run::run(&path, options.console, level),
        Command::Check(options) => {
            check::check(&load(LevelFilter::Warn)?, &options.names, options.json)
        }
        Command::Status(options) => status::status(&load(LevelFilter::Warn)?, options.json),
        Command::Pair(options) => {
            let config = load(LevelFilter::Warn)?;
            pair::pair(&config, options.write.then_some(path.as_path()))
        }
        Command::Say(options) => say::say(&load(LevelFilter::Warn)?, &options.text),
        // `push` was handled above because it works without a valid configuration.
        Command::Push(_) => Ok(()),
    }
}

fn show_config(config: &Config, json: bool) -> Result<(), Failure> {
    let text = match json {
        true => config::to_json(config),
        false => config::summary(config),
    };
    print(format_args!("{}\n", text.trim_end()))
}

fn read(path: &Path) -> Result<Config, Failure> {
    // Wipes the variable even if the configuration doesn't use it.
    let _ = process::variable(config::TOKEN_VARIABLE);
    config::load(path, &process::variable).map_err(|mistakes| Failure::Usage(mistakes.to_string()))
}

fn warn(config: &Config) {
    for warning in &config.warnings {
        log::warn!("{warning}");
    }
}

/// Returns the HTTP client for a one-shot command.
fn client(config: &Config) -> Result<Client, Failure> {
    let (connections, too_few) = machine::make_room(config.agent.max_connections, 0);
    if let Some(text) = too_few {
        log::warn!("{text}");
    }
    agent::client(&config.agent, connections).map_err(Failure::Usage)
}

/// Prints a result to stdout. A reader that has closed the pipe is no error.
fn print(text: fmt::Arguments<'_>) -> Result<(), Failure> {
    let mut stdout = io::stdout();
    match stdout.write_fmt(text).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Usage(format!("cannot write the result: {e}")))
        }
        _ => Ok(()),
    }
}
