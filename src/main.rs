//! The command line: a result becomes one line and an exit code.

use std::process::ExitCode;

/// Small, and it joins what is free: what was needed once (a configuration that is read, a snapshot
/// that is compared) leaves no holes that nothing else fits into. With a thousand sites the process
/// is a third smaller than with the allocator of a static binary.
#[global_allocator]
static HEAP: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    sitemon::cli::main()
}
