//! Images with some of their pixels taken away: blurred, evened out, or filled in from around (ROAD).

use crate::rng::Rng;

/// One image for the network: channels of rows of columns.
#[derive(Clone, Copy)]
pub struct Planes<'a> {
    /// Channel by channel, row by row.
    pub values: &'a [f32],
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// How much of a pixel's filling its neighbours at the sides give; those at the corners give half of that.
const SIDE: f32 = 1.0 / 6.0;
/// Standard deviation of the noise on filled pixels, of the image's.
const NOISE: f64 = 0.01;
/// Steps of conjugate gradients at most, and the share of the first residual at which they end.
const ITERATIONS: usize = 60;
const TOLERANCE: f64 = 1e-3;

impl Planes<'_> {
    fn area(&self) -> usize {
        self.width * self.height
    }

    /// Every pixel its channel's mean.
    pub fn mean(&self) -> Vec<f32> {
        let mean = |p: &[f32]| p.iter().map(|v| f64::from(*v)).sum::<f64>() / p.len() as f64;
        self.values.chunks_exact(self.area()).flat_map(|p| vec![mean(p) as f32; p.len()]).collect()
    }

    /// Blurred by three boxes of about a tenth of the width: nothing fine is left.
    pub fn blurred(&self) -> Vec<f32> {
        let reach = (self.width / 20).max(1);
        let mut values = self.values.to_vec();
        for plane in values.chunks_exact_mut(self.area()) {
            for _ in 0..3 {
                boxed(plane, self.width, 1, reach, self.height, self.width);
                boxed(plane, self.height, self.width, reach, self.width, 1);
            }
        }
        values
    }

    /// The pixels in `gone` filled in as ROAD does (Rong et al. 2022): each is the weighted mean of its eight neighbours,
    /// all at once, and a little noise is added. With everything gone, the mean.
    pub fn filled(&self, gone: &[bool], rng: &mut Rng) -> Vec<f32> {
        if gone.iter().all(|g| *g) {
            return self.mean();
        }
        let mut values = self.values.to_vec();
        for plane in values.chunks_exact_mut(self.area()) {
            let mean = plane.iter().map(|v| f64::from(*v)).sum::<f64>() / plane.len() as f64;
            let spread = plane.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / plane.len() as f64;
            fill(plane, gone, self.width, self.height, mean as f32);
            for (v, _) in plane.iter_mut().zip(gone).filter(|(_, gone)| **gone) {
                *v += (NOISE * spread.sqrt() * rng.normal()) as f32;
            }
        }
        values
    }
}

/// Means over `2 * reach + 1` values along lines of `length` values `step` apart; lines begin `next` apart.
fn boxed(plane: &mut [f32], length: usize, step: usize, reach: usize, lines: usize, next: usize) {
    let mut line = vec![0f32; length];
    for l in 0..lines {
        (0..length).for_each(|i| line[i] = plane[l * next + i * step]);
        let mut sum: f64 = line.iter().take(reach).map(|v| f64::from(*v)).sum();
        let mut count = reach.min(length);
        for i in 0..length {
            if i + reach < length {
                sum += f64::from(line[i + reach]);
                count += 1;
            }
            if i > reach {
                sum -= f64::from(line[i - reach - 1]);
                count -= 1;
            }
            plane[l * next + i * step] = (sum / count as f64) as f32;
        }
    }
}

/// Solves for the pixels that are gone by conjugate gradients; `start` is their first guess.
fn fill(plane: &mut [f32], gone: &[bool], width: usize, height: usize, start: f32) {
    let neighbours = |at: usize, with: &mut dyn FnMut(usize, f32)| {
        let (x, y) = (at % width, at / width);
        for ny in y.saturating_sub(1)..(y + 2).min(height) {
            for nx in x.saturating_sub(1)..(x + 2).min(width) {
                if (nx, ny) != (x, y) {
                    with(ny * width + nx, if nx == x || ny == y { SIDE } else { SIDE / 2.0 });
                }
            }
        }
    };
    let unknown: Vec<usize> = (0..plane.len()).filter(|at| gone[*at]).collect();
    unknown.iter().for_each(|at| plane[*at] = start);
    // What the weighted means lack: the right side less the matrix times the guess.
    let lacking = |values: &[f32], at: usize| {
        let mut sum = 0f32;
        neighbours(at, &mut |n, weight| sum += weight * (values[n] - values[at]));
        sum
    };
    let mut residual: Vec<f32> = unknown.iter().map(|at| lacking(plane, *at)).collect();
    let square = |v: &[f32]| v.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>();
    let mut size = square(&residual);
    let end = size * TOLERANCE * TOLERANCE;
    // The direction lives on the whole plane, 0 where pixels are known.
    let mut direction = vec![0f32; plane.len()];
    unknown.iter().zip(&residual).for_each(|(at, r)| direction[*at] = *r);
    let mut image = vec![0f32; unknown.len()];
    for _ in 0..ITERATIONS {
        if size <= end {
            break;
        }
        image.iter_mut().zip(&unknown).for_each(|(v, at)| *v = -lacking(&direction, *at));
        let along: f64 = image.iter().zip(&unknown).map(|(v, at)| f64::from(*v) * f64::from(direction[*at])).sum();
        let step = (size / along) as f32;
        for ((at, r), v) in unknown.iter().zip(&mut residual).zip(&image) {
            plane[*at] += step * direction[*at];
            *r -= step * v;
        }
        let next = square(&residual);
        let keep = (next / size) as f32;
        size = next;
        unknown.iter().zip(&residual).for_each(|(at, r)| direction[*at] = r + keep * direction[*at]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_is_filled_in_as_a_ramp() {
        let (width, height) = (16, 12);
        let values: Vec<f32> = (0..width * height).map(|i| (i % width) as f32).collect();
        let gone: Vec<bool> = (0..width * height).map(|i| (4..9).contains(&(i % width)) && i / width > 2).collect();
        let filled = Planes { values: &values, width, height }.filled(&gone, &mut Rng::new(1, 1));
        let worst = filled.iter().zip(&values).map(|(f, v)| (f - v).abs()).fold(0.0, f32::max);
        // The noise has a deviation of 0.046.
        assert!(worst > 0.0 && worst < 0.3, "{worst}");
        assert!(filled.iter().zip(&values).zip(&gone).all(|((f, v), gone)| *gone || f == v));
    }

    #[test]
    fn blurring_keeps_the_mean_of_a_wide_image_and_constants() {
        let values: Vec<f32> = (0..64 * 40).map(|i| (i * 7 % 13) as f32).collect();
        let image = Planes { values: &values, width: 64, height: 40 };
        let (blurred, mean) = (image.blurred(), image.mean());
        assert!(blurred.iter().zip(&mean).all(|(b, m)| (b - m).abs() < 1.0));
        let constant = [3.0; 30];
        let image = Planes { values: &constant, width: 6, height: 5 };
        assert_eq!(image.blurred(), constant);
        assert_eq!(image.filled(&[true; 30], &mut Rng::new(0, 0)), constant);
    }
}
