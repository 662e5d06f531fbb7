//! Timeouts of futures.

use crate::timer::Timer;
use futures_lite::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

/// Returns the output of `future`, or `None` if it isn't ready at `due`.
///
/// The future of a check has 18 KB and is boxed to exist once. An `async fn` would store it three
/// times: as its argument, as a captured variable, and as the awaited future.
pub fn before<T>(due: Instant, future: impl Future<Output = T>) -> impl Future<Output = Option<T>> {
    let mut future = Box::pin(future);
    let mut late = Timer::at(due);
    poll_fn(move |cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Pin::new(&mut late).poll(cx).map(|_| None),
    })
}

/// Returns the output of `future`, or `None` if it takes longer than `most` from now on.
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
