//! The end: what is still to be said and written, whatever terminal and flash do.

use super::Agent;
use crate::offload::offload;
use crate::state;
use async_io::Timer;
use futures_lite::{FutureExt, future};
use smol::Task;
use std::io;
use std::time::{Duration, Instant};

/// The flash gets this long at least, however long the checks took to end.
const FLASH: Duration = Duration::from_secs(3);

impl Agent {
    /// The last words and the last saves. What hangs is left behind.
    pub(super) async fn end(&mut self, stop_at: Option<Instant>) {
        let now = Instant::now();
        let stop_at = stop_at.unwrap_or(now);
        let printer = self.printer.take();
        let by = stop_at.max(now + FLASH);
        let saves = future::zip(
            in_time(by, "state", self.save_last()),
            in_time(by, "history", self.save_history_last()),
        );
        future::zip(self.say_last(printer, stop_at), saves).await;
    }

    /// An answer that waits for whoever reads the terminal.
    async fn say_last(&self, printer: Option<Task<()>>, by: Instant) {
        if let (Some(output), Some(printer)) = (self.transport.output(), printer) {
            output.close();
            let late = async {
                Timer::at(by).await;
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

async fn in_time(by: Instant, what: &str, saving: impl Future<Output = io::Result<()>>) {
    let late = async {
        Timer::at(by).await;
        Err(io::Error::other("the flash does not answer"))
    };
    if let Err(e) = saving.or(late).await {
        log::warn!("the {what} could not be written: {}", state::reason(&e));
    }
}
