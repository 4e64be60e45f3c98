//! DenseNet (Huang et al., "Densely Connected Convolutional Networks", 2017) as torchvision builds it.

use candle_core::{Module, Result as CandleResult, Tensor};

use super::part::{Backbone, ConvNorm, Emit, Form, Part};
use crate::cards::model::{Architecture, Options};
use crate::error::Result;
use crate::ops::{Activation, Conv2d, Layer, Maps, ScaleShift, avg_pool_2};

/// Width of a layer's 1x1 convolution, in growths.
const BOTTLENECK: usize = 4;

/// A DenseNet; `options` override the architecture's blocks and growth. The stem makes twice the growth.
pub(super) fn describe(architecture: Architecture, options: &Options, channels: usize, emit: Emit) -> Result<Backbone> {
    let (blocks, growth) = match architecture {
        Architecture::Densenet161 => ([6, 12, 36, 24], 48),
        Architecture::Densenet169 => ([6, 12, 32, 32], 32),
        Architecture::Densenet201 => ([6, 12, 48, 32], 32),
        _ => ([6, 12, 24, 16], 32),
    };
    let blocks = options.blocks.clone().unwrap_or(blocks.to_vec());
    let growth = options.growth.unwrap_or(growth);
    let mut width = 2 * growth;
    let stem = ConvNorm {
        conv: "features.conv0".into(),
        norm: "features.norm0".into(),
        form: Form::new(channels, width, 7).stride(2),
        activation: Activation::Relu,
    };
    emit("features.relu0".into(), Part::ConvNorm(stem))?;
    emit("features.pool0".into(), Part::MaxPool)?;
    for (i, &layers) in (1..).zip(&blocks) {
        emit(format!("features.denseblock{i}"), Part::DenseBlock { layers, inputs: width, growth })?;
        width += layers * growth;
        if i < blocks.len() {
            emit(format!("features.transition{i}"), Part::Transition { channels: width })?;
            width /= 2;
        }
    }
    emit("features.norm5".into(), Part::Norm { channels: width })?;
    // Stem and pooling halve rounding up, each transition rounding down.
    let smallest = (1..blocks.len()).fold(1, |size, _| size * 2) * 4 - 3;
    Ok(Backbone { before_pooling: Activation::Relu, features: width, smallest, classifier: "classifier" })
}

/// A layer of a dense block: norm with ReLU, 1x1 convolution to four growths, 3x3 convolution to one.
pub(super) struct DenseParts {
    /// Name of the norm.
    pub norm: String,
    pub squeeze: ConvNorm,
    /// Name of the last convolution.
    pub grow: String,
    pub grow_form: Form,
}

/// The layers of the dense block `name`.
pub(super) fn layers(name: &str, layers: usize, inputs: usize, growth: usize) -> impl Iterator<Item = DenseParts> {
    let width = BOTTLENECK * growth;
    (1..=layers).map(move |j| {
        let part = |part: &str| format!("{name}.denselayer{j}.{part}");
        let form = Form::new(inputs + (j - 1) * growth, width, 1);
        DenseParts {
            norm: part("norm1"),
            squeeze: ConvNorm { conv: part("conv1"), norm: part("norm2"), form, activation: Activation::Relu },
            grow: part("conv2"),
            grow_form: Form::new(width, growth, 3),
        }
    })
}

/// Norm, 1x1 convolution to half the feature maps, half the resolution.
pub(super) struct Transition {
    pub norm: ScaleShift,
    pub conv: Conv2d,
}

impl Module for Transition {
    fn forward(&self, x: &Tensor) -> CandleResult<Tensor> {
        // torchvision pools last. Both are linear, and this order convolves a quarter of the pixels.
        self.conv.forward(&avg_pool_2(&self.norm.forward(x)?)?)
    }
}

impl Layer for Transition {
    fn infer(&self, x: &Maps) -> CandleResult<Maps> {
        self.conv.infer(&self.norm.infer_avg_pool_2(x)?)
    }
}
