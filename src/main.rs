//! The command line: a result becomes one line and an exit code.

mod heap;

#[global_allocator]
static HEAP: heap::Heap = heap::Heap;

fn main() {
    sitemon::cli::main()
}
