//! The history on disk: read at the start, written once an hour and at shutdown.

use super::{Agent, Input};
use crate::monitor::Monitor;
use crate::monitor::history::{Extent, Record};
use crate::offload::offload;
use crate::state::{HistoryFiles, Written};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// Reads the history of an earlier run. The caller holds the lock of the directory.
pub(super) fn load(
    dir: &Path,
    monitor: &mut Monitor,
) -> (Arc<Mutex<HistoryFiles>>, Option<String>) {
    let (history_files, damage) = HistoryFiles::load(dir, |record| monitor.restore_history(record));
    (Arc::new(Mutex::new(history_files)), damage)
}

impl Agent {
    /// Saves off the loop, as [`Agent::save`] does.
    pub(super) fn save_history(&self) {
        let Some((history_files, extent, records)) = self.history_to_save(false) else {
            return;
        };
        self.report_when(async move {
            let save = move || {
                lock(&history_files)
                    .save(extent, &records)
                    .map(|w| (w, records))
            };
            Input::HistorySaved(offload(save).await.map_err(|e| crate::files::reason(&e)))
        });
    }

    /// Saves at shutdown, the current hour included. Waits for a save that is under way.
    pub(super) async fn save_history_last(&self) -> io::Result<()> {
        let Some(history_files) = self.history_files.clone() else {
            return Ok(());
        };
        offload(move || {
            drop(lock(&history_files));
            Ok(())
        })
        .await?;
        let Some((history_files, extent, records)) = self.history_to_save(true) else {
            return Ok(());
        };
        offload(move || lock(&history_files).save(extent, &records).map(|_| ())).await
    }

    pub(super) fn history_saved(&mut self, result: Result<(Written, Vec<Record>), String>) {
        match result {
            Ok((written, records)) => {
                self.blocks_written += written.blocks;
                self.monitor.history_saved(&records);
            }
            // The state cannot be written then either, and that is notified.
            Err(reason) => log::warn!("the history cannot be written: {reason}"),
        }
    }

    fn history_to_save(
        &self,
        last: bool,
    ) -> Option<(Arc<Mutex<HistoryFiles>>, Extent, Vec<Record>)> {
        let history_files = self.history_files.clone()?;
        let hour = self.monitor.unwritten_hour()?;
        let need = need(&history_files, self.monitor.site_names(), hour);
        let extent = match need {
            None => {
                log::warn!("the history cannot be written: the last save has not ended yet");
                return None;
            }
            Some(_) if self.monitor.history_afresh() => Extent::Whole,
            Some(need) => need,
        };
        let records = self.monitor.history_records(extent, last);
        (!records.is_empty()).then_some((history_files, extent, records))
    }
}

/// Returns what must be saved, or `None` while a save is under way: the loop doesn't wait for
/// flash.
fn need<'a>(
    history_files: &Mutex<HistoryFiles>,
    names: impl Iterator<Item = &'a str>,
    hour: i64,
) -> Option<Extent> {
    match history_files.try_lock() {
        Ok(history_files) => Some(history_files.need(names, hour)),
        Err(TryLockError::Poisoned(history_files)) => {
            Some(history_files.into_inner().need(names, hour))
        }
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Locks the files even if a save panicked: it left them unchanged or torn, which the next save
/// handles.
fn lock(history_files: &Mutex<HistoryFiles>) -> MutexGuard<'_, HistoryFiles> {
    history_files.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_saved_does_not_wait_for_a_save_that_is_under_way() {
        let dir = tempfile::tempdir().expect("a directory");
        let (history_files, damage) = HistoryFiles::load(dir.path(), |_| {});
        assert_eq!(damage, None);
        let history_files = Mutex::new(history_files);
        let asked = || need(&history_files, ["blog"].into_iter(), 500_000);
        let saving = lock(&history_files);
        assert_eq!(asked(), None);
        drop(saving);
        assert_eq!(asked(), Some(Extent::Whole));
    }
}
