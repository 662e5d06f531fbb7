//! Sockets whose descriptor is 1,024 or more.
//!
//! Upstream: libcurl 8.22 (`lib/select.c`) waits by `poll()` where `HAVE_POLL` is defined, and by
//! `select()` elsewhere, which takes descriptors under 1,024 only: a connection with another one is
//! "cannot connect", though it was made. curl-sys 0.4.91 (`build.rs`) defines `HAVE_POLL_FINE`, as
//! libcurl called it until 8.11, and not `HAVE_POLL`. With the limit on open files raised for a large
//! `max_connections`, good sites would be told as down.
//!
//! Here: `.cargo/config.toml` and `packaging/cross/build` give the C compiler `-DHAVE_POLL`. It can go
//! when curl-sys defines it.
//!
//! Test: `check::tests::http::a_socket_may_have_any_descriptor`.
