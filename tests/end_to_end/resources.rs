//! The rules of section 7 of the specification, over real sockets and counted on the server's side:
//! a check releases everything it holds however it ends, and never holds more than the
//! configuration allows.

pub mod common;

mod cleanup;
mod failures;
mod hostile;
mod notifier;
mod pool_limits;
mod semaphore;
mod stability;
