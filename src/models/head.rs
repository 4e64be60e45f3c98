//! What turns feature maps into logits, and logits into probabilities.

use candle_core::{Module, Result as CandleResult, Tensor};

use super::build::Builder;
use crate::cards::model::{self, HeadLayer, Output};
use crate::error::Result;
use crate::ops::{self, Activation, Linear};

/// Global average pooling and dense layers.
pub(super) struct Head {
    before_pooling: Activation,
    layers: Vec<Linear>,
}

impl Head {
    /// The `layers` of the card over `features` inputs; without any, one linear layer to the `labels`. Their tensors are
    /// `classifier.N`, a single one's also `own`, the architecture's name for it.
    pub fn new(
        b: &mut Builder,
        layers: &[HeadLayer],
        labels: usize,
        features: usize,
        own: &str,
        before_pooling: Activation,
    ) -> Result<Self> {
        let linear = HeadLayer { units: labels, activation: None, dropout: 0.0, bias: true };
        let layers = if layers.is_empty() { std::slice::from_ref(&linear) } else { layers };
        let numbered = layers.len() > 1
            || (b.tensors.contains("classifier.0.weight") && !b.tensors.contains(&format!("{own}.weight")));
        let mut inputs = features;
        let mut dense = Vec::with_capacity(layers.len());
        for (i, layer) in layers.iter().enumerate() {
            let name = if numbered { format!("classifier.{i}") } else { own.to_string() };
            let activation = match layer.activation {
                Some(model::Activation::Relu) => Activation::Relu,
                None => Activation::Identity,
            };
            dense.push(b.linear(&name, inputs, layer.units, layer.bias, activation)?);
            inputs = layer.units;
        }
        Ok(Self { before_pooling, layers: dense })
    }

    /// What is pooled of the features of one image (`[features, h, w]`), the gradient of logit number `label` with
    /// respect to the pooled values, and all logits. Hidden layers end in a ReLU or in nothing, so the gradient passes
    /// wherever their output is above 0 or the layer is plain.
    pub fn gradient(&self, features: &Tensor, label: usize) -> CandleResult<(Tensor, Vec<f32>, Vec<f32>)> {
        let maps = self.before_pooling.forward(features)?;
        let mut outputs = vec![ops::global_average(&maps)?];
        for layer in &self.layers {
            outputs.push(layer.forward(&outputs[outputs.len() - 1])?);
        }
        let logits = outputs[self.layers.len()].flatten_all()?.to_vec1::<f32>()?;
        let mut gradient = Tensor::zeros((1, logits.len()), features.dtype(), features.device())?;
        let one = Tensor::ones((1, 1), features.dtype(), features.device())?;
        gradient = gradient.slice_assign(&[0..1, label..label + 1], &one)?;
        for (i, layer) in self.layers.iter().enumerate().rev() {
            if layer.is_rectified() {
                gradient = (gradient * outputs[i + 1].gt(0.0f32)?.to_dtype(features.dtype())?)?;
            }
            gradient = gradient.matmul(&layer.weight()?)?;
        }
        Ok((maps.squeeze(0)?, gradient.flatten_all()?.to_vec1()?, logits))
    }
}

impl Module for Head {
    /// `[n, features, h, w]` to logits `[n, labels]`.
    fn forward(&self, x: &Tensor) -> CandleResult<Tensor> {
        let pooled = ops::global_average(&self.before_pooling.forward(x)?)?;
        self.layers.iter().try_fold(pooled, |x, layer| layer.forward(&x))
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
