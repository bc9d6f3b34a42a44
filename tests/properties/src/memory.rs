//! The system's memory, with a count of what each thread holds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Less than nothing where a thread gives back what another one took.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static MEMORY: Counting = Counting;

fn count(change: isize) {
    // A thread that ends may have lost its counters already.
    let _ = HELD.try_with(|held| {
        held.set(held.get().wrapping_add(change));
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

// SAFETY: all is done by the system's own.
#[allow(unsafe_code, reason = "there is no other way to count")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: as the caller has to see to it.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size().cast_signed().wrapping_neg());
        // SAFETY: as the caller has to see to it.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What a function returns, and the most bytes that this thread held for it at any moment.
pub(crate) fn peak_of<R>(function: impl FnOnce() -> R) -> (R, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let result = function();
    let peak = PEAK.get().wrapping_sub(before);
    (result, usize::try_from(peak).unwrap_or(0))
}
