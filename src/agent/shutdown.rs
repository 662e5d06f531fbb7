//! Shutdown: the last output and the last saves, in bounded time even if terminal or flash hang.

use super::{Agent, END_TIMEOUT, Input};
use crate::files;
use crate::offload::offload;
use crate::timer::Timer;
use async_channel::Receiver;
use futures_lite::{FutureExt, future};
use smol::Task;
use std::io;
use std::time::{Duration, Instant};

/// Time limit after the first signal: procd kills the process after 5 s.
pub(super) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(4);
/// Time limit after a second signal, within which intact flash has written everything.
pub(super) const SECOND_SIGNAL_TIMEOUT: Duration = Duration::from_millis(500);
// A second signal shortens the shutdown, which includes the time for checks under way.
const _: () = assert!(
    SHUTDOWN_TIMEOUT.as_millis() < 5_000 && END_TIMEOUT.as_millis() < SHUTDOWN_TIMEOUT.as_millis()
);
const _: () = assert!(SECOND_SIGNAL_TIMEOUT.as_millis() < SHUTDOWN_TIMEOUT.as_millis());

impl Agent {
    /// Writes the last output and saves state and history. What still hangs at `by` is abandoned.
    pub(super) async fn end(&mut self, by: Instant) {
        let printer = self.printer.take();
        let (late, is_late) = async_channel::bounded(1);
        let patience = async {
            let by = async {
                Timer::at(by).await;
            };
            by.or(self.hurried()).await;
            late.close();
            future::pending().await
        };
        let saves = future::zip(
            in_time(&is_late, "state", self.save_last()),
            in_time(&is_late, "history", self.save_history_last()),
        );
        let last = async {
            future::zip(self.say_last(printer, &is_late), saves).await;
        };
        last.or(patience).await;
    }

    /// Waits for another signal and then for [`SECOND_SIGNAL_TIMEOUT`].
    async fn hurried(&self) {
        loop {
            match self.input.recv().await {
                Ok(Input::Stop) => break,
                Ok(_) => {}
                Err(_) => return future::pending().await,
            }
        }
        Timer::after(SECOND_SIGNAL_TIMEOUT).await;
    }

    /// Waits until pending output is written, as the terminal may be slow to read it.
    async fn say_last(&self, printer: Option<Task<()>>, is_late: &Receiver<()>) {
        if let (Some(output), Some(printer)) = (self.transport.output(), printer) {
            self.transport.end_input();
            output.close();
            let late = async {
                let _ = is_late.recv().await;
            };
            printer.or(late).await;
        }
    }

    async fn save_last(&self) -> io::Result<()> {
        let Some(writer) = self.writer.clone() else {
            return Ok(());
        };
        let mut snapshot = self.monitor.last_snapshot(self.clock.now());
        snapshot.registries = self.registries.learnt();
        offload(move || writer.close(snapshot).map(|_| ())).await
    }
}

async fn in_time(is_late: &Receiver<()>, what: &str, saving: impl Future<Output = io::Result<()>>) {
    let late = async {
        let _ = is_late.recv().await;
        Err(io::Error::other("the flash does not answer"))
    };
    if let Err(e) = saving.or(late).await {
        log::warn!("the {what} could not be written: {}", files::reason(&e));
    }
}
