//! Convolution as a product of matrices: the weights of a group times what the taps see, side by side.

use candle_core::{DType, Result, Tensor, Var, bail};

use super::windows::{spread, taps};
use crate::ops::geometry::Axis;
use crate::ops::tape::{Node, Tape};
use crate::ops::{Activation, Form};

/// The convolution of `x` with `weight`, its products in `precision`, which is that of the result.
pub fn conv(tape: &mut Tape, x: Node, weight: &Var, form: Form, precision: DType) -> Result<Node> {
    let (inputs, n, h, w) = x.value().dims4()?;
    let (outputs, depth, kh, kw) = weight.dims4()?;
    let Form { stride, padding, groups, activation } = form;
    let windows = [Axis::new(h, kh, stride, padding)?, Axis::new(w, kw, stride, padding)?];
    let [rows, columns] = windows;
    if inputs != depth * groups || outputs % groups != 0 || rows.before >= kh || columns.before >= kw {
        bail!("a convolution of {:?} in {groups} groups with {padding:?} over {inputs} channels", weight.shape());
    }
    if activation != Activation::Identity {
        bail!("in training an activation is a step of its own");
    }
    let weight = tape.parameter(weight);
    let kernel = weight.value().to_dtype(precision)?.reshape((groups, outputs / groups, depth, kh * kw))?;
    let input = x.value().to_dtype(precision)?;
    let matrix = kernel.transpose(2, 3)?.reshape((groups, outputs / groups, ()))?;
    // What the taps see is not kept for the way back: it is as many times the input as there are taps.
    let y = matrix.matmul(&unfolded(taps(&input, windows, 0.0)?, groups)?)?;
    let y = y.reshape((outputs, n, rows.output, columns.output))?;
    let (shape, before) = (weight.value().shape().clone(), x.is_tracked().then(|| x.value().dtype()));
    Ok(tape.push(&[&x, &weight], y, move |grad| {
        let grad = grad.contiguous()?;
        let of_outputs = grad.reshape((groups, outputs / groups, ()))?;
        let dw = of_outputs.matmul(&unfolded(taps(&input, windows, 0.0)?, groups)?.t()?)?;
        let dw = dw.reshape((groups, outputs / groups, kh * kw, depth))?.transpose(2, 3)?.reshape(shape)?;
        let dw = dw.to_dtype(DType::F32)?;
        let Some(before) = before else { return Ok(vec![None, Some(dw)]) };
        // A convolution of the gradients, set apart by the stride, with the kernel turned around: the last tap comes first.
        let mut taps = taps(&spread(&grad, stride)?, windows.map(turned_around), 0.0)?;
        taps.reverse();
        let matrix = kernel.permute((0, 2, 3, 1))?.reshape((groups, depth, ()))?;
        let dx = matrix.matmul(&unfolded(taps, groups)?)?;
        Ok(vec![Some(dx.reshape((inputs, n, h, w))?.to_dtype(before)?), Some(dw)])
    }))
}

/// The windows of a convolution's gradient over the spread gradients of its output.
fn turned_around(axis: Axis) -> Axis {
    let Axis { input, kernel, stride, before, output, .. } = axis;
    let (spread, before) = (output * stride, kernel - 1 - before);
    let after = (input + kernel - 1).saturating_sub(spread + before);
    Axis { input: spread, kernel, stride: 1, before, after, output: input }
}

/// `[groups, taps * channels of a group, n * rows * columns]`: what the taps see.
fn unfolded(taps: Vec<Tensor>, groups: usize) -> Result<Tensor> {
    let count = taps.len();
    let all = Tensor::cat(&taps, 0)?;
    let depth = all.dim(0)? / count / groups;
    all.reshape((count, groups, depth, ()))?.transpose(0, 1)?.reshape((groups, count * depth, ()))
}
