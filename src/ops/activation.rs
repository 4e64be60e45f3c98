//! What follows a convolution or a norm, and the sum at the end of a residual block.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::cpu;

/// A function applied to each value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x.
    Identity,
    /// max(x, 0).
    Relu,
    /// min(max(x, 0), 6).
    Relu6,
}

impl Activation {
    /// Applies it to every value of `x`.
    pub fn forward(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Identity => Ok(x.clone()),
            _ if x.track_op() => self.tracked(x),
            Self::Relu => x.relu(),
            Self::Relu6 => x.clamp(0f32, 6f32),
        }
    }

    /// The same with gradients that pass where a result is no limit, as [`gradient`](Self::gradient) has them; Candle's
    /// also pass at 0.
    fn tracked(self, x: &Tensor) -> Result<Tensor> {
        let (y, (low, high)) = (self.forward(&x.detach())?, self.limits());
        let passes = (y.gt(low)? * y.lt(high)?)?.to_dtype(x.dtype())?;
        let passed = (x * passes)?;
        (y - passed.detach())? + passed
    }

    /// The smallest and the largest result. Cutting values off at these is the whole function.
    pub(super) fn limits(self) -> (f32, f32) {
        match self {
            Self::Identity => (f32::NEG_INFINITY, f32::INFINITY),
            Self::Relu => (0.0, f32::INFINITY),
            Self::Relu6 => (0.0, 6.0),
        }
    }

    /// The gradient before it, from its results and their gradients: nothing passes where a result is a limit.
    pub(super) fn gradient(self, results: &Tensor, grad: &Tensor) -> Result<Tensor> {
        if self == Self::Identity {
            Ok(grad.clone())
        } else {
            results.apply_op2_no_bwd(&grad.contiguous()?, &Mask(self))
        }
    }

    /// The same out of Candle's own ops.
    pub(super) fn passed(self, results: &Tensor, grad: &Tensor) -> Result<Tensor> {
        let inside = match self {
            Self::Identity => return Ok(grad.clone()),
            Self::Relu => results.gt(0f32)?,
            Self::Relu6 => (results.gt(0f32)? * results.lt(6f32)?)?,
        };
        inside.where_cond(grad, &grad.zeros_like()?)
    }
}

/// `activation(a + b)` of two tensors of one shape: the end of a residual block.
pub fn add_activation(a: &Tensor, b: &Tensor, activation: Activation) -> Result<Tensor> {
    if cpu::fused(a) { a.apply_op2(b, Add(activation)) } else { activation.forward(&(a + b)?) }
}

struct Add(Activation);

impl CustomOp2 for Add {
    fn name(&self) -> &'static str {
        "add-activation"
    }

    fn cpu_fwd(&self, a: &CpuStorage, la: &Layout, b: &CpuStorage, lb: &Layout) -> Result<(CpuStorage, Shape)> {
        if la.shape() != lb.shape() {
            bail!("a sum of {:?} and {:?}", la.shape(), lb.shape());
        }
        let (a, b) = (cpu::values(self.name(), a, la)?, cpu::values(self.name(), b, lb)?);
        let (low, high) = self.0.limits();
        let out: Vec<f32> = a.iter().zip(b).map(|(a, b)| (a + b).clamp(low, high)).collect();
        Ok((CpuStorage::F32(out), la.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, res: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = self.0.gradient(res, grad)?;
        Ok((Some(grad.clone()), Some(grad)))
    }
}

/// The second value where the first lies between the limits, else 0.
struct Mask(Activation);

impl CustomOp2 for Mask {
    fn name(&self) -> &'static str {
        "activation-gradient"
    }

    fn cpu_fwd(&self, y: &CpuStorage, ly: &Layout, grad: &CpuStorage, lg: &Layout) -> Result<(CpuStorage, Shape)> {
        let (y, grad) = (cpu::values(self.name(), y, ly)?, cpu::values(self.name(), grad, lg)?);
        let (low, high) = self.0.limits();
        let out = y.iter().zip(grad).map(|(y, g)| if *y > low && *y < high { *g } else { 0.0 }).collect();
        Ok((CpuStorage::F32(out), lg.shape().clone()))
    }
}
