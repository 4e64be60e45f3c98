//! Batch normalisation at inference (Ioffe and Szegedy, 2015): per channel a scale and a shift.

use candle_core::{CpuStorage, CustomOp3, Layout, Module, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::kernels::{self, Norm};
use super::maps::{Layer, Maps};
use super::{Activation, cpu};

/// Scale and shift of every channel: `weight / sqrt(variance + eps)` and `bias - mean * scale`, in double precision.
/// The slices are as long as each other; so are the results.
pub fn fold(weight: &[f32], bias: &[f32], mean: &[f32], variance: &[f32], eps: f64) -> (Vec<f64>, Vec<f64>) {
    let scale: Vec<f64> =
        weight.iter().zip(variance).map(|(w, v)| f64::from(*w) / (f64::from(*v) + eps).sqrt()).collect();
    let shift = bias.iter().zip(mean).zip(&scale).map(|((b, m), s)| f64::from(*b) - f64::from(*m) * s).collect();
    (scale, shift)
}

/// Multiplies the weights of a convolution, `[outputs, ...]`, by the scale of their output. The shift is then its bias.
pub fn fold_into(weight: &mut [f32], scale: &[f64]) {
    let size = weight.len() / scale.len().max(1);
    for (weight, scale) in weight.chunks_mut(size.max(1)).zip(scale) {
        weight.iter_mut().for_each(|w| *w = (f64::from(*w) * scale) as f32);
    }
}

/// `activation(scale * x + shift)`, one scale and shift a channel, in one pass over the image.
#[derive(Debug, Clone)]
pub struct ScaleShift {
    /// `[channels]`.
    pub scale: Tensor,
    /// `[channels]`.
    pub shift: Tensor,
    /// What follows.
    pub activation: Activation,
}

impl Module for ScaleShift {
    /// `[n, channels, h, w]` to the same shape.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if cpu::fused(x) { x.apply_op3(&self.scale, &self.shift, Op(self.activation)) } else { self.composed(x) }
    }
}

impl Layer for ScaleShift {
    fn infer(&self, x: &Maps) -> Result<Maps> {
        let blocked = (x.span == 1).then(|| x.blocked());
        let x = blocked.as_ref().unwrap_or(x);
        let mut out = Maps::stale(x.set, x.channels, x.height, x.width);
        self.over(x.channels, x.span, |norm| {
            let blocks = out.values.par_chunks_exact_mut(x.block()).zip(x.values.par_chunks_exact(x.block()));
            blocks.enumerate().for_each(|(i, (out, x_block))| {
                kernels::norm(x.set, &norm.block(i, x.span), x_block, out);
            });
        })?;
        Ok(out)
    }
}

impl ScaleShift {
    /// What `with` makes of the scale and shift of maps, filled up to whole blocks.
    pub(super) fn over<R>(&self, channels: usize, span: usize, with: impl FnOnce(Norm) -> R) -> Result<R> {
        if self.scale.elem_count() != channels || self.shift.elem_count() != channels {
            bail!("{channels} channels for {} scales and {} shifts", self.scale.elem_count(), self.shift.elem_count());
        }
        let whole = |values: &[f32]| {
            let mut whole = values.to_vec();
            whole.resize(channels.next_multiple_of(span), 0.0);
            Ok(whole)
        };
        let (scale, shift) = (cpu::read(&self.scale, whole)?, cpu::read(&self.shift, whole)?);
        Ok(with(Norm { scale: &scale, shift: &shift, limits: self.activation.limits() }))
    }

    /// Mean of each 2x2 window of the norm of maps, two pixels apart; an odd last row or column is left out.
    pub fn infer_avg_pool_2(&self, x: &Maps) -> Result<Maps> {
        let blocked = (x.span == 1).then(|| x.blocked());
        let x = blocked.as_ref().unwrap_or(x);
        let mut out = Maps::stale(x.set, x.channels, x.height / 2, x.width / 2);
        if out.area() == 0 {
            bail!("{}x{} pixels are too few to halve", x.height, x.width);
        }
        let plane = out.block();
        self.over(x.channels, x.span, |norm| {
            let blocks = out.values.par_chunks_exact_mut(plane).zip(x.values.par_chunks_exact(x.block()));
            blocks.enumerate().for_each(|(i, (out, x_block))| {
                kernels::avg_pool_2(x.set, &norm.block(i, x.span), x.width, x_block, out);
            });
        })?;
        Ok(out)
    }

    /// The same out of Candle's own ops.
    fn composed(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.broadcast_mul(&self.scale.reshape((1, (), 1, 1))?)?;
        self.activation.forward(&x.broadcast_add(&self.shift.reshape((1, (), 1, 1))?)?)
    }
}

struct Op(Activation);

impl CustomOp3 for Op {
    fn name(&self) -> &'static str {
        "scale-shift-activation"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        scale: &CpuStorage,
        ls: &Layout,
        shift: &CpuStorage,
        lt: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let [_, channels, h, w] = cpu::shape(lx)?;
        let x = cpu::values(self.name(), x, lx)?;
        let scale = cpu::values(self.name(), scale, ls)?;
        let shift = cpu::values(self.name(), shift, lt)?;
        if scale.len() != channels || shift.len() != channels {
            bail!("{channels} channels for {} scales and {} shifts", scale.len(), shift.len());
        }
        let (low, high) = self.0.limits();
        let mut out = vec![0f32; x.len()];
        let planes = x.par_chunks_exact(h * w).zip(out.par_chunks_exact_mut(h * w)).enumerate();
        planes.with_min_len(8).for_each(|(i, (x, out))| {
            let (scale, shift) = (scale[i % channels], shift[i % channels]);
            out.iter_mut().zip(x).for_each(|(out, x)| *out = (x * scale + shift).clamp(low, high));
        });
        Ok((CpuStorage::F32(out), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        scale: &Tensor,
        shift: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = self.0.gradient(res, grad)?;
        let dx = x.track_op().then(|| grad.broadcast_mul(&scale.reshape((1, (), 1, 1))?)).transpose()?;
        let dscale = scale.track_op().then(|| (&grad * x)?.sum((0, 2, 3))).transpose()?;
        let dshift = shift.track_op().then(|| grad.sum((0, 2, 3))).transpose()?;
        Ok((dx, dscale, dshift))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn equals_the_definition() {
        let (weight, bias, mean, variance) = ([2.0, 0.5], [1.0, -1.0], [3.0, 0.0], [3.0, 0.25]);
        let (scale, shift) = fold(&weight, &bias, &mean, &variance, 1.0);
        assert_eq!(scale[0], 1.0);
        assert_eq!(shift[0], -2.0);
        let tensor = |v: &[f64]| Tensor::new(v.iter().map(|v| *v as f32).collect::<Vec<_>>(), &Device::Cpu).unwrap();
        let x = Tensor::new(&[[[[3f32, -1.0]], [[9.0, 0.0]]]], &Device::Cpu).unwrap();
        let norm = ScaleShift { scale: tensor(&scale), shift: tensor(&shift), activation: Activation::Relu };
        let flat = |y: Tensor| y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let y = flat(norm.forward(&x).unwrap());
        assert_eq!(y, flat(norm.composed(&x).unwrap()));
        assert_eq!(y[..2], [1.0, 0.0]);
        assert!((f64::from(y[2]) - (9.0 * 0.5 / 1.25f64.sqrt() - 1.0)).abs() < 1e-6);
        assert_eq!(y[3], 0.0);
    }

    #[test]
    fn folding_scales_each_output() {
        let mut weight = [1.0, 2.0, 3.0, 4.0];
        fold_into(&mut weight, &[2.0, -1.0]);
        assert_eq!(weight, [2.0, 4.0, -3.0, -4.0]);
    }
}
