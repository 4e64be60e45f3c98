//! What the windows of a convolution or a pool see of maps `[c, n, h, w]`.

use candle_core::{DType, Result, Tensor};

use crate::ops::geometry::Axis;
use crate::ops::places::{Windows, placed, places};

/// What each tap of the windows sees, views `[c, n, rows, columns]`, one row of taps after the other; `fill` lies around
/// the maps.
pub fn taps(x: &Tensor, [rows, columns]: [Axis; 2], fill: f32) -> Result<Vec<Tensor>> {
    // As far as the last window reaches.
    let end = |axis: Axis| (axis.output - 1) * axis.stride + axis.kernel;
    let x = placed(x, 2, rows.before, end(rows), fill)?;
    let x = placed(&x, 3, columns.before, end(columns), fill)?;
    let [kernel, stride, count] =
        [[rows.kernel, columns.kernel], [rows.stride, columns.stride], [rows.output, columns.output]];
    places(&x, Windows { kernel, dilation: [1; 2], stride, count })
}

/// Maps with each pixel followed by `stride - 1` zeros in both directions.
pub fn spread(x: &Tensor, stride: usize) -> Result<Tensor> {
    let (c, n, h, w) = x.dims4()?;
    let x = x.reshape((c, n, h, 1, w, 1))?.pad_with_zeros(5, 0, stride - 1)?.pad_with_zeros(3, 0, stride - 1)?;
    x.reshape((c, n, h * stride, w * stride))
}

/// `x` in f32, with all values of an image's channel in one axis: `[c, n, h * w]`.
pub fn planes(x: &Tensor) -> Result<Tensor> {
    let (c, n, h, w) = x.dims4()?;
    x.to_dtype(DType::F32)?.reshape((c, n, h * w))
}
