//! A network with all that changes it: the loss, the optimiser, and in f16 the factor of the loss.

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};

use super::checkpoint::Checkpoint;
use super::loss::{Loss, Targets};
use super::loss_scale::LossScale;
use super::optimizer::Optimizer;
use super::recipe::Recipe;
use super::schedule::Pace;
use super::validate::not_finite;
use crate::cards::model::ModelCard;
use crate::device::Precision;
use crate::error::{Error, Kind, Result};
use crate::models::{self, Model, Network};
use crate::rng::Rng;
use crate::weights::Tensors;

/// A network that learns.
pub(super) struct Learner {
    network: Network,
    is_composed: bool,
    /// Where only the head learns: the backbone, which does not change.
    backbone: Option<Model>,
    optimizer: Optimizer,
    loss: Loss,
    scale: Option<LossScale>,
    device: Device,
    /// The batch and how many make a step, which an error tells.
    sizes: (usize, usize),
    /// The gradients since the last step, and the batches they are of.
    sum: Option<GradStore>,
    batches: usize,
}

impl Learner {
    /// The card's network with these weights, to learn on `device` as the recipe says.
    pub fn new(recipe: &Recipe, card: &ModelCard, weights: Tensors, loss: Loss, device: &Device) -> Result<Self> {
        let training = &recipe.training;
        let is_composed = !(device.is_cpu() && training.precision == Precision::F32);
        let network = match is_composed {
            true => Network::composed(card, weights, device, training.precision.dtype())?,
            false => Network::new(card, weights)?,
        };
        let backbone = match training.frozen_backbone {
            true => Some(models::build(card, network.tensors()?, device)?),
            false => None,
        };
        let learning: Box<dyn Iterator<Item = (&str, &Var)>> = match training.frozen_backbone {
            true => Box::new(network.head_parameters()),
            false => Box::new(network.parameters()),
        };
        let optimizer = Optimizer::new(recipe.optimizer, learning)?;
        let scale = (training.precision == Precision::F16).then(LossScale::default);
        let (device, sizes) = (device.clone(), (training.batch, training.accumulate));
        Ok(Self { network, is_composed, backbone, optimizer, loss, scale, device, sizes, sum: None, batches: 0 })
    }

    /// Whether the network is composed of Candle's ops: the fused ones are for f32 on the CPU.
    pub fn is_composed(&self) -> bool {
        self.is_composed
    }

    /// All that a weight file holds.
    pub fn tensors(&self) -> Result<Tensors> {
        self.network.tensors()
    }

    /// What is made small.
    pub fn loss(&self) -> &Loss {
        &self.loss
    }

    /// Adds the gradients of a batch to those of the next step; returns the loss. One that is not finite is an error.
    pub fn learn(&mut self, x: &Tensor, targets: &Targets, rng: &mut Rng) -> Result<f64> {
        let found = self.gradients(x, targets, rng);
        let (loss, grads) = found.map_err(|e| self.explained(e))?;
        self.sum = Some(match self.sum.take() {
            None => grads,
            Some(mut sum) => {
                self.optimizer.add(&mut sum, &grads).map_err(|e| self.explained(e))?;
                sum
            }
        });
        self.batches += 1;
        Ok(loss)
    }

    fn gradients(&self, x: &Tensor, targets: &Targets, rng: &mut Rng) -> Result<(f64, GradStore)> {
        let x = x.to_device(&self.device).map_err(fault)?;
        let pass = match &self.backbone {
            Some(backbone) => self.network.forward_features(&backbone.features(&x)?, rng)?,
            None => self.network.forward(&x, rng)?,
        };
        let loss = self.loss.of(pass.logits(), &targets.to_device(&self.device)?)?;
        let value = f64::from(loss.to_scalar::<f32>().map_err(fault)?);
        if !value.is_finite() {
            return Err(not_finite("the loss"));
        }
        let loss = match &self.scale {
            Some(scale) => (loss * scale.factor()).map_err(fault)?,
            None => loss,
        };
        Ok((value, pass.backward(&loss)?))
    }

    /// One step of the optimiser by the mean of the gradients, whose length is cut to `clip`. In f16 a step whose gradients
    /// overflow is left out.
    pub fn step(&mut self, pace: Pace, clip: Option<f64>) -> Result<()> {
        let (Some(grads), batches) = (self.sum.take(), std::mem::take(&mut self.batches)) else { return Ok(()) };
        let mut share = 1.0 / (batches as f64 * self.scale.map_or(1.0, |s| s.factor()));
        if clip.is_some() || self.scale.is_some() {
            let norm = share * self.optimizer.norm(&grads).map_err(|e| self.explained(e))?;
            let is_finite = norm.is_finite();
            if let Some(scale) = &mut self.scale {
                scale.update(is_finite);
                if !is_finite && !scale.is_spent() {
                    return Ok(());
                }
            }
            if !is_finite {
                return Err(not_finite("the gradient"));
            }
            // As PyTorch's `clip_grad_norm_`.
            share *= clip.map_or(1.0, |clip| (clip / (norm + 1e-6)).min(1.0));
        }
        self.optimizer.step(pace, &grads, share as f32).map_err(|e| self.explained(e))
    }

    /// Steps of the optimiser so far, and the factor of the loss.
    pub fn state(&self) -> (u32, Option<LossScale>) {
        (self.optimizer.steps(), self.scale)
    }

    /// All that going on needs, by name.
    pub fn values(&self) -> Result<Vec<(String, Vec<f32>)>> {
        let mut values: Vec<_> = Vec::new();
        for (name, _, tensor) in self.network.tensors()?.iter() {
            values.push((name.to_owned(), tensor.into_owned()));
        }
        let memory = self.optimizer.memory()?;
        values.extend(memory.into_iter().map(|(name, memory)| (memory_name(name), memory)));
        Ok(values)
    }

    /// Goes on from where the checkpoint stands, which is of the same recipe and card.
    pub fn restore(&mut self, recipe: &Recipe, card: &ModelCard, checkpoint: &mut Checkpoint) -> Result<()> {
        let mut tensors = Tensors::new();
        for (name, shape, values) in self.tensors()?.iter() {
            tensors.insert(name, shape, checkpoint.take(name, values.len())?)?;
        }
        *self = Self::new(recipe, card, tensors, self.loss.clone(), &self.device)?;
        let (steps, scale) = (checkpoint.position.steps, checkpoint.position.scale);
        self.optimizer.restore(steps, |name, length| checkpoint.take(&memory_name(name), length))?;
        self.scale = scale;
        Ok(())
    }

    /// The same error, or what to do where the device's memory was too small.
    fn explained(&self, e: Error) -> Error {
        if e.kind() != Kind::Memory {
            return e;
        }
        let (batch, accumulate) = self.sizes;
        let told = Error::new(format!("the device's memory is too small for batches of {batch} images"))
            .at("`training.batch`");
        match batch {
            1 => told.mend("use smaller images, a half `training.precision`, or a device with more memory"),
            _ => told.mend(format!(
                "set `training.batch` to {} and `training.accumulate` to {}, which makes steps of as many images",
                batch / 2,
                (batch * accumulate).div_ceil(batch / 2)
            )),
        }
    }
}

fn memory_name(parameter: &str) -> String {
    format!("memory of {parameter}")
}

fn fault(e: candle_core::Error) -> Error {
    models::fault(e).at("a step of the training")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A recipe of a few thousand weights.
    fn recipe(precision: &str) -> Recipe {
        let text = format!(
            "schema = \"roentgen/recipe/1\"\nname = \"tiny\"\n[model]\narchitecture = \"densenet121\"\nlabels = [\"bright\"]\n\
             licence = \"MIT\"\noptions = {{ blocks = [1, 1, 1, 1], growth = 4 }}\ninput = {{ channels = 1, steps = [] }}\n\
             [data]\ncard = \"none\"\nvalidation = {{ share = 0.2 }}\n[training]\nepochs = 1\nbatch = 8\naccumulate = 3\n\
             precision = \"{precision}\"\n[optimizer]\nname = \"adam\"\nrate = 1e-2\n"
        );
        Recipe::parse(&text, "recipe").unwrap()
    }

    fn learner(precision: &str) -> Learner {
        let recipe = recipe(precision);
        let card = recipe.card();
        let weights = models::initial(&card, 1).unwrap();
        Learner::new(&recipe, &card, weights, Loss::Bce, &Device::Cpu).unwrap()
    }

    /// Images of noise, those with the label a little brighter.
    fn batch() -> (Tensor, Targets) {
        let mut rng = Rng::new(5, 0);
        let truths: Vec<_> = (0..8).map(|i| Some(i % 3 == 0)).collect();
        let image = |truth: &Option<bool>| {
            let brighter = if *truth == Some(true) { 0.5 } else { 0.0 };
            (0..64 * 64).map(|_| (rng.normal() + brighter) as f32).collect::<Vec<_>>()
        };
        let values: Vec<_> = truths.iter().flat_map(image).collect();
        (Tensor::from_vec(values, (8, 1, 64, 64), &Device::Cpu).unwrap(), Targets::new(&truths, 8).unwrap())
    }

    const PACE: Pace = Pace { rate: 1e-2, momentum: None };

    #[test]
    fn it_learns_in_every_precision() {
        let (x, targets) = batch();
        for precision in ["f32", "bf16", "f16"] {
            let mut learner = learner(precision);
            let losses: Vec<_> = (0..12)
                .map(|_| {
                    let loss = learner.learn(&x, &targets, &mut Rng::new(1, 1)).unwrap();
                    learner.step(PACE, Some(10.0)).unwrap();
                    loss
                })
                .collect();
            assert!(losses[11] < 0.65 * losses[0], "{precision}: {losses:?}");
            assert_eq!(learner.state().0, 12);
        }
    }

    #[test]
    fn a_step_whose_gradients_overflow_is_left_out() {
        let (x, targets) = batch();
        let mut learner = learner("f16");
        let parameters = |learner: &Learner| -> Vec<Vec<f32>> {
            learner.network.parameters().map(|(_, var)| var.flatten_all().unwrap().to_vec1().unwrap()).collect()
        };
        let before = parameters(&learner);
        learner.scale = serde_json::from_str("{\"factor\": 1e30, \"good\": 9}").unwrap();
        learner.learn(&x, &targets, &mut Rng::new(1, 1)).unwrap();
        learner.step(PACE, None).unwrap();
        assert_eq!(parameters(&learner), before);
        let halved: LossScale = serde_json::from_str("{\"factor\": 5e29, \"good\": 0}").unwrap();
        assert_eq!(learner.state(), (0, Some(halved)));
        // What overflowed has no part in the next step.
        learner.scale = Some(LossScale::default());
        learner.learn(&x, &targets, &mut Rng::new(1, 1)).unwrap();
        learner.step(PACE, None).unwrap();
        let after = parameters(&learner);
        assert!(after != before && after.iter().flatten().all(|v| v.is_finite()));
        assert_eq!(learner.state().0, 1);
        // Gradients that overflow as they are say that the training has run away.
        learner.scale = serde_json::from_str("{\"factor\": 1.0, \"good\": 0}").unwrap();
        let (_, mut grads) = learner.gradients(&x, &targets, &mut Rng::new(1, 1)).unwrap();
        let (_, var) = learner.network.parameters().next().unwrap();
        let infinite = (var.ones_like().unwrap() * f64::INFINITY).unwrap();
        grads.insert(var, infinite);
        (learner.sum, learner.batches) = (Some(grads), 1);
        assert!(learner.step(PACE, None).unwrap_err().to_string().contains("run away"));
    }

    #[test]
    fn too_little_memory_names_the_batch_that_fits() {
        let learner = learner("f32");
        let e = learner.explained(Error::memory("the device's memory is full").at("`norm0`"));
        assert_eq!(
            e.to_string(),
            "`training.batch`: the device's memory is too small for batches of 8 images; set `training.batch` to 4 and \
             `training.accumulate` to 6, which makes steps of as many images"
        );
        let other = Error::new("the loss is lost");
        assert_eq!(learner.explained(other.clone()), other);
    }
}
