//! How weights do on the validation images.

use candle_core::{Device, Tensor};

use super::loss::{Loss, Targets};
use super::pictures::Pictures;
use super::sampling::Showing;
use crate::cards::model::{ModelCard, Output};
use crate::error::{Error, Result};
use crate::inference::batch::in_parts;
use crate::metrics::operating_point::Confusion;
use crate::metrics::precision_recall::average_precision;
use crate::metrics::roc::Ranked;
use crate::models;
use crate::run::Validation;
use crate::weights::Tensors;

/// Images that go through the network together.
const BATCH: usize = 32;

/// Measures weights on a device, in f32: norms by their running moments, nothing dropped.
pub(super) fn validate(
    card: &ModelCard,
    weights: Tensors,
    loss: &Loss,
    pictures: &Pictures,
    device: &Device,
) -> Result<Validation> {
    let model = models::build(card, weights, device)?;
    let all: Vec<_> = (0..pictures.len()).map(|image| Showing { image, before: 0 }).collect();
    let mut size = BATCH;
    let parts = in_parts(&all, &mut size, |showings, _| {
        let (x, _) = pictures.batch(showings, None)?;
        let x = x.to_device(device).map_err(fault)?;
        model.forward(&x)?.to_vec2::<f32>().map_err(fault)
    })?;
    let logits = parts.concat();
    if logits.iter().flatten().any(|z| !z.is_finite()) {
        return Err(not_finite("a logit of the validation images"));
    }
    let truths: Vec<_> = pictures.truths().iter().flatten().copied().collect();
    let targets = Targets::new(&truths, logits.len())?;
    let z = Tensor::new(logits.clone(), &Device::Cpu).map_err(fault)?;
    let loss = loss.of(&z, &targets)?.to_scalar::<f32>().map_err(fault)?;
    let scores: Vec<_> = logits.iter().map(|z| models::probabilities(Output::Sigmoid, z)).collect();
    let labels = (0..card.labels.len()).map(|label| measures(label, pictures.truths(), &scores));
    let labels: Vec<_> = labels.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    let mean = |i: usize| labels.iter().map(|measures| measures[i]).sum::<f64>() / labels.len() as f64;
    Ok(Validation {
        loss: f64::from(loss),
        auroc: mean(0),
        average_precision: mean(1),
        sensitivity: mean(2),
        specificity: mean(3),
    })
}

/// AUROC, average precision, sensitivity and specificity at 0.5; `None` where a class is missing.
fn measures(label: usize, truths: &[Vec<Option<bool>>], scores: &[Vec<f64>]) -> Result<Option<[f64; 4]>> {
    let known = truths.iter().zip(scores).filter_map(|(t, s)| t[label].map(|y| (y, s[label])));
    let (y, s): (Vec<bool>, Vec<f64>) = known.unzip();
    if !(y.contains(&true) && y.contains(&false)) {
        return Ok(None);
    }
    let ranked = Ranked::new(&y, &s)?;
    let at = Confusion::at(&ranked, 0.5).measures();
    let of = [ranked.auroc(), average_precision(&ranked), at.sensitivity, at.specificity];
    Ok(Some(of.map(|value| value.unwrap_or_default())))
}

/// The error of numbers that have run away.
pub(super) fn not_finite(what: &str) -> Error {
    Error::new(format!("{what} is not finite: the training has run away"))
        .mend("lower the learning rate, or set `training.clip`; --resume goes on from the last checkpoint")
}

fn fault(e: candle_core::Error) -> Error {
    models::fault(e).at("the validation")
}
