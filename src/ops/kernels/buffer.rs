//! Memory for f32 values that starts at a cache line, taken from what earlier buffers left.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// One cache line, and one register of AVX-512.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

const LINE: usize = 16;

/// Buffers that a thread keeps for its next ones: more than are ever alive at once in a network.
const KEPT: usize = 8;

thread_local! {
    static SPARE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Values whose memory goes back to the thread when they are dropped: fresh memory costs as much time as a layer.
#[derive(Debug)]
pub(in crate::ops) struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

impl Buffer {
    /// `len` values of which nothing is known; zeros, or what an earlier buffer held.
    pub fn stale(len: usize) -> Self {
        let need = len.div_ceil(LINE);
        let mut lines = SPARE.with_borrow_mut(|spare| {
            // The smallest that holds them, else the largest, which then grows.
            let fits = |lines: &Vec<Line>| (lines.capacity() < need, lines.capacity().abs_diff(need));
            let best = (0..spare.len()).min_by_key(|i| fits(&spare[*i]));
            best.map(|i| spare.swap_remove(i)).unwrap_or_default()
        });
        if lines.capacity() < need {
            lines = Vec::new();
        }
        lines.resize(need, Line([0.0; LINE]));
        Self { lines, len }
    }

    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let mut buffer = Self::stale(len);
        buffer.fill(0.0);
        buffer
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        // A thread that ends has nothing to keep them for.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < KEPT {
                spare.push(lines);
            }
        });
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: lines are arrays of f32 without gaps, and `len` values were asked for when they were made.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
