//! From named weights to layers, with batch norms folded away.

use candle_core::{DType, Device, Tensor};

use super::densenet::{self, Transition};
use super::mobilenet::InvertedResidual;
use super::part::{ConvNorm, Form, Part};
use super::resnet::Residual;
use crate::device::memory_is_full;
use crate::error::{Error, Result};
use crate::ops::{
    self, Activation, Conv2d, DenseBlock, DenseLayer, Layer, Linear, MaxPool, ScaleShift, fold, fold_into,
};
use crate::weights::Tensors;

/// A named part of a network that runs on its own: where a network can be cut.
pub(super) struct Stage {
    /// torchvision's name of the module whose output this is.
    pub name: String,
    pub layer: Box<dyn Layer>,
    /// The same layer where it is a dense block, inside of which the network can be cut too.
    pub block: Option<DenseBlock>,
}

impl Stage {
    pub fn new(name: impl Into<String>, layer: impl Layer + 'static) -> Self {
        Self { name: name.into(), layer: Box::new(layer), block: None }
    }

    pub fn dense(name: impl Into<String>, block: DenseBlock) -> Self {
        Self { block: Some(block.clone()), ..Self::new(name, block) }
    }
}

/// Takes tensors by name and makes layers of them on a device.
pub(super) struct Builder<'a> {
    pub tensors: &'a mut Tensors,
    /// Added to the variance of every norm.
    pub eps: f64,
    pub device: &'a Device,
    /// Numbers in which the network computes.
    pub dtype: DType,
}

impl Builder<'_> {
    /// The stage that a part describes.
    pub fn stage(&mut self, name: String, part: Part) -> Result<Stage> {
        Ok(match part {
            Part::ConvNorm(unit) => Stage::new(name, self.unit(&unit)?),
            Part::MaxPool => Stage::new(name, MaxPool),
            Part::Residual { path, shortcut } => {
                let path = self.units(&path)?;
                let shortcut = shortcut.map(|unit| self.unit(&unit)).transpose()?;
                Stage::new(name, Residual { path, shortcut })
            }
            Part::InvertedResidual { path, residual } => {
                Stage::new(name, InvertedResidual { path: self.units(&path)?, residual })
            }
            Part::DenseBlock { layers, inputs, growth } => {
                let layers = densenet::layers(&name, layers, inputs, growth).map(|layer| {
                    Ok(DenseLayer {
                        norm: self.norm(&layer.norm, layer.squeeze.form.inputs, Activation::Relu)?,
                        squeeze: self.unit(&layer.squeeze)?,
                        grow: self.conv(&layer.grow, layer.grow_form)?,
                    })
                });
                let block = DenseBlock(layers.collect::<Result<_>>()?);
                Stage::dense(name, block)
            }
            Part::Transition { channels } => {
                let norm = self.norm(&format!("{name}.norm"), channels, Activation::Relu)?;
                let conv = self.conv(&format!("{name}.conv"), Form::new(channels, channels / 2, 1))?;
                Stage::new(name, Transition { norm, conv })
            }
            Part::Norm { channels } => {
                let norm = self.norm(&name, channels, Activation::Identity)?;
                Stage::new(name, norm)
            }
        })
    }

    fn unit(&mut self, unit: &ConvNorm) -> Result<Conv2d> {
        self.conv_norm(&unit.conv, &unit.norm, unit.form, unit.activation)
    }

    fn units(&mut self, units: &[ConvNorm]) -> Result<Vec<Conv2d>> {
        units.iter().map(|unit| self.unit(unit)).collect()
    }

    /// A convolution without bias: `{name}.weight`.
    fn conv(&mut self, name: &str, form: Form) -> Result<Conv2d> {
        let weight = self.conv_weight(name, form)?;
        self.conv_of(form, weight, vec![0.0; form.outputs], Activation::Identity)
    }

    /// A convolution without bias, the norm behind it folded in, and an activation.
    fn conv_norm(&mut self, conv: &str, norm: &str, form: Form, activation: Activation) -> Result<Conv2d> {
        let mut weight = self.conv_weight(conv, form)?;
        let (scale, shift) = self.fold(norm, form.outputs)?;
        fold_into(&mut weight, &scale);
        self.conv_of(form, weight, single(&shift), activation)
    }

    /// A norm of its own with an activation.
    fn norm(&mut self, name: &str, channels: usize, activation: Activation) -> Result<ScaleShift> {
        let (scale, shift) = self.fold(name, channels)?;
        let scale = self.tensor(single(&scale), &[channels])?;
        let shift = self.tensor(single(&shift), &[channels])?;
        Ok(ScaleShift { scale, shift, activation })
    }

    /// A dense layer: `{name}.weight` and, with `bias`, `{name}.bias`.
    pub fn linear(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
        bias: bool,
        activation: Activation,
    ) -> Result<Linear> {
        let weight = self.tensors.take(&format!("{name}.weight"), &[outputs, inputs])?;
        let bias = match bias {
            true => self.tensors.take(&format!("{name}.bias"), &[outputs])?,
            false => vec![0.0; outputs],
        };
        let weight = self.tensor(weight, &[outputs, inputs])?;
        Linear::new(&weight, self.tensor(bias, &[outputs])?, activation).map_err(fault)
    }

    fn conv_weight(&mut self, name: &str, form: Form) -> Result<Vec<f32>> {
        self.tensors.take(&format!("{name}.weight"), &form.shape())
    }

    fn conv_of(&self, form: Form, weight: Vec<f32>, bias: Vec<f32>, activation: Activation) -> Result<Conv2d> {
        let weight = self.tensor(weight, &form.shape())?;
        let bias = self.tensor(bias, &[form.outputs])?;
        let Form { stride, padding, groups, .. } = form;
        Conv2d::new(weight, bias, ops::Form { stride, padding, groups, activation }).map_err(fault)
    }

    fn fold(&mut self, name: &str, channels: usize) -> Result<(Vec<f64>, Vec<f64>)> {
        let mut part = |part: &str| self.tensors.take(&format!("{name}.{part}"), &[channels]);
        let (weight, bias) = (part("weight")?, part("bias")?);
        let (mean, variance) = (part("running_mean")?, part("running_var")?);
        Ok(fold(&weight, &bias, &mean, &variance, self.eps))
    }

    fn tensor(&self, values: Vec<f32>, shape: &[usize]) -> Result<Tensor> {
        Tensor::from_vec(values, shape, &Device::Cpu)
            .and_then(|x| x.to_dtype(self.dtype)?.to_device(self.device))
            .map_err(fault)
    }
}

fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}

/// Candle's error as ours, without its backtrace.
pub(crate) fn fault(error: candle_core::Error) -> Error {
    let text = error.to_string();
    let cause = text.lines().next().unwrap_or_default();
    if memory_is_full(cause) {
        return Error::memory("the device's memory is full");
    }
    Error::new(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn full_memory_is_told_from_other_faults() {
        let of = |text: &str| fault(candle_core::Error::Msg(text.into())).kind();
        assert_eq!(of("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")"), Kind::Memory);
        assert_eq!(of("CublasError(CUBLAS_STATUS_ALLOC_FAILED)"), Kind::Memory);
        assert_eq!(of("DriverError(CUDA_ERROR_ILLEGAL_ADDRESS, \"an illegal memory access\")"), Kind::Input);
    }
}
