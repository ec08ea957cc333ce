//! What this thread holds on the heap, and the most it held: the allocator of the test binaries that ask for it.
//! Must never allocate itself, nor do anything but count around the system's allocator.
#![expect(unsafe_code, reason = "an allocator is unsafe by its trait; each call is handed on unchanged")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counted: `#[global_allocator] static COUNTING: hostile::Counting = hostile::Counting;`
pub struct Counting;

fn took(bytes: usize) {
    let held = HELD.get().saturating_add(bytes);
    HELD.set(held);
    MOST.set(MOST.get().max(held));
}

fn gave(bytes: usize) {
    // what another thread took may be given back here
    HELD.set(HELD.get().saturating_sub(bytes));
}

/// From here on the most is counted anew, above what is held now. Gives what is held now.
pub fn begin() -> usize {
    MOST.set(HELD.get());
    HELD.get()
}

/// The most held since [`begin`].
pub fn most() -> usize {
    MOST.get()
}

// SAFETY: every call goes to the system's allocator with the arguments it came with, and its answer is given back unchanged; the counters
// are plain numbers of this thread, without a destructor and without an allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller's promise is the system allocator's
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as above
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // old and new may be there at once
        took(size);
        gave(layout.size());
        // SAFETY: as above
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        gave(layout.size());
        // SAFETY: as above
        unsafe { System.dealloc(pointer, layout) }
    }
}
