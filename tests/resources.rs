//! The rules of section 7 of the specification, over real sockets and counted from the server's
//! side: what a check holds is given back whichever way it ends, and there is never more of it
//! than the configuration allows.

mod support;

#[path = "resources/common.rs"]
mod common;

#[path = "resources/cleanup.rs"]
mod cleanup;
#[path = "resources/failures.rs"]
mod failures;
#[path = "resources/hostile.rs"]
mod hostile;
#[path = "resources/notifier.rs"]
mod notifier;
#[path = "resources/pool_limits.rs"]
mod pool_limits;
#[path = "resources/semaphore.rs"]
mod semaphore;
#[path = "resources/stability.rs"]
mod stability;
