//! The history on disk: read at the start, written once an hour and at the end.

use super::{Agent, Input};
use crate::monitor::Monitor;
use crate::monitor::history::{Extent, Record};
use crate::offload::offload;
use crate::state::{self, Past, Written};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Reads what an earlier run wrote. The lock of the directory is held.
pub(super) fn load(dir: &Path, monitor: &mut Monitor) -> (Arc<Mutex<Past>>, Option<String>) {
    let (past, damage) = Past::load(dir, |record| monitor.restore_history(record));
    (Arc::new(Mutex::new(past)), damage)
}

impl Agent {
    /// Off the loop, as [`Agent::save`] does.
    pub(super) fn save_history(&self) {
        let Some((past, extent, records)) = self.history_to_save(false) else {
            return;
        };
        let report = self.report.clone();
        self.executor
            .spawn(async move {
                let save = move || lock(&past).save(extent, &records).map(|w| (w, records));
                let result = offload(save).await;
                let result = result.map_err(|e| state::reason(&e));
                let _ = report.send(Input::HistorySaved(result)).await;
            })
            .detach();
    }

    /// At the end, with the hour that runs.
    pub(super) fn save_history_last(&self) {
        if let Some((past, extent, records)) = self.history_to_save(true)
            && let Err(e) = lock(&past).save(extent, &records)
        {
            log::warn!("the history could not be written: {}", state::reason(&e));
        }
    }

    pub(super) fn history_saved(&mut self, result: Result<(Written, Vec<Record>), String>) {
        match result {
            Ok((written, records)) => {
                self.blocks_written += written.blocks;
                self.monitor.history_saved(&records);
            }
            // The state cannot be written then either, which is told in the chat.
            Err(reason) => log::warn!("the history cannot be written: {reason}"),
        }
    }

    fn history_to_save(&self, last: bool) -> Option<(Arc<Mutex<Past>>, Extent, Vec<Record>)> {
        let past = self.past.clone()?;
        let hour = self.monitor.unwritten_hour()?;
        let extent = if self.monitor.history_afresh() {
            Extent::Whole
        } else {
            lock(&past).need(self.monitor.site_names(), hour)
        };
        let records = self.monitor.history_records(extent, last);
        (!records.is_empty()).then_some((past, extent, records))
    }
}

/// A save that panicked left the files as they were, or torn, which the next one looks after.
fn lock(past: &Mutex<Past>) -> MutexGuard<'_, Past> {
    past.lock().unwrap_or_else(PoisonError::into_inner)
}
