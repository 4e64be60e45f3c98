//! Pooling of any window, with gradients: Candle's own has none for windows that overlap, and wrong ones for maxima.

use candle_core::{Result, Tensor, bail};

use super::segment::Run;
use super::window::{Pads, Window};
use crate::error;
use crate::ops;
use crate::weights::Node;

/// Places of a window whose gradients are kept.
const PLACES: usize = 1 << 10;

fn window(node: &Node) -> error::Result<Window> {
    let kernel = node.ints("kernel_shape").and_then(|k| <[i64; 2]>::try_from(k).ok());
    let kernel = kernel.map(|k| k.map(|size| usize::try_from(size).unwrap_or(0)));
    let window = Window::of(node, kernel.ok_or_else(|| error::Error::new("has no kernel of two sizes"))?)?;
    let outside = |pads: [usize; 4]| (0..4).any(|i| pads[i] >= window.kernel[i % 2]);
    match window.pads {
        Pads::Fixed(pads) if outside(pads) => Err(error::Error::new("has windows wholly outside of the image")),
        _ => Ok(window),
    }
}

fn places(window: &Window, padded: &Tensor, sizes: [usize; 2]) -> Result<Vec<Tensor>> {
    if window.kernel[0] * window.kernel[1] > PLACES {
        bail!("a window of {:?}", window.kernel);
    }
    window.places(padded, sizes)
}

/// The largest value of each window.
pub(super) fn max(node: &Node) -> error::Result<Run> {
    let window = window(node)?;
    let ours = (window.kernel, window.stride, window.dilation) == ([3, 3], [2, 2], [1, 1]);
    let ours = ours && window.pads == Pads::Fixed([1; 4]);
    Ok(super::inputs::one(move |x| {
        if ours {
            return ops::max_pool_3(&x.contiguous()?);
        }
        let sizes = window.output(x)?;
        let padded = window.padded(x, f32::NEG_INFINITY)?;
        if !x.track_op() && window.dilation == [1, 1] {
            let [kernel, stride] = [window.kernel, window.stride].map(|[a, b]| (a, b));
            return padded.max_pool2d_with_stride(kernel, stride);
        }
        ops::largest(&places(&window, &padded, sizes)?)
    }))
}

/// The mean of each window; what is around the image counts only if the node says so.
pub(super) fn average(node: &Node) -> error::Result<Run> {
    let window = window(node)?;
    let counted = node.int("count_include_pad", 0) != 0 || window.pads == Pads::Fixed([0; 4]);
    let half = (window.kernel, window.stride, window.dilation) == ([2, 2], [2, 2], [1, 1]);
    let half = half && window.pads == Pads::Fixed([0; 4]);
    Ok(super::inputs::one(move |x| {
        if half {
            return ops::avg_pool_2(&x.contiguous()?);
        }
        let sizes = window.output(x)?;
        let (n, c, h, w) = x.dims4()?;
        if window.kernel == [h, w] && sizes == [1, 1] {
            return ops::global_average(&x.contiguous()?)?.reshape((n, c, 1, 1));
        }
        let sum = |x: &Tensor| {
            let mut places = places(&window, &window.padded(x, 0.0)?, sizes)?.into_iter();
            let Some(first) = places.next() else { bail!("an empty window") };
            places.try_fold(first, |sum, place| sum + place)
        };
        match counted {
            true => sum(x)? / (window.kernel[0] * window.kernel[1]) as f64,
            false => sum(x)? / sum(&x.ones_like()?)?,
        }
    }))
}
