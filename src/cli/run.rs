//! `sitemon run`: the agent in the foreground.

use super::{Failure, load, start_log};
use crate::agent::{self, Options, Terminal};
use crate::config;
use std::io::{self, IsTerminal};
use std::path::Path;

pub fn run(path: &Path, console: bool, level: Option<log::LevelFilter>) -> Result<(), Failure> {
    // A person who chats here need not read of everything twice.
    let chatting = io::stdin().is_terminal() && io::stderr().is_terminal();
    let env = |name: &str| std::env::var(name).ok();
    let by_telegram = !console && config::load(path, &env).is_ok_and(|c| c.telegram.is_some());
    start_log(level.unwrap_or(if chatting && !by_telegram {
        log::LevelFilter::Warn
    } else {
        log::LevelFilter::Info
    }));
    let config = load(path)?;
    let use_telegram = config.telegram.is_some() && !console;
    if let Some(telegram) = config.telegram.as_ref().filter(|_| use_telegram)
        && telegram.chats.is_empty()
    {
        return Err(Failure::Usage(format!(
            "{}: [telegram] has no `chats`, so nobody would be told: `sitemon pair` finds yours",
            path.display()
        )));
    }
    let terminal = if console || io::stdin().is_terminal() {
        Terminal::Chat
    } else {
        Terminal::Log
    };
    if !use_telegram && terminal == Terminal::Chat && io::stdout().is_terminal() {
        println!(
            "sitemon watches {} sites. This terminal is the chat: alerts come here, /help lists the commands, Ctrl-C ends it.",
            config.sites.len()
        );
    }
    agent::run(Options {
        config,
        config_path: path.to_owned(),
        use_telegram,
        terminal,
    })
    .map_err(|e| Failure::Usage(e.0))
}
