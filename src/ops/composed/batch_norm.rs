//! Batch normalisation in training, all of it in f32.

use candle_core::{DType, Result, Tensor, Var, bail};

use super::windows::planes;
use crate::ops::batch_norm::{MOMENTUM, TOO_FEW};
use crate::ops::tape::{Node, Tape};
use crate::ops::{Activation, BatchNorm};

/// `activation(norm(x) + residual)`, of the type of `x`.
pub fn batch_norm(
    tape: &mut Tape,
    x: Node,
    norm: &BatchNorm,
    residual: Option<Node>,
    activation: Activation,
) -> Result<Node> {
    let (shape, dtype) = (x.value().shape().clone(), x.value().dtype());
    let (channels, n, h, w) = shape.dims4()?;
    let count = (n * h * w) as f64;
    let (weight, bias) = (tape.parameter(&norm.weight), tape.parameter(&norm.bias));
    if weight.value().dims() != [channels] || residual.as_ref().is_some_and(|r| r.value().shape() != &shape) {
        bail!("a norm of {:?} over {shape:?}", weight.value().shape());
    }
    if count < 2.0 {
        bail!("{TOO_FEW}");
    }
    let values = planes(x.value())?;
    let mean = (sums(&values)? / count)?;
    let variance = (sums(&values.broadcast_sub(&mean)?.sqr()?)? / count)?;
    remember(&norm.mean, &mean)?;
    remember(&norm.variance, &(&variance * (count / (count - 1.0)))?)?;
    let inverse = (variance + norm.eps)?.sqrt()?.recip()?;
    let scale = (column(weight.value())? * &inverse)?;
    let shift = (column(bias.value())? - (&mean * &scale)?)?;
    let mut y = values.broadcast_mul(&scale)?.broadcast_add(&shift)?;
    if let Some(residual) = &residual {
        y = (y + planes(residual.value())?)?;
    }
    let y = activation.forward(&y)?.to_dtype(dtype)?.reshape(&shape)?;
    let inputs: Vec<_> = [Some(&x), Some(&weight), Some(&bias), residual.as_ref()].into_iter().flatten().collect();
    let (input, results) = (x.value().clone(), y.clone());
    let residual = residual.as_ref().map(|residual| residual.value().dtype());
    Ok(tape.push(&inputs, y, move |grad| {
        let grad = activation.passed(&results, &grad.contiguous()?)?;
        let onward = residual.map(|dtype| grad.to_dtype(dtype)).transpose()?;
        let grad = planes(&grad)?;
        let normed = planes(&input)?.broadcast_sub(&mean)?.broadcast_mul(&inverse)?;
        let (of_bias, of_weight) = (sums(&grad)?, sums(&(&grad * &normed)?)?);
        let common = normed.broadcast_mul(&(&of_weight / count)?)?.broadcast_add(&(&of_bias / count)?)?;
        let before = (grad - common)?.broadcast_mul(&scale)?.to_dtype(dtype)?.reshape(&shape)?;
        let mut gradients = vec![Some(before), Some(of_weight.flatten_all()?), Some(of_bias.flatten_all()?)];
        gradients.extend(onward.map(Some));
        Ok(gradients)
    }))
}

/// `[channels]` as `[channels, 1, 1]`.
fn column(x: &Tensor) -> Result<Tensor> {
    x.reshape(((), 1, 1))
}

/// The sum of each channel's values, `[channels, 1, 1]`. Images apart first, which is more exact and keeps more of a
/// device busy.
fn sums(planes: &Tensor) -> Result<Tensor> {
    planes.sum_keepdim(2)?.sum_keepdim(1)
}

/// Adds a batch to what is remembered, as PyTorch does.
fn remember(var: &Var, of_batch: &Tensor) -> Result<()> {
    let kept = (var.as_detached_tensor().to_dtype(DType::F32)? * (1.0 - MOMENTUM))?;
    var.set(&(kept + (of_batch.flatten_all()? * MOMENTUM)?)?)
}
