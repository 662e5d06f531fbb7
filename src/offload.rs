//! Blocking work off the loop: fsync, getaddrinfo, reading a bundle of certificates.
//!
//! A thread for each, which ends with it: such work is rare and bounded by its callers, and a pool
//! would keep threads for ever.

use std::io;
use std::thread;

/// Runs `work` on a thread of its own. When the caller goes away, it still ends what it began.
pub async fn offload<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (done, result) = async_channel::bounded(1);
    thread::Builder::new()
        .name("offload".to_owned())
        .spawn(move || {
            // The caller may not be waiting any more.
            let _ = done.try_send(work());
        })?;
    // Closed without a result: the work panicked.
    result
        .recv()
        .await
        .unwrap_or_else(|_| Err(io::Error::other("internal error")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_comes_back_and_a_panic_is_an_error() {
        let four = smol::block_on(offload(|| Ok(2 + 2)));
        assert_eq!(four.ok(), Some(4));
        let none = smol::block_on(offload(|| -> io::Result<()> { panic!("on purpose") }));
        assert!(none.is_err());
    }
}
