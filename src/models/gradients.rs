//! Gradients of logits, by Candle's autograd: with respect to a layer's maps, and to the input.

use candle_core::{DType, Device, Tensor, Var};
use rayon::prelude::*;

use super::build::fault;
use super::model::through;
use super::{Layer, Model};
use crate::error::{Error, Result};
use crate::ops::{self, DenseBlock, awake};

/// A layer's maps of one image, and what the logits are to them.
pub struct LayerGradients {
    /// `[channels, height, width]` of the maps.
    pub shape: (usize, usize, usize),
    /// The maps, channel by channel, row by row.
    pub maps: Vec<f32>,
    /// For each label that was asked for, the gradient of its logit with respect to the maps: a value for every place, or
    /// one a channel where pooling makes those of all places the same.
    pub gradients: Vec<Vec<f32>>,
    /// All logits.
    pub logits: Vec<f32>,
}

impl Model {
    /// The maps of `layer` for one image `[1, channels, h, w]`, and the gradients of the logits number `labels` with
    /// respect to them. What is before the layer runs forward once; what is behind it once forward, and once backward a
    /// label, or once for all labels behind the maps that are pooled. A label that is not there is an error.
    pub fn layer_gradients(&self, x: &Tensor, layer: &Layer, labels: &[usize]) -> Result<LayerGradients> {
        if self.check(x)? != 1 {
            return Err(Error::new("maps are made for one image at a time"));
        }
        awake(|| self.cut(x, layer, labels))
    }

    fn cut(&self, x: &Tensor, layer: &Layer, labels: &[usize]) -> Result<LayerGradients> {
        let x = self.taken(x)?;
        let (before, after) = self.stages.split_at(layer.stages.min(self.stages.len()));
        let x = through(before, &x)?;
        let last = layer.pooled || (after.is_empty() && !self.head.has_own_maps());
        if last && self.head.averages() {
            return self.at_pooling(&self.head.maps(&x).map_err(fault)?, labels);
        }
        let (maps, pooled, var) = match (layer.inside, after.split_first()) {
            (Some(inside), Some((stage, after))) => {
                let block = stage.block.as_ref().map(|b| b.0.as_slice()).unwrap_or_default();
                let (first, second) = block.split_at(inside.min(block.len()));
                let var = variable(&run(&DenseBlock(first.to_vec()), &x)?)?;
                let features = through(after, &run(&DenseBlock(second.to_vec()), &var)?)?;
                (var.as_detached_tensor(), self.head.maps(&features).map_err(fault)?, var)
            }
            _ => {
                let var = variable(&x)?;
                let pooled = self.head.maps(&through(after, &var)?).map_err(fault)?;
                // torchvision's last ReLU of a DenseNet works in place: hooks on the last layer see the maps behind it
                // and the gradient before it.
                (if after.is_empty() { pooled.detach() } else { var.as_detached_tensor() }, pooled, var)
            }
        };
        let logits = self.head.logits(&pooled).map_err(fault)?;
        known(&logits, labels)?;
        let gradients = labels.par_iter().map(|label| gradient(&logits, *label, &var)).collect::<Result<Vec<_>>>()?;
        let (_, channels, height, width) = var.dims4().map_err(fault)?;
        // The layers of a dense block add the last maps to those before them.
        let first = layer.newest.map_or(0, |newest| channels.saturating_sub(newest)) * height * width;
        let of = |x: &Tensor| flat(x).map(|values| values[first..].to_vec());
        Ok(LayerGradients {
            shape: (layer.newest.unwrap_or(channels), height, width),
            maps: of(&maps)?,
            gradients: gradients.iter().map(of).collect::<Result<_>>()?,
            logits: flat(&logits)?,
        })
    }

    /// The same at `maps` that are pooled, from the gradients with respect to their means. Each label has a row of its own
    /// in one batch of these, so that one pass back gives all.
    fn at_pooling(&self, maps: &Tensor, labels: &[usize]) -> Result<LayerGradients> {
        let (_, channels, height, width) = maps.dims4().map_err(fault)?;
        let means = ops::global_average(maps).map_err(fault)?;
        let logits = self.head.of_means(&means).map_err(fault)?;
        known(&logits, labels)?;
        let rows = || -> candle_core::Result<Vec<Vec<f32>>> {
            let means = Var::from_tensor(&means.repeat((labels.len(), 1))?)?;
            let numbers: Vec<u32> = labels.iter().map(|label| *label as u32).collect();
            let numbers = Tensor::from_vec(numbers, (labels.len(), 1), &self.device)?;
            let gradients = self.head.of_means(&means)?.gather(&numbers, 1)?.sum_all()?.backward()?;
            let gradient = gradients.get(&means).map_or_else(|| means.zeros_like(), |g| Ok(g.clone()))?;
            (gradient.to_dtype(DType::F32)? / (height * width) as f64)?.to_vec2()
        };
        Ok(LayerGradients {
            shape: (channels, height, width),
            maps: flat(maps)?,
            gradients: if labels.is_empty() { Vec::new() } else { rows().map_err(fault)? },
            logits: flat(&logits)?,
        })
    }

    /// The gradient of logit number `label` with respect to each of the images `[n, channels, h, w]`, of their shape, and
    /// their logits `[n, labels]`. On the CPU each image's is computed on its own, on as many threads as there are.
    pub fn input_gradients(&self, x: &Tensor, label: usize) -> Result<(Tensor, Tensor)> {
        let n = self.check(x)?;
        let x = self.taken(x)?;
        let of = |x: &Tensor| -> Result<(Tensor, Tensor)> {
            let var = variable(x)?;
            let features = through(&self.stages, &var)?;
            let logits = self.head.maps(&features).and_then(|maps| self.head.logits(&maps)).map_err(fault)?;
            known(&logits, &[label])?;
            let single = |x: Tensor| x.to_dtype(DType::F32).map_err(fault);
            Ok((single(gradient(&logits, label, &var)?)?, single(logits.detach())?))
        };
        if !self.device.is_cpu() {
            return of(&x);
        }
        let one = |i| of(&x.narrow(0, i, 1).map_err(fault)?);
        let parts = awake(|| (0..n).into_par_iter().map(one).collect::<Result<Vec<_>>>())?;
        let (gradients, logits): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        Ok((Tensor::cat(&gradients, 0).map_err(fault)?, Tensor::cat(&logits, 0).map_err(fault)?))
    }
}

fn run(block: &DenseBlock, x: &Tensor) -> Result<Tensor> {
    candle_core::Module::forward(block, x).map_err(fault)
}

fn variable(x: &Tensor) -> Result<Var> {
    Var::from_tensor(&x.detach()).map_err(fault)
}

/// Refuses labels that the `logits` `[n, labels]` do not have.
fn known(logits: &Tensor, labels: &[usize]) -> Result<()> {
    let count = logits.dim(1).map_err(fault)?;
    match labels.iter().find(|label| **label >= count) {
        Some(label) => Err(Error::usage(format!("label number {label} of a model with {count}"))),
        None => Ok(()),
    }
}

/// The gradient of logit number `label`, summed over the images, with respect to `var`.
fn gradient(logits: &Tensor, label: usize, var: &Var) -> Result<Tensor> {
    let gradients =
        logits.narrow(1, label, 1).and_then(|logit| logit.sum_all()).and_then(|sum| sum.backward()).map_err(fault)?;
    match gradients.get(var) {
        Some(gradient) => gradient.contiguous().map_err(fault),
        None => var.zeros_like().map_err(fault),
    }
}

fn flat(x: &Tensor) -> Result<Vec<f32>> {
    x.to_device(&Device::Cpu).and_then(|x| x.to_dtype(DType::F32)?.flatten_all()?.to_vec1()).map_err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::model::ModelCard;
    use crate::models::{build, initial};

    #[test]
    fn behind_pooling_every_place_has_the_gradient_of_the_mean() {
        let linear = "[options]\nwidth = 0.1\n";
        let two = "[options]\nwidth = 0.1\n[[head]]\nunits = 16\nactivation = \"relu\"\n[[head]]\nunits = 3\n";
        let dense = "[options]\nblocks = [1, 1, 1, 1]\ngrowth = 4\n";
        for (architecture, options) in [("mobilenet_v2", linear), ("mobilenet_v2", two), ("densenet121", dense)] {
            let text = format!(
                "schema = \"roentgen/model/1\"\nname = \"m\"\narchitecture = \"{architecture}\"\n\
                 labels = [\"a\", \"b\", \"c\"]\noutput = \"sigmoid\"\nlicence = \"MIT\"\n{options}\
                 [weights]\npath = \"m\"\n[input]\nchannels = 1\nsteps = []\n"
            );
            let card = ModelCard::parse(&text, "card").unwrap();
            let model = build(&card, initial(&card, 1).unwrap(), &Device::Cpu).unwrap();
            let values = (0..96 * 64).map(|i| (i * i % 251) as f32 / 125.0 - 1.0).collect();
            let x = Tensor::from_vec(values, (1, 1, 96, 64), &Device::Cpu).unwrap();
            let found = model.layer_gradients(&x, &model.layer(None).unwrap(), &[2, 0, 2]).unwrap();
            let maps = model.head.maps(&model.features(&x).unwrap()).unwrap();
            let (var, places) = (variable(&maps).unwrap(), found.shape.1 * found.shape.2);
            assert_eq!(found.maps, flat(&maps).unwrap());
            assert!(places > 1);
            let logits = model.head.logits(&var).unwrap();
            assert_eq!(found.logits, flat(&logits).unwrap());
            for (label, ours) in [2, 0, 2].into_iter().zip(&found.gradients) {
                let whole = flat(&gradient(&logits, label, &var).unwrap()).unwrap();
                assert!(whole.iter().any(|g| *g != 0.0));
                for (channel, ours) in whole.chunks_exact(places).zip(ours) {
                    assert!(channel.iter().all(|g| (g - ours).abs() <= 1e-6 * g.abs()), "{channel:?} {ours}");
                }
            }
            assert!(model.layer_gradients(&x, &model.layer(None).unwrap(), &[]).unwrap().gradients.is_empty());
            assert!(model.layer_gradients(&x, &model.layer(None).unwrap(), &[3]).is_err());
        }
    }
}
