//! What turns feature maps into logits, and logits into probabilities.

use candle_core::{Module, Result as CandleResult, Tensor, bail};

use super::build::Builder;
use super::graph::Segment;
use crate::cards::model::{self, HeadLayer, Output};
use crate::error::Result;
use crate::ops::{self, Activation, Linear};
use crate::weights::Tensors;

/// What is behind the feature maps.
pub(super) enum Head {
    /// Global average pooling and dense layers.
    Dense {
        before_pooling: Activation,
        layers: Vec<Linear>,
        /// Probability of dropping an output of each layer but the last, whose outputs are the logits.
        dropout: Vec<f64>,
    },
    /// The end of a graph that is run node by node, and how many labels it has.
    Graph(Segment, usize),
}

/// A dense layer of the head.
pub(super) struct Dense {
    pub name: String,
    pub inputs: usize,
    pub outputs: usize,
    pub bias: bool,
    pub activation: Activation,
    /// Part of the outputs that training drops.
    pub dropout: f64,
}

/// The `layers` of a card over `features` inputs; without any, one linear layer to the `labels`. Their names are
/// `classifier.N`, a single one's `own`, the architecture's name for it, unless `numbered`.
pub(super) fn describe(layers: &[HeadLayer], labels: usize, features: usize, own: &str, numbered: bool) -> Vec<Dense> {
    let linear = HeadLayer { units: labels, activation: None, dropout: 0.0, bias: true };
    let layers = if layers.is_empty() { std::slice::from_ref(&linear) } else { layers };
    let inputs = std::iter::once(features).chain(layers.iter().map(|layer| layer.units));
    let dense = layers.iter().zip(inputs).enumerate().map(|(i, (layer, inputs))| Dense {
        name: if numbered || layers.len() > 1 { format!("classifier.{i}") } else { own.to_string() },
        inputs,
        outputs: layer.units,
        bias: layer.bias,
        activation: match layer.activation {
            Some(model::Activation::Relu) => Activation::Relu,
            None => Activation::Identity,
        },
        dropout: layer.dropout,
    });
    dense.collect()
}

/// Whether a file names a single dense layer by number rather than by `own`, the architecture's name.
pub(super) fn is_numbered(tensors: &Tensors, own: &str) -> bool {
    tensors.contains("classifier.0.weight") && !tensors.contains(&format!("{own}.weight"))
}

impl Head {
    /// Of these layers.
    pub fn new(b: &mut Builder, layers: &[Dense], before_pooling: Activation) -> Result<Self> {
        let layer = |d: &Dense| b.linear(&d.name, d.inputs, d.outputs, d.bias, d.activation);
        let dropout = layers.iter().rev().skip(1).rev().map(|layer| layer.dropout).collect();
        Ok(Self::Dense { before_pooling, layers: layers.iter().map(layer).collect::<Result<_>>()?, dropout })
    }

    /// `[n, features, h, w]` to what is pooled, of the same shape.
    pub fn maps(&self, features: &Tensor) -> CandleResult<Tensor> {
        match self {
            Self::Dense { before_pooling, .. } => before_pooling.forward(features),
            Self::Graph(..) => Ok(features.clone()),
        }
    }

    /// Whether any unit is dropped while training.
    pub fn has_dropout(&self) -> bool {
        match self {
            Self::Dense { dropout, .. } => dropout.iter().any(|p| *p > 0.0),
            Self::Graph(..) => false,
        }
    }

    /// The logits of pooled maps as while training: units are dropped where `uniform` gives less than their probability,
    /// and the others grow by as much as is missing.
    pub fn dropped(&self, maps: &Tensor, uniform: &mut dyn FnMut() -> f64) -> CandleResult<Tensor> {
        let Self::Dense { layers, dropout, .. } = self else { return self.logits(maps) };
        let mut x = ops::global_average(maps)?;
        for (i, layer) in layers.iter().enumerate() {
            x = layer.forward(&x)?;
            if let Some(p) = dropout.get(i).filter(|p| **p > 0.0) {
                let kept = |_| if uniform() < *p { 0.0 } else { (1.0 / (1.0 - p)) as f32 };
                let mask: Vec<f32> = (0..x.elem_count()).map(kept).collect();
                x = (&x * Tensor::from_vec(mask, x.shape(), x.device())?.to_dtype(x.dtype())?)?;
            }
        }
        Ok(x)
    }

    /// Whether the maps that are pooled are not the features themselves.
    pub fn has_own_maps(&self) -> bool {
        matches!(self, Self::Dense { before_pooling, .. } if *before_pooling != Activation::Identity)
    }

    /// The maps that are pooled, `[n, features, h, w]`, to logits `[n, labels]`.
    pub fn logits(&self, maps: &Tensor) -> CandleResult<Tensor> {
        let Self::Graph(segment, labels) = self else { return self.of_means(&ops::global_average(maps)?) };
        let (n, logits) = (maps.dim(0)?, segment.forward(maps)?);
        match logits.elem_count() == n * labels {
            true => logits.reshape((n, *labels)),
            false => bail!("the graph gives {:?} for {n} images of {labels} labels", logits.dims()),
        }
    }

    /// Whether the maps count by their means alone, which [`of_means`](Self::of_means) takes.
    pub fn averages(&self) -> bool {
        matches!(self, Self::Dense { .. })
    }

    /// What comes of pooling, `[n, features]`, to logits `[n, labels]`.
    pub fn of_means(&self, means: &Tensor) -> CandleResult<Tensor> {
        match self {
            Self::Dense { layers, .. } => layers.iter().try_fold(means.clone(), |x, layer| layer.forward(&x)),
            Self::Graph(..) => bail!("the end of a graph takes maps, not their means"),
        }
    }
}

impl Module for Head {
    /// `[n, features, h, w]` to logits `[n, labels]`.
    fn forward(&self, x: &Tensor) -> CandleResult<Tensor> {
        self.logits(&self.maps(x)?)
    }
}

/// Probabilities of one image's logits, in [0, 1] and computed in double precision: the logistic function of each, or
/// the softmax over all. NaN stays NaN.
pub fn probabilities(output: Output, logits: &[f32]) -> Vec<f64> {
    let logits = logits.iter().map(|z| f64::from(*z));
    match output {
        Output::Sigmoid => logits.map(|z| 1.0 / (1.0 + (-z).exp())).collect(),
        Output::Softmax => {
            let largest = logits.clone().fold(f64::NEG_INFINITY, f64::max);
            let powers: Vec<f64> = logits.map(|z| (z - largest).exp()).collect();
            let sum: f64 = powers.iter().sum();
            powers.iter().map(|p| p / sum).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sigmoid_and_softmax() {
        assert_eq!(probabilities(Output::Sigmoid, &[0.0, -2000.0, 2000.0]), [0.5, 0.0, 1.0]);
        assert_eq!(probabilities(Output::Softmax, &[1000.0, 1000.0]), [0.5, 0.5]);
        let p = probabilities(Output::Softmax, &[2.0, 0.0]);
        assert!((p[0] - 0.880_797_077_977_882_4).abs() < 1e-15);
        assert!(probabilities(Output::Sigmoid, &[f32::NAN])[0].is_nan());
    }
}
