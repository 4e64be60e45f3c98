//! A network in training.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};

use super::build::fault;
use super::densenet;
use super::head::{self, Dense};
use super::part::{Backbone, ConvNorm, Form, Holder, Part};
use super::registry;
use crate::cards::model::ModelCard;
use crate::error::{Error, Result};
use crate::ops::{self, Activation, BatchNorm, DenseLayerTraining, Node, Tape};
use crate::rng::Rng;
use crate::weights::Tensors;

/// A network whose weights change: batch norms use the batch's own moments and remember them, and the head drops out.
/// For inference, [`build`](super::build) a model of its [`tensors`](Self::tensors).
pub struct Network {
    parts: Vec<(String, Part)>,
    head: Vec<Dense>,
    backbone: Backbone,
    channels: usize,
    eps: f64,
    /// By torchvision's names, f32.
    vars: BTreeMap<String, Var>,
    device: Device,
    /// What products are computed in, where steps are composed of Candle's ops.
    composed: Option<DType>,
}

/// A forward pass of a batch, which can go back once.
pub struct Pass {
    logits: Var,
    node: Node,
    tape: Tape,
}

impl Pass {
    /// `[n, labels]`: what a loss is computed from.
    pub fn logits(&self) -> &Tensor {
        self.logits.as_tensor()
    }

    /// The gradients of all parameters of the network for a loss that was computed from the logits.
    pub fn backward(self, loss: &Tensor) -> Result<GradStore> {
        let mut grads = loss.backward().map_err(fault)?;
        let Some(grad) = grads.remove(&self.logits) else {
            return Err(Error::new("the loss does not depend on the logits"));
        };
        self.tape.backward(self.node, &grad, &mut grads).map_err(fault)?;
        Ok(grads)
    }
}

impl Network {
    /// The card's network with these weights, in f32 on the CPU. Tensors that are missing, left over or of the wrong shape
    /// are one error that lists them.
    pub fn new(card: &ModelCard, weights: Tensors) -> Result<Self> {
        Self::with(card, weights, Device::Cpu, None)
    }

    /// The same on any device, with the products of convolutions and dense layers in `precision`: f32, f16 or bf16.
    /// Weights, norms and logits are f32 whatever it is. On the CPU it is much slower than [`new`](Self::new).
    pub fn composed(card: &ModelCard, weights: Tensors, device: &Device, precision: DType) -> Result<Self> {
        Self::with(card, weights, device.clone(), Some(precision))
    }

    fn with(card: &ModelCard, mut weights: Tensors, device: Device, composed: Option<DType>) -> Result<Self> {
        let card = &registry::recognised(card, &weights)?;
        let mut vars = BTreeMap::new();
        let mut take = |name: String, shape: &[usize], weights: &mut Tensors| -> Result<()> {
            let values = weights.take(&name, shape)?;
            vars.insert(name, Var::from_vec(values, shape, &device).map_err(fault)?);
            Ok(())
        };
        let mut parts = Vec::new();
        let backbone = registry::describe(card, &mut |name, part| {
            part.holders(&name, &mut |holder| match holder {
                Holder::Conv(name, form) => take(format!("{name}.weight"), &form.shape(), &mut weights),
                Holder::Norm(name, channels) => ["weight", "bias", "running_mean", "running_var"]
                    .iter()
                    .try_for_each(|part| take(format!("{name}.{part}"), &[channels], &mut weights)),
            })?;
            parts.push((name, part));
            Ok(())
        })?;
        let numbered = head::is_numbered(&weights, backbone.classifier);
        let head = head::describe(&card.head, card.labels.len(), backbone.features, backbone.classifier, numbered);
        for layer in &head {
            take(format!("{}.weight", layer.name), &[layer.outputs, layer.inputs], &mut weights)?;
            if layer.bias {
                take(format!("{}.bias", layer.name), &[layer.outputs], &mut weights)?;
            }
        }
        weights.finish()?;
        let (channels, eps) = (card.input.channels, registry::norm_eps(card));
        Ok(Self { parts, head, backbone, channels, eps, vars, device, composed })
    }

    /// What an optimiser changes, by torchvision's names.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.vars.iter().map(|(name, var)| (name.as_str(), var)).filter(|(name, _)| !name.contains(".running_"))
    }

    /// Those of the head alone.
    pub fn head_parameters(&self) -> impl Iterator<Item = (&str, &Var)> {
        let of_head =
            |name: &str| self.head.iter().any(|d| name.strip_prefix(&d.name).is_some_and(|r| r.starts_with('.')));
        self.parameters().filter(move |(name, _)| of_head(name))
    }

    /// All that a weight file holds.
    pub fn tensors(&self) -> Result<Tensors> {
        let mut tensors = Tensors::new();
        for (name, var) in &self.vars {
            let values = var.flatten_all().and_then(|t| t.to_vec1()).map_err(fault)?;
            tensors.insert(name, var.dims(), values)?;
        }
        Ok(tensors)
    }

    /// The logits of the images `[n, channels, h, w]`, wherever these are; `rng` decides what is dropped. The running moments of the norms
    /// take the batch in. Images too small for the network and a norm over a single value are errors.
    pub fn forward(&self, x: &Tensor, rng: &mut Rng) -> Result<Pass> {
        let (_, channels, h, w) = x.dims4().map_err(fault)?;
        if channels != self.channels || h.min(w) < self.backbone.smallest {
            let (smallest, wanted) = (self.backbone.smallest, self.channels);
            return Err(Error::new(format!("images of {w}x{h} pixels and {channels} channels"))
                .mend(format!("this network takes {smallest}x{smallest} or more, {wanted} channels")));
        }
        let (mut tape, mut node) = self.begin(x).map_err(fault)?;
        for (name, part) in &self.parts {
            node = self
                .part(&mut tape, node, name, part)
                .map_err(|e| fault(e).at(format_args!("`{name}` of the network")))?;
        }
        self.pass(tape, node, rng)
    }

    /// The logits of the last feature maps `[n, features, h, w]` of images, as [`Model::features`](super::Model::features)
    /// gives them: the way back ends there, so that only the head learns.
    pub fn forward_features(&self, features: &Tensor, rng: &mut Rng) -> Result<Pass> {
        let maps = self.backbone.before_pooling.forward(features);
        let (tape, node) = maps.and_then(|maps| self.begin(&maps)).map_err(fault)?;
        self.pass(tape, node, rng)
    }

    /// A tape with maps `[n, c, h, w]` on it.
    fn begin(&self, x: &Tensor) -> candle_core::Result<(Tape, Node)> {
        let mut tape = self.composed.map_or_else(Tape::default, Tape::composed);
        let node = tape.constant(&x.to_device(&self.device)?.contiguous()?);
        let node = tape.maps(node)?;
        Ok((tape, node))
    }

    fn pass(&self, mut tape: Tape, maps: Node, rng: &mut Rng) -> Result<Pass> {
        let node = self.head(&mut tape, maps, rng).map_err(fault)?;
        let logits = Var::from_tensor(node.value()).map_err(fault)?;
        Ok(Pass { logits, node, tape })
    }

    fn part(&self, tape: &mut Tape, x: Node, name: &str, part: &Part) -> candle_core::Result<Node> {
        match part {
            Part::ConvNorm(unit) => self.unit(tape, x, unit, None),
            Part::MaxPool => tape.max_pool_3(x),
            Part::Residual { path, shortcut } => {
                let shortcut = match shortcut {
                    Some(unit) => self.unit(tape, x.clone(), unit, None)?,
                    None => x.clone(),
                };
                self.path(tape, x, path, Some((shortcut, Activation::Relu)))
            }
            Part::InvertedResidual { path, residual } => {
                let onto = residual.then(|| (x.clone(), Activation::Identity));
                self.path(tape, x, path, onto)
            }
            Part::DenseBlock { layers, inputs, growth } => {
                let parts = || densenet::layers(name, *layers, *inputs, *growth);
                let norms = parts().map(|l| Ok([self.norm(&l.norm)?, self.norm(&l.squeeze.norm)?]));
                let norms = norms.collect::<candle_core::Result<Vec<_>>>()?;
                let layers = parts().zip(&norms).map(|(layer, [norm, squeeze_norm])| {
                    let (squeeze, grow) = (self.weight(&layer.squeeze.conv)?, self.weight(&layer.grow)?);
                    Ok(DenseLayerTraining { norm, squeeze, squeeze_norm, grow })
                });
                tape.dense_block(x, &layers.collect::<candle_core::Result<Vec<_>>>()?)
            }
            Part::Transition { channels } => {
                let norm = self.norm(&format!("{name}.norm"))?;
                let y = tape.batch_norm(x, &norm, None, Activation::Relu)?;
                // torchvision pools last. Both are linear, and this order convolves a quarter of the pixels.
                let y = tape.avg_pool_2(y)?;
                self.conv(tape, y, &format!("{name}.conv"), Form::new(*channels, channels / 2, 1))
            }
            Part::Norm { .. } => tape.batch_norm(x, &self.norm(name)?, None, self.backbone.before_pooling),
        }
    }

    /// Units one behind the other; the last may be added to something, with an activation behind the sum.
    fn path(
        &self,
        tape: &mut Tape,
        x: Node,
        path: &[ConvNorm],
        mut onto: Option<(Node, Activation)>,
    ) -> candle_core::Result<Node> {
        let last = path.len() - 1;
        path.iter().enumerate().try_fold(x, |x, (i, unit)| {
            let onto = if i == last { onto.take() } else { None };
            self.unit(tape, x, unit, onto)
        })
    }

    fn unit(
        &self,
        tape: &mut Tape,
        x: Node,
        unit: &ConvNorm,
        onto: Option<(Node, Activation)>,
    ) -> candle_core::Result<Node> {
        let y = self.conv(tape, x, &unit.conv, unit.form)?;
        let (residual, activation) =
            onto.map_or((None, unit.activation), |(node, activation)| (Some(node), activation));
        tape.batch_norm(y, &self.norm(&unit.norm)?, residual, activation)
    }

    fn conv(&self, tape: &mut Tape, x: Node, name: &str, form: Form) -> candle_core::Result<Node> {
        let Form { stride, padding, groups, .. } = form;
        tape.conv(x, self.weight(name)?, ops::Form { stride, padding, groups, activation: Activation::Identity })
    }

    fn head(&self, tape: &mut Tape, x: Node, rng: &mut Rng) -> candle_core::Result<Node> {
        let pooled = tape.global_average(x)?;
        self.head.iter().try_fold(pooled, |x, layer| {
            let bias = if layer.bias { Some(self.var(&format!("{}.bias", layer.name))?) } else { None };
            let y = tape.linear(x, self.weight(&layer.name)?, bias)?;
            let y = if layer.activation == Activation::Identity { y } else { tape.activation(y, layer.activation)? };
            if layer.dropout == 0.0 {
                return Ok(y);
            }
            let kept = 1.0 - layer.dropout;
            let mut keep = || if rng.uniform() < kept { (1.0 / kept) as f32 } else { 0.0 };
            let mask: Vec<_> = (0..y.value().elem_count()).map(|_| keep()).collect();
            let mask = Tensor::from_vec(mask, y.value().shape(), &self.device)?;
            tape.masked(y, mask)
        })
    }

    fn norm(&self, name: &str) -> candle_core::Result<BatchNorm> {
        let var = |part: &str| self.var(&format!("{name}.{part}")).cloned();
        let (weight, bias) = (var("weight")?, var("bias")?);
        Ok(BatchNorm { weight, bias, mean: var("running_mean")?, variance: var("running_var")?, eps: self.eps })
    }

    fn weight(&self, name: &str) -> candle_core::Result<&Var> {
        self.var(&format!("{name}.weight"))
    }

    fn var(&self, name: &str) -> candle_core::Result<&Var> {
        self.vars.get(name).ok_or_else(|| candle_core::Error::Msg(format!("the network has no `{name}`")))
    }
}
