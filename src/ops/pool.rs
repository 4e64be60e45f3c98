//! Pooling as the networks here use it.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Device, Layout, Module, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::kernels::{self, MaxPoolGradient, Set};
use super::maps::{Layer, Maps};
use super::{Windows, cpu, largest, placed, places};

/// Largest value of each 3x3 window, two pixels apart, over an image with one row and column of padding that never wins:
/// `[n, c, h, w]` to `[n, c, ceil(h / 2), ceil(w / 2)]`.
pub fn max_pool_3(x: &Tensor) -> Result<Tensor> {
    if cpu::fused(x) { x.apply_op1(MaxPool3) } else { composed_max_pool_3(x) }
}

/// The same out of Candle's own ops, whose pooling has no padding.
pub(super) fn composed_max_pool_3(x: &Tensor) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let walled = placed(x, 2, 1, h + 2, f32::NEG_INFINITY)?;
    let walled = placed(&walled, 3, 1, w + 2, f32::NEG_INFINITY)?;
    if !x.track_op() {
        return walled.max_pool2d_with_stride(3, 2);
    }
    // Candle has no gradient for windows that overlap.
    let count = [h.div_ceil(2), w.div_ceil(2)];
    largest(&places(&walled, Windows { kernel: [3; 2], dilation: [1; 2], stride: [2; 2], count })?)
}

/// Mean of each 2x2 window, two pixels apart; an odd last row or column is left out:
/// `[n, c, h, w]` to `[n, c, h / 2, w / 2]`.
pub fn avg_pool_2(x: &Tensor) -> Result<Tensor> {
    if cpu::fused(x) { x.apply_op1(AvgPool2) } else { composed_avg_pool_2(x) }
}

/// The same out of Candle's own ops, whose gradient is wrong where a row or column is left out.
fn composed_avg_pool_2(x: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    if h < 2 || w < 2 {
        bail!("{h}x{w} pixels are too few to halve");
    }
    if !x.track_op() {
        return x.avg_pool2d(2);
    }
    let even = x.narrow(2, 0, h / 2 * 2)?.narrow(3, 0, w / 2 * 2)?.contiguous()?;
    even.reshape((n, c, h / 2, 2, w / 2, 2))?.sum((3, 5))? * 0.25
}

/// Mean of each channel, summed in double precision by the fused op: `[n, c, h, w]` to `[n, c]`.
pub fn global_average(x: &Tensor) -> Result<Tensor> {
    if cpu::fused(x) {
        x.apply_op1(GlobalAverage)
    } else {
        x.to_dtype(cpu::wide(x.dtype()))?.mean((2, 3))?.to_dtype(x.dtype())
    }
}

/// The gradient of `x` from that of `max_pool_3(x)`.
pub(super) fn max_pool_3_gradient(x: &Tensor, grad: &Tensor) -> Result<Tensor> {
    x.apply_op2_no_bwd(&grad.contiguous()?, &MaxPool3Gradient)
}

/// The gradient of a tensor of `shape` from that of its `avg_pool_2`. The odd end has no part in any window.
pub(super) fn avg_pool_2_gradient(shape: &Shape, grad: &Tensor) -> Result<Tensor> {
    let (_, _, h, w) = shape.dims4()?;
    let (rows, columns) = (h / 2, w / 2);
    cpu::read(&grad.contiguous()?, |grad| {
        let mut out = cpu::zeros(shape.elem_count());
        let planes = grad.par_chunks_exact(rows * columns).zip(out.par_chunks_exact_mut(h * w));
        planes.with_min_len(8).for_each(|(grad, out)| {
            for (line, pair) in grad.chunks_exact(columns).zip(out.chunks_exact_mut(2 * w)) {
                for out in pair.chunks_exact_mut(w) {
                    let windows = out.as_chunks_mut::<2>().0;
                    windows.iter_mut().zip(line).for_each(|(out, g)| *out = [g * 0.25; 2]);
                }
            }
        });
        Tensor::from_vec(out, shape, &Device::Cpu)
    })
}

/// The gradient of a tensor of `shape` from that of its `global_average`.
pub(super) fn global_average_gradient(shape: &Shape, grad: &Tensor) -> Result<Tensor> {
    let (_, _, h, w) = shape.dims4()?;
    cpu::read(&grad.contiguous()?, |grad| {
        let spread = |g: &f32| std::iter::repeat_n(g / (h * w) as f32, h * w);
        Tensor::from_vec(grad.iter().flat_map(spread).collect::<Vec<_>>(), shape, &Device::Cpu)
    })
}

/// [`max_pool_3`] as a layer.
pub struct MaxPool;

impl Module for MaxPool {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        max_pool_3(x)
    }
}

impl Layer for MaxPool {
    fn infer(&self, x: &Maps) -> Result<Maps> {
        let blocked = (x.span == 1).then(|| x.blocked());
        let x = blocked.as_ref().unwrap_or(x);
        let mut out = Maps::stale(x.set, x.channels, x.height.div_ceil(2), x.width.div_ceil(2));
        let plane = out.block();
        let blocks = out.values.par_chunks_exact_mut(plane).zip(x.values.par_chunks_exact(x.block()));
        blocks.for_each(|(out, block)| kernels::max_pool_3(x.set, x.width, block, out));
        Ok(out)
    }
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
        let mut out = cpu::zeros(n * c * rows * columns);
        let planes = x.par_chunks_exact(h * w).zip(out.par_chunks_exact_mut(rows * columns));
        // The largest of three lines, after one value that never wins and before as many as windows reach.
        let scratch = || vec![f32::NEG_INFINITY; 2 * columns + 2];
        planes.with_min_len(2).for_each_init(scratch, |tallest, (plane, out)| {
            for (y, out) in out.chunks_exact_mut(columns).enumerate() {
                let line = |y: usize| &plane[y * w..][..w];
                let lines = line((2 * y).saturating_sub(1)).iter().zip(line(2 * y)).zip(line((2 * y + 1).min(h - 1)));
                for (t, ((a, b), c)) in tallest[1..].iter_mut().zip(lines) {
                    *t = larger(larger(*a, *b), *c);
                }
                let pairs = tallest.as_chunks::<2>().0;
                for ((out, pair), next) in out.iter_mut().zip(pairs).zip(&pairs[1..]) {
                    *out = larger(larger(pair[0], pair[1]), next[0]);
                }
            }
        });
        Ok((CpuStorage::F32(out), Shape::from((n, c, rows, columns))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        max_pool_3_gradient(x, grad).map(Some)
    }
}

struct MaxPool3Gradient;

impl CustomOp2 for MaxPool3Gradient {
    fn name(&self) -> &'static str {
        "max-pool-3-gradient"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, grad: &CpuStorage, lg: &Layout) -> Result<(CpuStorage, Shape)> {
        let [_, _, h, w] = cpu::shape(lx)?;
        let [_, _, rows, columns] = cpu::shape(lg)?;
        let (x, grad) = (cpu::values(self.name(), x, lx)?, cpu::values(self.name(), grad, lg)?);
        let (mut out, set) = (cpu::zeros(x.len()), Set::best());
        let planes = x.par_chunks_exact(h * w).zip(grad.par_chunks_exact(rows * columns));
        let planes = planes.zip(out.par_chunks_exact_mut(h * w)).with_min_len(2);
        let pool = || MaxPoolGradient::new(h, w);
        planes.for_each_init(pool, |pool, ((x, grad), out)| pool.run(set, x, grad, out));
        Ok((CpuStorage::F32(out), lx.shape().clone()))
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
        let mut out = cpu::zeros(n * c * rows * columns);
        let planes = x.par_chunks_exact(h * w).zip(out.par_chunks_exact_mut(rows * columns));
        planes.with_min_len(8).for_each(|(plane, out)| {
            for (pair, out) in plane.chunks_exact(2 * w).zip(out.chunks_exact_mut(columns)) {
                let (top, bottom) = pair.split_at(w);
                let windows = top.as_chunks::<2>().0.iter().zip(bottom.as_chunks::<2>().0);
                for (out, (t, b)) in out.iter_mut().zip(windows) {
                    *out = (t[0] + t[1] + b[0] + b[1]) * 0.25;
                }
            }
        });
        Ok((CpuStorage::F32(out), Shape::from((n, c, rows, columns))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        avg_pool_2_gradient(x.shape(), grad).map(Some)
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

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        global_average_gradient(x.shape(), grad).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;
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

    /// The gradient of `pool(x) * probe` summed, for a probe 1, 2, 3...
    fn gradient(x: &Tensor, pool: fn(&Tensor) -> Result<Tensor>) -> Vec<f32> {
        let x = Var::from_tensor(x).unwrap();
        let y = pool(&x).unwrap();
        let probe =
            Tensor::arange(1f32, 1.0 + y.elem_count() as f32, &Device::Cpu).unwrap().reshape(y.shape()).unwrap();
        flat((y * probe).unwrap().sum_all().unwrap().backward().unwrap().get(&x).unwrap().clone())
    }

    #[test]
    fn gradients_go_where_the_values_came_from() {
        let x = Tensor::new(&[[[[5f32, 1.0, 3.0], [1.0, 5.0, 1.0], [2.0, 6.0, 1.0]]]], &Device::Cpu).unwrap();
        // The first of the two fives, then the five in the middle, then the six twice.
        assert_eq!(gradient(&x, max_pool_3), [1.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 7.0, 0.0]);
        assert_eq!(gradient(&x, avg_pool_2), [0.25, 0.25, 0.0, 0.25, 0.25, 0.0, 0.0, 0.0, 0.0]);
        let ninth = 1.0 / 9.0;
        assert_eq!(gradient(&x, global_average), [ninth; 9]);
        for pool in [max_pool_3, avg_pool_2, global_average] {
            assert_eq!(cpu::composed(|| gradient(&x, pool)), gradient(&x, pool));
        }
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
