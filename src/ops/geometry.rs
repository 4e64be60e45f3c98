//! Where the windows of a convolution lie.

use candle_core::{Result, bail};
use rayon::prelude::*;

use super::kernels::SLACK;

/// How many zeros are put around an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// This many on each of the four sides.
    Sides(usize),
    /// TensorFlow's `SAME`: the output has `ceil(size / stride)` rows; an odd zero goes to the end.
    Same,
}

impl Padding {
    /// Zeros before and after an axis of `size` values.
    fn amounts(self, size: usize, kernel: usize, stride: usize) -> (usize, usize) {
        match self {
            Self::Sides(n) => (n, n),
            Self::Same => {
                let covered = (size.div_ceil(stride).max(1) - 1) * stride + kernel;
                let total = covered.saturating_sub(size);
                (total / 2, total - total / 2)
            }
        }
    }
}

/// One direction of a convolution.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub input: usize,
    pub kernel: usize,
    pub stride: usize,
    pub before: usize,
    pub after: usize,
    pub output: usize,
}

impl Axis {
    pub fn new(input: usize, kernel: usize, stride: usize, padding: Padding) -> Result<Self> {
        let (before, after) = padding.amounts(input, kernel, stride);
        let padded = input + before + after;
        if input == 0 || padded < kernel {
            bail!("{input} pixels are fewer than the {kernel} of the kernel");
        }
        Ok(Self { input, kernel, stride, before, after, output: (padded - kernel) / stride + 1 })
    }

    /// Each of `n` outputs sees the input of its own.
    pub fn pointwise(n: usize) -> Self {
        Self { input: n, kernel: 1, stride: 1, before: 0, after: 0, output: n }
    }

    /// The same of an input that has its zeros already.
    pub fn padded(self) -> Self {
        Self { input: self.input + self.before + self.after, before: 0, after: 0, ..self }
    }

    /// Whether output `i` sees input `i` and nothing else.
    pub fn is_pointwise(&self) -> bool {
        (self.kernel, self.stride, self.before, self.output) == (1, 1, 0, self.input)
    }

    /// The values of `phase` that lie on the image, and the first such one's place there.
    fn inside(&self, phase: usize, length: usize) -> (std::ops::Range<usize>, usize) {
        let first = self.before.saturating_sub(phase).div_ceil(self.stride);
        let end = (self.input + self.before).saturating_sub(phase).div_ceil(self.stride).min(length);
        (first.min(end)..end, (first * self.stride + phase - self.before).min(self.input))
    }
}

/// Padded planes in which every tap of a convolution steps by one pixel: with stride `s`, rows and columns whose numbers
/// leave the same remainders by `s` lie together, in a plane of their own.
pub(super) struct Phases {
    rows: Axis,
    columns: Axis,
    /// Values from one row to the next.
    pub pitch: usize,
    /// Values of one remainder of one channel.
    phase: usize,
    /// Values from one channel to the next.
    pub plane: usize,
    /// Where each tap of output 0 lies.
    pub taps: Vec<usize>,
}

impl Phases {
    pub fn new(rows: Axis, columns: Axis) -> Self {
        let reach = |axis: &Axis| (axis.kernel - 1) / axis.stride;
        // With stride 1 the zeros after a row are those before the next one.
        let pitch = match columns.stride {
            1 => columns.output.max(columns.input + columns.before.max(columns.after)),
            _ => columns.output + reach(&columns),
        };
        let phase = (rows.output + reach(&rows)) * pitch + columns.after;
        let [down, across] = [rows, columns].map(|axis| axis.stride.min(axis.kernel));
        let tap = |y: usize, x: usize| {
            let phases = y % rows.stride * across + x % columns.stride;
            phases * phase + y / rows.stride * pitch + x / columns.stride
        };
        let taps = (0..rows.kernel).flat_map(|y| (0..columns.kernel).map(move |x| tap(y, x))).collect();
        Self { rows, columns, pitch, phase, plane: down * across * phase, taps }
    }

    /// Values that hold `channels` planes and what the kernels read beyond them.
    pub fn room(&self, channels: usize) -> usize {
        channels * self.plane + SLACK
    }

    /// The planes of `x`, padded.
    pub fn of(&self, x: &[f32]) -> Vec<f32> {
        let area = self.rows.input * self.columns.input;
        let channels = x.len() / area;
        let mut padded = vec![0f32; self.room(channels)];
        let planes = padded.par_chunks_exact_mut(self.plane).zip(x.par_chunks_exact(area));
        planes.with_min_len(4).for_each(|(to, from)| self.fill(from, to));
        padded
    }

    /// Writes the pixels of a plane to their places in `to`, whose other values stay.
    pub fn fill(&self, from: &[f32], to: &mut [f32]) {
        let (rows, columns) = (&self.rows, &self.columns);
        let across = columns.stride.min(columns.kernel);
        for (i, phase) in to.chunks_exact_mut(self.phase).enumerate() {
            let (inside_rows, top) = rows.inside(i / across, rows.output + (rows.kernel - 1) / rows.stride);
            let (inside, left) = columns.inside(i % across, self.pitch);
            let lines = phase.chunks_exact_mut(self.pitch).take(inside_rows.end).skip(inside_rows.start);
            for (y, line) in lines.enumerate() {
                let source = &from[(top + y * rows.stride) * columns.input..][..columns.input];
                let line = &mut line[inside.clone()];
                match columns.stride {
                    1 => line.copy_from_slice(&source[left..][..line.len()]),
                    2 => every_second(line, &source[left..]),
                    stride => line.iter_mut().zip(source[left..].iter().step_by(stride)).for_each(|(t, s)| *t = *s),
                }
            }
        }
    }
}

/// Compilers make shuffles of pairs, not of steps.
fn every_second(to: &mut [f32], from: &[f32]) {
    let pairs = from.as_chunks::<2>().0;
    for (to, pair) in to.iter_mut().zip(pairs) {
        *to = pair[0];
    }
    if to.len() > pairs.len() {
        to[pairs.len()] = from[2 * pairs.len()];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_puts_the_odd_zero_last() {
        assert_eq!(Padding::Same.amounts(224, 3, 2), (0, 1));
        assert_eq!(Padding::Same.amounts(225, 3, 2), (1, 1));
        assert_eq!(Padding::Same.amounts(7, 3, 1), (1, 1));
        assert_eq!(Padding::Same.amounts(1, 3, 2), (1, 1));
    }

    #[test]
    fn phases_hold_every_second_pixel() {
        let axis = |n| Axis::new(n, 3, 2, Padding::Sides(1)).unwrap();
        let phases = Phases::new(axis(3), axis(3));
        let padded = phases.of(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        // The window of output (1, 1) is centred on pixel (2, 2), the last.
        let window: Vec<_> = phases.taps.iter().map(|t| padded[t + phases.pitch + 1]).collect();
        assert_eq!(window, [5.0, 6.0, 0.0, 8.0, 9.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
