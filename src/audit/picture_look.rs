//! What a picture is recognised by, whatever its size, compression and contrast: a hash to find candidates by and a
//! thumbnail to compare them.

use std::f64::consts::PI;

use crate::cards::model::{Filter, Input, Mode, Step};
use crate::error::Result;
use crate::imaging::picture::Picture;
use crate::imaging::preprocess;

/// Side of a thumbnail, pixels.
const SIDE: usize = 64;

/// Side of the picture behind the hash.
const HASHED: usize = 32;

/// Waves of the hash in each direction.
const WAVES: usize = 8;

/// How far the local mean reaches that is taken away, pixels of the thumbnail.
const REACH: usize = 4;

/// A picture made small.
#[derive(Debug, Clone)]
pub struct Look {
    /// Which of the 64 slowest waves of the picture are above their median (pHash, Zauner 2010).
    pub hash: u64,
    /// The thumbnail less its local mean, in 127ths of the greatest; a byte each, since there may be very many pictures.
    /// Empty where nothing is left.
    detail: Vec<i8>,
    /// Its length as a vector.
    norm: f64,
}

impl Look {
    /// The look of a picture, squashed to a square.
    pub fn of(picture: &Picture) -> Result<Self> {
        let resize = Step::Resize { size: SIDE, mode: Mode::Squash, filter: Filter::Bilinear };
        let (small, ..) = preprocess::apply(&Input { channels: 1, steps: vec![resize] }, picture)?;
        let half = |x: usize, y: usize| {
            let at = |dx: usize, dy: usize| f64::from(small[(2 * y + dy) * SIDE + 2 * x + dx]);
            0.25 * (at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1))
        };
        let hashed: Vec<f64> = (0..HASHED * HASHED).map(|i| half(i % HASHED, i / HASHED)).collect();
        let detail = detail(&small);
        let norm = f64::from(dot(&detail, &detail)).sqrt();
        Ok(Self { hash: hash(&hashed), detail, norm })
    }

    /// Correlation of the two thumbnails' details, -1 to 1; 0 where one has none.
    pub fn correlation(&self, other: &Self) -> f64 {
        let norms = self.norm * other.norm;
        if norms > 0.0 { f64::from(dot(&self.detail, &other.detail)) / norms } else { 0.0 }
    }
}

fn dot(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum()
}

/// Discrete cosine transform (type II) of the square, of which the slowest waves are compared with their median. The
/// mean brightness is no wave.
fn hash(pixels: &[f64]) -> u64 {
    let wave = |k: usize, x: usize| libm::cos((2 * x + 1) as f64 * k as f64 * PI / (2 * HASHED) as f64);
    let table: Vec<f64> = (0..WAVES * HASHED).map(|i| wave(i / HASHED, i % HASHED)).collect();
    // Along rows, then along columns.
    let rows: Vec<f64> = (0..HASHED * WAVES)
        .map(|i| {
            let (y, k) = (i / WAVES, i % WAVES);
            (0..HASHED).map(|x| pixels[y * HASHED + x] * table[k * HASHED + x]).sum()
        })
        .collect();
    let waves: Vec<f64> = (0..WAVES * WAVES)
        .map(|i| {
            let (j, k) = (i / WAVES, i % WAVES);
            (0..HASHED).map(|y| rows[y * WAVES + k] * table[j * HASHED + y]).sum()
        })
        .collect();
    let mut sorted = waves[1..].to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    waves.iter().enumerate().skip(1).filter(|(_, w)| **w > median).map(|(i, _)| 1u64 << i).sum()
}

/// What distinguishes pictures of the same body part: the thumbnail less its mean over a neighbourhood.
fn detail(small: &[f32]) -> Vec<i8> {
    // Sums of everything above and to the left.
    let mut sums = vec![0.0f64; (SIDE + 1) * (SIDE + 1)];
    for y in 0..SIDE {
        for x in 0..SIDE {
            let at = |dx: usize, dy: usize| sums[(y + dy) * (SIDE + 1) + x + dx];
            sums[(y + 1) * (SIDE + 1) + x + 1] = f64::from(small[y * SIDE + x]) + at(1, 0) + at(0, 1) - at(0, 0);
        }
    }
    let local = |x: usize, y: usize| {
        let (x0, x1) = (x.saturating_sub(REACH), (x + REACH + 1).min(SIDE));
        let (y0, y1) = (y.saturating_sub(REACH), (y + REACH + 1).min(SIDE));
        let at = |x: usize, y: usize| sums[y * (SIDE + 1) + x];
        (at(x1, y1) - at(x0, y1) - at(x1, y0) + at(x0, y0)) / ((x1 - x0) * (y1 - y0)) as f64
    };
    let rest: Vec<f64> = (0..SIDE * SIDE).map(|i| f64::from(small[i]) - local(i % SIDE, i / SIDE)).collect();
    let mean = rest.iter().sum::<f64>() / rest.len() as f64;
    let greatest = rest.iter().fold(0.0, |most: f64, r| most.max((r - mean).abs()));
    if greatest <= 1e-9 {
        return Vec::new();
    }
    rest.iter().map(|r| ((r - mean) / greatest * 127.0).round() as i8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::picture::Pixels;
    use crate::rng::Rng;

    fn picture(side: usize, value: impl Fn(f64, f64) -> f64) -> Picture {
        let at = |i: usize| value((i % side) as f64 / side as f64, (i / side) as f64 / side as f64);
        let pixels = Pixels::Gray((0..side * side).map(|i| at(i).clamp(0.0, 255.0) as u8).collect());
        Picture { width: side, height: side, pixels, range: [0.0, 255.0] }
    }

    /// Blobs at places that the seed chooses.
    fn drawn(seed: u64, side: usize, contrast: f64) -> Look {
        let mut rng = Rng::new(seed, 0);
        let blobs: Vec<[f64; 3]> = (0..40).map(|_| [rng.uniform(), rng.uniform(), rng.uniform() - 0.5]).collect();
        let value = move |x: f64, y: f64| {
            let sum: f64 = blobs.iter().map(|[a, b, h]| h * (-((x - a).powi(2) + (y - b).powi(2)) / 0.003).exp()).sum();
            128.0 + contrast * sum
        };
        Look::of(&picture(side, value)).unwrap()
    }

    #[test]
    fn size_and_contrast_do_not_matter_and_another_picture_does() {
        let (a, small, faint, other) =
            (drawn(1, 512, 200.0), drawn(1, 128, 200.0), drawn(1, 512, 90.0), drawn(2, 512, 200.0));
        for same in [&small, &faint] {
            assert!((a.hash ^ same.hash).count_ones() <= 6, "{}", (a.hash ^ same.hash).count_ones());
            assert!(a.correlation(same) > 0.95, "{}", a.correlation(same));
        }
        assert!(a.correlation(&other) < 0.5, "{}", a.correlation(&other));
        let blank = Look::of(&picture(64, |_, _| 7.0)).unwrap();
        assert_eq!(blank.correlation(&a), 0.0);
    }
}
