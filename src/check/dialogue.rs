//! `send` and `expect` over a connection, in plain text or under TLS.

use super::body::Search;
use super::deadline::Deadline;
use crate::machine;
use crate::monitor::site::SendExpect;
use crate::monitor::site::outcome::{Failure, FailureKind};
use futures_lite::future::poll_once;
use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Number of bytes in which the expected text must occur.
const MAX_EXPECT: usize = 4096;
/// Maximum number of characters of a text in a cause.
const SHOWN: usize = 60;

/// Result of a dialogue.
pub(super) struct DialogueOutcome {
    pub(super) verdict: Result<(), Failure>,
    /// Time from the start of the dialogue to the first byte; `None` if none came.
    pub(super) first_byte: Option<Duration>,
}

/// Sends and reads over `stream`. `broken` turns an error of the connection into a failure.
pub(super) async fn run_dialogue<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    send_expect: &SendExpect,
    deadline: Deadline,
    broken: impl Fn(&io::Error) -> Failure,
) -> DialogueOutcome {
    let start = Instant::now();
    let send = send_expect.send.as_deref().unwrap_or_default().as_bytes();
    let Some(expect) = &send_expect.expect else {
        let sent = async {
            stream.write_all(send).await?;
            stream.flush().await?;
            // Read what the server has sent: closing a socket with unread data resets the connection,
            // and what was sent might be lost.
            let _ = poll_once(stream.read(&mut [0; MAX_EXPECT])).await;
            Ok(())
        };
        let verdict = match deadline.bound(sent).await {
            Some(sent) => sent.map_err(|error: io::Error| broken(&error)),
            None => Err(deadline.missed("not all was sent")),
        };
        return DialogueOutcome {
            verdict,
            first_byte: None,
        };
    };
    let mut heard = DialogueReader {
        stream,
        unsent: send,
        search: Search::new(expect),
        left: MAX_EXPECT,
        beginning: Vec::new(),
        first: None,
    };
    let end = deadline.bound(heard.listen()).await;
    DialogueOutcome {
        verdict: heard.judge(end, expect, deadline, broken),
        first_byte: heard.first.map(|first| first - start),
    }
}

/// Why reading ended.
enum End {
    Found,
    Limit,
    Closed,
    Failed(io::Error),
}

struct DialogueReader<'a, S> {
    stream: &'a mut S,
    unsent: &'a [u8],
    search: Search,
    /// Bytes up to [`MAX_EXPECT`].
    left: usize,
    /// The first bytes, for the cause.
    beginning: Vec<u8>,
    /// When the first byte came.
    first: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> DialogueReader<'_, S> {
    async fn listen(&mut self) -> End {
        let mut chunk = [0; MAX_EXPECT];
        while !self.search.found {
            if self.left == 0 {
                return End::Limit;
            }
            let left = self.left;
            let read = poll_fn(|cx| self.poll(cx, &mut chunk[..left])).await;
            let got = match read {
                Ok(0) => return End::Closed,
                Ok(got) => got,
                Err(error) => return End::Failed(error),
            };
            self.first.get_or_insert_with(Instant::now);
            self.left -= got;
            let room = (4 * SHOWN).saturating_sub(self.beginning.len());
            self.beginning.extend_from_slice(&chunk[..got.min(room)]);
            self.search.feed(&chunk[..got]);
        }
        End::Found
    }

    /// Writes as much as possible, then reads: a server may speak first, and not read before that.
    fn poll(&mut self, cx: &mut Context<'_>, chunk: &mut [u8]) -> Poll<io::Result<usize>> {
        while !self.unsent.is_empty() {
            match Pin::new(&mut *self.stream).poll_write(cx, self.unsent) {
                Poll::Ready(Ok(sent)) => self.unsent = &self.unsent[sent..],
                // What the server sent before it stopped reading still counts.
                Poll::Ready(Err(_)) => self.unsent = &[],
                Poll::Pending => break,
            }
        }
        Pin::new(&mut *self.stream).poll_read(cx, chunk)
    }

    fn judge(
        &self,
        end: Option<End>,
        expect: &str,
        deadline: Deadline,
        broken: impl Fn(&io::Error) -> Failure,
    ) -> Result<(), Failure> {
        let wanted = quoted(expect.as_bytes());
        Err(match end {
            Some(End::Found) => return Ok(()),
            Some(End::Limit) => {
                let detail = format!("{wanted} is not in the first {MAX_EXPECT} bytes");
                Failure::new(FailureKind::Body, detail)
            }
            _ if self.first.is_some() => {
                let got = quoted(line(&self.beginning));
                Failure::new(
                    FailureKind::Body,
                    format!("expected {wanted} but got {got}"),
                )
            }
            Some(End::Closed) => {
                let detail = format!("connection closed before {wanted} came");
                Failure::new(FailureKind::Protocol, detail)
            }
            Some(End::Failed(error)) => broken(&error),
            None => deadline.missed(&format!("{wanted} did not come")),
        })
    }
}

/// The failure of a connection that broke after it was established.
pub(super) fn broken(error: &io::Error) -> Failure {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    if let Some(local_fault) = machine::local_fault(error) {
        return Failure::local(local_fault);
    }
    let detail = match error.kind() {
        ConnectionReset | BrokenPipe => "connection reset",
        _ => "connection broken",
    };
    Failure::new(FailureKind::Connect, detail)
}

/// Returns the first line that is not empty.
pub(super) fn line(bytes: &[u8]) -> &[u8] {
    let mut lines = bytes.split(|byte| matches!(byte, b'\r' | b'\n'));
    lines.find(|line| !line.is_empty()).unwrap_or_default()
}

/// Quotes and escapes a text, truncated to [`SHOWN`] characters.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from('"');
    let mut room = SHOWN;
    for chunk in bytes.utf8_chunks() {
        let shown = chunk.valid().chars().map(|c| match c {
            '\'' => c.to_string(),
            c => c.escape_debug().to_string(),
        });
        let escaped = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}"));
        for piece in shown.chain(escaped) {
            let size = piece.chars().count();
            if size > room {
                text.push_str("…\"");
                return text;
            }
            room -= size;
            text.push_str(&piece);
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_is_shown_in_one_line_and_escaped() {
        for (bytes, shown) in [
            (&b""[..], r#""""#),
            (b"220 ", r#""220 ""#),
            (b"it's \"so\"\\", r#""it's \"so\"\\""#),
            (b"a\r\n\tb\0", r#""a\r\n\tb\0""#),
            ("grün".as_bytes(), r#""grün""#),
            (b"\x16\x03\xff", r#""\u{16}\u{3}\xff""#),
            // Would reverse the direction of the text that follows.
            ("\u{202e}x".as_bytes(), r#""\u{202e}x""#),
        ] {
            assert_eq!(quoted(bytes), shown);
        }
        let long = quoted("x".repeat(61).as_bytes());
        assert_eq!(long, format!("\"{}…\"", "x".repeat(60)));
    }

    #[test]
    fn the_first_line_is_the_first_with_something_in_it() {
        assert_eq!(line(b"\r\n\r\n554 no\r\nmore"), b"554 no");
        assert_eq!(line(b"554 no"), b"554 no");
        assert_eq!(line(b"\n\n"), b"");
        assert_eq!(line(b""), b"");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_shown_printable_and_short(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let shown = quoted(line(&bytes));
            prop_assert!(shown.chars().count() <= SHOWN + 3);
            prop_assert!(!shown.chars().any(char::is_control), "{}", shown);
        }
    }
}
