//! Convolution as a matrix product that is never written out: weights by shifted views of the input.
//!
//! An output pixel at row `y`, column `x` sits at position `y * pitch + x` of its plane, and sees through tap `t`
//! the input value at that position plus `taps[t]`. So a run of positions is a run of memory for every tap, and the
//! kernel multiplies a few output channels by a few registers of neighbouring positions, over all channels and taps,
//! in that order, whatever the threads. Positions between the end of a row and its pitch are computed and thrown away.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::on_set;
use super::set::Set;
use super::shared::Shared;
use super::vector::Vector;

/// Weights in the order in which the kernel reads them.
#[derive(Debug)]
pub(in crate::ops) struct Packed {
    set: Set,
    /// `[outputs / rows][depth][rows]`, zeros after the last output.
    weight: Vec<f32>,
    /// As many as rows of weights.
    bias: Vec<f32>,
    outputs: usize,
    depth: usize,
}

impl Packed {
    /// From `weight`, `[outputs, depth]` with channels before taps, and `bias`, `[outputs]`.
    pub fn new(set: Set, weight: &[f32], bias: &[f32]) -> Self {
        let (rows, outputs) = (set.rows(), bias.len());
        let depth = weight.len().checked_div(outputs).unwrap_or(0);
        let blocks = outputs.div_ceil(rows);
        let mut packed = vec![0f32; blocks * depth * rows];
        for (i, line) in weight.chunks_exact(depth.max(1)).enumerate() {
            let block = &mut packed[i / rows * depth * rows..];
            for (to, from) in block[i % rows..].iter_mut().step_by(rows).zip(line) {
                *to = *from;
            }
        }
        let mut padded = bias.to_vec();
        padded.resize(blocks * rows, 0.0);
        Self { set, weight: packed, bias: padded, outputs, depth }
    }

    /// Output channels.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    fn blocks(&self) -> usize {
        self.outputs.div_ceil(self.set.rows())
    }
}

/// What is computed of what.
pub(in crate::ops) struct Product<'a> {
    pub weight: &'a Packed,
    /// The planes of the input, one after the other.
    pub x: &'a [f32],
    /// Values from one plane of `x` to the next.
    pub plane: usize,
    /// Where in a plane each tap of output 0 lies.
    pub taps: &'a [usize],
    /// Rows and columns of an output plane.
    pub size: (usize, usize),
    /// Positions from one row to the next, in the input.
    pub pitch: usize,
    /// Smallest and largest output.
    pub limits: (f32, f32),
    /// Where the output lies.
    pub place: Place,
}

/// Where planes lie in a slice.
#[derive(Debug, Clone, Copy)]
pub(in crate::ops) struct Place {
    /// The first value of the first plane.
    pub first: usize,
    /// Values from one row to the next.
    pub row: usize,
    /// Values from one plane to the next.
    pub plane: usize,
}

/// Neighbouring positions that the kernel works on at a time.
#[derive(Debug, Clone, Copy)]
struct Tile {
    first: usize,
    /// Registers; at most `WIDEST`.
    vectors: usize,
    /// Positions, the last of them partly filling a register.
    len: usize,
}

/// Registers of positions that the kernel multiplies by one weight at a time.
const WIDEST: usize = 3;

/// Values after the end of the last plane that the kernel may read when there are several taps.
pub(in crate::ops) const SLACK: usize = WIDEST * 16;

/// How far ahead of their use weights are fetched, in values.
const AHEAD: usize = 256;

/// With fewer tiles than this the output channels are spread over threads instead of the tiles: that is even, and
/// reads large weights once.
const MANY_TILES: usize = 24;

impl Product<'_> {
    /// Writes the output to its place in `out`.
    pub fn run(&self, out: &mut [f32]) {
        self.write(Shared(out.as_mut_ptr()), out.len());
    }

    /// The output in a slice of its own, which its place must fill from end to end.
    pub fn run_new(&self) -> Vec<f32> {
        let (height, width) = self.size;
        let Place { first, row, plane } = self.place;
        assert!((first, row, plane) == (0, width, height * width));
        let len = self.weight.outputs * plane;
        let mut out = Vec::with_capacity(len);
        self.write(Shared(out.as_mut_ptr()), len);
        // SAFETY: the capacity is there, and planes of rows without gaps leave no value unwritten.
        unsafe { out.set_len(len) };
        out
    }

    /// Writes the output to its place in the `len` values from `out` on.
    fn write(&self, out: Shared, len: usize) {
        self.check(len);
        let set = self.weight.set;
        let tiles = self.tiles();
        let blocks = self.weight.blocks();
        if tiles.len() >= MANY_TILES {
            tiles.into_par_iter().for_each(|tile| {
                PANEL.with_borrow_mut(|panel| {
                    let source = self.source(tile, panel);
                    // SAFETY: `check` holds that all addresses are inside; this task alone writes the tile's positions.
                    unsafe { self.blocks(set, tile, source, 0..blocks, out.get()) };
                });
            });
        } else {
            let mut panels = vec![Vec::new(); tiles.len()];
            let sources: Vec<_> =
                tiles.par_iter().zip(&mut panels).map(|(tile, panel)| self.source(*tile, panel)).collect();
            (0..blocks).into_par_iter().for_each(|block| {
                for (tile, source) in tiles.iter().zip(&sources) {
                    // SAFETY: as above; this task alone writes the block's planes.
                    unsafe { self.blocks(set, *tile, *source, block..block + 1, out.get()) };
                }
            });
        }
    }

    /// Panics unless every address that the kernels compute lies inside its slice.
    fn check(&self, out: usize) {
        let ((height, width), channels) = (self.size, self.channels());
        assert!(height > 0 && width > 0 && channels > 0 && self.weight.outputs > 0 && self.pitch >= width);
        assert_eq!(channels * self.taps.len(), self.weight.depth);
        let farthest = self.taps.iter().max().copied().unwrap_or(0);
        let slack = if self.taps.len() > 1 { SLACK } else { 0 };
        let positions = (height - 1) * self.pitch + width;
        assert!((channels - 1) * self.plane + farthest + positions + slack <= self.x.len());
        let Place { first, row, plane } = self.place;
        assert!(row >= width && (plane >= (height - 1) * row + width || self.weight.outputs == 1));
        assert!(first + (self.weight.outputs - 1) * plane + (height - 1) * row + width <= out);
    }

    /// Whether rows follow each other without a gap, in the input and in the output, and so are as good as one.
    fn is_gapless(&self) -> bool {
        self.pitch == self.size.1 && (self.place.row == self.size.1 || self.size.0 == 1)
    }

    fn channels(&self) -> usize {
        self.weight.depth / self.taps.len().max(1)
    }

    /// All positions, in tiles as equal as whole registers allow.
    fn tiles(&self) -> Vec<Tile> {
        let lanes = self.weight.set.lanes();
        let positions = (self.size.0 - 1) * self.pitch + self.size.1;
        let vectors = positions.div_ceil(lanes);
        let count = vectors.div_ceil(WIDEST);
        let start = |i: usize| i * vectors / count;
        (0..count)
            .map(|i| {
                let (first, vectors) = (start(i) * lanes, start(i + 1) - start(i));
                Tile { first, vectors, len: (vectors * lanes).min(positions - first) }
            })
            .collect()
    }

    /// What the kernel reads of a tile: a copy in `panel` if there is one tap, the input itself if there are more.
    fn source(&self, tile: Tile, panel: &mut Vec<f32>) -> Source {
        if self.taps.len() > 1 {
            return Source { start: self.x[tile.first..].as_ptr(), plane: self.plane };
        }
        let width = tile.vectors * self.weight.set.lanes();
        panel.resize(self.channels() * width, 0.0);
        let to = panel.as_mut_ptr();
        // SAFETY: the set is one that the processor has, `check` holds the reads, and the panel has just been sized.
        unsafe {
            on_set!(self.weight.set, pack(self => product: &Product, tile => tile: Tile, to => to: *mut f32));
        }
        Source { start: to, plane: width }
    }

    /// Computes a tile of some blocks of output channels.
    ///
    /// # Safety
    /// `check` has passed for the slice that starts at `out`, no other thread touches the tile of these blocks, and
    /// `source` is the tile's.
    unsafe fn blocks(&self, set: Set, tile: Tile, source: Source, blocks: Range<usize>, out: *mut f32) {
        // SAFETY: the caller's, and the set is one that the processor has.
        unsafe {
            on_set!(set, blocks_of<[8], [4]>(
                self => product: &Product,
                tile => tile: Tile,
                source => source: Source,
                blocks => blocks: Range<usize>,
                out => out: *mut f32
            ));
        }
    }
}

thread_local! {
    /// The copy of a tile's input. Tasks that use it start no others, so it is never borrowed twice.
    static PANEL: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// The values of a tile's first tap in the first channel, and how far it is to the next channel.
#[derive(Clone, Copy)]
struct Source {
    start: *const f32,
    plane: usize,
}

// SAFETY: it is only read from, while what it points into is borrowed.
unsafe impl Send for Source {}
// SAFETY: as above.
unsafe impl Sync for Source {}

/// Copies a tile of every channel to `to`; zeros fill the last register.
#[inline(always)]
unsafe fn pack<V: Vector>(product: &Product, tile: Tile, to: *mut f32) {
    // SAFETY: the caller's.
    unsafe {
        let mut from = product.x.as_ptr().add(tile.first + product.taps[0]);
        let mut to = to;
        for _ in 0..product.channels() {
            for i in 0..tile.vectors {
                let left = tile.len - i * V::LANES;
                let from = from.add(i * V::LANES);
                let v = if left < V::LANES { V::load_part(from, left) } else { V::load(from) };
                v.store(to.add(i * V::LANES));
            }
            from = from.wrapping_add(product.plane);
            to = to.add(tile.vectors * V::LANES);
        }
    }
}

/// See [`Product::blocks`]; `ROWS` is the set's.
#[inline(always)]
unsafe fn blocks_of<V: Vector, const ROWS: usize>(
    product: &Product,
    tile: Tile,
    source: Source,
    blocks: Range<usize>,
    out: *mut f32,
) {
    // As large as the largest kernel's result: 8 rows of 3 registers of 16.
    let mut sums = [0f32; 8 * WIDEST * 16];
    let Packed { weight, bias, outputs, depth, .. } = product.weight;
    for block in blocks {
        // SAFETY: the caller's: the weights of block `block` start here, and `sums` holds what the kernel writes.
        unsafe {
            let weight = weight.as_ptr().add(block * depth * ROWS);
            let bias = bias.as_ptr().add(block * ROWS);
            let rows = ROWS.min(outputs - block * ROWS);
            match tile.vectors {
                1 => kernel::<V, ROWS, 1>(product, source, weight, bias, sums.as_mut_ptr()),
                2 => kernel::<V, ROWS, 2>(product, source, weight, bias, sums.as_mut_ptr()),
                _ => kernel::<V, ROWS, WIDEST>(product, source, weight, bias, sums.as_mut_ptr()),
            }
            finish::<V>(product, tile, block * ROWS..block * ROWS + rows, sums.as_ptr(), out);
        }
    }
}

/// Bias plus the sum over all channels and taps, of `ROWS` outputs and `N` registers of positions.
#[inline(always)]
unsafe fn kernel<V: Vector, const ROWS: usize, const N: usize>(
    product: &Product,
    source: Source,
    weight: *const f32,
    bias: *const f32,
    sums: *mut f32,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut acc = [[V::splat(0.0); N]; ROWS];
        for (r, acc) in acc.iter_mut().enumerate() {
            *acc = [V::splat(*bias.add(r)); N];
        }
        let (mut x, mut weight) = (source.start, weight);
        if let [_] = product.taps {
            for _ in 0..product.channels() {
                step(&mut acc, x, weight);
                weight = weight.add(ROWS);
                x = x.wrapping_add(source.plane);
            }
        } else {
            for _ in 0..product.channels() {
                for tap in product.taps {
                    step(&mut acc, x.add(*tap), weight);
                    weight = weight.add(ROWS);
                }
                x = x.wrapping_add(source.plane);
            }
        }
        for (r, acc) in acc.iter().enumerate() {
            for (i, v) in acc.iter().enumerate() {
                v.store(sums.add((r * N + i) * V::LANES));
            }
        }
    }
}

/// Adds one channel and tap.
#[inline(always)]
unsafe fn step<V: Vector, const ROWS: usize, const N: usize>(
    acc: &mut [[V; N]; ROWS],
    x: *const f32,
    weight: *const f32,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut values = [V::splat(0.0); N];
        for (i, v) in values.iter_mut().enumerate() {
            *v = V::load(x.add(i * V::LANES));
        }
        V::prefetch(weight.wrapping_add(AHEAD));
        for (r, acc) in acc.iter_mut().enumerate() {
            let w = V::splat(*weight.add(r));
            for (acc, v) in acc.iter_mut().zip(values) {
                *acc = w.mul_add(v, *acc);
            }
        }
    }
}

/// Brings the sums of a tile to their places, within the limits.
#[inline(always)]
unsafe fn finish<V: Vector>(product: &Product, tile: Tile, outputs: Range<usize>, sums: *const f32, out: *mut f32) {
    let Place { first, row, plane } = product.place;
    let (pitch, width) = (product.pitch, product.size.1);
    // SAFETY: `check` holds the places of all outputs and rows; the columns are cut to the width below.
    unsafe {
        let (low, high) = (V::splat(product.limits.0), V::splat(product.limits.1));
        let gapless = product.is_gapless();
        let (mut at, end) = (tile.first, tile.first + tile.len);
        while at < end {
            let (y, x) = (at / pitch, at % pitch);
            let run = if gapless { end - at } else { (end - at).min(width.saturating_sub(x)) };
            for (r, output) in outputs.clone().enumerate() {
                let to = first + output * plane + y * row + x;
                let from = sums.add(r * tile.vectors * V::LANES + at - tile.first);
                let mut i = 0;
                while i < run {
                    let n = (run - i).min(V::LANES);
                    let v = if n < V::LANES { V::load_part(from.add(i), n) } else { V::load(from.add(i)) };
                    let v = v.clamp(low, high);
                    if n < V::LANES {
                        v.store_part(out.add(to + i), n)
                    } else {
                        v.store(out.add(to + i))
                    }
                    i += V::LANES;
                }
            }
            at = if gapless { end } else { (y + 1) * pitch };
        }
    }
}
