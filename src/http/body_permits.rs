//! Limits the memory for buffered bodies to two of 1 MiB each.

use crate::lock::lock;
use async_lock::{Semaphore, SemaphoreGuardArc};
use futures_lite::FutureExt;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A site that holds its permit for longer is slow.
const SLOW: Duration = Duration::from_secs(2);

/// Two permits. Sites that were slow the last time share one, so that they never delay the others.
pub(super) struct BodyPermits {
    quick: Arc<Semaphore>,
    any: Arc<Semaphore>,
    /// Names of slow sites.
    slow: Mutex<HashSet<String>>,
}

/// The permit to buffer one body of 1 MiB. Released on drop. Its holder must not wait for another one.
pub struct BodyPermit {
    of: Arc<BodyPermits>,
    site: String,
    since: Instant,
    _guard: SemaphoreGuardArc,
}

impl BodyPermits {
    pub(super) fn new() -> BodyPermits {
        BodyPermits {
            quick: Arc::new(Semaphore::new(1)),
            any: Arc::new(Semaphore::new(1)),
            slow: Mutex::default(),
        }
    }

    /// Waits without a limit.
    pub(super) async fn acquire(self: &Arc<BodyPermits>, site: &str) -> BodyPermit {
        let is_slow = lock(&self.slow).contains(site);
        let guard = match is_slow {
            true => self.any.acquire_arc().await,
            false => self.quick.acquire_arc().or(self.any.acquire_arc()).await,
        };
        BodyPermit {
            of: self.clone(),
            site: site.to_owned(),
            since: Instant::now(),
            _guard: guard,
        }
    }

    /// Forgets which sites are slow.
    pub(super) fn reconfigure(&self) {
        lock(&self.slow).clear();
    }

    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.quick.available_permits() + self.any.available_permits()
    }
}

impl Drop for BodyPermit {
    fn drop(&mut self) {
        let mut slow = lock(&self.of.slow);
        if self.since.elapsed() >= SLOW {
            slow.insert(std::mem::take(&mut self.site));
        } else {
            slow.remove(&self.site);
        }
    }
}
