//! The allocator of the process: small blocks are from dlmalloc, large ones from the kernel.
//!
//! dlmalloc joins free blocks, so that memory that was needed once (for reading a configuration,
//! comparing a snapshot) leaves no fragments. With a thousand sites the process is a third smaller
//! than with the allocator of a static binary. But dlmalloc doesn't return memory to the kernel; a
//! file that is read as a whole would occupy it for ever. Large blocks are therefore mapped one by
//! one and unmapped as soon as they are free.

use dlmalloc::GlobalDlmalloc;
use std::alloc::{GlobalAlloc, Layout};
use std::ptr::null_mut;

/// Minimum size in bytes of a block that is mapped on its own. (The C library raises its own
/// threshold when such blocks are freed.)
const LARGE: usize = 64 << 10;
/// Minimum page size in bytes, and so the alignment of all mappings.
const PAGE: usize = 4096;

/// The global allocator.
pub struct Heap;

fn is_large(size: usize, align: usize) -> bool {
    size >= LARGE && align <= PAGE
}

/// Maps a block of zeros; null if the kernel refuses.
fn map(size: usize) -> *mut u8 {
    let (access, kind) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
    );
    // SAFETY: a new mapping at an address that the kernel chooses.
    mapped(unsafe { libc::mmap(null_mut(), size, access, kind, -1, 0) })
}

fn mapped(block: *mut libc::c_void) -> *mut u8 {
    match block {
        libc::MAP_FAILED => null_mut(),
        block => block.cast(),
    }
}

// SAFETY: both allocators are sound, and a block returns to the one that it is from: its size and
// alignment decide, and a block is freed with the layout that it was requested with. The kernel
// rounds sizes of mappings up to pages, the same way each time.
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
            // The block moves to the other allocator. The caller of `realloc` guarantees `size`.
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
