//! Pillow's resampling, to the byte.
//!
//! Published pipelines were made with Pillow's arithmetic (its `Resample.c`), so this follows it exactly:
//! two passes, first along rows and then along columns; a filter whose support grows with the reduction;
//! weights in 64-bit floats that sum to one. 8-bit samples are weighed in fixed point with 22 fractional
//! bits, rounded and clipped after each pass; samples of mode F are summed in 64-bit floats and stored as
//! 32-bit ones after each pass. A pass that would change nothing is left out.
//!
//! This is the arithmetic of Pillow 3.3 to 12. Pillow 13 runs the second pass first where the height shrinks much
//! more than the width, which changes some samples of such pictures by a level or two.

use std::f64::consts::PI;

use crate::cards::model::Filter;

/// Bits after the point of an 8-bit sample's weights: 32 bits less 8 for the sample and 2 of headroom.
const FRACTION_BITS: u32 = 32 - 8 - 2;

/// The part of a picture that is resampled, in pixels from the upper left corner; edges may be fractional.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// Left edge.
    pub left: f32,
    /// Upper edge.
    pub top: f32,
    /// Right edge.
    pub right: f32,
    /// Lower edge.
    pub bottom: f32,
}

impl Region {
    /// The whole of a picture of `width` by `height` pixels.
    pub fn whole(width: usize, height: usize) -> Self {
        Self { left: 0.0, top: 0.0, right: width as f32, bottom: height as f32 }
    }

    /// The largest centred square, as `ImageOps.fit` chooses it for a square target.
    pub fn centre_square(width: usize, height: usize) -> Self {
        let side = width.min(height) as f64;
        let (left, top) = ((width as f64 - side) * 0.5, (height as f64 - side) * 0.5);
        Self { left: left as f32, top: top as f32, right: (left + side) as f32, bottom: (top + side) as f32 }
    }
}

/// A kind of sample, and the arithmetic that Pillow does with it.
pub trait Sample: Copy + Default {
    /// What a weight is stored as.
    type Weight: Copy;
    /// What weighted samples are added up in.
    type Sum: Copy;
    /// The sum before the first sample.
    const START: Self::Sum;
    /// Stores a normalised weight.
    fn weight(weight: f64) -> Self::Weight;
    /// Adds a weighted sample.
    fn add(sum: Self::Sum, sample: Self, weight: Self::Weight) -> Self::Sum;
    /// Stores a sum as a sample.
    fn store(sum: Self::Sum) -> Self;
}

impl Sample for u8 {
    type Weight = i32;
    type Sum = i32;
    /// Half a unit, so that the shift in `store` rounds.
    const START: i32 = 1 << (FRACTION_BITS - 1);

    fn weight(weight: f64) -> i32 {
        let fixed = weight * f64::from(1 << FRACTION_BITS);
        (if fixed < 0.0 { fixed - 0.5 } else { fixed + 0.5 }) as i32
    }

    #[inline(always)]
    fn add(sum: i32, sample: u8, weight: i32) -> i32 {
        sum.wrapping_add(i32::from(sample).wrapping_mul(weight))
    }

    #[inline(always)]
    fn store(sum: i32) -> u8 {
        (sum >> FRACTION_BITS).clamp(0, 255) as u8
    }
}

impl Sample for f32 {
    type Weight = f64;
    type Sum = f64;
    const START: f64 = 0.0;

    fn weight(weight: f64) -> f64 {
        weight
    }

    #[inline(always)]
    fn add(sum: f64, sample: f32, weight: f64) -> f64 {
        sum + f64::from(sample) * weight
    }

    #[inline(always)]
    fn store(sum: f64) -> f32 {
        sum as f32
    }
}

/// Resamples `region` of a picture to `to` (width, height) pixels.
///
/// `samples` holds `size.1` rows of `size.0` pixels of `C` interleaved samples, and so does the result with
/// the sizes of `to`. The sizes must not be 0 and the region must lie in the picture.
pub fn resample<S: Sample, const C: usize>(
    samples: &[S],
    size: (usize, usize),
    region: Region,
    to: (usize, usize),
    filter: Filter,
) -> Vec<S> {
    let horizontal = to.0 != size.0 || region.left != 0.0 || region.right != to.0 as f32;
    let vertical = to.1 != size.1 || region.top != 0.0 || region.bottom != to.1 as f32;
    if !vertical {
        return if horizontal {
            along_rows::<S, C>(samples, size.0, &taps::<S>(size.0, region.left, region.right, to.0, filter))
        } else {
            samples.to_vec()
        };
    }
    let mut columns = taps::<S>(size.1, region.top, region.bottom, to.1, filter);
    if !horizontal {
        return along_columns(samples, size.0 * C, &columns);
    }
    // Only the rows that the second pass reads go through the first.
    let first = columns.spans[0].0;
    let last = columns.spans.last().map_or(first, |&(start, count)| start + count);
    columns.spans.iter_mut().for_each(|span| span.0 -= first);
    let rows = taps::<S>(size.0, region.left, region.right, to.0, filter);
    let between = along_rows::<S, C>(&samples[first * size.0 * C..last * size.0 * C], size.0, &rows);
    along_columns(&between, to.0 * C, &columns)
}

/// Which source samples make up each output sample, and what each of them weighs.
struct Taps<W> {
    /// For each output: the first source sample, and how many there are.
    spans: Vec<(usize, usize)>,
    /// The weights of all outputs, one after the other.
    weights: Vec<W>,
}

impl<W> Taps<W> {
    /// The first source sample and the weights of each output in turn.
    fn iter(&self) -> impl Iterator<Item = (usize, &[W])> {
        let mut rest = self.weights.as_slice();
        self.spans.iter().map(move |&(start, count)| {
            let (weights, tail) = rest.split_at(count);
            rest = tail;
            (start, weights)
        })
    }
}

/// Taps for `to` outputs over the stretch from `low` to `high` of `from` source samples.
fn taps<S: Sample>(from: usize, low: f32, high: f32, to: usize, filter: Filter) -> Taps<S::Weight> {
    let scale = f64::from(high - low) / to as f64;
    let stretch = scale.max(1.0);
    let support = support(filter) * stretch;
    let mut result = Taps { spans: Vec::with_capacity(to), weights: Vec::new() };
    let mut weights = Vec::new();
    for i in 0..to {
        let centre = f64::from(low) + (i as f64 + 0.5) * scale;
        // Casts to unsigned stop at 0, as Pillow does by hand.
        let start = (centre - support + 0.5) as usize;
        let end = ((centre + support + 0.5) as usize).min(from);
        weights.clear();
        weights.extend((start..end).map(|x| kernel(filter, (x as f64 - centre + 0.5) * (1.0 / stretch))));
        let sum: f64 = weights.iter().fold(0.0, |a, w| a + w);
        let whole = if sum == 0.0 { 1.0 } else { sum };
        result.spans.push((start, weights.len()));
        result.weights.extend(weights.iter().map(|w| S::weight(w / whole)));
    }
    result
}

/// Resamples each row of `width` pixels.
fn along_rows<S: Sample, const C: usize>(samples: &[S], width: usize, taps: &Taps<S::Weight>) -> Vec<S> {
    let outputs = taps.spans.len();
    let mut result = vec![S::default(); samples.len() / (width * C) * outputs * C];
    for (row, out) in samples.chunks_exact(width * C).zip(result.chunks_exact_mut(outputs * C)) {
        for ((start, weights), out) in taps.iter().zip(out.chunks_exact_mut(C)) {
            let mut sums = [S::START; C];
            let pixels = &row[start * C..(start + weights.len()) * C];
            for (pixel, &weight) in pixels.chunks_exact(C).zip(weights) {
                for c in 0..C {
                    sums[c] = S::add(sums[c], pixel[c], weight);
                }
            }
            for c in 0..C {
                out[c] = S::store(sums[c]);
            }
        }
    }
    result
}

/// Resamples the columns of rows that hold `width` samples each.
fn along_columns<S: Sample>(samples: &[S], width: usize, taps: &Taps<S::Weight>) -> Vec<S> {
    let mut result = Vec::with_capacity(width * taps.spans.len());
    let mut sums = vec![S::START; width];
    for (start, weights) in taps.iter() {
        sums.fill(S::START);
        let rows = &samples[start * width..(start + weights.len()) * width];
        for (row, &weight) in rows.chunks_exact(width).zip(weights) {
            for (sum, &sample) in sums.iter_mut().zip(row) {
                *sum = S::add(*sum, sample, weight);
            }
        }
        result.extend(sums.iter().map(|&sum| S::store(sum)));
    }
    result
}

/// Half the width of a filter at no reduction, pixels.
fn support(filter: Filter) -> f64 {
    match filter {
        Filter::Bilinear => 1.0,
        Filter::Bicubic => 2.0,
        Filter::Lanczos => 3.0,
    }
}

/// The filter's value at a distance of `x` pixels from its middle.
fn kernel(filter: Filter, x: f64) -> f64 {
    match filter {
        Filter::Bilinear => (1.0 - x.abs()).max(0.0),
        Filter::Bicubic => {
            // Keys' cubic with a = -0.5.
            const A: f64 = -0.5;
            let x = x.abs();
            if x < 1.0 {
                ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
            } else if x < 2.0 {
                (((x - 5.0) * x + 8.0) * x - 4.0) * A
            } else {
                0.0
            }
        }
        Filter::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
        Filter::Lanczos => 0.0,
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILTERS: [Filter; 3] = [Filter::Bilinear, Filter::Bicubic, Filter::Lanczos];

    #[test]
    fn the_same_size_is_a_copy() {
        let samples: Vec<u8> = (0..35).collect();
        for filter in FILTERS {
            assert_eq!(resample::<u8, 1>(&samples, (7, 5), Region::whole(7, 5), (7, 5), filter), samples);
        }
    }

    #[test]
    fn a_constant_stays_constant() {
        for filter in FILTERS {
            for (from, to) in [((1, 1), (9, 4)), ((31, 17), (8, 40)), ((300, 2), (7, 2))] {
                let bytes =
                    resample::<u8, 3>(&vec![200; from.0 * from.1 * 3], from, Region::whole(from.0, from.1), to, filter);
                assert_eq!(bytes, vec![200; to.0 * to.1 * 3]);
                let floats =
                    resample::<f32, 1>(&vec![1e5; from.0 * from.1], from, Region::whole(from.0, from.1), to, filter);
                assert_eq!(floats, vec![1e5; to.0 * to.1]);
            }
        }
    }

    #[test]
    fn weights_by_hand() {
        // Halving 0, 100, 200, 300: triangles over (0, 1, 2) and (1, 2, 3), weighing 3 : 3 : 1 and 1 : 3 : 3.
        let out =
            resample::<f32, 1>(&[0.0, 100.0, 200.0, 300.0], (4, 1), Region::whole(4, 1), (2, 1), Filter::Bilinear);
        assert_eq!(out, [500.0 / 7.0, 1600.0 / 7.0]);
        // A step overshoots and is clipped.
        let out = resample::<u8, 1>(&[0, 0, 255, 255], (4, 1), Region::whole(4, 1), (8, 1), Filter::Lanczos);
        assert_eq!((out[1], out[6]), (0, 255));
    }

    #[test]
    fn the_centre_square_may_begin_between_pixels() {
        assert_eq!(Region::centre_square(8, 5), Region { left: 1.5, top: 0.0, right: 6.5, bottom: 5.0 });
        assert_eq!(Region::centre_square(4, 10), Region { left: 0.0, top: 3.0, right: 4.0, bottom: 7.0 });
    }
}
