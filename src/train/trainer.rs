//! A training from its first step to its last, whatever interrupts it.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};

use super::checkpoint::{Checkpoint, Position};
use super::folder;
use super::learner::Learner;
use super::loss::{Loss, Targets};
use super::partition::{self, Part};
use super::pictures::{Pictures, Variation};
use super::prevalence;
use super::recipe::{Measure, Recipe, WEIGHTS};
use super::sampling::{self, Draws, Showing};
use super::schedule::{At, Pace};
use super::validate::validate;
use crate::cards::model::ModelCard;
use crate::data::manifest::Manifest;
use crate::device::Place;
use crate::error::{Error, Result};
use crate::files;
use crate::run::{Epoch, PartSize, TRAINING_SCHEMA, Training, TrainingFolder, Validation};
use crate::weights::{Tensors, write_safetensors};

/// A checkpoint is written this often, and at the end of every epoch.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(120);

/// What is told while a training goes on.
pub enum News<'a> {
    /// After a step.
    Step {
        /// The epoch, from 1.
        epoch: usize,
        /// Images of it that were shown.
        shown: usize,
        /// Images of it in all.
        images: usize,
        /// Mean loss of the epoch so far.
        loss: f64,
        /// Learning rate of the step.
        rate: f64,
    },
    /// After an epoch; with whether it is the best so far.
    Epoch(&'a Epoch, bool),
}

/// A training that has begun.
pub struct Trainer {
    recipe: Recipe,
    card: ModelCard,
    folder: TrainingFolder,
    learner: Learner,
    device: Device,
    train: Pictures,
    /// A batch that was made while the one before it was learnt from, and the showing that it begins with.
    ahead: Option<(usize, Result<(Tensor, Targets)>)>,
    validation: Pictures,
    log: Training,
    position: Position,
    saved: Instant,
    /// Held as long as this process trains.
    _lock: File,
}

/// What a training is of.
pub struct Plan {
    /// The recipe.
    pub recipe: Recipe,
    /// Its text.
    pub text: String,
    /// The weights to start from, and the SHA-256 of the files they are from.
    pub start: (Tensors, Vec<String>),
    /// Train, validation and, where there is one, test.
    pub parts: Vec<Part>,
    /// Where the network learns.
    pub place: Place,
    /// Where all goes.
    pub folder: TrainingFolder,
    /// Whether an unfinished training there is gone on with.
    pub resume: bool,
}

impl Trainer {
    /// Checks the data, opens the folder, and goes back to its checkpoint where there is one. Nothing is written when
    /// anything is wrong.
    ///
    /// # Errors
    /// Parts that share a patient, a label without positives or negatives to learn from, validation images of one class
    /// only, a folder with another training or other files.
    pub fn begin(plan: Plan) -> Result<Self> {
        let Plan { recipe, text, start, parts, place, folder, resume } = plan;
        partition::check_apart(&parts)?;
        let card = recipe.card();
        let pictures = |part: &Part| Pictures::new(&part.dataset, &card.labels, &card.input, recipe.data.policy);
        let [train, validation, ..] = parts.as_slice() else { return Err(Error::new("a part of the data is missing")) };
        let (train, validation) = (pictures(train)?, pictures(validation)?);
        let labels = prevalence::prevalences(&card, recipe.training.loss, &train)?;
        if !prevalence::counts(&validation).iter().any(|(positives, negatives)| *positives > 0 && *negatives > 0) {
            return Err(Error::new("no label has both classes among the validation images")
                .at("the split")
                .mend("give `data.validation` more images"));
        }
        let shares: Vec<_> = labels.iter().map(|l| l.positives as f64 / (l.positives + l.negatives) as f64).collect();
        let loss = Loss::new(recipe.training.loss, &shares);
        let learner = Learner::new(&recipe, &card, start.0, loss, &place.device)
            .map_err(|e| e.at("the weights to start from"))?;
        let log = Training {
            schema: TRAINING_SCHEMA.into(),
            software: concat!("roentgen ", env!("CARGO_PKG_VERSION")).into(),
            device: place.name,
            instructions: place.instructions,
            precision: recipe.training.precision.to_string(),
            recipe: recipe.name.clone(),
            recipe_sha256: files::sha256(text.as_bytes()),
            start_sha256: start.1,
            seed: recipe.seed,
            epochs_at_most: recipe.training.epochs,
            parts: parts.iter().map(size).collect(),
            labels,
            best: None,
            epochs: Vec::new(),
        };
        let position = Position { fingerprint: files::sha256(log.to_toml()?.as_bytes()), ..Position::default() };
        let lock = folder::open(&folder, &text, resume)?;
        let mut trainer = Self {
            recipe,
            card,
            folder,
            learner,
            device: place.device,
            train,
            ahead: None,
            validation,
            log,
            position,
            saved: Instant::now(),
            _lock: lock,
        };
        if trainer.folder.checkpoint().exists() {
            trainer.restore()?;
        } else if trainer.folder.readme().exists() {
            return Err(Error::usage("the training in it is finished")
                .at(trainer.folder.path().display())
                .mend("choose another --out, or remove the folder"));
        }
        files::write(&trainer.folder.splits(), &partition::to_csv(&parts)?)?;
        trainer.write_log()?;
        Ok(trainer)
    }

    /// What was learnt from, and how the epochs went.
    pub fn log(&self) -> &Training {
        &self.log
    }

    /// Trains to the end. When `stop` becomes true it ends after a step, with a checkpoint and an error of kind
    /// `Interrupted`.
    pub fn run(&mut self, stop: &AtomicBool, report: &mut dyn FnMut(News)) -> Result<()> {
        while !self.is_finished() {
            self.epoch(stop, report)?;
        }
        Ok(())
    }

    /// Removes the checkpoint: nothing is left to do. Called when the weights are measured.
    pub fn finish(self) -> Result<()> {
        let path = self.folder.checkpoint();
        std::fs::remove_file(&path).map_err(|e| Error::io(&path, e))
    }

    fn is_finished(&self) -> bool {
        let done = self.position.epochs.len();
        let best = self.log.best.unwrap_or(done);
        done >= self.recipe.training.epochs || self.recipe.training.patience.is_some_and(|p| done - best >= p)
    }

    fn epoch(&mut self, stop: &AtomicBool, report: &mut dyn FnMut(News)) -> Result<()> {
        let (training, seed) = (self.recipe.training.clone(), self.recipe.seed);
        let epoch = self.position.epochs.len();
        let order = sampling::epoch(training.sampling, self.train.truths(), seed, epoch);
        let each = training.batch * training.accumulate;
        let mut rate = self.pace(order.len()).rate;
        while self.position.shown < order.len() {
            if stop.load(Ordering::Relaxed) {
                self.save()?;
                return Err(Error::interrupted(format!(
                    "stopped in epoch {} after {} of {} images",
                    epoch + 1,
                    self.position.shown,
                    order.len()
                ))
                .mend("all of it is kept: go on with the same command and --resume"));
            }
            let pace = self.pace(order.len());
            rate = pace.rate;
            let end = order.len().min(self.position.shown + each);
            self.step(&order, end, pace, epoch)?;
            self.position.shown = end;
            report(News::Step {
                epoch: epoch + 1,
                shown: end,
                images: order.len(),
                loss: self.position.losses / self.position.batches as f64,
                rate,
            });
            if self.saved.elapsed() >= CHECKPOINT_EVERY {
                self.save()?;
            }
        }
        let (weights, loss) = (self.learner.tensors()?, self.learner.loss());
        let validation = validate(&self.card, weights, loss, &self.validation, &self.device)?;
        let loss = self.position.losses / self.position.batches as f64;
        let found = Epoch { epoch: epoch + 1, rate, loss, validation };
        let best = self.log.best.map(|b| self.position.epochs[b - 1].validation);
        let better = best.is_none_or(|best| is_better(training.best, &validation, &best));
        if better {
            // Before the checkpoint that speaks of it: a training killed between the two writes the same again.
            self.write_best(epoch + 1)?;
            self.log.best = Some(epoch + 1);
        }
        self.position.epochs.push(found);
        (self.position.shown, self.position.losses, self.position.batches) = (0, 0.0, 0);
        self.save()?;
        self.write_log()?;
        report(News::Epoch(&found, better));
        Ok(())
    }

    fn pace(&self, images: usize) -> Pace {
        let training = &self.recipe.training;
        let losses: Vec<_> = self.position.epochs.iter().map(|e| e.validation.loss).collect();
        let each = training.batch * training.accumulate;
        let steps = images.div_ceil(each);
        // Steps that were left out count here, as PyTorch's schedulers have it.
        let step = self.position.epochs.len() * steps + self.position.shown.div_ceil(each);
        let at = At { step, steps: training.epochs * steps, epochs: training.epochs, losses: &losses };
        self.recipe.schedule.pace(self.recipe.optimizer.rate(), at)
    }

    /// One step of the optimiser by the showings of `order` from the place in it to `end`.
    fn step(&mut self, order: &[Showing], end: usize, pace: Pace, epoch: usize) -> Result<()> {
        let Recipe { seed, training, augment, .. } = &self.recipe;
        let (pictures, variation) = (&self.train, Variation { augment, seed: *seed, epoch });
        let batch = |first: usize| {
            let showings = &order[first..order.len().min(first + training.batch)];
            pictures.batch(showings, Some(variation))
        };
        for first in (self.position.shown..end).step_by(training.batch) {
            let (x, targets) = match self.ahead.take() {
                Some((of, ready)) if of == first => ready?,
                _ => batch(first)?,
            };
            let mut rng = Draws::Dropout.rng(*seed, epoch << 32 | first);
            let next = first + training.batch;
            let loss = std::thread::scope(|scope| {
                // While a GPU computes, the processor has nothing else to do.
                let free = self.learner.is_composed() && next < order.len();
                let ahead = free.then(|| scope.spawn(|| batch(next)));
                let loss = self.learner.learn(&x, &targets, &mut rng);
                let made = ahead.map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
                self.ahead = made.map(|made| (next, made));
                loss
            });
            self.position.losses += loss.map_err(|e| e.at(format_args!("epoch {}, image {first}", epoch + 1)))?;
            self.position.batches += 1;
        }
        self.learner.step(pace, training.clip).map_err(|e| e.at(format_args!("epoch {}", epoch + 1)))
    }

    fn save(&mut self) -> Result<()> {
        (self.position.steps, self.position.scale) = self.learner.state();
        Checkpoint { position: self.position.clone(), values: self.learner.values()? }
            .write(&self.folder.checkpoint())?;
        self.saved = Instant::now();
        Ok(())
    }

    fn restore(&mut self) -> Result<()> {
        let mut checkpoint = Checkpoint::read(&self.folder.checkpoint())?;
        if checkpoint.position.fingerprint != self.position.fingerprint {
            return Err(folder::unlike(&self.folder, &self.log));
        }
        self.learner.restore(&self.recipe, &self.card, &mut checkpoint)?;
        self.position = checkpoint.position;
        for (i, epoch) in self.position.epochs.iter().enumerate() {
            let best = self.log.best.map(|b| self.position.epochs[b - 1].validation);
            if best.is_none_or(|best| is_better(self.recipe.training.best, &epoch.validation, &best)) {
                self.log.best = Some(i + 1);
            }
        }
        Ok(())
    }

    fn write_best(&self, epoch: usize) -> Result<()> {
        let metadata = BTreeMap::from([
            ("made_by".to_owned(), format!("{}, recipe {}, epoch {epoch}", self.log.software, self.recipe.name)),
            ("recipe_sha256".to_owned(), self.log.recipe_sha256.clone()),
            ("labels".to_owned(), self.card.labels.join(",")),
            ("licence".to_owned(), self.card.licence.clone()),
        ]);
        let mut bytes = Vec::new();
        write_safetensors(&self.learner.tensors()?, &metadata, &mut bytes)
            .map_err(|e| Error::new(e.to_string()).at(WEIGHTS))?;
        files::write(&self.folder.path().join(WEIGHTS), &bytes)
    }

    fn write_log(&mut self) -> Result<()> {
        self.log.epochs = self.position.epochs.clone();
        files::write(&self.folder.log(), self.log.to_toml()?.as_bytes())
    }
}

fn is_better(by: Measure, a: &Validation, b: &Validation) -> bool {
    match by {
        Measure::Auroc => a.auroc > b.auroc,
        Measure::AveragePrecision => a.average_precision > b.average_precision,
        Measure::Loss => a.loss < b.loss,
    }
}

fn size(part: &Part) -> PartSize {
    let samples = &part.dataset.samples;
    let known: std::collections::HashSet<_> = samples.iter().filter_map(|s| s.patient.as_deref()).collect();
    let unknown = samples.iter().filter(|s| s.patient.is_none()).count();
    PartSize {
        name: part.name.into(),
        images: samples.len(),
        patients: known.len() + unknown,
        samples: Manifest::new(&part.dataset, []).listing_sha256(),
    }
}
