//! What a recipe says of how a network learns.

use serde::{Deserialize, Serialize};

use super::bad;
use crate::device::Precision;
use crate::error::Result;

/// How it learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Passes over the images, at most.
    pub epochs: usize,
    /// Images that go through the network together.
    pub batch: usize,
    /// Batches whose gradients are averaged for one step.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// What convolutions and dense layers multiply in.
    #[serde(default)]
    pub precision: Precision,
    /// Largest norm of the gradients of a step; longer ones are shortened to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// What is made small.
    #[serde(default)]
    pub loss: Loss,
    /// How an epoch's images are chosen.
    #[serde(default)]
    pub sampling: Sampling,
    /// Whether only the head learns.
    #[serde(default)]
    pub frozen_backbone: bool,
    /// What the best epoch is the best by.
    #[serde(default)]
    pub best: Measure,
    /// Ends after this many epochs that were not better than the best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
}

impl Training {
    pub(super) fn check(&self) -> Result<()> {
        let Self { epochs, batch, accumulate, clip, patience, .. } = self;
        for (key, count, most) in
            [("epochs", *epochs, 100_000), ("batch", *batch, 1 << 16), ("accumulate", *accumulate, 1 << 16)]
        {
            if !(1..=most).contains(&count) {
                return Err(bad(&format!("training.{key}"), format!("{count} is out of range"))
                    .mend(format!("use 1 to {most}")));
            }
        }
        if clip.is_some_and(|c| !(c.is_finite() && c > 0.0)) {
            return Err(bad("training.clip", "not a finite number above 0"));
        }
        if *patience == Some(0) {
            return Err(bad("training.patience", "0 epochs").mend("use 1 or more, or remove the key"));
        }
        Ok(())
    }
}

fn one() -> usize {
    1
}

/// What is made small.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Binary cross-entropy of the logits, the mean over all known labels.
    #[default]
    Bce,
    /// Each label's mean cross-entropy, positives weighted by 1 - prevalence and negatives by the prevalence among the
    /// images to learn from, with 1e-7 inside the logarithms; summed over the labels.
    PrevalenceWeightedBce,
}

/// How an epoch's images are chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// Each once, in an order of chance.
    #[default]
    Shuffled,
    /// As many draws as images, with replacement: each class is drawn equally often. An image's class is its rarest
    /// finding, or that it has none.
    Balanced,
}

/// What the best epoch is the best by, measured on the validation images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// The largest mean AUROC over the labels.
    #[default]
    Auroc,
    /// The largest mean average precision.
    AveragePrecision,
    /// The smallest loss.
    Loss,
}

/// What changes the weights; PyTorch's defaults where a key is left out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum Optimizer {
    /// Stochastic gradient descent.
    Sgd {
        /// Learning rate.
        rate: f64,
        /// Share of the last change that is kept.
        #[serde(default)]
        momentum: f64,
        /// Whether the gradient is looked at ahead of the change (Sutskever et al. 2013).
        #[serde(default)]
        nesterov: bool,
        /// Share of the weights that is added to the gradients.
        #[serde(default)]
        weight_decay: f64,
    },
    /// Adam.
    Adam {
        /// Learning rate.
        rate: f64,
    },
    /// AdamW.
    AdamW {
        /// Learning rate.
        rate: f64,
        /// Taken off the weights, as a share of the rate.
        weight_decay: f64,
    },
}

impl Optimizer {
    /// The learning rate that it begins with.
    pub fn rate(&self) -> f64 {
        match self {
            Self::Sgd { rate, .. } | Self::Adam { rate } | Self::AdamW { rate, .. } => *rate,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let rate = self.rate();
        if !(rate.is_finite() && rate > 0.0) {
            return Err(bad("optimizer.rate", "not a finite number above 0"));
        }
        let (decay, momentum, nesterov) = match *self {
            Self::Sgd { momentum, nesterov, weight_decay, .. } => (weight_decay, momentum, nesterov),
            Self::Adam { .. } => (0.0, 0.0, false),
            Self::AdamW { weight_decay, .. } => (weight_decay, 0.0, false),
        };
        if !(decay.is_finite() && decay >= 0.0) {
            return Err(bad("optimizer.weight_decay", "not a finite number of 0 or more"));
        }
        if !(0.0..1.0).contains(&momentum) {
            return Err(bad("optimizer.momentum", format!("{momentum} is not from 0 to below 1")));
        }
        if nesterov && momentum == 0.0 {
            return Err(bad("optimizer.nesterov", "it needs a momentum").mend("add `momentum`"));
        }
        Ok(())
    }
}
