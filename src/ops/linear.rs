//! A dense layer.

use candle_core::{Module, Result, Tensor};

use super::{Activation, Conv2d, Form, Padding};

/// `activation(x * weight^T + bias)`.
#[derive(Debug, Clone)]
pub struct Linear(Conv2d);

impl Linear {
    /// From `weight` `[outputs, inputs]` and `bias` `[outputs]`.
    pub fn new(weight: &Tensor, bias: Tensor, activation: Activation) -> Result<Self> {
        let (outputs, inputs) = weight.dims2()?;
        let weight = weight.reshape((outputs, inputs, 1, 1))?;
        let form = Form { stride: 1, padding: Padding::Sides(0), groups: 1, activation };
        Ok(Self(Conv2d::new(weight, bias, form)?))
    }
}

impl Module for Linear {
    /// `[n, inputs]` to `[n, outputs]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (n, inputs) = x.dims2()?;
        self.0.forward(&x.reshape((n, inputs, 1, 1))?)?.flatten_from(1)
    }
}
