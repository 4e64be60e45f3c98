//! Depthwise 3x3 convolution of one plane.

use super::on_set;
use super::set::Set;
use super::vector::Vector;

/// One plane by nine taps.
pub(in crate::ops) struct Depthwise<'a> {
    pub weight: &'a [f32; 9],
    pub bias: f32,
    /// The padded plane.
    pub x: &'a [f32],
    /// Where each tap of output 0 lies.
    pub taps: &'a [usize],
    /// Values of `x` from the start of one output row to that of the next.
    pub pitch: usize,
    /// Smallest and largest output.
    pub limits: (f32, f32),
}

/// Values after the end of a plane that the kernel may read.
pub(in crate::ops) const SLACK: usize = 16;

impl Depthwise<'_> {
    /// Writes the output, rows of `width` values.
    pub fn run(&self, set: Set, width: usize, out: &mut [f32]) {
        let height = out.len() / width;
        let farthest = self.taps.iter().max().copied().unwrap_or(0);
        assert_eq!(self.taps.len(), 9);
        assert!(height > 0 && out.len() == height * width);
        assert!(farthest + (height - 1) * self.pitch + width + SLACK <= self.x.len());
        // SAFETY: the processor has the set's instructions; the assertions hold every read, which goes at most `SLACK`
        // values beyond the last column, and writes stay inside their rows.
        unsafe {
            on_set!(set, rows(self => depthwise: &Depthwise, width => width: usize, out => out: &mut [f32]));
        }
    }
}

#[inline(always)]
unsafe fn rows<V: Vector>(depthwise: &Depthwise, width: usize, out: &mut [f32]) {
    // SAFETY: the caller's.
    unsafe {
        let bias = V::splat(depthwise.bias);
        let (low, high) = (V::splat(depthwise.limits.0), V::splat(depthwise.limits.1));
        let mut weight = [bias; 9];
        for (to, from) in weight.iter_mut().zip(depthwise.weight) {
            *to = V::splat(*from);
        }
        for (y, out) in out.chunks_exact_mut(width).enumerate() {
            let line = depthwise.x.as_ptr().add(y * depthwise.pitch);
            let mut x = 0;
            while x < width {
                let mut sum = bias;
                for (w, tap) in weight.iter().zip(depthwise.taps) {
                    sum = w.mul_add(V::load(line.add(x + tap)), sum);
                }
                let (sum, to) = (sum.clamp(low, high), out.as_mut_ptr().add(x));
                let n = (width - x).min(V::LANES);
                if n < V::LANES {
                    sum.store_part(to, n)
                } else {
                    sum.store(to)
                }
                x += V::LANES;
            }
        }
    }
}
