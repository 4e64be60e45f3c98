//! The windows of convolutions and poolings.

use candle_core::{Result, Tensor};

use super::room;
use crate::error;
use crate::ops::{self, Windows};
use crate::weights::Node;

/// Longest side of a window, step, gap and padding that are taken for a network's.
const LONGEST: i64 = 1024;

/// Windows over rows and columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub pads: Pads,
    /// Whether a last window that begins on the image may reach beyond what is around it.
    pub ceil: bool,
}

/// What is put around an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pads {
    /// Rows and columns before, then behind.
    Fixed([usize; 4]),
    /// As many as make the output `ceil(size / stride)`; an odd one goes to the end.
    Same,
}

impl Window {
    /// The windows of this kernel that a node's attributes tell.
    pub fn of(node: &Node, kernel: [usize; 2]) -> error::Result<Self> {
        let fault = |cause: String| error::Error::new(cause);
        let numbers = |name: &str, count: usize, least: i64| {
            let values = node.ints(name).map_or_else(|| vec![least; count], <[i64]>::to_vec);
            let good = values.len() == count && values.iter().all(|v| (least..=LONGEST).contains(v));
            good.then(|| values.iter().map(|v| *v as usize).collect::<Vec<_>>())
                .ok_or_else(|| fault(format!("`{name}` {values:?} is not run here")))
        };
        if kernel.iter().any(|k| !(1..=LONGEST as usize).contains(k)) {
            return Err(fault(format!("a kernel of {kernel:?} is not run here")));
        }
        let pads = match node.text("auto_pad") {
            "" | "NOTSET" => Pads::Fixed(four(&numbers("pads", 4, 0)?)),
            "VALID" => Pads::Fixed([0; 4]),
            "SAME_UPPER" => Pads::Same,
            other => return Err(fault(format!("`auto_pad` {other} is not run here"))),
        };
        let ceil = node.int("ceil_mode", 0) != 0;
        let (stride, dilation) = (numbers("strides", 2, 1)?, numbers("dilations", 2, 1)?);
        Ok(Self { kernel, stride: [stride[0], stride[1]], dilation: [dilation[0], dilation[1]], pads, ceil })
    }

    /// Rows and columns before and behind an image of these.
    fn amounts(&self, sizes: [usize; 2]) -> [usize; 4] {
        match self.pads {
            Pads::Fixed([top, left, bottom, right]) => [
                top,
                left,
                bottom + self.beyond(0, sizes[0], top, bottom),
                right + self.beyond(1, sizes[1], left, right),
            ],
            Pads::Same => {
                let total = |i: usize| {
                    let covered = (sizes[i].div_ceil(self.stride[i]).max(1) - 1) * self.stride[i] + self.span(i);
                    covered.saturating_sub(sizes[i])
                };
                let (rows, columns) = (total(0), total(1));
                [rows / 2, columns / 2, rows - rows / 2, columns - columns / 2]
            }
        }
    }

    /// Rows or columns that a last window needs beyond those around the image.
    fn beyond(&self, axis: usize, size: usize, before: usize, after: usize) -> usize {
        let Some(rest) = (size + before + after).checked_sub(self.span(axis)).filter(|_| self.ceil) else { return 0 };
        let start = rest.next_multiple_of(self.stride[axis]);
        if start < size + before { start - rest } else { 0 }
    }

    /// Rows or columns from the first of a window to its last.
    fn span(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }

    /// Rows and columns of what is made of an image; an image smaller than the window is an error.
    pub fn output(&self, x: &Tensor) -> Result<[usize; 2]> {
        let (_, _, h, w) = x.dims4()?;
        let [top, left, bottom, right] = self.amounts([h, w]);
        let count = |i: usize, size: usize| match size.checked_sub(self.span(i)) {
            Some(rest) => Ok(rest / self.stride[i] + 1),
            None => candle_core::bail!("a window of {:?} on {h}x{w} pixels", self.kernel),
        };
        Ok([count(0, h + top + bottom)?, count(1, w + left + right)?])
    }

    /// The image with `value` around it.
    pub fn padded(&self, x: &Tensor, value: f32) -> Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        let [top, left, bottom, right] = self.amounts([h, w]);
        walled(&walled(x, 2, [top, bottom], value)?, 3, [left, right], value)
    }

    /// Each place of the window, over all windows: `[n, c, rows, columns]` for every row and column of the kernel.
    pub fn places(&self, padded: &Tensor, count: [usize; 2]) -> Result<Vec<Tensor>> {
        let Self { kernel, dilation, stride, .. } = *self;
        ops::places(padded, Windows { kernel, dilation, stride, count })
    }
}

/// A tensor with so many of `value` before and behind it on an axis.
pub(super) fn walled(x: &Tensor, axis: usize, [before, behind]: [usize; 2], value: f32) -> Result<Tensor> {
    let mut sizes = x.dims().to_vec();
    sizes[axis] = sizes[axis].saturating_add(before).saturating_add(behind);
    room(&sizes)?;
    ops::placed(x, axis, before, sizes[axis], value)
}

fn four(values: &[usize]) -> [usize; 4] {
    std::array::from_fn(|i| values.get(i).copied().unwrap_or(0))
}
