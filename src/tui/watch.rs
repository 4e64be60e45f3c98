//! A run as it goes, from its journal: how far it is, and what the labels' AUROCs look like by now. The process that
//! infers may be this one or another.

use std::time::Instant;

use crate::cards::model::ModelCard;
use crate::data::{self, Dataset};
use crate::error::Result;
use crate::inference::journal::{Outcome, Output, Tail};
use crate::labels;
use crate::metrics::auroc::{Auroc, Placements};
use crate::metrics::roc::Ranked;
use crate::models;
use crate::predictions::Policy;
use crate::run::{Description, RunFolder};

/// With fewer rows of a class an AUROC says nothing yet.
const FEW: usize = 10;

/// A run that is being watched.
pub struct Watch {
    /// Its folder.
    pub folder: RunFolder,
    /// Model and dataset.
    pub name: String,
    /// Images in all.
    pub total: usize,
    /// Images with an outcome.
    pub done: usize,
    /// When the first outcomes were seen, and how many they were.
    pub since: Option<(Instant, usize)>,
    /// Images that could not be read, with the reason.
    pub failures: Vec<(String, String)>,
    /// What is known of each label of the model.
    pub labels: Vec<Live>,
    /// Where the network runs, once the run says so.
    pub device: Option<String>,
    /// Why there are no truths, where there are none.
    pub blind: Option<String>,
    card: ModelCard,
    policy: Policy,
    dataset: Option<Dataset>,
    patients: Option<Vec<u32>>,
    tail: Tail,
    scores: Vec<Option<Vec<f64>>>,
}

/// What is known of a label by now.
pub struct Live {
    /// Its name.
    pub name: String,
    /// Rows that count.
    pub n: usize,
    /// Positives among them.
    pub n_pos: usize,
    /// With enough rows of both classes.
    pub auroc: Option<Auroc>,
    /// Why not, in words.
    pub why: &'static str,
}

impl Watch {
    /// Watches a run of `card` over `dataset`, whose truths are known.
    pub fn new(folder: RunFolder, card: &ModelCard, policy: Policy, dataset: Dataset) -> Self {
        let mut watch = Self::blind(folder, card, policy, dataset.samples.len());
        watch.name = format!("{} on {}", card.name, dataset.name);
        let patients: Option<Vec<&str>> = dataset.samples.iter().map(|s| s.patient.as_deref()).collect();
        watch.patients = patients.map(|patients| {
            let mut numbers = std::collections::HashMap::new();
            let number = |p| {
                let next = numbers.len() as u32;
                *numbers.entry(p).or_insert(next)
            };
            patients.into_iter().map(number).collect()
        });
        watch.dataset = Some(dataset);
        watch
    }

    /// Attaches to the run in `folder`, which another process is writing. Its truths are known where its dataset is found
    /// (`images` is the folder of the pictures).
    pub fn attach(folder: RunFolder, images: Option<&std::path::Path>) -> Result<Self> {
        let d = Description::read(&folder)?;
        let mut dataset = match data::load(&d.dataset, images, d.split.as_deref()) {
            Ok(dataset) => dataset,
            Err(e) => {
                let mut watch = Self::blind(folder, &d.model, d.policy, d.images);
                watch.name = format!("{} on {}", d.model.name, d.dataset.name);
                watch.blind = Some(e.to_string());
                return Ok(watch);
            }
        };
        dataset.samples.truncate(d.images);
        Ok(Self::new(folder, &d.model, d.policy, dataset))
    }

    fn blind(folder: RunFolder, card: &ModelCard, policy: Policy, total: usize) -> Self {
        let tail = Tail::new(&folder.journal());
        Self {
            folder,
            name: String::new(),
            total,
            done: 0,
            since: None,
            failures: Vec::new(),
            labels: Vec::new(),
            device: None,
            blind: None,
            card: card.clone(),
            policy,
            dataset: None,
            patients: None,
            tail,
            scores: Vec::new(),
        }
    }

    /// Whether its results stand in the folder.
    pub fn finished(&self) -> bool {
        !self.folder.journal().exists() && self.folder.predictions().exists()
    }

    /// Reads what is new.
    pub fn update(&mut self) -> Result<()> {
        let new = self.tail.read()?;
        if new.is_empty() {
            return Ok(());
        }
        for outcome in new {
            self.take(outcome);
        }
        self.done = self.scores.len();
        self.since.get_or_insert((Instant::now(), self.done));
        if self.device.is_none() {
            self.device = Some(Description::read(&self.folder)?.device);
        }
        self.labels = (0..self.card.labels.len()).map(|i| self.live(i)).collect();
        Ok(())
    }

    fn take(&mut self, outcome: Outcome) {
        let scores = match outcome.result {
            Output::Logits(logits) => Some(models::probabilities(self.card.output, &logits)),
            Output::Failure(reason) => {
                let sample = self.dataset.as_ref().and_then(|d| d.samples.get(self.scores.len()));
                let image = sample.map_or_else(|| format!("image {}", self.scores.len() + 1), |s| s.id.clone());
                self.failures.push((image, reason));
                None
            }
        };
        self.scores.push(scores);
    }

    fn live(&self, i: usize) -> Live {
        let name = self.card.labels[i].clone();
        let nothing = |why| Live { name: name.clone(), n: 0, n_pos: 0, auroc: None, why };
        let Some(dataset) = &self.dataset else { return nothing("its truths are not known here") };
        let Some(column) = labels::find(&dataset.labels, &name) else { return nothing("the data lack it") };
        let (mut y, mut scores, mut units) = (Vec::new(), Vec::new(), Vec::new());
        for (row, (sample, found)) in dataset.samples.iter().zip(&self.scores).enumerate() {
            if let (Some(positive), Some(found)) = (self.policy.positive(sample.truths[column]), found) {
                y.push(positive);
                scores.push(found[i]);
                units.push(self.patients.as_ref().map_or(row as u32, |p| p[row]));
            }
        }
        let (n, n_pos) = (y.len(), y.iter().filter(|y| **y).count());
        let placements = || {
            let ranked = Ranked::new(&y, &scores).ok()?;
            match &self.patients {
                Some(_) => Placements::new(&ranked, Some(&units)),
                None => Placements::by_row(&ranked, &units),
            }
        };
        let (auroc, why) = match (n_pos < FEW, n - n_pos < FEW) {
            (true, _) => (None, "too few positives yet"),
            (_, true) => (None, "too few negatives yet"),
            _ => (placements().map(|p| p.headline()), ""),
        };
        Live { name, n, n_pos, auroc, why }
    }
}
