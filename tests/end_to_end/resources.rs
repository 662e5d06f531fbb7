//! The rules of section 7 of the specification, over real sockets and counted from the server's
//! side: what a check holds is given back whichever way it ends, and there is never more of it
//! than the configuration allows.

pub mod common;

mod cleanup;
mod failures;
mod hostile;
mod notifier;
mod pool_limits;
mod semaphore;
mod stability;
