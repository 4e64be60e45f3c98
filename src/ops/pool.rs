//! Pooling as the networks here use it.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::cpu;

/// Largest value of each 3x3 window, two pixels apart, over an image with one row and column of padding that never wins:
/// `[n, c, h, w]` to `[n, c, ceil(h / 2), ceil(w / 2)]`.
pub fn max_pool_3(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() { x.apply_op1(MaxPool3) } else { composed_max_pool_3(x) }
}

/// The same out of Candle's own ops, whose pooling has no padding.
fn composed_max_pool_3(x: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    let wall = |h: usize, w: usize| Tensor::full(f32::NEG_INFINITY, (n, c, h, w), x.device())?.to_dtype(x.dtype());
    let x = Tensor::cat(&[&wall(1, w)?, x, &wall(1, w)?], 2)?;
    let x = Tensor::cat(&[&wall(h + 2, 1)?, &x, &wall(h + 2, 1)?], 3)?;
    x.max_pool2d_with_stride(3, 2)
}

/// Mean of each 2x2 window, two pixels apart; an odd last row or column is left out:
/// `[n, c, h, w]` to `[n, c, h / 2, w / 2]`.
pub fn avg_pool_2(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() { x.apply_op1(AvgPool2) } else { x.avg_pool2d(2) }
}

/// Mean of each channel, summed in double precision: `[n, c, h, w]` to `[n, c]`.
pub fn global_average(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() { x.apply_op1(GlobalAverage) } else { x.mean((2, 3)) }
}

struct MaxPool3;

impl CustomOp1 for MaxPool3 {
    fn name(&self) -> &'static str {
        "max-pool-3"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let [n, c, h, w] = cpu::shape(layout)?;
        let x = cpu::values(self.name(), x, layout)?;
        let (rows, columns) = (h.div_ceil(2), w.div_ceil(2));
        let mut out = vec![0f32; n * c * rows * columns];
        let mut tallest = vec![0f32; w];
        let planes = x.chunks_exact(h * w);
        for (plane, out) in planes.zip(out.chunks_exact_mut(rows * columns)) {
            for (y, out) in out.chunks_exact_mut(columns).enumerate() {
                let (first, last) = ((2 * y).saturating_sub(1), (2 * y + 1).min(h - 1));
                tallest.copy_from_slice(&plane[first * w..][..w]);
                for line in plane[(first + 1) * w..(last + 1) * w].chunks_exact(w) {
                    tallest.iter_mut().zip(line).for_each(|(t, v)| *t = larger(*t, *v));
                }
                for (x, out) in out.iter_mut().enumerate() {
                    let window = &tallest[(2 * x).saturating_sub(1)..(2 * x + 2).min(w)];
                    *out = window[1..].iter().fold(window[0], |a, b| larger(a, *b));
                }
            }
        }
        Ok((CpuStorage::F32(out), Shape::from((n, c, rows, columns))))
    }
}

/// The larger value; NaN if either is.
fn larger(a: f32, b: f32) -> f32 {
    if a > b || a.is_nan() { a } else { b }
}

struct AvgPool2;

impl CustomOp1 for AvgPool2 {
    fn name(&self) -> &'static str {
        "avg-pool-2"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let [n, c, h, w] = cpu::shape(layout)?;
        let x = cpu::values(self.name(), x, layout)?;
        let (rows, columns) = (h / 2, w / 2);
        if rows == 0 || columns == 0 {
            bail!("{h}x{w} pixels are too few to halve");
        }
        let mut out = Vec::with_capacity(n * c * rows * columns);
        for plane in x.chunks_exact(h * w) {
            for pair in plane.chunks_exact(2 * w) {
                let (top, bottom) = pair.split_at(w);
                let windows = top.chunks_exact(2).zip(bottom.chunks_exact(2));
                out.extend(windows.map(|(t, b)| (t[0] + t[1] + b[0] + b[1]) * 0.25));
            }
        }
        Ok((CpuStorage::F32(out), Shape::from((n, c, rows, columns))))
    }
}

struct GlobalAverage;

impl CustomOp1 for GlobalAverage {
    fn name(&self) -> &'static str {
        "global-average"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let [n, c, h, w] = cpu::shape(layout)?;
        let x = cpu::values(self.name(), x, layout)?;
        let mean = |plane: &[f32]| (plane.iter().map(|v| f64::from(*v)).sum::<f64>() / (h * w) as f64) as f32;
        let out = x.chunks_exact(h * w).map(mean).collect();
        Ok((CpuStorage::F32(out), Shape::from((n, c))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    fn flat(x: Tensor) -> Vec<f32> {
        x.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn max_pool_ignores_the_padding() {
        let x = Tensor::new(&[[[[-5f32, -4.0, -3.0], [-9.0, -8.0, -7.0], [-2.0, -6.0, -1.0]]]], &Device::Cpu).unwrap();
        assert_eq!(flat(max_pool_3(&x).unwrap()), [-4.0, -3.0, -2.0, -1.0]);
    }

    #[test]
    fn avg_pool_leaves_the_odd_end_out() {
        let x = Tensor::arange(0f32, 15.0, &Device::Cpu).unwrap().reshape((1, 1, 3, 5)).unwrap();
        assert_eq!(flat(avg_pool_2(&x).unwrap()), [3.0, 5.0]);
        assert!(avg_pool_2(&x.narrow(2, 0, 1).unwrap()).is_err());
    }

    #[test]
    fn global_average_is_the_mean() {
        let x = Tensor::arange(0f32, 12.0, &Device::Cpu).unwrap().reshape((1, 2, 2, 3)).unwrap();
        assert_eq!(flat(global_average(&x).unwrap()), [2.5, 8.5]);
    }

    proptest! {
        #[test]
        fn max_pool_equals_the_definition(h in 1usize..12, w in 1usize..12) {
            let x = Tensor::rand(-1f32, 1.0, (2, 3, h, w), &Device::Cpu).unwrap();
            prop_assert_eq!(flat(max_pool_3(&x).unwrap()), flat(composed_max_pool_3(&x).unwrap()));
            let (y, x) = (max_pool_3(&x).unwrap(), flat(x));
            prop_assert_eq!(y.dims(), [2, 3, h.div_ceil(2), w.div_ceil(2)]);
            let (rows, columns) = (h.div_ceil(2), w.div_ceil(2));
            for (i, value) in flat(y).into_iter().enumerate() {
                let (plane, oy, ox) = (i / (rows * columns), i / columns % rows, i % columns);
                let near = |o: usize, v: usize| (2 * o).abs_diff(v) <= 1;
                let best = (0..h * w).filter(|p| near(oy, p / w) && near(ox, p % w)).map(|p| x[plane * h * w + p]);
                prop_assert_eq!(value, best.fold(f32::NEG_INFINITY, f32::max));
            }
        }
    }
}
