//! The allocator of the process: small blocks are from dlmalloc, large ones from the kernel.
//!
//! dlmalloc joins free blocks, so that memory that was needed once (for reading a configuration,
//! comparing a snapshot) leaves no fragments. With a thousand sites the process is a third smaller
//! than with the allocator of a static binary. But dlmalloc doesn't return memory to the kernel; a
//! file that is read as a whole would occupy it for ever. Large blocks are therefore mapped one by
//! one and unmapped as soon as they are free. And when much less of the small ones is in use than
//! before (the roots that several connections have read), the pages between them are returned.

use dlmalloc::{Allocator, Dlmalloc};
use std::alloc::{GlobalAlloc, Layout};
use std::ptr::null_mut;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Minimum size in bytes of a block that is mapped on its own. (The C library raises its own
/// threshold when such blocks are freed.)
const LARGE: usize = 64 << 10;
/// Minimum page size in bytes, and so the alignment of all mappings.
const PAGE: usize = 4096;
/// Pages are returned when this many bytes less are in use than at most since the last time. The
/// checks of a batch take less, so that they don't return pages and take them again.
const SPARE: usize = 256 << 10;

/// The global allocator.
pub struct Heap;

static SMALL: Mutex<Small> = Mutex::new(Small::new());

fn small() -> MutexGuard<'static, Small> {
    SMALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The small blocks.
struct Small {
    blocks: Dlmalloc<Segments>,
    /// Bytes in use: now, and at most since pages were returned.
    used: usize,
    peak: usize,
}

impl Small {
    const fn new() -> Small {
        Small {
            blocks: Dlmalloc::new_with_allocator(Segments { closed: false }),
            used: 0,
            peak: 0,
        }
    }

    /// `block`, of `size` bytes, is in use from now on, unless it is null.
    fn note(&mut self, block: *mut u8, size: usize) -> *mut u8 {
        if !block.is_null() {
            self.used += size;
            self.peak = self.peak.max(self.used);
        }
        block
    }

    /// # Safety
    ///
    /// As of `GlobalAlloc::dealloc`.
    unsafe fn free(&mut self, block: *mut u8, size: usize) {
        // SAFETY: the caller's.
        unsafe { self.blocks.c_free(block) };
        self.used -= size;
        if self.peak - self.used >= SPARE {
            self.return_pages();
        }
    }

    /// Returns the pages to the kernel that have nothing but free memory: takes all of it that is in
    /// pieces of at least a page, and frees it again.
    fn return_pages(&mut self) {
        /// In bytes. What a piece has beyond a multiple of it is not taken.
        const STEP: usize = 512;
        // SAFETY: only returns a number, -1 if it is unknown: then nothing is done.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        self.blocks.allocator_mut().closed = true;
        let mut taken: *mut *mut u8 = null_mut();
        let mut size = LARGE;
        while size >= page {
            // SAFETY: `block` has `size` bytes that nothing else uses, and is aligned for a pointer. Of
            // the pages that lie in it, behind the pointer, no content is needed.
            unsafe {
                let block = self.blocks.c_malloc(size);
                if block.is_null() {
                    size -= STEP;
                    continue;
                }
                let link: *mut *mut u8 = block.cast();
                link.write(taken.cast());
                taken = link;
                let start = link.add(1).addr().next_multiple_of(page);
                let end = (block.addr() + size) / page * page;
                if start < end {
                    libc::madvise(
                        block.with_addr(start).cast(),
                        end - start,
                        libc::MADV_DONTNEED,
                    );
                }
            }
        }
        while !taken.is_null() {
            // SAFETY: was taken above, with a pointer to the one before it.
            unsafe {
                let block = taken;
                taken = block.read().cast();
                self.blocks.c_free(block.cast());
            }
        }
        self.blocks.allocator_mut().closed = false;
        self.peak = self.used;
    }
}

/// Memory of dlmalloc, which keeps it.
struct Segments {
    /// Only what is there is given out.
    closed: bool,
}

// SAFETY: a region is mapped for each call, and stays.
unsafe impl Allocator for Segments {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let block = if self.closed { null_mut() } else { map(size) };
        (block, size, 0)
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        PAGE
    }
}

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
        let (size, align) = (layout.size(), layout.align());
        if is_large(size, align) {
            return map(size);
        }
        let mut small = small();
        let block = unsafe { small.blocks.c_memalign(align, size) };
        small.note(block, size)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let block = unsafe { self.alloc(layout) };
        // The kernel's are zeros.
        if !is_large(layout.size(), layout.align()) && !block.is_null() {
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match is_large(layout.size(), layout.align()) {
            true => unsafe {
                libc::munmap(block.cast(), layout.size());
            },
            false => unsafe { small().free(block, layout.size()) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let align = layout.align();
        match (is_large(layout.size(), align), is_large(size, align)) {
            (true, true) => unsafe {
                let how = libc::MREMAP_MAYMOVE;
                mapped(libc::mremap(block.cast(), layout.size(), size, how))
            },
            // Blocks keep this alignment as they move.
            (false, false) if align <= 2 * size_of::<usize>() => {
                let mut small = small();
                let moved = unsafe { small.blocks.c_realloc(block, size) };
                if !moved.is_null() {
                    small.used -= layout.size();
                }
                small.note(moved, size)
            }
            // The block may move to the other allocator. The caller of `realloc` guarantees `size`.
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

    #[test]
    fn pages_between_small_blocks_are_returned_once_much_is_free() {
        const BLOCKS: usize = 4000;
        const SIZE: usize = 500;
        let resident = |blocks: &[*mut u8]| {
            let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
            let is_there = |at: usize| {
                let mut state = 0;
                let at = null_mut::<u8>().with_addr(at);
                assert_eq!(unsafe { libc::mincore(at.cast(), 1, &raw mut state) }, 0);
                state & 1 == 1
            };
            let mut pages: Vec<usize> = blocks.iter().map(|b| b.addr() / page * page).collect();
            pages.dedup();
            pages.into_iter().filter(|at| is_there(*at)).count() * page
        };
        let mut small = Small::new();
        let mut blocks = Vec::new();
        for _ in 0..BLOCKS {
            let block = unsafe { small.blocks.c_malloc(SIZE) };
            unsafe { small.note(block, SIZE).write_bytes(7, SIZE) };
            blocks.push(block);
        }
        assert!(resident(&blocks) >= BLOCKS * SIZE);
        // What stays is scattered, so that no segment is free.
        for (number, block) in blocks.iter().enumerate() {
            if number % 100 != 0 {
                unsafe { small.free(*block, SIZE) };
            }
        }
        let kept = BLOCKS / 100;
        assert_eq!(small.used, kept * SIZE);
        // Each with the pages around it.
        assert!(
            resident(&blocks) <= SPARE + kept * 3 * PAGE.max(4096),
            "{}",
            resident(&blocks)
        );
        for block in blocks.iter().step_by(100) {
            let bytes = unsafe { std::slice::from_raw_parts(*block, SIZE) };
            assert!(bytes.iter().all(|byte| *byte == 7));
        }
        let again = unsafe { small.blocks.c_malloc(LARGE) };
        unsafe { small.note(again, LARGE).write_bytes(7, LARGE) };
        assert!(!again.is_null());
    }
}
