//! Timers of the thread that runs the futures. The thread parks until the first timer is due.
//!
//! `async_io::block_on` shares the reactor with a thread of its own: after each batch of events
//! that thread wakes up to ten times to check whether the reactor is free, and each timer costs a
//! write to an eventfd and a setting of a timerfd. Checks over HTTP don't need that: libcurl's
//! thread wakes this one directly. Here a timer is an entry of a map. Sockets of `async_io::Async`
//! still use the reactor.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

thread_local! {
    static TIMERS: RefCell<Timers> = const { RefCell::new(Timers { waiting: BTreeMap::new(), made: 0 }) };
}

/// The pending timers of this thread.
struct Timers {
    waiting: BTreeMap<(Instant, u64), Waker>,
    /// Number of timers so far; distinguishes timers that are due at the same time.
    made: u64,
}

/// A future that is ready from a point in time on. Must only be polled in futures that [`block_on`]
/// runs.
#[derive(Debug)]
pub struct Timer {
    /// `None` if it never fires.
    due: Option<Instant>,
    /// The key of its entry in [`TIMERS`].
    entry: Option<(Instant, u64)>,
}

impl Timer {
    pub const fn never() -> Timer {
        Timer {
            due: None,
            entry: None,
        }
    }

    pub fn at(due: Instant) -> Timer {
        Timer {
            due: Some(due),
            entry: None,
        }
    }

    /// Returns a timer that never fires if the time is too far away to be represented.
    pub fn after(wait: Duration) -> Timer {
        Timer {
            due: Instant::now().checked_add(wait),
            entry: None,
        }
    }

    fn clear(&mut self) {
        if let Some(entry) = self.entry.take() {
            // Fails in a thread that is ending.
            let _ = TIMERS.try_with(|timers| timers.borrow_mut().waiting.remove(&entry));
        }
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.due else {
            return Poll::Pending;
        };
        if due <= Instant::now() {
            self.clear();
            return Poll::Ready(());
        }
        TIMERS.with_borrow_mut(|timers| {
            let entry = *self.entry.get_or_insert_with(|| {
                timers.made += 1;
                (due, timers.made)
            });
            let waker = timers.waiting.entry(entry);
            waker
                .and_modify(|waker| waker.clone_from(cx.waker()))
                .or_insert_with(|| cx.waker().clone());
        });
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Wakes a thread that is parked. The flag is needed because `std::sync::mpsc` parks the thread,
/// too: `crate::files`, called by one future, would swallow the wake-up of another.
struct Unpark {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Release);
        self.thread.unpark();
    }
}

/// Runs `future` on this thread, which parks while there is nothing to do.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let unpark = Arc::new(Unpark {
        thread: thread::current(),
        woken: AtomicBool::new(false),
    });
    let waker = Waker::from(unpark.clone());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        let first = wake_due();
        let wait = match unpark.woken.swap(false, Acquire) {
            true => Some(Duration::ZERO),
            false => first.map(|first| first.saturating_duration_since(Instant::now())),
        };
        match wait {
            Some(wait) => thread::park_timeout(wait),
            None => thread::park(),
        }
    }
}

/// Wakes the timers that are due, and returns the time of the next one.
fn wake_due() -> Option<Instant> {
    loop {
        let waker = TIMERS.with_borrow_mut(|timers| {
            let first = timers.waiting.first_entry()?;
            let due = first.key().0;
            if due > Instant::now() {
                return Some(Err(due));
            }
            Some(Ok(first.remove()))
        })?;
        match waker {
            Ok(waker) => waker.wake(),
            Err(due) => return Some(due),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{poll_once, zip};
    use smol::LocalExecutor;

    const MOMENT: Duration = Duration::from_millis(20);

    fn waiting() -> usize {
        TIMERS.with_borrow(|timers| timers.waiting.len())
    }

    #[test]
    fn timers_end_in_the_order_of_their_times() {
        let start = Instant::now();
        let ended = RefCell::new(Vec::new());
        let executor = LocalExecutor::new();
        let tasks = [3, 1, 2].map(|nth| {
            let ended = &ended;
            executor.spawn(async move {
                Timer::at(start + nth * MOMENT).await;
                assert!(start.elapsed() >= nth * MOMENT);
                ended.borrow_mut().push(nth);
            })
        });
        block_on(executor.run(async {
            for task in tasks {
                task.await;
            }
        }));
        assert_eq!(*ended.borrow(), [1, 2, 3]);
        assert_eq!(waiting(), 0);
    }

    #[test]
    fn two_that_are_due_at_once_both_end() {
        let due = Instant::now() + MOMENT;
        block_on(zip(Timer::at(due), Timer::at(due)));
    }

    #[test]
    fn what_is_given_up_leaves_nothing_behind() {
        block_on(async {
            let mut hour = Timer::after(Duration::from_secs(3_600));
            assert!(poll_once(&mut hour).await.is_none());
            assert!(poll_once(&mut hour).await.is_none());
            assert_eq!(waiting(), 1);
            drop(hour);
            assert_eq!(waiting(), 0);
            assert!(poll_once(Timer::after(Duration::MAX)).await.is_none());
            assert!(poll_once(Timer::never()).await.is_none());
            assert_eq!(waiting(), 0);
        });
    }

    #[test]
    fn another_thread_wakes_a_thread_that_is_parked() {
        let (send, receive) = async_channel::bounded(1);
        let sender = thread::spawn(move || {
            thread::sleep(MOMENT);
            send.send_blocking(7)
        });
        assert_eq!(block_on(receive.recv()), Ok(7));
        sender.join().expect("sent").expect("received");
    }

    #[test]
    fn a_wake_up_is_not_lost_in_a_future_that_waits_for_a_thread() {
        let (done, ended) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let mut first = true;
            block_on(std::future::poll_fn(|cx| {
                if !std::mem::take(&mut first) {
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                let (_keeps_it_open, never) = std::sync::mpsc::channel::<()>();
                assert!(never.recv_timeout(MOMENT).is_err());
                Poll::Pending
            }));
            done.send(())
        });
        assert!(ended.recv_timeout(Duration::from_secs(60)).is_ok());
    }
}
