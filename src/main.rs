//! The command line: a result becomes one line and an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    sitemon::cli::main()
}
