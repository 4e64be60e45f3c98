//! What the windows of a convolution or a pool see of maps `[c, n, h, w]`.

use candle_core::{DType, Result, Tensor};

use crate::ops::geometry::Axis;

/// Along the axis `dim`: the values of `x` from place `before` on, cut off at `size`, and `fill` elsewhere.
pub fn placed(x: &Tensor, dim: usize, before: usize, size: usize, fill: f32) -> Result<Tensor> {
    let seen = x.narrow(dim, 0, x.dim(dim)?.min(size - before))?;
    let wall = |size: usize| {
        let mut shape = seen.dims().to_vec();
        shape[dim] = size;
        Tensor::full(fill, shape, x.device())?.to_dtype(x.dtype())
    };
    let after = size - before - seen.dim(dim)?;
    let mut parts = Vec::new();
    if before > 0 {
        parts.push(wall(before)?);
    }
    parts.push(seen.clone());
    if after > 0 {
        parts.push(wall(after)?);
    }
    Tensor::cat(&parts, dim)
}

/// What each tap of the windows sees, views `[c, n, rows, columns]`, one row of taps after the other; `fill` lies around
/// the maps.
pub fn taps(x: &Tensor, [rows, columns]: [Axis; 2], fill: f32) -> Result<Vec<Tensor>> {
    let (c, n, ..) = x.dims4()?;
    // Whole strides, as many as any tap reaches.
    let strides = |axis: &Axis| axis.output + (axis.kernel - 1) / axis.stride;
    let (high, wide) = (strides(&rows), strides(&columns));
    let x = placed(x, 2, rows.before, high * rows.stride, fill)?;
    let x = placed(&x, 3, columns.before, wide * columns.stride, fill)?;
    // Pixels whose places leave one remainder by the stride are an axis of their own.
    let x = x.reshape((c, n, high, rows.stride, wide, columns.stride))?;
    let tap = |i: usize| {
        let (down, across) = (i / columns.kernel, i % columns.kernel);
        let x = x.narrow(2, down / rows.stride, rows.output)?.narrow(3, down % rows.stride, 1)?;
        let x = x.narrow(4, across / columns.stride, columns.output)?.narrow(5, across % columns.stride, 1)?;
        x.squeeze(5)?.squeeze(3)
    };
    (0..rows.kernel * columns.kernel).map(tap).collect()
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
