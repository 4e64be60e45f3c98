//! Convolutions one after the other, with something added behind the last.

use candle_core::{Module, Tensor};

use crate::ops::{self, Activation, Conv2d, Layer, Maps};

/// `activation(path(x) + residual)`: a residual block whose path ends without an activation.
pub(super) fn onto(
    path: &[Conv2d],
    x: &Tensor,
    residual: &Tensor,
    activation: Activation,
) -> candle_core::Result<Tensor> {
    let end = path.iter().try_fold(x.clone(), |x, conv| conv.forward(&x))?;
    ops::add_activation(&end, residual, activation)
}

/// The same through maps.
pub(super) fn infer_onto(
    path: &[Conv2d],
    x: &Maps,
    residual: &Maps,
    activation: Activation,
) -> candle_core::Result<Maps> {
    match path {
        [] => candle_core::bail!("a path without convolutions"),
        [last] => last.infer_onto(x, Some(residual), activation),
        [first, rest @ ..] => infer_onto(rest, &first.infer(x)?, residual, activation),
    }
}
