//! DenseNet (Huang et al., "Densely Connected Convolutional Networks", 2017) as torchvision builds it.

use candle_core::{Module, Result as CandleResult, Tensor};

use super::build::{Builder, Form, Stage};
use super::model::Backbone;
use crate::cards::model::{Architecture, Options};
use crate::error::Result;
use crate::ops::{Activation, Conv2d, DenseBlock, DenseLayer, Layer, Maps, MaxPool, ScaleShift, avg_pool_2};

/// Width of a layer's 1x1 convolution, in growths.
const BOTTLENECK: usize = 4;

/// A DenseNet; `options` override the architecture's blocks and growth. The stem makes twice the growth.
pub(super) fn build(
    b: &mut Builder,
    architecture: Architecture,
    options: &Options,
    channels: usize,
) -> Result<Backbone> {
    let (blocks, growth) = match architecture {
        Architecture::Densenet161 => ([6, 12, 36, 24], 48),
        Architecture::Densenet169 => ([6, 12, 32, 32], 32),
        Architecture::Densenet201 => ([6, 12, 48, 32], 32),
        _ => ([6, 12, 24, 16], 32),
    };
    let blocks = options.blocks.clone().unwrap_or(blocks.to_vec());
    let growth = options.growth.unwrap_or(growth);
    let mut width = 2 * growth;
    let stem = Form::new(channels, width, 7).stride(2);
    let mut stages = vec![
        Stage::new("features.relu0", b.conv_norm("features.conv0", "features.norm0", stem, Activation::Relu)?),
        Stage::new("features.pool0", MaxPool),
    ];
    for (i, layers) in (1..).zip(&blocks) {
        let name = format!("features.denseblock{i}");
        let block = (1..=*layers)
            .map(|j| layer(b, &format!("{name}.denselayer{j}"), width + (j - 1) * growth, growth))
            .collect::<Result<_>>()?;
        stages.push(Stage::dense(name, DenseBlock(block)));
        width += layers * growth;
        if i < blocks.len() {
            let name = format!("features.transition{i}");
            let transition = Transition {
                norm: b.norm(&format!("{name}.norm"), width, Activation::Relu)?,
                conv: b.conv(&format!("{name}.conv"), Form::new(width, width / 2, 1))?,
            };
            stages.push(Stage::new(name, transition));
            width /= 2;
        }
    }
    stages.push(Stage::new("features.norm5", b.norm("features.norm5", width, Activation::Identity)?));
    // Stem and pooling halve rounding up, each transition rounding down.
    let smallest = (1..blocks.len()).fold(1, |size, _| size * 2) * 4 - 3;
    Ok(Backbone { stages, before_pooling: Activation::Relu, features: width, smallest, classifier: "classifier" })
}

/// Norm, 1x1 convolution to four growths, 3x3 convolution to one.
fn layer(b: &mut Builder, name: &str, inputs: usize, growth: usize) -> Result<DenseLayer> {
    let [norm1, conv1, norm2, conv2] = ["norm1", "conv1", "norm2", "conv2"].map(|part| format!("{name}.{part}"));
    let width = BOTTLENECK * growth;
    Ok(DenseLayer {
        norm: b.norm(&norm1, inputs, Activation::Relu)?,
        squeeze: b.conv_norm(&conv1, &norm2, Form::new(inputs, width, 1), Activation::Relu)?,
        grow: b.conv(&conv2, Form::new(width, growth, 3))?,
    })
}

/// Norm, 1x1 convolution to half the feature maps, half the resolution.
struct Transition {
    norm: ScaleShift,
    conv: Conv2d,
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
