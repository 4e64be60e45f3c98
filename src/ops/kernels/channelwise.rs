//! What treats every channel alone, on maps whose channels lie in blocks that fill a register: depthwise convolution,
//! norm and pooling.

use std::ops::Range;

use rayon::prelude::*;

use super::buffer::Buffer;
use super::on_set;
use super::set::Set;
use super::vector::Vector;
use crate::ops::geometry::Axis;

/// Rows of output that a task makes.
const BAND: usize = 28;

/// Weights of a depthwise 3x3 convolution.
#[derive(Debug)]
pub(in crate::ops) struct Taps {
    set: Set,
    channels: usize,
    /// `[blocks][9][lanes]`.
    values: Buffer,
    /// `[blocks][lanes]`.
    bias: Buffer,
}

impl Taps {
    /// From `weight`, `[channels, 9]`, and `bias`, `[channels]`.
    pub fn new(set: Set, weight: &[f32], bias: &[f32]) -> Self {
        let (lanes, channels) = (set.lanes(), bias.len());
        let mut values = Buffer::zeros(channels.next_multiple_of(lanes) * 9);
        for (c, taps) in weight.chunks_exact(9).enumerate() {
            for (tap, value) in taps.iter().enumerate() {
                values[(c / lanes * 9 + tap) * lanes + c % lanes] = *value;
            }
        }
        let mut padded = Buffer::zeros(channels.next_multiple_of(lanes));
        padded[..channels].copy_from_slice(bias);
        Self { set, channels, values, bias: padded }
    }

    /// Channels of input and output.
    pub fn channels(&self) -> usize {
        self.channels
    }
}

/// A depthwise convolution of one image.
pub(in crate::ops) struct Channelwise<'a> {
    pub taps: &'a Taps,
    pub rows: Axis,
    pub columns: Axis,
    /// Smallest and largest output.
    pub limits: (f32, f32),
}

impl Channelwise<'_> {
    /// Whether the kernel can compute a convolution of these axes.
    pub fn covers(rows: &Axis, columns: &Axis) -> bool {
        (rows.kernel, columns.kernel) == (3, 3)
            && rows.before <= 1
            && columns.before <= 1
            && (1..=2).contains(&columns.stride)
    }

    /// The rows of input that some rows of output see.
    pub fn seen(&self, rows: &Range<usize>) -> Range<usize> {
        let Axis { input, stride, before, .. } = self.rows;
        (rows.start * stride).saturating_sub(before)..input.min((rows.end - 1) * stride + 3 - before)
    }

    /// Writes the output of maps without gaps, spread over threads.
    pub fn run(&self, x: &[f32], out: &mut [f32]) {
        let lanes = self.taps.set.lanes();
        let (plane, row) = (self.rows.input * self.columns.input * lanes, self.columns.output * lanes);
        let bands = out.par_chunks_exact_mut(self.rows.output * row).zip(x.par_chunks_exact(plane)).enumerate();
        bands.for_each(|(block, (out, x))| {
            out.par_chunks_mut(BAND * row).enumerate().for_each(|(band, out)| {
                let rows = band * BAND..band * BAND + out.len() / row;
                let x = &x[self.seen(&rows).start * self.columns.input * lanes..];
                self.rows(block, rows, x, out);
            });
        });
    }

    /// Writes some rows of a block of channels to the start of `out`, from the rows of input that they see at the start
    /// of `x`.
    pub fn rows(&self, block: usize, rows: Range<usize>, x: &[f32], out: &mut [f32]) {
        let (lanes, width) = (self.taps.set.lanes(), self.columns);
        let seen = self.seen(&rows);
        assert!(Self::covers(&self.rows, &self.columns) && (block + 1) * lanes <= self.taps.bias.len());
        assert!(!rows.is_empty() && rows.end <= self.rows.output);
        assert!(x.len() >= seen.len() * width.input * lanes && out.len() >= rows.len() * width.output * lanes);
        let out = out.as_mut_ptr();
        // SAFETY: the processor has the set's instructions, and the assertions hold every row that is read or written.
        unsafe {
            on_set!(self.taps.set, depthwise(
                self => this: &Channelwise,
                block => block: usize,
                &rows => rows: &Range<usize>,
                &seen => seen: &Range<usize>,
                x.as_ptr() => x: *const f32,
                out => out: *mut f32
            ));
        }
    }
}

#[inline(always)]
unsafe fn depthwise<V: Vector>(
    this: &Channelwise,
    block: usize,
    rows: &Range<usize>,
    seen: &Range<usize>,
    x: *const f32,
    out: *mut f32,
) {
    // SAFETY: the caller's.
    unsafe {
        match this.columns.stride {
            1 => lines::<V, 1>(this, block, rows, seen, x, out),
            _ => lines::<V, 2>(this, block, rows, seen, x, out),
        }
    }
}

/// Pixels whose sums the kernel holds at a time.
const ABREAST: usize = 7;

#[inline(always)]
unsafe fn lines<V: Vector, const S: usize>(
    this: &Channelwise,
    block: usize,
    rows: &Range<usize>,
    seen: &Range<usize>,
    x: *const f32,
    out: *mut f32,
) {
    let Axis { input, before, output, .. } = this.columns;
    // SAFETY: the caller's; columns beyond the border are left out below.
    unsafe {
        let taps = this.taps.values.as_ptr().add(block * 9 * V::LANES);
        let bias = V::load(this.taps.bias.as_ptr().add(block * V::LANES));
        let (low, high) = (V::splat(this.limits.0), V::splat(this.limits.1));
        for (i, y) in rows.clone().enumerate() {
            let top = y * this.rows.stride;
            let below = this.rows.before.saturating_sub(top)..3.min(this.rows.input + this.rows.before - top);
            // Where row 0 of the taps lies, were there no border.
            let line =
                x.wrapping_add(top * input * V::LANES).wrapping_sub((this.rows.before + seen.start) * input * V::LANES);
            let out = out.add(i * output * V::LANES);
            let mut o = 0;
            while o < output {
                let first = o * S;
                let (from, to) =
                    (line.wrapping_add(first * V::LANES).wrapping_sub(before * V::LANES), out.add(o * V::LANES));
                if first >= before && (o + ABREAST - 1) * S + 3 <= input + before && o + ABREAST <= output {
                    pixels::<V, ABREAST, S>(taps, bias, (low, high), below.clone(), 0..3, from, input, to);
                    o += ABREAST;
                } else {
                    let beside = before.saturating_sub(first)..3.min(input + before - first);
                    pixels::<V, 1, S>(taps, bias, (low, high), below.clone(), beside, from, input, to);
                    o += 1;
                }
            }
        }
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)] // What changes from call to call stays in registers.
unsafe fn pixels<V: Vector, const P: usize, const S: usize>(
    taps: *const f32,
    bias: V,
    limits: (V, V),
    below: Range<usize>,
    beside: Range<usize>,
    x: *const f32,
    width: usize,
    out: *mut f32,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut acc = [bias; P];
        for ky in below {
            for kx in beside.clone() {
                let w = V::load(taps.add((ky * 3 + kx) * V::LANES));
                for (p, acc) in acc.iter_mut().enumerate() {
                    *acc = w.mul_add(V::load(x.wrapping_add((ky * width + p * S + kx) * V::LANES)), *acc);
                }
            }
        }
        for (p, acc) in acc.iter().enumerate() {
            acc.clamp(limits.0, limits.1).store(out.add(p * V::LANES));
        }
    }
}

/// Scale and shift of a block of channels, and the limits of what comes of them.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Norm<'a> {
    pub scale: &'a [f32],
    pub shift: &'a [f32],
    pub limits: (f32, f32),
}

impl Norm<'_> {
    /// Those of block number `i` of blocks of `span` channels.
    pub fn block(&self, i: usize, span: usize) -> Self {
        let lanes = i * span..(i + 1) * span;
        Self { scale: &self.scale[lanes.clone()], shift: &self.shift[lanes], ..*self }
    }
}

/// Writes the norm of the values of one block of channels to `out`.
pub(in crate::ops) fn norm(set: Set, norm: &Norm, x: &[f32], out: &mut [f32]) {
    let lanes = set.lanes();
    assert!(x.len() == out.len() && x.len().is_multiple_of(lanes));
    assert!(norm.scale.len() >= lanes && norm.shift.len() >= lanes);
    // SAFETY: the processor has the set's instructions, and the assertions hold all addresses.
    unsafe {
        on_set!(set, normed(
            norm => norm: &Norm,
            x => x: &[f32],
            out => out: &mut [f32]
        ));
    }
}

#[inline(always)]
unsafe fn normed<V: Vector>(norm: &Norm, x: &[f32], out: &mut [f32]) {
    // SAFETY: the caller's.
    unsafe {
        let (scale, shift) = (V::load(norm.scale.as_ptr()), V::load(norm.shift.as_ptr()));
        let (low, high) = (V::splat(norm.limits.0), V::splat(norm.limits.1));
        for (x, out) in x.chunks_exact(V::LANES).zip(out.chunks_exact_mut(V::LANES)) {
            V::load(x.as_ptr()).mul_add(scale, shift).clamp(low, high).store(out.as_mut_ptr());
        }
    }
}

/// Largest value of each 3x3 window two pixels apart, over a plane of rows of `width` pixels of one block of channels with
/// one row and column of padding that never wins.
pub(in crate::ops) fn max_pool_3(set: Set, width: usize, x: &[f32], out: &mut [f32]) {
    let height = x.len() / (width * set.lanes());
    assert!(height > 0 && x.len() == height * width * set.lanes());
    assert!(out.len() == height.div_ceil(2) * width.div_ceil(2) * set.lanes());
    // SAFETY: the processor has the set's instructions; windows end at the plane's borders, which the assertions hold.
    unsafe {
        on_set!(set, largest(
            height => height: usize,
            width => width: usize,
            x.as_ptr() => x: *const f32,
            out.as_mut_ptr() => out: *mut f32
        ));
    }
}

#[inline(always)]
unsafe fn largest<V: Vector>(height: usize, width: usize, x: *const f32, out: *mut f32) {
    let (rows, columns) = (height.div_ceil(2), width.div_ceil(2));
    // SAFETY: the caller's.
    unsafe {
        for y in 0..rows {
            for o in 0..columns {
                let mut best = V::load(x.add((2 * y * width + 2 * o) * V::LANES));
                for line in (2 * y).saturating_sub(1)..(2 * y + 2).min(height) {
                    for column in (2 * o).saturating_sub(1)..(2 * o + 2).min(width) {
                        best = best.max(V::load(x.add((line * width + column) * V::LANES)));
                    }
                }
                best.store(out.add((y * columns + o) * V::LANES));
            }
        }
    }
}

/// Mean of each 2x2 window of a norm, two pixels apart, over a plane of rows of `width` pixels of one block of channels. An
/// odd last row or column is left out.
pub(in crate::ops) fn avg_pool_2(set: Set, norm: &Norm, width: usize, x: &[f32], out: &mut [f32]) {
    let height = x.len() / (width * set.lanes());
    assert!(x.len() == height * width * set.lanes() && out.len() == height / 2 * (width / 2) * set.lanes());
    assert!(norm.scale.len() >= set.lanes() && norm.shift.len() >= set.lanes());
    // SAFETY: the processor has the set's instructions, and the assertions hold all windows.
    unsafe {
        on_set!(set, mean(
            norm => norm: &Norm,
            height => height: usize,
            width => width: usize,
            x.as_ptr() => x: *const f32,
            out.as_mut_ptr() => out: *mut f32
        ));
    }
}

#[inline(always)]
unsafe fn mean<V: Vector>(norm: &Norm, height: usize, width: usize, x: *const f32, out: *mut f32) {
    let (rows, columns) = (height / 2, width / 2);
    // SAFETY: the caller's.
    unsafe {
        let (scale, shift) = (V::load(norm.scale.as_ptr()), V::load(norm.shift.as_ptr()));
        let (low, high) = (V::splat(norm.limits.0), V::splat(norm.limits.1));
        let (quarter, zero) = (V::splat(0.25), V::splat(0.0));
        for y in 0..rows {
            for o in 0..columns {
                let mut sum = zero;
                for at in [2 * y * width + 2 * o, 2 * y * width + 2 * o + 1] {
                    for at in [at, at + width] {
                        sum = sum.add(V::load(x.add(at * V::LANES)).mul_add(scale, shift).clamp(low, high));
                    }
                }
                sum.mul_add(quarter, zero).store(out.add((y * columns + o) * V::LANES));
            }
        }
    }
}
