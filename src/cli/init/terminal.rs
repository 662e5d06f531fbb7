//! Asks questions on the terminal.

use super::super::{Failure, print};
use crate::chat::stdio::Stream;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

/// Maximum length of a line in bytes, which is that of a terminal (termios(3), canonical mode).
const LONGEST: usize = 4096;

pub struct Terminal {
    stdin: Stream,
    /// Input that was read but belongs to later lines.
    typed: Vec<u8>,
}

impl Terminal {
    /// Returns the terminal on stdin, if stdin is one.
    pub fn open() -> Option<Terminal> {
        let stdin = io::stdin();
        let file = stdin
            .is_terminal()
            .then(|| stdin.as_fd().try_clone_to_owned());
        let stdin = Stream::new(File::from(file?.ok()?)).ok()?;
        let typed = Vec::new();
        Some(Terminal { stdin, typed })
    }

    /// Asks `question` and returns the answer, without leading and trailing blanks.
    ///
    /// # Errors
    ///
    /// Returns an error if the input ends, can't be read or has too long a line.
    pub async fn ask(&mut self, question: &str) -> Result<String, Failure> {
        print(format_args!("{question}"))?;
        self.line().await
    }

    /// Like [`Terminal::ask`], for a secret: it isn't echoed.
    ///
    /// # Errors
    ///
    /// As for [`Terminal::ask`].
    pub async fn ask_secret(&mut self, question: &str) -> Result<String, Failure> {
        // Before the question, so that input typed at once isn't echoed either.
        let hidden = Hidden::new();
        print(format_args!("{question}"))?;
        let line = self.line().await;
        drop(hidden);
        print(format_args!("\n"))?;
        line
    }

    async fn line(&mut self) -> Result<String, Failure> {
        let ended = |why: &str| Failure::Usage(format!("{why}: nothing was written"));
        let mut buffer = [0; 1024];
        let end = loop {
            if let Some(end) = self.typed.iter().position(|&byte| byte == b'\n') {
                break end;
            }
            if self.typed.len() > LONGEST {
                return Err(ended("the line is too long"));
            }
            match self.stdin.read(&mut buffer).await {
                Ok(0) => return Err(ended("the input ended")),
                Ok(read) => self.typed.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ended(&format!("the terminal cannot be read: {error}"))),
            }
        };
        let line: Vec<u8> = self.typed.drain(..=end).collect();
        Ok(String::from_utf8_lossy(&line).trim().to_owned())
    }
}

/// Turns the terminal's echo off until it is dropped.
struct Hidden(Option<Termios>);

impl Hidden {
    fn new() -> Hidden {
        let stdin = io::stdin();
        let Ok(shown) = tcgetattr(&stdin) else {
            return Hidden(None);
        };
        let mut hidden = shown.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        let _ = tcsetattr(&stdin, OptionalActions::Now, &hidden);
        Hidden(Some(shown))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(shown) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, shown);
        }
    }
}
