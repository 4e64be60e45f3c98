//! Pools of maps `[c, n, h, w]`.

use candle_core::{DType, Result, bail};

use super::windows::{planes, spread, taps};
use crate::ops::geometry::{Axis, Padding};
use crate::ops::places::placed;
use crate::ops::pool;
use crate::ops::tape::{Node, Tape};

/// See [`max_pool_3`](crate::ops::max_pool_3). The gradient of a window goes to its largest value, the first of equals.
pub fn max_pool_3(tape: &mut Tape, x: Node) -> Result<Node> {
    let (_, _, h, w) = x.value().dims4()?;
    let windows = [Axis::new(h, 3, 2, Padding::Sides(1))?, Axis::new(w, 3, 2, Padding::Sides(1))?];
    let y = pool::composed_max_pool_3(x.value())?;
    let (input, largest) = (x.value().clone(), y.clone());
    Ok(tape.push(&[&x], y, move |grad| {
        let grad = grad.contiguous()?.to_dtype(DType::F32)?;
        let zeros = grad.zeros_like()?;
        let mut open = largest.eq(&largest)?;
        let mut sum = None;
        for (i, tap) in taps(&input, windows, f32::NEG_INFINITY)?.iter().enumerate() {
            let won = (tap.eq(&largest)? * &open)?;
            open = (open - &won)?;
            let part = spread(&won.where_cond(&grad, &zeros)?, 2)?;
            let part = placed(&part, 2, i / 3, part.dim(2)? + 2, 0.0)?;
            let part = placed(&part, 3, i % 3, part.dim(3)? + 2, 0.0)?;
            sum = Some(match sum {
                Some(sum) => (sum + part)?,
                None => part,
            });
        }
        let Some(sum) = sum else { bail!("a window without taps") };
        Ok(vec![Some(sum.narrow(2, 1, h)?.narrow(3, 1, w)?.to_dtype(input.dtype())?)])
    }))
}

/// See [`avg_pool_2`](crate::ops::avg_pool_2).
pub fn avg_pool_2(tape: &mut Tape, x: Node) -> Result<Node> {
    let (c, n, h, w) = x.value().dims4()?;
    let (rows, columns) = (h / 2, w / 2);
    if rows * columns == 0 {
        bail!("{h}x{w} pixels are too few to halve");
    }
    let y = x.value().avg_pool2d(2)?;
    Ok(tape.push(&[&x], y, move |grad| {
        let spread = (grad * 0.25)?.reshape((c, n, rows, 1, columns, 1))?.broadcast_as((c, n, rows, 2, columns, 2))?;
        let spread = spread.reshape((c, n, 2 * rows, 2 * columns))?;
        // The odd end has no part in any window.
        Ok(vec![Some(placed(&placed(&spread, 2, 0, h, 0.0)?, 3, 0, w, 0.0)?)])
    }))
}

/// The mean of each channel, `[n, c]` in f32.
pub fn global_average(tape: &mut Tape, x: Node) -> Result<Node> {
    let (shape, dtype) = (x.value().shape().clone(), x.value().dtype());
    let (c, n, h, w) = shape.dims4()?;
    let y = planes(x.value())?.mean(2)?.t()?.contiguous()?;
    Ok(tape.push(&[&x], y, move |grad| {
        let each = (grad.t()? / (h * w) as f64)?.reshape((c, n, 1, 1))?;
        Ok(vec![Some(each.broadcast_as(&shape)?.to_dtype(dtype)?.contiguous()?)])
    }))
}
