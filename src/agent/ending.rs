//! The end: what is still to be written, whatever the flash does.

use super::Agent;
use crate::offload::offload;
use crate::state;
use async_io::Timer;
use futures_lite::{FutureExt, future};
use std::io;
use std::time::{Duration, Instant};

/// The flash gets this long at least, however long the checks took to end.
const FLASH: Duration = Duration::from_secs(3);

impl Agent {
    /// The last saves. One that hangs is left behind.
    pub(super) async fn end(&self, stop_at: Option<Instant>) {
        let least = Instant::now() + FLASH;
        let by = stop_at.map_or(least, |at| at.max(least));
        future::zip(
            in_time(by, "state", self.save_last()),
            in_time(by, "history", self.save_history_last()),
        )
        .await;
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
