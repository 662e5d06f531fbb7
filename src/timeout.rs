//! Time-outs of futures.

use crate::timer::Timer;
use futures_lite::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

/// What `future` comes to; `None` when it doesn't before `due`.
///
/// The future of a check has 18 KB: in a box it is there once. An `async fn` would have it three times,
/// as its argument, as what a block captures, and as what is awaited.
pub fn before<T>(due: Instant, future: impl Future<Output = T>) -> impl Future<Output = Option<T>> {
    let mut future = Box::pin(future);
    let mut late = Timer::at(due);
    poll_fn(move |cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Pin::new(&mut late).poll(cx).map(|_| None),
    })
}

/// What `future` comes to; `None` when it takes longer than `most` from now on.
pub fn at_most<T>(
    most: Duration,
    future: impl Future<Output = T>,
) -> impl Future<Output = Option<T>> {
    before(Instant::now() + most, future)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timer::block_on;
    use futures_lite::future::{pending, ready};

    #[test]
    fn what_is_ready_counts_and_what_takes_too_long_does_not() {
        assert_eq!(block_on(before(Instant::now(), ready(1))), Some(1));
        let moment = Duration::from_millis(10);
        assert_eq!(block_on(at_most(moment, pending::<()>())), None);
    }
}
