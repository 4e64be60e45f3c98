//! A training: the folder it leaves, and the log of it in `training.toml`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::RunFolder;
use crate::error::{Error, Result};

/// The schema that `training.toml` names.
pub const SCHEMA: &str = "roentgen/training/1";

/// The folder of a training and the places in it.
#[derive(Debug, Clone)]
pub struct TrainingFolder(PathBuf);

impl TrainingFolder {
    /// The folder at `path`, which need not be there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The recipe, as it was given.
    pub fn recipe(&self) -> PathBuf {
        self.0.join("recipe.toml")
    }

    /// Every image with its patient and its part.
    pub fn splits(&self) -> PathBuf {
        self.0.join("splits.csv")
    }

    /// [`Training`].
    pub fn log(&self) -> PathBuf {
        self.0.join("training.toml")
    }

    /// Everything that going on needs; there only while the training is unfinished.
    pub fn checkpoint(&self) -> PathBuf {
        self.0.join("checkpoint")
    }

    /// The card of the model with the best weights, ready for use.
    pub fn card(&self) -> PathBuf {
        self.0.join("model.toml")
    }

    /// The maps of its probabilities, fitted on the validation images.
    pub fn calibration(&self) -> PathBuf {
        self.0.join("calibration.toml")
    }

    /// The evaluation of the test images, thresholds chosen on the validation images.
    pub fn evaluation(&self) -> PathBuf {
        self.0.join("evaluation.json")
    }

    /// A page about the model, as model hubs show them.
    pub fn readme(&self) -> PathBuf {
        self.0.join("README.md")
    }

    /// The run of the model over a part, `validation` or `test`.
    pub fn run(&self, part: &str) -> RunFolder {
        RunFolder::new(self.0.join(part))
    }
}

/// `training.toml`: what was learnt from, and how each epoch went. It holds no time, so that the same training gives the
/// same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// Program and version, as `roentgen 0.1.0`.
    pub software: String,
    /// What it ran on: `cpu`, or the device's name.
    #[serde(default = "cpu")]
    pub device: String,
    /// The instruction set that the kernels chose; on another one the last digits may differ.
    pub instructions: String,
    /// What convolutions and dense layers multiplied in: `f32`, `bf16` or `f16`.
    #[serde(default = "f32")]
    pub precision: String,
    /// The recipe's name.
    pub recipe: String,
    /// SHA-256 of the recipe's text, in hex.
    pub recipe_sha256: String,
    /// SHA-256 of the weight files that it started from, in hex.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub start_sha256: Vec<String>,
    /// The recipe's seed.
    pub seed: u64,
    /// How many epochs there are at most.
    pub epochs_at_most: usize,
    /// Train, validation, test.
    #[serde(rename = "part")]
    pub parts: Vec<PartSize>,
    /// One a label of the model.
    #[serde(rename = "label")]
    pub labels: Vec<Prevalence>,
    /// The best epoch so far, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<usize>,
    /// The epochs so far.
    #[serde(rename = "epoch", default)]
    pub epochs: Vec<Epoch>,
}

/// Of trainings that were written down before there was anything else.
fn cpu() -> String {
    "cpu".into()
}

fn f32() -> String {
    "f32".into()
}

/// How large a part is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartSize {
    /// `train`, `validation` or `test`.
    pub name: String,
    /// Images.
    pub images: usize,
    /// Their patients; an image without a known one counts as one.
    pub patients: usize,
    /// SHA-256 of the list of its samples, in hex.
    pub samples: String,
}

/// What the images to learn from say of a label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prevalence {
    /// The label.
    pub label: String,
    /// Images that have it.
    pub positives: usize,
    /// Images that do not; the others are not known.
    pub negatives: usize,
    /// What positives and negatives count in the loss.
    pub weights: [f64; 2],
}

/// One epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// From 1.
    pub epoch: usize,
    /// Learning rate of its last step.
    pub rate: f64,
    /// Mean loss of its batches, as they were met.
    pub loss: f64,
    /// How the weights at its end do on the validation images.
    pub validation: Validation,
}

/// Measures on the validation images; means over the labels that have both classes there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// The loss that is made small.
    pub loss: f64,
    /// Area under the ROC curve.
    pub auroc: f64,
    /// Average precision.
    pub average_precision: f64,
    /// Sensitivity at a probability of 0.5.
    pub sensitivity: f64,
    /// Specificity there.
    pub specificity: f64,
}

impl Training {
    /// Where it was computed and in what, in words; `None` for f32 on the CPU, which goes without saying.
    pub fn arithmetic(&self) -> Option<String> {
        let device = if self.device == "cpu" { "the CPU" } else { &self.device };
        match (self.device.as_str(), self.precision.as_str()) {
            ("cpu", "f32") => None,
            (_, "f32") => Some(format!("on {device} in f32")),
            (_, half) => Some(format!("on {device}, products in {half}, all else in f32")),
        }
    }

    /// The text of `training.toml`.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::new(e.to_string()).at("training.toml"))
    }

    /// Reads `training.toml` of a folder.
    pub fn read(folder: &TrainingFolder) -> Result<Self> {
        let path = folder.log();
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
        toml::from_str(&text).map_err(|e| Error::new(e.message()).at(path.display()))
    }
}
