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
            Self::Relu => x.relu(),
            Self::Relu6 => x.clamp(0f32, 6f32),
        }
    }

    /// The smallest and the largest result. Cutting values off at these is the whole function.
    pub(super) fn limits(self) -> (f32, f32) {
        match self {
            Self::Identity => (f32::NEG_INFINITY, f32::INFINITY),
            Self::Relu => (0.0, f32::INFINITY),
            Self::Relu6 => (0.0, 6.0),
        }
    }

    /// Adds to `out` this function of `v * scale + shift` for every `v` of `values`. NaN stays NaN.
    pub(super) fn append(self, out: &mut Vec<f32>, values: &[f32], scale: f32, shift: f32) {
        let values = values.iter().map(|v| v * scale + shift);
        match self {
            Self::Identity => out.extend(values),
            Self::Relu => out.extend(values.map(relu)),
            Self::Relu6 => out.extend(values.map(|v| v.clamp(0.0, 6.0))),
        }
    }
}

fn relu(v: f32) -> f32 {
    if v < 0.0 { 0.0 } else { v }
}

/// `activation(a + b)` of two tensors of one shape: the end of a residual block.
pub fn add_activation(a: &Tensor, b: &Tensor, activation: Activation) -> Result<Tensor> {
    if a.device().is_cpu() { a.apply_op2(b, Add(activation)) } else { activation.forward(&(a + b)?) }
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
}
