//! The parsers of requests to `[listen]`.

#[path = "../../src/listen/push.rs"]
pub mod push;
#[path = "../../src/listen/request.rs"]
pub mod request;
