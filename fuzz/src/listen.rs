//! What `[listen]` reads of a request.

#[path = "../../src/listen/push.rs"]
pub mod push;
#[path = "../../src/listen/request.rs"]
pub mod request;
