//! The values that windows over an image see, one tensor for each place in the window.

use candle_core::{Result, Tensor, bail};

/// Windows over rows and columns.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    /// Rows and columns of a window.
    pub kernel: [usize; 2],
    /// Steps from one place of a window to the next.
    pub dilation: [usize; 2],
    /// Steps from one window to the next.
    pub stride: [usize; 2],
    /// How many windows there are, down and across.
    pub count: [usize; 2],
}

/// Along the axis `dim`: the values of `x` from place `before` on, cut off at `size`, and `fill` elsewhere.
pub fn placed(x: &Tensor, dim: usize, before: usize, size: usize, fill: f32) -> Result<Tensor> {
    let seen = x.narrow(dim, 0, x.dim(dim)?.min(size - before))?;
    let after = size - before - seen.dim(dim)?;
    let wall = |size: usize| {
        let mut shape = seen.dims().to_vec();
        shape[dim] = size;
        Tensor::full(fill, shape, x.device())?.to_dtype(x.dtype())
    };
    match (before, after) {
        (0, 0) => Ok(seen),
        (0, _) => Tensor::cat(&[&seen, &wall(after)?], dim),
        (_, 0) => Tensor::cat(&[&wall(before)?, &seen], dim),
        _ => Tensor::cat(&[&wall(before)?, &seen, &wall(after)?], dim),
    }
}

/// Each place of the windows, in the order of rows and columns: `[n, c, count[0], count[1]]`, views of one copy at most.
/// `x` `[n, c, h, w]` has its padding already; one that the windows do not fit into is an error.
pub fn places(x: &Tensor, windows: Windows) -> Result<Vec<Tensor>> {
    let Windows { kernel, dilation, stride: [down, across], count: [rows, columns] } = windows;
    let (n, c, h, w) = x.dims4()?;
    let x = x.pad_with_zeros(2, 0, h.next_multiple_of(down) - h)?;
    let x = x.pad_with_zeros(3, 0, w.next_multiple_of(across) - w)?;
    let steps = (n, c, h.div_ceil(down), down, w.div_ceil(across), across);
    let x = x.contiguous()?.reshape(steps)?;
    let at = |i: usize, j: usize| {
        let line = x.narrow(2, i / down, rows)?.narrow(3, i % down, 1)?;
        line.narrow(4, j / across, columns)?.narrow(5, j % across, 1)?.squeeze(5)?.squeeze(3)
    };
    let of = |i: usize| (0..kernel[1]).map(move |j| (i * dilation[0], j * dilation[1]));
    (0..kernel[0]).flat_map(of).map(|(i, j)| at(i, j)).collect()
}

/// The largest of tensors of one shape, value by value. Its gradient goes to the first of equals, as PyTorch has it; that
/// of Candle's `maximum` is shared out.
pub fn largest(places: &[Tensor]) -> Result<Tensor> {
    let Some((first, others)) = places.split_first() else { bail!("the largest of nothing") };
    others.iter().try_fold(first.clone(), |most, place| place.gt(&most)?.where_cond(place, &most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn are_the_values_that_windows_see(
            (kernel, dilation, stride) in ([1usize..4, 1usize..4], [1usize..3, 1usize..3], [1usize..4, 1usize..4]),
            more in [0usize..6, 0usize..6],
        ) {
            let size = |i: usize| (kernel[i] - 1) * dilation[i] + 1 + more[i];
            let (h, w) = (size(0), size(1));
            let count = [0, 1].map(|i| more[i] / stride[i] + 1);
            let x = Tensor::arange(0f32, (2 * h * w) as f32, &Device::Cpu).unwrap().reshape((1, 2, h, w)).unwrap();
            let found = places(&x, Windows { kernel, dilation, stride, count }).unwrap();
            prop_assert_eq!(found.len(), kernel[0] * kernel[1]);
            for (place, found) in found.iter().enumerate() {
                let (i, j) = (place / kernel[1] * dilation[0], place % kernel[1] * dilation[1]);
                let seen: Vec<f32> = found.flatten_all().unwrap().to_vec1().unwrap();
                let [rows, columns] = count;
                for (at, seen) in seen.into_iter().enumerate() {
                    let (channel, row, column) = (at / (rows * columns), at / columns % rows, at % columns);
                    let value = (channel * h + row * stride[0] + i) * w + column * stride[1] + j;
                    prop_assert_eq!(seen, value as f32);
                }
            }
        }
    }
}
