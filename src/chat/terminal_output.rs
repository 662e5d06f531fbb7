//! Output to the terminal: a bounded queue, and the task that empties it.
//!
//! The reader of a pipe may not read, and a terminal may be stopped. Then new output is dropped and
//! counted, and only the writing task waits. Alerts stay in the queue, and the caller is notified
//! whether they were written.

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

/// Maximum size of the queue in bytes: enough for a few `/list` of a thousand sites.
const MAX_QUEUED: usize = 256 << 10;
/// An alert that isn't written within this time is withdrawn, so that it is sent again.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

pub struct Output {
    queue: RefCell<Queue>,
    wake: Sender<()>,
    woken: Receiver<()>,
}

#[derive(Default)]
struct Queue {
    pieces: VecDeque<Piece>,
    /// Number of lines that were dropped after the last piece.
    lost: usize,
    /// The last write failed: dropped lines are reported with the next piece, not on their own.
    failing: bool,
    /// The warning that stdout isn't read was logged.
    said: bool,
}

struct Piece {
    /// Number of lines that were dropped before this piece.
    lost: usize,
    text: String,
    /// Notified when the piece was written; closed when it wasn't.
    written: Option<Sender<()>>,
}

impl Output {
    /// Queues `text`. Returns `false` if there is no room and it is dropped.
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

    /// Queues `text` even if the queue is full. The future returns whether it was written.
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

    /// Writes the queue to stdout until [`Output::close`].
    pub async fn write(&self) {
        let stdout = io::stdout().as_fd().try_clone_to_owned();
        match stdout.and_then(|stdout| Stream::new(File::from(stdout))) {
            Ok(stdout) => self.write_to(&Arc::new(stdout)).await,
            Err(error) => log::warn!("stdout cannot be written: {error}"),
        }
    }

    /// Makes [`Output::write`] return once the queue is empty.
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
        // Pieces are joined to be written at once, because each write takes a thread.
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

    /// Handles the result of writing a piece.
    fn written(&mut self, piece: Piece, done: bool) {
        self.failing = !done;
        match piece.written {
            Some(written) if done => {
                let _ = written.try_send(());
            }
            // The alert will be sent again, so its lines don't count as lost.
            Some(_) => self.lost_in_front(piece.lost),
            None if !done => self.lost_in_front(piece.lost + lines(&piece.text)),
            None => {}
        }
        if done && self.pieces.is_empty() {
            self.said = false;
        }
    }

    /// Removes alerts whose sender no longer waits: they will be sent again.
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
