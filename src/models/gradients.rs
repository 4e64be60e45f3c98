//! Gradients of logits, by Candle's autograd: with respect to a layer's maps, and to the input.

use candle_core::{Device, Tensor, Var};
use rayon::prelude::*;

use super::build::fault;
use super::model::through;
use super::{Layer, Model};
use crate::error::{Error, Result};
use crate::ops::DenseBlock;

/// A layer's maps of one image, and what the logits are to them.
pub struct LayerGradients {
    /// `[channels, height, width]` of the maps.
    pub shape: (usize, usize, usize),
    /// The maps, channel by channel, row by row.
    pub maps: Vec<f32>,
    /// For each label that was asked for, the gradient of its logit with respect to the maps.
    pub gradients: Vec<Vec<f32>>,
    /// All logits.
    pub logits: Vec<f32>,
}

impl Model {
    /// The maps of `layer` for one image `[1, channels, h, w]`, and the gradients of the logits number `labels` with
    /// respect to them. What is before the layer runs forward once; what is behind it once forward, and once backward a
    /// label. A label that is not there is an error.
    pub fn layer_gradients(&self, x: &Tensor, layer: &Layer, labels: &[usize]) -> Result<LayerGradients> {
        if self.check(x)? != 1 {
            return Err(Error::new("maps are made for one image at a time"));
        }
        // Inside the pool, so that its ops find the threads awake.
        rayon::scope(|_| self.cut(x, layer, labels))
    }

    fn cut(&self, x: &Tensor, layer: &Layer, labels: &[usize]) -> Result<LayerGradients> {
        let x = x.to_device(&self.device).and_then(|x| x.contiguous()).map_err(fault)?;
        let (before, after) = self.stages.split_at(layer.stages.min(self.stages.len()));
        let x = through(before, &x)?;
        let (maps, pooled, var) = match (layer.inside, after.split_first()) {
            (Some(inside), Some((stage, after))) => {
                let block = stage.block.as_ref().map(|b| b.0.as_slice()).unwrap_or_default();
                let (first, second) = block.split_at(inside.min(block.len()));
                let var = variable(&run(&DenseBlock(first.to_vec()), &x)?)?;
                let features = through(after, &run(&DenseBlock(second.to_vec()), &var)?)?;
                (var.as_detached_tensor(), self.head.maps(&features).map_err(fault)?, var)
            }
            _ if layer.pooled => {
                let var = variable(&self.head.maps(&x).map_err(fault)?)?;
                (var.as_detached_tensor(), var.as_tensor().clone(), var)
            }
            _ => {
                let var = variable(&x)?;
                let pooled = self.head.maps(&through(after, &var)?).map_err(fault)?;
                // torchvision's last ReLU of a DenseNet works in place: hooks on the last layer see the maps behind it
                // and the gradient before it. Elsewhere the last maps are what is pooled.
                (if after.is_empty() { pooled.detach() } else { var.as_detached_tensor() }, pooled, var)
            }
        };
        let logits = self.head.logits(&pooled).map_err(fault)?;
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

    /// The gradient of logit number `label` with respect to each of the images `[n, channels, h, w]`, of their shape, and
    /// their logits `[n, labels]`. On the CPU each image's is computed on its own, on as many threads as there are.
    pub fn input_gradients(&self, x: &Tensor, label: usize) -> Result<(Tensor, Tensor)> {
        let n = self.check(x)?;
        let x = x.to_device(&self.device).and_then(|x| x.contiguous()).map_err(fault)?;
        let of = |x: &Tensor| -> Result<(Tensor, Tensor)> {
            let var = variable(x)?;
            let features = through(&self.stages, &var)?;
            let logits = self.head.maps(&features).and_then(|maps| self.head.logits(&maps)).map_err(fault)?;
            Ok((gradient(&logits, label, &var)?, logits.detach()))
        };
        if !self.device.is_cpu() {
            return of(&x);
        }
        let one = |i| of(&x.narrow(0, i, 1).map_err(fault)?);
        let parts = rayon::scope(|_| (0..n).into_par_iter().map(one).collect::<Result<Vec<_>>>())?;
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

/// The gradient of logit number `label`, summed over the images, with respect to `var`.
fn gradient(logits: &Tensor, label: usize, var: &Var) -> Result<Tensor> {
    let count = logits.dim(1).map_err(fault)?;
    if label >= count {
        return Err(Error::usage(format!("label number {label} of a model with {count}")));
    }
    let gradients =
        logits.narrow(1, label, 1).and_then(|logit| logit.sum_all()).and_then(|sum| sum.backward()).map_err(fault)?;
    match gradients.get(var) {
        Some(gradient) => gradient.contiguous().map_err(fault),
        None => var.zeros_like().map_err(fault),
    }
}

fn flat(x: &Tensor) -> Result<Vec<f32>> {
    x.to_device(&Device::Cpu).and_then(|x| x.flatten_all()).and_then(|x| x.to_vec1()).map_err(fault)
}
