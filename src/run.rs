//! The run folder: what it holds and the description of the run in `run.toml`.

mod training;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cards::dataset::DatasetCard;
use crate::cards::model::ModelCard;
use crate::error::{Error, Result};
use crate::files;
use crate::predictions::Policy;
use crate::shard::Shard;

pub use training::{Epoch, PartSize, Prevalence, SCHEMA as TRAINING_SCHEMA, Training, TrainingFolder, Validation};

/// The schema that `run.toml` names.
pub const SCHEMA: &str = "roentgen/run/1";

/// A run folder and the places in it.
#[derive(Debug, Clone)]
pub struct RunFolder(PathBuf);

impl RunFolder {
    /// The run folder at `path`, which need not be there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where a run of `model` on `dataset` goes unless it is said otherwise: `reports/MODEL--DATASET--SPLIT`, and for a
    /// shard `--I-of-N` behind it.
    pub fn usual(model: &ModelCard, dataset: &DatasetCard, split: Option<&str>, shard: Option<Shard>) -> Self {
        let shard = shard.map(|s| format!("--{}-of-{}", s.index(), s.count())).unwrap_or_default();
        let parts = [model.name.as_str(), dataset.name.as_str(), split.unwrap_or_default()];
        let name = parts.join("--").trim_end_matches('-').to_owned() + &shard;
        let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
        Self(Path::new("reports").join(name.chars().map(plain).collect::<String>()))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What ran: [`Description`].
    pub fn run_toml(&self) -> PathBuf {
        self.0.join("run.toml")
    }

    /// Image, SHA-256, patient, attributes and truths, one row an image.
    pub fn manifest(&self) -> PathBuf {
        self.0.join("manifest.csv")
    }

    /// The predictions table; there only when the run is finished.
    pub fn predictions(&self) -> PathBuf {
        self.0.join("predictions.csv")
    }

    /// Images that could not be read, with the reason; there only when there are any.
    pub fn failures(&self) -> PathBuf {
        self.0.join("failures.csv")
    }

    /// Reads [`failures`](Self::failures): image and reason; none where the file is not there.
    pub fn read_failures(&self) -> Result<Vec<(String, String)>> {
        let path = self.failures();
        if !path.exists() {
            return Ok(Vec::new());
        }
        let rows = csv::Reader::from_path(&path).and_then(|mut reader| reader.deserialize().collect());
        rows.map_err(|e| Error::new(e.to_string()).at(path.display()))
    }

    /// Where a shard's images stand in the whole list; there only in a finished shard.
    pub fn positions(&self) -> PathBuf {
        self.0.join("positions.csv")
    }

    /// The evaluation of the predictions.
    pub fn evaluation(&self) -> PathBuf {
        self.0.join("evaluation.json")
    }

    /// Marks, notes and chosen thresholds of a person; never part of what is signed.
    pub fn annotations(&self) -> PathBuf {
        self.0.join("annotations.csv")
    }

    /// There only while the run is unfinished; the attempts that go on with it write files of their own beside it.
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }

    /// Whether the run's results stand in the folder, all of them.
    pub fn is_finished(&self) -> bool {
        !self.journal().exists() && Description::read(self).is_ok_and(|d| d.is_finished())
    }
}

/// `run.toml`: everything that decides the run's outcome, and at its end the hashes of what came out. It holds no
/// time and no path but those in the cards, so that the same run gives the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// Program and version, as `roentgen 0.1.0`.
    pub software: String,
    /// `cpu` or the GPU's name.
    pub device: String,
    /// The instruction set that the kernels chose, or the card's and its driver; on another one the last digits may
    /// differ.
    pub instructions: String,
    /// Number format of the network's arithmetic.
    pub precision: String,
    /// Pictures that go through the device together.
    pub batch: usize,
    /// As many as they became, where the device's memory was too little for more: then on another occasion the last digits
    /// may differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smallest_batch: Option<usize>,
    /// The dataset's split, when one was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// At most this many images, when a limit was set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// The part of the images that this run is of, when it is not of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// Images in the run, unreadable ones among them.
    pub images: usize,
    /// What became of uncertain and unmentioned labels.
    pub policy: Policy,
    /// SHA-256 sums, in hex.
    pub hashes: Hashes,
    /// The maps that the probabilities went through, when there were any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// How the model was trained, where it was trained here for this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training: Option<Training>,
    /// The model card, as it was.
    pub model: ModelCard,
    /// The dataset card, as it was.
    pub dataset: DatasetCard,
}

/// A file that `roentgen calibrate --save` wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// SHA-256 of the content, in hex.
    pub sha256: String,
    /// The file, as it was.
    pub content: String,
}

/// SHA-256 sums, in hex.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Hashes {
    /// The weight file.
    pub weights: String,
    /// The list of samples (ids, patients, attributes and truths) before any picture was read; a shard's too is of the
    /// whole list.
    pub samples: String,
    /// `manifest.csv`; in a finished run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// `predictions.csv`; in a finished run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predictions: Option<String>,
}

impl Description {
    /// The text of `run.toml`.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::new(e.to_string()).at("run.toml"))
    }

    /// Reads `run.toml` of a run folder.
    pub fn read(folder: &RunFolder) -> Result<Self> {
        let path = folder.run_toml();
        let text = std::fs::read_to_string(&path)
            .map_err(|e| Error::io(&path, e).mend("give a folder that `roentgen evaluate` wrote"))?;
        toml::from_str(&text).map_err(|e| Error::new(e.message()).at(path.display()))
    }

    /// Whether it is of a run that came to its end.
    pub fn is_finished(&self) -> bool {
        self.hashes.predictions.is_some()
    }

    /// Identifies the run: two runs with the same fingerprint have the same outcome.
    pub fn fingerprint(&self) -> Result<String> {
        let mut begun = self.clone();
        begun.hashes.manifest = None;
        begun.hashes.predictions = None;
        begun.smallest_batch = None;
        Ok(files::sha256(begun.to_toml()?.as_bytes()))
    }
}
