//! A run as it goes, from its journal: how far it is, and what the labels' AUROCs look like by now. The process that
//! infers may be this one or another; or it is many, each of which writes a shard.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::cards::model::ModelCard;
use crate::cluster::job::JobFolder;
use crate::cluster::status::Status;
use crate::data::{self, Dataset};
use crate::error::{Error, Result};
use crate::inference::journal::{Outcome, Output, Tail};
use crate::labels;
use crate::metrics::auroc::{Auroc, Placements};
use crate::metrics::roc::Ranked;
use crate::models;
use crate::predictions::{self, Policy};
use crate::run::{Description, RunFolder};
use crate::shard::Shard;

/// With fewer rows of a class an AUROC says nothing yet.
const FEW: usize = 10;

/// How often Slurm is asked about a job.
const ASK: Duration = Duration::from_secs(10);

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
    /// How far the shards are, where the run is a job's.
    pub shards: Option<(Status, Instant)>,
    card: ModelCard,
    policy: Policy,
    dataset: Option<Dataset>,
    patients: Option<Vec<u32>>,
    sources: Vec<Source>,
    /// Parallel to the dataset's samples.
    scores: Vec<Option<Vec<f64>>>,
}

/// A folder that outcomes come from.
struct Source {
    folder: RunFolder,
    tail: Tail,
    /// Where its images stand in the dataset; empty where that is not known.
    rows: Vec<usize>,
    /// Outcomes that were taken.
    taken: usize,
    /// Whether all of them were.
    whole: bool,
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
            let mut numbers = HashMap::new();
            let number = |p| {
                let next = numbers.len() as u32;
                *numbers.entry(p).or_insert(next)
            };
            patients.into_iter().map(number).collect()
        });
        watch.scores = vec![None; dataset.samples.len()];
        watch.sources[0].rows = (0..dataset.samples.len()).collect();
        watch.dataset = Some(dataset);
        watch
    }

    /// Attaches to the run in `folder`, which another process is writing, or many of a job. Its truths are known where its
    /// dataset is found (`images` is the folder of the pictures).
    pub fn attach(folder: RunFolder, images: Option<&Path>) -> Result<Self> {
        let job = JobFolder::new(folder.path());
        if !job.is_under_way() {
            let d = Description::read(&folder)?;
            return Ok(Self::described(folder, &d, d.images, images));
        }
        let status = Status::read(&job)?;
        let count = status.shards.len() as u64;
        let begun = (1..=count).find_map(|i| Description::read(&job.shard(i)).ok());
        let d = begun.ok_or_else(|| Error::new("none of its shards has begun yet").at(folder.path().display()))?;
        let mut watch = Self::described(folder, &d, status.images, images);
        let samples = watch.dataset.as_ref().map_or(&[][..], |dataset| &dataset.samples);
        let mut rows = vec![Vec::new(); status.shards.len()];
        for (row, sample) in samples.iter().enumerate() {
            rows[Shard::number_of(&sample.id, count) as usize - 1].push(row);
        }
        watch.sources = (1..=count).zip(rows).map(|(i, rows)| Source::new(job.shard(i), rows)).collect();
        watch.shards = Some((status, Instant::now()));
        Ok(watch)
    }

    /// Of the `total` images of the run that `d` tells of.
    fn described(folder: RunFolder, d: &Description, total: usize, images: Option<&Path>) -> Self {
        match data::load(&d.dataset, images, d.split.as_deref()) {
            Ok(mut dataset) => {
                dataset.samples.truncate(total);
                Self::new(folder, &d.model, d.policy, dataset)
            }
            Err(e) => {
                let mut watch = Self::blind(folder, &d.model, d.policy, total);
                watch.name = format!("{} on {}", d.model.name, d.dataset.name);
                watch.blind = Some(e.to_string());
                watch
            }
        }
    }

    fn blind(folder: RunFolder, card: &ModelCard, policy: Policy, total: usize) -> Self {
        Self {
            sources: vec![Source::new(folder.clone(), Vec::new())],
            folder,
            name: String::new(),
            total,
            done: 0,
            since: None,
            failures: Vec::new(),
            labels: Vec::new(),
            device: None,
            blind: None,
            shards: None,
            card: card.clone(),
            policy,
            dataset: None,
            patients: None,
            scores: Vec::new(),
        }
    }

    /// Whether its results stand in the folder.
    pub fn finished(&self) -> bool {
        self.folder.is_finished()
    }

    /// Reads what is new.
    pub fn update(&mut self) -> Result<()> {
        if self.shards.as_ref().is_some_and(|(_, asked)| asked.elapsed() >= ASK) {
            self.shards = Some((Status::read(&JobFolder::new(self.folder.path()))?, Instant::now()));
        }
        let before = self.done;
        for i in 0..self.sources.len() {
            for outcome in self.sources[i].tail.read()? {
                self.take(i, outcome);
            }
            if !self.sources[i].whole && self.sources[i].folder.is_finished() {
                self.take_whole(i)?;
            }
        }
        if self.done > before {
            self.since.get_or_insert((Instant::now(), self.done));
            self.labels = (0..self.card.labels.len()).map(|i| self.live(i)).collect();
            if self.device.is_none() {
                let devices = self.sources.iter().filter_map(|source| Description::read(&source.folder).ok());
                self.device = devices.map(|run| run.device).next();
            }
        }
        Ok(())
    }

    /// Takes the next outcome of source `i`.
    fn take(&mut self, i: usize, outcome: Outcome) {
        let source = &mut self.sources[i];
        let row = source.rows.get(source.taken).copied();
        source.taken += 1;
        self.done += 1;
        match outcome.result {
            Output::Logits(logits) => {
                if let Some(row) = row {
                    self.scores[row] = Some(models::probabilities(self.card.output, &logits));
                }
            }
            Output::Failure(reason) => {
                let sample = row.and_then(|row| self.dataset.as_ref()?.samples.get(row));
                let image = sample.map_or_else(|| format!("image {}", self.done), |s| s.id.clone());
                self.failures.push((image, reason));
            }
        }
    }

    /// Takes what source `i`, which is finished, wrote: its journal is gone.
    fn take_whole(&mut self, i: usize) -> Result<()> {
        let source = &mut self.sources[i];
        source.whole = true;
        let images = Description::read(&source.folder)?.images;
        if source.taken == images {
            return Ok(());
        }
        self.done += images - source.taken;
        let Some(dataset) = &self.dataset else { return Ok(()) };
        let failures = source.folder.read_failures()?;
        if failures.len() < images {
            let table = predictions::read(&source.folder.predictions(), None)?;
            let known: HashMap<&str, usize> =
                source.rows.iter().map(|r| (dataset.samples[*r].id.as_str(), *r)).collect();
            let of = |name: &String| table.label(name).and_then(|label| label.scores.as_ref());
            let columns: Vec<_> = self.card.labels.iter().filter_map(of).collect();
            for (n, image) in table.images.iter().enumerate() {
                if let (Some(row), true) = (known.get(image.as_str()), columns.len() == self.card.labels.len()) {
                    self.scores[*row] = Some(columns.iter().map(|column| column[n]).collect());
                }
            }
        }
        self.failures.retain(|(image, _)| !failures.iter().any(|(other, _)| other == image));
        self.failures.extend(failures);
        Ok(())
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

impl Source {
    fn new(folder: RunFolder, rows: Vec<usize>) -> Self {
        Self { tail: Tail::new(&folder.journal()), folder, rows, taken: 0, whole: false }
    }
}
