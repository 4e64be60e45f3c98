//! ResNet (He et al., "Deep Residual Learning for Image Recognition", 2016) as torchvision builds it: "v1.5", whose
//! bottlenecks stride in the 3x3 convolution.

use candle_core::{Module, Result as CandleResult, Tensor};

use super::part::{Backbone, ConvNorm, Emit, Form, Part};
use super::path::{infer_onto, onto};
use crate::cards::model::Architecture;
use crate::error::Result;
use crate::ops::{Activation, Conv2d, Layer, Maps};

/// A ResNet of 18, 34 or 50 layers.
pub(super) fn describe(architecture: Architecture, channels: usize, emit: Emit) -> Result<Backbone> {
    let (blocks, expansion) = match architecture {
        Architecture::Resnet50 => ([3, 4, 6, 3], 4),
        Architecture::Resnet34 => ([3, 4, 6, 3], 1),
        _ => ([2, 2, 2, 2], 1),
    };
    let mut inputs = 64;
    let form = Form::new(channels, inputs, 7).stride(2);
    let stem = ConvNorm { conv: "conv1".into(), norm: "bn1".into(), form, activation: Activation::Relu };
    emit("relu".into(), Part::ConvNorm(stem))?;
    emit("maxpool".into(), Part::MaxPool)?;
    for (i, (blocks, width)) in blocks.into_iter().zip([64, 128, 256, 512]).enumerate() {
        let outputs = width * expansion;
        for j in 0..blocks {
            let name = format!("layer{}.{j}", i + 1);
            let stride = if i > 0 && j == 0 { 2 } else { 1 };
            let forms = match expansion {
                1 => vec![Form::new(inputs, width, 3).stride(stride), Form::new(width, width, 3)],
                _ => vec![
                    Form::new(inputs, width, 1),
                    Form::new(width, width, 3).stride(stride),
                    Form::new(width, outputs, 1),
                ],
            };
            let part = residual(&name, &forms);
            emit(name, part)?;
            inputs = outputs;
        }
    }
    Ok(Backbone { before_pooling: Activation::Identity, features: inputs, smallest: 1, classifier: "fc" })
}

/// A path of convolutions of these forms, and a shortcut that fits.
fn residual(name: &str, forms: &[Form]) -> Part {
    let unit = |conv, norm, form, activation| ConvNorm {
        conv: format!("{name}.{conv}"),
        norm: format!("{name}.{norm}"),
        form,
        activation,
    };
    let path = (1..).zip(forms).map(|(i, form)| {
        let activation = if i < forms.len() { Activation::Relu } else { Activation::Identity };
        unit(format!("conv{i}"), format!("bn{i}"), *form, activation)
    });
    let stride = forms.iter().map(|f| f.stride).product();
    let (inputs, outputs) = (forms[0].inputs, forms[forms.len() - 1].outputs);
    let form = Form::new(inputs, outputs, 1).stride(stride);
    let shortcut = unit("downsample.0".into(), "downsample.1".into(), form, Activation::Identity);
    Part::Residual { path: path.collect(), shortcut: (stride > 1 || inputs != outputs).then_some(shortcut) }
}

/// A path of convolutions beside a shortcut, which is convolved where the shapes differ.
pub(super) struct Residual {
    pub path: Vec<Conv2d>,
    pub shortcut: Option<Conv2d>,
}

impl Module for Residual {
    fn forward(&self, x: &Tensor) -> CandleResult<Tensor> {
        let shortcut = self.shortcut.as_ref().map(|conv| conv.forward(x)).transpose()?;
        onto(&self.path, x, shortcut.as_ref().unwrap_or(x), Activation::Relu)
    }
}

impl Layer for Residual {
    fn infer(&self, x: &Maps) -> CandleResult<Maps> {
        let shortcut = self.shortcut.as_ref().map(|conv| conv.infer(x)).transpose()?;
        infer_onto(&self.path, x, shortcut.as_ref().unwrap_or(x), Activation::Relu)
    }
}
