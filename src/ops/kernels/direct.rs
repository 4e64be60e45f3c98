//! Direct convolution of maps whose channels lie in blocks that fill a register.
//!
//! The kernel holds a few neighbouring output pixels of one or two blocks of output channels in registers, and goes over
//! channels and taps: a register of weights times one value of the input. It reads the input where it lies; taps beyond
//! the border are left out. Input channels are taken in runs whose weights stay in the first cache, with partial sums
//! waiting in the output. The order of every sum is the channels', then the taps', whatever the tiles, runs and threads.

#![allow(clippy::needless_range_loop)] // Plain ranges are unrolled early enough for sums to stay in registers.

use std::ops::Range;

use rayon::prelude::*;

use super::on_set;
use super::shared::Shared;
use super::vector::Vector;
use super::weights::{GROUP, Weights};
use crate::ops::geometry::Axis;

/// Bytes of weights that are to stay in the first cache.
const NEAR: usize = 24 << 10;

/// Values of a cache line.
const LINE: usize = 16;

/// Bytes of input that are to stay in the second cache.
const FAR: usize = 512 << 10;

/// A multiple of the pixels that any kernel takes at a time.
const WIDE: usize = 42;

/// The pixels that the widest kernel takes.
const NARROW: usize = 14;

/// How rows and blocks of maps lie in a slice.
#[derive(Debug, Clone, Copy)]
pub(in crate::ops) struct Grid {
    /// Values from one row to the next.
    pub row: usize,
    /// Values from one block of channels to the next.
    pub block: usize,
}

/// A convolution of one image.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Direct<'a> {
    pub weights: &'a Weights,
    pub x: &'a [f32],
    pub from: Grid,
    pub rows: Axis,
    pub columns: Axis,
    /// Added to the output before the limits; laid out as it is.
    pub residual: Option<&'a [f32]>,
    /// Smallest and largest output.
    pub limits: (f32, f32),
    pub to: Grid,
}

/// A part of the output.
#[derive(Debug, Clone)]
pub(super) struct Area {
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    /// Groups of output channels.
    pub groups: Range<usize>,
}

impl Direct<'_> {
    /// Whether the kernel can compute a convolution of these axes: at most one tap beyond either border.
    pub fn covers(rows: &Axis, columns: &Axis, span: usize) -> bool {
        let near = |axis: &Axis| axis.kernel > 1 && axis.before <= 1 && axis.after <= 1;
        let inside = |axis: &Axis| (axis.before, axis.after) == (0, 0);
        let strides = if span == 1 { 2..=2 } else { 1..=2 };
        strides.contains(&columns.stride) && (near(rows) || inside(rows)) && (near(columns) || inside(columns))
    }

    /// Writes the output from the start of `out` on, spread over threads.
    pub fn run(&self, out: &mut [f32]) {
        let (shared, len) = (Shared(out.as_mut_ptr()), out.len());
        self.areas(self.weights.groups()).into_par_iter().for_each(|area| {
            let first = area.groups.start * GROUP * self.to.block;
            // SAFETY: the area's groups start there, and the areas are disjoint parts of `out`.
            unsafe { self.write(&area, shared.get().wrapping_add(first), len.saturating_sub(first)) };
        });
    }

    /// Writes all pixels of some groups from the start of `out` on, in this thread.
    pub fn run_alone(&self, groups: Range<usize>, out: &mut [f32]) {
        let area = Area { rows: 0..self.rows.output, columns: 0..self.columns.output, groups };
        // SAFETY: `out` is borrowed for this alone.
        unsafe { self.write(&area, out.as_mut_ptr(), out.len()) };
    }

    /// The output, of so many groups, in parts whose input stays in the second cache, and enough of them for the threads.
    pub(super) fn areas(&self, groups: usize) -> Vec<Area> {
        let (height, width) = (self.rows.output, self.columns.output);
        let wanted = match rayon::current_num_threads() {
            1 => 1,
            threads => 4 * threads,
        };
        let pixels = (FAR / (4 * self.weights.inputs * self.rows.stride * self.columns.stride)).max(1);
        // Rows where there are many, else columns of the one.
        let (bands, step) = match height {
            1 => {
                // A few pixels alone would have to read all weights for little.
                let unit = if width > wanted * WIDE { WIDE } else { NARROW };
                let bands = wanted.div_ceil(wanted.min(groups));
                let step = pixels.min(width.div_ceil(bands)).next_multiple_of(unit);
                (width.div_ceil(step), step)
            }
            _ => {
                let step = (pixels / width).min(height.div_ceil(wanted)).max(height.min(4));
                (height.div_ceil(step), step)
            }
        };
        let parts = wanted.div_ceil(bands).min(groups);
        let band = |i: usize, size: usize| i * step..size.min((i + 1) * step);
        let areas = (0..bands).flat_map(|i| {
            (0..parts).map(move |part| Area {
                rows: if height == 1 { 0..1 } else { band(i, height) },
                columns: if height == 1 { band(i, width) } else { 0..width },
                groups: part * groups / parts..(part + 1) * groups / parts,
            })
        });
        areas.collect()
    }

    /// Writes one area, whose groups start at `out`, which has `len` values.
    ///
    /// # Safety
    /// `out` is good for `len` values, and nothing else touches the area meanwhile.
    pub(super) unsafe fn write(&self, area: &Area, out: *mut f32, len: usize) {
        self.check(area, len);
        // SAFETY: the caller's, `check` holds all addresses, and the set is one that the processor has.
        unsafe {
            // 14 pixels by two registers, with the weights, fill the 32 registers of AVX-512; 6 and 5 the 16 of others.
            on_set!(self.weights.set, compute<[14, 7], [6, 5]>(
                self => direct: &Direct,
                area => area: &Area,
                out => out: *mut f32
            ));
        }
    }

    /// Panics unless every address that the kernel computes lies inside its slice.
    fn check(&self, area: &Area, out: usize) {
        let Weights { set, inputs, taps, span, .. } = *self.weights;
        let lanes = set.lanes();
        assert!(Self::covers(&self.rows, &self.columns, span) && taps == self.rows.kernel * self.columns.kernel);
        assert!(area.rows.end <= self.rows.output && area.columns.end <= self.columns.output);
        assert!(area.groups.end <= self.weights.groups() && inputs > 0);
        let last = |height: usize, width: usize, blocks: usize, grid: Grid, pixel: usize| {
            (blocks - 1) * grid.block + (height - 1) * grid.row + width * pixel
        };
        let seen = |axis: &Axis, outputs: usize| {
            ((outputs.max(1) - 1) * axis.stride + axis.kernel - axis.before).min(axis.input)
        };
        let (height, width) = (seen(&self.rows, area.rows.end), seen(&self.columns, area.columns.end));
        assert!(last(height, width, inputs.div_ceil(span), self.from, span) <= self.x.len());
        let (height, width) = (area.rows.end.max(1), area.columns.end.max(1));
        let (first, end) = (area.groups.start * GROUP, (area.groups.end * GROUP).min(self.weights.blocks()));
        assert!(last(height, width, (end - first).max(1), self.to, lanes) <= out);
        assert!(self.residual.is_none_or(|r| last(height, width, end.max(1), self.to, lanes) <= r.len()));
    }
}

/// What the kernel is told about a few neighbouring pixels of a group.
struct Tile {
    /// Where the first tap of the first pixel lies in the first block, were there no border.
    x: *const f32,
    /// Rows of taps that lie on the image.
    taps: Range<usize>,
    /// Whether the first pixel's first column of taps lies beyond the border.
    left: bool,
    /// Whether the last pixel's last column of taps does.
    right: bool,
    weight: *const f32,
    /// Blocks of input channels.
    blocks: Range<usize>,
    bias: *const f32,
    out: *mut f32,
    /// Null if there is none.
    residual: *const f32,
    /// Weights of the next run, and how many cache lines of them to ask for meanwhile.
    ahead: *const f32,
    lines: usize,
}

#[inline(always)]
unsafe fn compute<V: Vector, const A: usize, const B: usize>(direct: &Direct, area: &Area, out: *mut f32) {
    // SAFETY: the caller's.
    unsafe {
        match (direct.weights.span, direct.columns.stride) {
            (1, _) => strided::<V, A, B, 2, true>(direct, area, out),
            (_, 1) => strided::<V, A, B, 1, false>(direct, area, out),
            _ => strided::<V, A, B, 2, false>(direct, area, out),
        }
    }
}

/// With steps of `S` pixels, whose channels lie together or each in its own plane.
#[inline(always)]
unsafe fn strided<V: Vector, const A: usize, const B: usize, const S: usize, const PLANAR: bool>(
    direct: &Direct,
    area: &Area,
    out: *mut f32,
) {
    let &Direct { weights, rows, columns, from, to, .. } = direct;
    let Weights { inputs, taps, span, .. } = *weights;
    let all = inputs.div_ceil(span);
    let pixel = if PLANAR { 1 } else { V::LANES };
    let run = (NEAR / (4 * taps * span * GROUP * V::LANES)).max(1);
    // SAFETY: the caller's: `check` holds the places of all taps on the image, and those beyond it are not read.
    unsafe {
        for group in area.groups.clone() {
            let count = GROUP.min(weights.blocks() - group * GROUP);
            let lanes = count * V::LANES;
            let weight = weights.values.as_ptr().add(group * GROUP * V::LANES * inputs * taps);
            let base = (group - area.groups.start) * GROUP * to.block;
            let beside =
                direct.residual.map_or(std::ptr::null(), |r| r.as_ptr().add(area.groups.start * GROUP * to.block));
            let mut first = 0;
            while first < all {
                let blocks = first..all.min(first + run);
                // The weights of the next run follow these. Each tile asks for its share of them.
                let weight = weight.add(first * span * taps * lanes);
                let size = ((blocks.end * span).min(inputs) - first * span) * taps * lanes;
                let share = |pixels: usize| size / LINE * pixels / (area.rows.len() * area.columns.len());
                let mut done = 0;
                for y in area.rows.clone() {
                    let top = y * S;
                    let below = rows.before.saturating_sub(top)..rows.kernel.min(rows.input + rows.before - top);
                    let line = direct.x.as_ptr().add(first * from.block);
                    let line = line.wrapping_add(top * from.row).wrapping_sub(rows.before * from.row);
                    let mut x = area.columns.start;
                    while x < area.columns.end {
                        let left = area.columns.end - x;
                        let at = base + y * to.row + x * V::LANES;
                        let width = widest::<A, B>(left);
                        let tile = Tile {
                            x: line.wrapping_add(x * S * pixel).wrapping_sub(columns.before * pixel),
                            taps: below.clone(),
                            left: x == 0 && columns.before > 0,
                            right: (x + width - 1) * S + columns.kernel > columns.before + columns.input,
                            weight,
                            blocks: blocks.clone(),
                            bias: weights.bias.as_ptr().add(group * GROUP * V::LANES),
                            out: out.add(at),
                            residual: if beside.is_null() { beside } else { beside.add(at) },
                            ahead: weight.wrapping_add(size + share(done) * LINE),
                            lines: share(done + width) - share(done),
                        };
                        done += width;
                        if count == GROUP {
                            pixels::<V, GROUP, A, B, S, PLANAR>(direct, &tile, width);
                        } else {
                            pixels::<V, 1, A, B, S, PLANAR>(direct, &tile, width);
                        }
                        x += width;
                    }
                }
                first = blocks.end;
            }
        }
    }
}

/// The most pixels up to `left` that there is a kernel for.
#[inline(always)]
fn widest<const A: usize, const B: usize>(left: usize) -> usize {
    match left {
        _ if left >= A => A,
        _ if left >= B => B,
        4.. => 4,
        2.. => 2,
        _ => 1,
    }
}

/// The kernel of a width.
#[inline(always)]
unsafe fn pixels<V: Vector, const N: usize, const A: usize, const B: usize, const S: usize, const PLANAR: bool>(
    direct: &Direct,
    tile: &Tile,
    width: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        if width == A {
            kernel::<V, N, A, S, PLANAR>(direct, tile)
        } else if width == B {
            kernel::<V, N, B, S, PLANAR>(direct, tile)
        } else if width == 4 {
            kernel::<V, N, 4, S, PLANAR>(direct, tile)
        } else if width == 2 {
            kernel::<V, N, 2, S, PLANAR>(direct, tile)
        } else {
            kernel::<V, N, 1, S, PLANAR>(direct, tile)
        }
    }
}

/// `N` blocks of output channels of `P` pixels.
#[inline(always)]
unsafe fn kernel<V: Vector, const N: usize, const P: usize, const S: usize, const PLANAR: bool>(
    direct: &Direct,
    tile: &Tile,
) {
    let &Direct { weights: &Weights { inputs, span, .. }, rows, columns, from, to, .. } = direct;
    let all = inputs.div_ceil(span);
    let pixel = if PLANAR { 1 } else { V::LANES };
    // SAFETY: the caller's.
    unsafe {
        let mut acc = [[V::splat(0.0); N]; P];
        if tile.blocks.start == 0 {
            for p in 0..P {
                for n in 0..N {
                    acc[p][n] = V::load(tile.bias.add(n * V::LANES));
                }
            }
        } else {
            for p in 0..P {
                for n in 0..N {
                    acc[p][n] = V::load(tile.out.add(n * to.block + p * V::LANES));
                }
            }
        }
        let (mut x, mut weight, mut ahead) = (tile.x, tile.weight, tile.ahead);
        let lines = tile.lines.div_ceil(tile.blocks.len() * tile.taps.len() * columns.kernel);
        for block in tile.blocks.clone() {
            let channels = span.min(inputs - block * span);
            let tap = channels * N * V::LANES;
            for ky in tile.taps.clone() {
                for kx in 0..columns.kernel {
                    let x = x.wrapping_add(ky * from.row + kx * pixel);
                    let weight = weight.add((ky * columns.kernel + kx) * tap);
                    for _ in 0..lines {
                        V::prefetch(ahead);
                        ahead = ahead.wrapping_add(LINE);
                    }
                    if tile.left && kx == 0 {
                        steps::<V, N, P, S, PLANAR, 1, 0>(&mut acc, x, weight, channels);
                    } else if tile.right && kx + 1 == columns.kernel {
                        steps::<V, N, P, S, PLANAR, 0, 1>(&mut acc, x, weight, channels);
                    } else {
                        steps::<V, N, P, S, PLANAR, 0, 0>(&mut acc, x, weight, channels);
                    }
                }
            }
            x = x.wrapping_add(from.block);
            weight = weight.add(rows.kernel * columns.kernel * tap);
        }
        if tile.blocks.end == all {
            if !tile.residual.is_null() {
                for p in 0..P {
                    for n in 0..N {
                        acc[p][n] = acc[p][n].add(V::load(tile.residual.add(n * to.block + p * V::LANES)));
                    }
                }
            }
            let (low, high) = (V::splat(direct.limits.0), V::splat(direct.limits.1));
            for p in 0..P {
                for n in 0..N {
                    acc[p][n] = acc[p][n].clamp(low, high);
                }
            }
        }
        for p in 0..P {
            for n in 0..N {
                acc[p][n].store(tile.out.add(n * to.block + p * V::LANES));
            }
        }
    }
}

/// Adds one tap of some channels to the pixels but the first `LEFT` and the last `RIGHT`.
#[inline(always)]
unsafe fn steps<
    V: Vector,
    const N: usize,
    const P: usize,
    const S: usize,
    const PLANAR: bool,
    const LEFT: usize,
    const RIGHT: usize,
>(
    acc: &mut [[V; N]; P],
    x: *const f32,
    weight: *const f32,
    channels: usize,
) {
    let pixel = if PLANAR { 1 } else { V::LANES };
    // SAFETY: the caller's.
    unsafe {
        for channel in 0..channels {
            let mut w = [V::splat(0.0); N];
            for (n, w) in w.iter_mut().enumerate() {
                *w = V::load(weight.add((channel * N + n) * V::LANES));
            }
            for p in LEFT..P - RIGHT {
                let value = V::splat(*x.wrapping_add(p * S * pixel + channel));
                for n in 0..N {
                    acc[p][n] = w[n].mul_add(value, acc[p][n]);
                }
            }
        }
    }
}
