//! Time-outs of futures.

use async_io::Timer;
use futures_lite::FutureExt;
use std::time::{Duration, Instant};

/// What `future` comes to; `None` when it doesn't before `due`.
pub async fn before<T>(due: Instant, future: impl Future<Output = T>) -> Option<T> {
    let late = async {
        Timer::at(due).await;
        None
    };
    async { Some(future.await) }.or(late).await
}

/// What `future` comes to; `None` when it takes longer than `most`.
pub async fn at_most<T>(most: Duration, future: impl Future<Output = T>) -> Option<T> {
    before(Instant::now() + most, future).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, pending, ready};

    #[test]
    fn what_is_ready_counts_and_what_takes_too_long_does_not() {
        assert_eq!(block_on(before(Instant::now(), ready(1))), Some(1));
        let moment = Duration::from_millis(10);
        assert_eq!(block_on(at_most(moment, pending::<()>())), None);
    }
}
