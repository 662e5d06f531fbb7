//! The entry point of the command line.

mod heap;

#[global_allocator]
static HEAP: heap::Heap = heap::Heap;

fn main() {
    sitemon::cli::main()
}
