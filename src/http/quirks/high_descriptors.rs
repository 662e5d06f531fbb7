//! Sockets whose descriptor is 1,024 or higher.
//!
//! Upstream: libcurl 8.22 (`lib/select.c`) waits with `poll()` if `HAVE_POLL` is defined, and otherwise
//! with `select()`, which supports descriptors below 1,024 only: a connection with a higher one fails as
//! "cannot connect". curl-sys 0.4.91 (`build.rs`) defines `HAVE_POLL_FINE`, the name until libcurl 8.11, and
//! not `HAVE_POLL`. With the limit on open files raised for a large `max_connections`, good sites would be
//! reported as down.
//!
//! Here: `.cargo/config.toml` and `packaging/cross/build` pass `-DHAVE_POLL` to the C compiler, until
//! curl-sys defines it.
//!
//! Test: `check::tests::http::a_socket_may_have_any_descriptor`.
