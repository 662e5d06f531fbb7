//! Runs blocking work outside of the loop: fsync, getaddrinfo, reading a bundle of certificates.
//!
//! Each job has a thread of its own: jobs are rare and their callers limit their number, and a pool
//! would keep its threads for ever.

use crate::lock::lock;
use std::io;
use std::sync::{Arc, Mutex};
use std::thread;

/// Runs `work` on a thread of its own. If the caller is dropped, `work` still runs to its end.
pub async fn offload<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (job, result) = job(work);
    let (done, ended) = async_channel::bounded::<()>(1);
    spawn("offload", job, done)?;
    // The channel is closed when the job has ended.
    let _ = ended.recv().await;
    result.take()
}

/// A closure for a thread. Results are passed separately, so that threads and channels aren't
/// instantiated for each result type; that would take 70 KB of the binary.
pub type Job = Box<dyn FnOnce() + Send>;

/// The result of a [`Job`], available after the job has ended.
pub struct JobResult<T>(Arc<Mutex<Option<io::Result<T>>>>);

impl<T> JobResult<T> {
    pub fn take(self) -> io::Result<T> {
        // There is no result if the work panicked.
        let none = || Err(io::Error::other("internal error"));
        lock(&self.0).take().unwrap_or_else(none)
    }
}

pub fn job<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> (Job, JobResult<T>) {
    let slot = Arc::new(Mutex::new(None));
    let result = JobResult(slot.clone());
    let job = move || {
        let found = work();
        *lock(&slot) = Some(found);
    };
    (Box::new(job), result)
}

/// Runs `job` on a thread of this name. The thread drops `done` at its end.
pub fn spawn(name: &str, job: Job, done: impl Send + 'static) -> io::Result<()> {
    let run = move || {
        let _done = done;
        job();
    };
    thread::Builder::new().name(name.to_owned()).spawn(run)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timer;

    #[test]
    fn the_result_comes_back_and_a_panic_is_an_error() {
        let four = timer::block_on(offload(|| Ok(2 + 2)));
        assert_eq!(four.ok(), Some(4));
        let none = timer::block_on(offload(|| -> io::Result<()> { panic!("on purpose") }));
        assert!(none.is_err());
    }
}
