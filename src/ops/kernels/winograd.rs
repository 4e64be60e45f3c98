//! 3x3 convolution of stride 1 by Winograd's minimal filtering (Lavin and Gray, "Fast Algorithms for Convolutional Neural
//! Networks", 2016), F(4x4, 3x3): 36 products for 16 outputs instead of 144.
//!
//! Tiles of 6x6 inputs, four apart, are transformed; each of the 36 positions is then a pointwise convolution of the
//! tiles; 4x4 outputs are transformed back. The points of the transforms are 0, +-1/sqrt(2), +-sqrt(2) and infinity,
//! which keep rounding errors small. A tile's sums are the same wherever it is computed.

#![allow(clippy::needless_range_loop)] // Plain ranges are unrolled early enough for sums to stay in registers.

use std::array::from_fn;
use std::ops::Range;

use rayon::prelude::*;

use super::buffer::Buffer;
use super::direct::{Direct, Grid};
use super::on_set;
use super::set::Set;
use super::shared::Shared;
use super::vector::Vector;
use super::weights::Weights;
use crate::ops::geometry::Axis;

/// Outputs of a tile in each direction.
const STEP: usize = 4;
/// Inputs of a tile in each direction.
const SIDE: usize = 6;
/// Positions of a tile.
const POSITIONS: usize = SIDE * SIDE;

/// The smaller of the two points, its square and its third power; the larger is one over it.
const A: [f32; 3] = [std::f32::consts::FRAC_1_SQRT_2, 0.5, 0.5 * std::f32::consts::FRAC_1_SQRT_2];
const B: [f32; 3] = [std::f32::consts::SQRT_2, 2.0, 2.0 * std::f32::consts::SQRT_2];

/// Bytes of transformed tiles, before and after the product, that are to stay in the second cache.
const FAR: usize = 1 << 20;

/// Weights, transformed.
#[derive(Debug)]
pub(in crate::ops) struct Transformed {
    /// One for each position.
    positions: Vec<Weights>,
    bias: Buffer,
}

impl Transformed {
    /// From `weight`, `[outputs, inputs, 9]`, and `bias`, `[outputs]`.
    pub fn new(set: Set, weight: &[f32], bias: &[f32], inputs: usize) -> Self {
        let outputs = bias.len();
        let (a, b) = (0.5f64.sqrt(), 2f64.sqrt());
        // Rows of the transform: powers of a point over the product of its distances from the others.
        let row = |p: f64, n: f64| [1.0 / n, p / n, p * p / n];
        let near = 2.0 * a * a * (a * a - b * b);
        let far = 2.0 * b * b * (b * b - a * a);
        let g = [row(0.0, 1.0), row(a, near), row(-a, near), row(b, far), row(-b, far), [0.0, 0.0, 1.0]];
        let none = vec![0.0; outputs];
        let taps: [Vec<_>; 9] = from_fn(|tap| weight.iter().skip(tap).step_by(9).map(|w| f64::from(*w)).collect());
        let of = |position: usize| {
            let (u, v) = (g[position / SIDE], g[position % SIDE]);
            let line =
                |y: usize, i: usize| v[0] * taps[3 * y][i] + v[1] * taps[3 * y + 1][i] + v[2] * taps[3 * y + 2][i];
            let one = |i: usize| u[0] * line(0, i) + u[1] * line(1, i) + u[2] * line(2, i);
            let weight: Vec<f32> = (0..outputs * inputs).map(|i| one(i) as f32).collect();
            Weights::new(set, &weight, &none, inputs, set.lanes())
        };
        let mut padded = Buffer::zeros(outputs.next_multiple_of(set.lanes()));
        padded[..outputs].copy_from_slice(bias);
        Self { positions: (0..POSITIONS).into_par_iter().map(of).collect(), bias: padded }
    }
}

/// A convolution of one image whose rows have no gaps.
pub(in crate::ops) struct Winograd<'a> {
    pub weights: &'a Transformed,
    pub x: &'a [f32],
    pub rows: Axis,
    pub columns: Axis,
    /// Added to the output before the limits; laid out as it is.
    pub residual: Option<&'a [f32]>,
    /// Smallest and largest output.
    pub limits: (f32, f32),
}

impl Winograd<'_> {
    /// Whether a convolution of these axes is one.
    pub fn covers(rows: &Axis, columns: &Axis) -> bool {
        [rows, columns].iter().all(|axis| (axis.kernel, axis.stride) == (3, 1))
    }

    /// Tiles of an output.
    pub fn tiles(rows: &Axis, columns: &Axis) -> usize {
        rows.output.div_ceil(STEP) * columns.output.div_ceil(STEP)
    }

    /// Writes the output to `out`, spread over threads.
    pub fn run(&self, out: &mut [f32]) {
        let weights = &self.weights.positions[0];
        let lanes = weights.set().lanes();
        let (inputs, blocks) = (weights.inputs().div_ceil(lanes), weights.blocks());
        assert!(Self::covers(&self.rows, &self.columns));
        assert_eq!(self.x.len(), inputs * self.rows.input * self.columns.input * lanes);
        assert_eq!(out.len(), blocks * self.rows.output * self.columns.output * lanes);
        assert!(self.residual.is_none_or(|r| r.len() == out.len()));
        let tiles = Self::tiles(&self.rows, &self.columns);
        let room = FAR / (POSITIONS * (inputs + blocks) * lanes * size_of::<f32>());
        let chunk = (room / WIDE * WIDE).max(WIDE);
        let shared = Shared(out.as_mut_ptr());
        (0..tiles.div_ceil(chunk)).into_par_iter().for_each(|i| {
            self.tiles_of(i * chunk..tiles.min((i + 1) * chunk), shared);
        });
    }

    /// Some tiles of the output that starts at `out`.
    fn tiles_of(&self, tiles: Range<usize>, out: Shared) {
        let weights = &self.weights.positions;
        let (set, lanes, count) = (weights[0].set(), weights[0].set().lanes(), tiles.len());
        let (inputs, blocks) = (weights[0].inputs().div_ceil(lanes), weights[0].blocks());
        let grid = Grid { row: 0, block: count * lanes };
        let mut before = Buffer::stale(POSITIONS * inputs * grid.block);
        let mut after = Buffer::stale(POSITIONS * blocks * grid.block);
        let to = Shared(before.as_mut_ptr());
        (0..inputs).into_par_iter().for_each(|block| {
            let plane = self.rows.input * self.columns.input * lanes;
            let x = &self.x[block * plane..][..plane];
            let place = Place { first: block * grid.block, position: inputs * grid.block };
            // SAFETY: each block has its own places in `before`, which has room for all tiles of all blocks.
            unsafe {
                on_set!(set, forward(
                    self => this: &Winograd,
                    &tiles => tiles: &Range<usize>,
                    x.as_ptr() => x: *const f32,
                    place => place: Place,
                    to.get() => to: *mut f32
                ));
            }
        });
        let products = after.par_chunks_exact_mut(blocks * grid.block);
        products.zip(before.par_chunks_exact(inputs * grid.block)).zip(weights).for_each(|((after, x), weights)| {
            let (rows, columns) = (Axis::pointwise(1), Axis::pointwise(count));
            let limits = (f32::NEG_INFINITY, f32::INFINITY);
            let product = Direct { weights, x, from: grid, rows, columns, residual: None, limits, to: grid };
            product.run_alone(0..weights.groups(), after);
        });
        (0..blocks).into_par_iter().for_each(|block| {
            let place = Place { first: block * grid.block, position: blocks * grid.block };
            let plane = self.rows.output * self.columns.output * lanes;
            // SAFETY: these tiles of this block are this task's own part of `out`, whose length has been asserted.
            unsafe {
                on_set!(set, backward(
                    self => this: &Winograd,
                    &tiles => tiles: &Range<usize>,
                    block => block: usize,
                    after.as_ptr() => from: *const f32,
                    place => place: Place,
                    out.get().wrapping_add(block * plane) => out: *mut f32
                ));
            }
        });
    }
}

/// A number of tiles that the product takes in whole steps.
const WIDE: usize = 14;

/// Where a block's transformed tiles lie.
#[derive(Clone, Copy)]
struct Place {
    /// The first tile's first position.
    first: usize,
    /// Values from one position to the next.
    position: usize,
}

/// Transforms the tiles of one block of input channels.
#[inline(always)]
unsafe fn forward<V: Vector>(this: &Winograd, tiles: &Range<usize>, x: *const f32, place: Place, to: *mut f32) {
    let (rows, columns) = (&this.rows, &this.columns);
    let across = columns.output.div_ceil(STEP);
    // SAFETY: the caller's; what lies beyond the border is not read.
    unsafe {
        let zero = V::splat(0.0);
        for (i, tile) in tiles.clone().enumerate() {
            let (top, left) = (tile / across * STEP, tile % across * STEP);
            let inside = top >= rows.before
                && left >= columns.before
                && top + SIDE <= rows.input + rows.before
                && left + SIDE <= columns.input + columns.before;
            let corner = x
                .wrapping_add((top * columns.input + left) * V::LANES)
                .wrapping_sub((rows.before * columns.input + columns.before) * V::LANES);
            let mut half = [[zero; SIDE]; SIDE];
            for c in 0..SIDE {
                let mut d = [zero; SIDE];
                for r in 0..SIDE {
                    let (y, x) = ((top + r).wrapping_sub(rows.before), (left + c).wrapping_sub(columns.before));
                    if inside || (y < rows.input && x < columns.input) {
                        d[r] = V::load(corner.wrapping_add((r * columns.input + c) * V::LANES));
                    }
                }
                let d = spread(d);
                for r in 0..SIDE {
                    half[r][c] = d[r];
                }
            }
            for (r, half) in half.into_iter().enumerate() {
                let d = spread(half);
                for c in 0..SIDE {
                    d[c].store(to.add(place.first + (r * SIDE + c) * place.position + i * V::LANES));
                }
            }
        }
    }
}

/// Transforms products back to the outputs of one block of output channels, which start at `out`.
#[inline(always)]
unsafe fn backward<V: Vector>(
    this: &Winograd,
    tiles: &Range<usize>,
    block: usize,
    from: *const f32,
    place: Place,
    out: *mut f32,
) {
    let (rows, columns) = (this.rows.output, this.columns.output);
    let across = columns.div_ceil(STEP);
    // SAFETY: the caller's; outputs beyond the border are not written.
    unsafe {
        let (low, high) = (V::splat(this.limits.0), V::splat(this.limits.1));
        let bias = V::load(this.weights.bias.as_ptr().add(block * V::LANES));
        let residual = this.residual.map(|r| r.as_ptr().add(block * rows * columns * V::LANES));
        let zero = V::splat(0.0);
        for (i, tile) in tiles.clone().enumerate() {
            let (top, left) = (tile / across * STEP, tile % across * STEP);
            let mut half = [[zero; SIDE]; STEP];
            for c in 0..SIDE {
                let mut m = [zero; SIDE];
                for r in 0..SIDE {
                    m[r] = V::load(from.add(place.first + (r * SIDE + c) * place.position + i * V::LANES));
                }
                let m = gather(m);
                for r in 0..STEP {
                    half[r][c] = m[r];
                }
            }
            for (r, half) in half.into_iter().enumerate().take(rows - top) {
                let y = gather(half);
                for c in 0..STEP.min(columns - left) {
                    let at = ((top + r) * columns + left + c) * V::LANES;
                    let mut value = y[c].add(bias);
                    if let Some(residual) = residual {
                        value = value.add(V::load(residual.add(at)));
                    }
                    value.clamp(low, high).store(out.add(at));
                }
            }
        }
    }
}

/// Six inputs in the six points.
#[inline(always)]
unsafe fn spread<V: Vector>(d: [V; SIDE]) -> [V; SIDE] {
    // SAFETY: the caller's.
    unsafe {
        let k = |value: f32| V::splat(value);
        let (even_a, even_b) = (d[2].mul_add(k(-B[1]), d[4]), d[2].mul_add(k(-A[1]), d[4]));
        let (odd_a, odd_b) = (d[1].mul_add(k(-B[1]), d[3]), d[1].mul_add(k(-A[1]), d[3]));
        let sum = k(-A[1] - B[1]);
        [
            d[2].mul_add(sum, d[0].add(d[4])),
            odd_a.mul_add(k(A[0]), even_a),
            odd_a.mul_add(k(-A[0]), even_a),
            odd_b.mul_add(k(B[0]), even_b),
            odd_b.mul_add(k(-B[0]), even_b),
            d[3].mul_add(sum, d[1].add(d[5])),
        ]
    }
}

/// Four outputs from the six points.
#[inline(always)]
unsafe fn gather<V: Vector>(m: [V; SIDE]) -> [V; STEP] {
    // SAFETY: the caller's.
    unsafe {
        let k = |value: f32| V::splat(value);
        let (minus, zero) = (k(-1.0), k(0.0));
        let (near, far) = (m[1].add(m[2]), m[3].add(m[4]));
        let (lean, slope) = (m[2].mul_add(minus, m[1]), m[4].mul_add(minus, m[3]));
        [
            m[0].add(near).add(far),
            lean.mul_add(k(A[0]), slope.mul_add(k(B[0]), zero)),
            near.mul_add(k(A[1]), far.mul_add(k(B[1]), zero)),
            lean.mul_add(k(A[2]), slope.mul_add(k(B[2]), m[5])),
        ]
    }
}
