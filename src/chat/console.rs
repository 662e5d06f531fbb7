//! The terminal as a chat: lines of stdin are commands, messages are written to stdout as plain
//! text.

use super::html;
use super::stdio::Stream;
use super::terminal_output::Output;
use crate::monitor::outbox::message::{
    Button, CONSOLE, Content, Incoming, Message, Passing, Press, Update,
};
use crate::monitor::site::printable::{self, MESSAGE};
use async_channel::Sender;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::rc::Rc;

/// Maximum length of a line in bytes. Longer lines are truncated.
const LONGEST_LINE: usize = 4096;
const PROMPT: &str = "> ";
/// Moves to the start of the line and clears it (ECMA-48, EL).
const CLEAR: &str = "\r\x1b[K";

/// Sends each line of stdin to `events` as a command from chat [`CONSOLE`], and an empty line as an
/// update without content. Returns at the end of input. `now` returns Unix seconds.
pub async fn read_lines(events: &Sender<Update>, now: impl Fn() -> i64) {
    let ended = match io::stdin().as_fd().try_clone_to_owned() {
        Ok(stdin) => read_from(File::from(stdin), events, now).await,
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        log::debug!("stdin can no longer be read: {error}");
    }
}

/// Returns whether the line asks sitemon to quit.
pub fn is_quit(line: &str) -> bool {
    matches!(line.trim().trim_start_matches('/'), "quit" | "exit")
}

/// The state of the terminal's last line.
///
/// The terminal itself edits the line that is typed (termios(3), canonical mode) and shows it after
/// the prompt. Output overwrites that line and adds a new prompt below; the terminal keeps what was
/// typed and shows it again at Ctrl-R.
pub struct Screen {
    output: Rc<Output>,
    /// Stdout is a terminal on which a line can be overwritten.
    tty: bool,
    /// The last line contains a prompt.
    prompt: bool,
    /// The last line is a message that the next output overwrites.
    passing: bool,
    /// The buttons of the newest message that has any.
    choices: Vec<Button>,
}

impl Screen {
    pub fn new() -> Screen {
        Screen {
            output: Rc::default(),
            tty: io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|t| t != "dumb"),
            prompt: false,
            passing: false,
            choices: Vec::new(),
        }
    }

    /// Returns the queue of the output; [`Output::write`] writes it.
    pub fn output(&self) -> Rc<Output> {
        self.output.clone()
    }

    /// Queues a message; `picture` is its picture as text. It is dropped if stdout isn't read.
    pub fn show(&mut self, message: &Message, picture: Option<&str>) {
        let before = self.choices.clone();
        let text = self.text_of(message, picture);
        if !self.output.put(text) {
            self.choices = before;
        }
    }

    /// Like [`Screen::show`] for a message that must not be lost. The future returns whether it was
    /// written.
    pub fn tell(
        &mut self,
        message: &Message,
        picture: Option<&str>,
    ) -> impl Future<Output = bool> + use<> {
        let text = self.text_of(message, picture);
        self.output.deliver(text)
    }

    /// Writes plain text as a line.
    pub fn say(&mut self, text: &str) {
        let text = self.over() + &printable(text) + "\n" + self.prompt();
        self.output.put(text);
    }

    /// Shows a prompt if stdin and stdout are terminals.
    pub fn ask(&mut self) {
        self.prompt = self.tty && io::stdin().is_terminal();
        if self.prompt {
            let text = self.over() + PROMPT;
            self.output.put(text);
        }
    }

    /// Removes the prompt; no more lines are read.
    pub fn end_input(&mut self) {
        let text = self.over();
        self.prompt = false;
        if !text.is_empty() {
            self.output.put(text);
        }
    }

    /// Converts a line with a number to a press of the button with that number.
    pub fn press(&self, line: &Incoming) -> Option<Press> {
        let number: usize = line.text.trim().parse().ok()?;
        let button = self.choices.get(number.checked_sub(1)?)?;
        Some(Press {
            chat: line.chat,
            date: line.date,
            data: button.data.clone(),
            ..Press::default()
        })
    }

    fn text_of(&mut self, message: &Message, picture: Option<&str>) -> String {
        let text = printable(&html::plain(&message.html));
        if message.passing != Passing::Stays {
            if !self.tty {
                let first = text.lines().next().unwrap_or_default();
                return match message.passing {
                    Passing::Begins => format!("{first}\n"),
                    _ => String::new(),
                };
            }
            // A line that is wider than the terminal can't be overwritten.
            let lines: Vec<&str> = text.lines().take(2).collect();
            let line = self.over() + &lines.join(" · ");
            self.passing = true;
            return line;
        }
        let mut out = self.over() + &text + "\n";
        if let Some(picture) = picture {
            out.push_str(&printable(picture));
            out.push('\n');
        }
        if !message.buttons.is_empty() {
            self.choices = message.buttons.iter().flatten().cloned().collect();
            let choices = (1..).zip(&self.choices);
            let choices = choices.map(|(n, button)| format!("[{n}] {}", button.label));
            let choices: Vec<String> = choices.collect();
            out.push_str(&printable(&choices.join("  ")).replace('\n', " "));
            out.push('\n');
        }
        out + self.prompt()
    }

    fn prompt(&self) -> &'static str {
        if self.prompt { PROMPT } else { "" }
    }

    /// Returns the sequence that clears the last line if it is to be overwritten.
    fn over(&mut self) -> String {
        let passing = std::mem::take(&mut self.passing);
        let over = if passing || self.prompt { CLEAR } else { "" };
        over.to_owned()
    }
}

impl Default for Screen {
    fn default() -> Screen {
        Screen::new()
    }
}

/// Removes control characters, which may come from a site and must not control the terminal.
fn printable(text: &str) -> String {
    let mut text = text.to_owned();
    text.retain(|c| !c.is_control() || c == '\n');
    text
}

/// Reads without a thread: only when the stream is readable, and then once.
async fn read_from(file: File, events: &Sender<Update>, now: impl Fn() -> i64) -> io::Result<()> {
    let source = Stream::new(file)?;
    let mut lines = Lines::default();
    let mut count = 0;
    let mut buffer = [0; 1024];
    loop {
        let length = match source.read(&mut buffer).await {
            Ok(length) => length,
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => continue,
                _ => return Err(error),
            },
        };
        let texts = match length {
            0 => lines.end().into_iter().collect(),
            _ => lines.push(&buffer[..length]),
        };
        if texts.is_empty() && buffer[..length].ends_with(b"\n") {
            let empty = Update {
                id: count,
                content: None,
            };
            if events.send(empty).await.is_err() {
                return Ok(());
            }
        }
        for text in texts {
            count += 1;
            let content = Some(Content::Message(Incoming {
                chat: CONSOLE,
                text: printable::line(&text, MESSAGE),
                date: now(),
                ..Incoming::default()
            }));
            let update = Update { id: count, content };
            if events.send(update).await.is_err() {
                return Ok(());
            }
        }
        if length == 0 {
            return Ok(());
        }
    }
}

/// Splits a stream of bytes into lines and leaves out blank ones.
#[derive(Default)]
struct Lines {
    /// The unfinished line, up to [`LONGEST_LINE`] bytes, and one more if it is longer.
    partial: Vec<u8>,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            let (text, ended) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            let room = LONGEST_LINE + 1 - self.partial.len();
            self.partial
                .extend_from_slice(&text[..text.len().min(room)]);
            if ended {
                lines.extend(self.end());
            }
        }
        lines
    }

    /// Ends the line and returns it unless it is blank.
    fn end(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.partial);
        let mut kept = line.get(..LONGEST_LINE).unwrap_or(&line);
        if kept.len() < line.len()
            && let Err(error) = std::str::from_utf8(kept)
            && error.error_len().is_none()
        {
            // The line was truncated within a character.
            kept = &kept[..error.valid_up_to()];
        }
        let text = String::from_utf8_lossy(kept);
        let text = text.strip_suffix('\r').unwrap_or(&text);
        (!text.trim().is_empty()).then(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timer::block_on;
    use futures_lite::future::zip;
    use proptest::prelude::*;
    use std::io::Write;
    use std::os::fd::OwnedFd;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut all: Vec<String> = pieces.iter().flat_map(|piece| lines.push(piece)).collect();
        all.extend(lines.end());
        all
    }

    #[test]
    fn lines_are_whole_however_they_arrive() {
        assert_eq!(
            lines(&[b"/sta", b"tus\n/li", b"st\r\n\n \n", b"/help"]),
            ["/status", "/list", "/help"]
        );
    }

    #[test]
    fn a_long_line_is_cut_between_characters_and_the_next_is_whole() {
        let long = format!("a{}\n/status\n", "é".repeat(5000));
        let cut = lines(&[long.as_bytes()]);
        assert_eq!(cut[0], format!("a{}", "é".repeat(2047)));
        assert_eq!(cut[1], "/status");
        let exact = "x".repeat(4096);
        assert_eq!(lines(&[exact.as_bytes(), b"\n"]), [exact]);
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        assert_eq!(
            lines(&[b"/mute \xff\xfe x\n"]),
            ["/mute \u{fffd}\u{fffd} x"]
        );
    }

    #[test]
    fn a_pipe_is_read_to_its_end_as_lines_of_the_console() {
        let (reader, mut writer) = io::pipe().unwrap();
        let (events, updates) = async_channel::unbounded();
        let reading = async {
            read_from(File::from(OwnedFd::from(reader)), &events, || 1_770_000_000)
                .await
                .unwrap();
            events.close();
        };
        let talking = async {
            writer.write_all(b"/status\n/ch").unwrap();
            let first = updates.recv().await.unwrap();
            writer.write_all(b"eck").unwrap();
            drop(writer);
            let second = updates.recv().await.unwrap();
            assert!(updates.recv().await.is_err());
            (first, second)
        };
        let ((), (first, second)) = block_on(zip(reading, talking));
        let command = |id, text: &str| Update {
            id,
            content: Some(Content::Message(Incoming {
                chat: CONSOLE,
                text: text.into(),
                date: 1_770_000_000,
                ..Incoming::default()
            })),
        };
        assert_eq!(
            (first, second),
            (command(1, "/status"), command(2, "/check"))
        );
    }

    #[test]
    fn files_that_epoll_refuses_are_read_all_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("commands");
        std::fs::write(&path, "/status\n/list\n").unwrap();
        for (path, count) in [(path.as_path(), 2), ("/dev/null".as_ref(), 0)] {
            let (events, updates) = async_channel::unbounded();
            block_on(read_from(File::open(path).unwrap(), &events, || 0)).unwrap();
            assert_eq!(updates.len(), count);
        }
    }

    #[test]
    fn what_is_printed_is_plain_and_cannot_steer_the_terminal() {
        let html = "<b>blog</b> is down:\n\u{1b}[2J1 &lt; 2";
        let message = Message {
            html: html.into(),
            ..Message::default()
        };
        let mut screen = screen(false);
        assert_eq!(screen.text_of(&message, None), "blog is down:\n[2J1 < 2\n");
    }

    fn screen(tty: bool) -> Screen {
        Screen {
            tty,
            prompt: false,
            ..Screen::new()
        }
    }

    fn line(text: &str) -> Incoming {
        Incoming {
            text: text.into(),
            ..Incoming::default()
        }
    }

    #[test]
    fn buttons_are_numbered_and_a_number_presses_the_newest() {
        let button = |label: &str| Button {
            label: label.into(),
            data: format!("+{label}"),
            style: None,
        };
        let mut screen = screen(false);
        assert_eq!(screen.press(&line("1")), None);
        let first = Message {
            html: "a".into(),
            buttons: vec![vec![button("x")], vec![button("y\n")]],
            ..Message::default()
        };
        assert_eq!(screen.text_of(&first, None), "a\n[1] x  [2] y \n");
        let plain = Message {
            html: "b".into(),
            ..Message::default()
        };
        assert_eq!(screen.text_of(&plain, Some("▁▂▃")), "b\n▁▂▃\n");
        let press = screen.press(&line(" 2 ")).expect("the second");
        assert_eq!((press.chat, press.data.as_str()), (CONSOLE, "+y\n"));
        for other in ["0", "3", "-1", "x", "", "1 2", "99999999999999999999"] {
            assert_eq!(screen.press(&line(other)), None, "{other}");
        }
    }

    #[test]
    fn what_passes_is_one_line_on_a_terminal_and_its_beginning_in_a_pipe() {
        let beginning = Message {
            html: "Checking 3 sites …\n<code>░░░</code> 0 of 3".into(),
            passing: Passing::Begins,
            ..Message::default()
        };
        let passing = Message {
            html: "Checking 3 sites …\n<code>███</code> 1 of 3".into(),
            passing: Passing::GoesOn,
            ..Message::default()
        };
        let result = Message {
            html: "done".into(),
            ..Message::default()
        };
        let mut terminal = screen(true);
        let shown = [&beginning, &passing, &result, &result].map(|m| terminal.text_of(m, None));
        assert_eq!(
            shown,
            [
                "Checking 3 sites … · ░░░ 0 of 3",
                "\r\x1b[KChecking 3 sites … · ███ 1 of 3",
                "\r\x1b[Kdone\n",
                "done\n"
            ]
        );
        let mut pipe = screen(false);
        let shown = [&beginning, &passing, &result].map(|m| pipe.text_of(m, None));
        assert_eq!(shown, ["Checking 3 sites …\n", "", "done\n"]);
    }

    #[test]
    fn a_message_takes_the_place_of_the_prompt_and_puts_one_below() {
        let mut terminal = Screen {
            prompt: true,
            ..screen(true)
        };
        let message = |passing| Message {
            html: "blog is down".into(),
            passing,
            ..Message::default()
        };
        let stays = message(Passing::Stays);
        let wanted = "\r\x1b[Kblog is down\n> ";
        assert_eq!(terminal.text_of(&stays, None), wanted);
        let begins = message(Passing::Begins);
        let passing = terminal.text_of(&begins, None);
        assert_eq!(passing, "\r\x1b[Kblog is down");
        assert_eq!(terminal.text_of(&stays, None), wanted);
        terminal.end_input();
        assert_eq!(terminal.text_of(&stays, None), "blog is down\n");
    }

    #[test]
    fn quit_and_exit_end_it() {
        for line in ["quit", " exit ", "/quit"] {
            assert!(is_quit(line), "{line}");
        }
        for line in ["", "quit now", "/check exit", "quitter"] {
            assert!(!is_quit(line), "{line}");
        }
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_the_pieces(text in "[ab\r\n ]{0,40}", cut in 0..40usize) {
            let bytes = text.as_bytes();
            let cut = cut.min(bytes.len());
            prop_assert_eq!(lines(&[&bytes[..cut], &bytes[cut..]]), lines(&[bytes]));
        }
    }
}
