//! DenseNet's block, and how maps are laid out and joined.

use candle_core::{Result, Tensor};

use crate::ops::tape::{Node, Tape};
use crate::ops::{Activation, DenseLayerTraining, Form, Padding};

/// `[c, n, h, w]` to the same and the maps of every layer behind it.
pub fn dense_block(tape: &mut Tape, x: Node, layers: &[DenseLayerTraining]) -> Result<Node> {
    let form =
        |around| Form { stride: 1, padding: Padding::Sides(around), groups: 1, activation: Activation::Identity };
    layers.iter().try_fold(x, |x, layer| {
        let y = tape.batch_norm(x.clone(), layer.norm, None, Activation::Relu)?;
        let y = tape.conv(y, layer.squeeze, form(0))?;
        let y = tape.batch_norm(y, layer.squeeze_norm, None, Activation::Relu)?;
        let new = tape.conv(y, layer.grow, form(1))?;
        join(tape, x, new)
    })
}

/// The channels of `a` and those of `b` behind them, of the type of `b`.
fn join(tape: &mut Tape, a: Node, b: Node) -> Result<Node> {
    let (dtype, before, channels) = (b.value().dtype(), a.value().dtype(), a.value().dim(0)?);
    let y = Tensor::cat(&[&a.value().to_dtype(dtype)?, b.value()], 0)?;
    let more = b.value().dim(0)?;
    Ok(tape.push(&[&a, &b], y, move |grad| {
        let grad = grad.contiguous()?;
        let of_a = grad.narrow(0, 0, channels)?.to_dtype(before)?;
        Ok(vec![Some(of_a), Some(grad.narrow(0, channels, more)?)])
    }))
}

/// The first two axes in each other's place.
pub fn swap(tape: &mut Tape, x: Node) -> Result<Node> {
    let swapped = |x: &Tensor| x.transpose(0, 1)?.contiguous();
    let y = swapped(x.value())?;
    Ok(tape.push(&[&x], y, move |grad| Ok(vec![Some(swapped(&grad)?)])))
}
