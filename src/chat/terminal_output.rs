//! What is written to the terminal: a bounded queue, and the task that empties it.
//!
//! A pipe may have a reader that does not read, and a terminal may be stopped. Then what is new is
//! dropped and counted, and the writer alone waits. An alert stays in line, and is known to be
//! written or not.

use super::stdio::{self, Stream};
use crate::monitor::render::text::count;
use crate::timer::Timer;
use async_channel::{Receiver, Sender};
use futures_lite::FutureExt;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that may wait: a few `/list` of a thousand sites, asked for faster than they are written.
const MAX_QUEUED: usize = 256 << 10;
/// An alert that was not written after this is taken back, to be told anew.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

pub struct Output {
    queue: RefCell<Queue>,
    wake: Sender<()>,
    woken: Receiver<()>,
}

#[derive(Default)]
struct Queue {
    pieces: VecDeque<Piece>,
    /// Lines dropped after the last piece.
    lost: usize,
    /// The last write failed: what was lost is said with the next piece, not for its own sake.
    failing: bool,
    /// It has been logged that stdout is not read.
    said: bool,
}

struct Piece {
    /// Lines dropped before it.
    lost: usize,
    text: String,
    /// Who waits for it to be written.
    written: Option<Sender<()>>,
}

impl Output {
    /// Puts `text` in line. `false`: there is no room, and it is dropped.
    pub fn put(&self, text: String) -> bool {
        let mut queue = self.queue.borrow_mut();
        let kept = queue.put(text);
        if !kept && !std::mem::replace(&mut queue.said, true) {
            log::warn!("nobody reads the terminal: what is written to it is dropped");
        }
        drop(queue);
        let _ = self.wake.try_send(());
        kept
    }

    /// Puts `text` in line, room or not. Whether it was written, as soon as that is known.
    pub fn deliver(&self, text: String) -> impl Future<Output = bool> + use<> {
        let (written, done) = async_channel::bounded(1);
        self.queue.borrow_mut().push(text, Some(written));
        let _ = self.wake.try_send(());
        async move {
            let written = async { done.recv().await.is_ok() };
            let late = async {
                Timer::after(WRITE_TIMEOUT).await;
                false
            };
            written.or(late).await
        }
    }

    /// Writes to stdout what is put in line, until [`Output::close`].
    pub async fn write(&self) {
        let stdout = io::stdout().as_fd().try_clone_to_owned();
        match stdout.and_then(|stdout| Stream::new(File::from(stdout))) {
            Ok(stdout) => self.write_to(&Arc::new(stdout)).await,
            Err(error) => log::warn!("stdout cannot be written: {error}"),
        }
    }

    /// Nothing comes any more: [`Output::write`] ends once everything is written.
    pub fn close(&self) {
        self.wake.close();
    }

    async fn write_to(&self, stream: &Arc<Stream>) {
        loop {
            let next = self.queue.borrow_mut().pop();
            let Some(piece) = next else {
                match self.woken.recv().await {
                    Ok(()) => continue,
                    Err(_) => return,
                }
            };
            let done = stream.write_all(&(note(piece.lost) + &piece.text)).await;
            self.queue.borrow_mut().written(piece, done.is_ok());
            if let Err(error) = done {
                log::debug!("stdout cannot be written: {error}");
            }
        }
    }
}

impl Default for Output {
    fn default() -> Output {
        let (wake, woken) = async_channel::bounded(1);
        Output {
            queue: RefCell::default(),
            wake,
            woken,
        }
    }
}

impl Queue {
    fn put(&mut self, text: String) -> bool {
        self.drop_abandoned();
        let waiting: usize = self.pieces.iter().map(|piece| piece.text.len()).sum();
        let room = self.pieces.is_empty() || waiting + text.len() <= MAX_QUEUED;
        match room {
            true => self.push(text, None),
            false => self.lost += lines(&text),
        }
        room
    }

    fn push(&mut self, text: String, written: Option<Sender<()>>) {
        self.drop_abandoned();
        self.failing = false;
        let lost = std::mem::take(&mut self.lost);
        // Written at once: there is a thread for each piece.
        let joins = |last: &Piece| {
            let answers = written.is_none() && last.written.is_none();
            answers && lost == 0 && last.text.len() + text.len() <= stdio::PIECE
        };
        match self.pieces.back_mut() {
            Some(last) if joins(last) => last.text.push_str(&text),
            _ => self.pieces.push_back(Piece {
                lost,
                text,
                written,
            }),
        }
    }

    /// The next to be written.
    fn pop(&mut self) -> Option<Piece> {
        self.drop_abandoned();
        self.pieces.pop_front().or_else(|| {
            (self.lost > 0 && !self.failing).then(|| Piece {
                lost: std::mem::take(&mut self.lost),
                text: String::new(),
                written: None,
            })
        })
    }

    /// What has become of a piece.
    fn written(&mut self, piece: Piece, done: bool) {
        self.failing = !done;
        match piece.written {
            Some(written) if done => {
                let _ = written.try_send(());
            }
            // It will be sent again.
            Some(_) => self.lost_in_front(piece.lost),
            None if !done => self.lost_in_front(piece.lost + lines(&piece.text)),
            None => {}
        }
        if done && self.pieces.is_empty() {
            self.said = false;
        }
    }

    /// Takes out alerts whose delivery is not waited for any more: they will be sent again.
    fn drop_abandoned(&mut self) {
        let abandoned = |piece: &Piece| piece.written.as_ref().is_some_and(Sender::is_closed);
        while let Some(at) = self.pieces.iter().position(abandoned) {
            let piece = self.pieces.remove(at);
            let lost = piece.map_or(0, |piece| piece.lost);
            match self.pieces.get_mut(at) {
                Some(next) => next.lost += lost,
                None => self.lost += lost,
            }
        }
    }

    fn lost_in_front(&mut self, lines: usize) {
        match self.pieces.front_mut() {
            Some(next) => next.lost += lines,
            None => self.lost += lines,
        }
    }
}

fn lines(text: &str) -> usize {
    text.matches('\n').count()
}

fn note(lost: usize) -> String {
    match lost {
        0 => String::new(),
        1 => "(1 line was lost here: nobody read it.)\n".to_owned(),
        n => format!("({} were lost here: nobody read them.)\n", count(n, "line")),
    }
}

#[cfg(test)]
#[path = "terminal_output_tests.rs"]
mod tests;
