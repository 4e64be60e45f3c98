//! ResNet (He et al., "Deep Residual Learning for Image Recognition", 2016) as torchvision builds it: "v1.5", whose
//! bottlenecks stride in the 3x3 convolution.

use candle_core::{Module, Result as CandleResult, Tensor};

use super::build::{Builder, Form, Stage, infer_onto, onto};
use super::model::Backbone;
use crate::cards::model::Architecture;
use crate::error::Result;
use crate::ops::{Activation, Conv2d, Layer, Maps, MaxPool};

/// A ResNet of 18, 34 or 50 layers.
pub(super) fn build(b: &mut Builder, architecture: Architecture, channels: usize) -> Result<Backbone> {
    let (blocks, expansion) = match architecture {
        Architecture::Resnet50 => ([3, 4, 6, 3], 4),
        Architecture::Resnet34 => ([3, 4, 6, 3], 1),
        _ => ([2, 2, 2, 2], 1),
    };
    let mut inputs = 64;
    let stem = Form::new(channels, inputs, 7).stride(2);
    let mut stages =
        vec![Stage::new("relu", b.conv_norm("conv1", "bn1", stem, Activation::Relu)?), Stage::new("maxpool", MaxPool)];
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
            stages.push(Stage::new(&name, Residual::new(b, &name, &forms)?));
            inputs = outputs;
        }
    }
    Ok(Backbone { stages, before_pooling: Activation::Identity, features: inputs, smallest: 1, classifier: "fc" })
}

/// A path of convolutions beside a shortcut, which is convolved where the shapes differ.
struct Residual {
    path: Vec<Conv2d>,
    shortcut: Option<Conv2d>,
}

impl Residual {
    fn new(b: &mut Builder, name: &str, forms: &[Form]) -> Result<Self> {
        let mut path = Vec::with_capacity(forms.len());
        for (i, form) in (1..).zip(forms) {
            let activation = if i < forms.len() { Activation::Relu } else { Activation::Identity };
            path.push(b.conv_norm(&format!("{name}.conv{i}"), &format!("{name}.bn{i}"), *form, activation)?);
        }
        let stride = forms.iter().map(|f| f.stride).product();
        let (inputs, outputs) = (forms[0].inputs, forms[forms.len() - 1].outputs);
        let shortcut = if stride > 1 || inputs != outputs {
            let (conv, norm) = (format!("{name}.downsample.0"), format!("{name}.downsample.1"));
            let form = Form::new(inputs, outputs, 1).stride(stride);
            Some(b.conv_norm(&conv, &norm, form, Activation::Identity)?)
        } else {
            None
        };
        Ok(Self { path, shortcut })
    }
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
