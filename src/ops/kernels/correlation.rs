//! The gradient of a convolution's weights: rows of gradients times shifted rows of the input, summed over positions.
//!
//! Both operands lie position by position, so the registers hold neighbouring positions of a few rows and columns of the
//! product, and are summed up at the end of a run of positions. The order of all sums is fixed by the shapes.

use std::ops::Range;

use rayon::prelude::*;

use super::set::Set;
use super::shared::Shared;
use super::vector::{Portable, Vector};

/// `out[o, c] += sum over images i and positions p of grad[i, o, p] * x[i, columns[c] + p]`.
pub(in crate::ops) struct Correlation<'a> {
    pub set: Set,
    /// Planes of gradients, one an output, starting at position 0; zero where `x` holds no pixel.
    pub grad: &'a [f32],
    /// Values of `grad` from one image to the next, and from one plane to the next.
    pub grad_steps: (usize, usize),
    pub x: &'a [f32],
    /// Values of `x` from one image to the next.
    pub x_step: usize,
    /// Where in an image of `x` each column meets position 0.
    pub columns: &'a [usize],
    /// Planes of an image of `x` that the columns lie in.
    pub planes: usize,
    pub images: usize,
    pub outputs: usize,
    pub positions: usize,
}

/// Positions in a run, at most: what keeps a few planes in the first cache.
const LONGEST: usize = 2048;

/// Positions in a run, at least: fewer would leave the sum over a register's values too much to do.
const SHORTEST: usize = 256;

/// Values of a run of all planes that fit into the second cache.
const NEAR: usize = 1 << 18;

impl Correlation<'_> {
    /// Adds the product to `out`, `[outputs, columns]`.
    pub fn run(&self, out: &mut [f32]) {
        self.check(out.len());
        let rows = self.rows();
        let blocks = self.outputs.div_ceil(rows);
        let shared = Shared(out.as_mut_ptr());
        for run in self.runs() {
            (0..blocks).into_par_iter().for_each(|block| {
                let rows = block * rows..((block + 1) * rows).min(self.outputs);
                // SAFETY: the processor has the set's instructions, `check` holds all addresses, and this task alone
                // touches these rows.
                unsafe { self.block(run, rows, shared.get()) };
            });
        }
    }

    /// The same on this thread alone.
    pub fn run_here(&self, out: &mut [f32]) {
        self.check(out.len());
        let rows = self.rows();
        for run in self.runs() {
            for first in (0..self.outputs).step_by(rows) {
                // SAFETY: as above.
                unsafe { self.block(run, first..(first + rows).min(self.outputs), out.as_mut_ptr()) };
            }
        }
    }

    /// Whether columns share planes, so that these come from the first cache.
    fn is_windowed(&self) -> bool {
        self.planes < self.columns.len()
    }

    /// Rows that a kernel works on: many where it is the columns that come from afar.
    fn rows(&self) -> usize {
        match self.set {
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => 3,
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 if !self.is_windowed() => 6,
            _ => 4,
        }
    }

    /// Panics unless every address that the kernels compute lies inside its slice.
    fn check(&self, out: usize) {
        let (image, plane) = self.grad_steps;
        assert!(self.images > 0 && self.outputs > 0 && self.positions > 0 && !self.columns.is_empty());
        assert_eq!(out, self.outputs * self.columns.len());
        assert!((self.images - 1) * image + (self.outputs - 1) * plane + self.positions <= self.grad.len());
        let farthest = self.columns.iter().max().copied().unwrap_or(0);
        assert!((self.images - 1) * self.x_step + farthest + self.positions <= self.x.len());
    }

    /// Runs of images and positions, in their order.
    fn runs(&self) -> impl Iterator<Item = Run> {
        let near = (NEAR / (self.planes + self.outputs)).clamp(SHORTEST, LONGEST);
        let longest = if self.is_windowed() { LONGEST } else { near };
        let parts = self.positions.div_ceil(longest);
        let images = if parts > 1 { 1 } else { (longest / self.positions).clamp(1, self.images) };
        (0..self.images).step_by(images).flat_map(move |first| {
            // Whole registers, but for the last part.
            let start = move |part: usize| (self.positions * part / parts).next_multiple_of(16).min(self.positions);
            let images = images.min(self.images - first);
            (0..parts).map(move |p| Run { first, images, start: start(p), len: start(p + 1) - start(p) })
        })
    }

    /// Adds a run's part of some rows.
    ///
    /// # Safety
    /// The processor has the set's instructions, `check` has passed for `out`, and no other thread touches these rows.
    unsafe fn block(&self, run: Run, rows: Range<usize>, out: *mut f32) {
        // SAFETY: the caller's.
        unsafe {
            match self.set {
                #[cfg(target_arch = "x86_64")]
                Set::Avx512 => block_avx512(self, run, rows, out),
                #[cfg(target_arch = "x86_64")]
                Set::Avx2 => block_avx2(self, run, rows, out),
                Set::Portable => block_of::<Portable, 4, 4>(self, run, rows, out),
            }
        }
    }
}

/// Some positions of some images.
#[derive(Clone, Copy)]
struct Run {
    first: usize,
    images: usize,
    start: usize,
    len: usize,
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn block_avx512(correlation: &Correlation, run: Run, rows: Range<usize>, out: *mut f32) {
    use std::arch::x86_64::__m512;
    // SAFETY: the caller's.
    unsafe {
        match rows.len() {
            1 => block_of::<__m512, 1, 9>(correlation, run, rows, out),
            2..=4 => block_of::<__m512, 4, 6>(correlation, run, rows, out),
            _ => block_of::<__m512, 6, 4>(correlation, run, rows, out),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn block_avx2(correlation: &Correlation, run: Run, rows: Range<usize>, out: *mut f32) {
    use std::arch::x86_64::__m256;
    // SAFETY: the caller's.
    unsafe {
        match rows.len() {
            1 => block_of::<__m256, 1, 9>(correlation, run, rows, out),
            _ => block_of::<__m256, 3, 4>(correlation, run, rows, out),
        }
    }
}

/// Adds the products of up to `ROWS` rows with all columns, `COLUMNS` at a time.
#[inline(always)]
unsafe fn block_of<V: Vector, const ROWS: usize, const COLUMNS: usize>(
    correlation: &Correlation,
    run: Run,
    rows: Range<usize>,
    out: *mut f32,
) {
    let &Correlation { grad, grad_steps: (grad_image, plane), x, x_step, columns, .. } = correlation;
    // As large as the largest kernel's result: 24 registers of 16.
    let mut sums = [0f32; 24 * 16];
    // What is beyond the last row or column repeats it, and is thrown away.
    let mut grads = [grad.as_ptr(); ROWS];
    for (r, grad) in grads.iter_mut().enumerate() {
        let row = (rows.start + r).min(rows.end - 1);
        *grad = grad.wrapping_add(run.first * grad_image + row * plane + run.start);
    }
    for (tile, offsets) in columns.chunks(COLUMNS).enumerate() {
        let mut sources = [x.as_ptr(); COLUMNS];
        for (c, x) in sources.iter_mut().enumerate() {
            let offset = offsets[c.min(offsets.len() - 1)];
            *x = x.wrapping_add(run.first * x_step + offset + run.start);
        }
        // SAFETY: the caller's; `check` holds that `out` has all rows and columns.
        unsafe {
            kernel::<V, ROWS, COLUMNS>(grads, sources, (grad_image, x_step), run, sums.as_mut_ptr());
            for (r, row) in rows.clone().enumerate() {
                let out = out.add(row * columns.len() + tile * COLUMNS);
                for c in 0..offsets.len() {
                    *out.add(c) += V::load(sums.as_ptr().add((r * COLUMNS + c) * V::LANES)).sum();
                }
            }
        }
    }
}

/// Registers of partial sums of `ROWS` rows by `COLUMNS` columns over a run.
#[inline(always)]
unsafe fn kernel<V: Vector, const ROWS: usize, const COLUMNS: usize>(
    grads: [*const f32; ROWS],
    sources: [*const f32; COLUMNS],
    (grad_step, x_step): (usize, usize),
    run: Run,
    sums: *mut f32,
) {
    // SAFETY: the caller's; the last register of an image is read in part.
    unsafe {
        let mut acc = [[V::splat(0.0); COLUMNS]; ROWS];
        for i in 0..run.images {
            let (mut grads, mut sources) = (grads, sources);
            for grad in &mut grads {
                *grad = grad.wrapping_add(i * grad_step);
            }
            for x in &mut sources {
                *x = x.wrapping_add(i * x_step);
            }
            let mut p = 0;
            while p + V::LANES <= run.len {
                step(&mut acc, &grads, &sources, p, V::LANES);
                p += V::LANES;
            }
            if p < run.len {
                step(&mut acc, &grads, &sources, p, run.len - p);
            }
        }
        for (r, acc) in acc.iter().enumerate() {
            for (c, v) in acc.iter().enumerate() {
                v.store(sums.add((r * COLUMNS + c) * V::LANES));
            }
        }
    }
}

/// Adds the `n` positions from `p` on.
#[inline(always)]
unsafe fn step<V: Vector, const ROWS: usize, const COLUMNS: usize>(
    acc: &mut [[V; COLUMNS]; ROWS],
    grads: &[*const f32; ROWS],
    sources: &[*const f32; COLUMNS],
    p: usize,
    n: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut g = [V::splat(0.0); ROWS];
        for (g, grad) in g.iter_mut().zip(grads) {
            *g = if n < V::LANES { V::load_part(grad.add(p), n) } else { V::load(grad.add(p)) };
        }
        for (c, x) in sources.iter().enumerate() {
            let x = if n < V::LANES { V::load_part(x.add(p), n) } else { V::load(x.add(p)) };
            for (acc, g) in acc.iter_mut().zip(g) {
                acc[c] = g.mul_add(x, acc[c]);
            }
        }
    }
}
