//! `sitemon run`: the agent in the foreground.

use super::{Failure, logging, print, read, warn};
use crate::agent::{self, Options, StartError, Terminal};
use crate::clock::Clock;
use crate::monitor::render::text::count;
use std::io::{self, IsTerminal};
use std::path::Path;

pub fn run(path: &Path, console: bool, level: Option<log::LevelFilter>) -> Result<(), Failure> {
    logging::queue();
    let failed = |e: StartError| Failure::Usage(e.0);
    let signals = agent::catch_signals().map_err(failed)?;
    let config = read(path)?;
    let use_telegram = config.telegram.is_some() && !console;
    // If the terminal is the chat, the log would repeat its messages.
    let chatting = !use_telegram && io::stdin().is_terminal() && io::stderr().is_terminal();
    logging::start(level.unwrap_or(if chatting {
        log::LevelFilter::Warn
    } else {
        log::LevelFilter::Info
    }));
    warn(&config);
    if let Some(telegram) = config.telegram.as_ref().filter(|_| use_telegram)
        && telegram.chats.is_empty()
    {
        return Err(Failure::Usage(format!(
            "{}: [telegram] has no `chats`, so no chat would get an alert: `sitemon pair` finds yours",
            path.display()
        )));
    }
    let terminal = if console || io::stdin().is_terminal() {
        Terminal::Chat
    } else {
        Terminal::Log
    };
    if !use_telegram && terminal == Terminal::Chat && io::stdout().is_terminal() {
        print(format_args!(
            "sitemon watches {}. This terminal is the chat: alerts come here, /help lists the commands, quit ends it.\n",
            count(config.sites.len(), "site")
        ))?;
    }
    agent::run(Options {
        config,
        config_path: path.to_owned(),
        use_telegram,
        terminal,
        clock: Clock::system(),
        signals,
    })
    .map_err(failed)
}
