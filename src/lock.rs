//! Locks that ignore poisoning, for values that are consistent at any moment: a panic in one thread
//! must not cause panics in others.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
