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
    let ours = ours && window.pads == Pads::Fixed([1; 4]) && !window.ceil;
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
    let bare = window.pads == Pads::Fixed([0; 4]);
    if window.ceil && !bare && node.int("count_include_pad", 0) != 0 {
        return Err(error::Error::new("`ceil_mode` with `count_include_pad` is not run here"));
    }
    // What a last window has beyond the image never counts.
    let counted = !window.ceil && (bare || node.int("count_include_pad", 0) != 0);
    let half = (window.kernel, window.stride, window.dilation) == ([2, 2], [2, 2], [1, 1]);
    let half = half && bare && !window.ceil;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Attribute;
    use candle_core::Device;

    fn pooled(op: &str, sizes: [i64; 4], x: &Tensor) -> (Vec<usize>, Vec<f32>) {
        let [kernel, stride, pad, dilation] = sizes;
        let ints = |name: &str, values: Vec<i64>| (name.to_owned(), Attribute::Ints(values));
        let attributes = [
            ints("kernel_shape", vec![kernel; 2]),
            ints("strides", vec![stride; 2]),
            ints("pads", vec![pad; 4]),
            ints("dilations", vec![dilation; 2]),
            ("ceil_mode".to_owned(), Attribute::Int(1)),
        ];
        let (inputs, outputs) = (vec!["x".to_owned()], vec!["y".to_owned()]);
        let node = Node { op: op.into(), name: "pool".into(), inputs, outputs, attributes: attributes.into() };
        let run = if op == "MaxPool" { max(&node) } else { average(&node) };
        let y = run.unwrap()(&[Some(x.clone())]).unwrap().remove(0);
        (y.dims()[2..].to_vec(), y.flatten_all().unwrap().to_vec1().unwrap())
    }

    /// PyTorch 2.15's `max_pool2d` and `avg_pool2d` (`count_include_pad=False`) with `ceil_mode=True`.
    #[test]
    fn last_windows_that_reach_beyond_the_image_are_pytorchs() {
        let values: Vec<_> = (0..30).map(|i| ((i * 7) % 11) as f32 - 5.0).collect();
        let x = Tensor::from_vec(values, (1, 1, 5, 6), &Device::Cpu).unwrap();
        let maxima: [([i64; 4], [usize; 2], &[f32]); 4] = [
            ([3, 2, 0, 1], [2, 3], &[5., 5., 4., 5., 5., 4.]),
            ([3, 2, 1, 1], [3, 4], &[4., 5., 5., -3., 4., 5., 4., 4., 5., 5., 4., 2.]),
            ([2, 3, 0, 1], [2, 2], &[4., 5., 5., 4.]),
            ([2, 2, 0, 2], [2, 3], &[5., 5., 1., 5., 5., 4.]),
        ];
        for (sizes, shape, expected) in maxima {
            assert_eq!(pooled("MaxPool", sizes, &x), (shape.to_vec(), expected.to_vec()), "{sizes:?}");
        }
        let means: [([i64; 4], [usize; 2], &[f32]); 2] = [
            ([2, 2, 0, 1], [3, 3], &[0.25, 0.5, -2.0, -1.0, 2.0, -0.5, 1.5, -1.0, 2.0]),
            (
                [3, 2, 1, 1],
                [3, 4],
                &[0.25, 0.66667, 0.0, -4.0, 0.0, 0.11111, -0.55556, 0.33333, -0.25, 0.16667, -0.5, 1.0],
            ),
        ];
        for (sizes, shape, expected) in means {
            let (found, values) = pooled("AveragePool", sizes, &x);
            assert_eq!(found, shape, "{sizes:?}");
            assert!(values.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{sizes:?}: {values:?}");
        }
    }
}
