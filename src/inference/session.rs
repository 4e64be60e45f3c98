//! One evaluation from cards to a finished run folder; what it needs of metrics its caller brings.

use std::sync::atomic::AtomicBool;

use crate::cards::catalogue::Home;
use crate::cards::dataset::DatasetCard;
use crate::cards::model::ModelCard;
use crate::data::Dataset;
use crate::data::manifest::Manifest;
use crate::device::Place;
use crate::error::{Error, Result};
use crate::files;
use crate::inference::batch;
use crate::inference::engine::{self, Job, Pace, Progress};
use crate::inference::finding::Finding;
use crate::inference::finish;
use crate::inference::journal::{Journal, Others, Outcome};
use crate::inference::part::Part;
use crate::models::{self, Model};
use crate::predictions::Policy;
use crate::run::{Calibration, Description, Hashes, RunFolder, SCHEMA, Training};

/// What is to be run.
pub struct Plan {
    /// The model's card and where it was found.
    pub model: (ModelCard, Home),
    /// The dataset's card.
    pub dataset_card: DatasetCard,
    /// Its samples.
    pub dataset: Dataset,
    /// The split that the samples are of.
    pub split: Option<String>,
    /// The limit that was set on them.
    pub limit: Option<usize>,
    /// The part of them that is left, when this run is a shard.
    pub part: Option<Part>,
    /// What becomes of uncertain and unmentioned labels.
    pub policy: Policy,
    /// The maps that the caller will put the probabilities through: part of what the run is.
    pub calibration: Option<Calibration>,
    /// How the model was trained, where this run measures a training.
    pub training: Option<Training>,
    /// Where the network runs.
    pub place: Place,
    /// How to go about it.
    pub pace: Pace,
    /// The run folder.
    pub folder: RunFolder,
    /// Whether an unfinished run there is gone on with.
    pub resume: bool,
    /// Whether other processes may be at work on it too.
    pub others: Others,
}

/// A begun run: the model is loaded, the folder is there and its journal is open.
pub struct Session {
    plan: Plan,
    model: Model,
    description: Description,
    journal: Journal,
    kept: Vec<Outcome>,
}

/// Whether there is anything left to do.
pub enum Start {
    /// There is.
    Begun(Box<Session>),
    /// The same run stands finished in the folder.
    AlreadyFinished,
}

impl Session {
    /// Loads the model and opens the run folder. Nothing is written when anything is wrong with either.
    pub fn begin(mut plan: Plan) -> Result<Start> {
        let (card, home) = &plan.model;
        let (model, weights) = models::load_as(card, home, &plan.place.device, plan.place.precision.dtype())?;
        let samples = match &plan.part {
            Some(part) => part.listing_sha256.clone(),
            None => Manifest::new(&plan.dataset, []).listing_sha256(),
        };
        // A run that was begun keeps its batch.
        let begun = if plan.resume { Description::read(&plan.folder).ok() } else { None };
        let batch = match plan.pace.batch.or(begun.as_ref().map(|begun| begun.batch)) {
            Some(batch) => batch,
            None => batch::fitting(&model, &card.input, &plan.dataset.samples)?,
        };
        plan.pace.batch = Some(batch);
        let description = Description {
            schema: SCHEMA.into(),
            software: concat!("roentgen ", env!("CARGO_PKG_VERSION")).into(),
            device: plan.place.name.clone(),
            instructions: plan.place.instructions.clone(),
            precision: plan.place.precision.to_string(),
            batch,
            smallest_batch: begun.and_then(|begun| begun.smallest_batch),
            split: plan.split.clone(),
            limit: plan.limit,
            images: plan.dataset.samples.len(),
            policy: plan.policy,
            shard: plan.part.as_ref().map(|part| part.shard),
            hashes: Hashes { weights, samples, ..Hashes::default() },
            calibration: plan.calibration.clone(),
            training: plan.training.clone(),
            model: card.clone(),
            dataset: plan.dataset_card.clone(),
        };
        let (folder, fingerprint) = (&plan.folder, description.fingerprint()?);
        finish::settle(folder)?;
        let begun = folder.journal().exists();
        if begun && !plan.resume {
            return Err(Error::usage("there is an unfinished run in it")
                .at(folder.path().display())
                .mend("go on with it by --resume, or choose another --out"));
        } else if !begun && folder.run_toml().exists() {
            if plan.resume && folder.is_finished() && Description::read(folder)?.fingerprint()? == fingerprint {
                return Ok(Start::AlreadyFinished);
            }
            return Err(Error::usage("there is a finished run in it")
                .at(folder.path().display())
                .mend("choose another --out, or remove the folder"));
        } else if !begun {
            std::fs::create_dir_all(folder.path()).map_err(|e| Error::io(folder.path(), e))?;
            let mut entries = folder.path().read_dir().map_err(|e| Error::io(folder.path(), e))?;
            if plan.others == Others::Refused && entries.next().is_some() {
                return Err(Error::usage("the folder holds other files")
                    .at(folder.path().display())
                    .mend("choose an empty or a new folder for --out"));
            }
        }
        let (journal, kept) = Journal::open(&folder.journal(), &fingerprint, plan.others)?;
        files::write_if_absent(&folder.run_toml(), description.to_toml()?.as_bytes())?;
        // Another attempt may have finished the run since it was looked at.
        finish::settle(folder)?;
        if folder.is_finished() {
            return Ok(Start::AlreadyFinished);
        }
        Ok(Start::Begun(Box::new(Self { plan, model, description, journal, kept })))
    }

    /// What is being run.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Runs the model over all samples that have no outcome yet.
    pub fn infer(&mut self, stop: &AtomicBool, report: &mut dyn FnMut(Progress)) -> Result<Finding> {
        let Plan { model: (card, _), dataset, pace, .. } = &self.plan;
        let job = Job { model: &self.model, input: &card.input, samples: &dataset.samples, pace: *pace };
        let mut keep = |new: &[Outcome]| self.journal.append(new);
        let mut smallest = self.description.smallest_batch;
        let mut watched = |progress: Progress| {
            if progress.batch < smallest.unwrap_or(self.description.batch) {
                smallest = Some(progress.batch);
            }
            report(progress);
        };
        let outcomes = engine::run(&job, std::mem::take(&mut self.kept), &mut keep, stop, &mut watched);
        if smallest != self.description.smallest_batch {
            // Also of a run that is stopped: what it has kept was computed so.
            self.description.smallest_batch = smallest;
            files::write(&self.plan.folder.run_toml(), self.description.to_toml()?.as_bytes())?;
        }
        Finding::of(card, dataset, outcomes?)
    }

    /// Writes the finished run's files, `evaluation` (a JSON document) among them, unless another attempt has: [`finish`].
    pub fn finish(self, finding: &Finding, evaluation: &[u8]) -> Result<()> {
        let Self { plan, description, .. } = self;
        finish::finish(&plan.folder, |folder| {
            if let Some(part) = &plan.part {
                part.write(&folder.positions())?;
            }
            finding.write(folder, description, evaluation)
        })
    }
}
