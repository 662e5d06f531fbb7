//! The command line: a result becomes one line and an exit code.

mod heap;

use std::process::ExitCode;

#[global_allocator]
static HEAP: heap::Heap = heap::Heap;

fn main() -> ExitCode {
    sitemon::cli::main()
}
