//! The heap of the process: small blocks are dlmalloc's, large ones the kernel's.
//!
//! dlmalloc joins what is free: what was needed once (a configuration that is read, a snapshot that
//! is compared) leaves no holes that nothing else fits into. With a thousand sites the process is a
//! third smaller than with the allocator of a static binary. It keeps what it once had, though, so
//! that a file that is read whole, or written, would stay in memory: such blocks go back to the
//! kernel as soon as they are free.

use dlmalloc::GlobalDlmalloc;
use std::alloc::{GlobalAlloc, Layout};
use std::ptr::null_mut;

/// Blocks of this size, in bytes, are mapped one by one. (The C library's threshold for that may
/// rise with what has been freed.)
const LARGE: usize = 64 << 10;
/// The smallest page there is; all mappings are so aligned.
const PAGE: usize = 4096;

/// The global allocator.
pub struct Heap;

fn is_large(size: usize, align: usize) -> bool {
    size >= LARGE && align <= PAGE
}

/// A block of zeros from the kernel; null if it has none.
fn map(size: usize) -> *mut u8 {
    let (access, kind) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
    );
    // SAFETY: a new mapping, wherever there is room.
    mapped(unsafe { libc::mmap(null_mut(), size, access, kind, -1, 0) })
}

fn mapped(block: *mut libc::c_void) -> *mut u8 {
    match block {
        libc::MAP_FAILED => null_mut(),
        block => block.cast(),
    }
}

// SAFETY: both are sound allocators, and a block goes back to the one that it is from: its size and
// alignment say which, and the layout it is freed with is the one it was asked for with. The kernel
// rounds the sizes of mappings up to pages, the same way each time.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match is_large(layout.size(), layout.align()) {
            true => map(layout.size()),
            false => unsafe { GlobalDlmalloc.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match is_large(layout.size(), layout.align()) {
            true => map(layout.size()),
            false => unsafe { GlobalDlmalloc.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match is_large(layout.size(), layout.align()) {
            true => unsafe {
                libc::munmap(block.cast(), layout.size());
            },
            false => unsafe { GlobalDlmalloc.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let align = layout.align();
        match (is_large(layout.size(), align), is_large(size, align)) {
            (true, true) => unsafe {
                let how = libc::MREMAP_MAYMOVE;
                mapped(libc::mremap(block.cast(), layout.size(), size, how))
            },
            (false, false) => unsafe { GlobalDlmalloc.realloc(block, layout, size) },
            // From one to the other. `size` is what the caller of `realloc` vouches for.
            _ => unsafe {
                let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
                if !moved.is_null() {
                    block.copy_to_nonoverlapping(moved, layout.size().min(size));
                    self.dealloc(block, layout);
                }
                moved
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_keeps_its_bytes_as_it_grows_large_and_shrinks_again() {
        let sizes = [1, 100, LARGE - 1, LARGE, 3 * LARGE, LARGE - 1, 10];
        for align in [1, 8, 64, 2 * PAGE] {
            let layout = |size| Layout::from_size_align(size, align).unwrap();
            let mut block = unsafe { Heap.alloc_zeroed(layout(sizes[0])) };
            unsafe { block.write(7) };
            for pair in sizes.windows(2) {
                block = unsafe { Heap.realloc(block, layout(pair[0]), pair[1]) };
                assert_eq!(block.addr() % align, 0);
                let last = pair[0].min(pair[1]) - 1;
                assert_eq!(unsafe { block.add(last).read() }, 7, "{pair:?}");
                unsafe { block.write_bytes(7, pair[1]) };
            }
            unsafe { Heap.dealloc(block, layout(sizes[sizes.len() - 1])) };
        }
    }

    #[test]
    fn a_zeroed_block_is_zeroed_on_either_side() {
        for size in [1000, 2 * LARGE] {
            let layout = Layout::from_size_align(size, 16).unwrap();
            let block = unsafe { Heap.alloc_zeroed(layout) };
            let bytes = unsafe { std::slice::from_raw_parts(block, size) };
            assert!(bytes.iter().all(|byte| *byte == 0));
            unsafe { Heap.dealloc(block, layout) };
        }
    }
}
