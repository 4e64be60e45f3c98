//! MobileNetV2 (Sandler et al., "Inverted Residuals and Linear Bottlenecks", 2018) as torchvision and Keras build it.

use candle_core::{Module, Result as CandleResult, Tensor};

use super::part::{Backbone, ConvNorm, Emit, Form, Part};
use super::path::onto;
use crate::cards::model::{Options, Padding};
use crate::error::Result;
use crate::ops::{self, Activation, Conv2d, Layer, Maps};

/// Expansion, channels at width 1, blocks and first stride of each group of blocks (the paper's table 2).
const GROUPS: [(usize, f64, usize, usize); 7] = [
    (1, 16.0, 1, 1),
    (6, 24.0, 2, 2),
    (6, 32.0, 3, 2),
    (6, 64.0, 4, 2),
    (6, 96.0, 3, 1),
    (6, 160.0, 3, 2),
    (6, 320.0, 1, 1),
];

/// A MobileNetV2. The last convolution has 1280 channels at width 1 and below, in both libraries.
pub(super) fn describe(options: &Options, channels: usize, emit: Emit) -> Result<Backbone> {
    let width = options.width.unwrap_or(1.0);
    let keras = options.padding == Some(Padding::Keras);
    // Keras cuts the fraction off before it rounds, which matters at odd widths.
    let scaled = |channels: f64| divisible(if keras { (channels * width).trunc() } else { channels * width });
    let form = |inputs, outputs, kernel, stride| {
        let form = Form::new(inputs, outputs, kernel).stride(stride);
        if keras { Form { padding: ops::Padding::Same, ..form } } else { form }
    };
    let mut inputs = divisible(32.0 * width);
    let stem = unit("features.0", 0, 1, form(channels, inputs, 3, 2), Activation::Relu6);
    emit("features.0".into(), Part::ConvNorm(stem))?;
    let mut number = 1;
    for (expansion, channels, blocks, first_stride) in GROUPS {
        let outputs = scaled(channels);
        for i in 0..blocks {
            let name = format!("features.{number}");
            let stride = if i == 0 { first_stride } else { 1 };
            let hidden = inputs * expansion;
            let depthwise = Form { groups: hidden, ..form(hidden, hidden, 3, stride) };
            let wide = if expansion > 1 { vec![form(inputs, hidden, 1, 1), depthwise] } else { vec![depthwise] };
            let mut path: Vec<_> = wide
                .into_iter()
                .enumerate()
                .map(|(part, form)| unit(&format!("{name}.conv.{part}"), 0, 1, form, Activation::Relu6))
                .collect();
            let last = path.len();
            let narrow = form(hidden, outputs, 1, 1);
            path.push(unit(&format!("{name}.conv"), last, last + 1, narrow, Activation::Identity));
            emit(name, Part::InvertedResidual { path, residual: stride == 1 && inputs == outputs })?;
            (inputs, number) = (outputs, number + 1);
        }
    }
    let features = divisible(1280.0 * width.max(1.0));
    let name = format!("features.{number}");
    let last = unit(&name, 0, 1, form(inputs, features, 1, 1), Activation::Relu6);
    emit(name, Part::ConvNorm(last))?;
    Ok(Backbone { before_pooling: Activation::Identity, features, smallest: 1, classifier: "classifier.1" })
}

/// A convolution and its norm, by their numbers in the module `name`.
fn unit(name: &str, conv: usize, norm: usize, form: Form, activation: Activation) -> ConvNorm {
    ConvNorm { conv: format!("{name}.{conv}"), norm: format!("{name}.{norm}"), form, activation }
}

/// The nearest multiple of 8, at least 8 and not more than a tenth below `channels`.
fn divisible(channels: f64) -> usize {
    let nearest = (((channels + 4.0) / 8.0).floor() * 8.0).max(8.0);
    (if nearest < 0.9 * channels { nearest + 8.0 } else { nearest }) as usize
}

/// 1x1 convolution to more channels, depthwise 3x3, 1x1 to few, and the input again where the shapes agree.
pub(super) struct InvertedResidual {
    pub path: Vec<Conv2d>,
    pub residual: bool,
}

impl Module for InvertedResidual {
    fn forward(&self, x: &Tensor) -> CandleResult<Tensor> {
        match self.residual {
            true => onto(&self.path, x, x, Activation::Identity),
            false => self.path.iter().try_fold(x.clone(), |y, conv| conv.forward(&y)),
        }
    }
}

impl Layer for InvertedResidual {
    fn infer(&self, x: &Maps) -> CandleResult<Maps> {
        let wide = match &self.path[..] {
            [expand, depthwise, _] => expand.infer_expanded(depthwise, x)?,
            [depthwise, ..] => depthwise.infer(x)?,
            [] => candle_core::bail!("a path without convolutions"),
        };
        self.path[self.path.len() - 1].infer_onto(&wide, self.residual.then_some(x), Activation::Identity)
    }
}

#[cfg(test)]
mod tests {
    use super::divisible;

    #[test]
    fn channels_are_rounded_as_the_libraries_do() {
        // torchvision's `_make_divisible(v, 8)`.
        for (channels, rounded) in [(1.0, 8), (11.2, 16), (11.9, 16), (12.0, 16), (5.6, 8), (33.6, 32), (17.92, 24)] {
            assert_eq!(divisible(channels), rounded, "{channels}");
        }
    }
}
