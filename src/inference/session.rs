//! One evaluation from cards to a finished run folder; what it needs of metrics its caller brings.

use std::sync::atomic::AtomicBool;

use candle_core::Device;

use crate::cards::catalogue::Home;
use crate::cards::dataset::DatasetCard;
use crate::cards::model::ModelCard;
use crate::data::{Dataset, Sample, manifest};
use crate::error::{Error, Result};
use crate::files;
use crate::inference::engine::{self, Job, Pace, Progress};
use crate::inference::journal::{Journal, Outcome, Output};
use crate::labels;
use crate::models::{self, Model};
use crate::predictions::{self, Policy, Predictions};
use crate::run::{Calibration, Description, Hashes, RunFolder, SCHEMA, instruction_set};

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
    /// What becomes of uncertain and unmentioned labels.
    pub policy: Policy,
    /// The maps that the caller will put the probabilities through: part of what the run is.
    pub calibration: Option<Calibration>,
    /// Where the network runs.
    pub device: Device,
    /// How to go about it.
    pub pace: Pace,
    /// The run folder.
    pub folder: RunFolder,
    /// Whether an unfinished run there is gone on with.
    pub resume: bool,
}

/// A begun run: the model is loaded, the folder is there and its journal is open.
pub struct Session {
    plan: Plan,
    model: Model,
    description: Description,
    journal: Journal,
    kept: Vec<Outcome>,
}

/// What a run came to.
pub struct Finding {
    /// Of the images that could be read.
    pub predictions: Predictions,
    /// Images that could not be read: id and reason.
    pub failures: Vec<(String, String)>,
    manifest: Vec<u8>,
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
    pub fn begin(plan: Plan) -> Result<Start> {
        let (card, home) = &plan.model;
        let (model, weights) = models::load(card, home, &plan.device)?;
        let description = Description {
            schema: SCHEMA.into(),
            software: concat!("roentgen ", env!("CARGO_PKG_VERSION")).into(),
            device: "cpu".into(),
            instructions: instruction_set().into(),
            precision: "f32".into(),
            batch: plan.pace.batch,
            split: plan.split.clone(),
            limit: plan.limit,
            images: plan.dataset.samples.len(),
            policy: plan.policy,
            hashes: Hashes { weights, samples: files::sha256(&listing(&plan.dataset)), ..Hashes::default() },
            calibration: plan.calibration.clone(),
            model: card.clone(),
            dataset: plan.dataset_card.clone(),
        };
        let (folder, fingerprint) = (&plan.folder, description.fingerprint()?);
        let begun = folder.journal().exists();
        let (journal, kept) = if begun && plan.resume {
            let resumed = Journal::resume(&folder.journal(), &fingerprint)?;
            files::remove_unfinished(folder.path())?;
            resumed
        } else if begun {
            return Err(Error::usage("there is an unfinished run in it")
                .at(folder.path().display())
                .mend("go on with it by --resume, or choose another --out"));
        } else if folder.run_toml().exists() {
            if plan.resume && Description::read(folder)?.fingerprint()? == fingerprint {
                return Ok(Start::AlreadyFinished);
            }
            return Err(Error::usage("there is a finished run in it")
                .at(folder.path().display())
                .mend("choose another --out, or remove the folder"));
        } else {
            std::fs::create_dir_all(folder.path()).map_err(|e| Error::io(folder.path(), e))?;
            let mut entries = folder.path().read_dir().map_err(|e| Error::io(folder.path(), e))?;
            if entries.next().is_some() {
                return Err(Error::usage("the folder holds other files")
                    .at(folder.path().display())
                    .mend("choose an empty or a new folder for --out"));
            }
            (Journal::create(&folder.journal(), &fingerprint)?, Vec::new())
        };
        files::write(&folder.run_toml(), description.to_toml()?.as_bytes())?;
        Ok(Start::Begun(Box::new(Self { plan, model, description, journal, kept })))
    }

    /// Runs the model over all samples that have no outcome yet.
    pub fn infer(&mut self, stop: &AtomicBool, report: &mut dyn FnMut(Progress)) -> Result<Finding> {
        let Plan { model: (card, _), dataset, pace, .. } = &self.plan;
        let job = Job { model: &self.model, input: &card.input, samples: &dataset.samples, pace: *pace };
        let mut keep = |new: &[Outcome]| self.journal.append(new);
        let outcomes = engine::run(&job, std::mem::take(&mut self.kept), &mut keep, stop, report)?;
        finding(card, dataset, outcomes)
    }

    /// Writes the finished run's files, `evaluation` (a JSON document) among them; the journal goes last, so a run
    /// killed before that is finished by `--resume`.
    pub fn finish(mut self, finding: &Finding, evaluation: &[u8]) -> Result<()> {
        let folder = &self.plan.folder;
        let mut table = Vec::new();
        finding.predictions.write(&mut table)?;
        self.description.hashes.manifest = Some(files::sha256(&finding.manifest));
        self.description.hashes.predictions = Some(files::sha256(&table));
        files::write(&folder.manifest(), &finding.manifest)?;
        files::write(&folder.predictions(), &table)?;
        if !finding.failures.is_empty() {
            files::write(&folder.failures(), &failures_csv(&finding.failures)?)?;
        }
        files::write(&folder.evaluation(), evaluation)?;
        files::write(&folder.run_toml(), self.description.to_toml()?.as_bytes())?;
        std::fs::remove_file(folder.journal()).map_err(|e| Error::io(&folder.journal(), e))
    }
}

/// What outcomes come to: a row a readable image, a column a label of the model. A label that the data lack has no truths.
fn finding(card: &ModelCard, dataset: &Dataset, outcomes: Vec<Outcome>) -> Result<Finding> {
    let mut failures = Vec::new();
    let mut logits: Vec<Vec<f64>> = vec![Vec::new(); card.labels.len()];
    let mut scores = logits.clone();
    let mut read = Vec::new();
    let mut hashes = Vec::new();
    for (sample, outcome) in dataset.samples.iter().zip(outcomes) {
        hashes.push(outcome.sha256.unwrap_or_default());
        match outcome.result {
            Output::Logits(row) if row.len() == card.labels.len() => {
                let probabilities = models::probabilities(card.output, &row);
                for (i, (logit, p)) in row.iter().zip(probabilities).enumerate() {
                    logits[i].push(f64::from(*logit));
                    scores[i].push(p);
                }
                read.push(sample);
            }
            Output::Failure(reason) => failures.push((sample.id.clone(), reason)),
            Output::Logits(_) => {
                return Err(
                    Error::new("the journal's entry does not fit the model").at(format_args!("image {}", sample.id))
                );
            }
        }
    }
    let predictions = table(card, dataset, &read, Some(logits), scores);
    let mut manifest = Vec::new();
    manifest::write(&mut manifest, dataset, &hashes)?;
    Ok(Finding { predictions, failures, manifest })
}

/// The predictions table of the samples in `read`: per label of the model its logits, where they are known, and its
/// scores, a value a sample. What the dataset says of them comes from `dataset`; a label that it lacks has no truths.
pub fn table(
    card: &ModelCard,
    dataset: &Dataset,
    read: &[&Sample],
    logits: Option<Vec<Vec<f64>>>,
    scores: Vec<Vec<f64>>,
) -> Predictions {
    let mut logits = logits.map(Vec::into_iter);
    let labels = card.labels.iter().zip(scores).map(|(name, scores)| {
        let truths = labels::find(&dataset.labels, name).map(|i| read.iter().map(|s| s.truths[i]).collect());
        let logits = logits.as_mut().and_then(Iterator::next);
        predictions::Label { name: name.clone(), truths, logits, scores: Some(scores) }
    });
    let known = |of: fn(&Sample) -> &Option<String>| -> Option<Vec<String>> {
        read.iter().map(|s| of(s).clone()).collect::<Option<Vec<_>>>().filter(|_| !read.is_empty())
    };
    Predictions {
        images: read.iter().map(|s| s.id.clone()).collect(),
        patients: known(|s| &s.patient),
        studies: known(|s| &s.study),
        attributes: dataset
            .attributes
            .iter()
            .enumerate()
            .map(|(i, name)| predictions::Attribute {
                name: name.clone(),
                values: read.iter().map(|s| s.attributes[i].clone()).collect(),
            })
            .collect(),
        labels: labels.collect(),
    }
}

/// Everything about the samples that decides a run's outcome, apart from the pictures.
fn listing(dataset: &Dataset) -> Vec<u8> {
    let mut text = format!("{:?}\n{:?}\n", dataset.labels, dataset.attributes);
    for s in &dataset.samples {
        text += &format!("{:?}\n", (&s.id, &s.patient, &s.study, &s.attributes, &s.truths));
    }
    text.into_bytes()
}

fn failures_csv(failures: &[(String, String)]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write = || -> std::result::Result<(), csv::Error> {
        writer.write_record(["image", "reason"])?;
        failures.iter().try_for_each(|(image, reason)| writer.write_record([image, reason]))
    };
    write().map_err(|e| Error::new(e.to_string()).at("failures.csv"))?;
    writer.into_inner().map_err(|e| Error::new(e.to_string()).at("failures.csv"))
}
