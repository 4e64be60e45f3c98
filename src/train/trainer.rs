//! A training from its first step to its last, whatever interrupts it.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use candle_core::Device;

use super::checkpoint::{Checkpoint, Place};
use super::loss::Loss;
use super::optimizer::{self, Optimizer};
use super::partition::{self, Part};
use super::pictures::{Pictures, Variation};
use super::recipe::{Measure, Recipe, WEIGHTS};
use super::sampling::{self, Draws, Showing};
use super::schedule::{At, Pace};
use super::validate::{not_finite, validate};
use crate::cards::model::ModelCard;
use crate::data::manifest::Manifest;
use crate::error::{Error, Result};
use crate::files;
use crate::models::{self, Model, Network};
use crate::run::{Epoch, PartSize, Prevalence, TRAINING_SCHEMA, Training, TrainingFolder, Validation, instruction_set};
use crate::weights::{Tensors, write_safetensors};

/// A checkpoint is written this often, and at the end of every epoch.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(120);

/// Bytes of pictures that are kept decoded.
static ROOM: AtomicUsize = AtomicUsize::new(2 << 30);

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
    network: Network,
    /// Where only the head learns: the backbone, which does not change.
    backbone: Option<Model>,
    optimizer: Optimizer,
    loss: Loss,
    train: Pictures,
    validation: Pictures,
    log: Training,
    place: Place,
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
        let Plan { recipe, text, start, parts, folder, resume } = plan;
        partition::check_apart(&parts)?;
        let card = recipe.card();
        let pictures = |part: &Part| Pictures::new(&part.dataset, &card.labels, &card.input, recipe.data.policy, &ROOM);
        let [train, validation, ..] = parts.as_slice() else { return Err(Error::new("a part of the data is missing")) };
        let (train, validation) = (pictures(train)?, pictures(validation)?);
        let labels = prevalences(&card, &recipe, &train)?;
        if !prevalences_of(&validation).iter().any(|(positives, negatives)| *positives > 0 && *negatives > 0) {
            return Err(Error::new("no label has both classes among the validation images")
                .at("the split")
                .mend("give `data.validation` more images"));
        }
        let network = Network::new(&card, start.0).map_err(|e| e.at("the weights to start from"))?;
        let backbone = match recipe.training.frozen_backbone {
            true => Some(models::build(&card, network.tensors()?, &Device::Cpu)?),
            false => None,
        };
        let optimizer = Optimizer::new(recipe.optimizer, learning(&recipe, &network));
        let prevalence: Vec<_> =
            labels.iter().map(|l| l.positives as f64 / (l.positives + l.negatives) as f64).collect();
        let loss = Loss::new(recipe.training.loss, &prevalence);
        let log = Training {
            schema: TRAINING_SCHEMA.into(),
            software: concat!("roentgen ", env!("CARGO_PKG_VERSION")).into(),
            instructions: instruction_set().into(),
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
        let place = Place { fingerprint: files::sha256(log.to_toml()?.as_bytes()), ..Place::default() };
        let lock = open(&folder, &text, resume)?;
        let mut trainer = Self {
            recipe,
            card,
            folder,
            network,
            backbone,
            optimizer,
            loss,
            train,
            validation,
            log,
            place,
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
        let done = self.place.epochs.len();
        let best = self.log.best.unwrap_or(done);
        done >= self.recipe.training.epochs || self.recipe.training.patience.is_some_and(|p| done - best >= p)
    }

    fn epoch(&mut self, stop: &AtomicBool, report: &mut dyn FnMut(News)) -> Result<()> {
        let (training, seed) = (self.recipe.training.clone(), self.recipe.seed);
        let epoch = self.place.epochs.len();
        let order = sampling::epoch(training.sampling, self.train.truths(), seed, epoch);
        let each = training.batch * training.accumulate;
        let mut rate = self.pace(order.len()).rate;
        while self.place.shown < order.len() {
            if stop.load(Ordering::Relaxed) {
                self.save()?;
                return Err(Error::interrupted(format!(
                    "stopped in epoch {} after {} of {} images",
                    epoch + 1,
                    self.place.shown,
                    order.len()
                ))
                .mend("all of it is kept: go on with the same command and --resume"));
            }
            let pace = self.pace(order.len());
            rate = pace.rate;
            let end = order.len().min(self.place.shown + each);
            self.step(&order[self.place.shown..end], pace, epoch)?;
            self.place.shown = end;
            report(News::Step {
                epoch: epoch + 1,
                shown: end,
                images: order.len(),
                loss: self.place.losses / self.place.batches as f64,
                rate,
            });
            if self.saved.elapsed() >= CHECKPOINT_EVERY {
                self.save()?;
            }
        }
        let validation = validate(&self.card, &self.network, &self.loss, &self.validation)?;
        let loss = self.place.losses / self.place.batches as f64;
        let found = Epoch { epoch: epoch + 1, rate, loss, validation };
        let best = self.log.best.map(|b| self.place.epochs[b - 1].validation);
        let better = best.is_none_or(|best| is_better(training.best, &validation, &best));
        if better {
            // Before the checkpoint that speaks of it: a training killed between the two writes the same again.
            self.write_best(epoch + 1)?;
            self.log.best = Some(epoch + 1);
        }
        self.place.epochs.push(found);
        (self.place.shown, self.place.losses, self.place.batches) = (0, 0.0, 0);
        self.save()?;
        self.write_log()?;
        report(News::Epoch(&found, better));
        Ok(())
    }

    fn pace(&self, images: usize) -> Pace {
        let training = &self.recipe.training;
        let losses: Vec<_> = self.place.epochs.iter().map(|e| e.validation.loss).collect();
        let steps = training.epochs * images.div_ceil(training.batch * training.accumulate);
        let at = At { step: self.optimizer.steps() as usize, steps, epochs: training.epochs, losses: &losses };
        self.recipe.schedule.pace(self.recipe.optimizer.rate(), at)
    }

    /// One step of the optimiser.
    fn step(&mut self, showings: &[Showing], pace: Pace, epoch: usize) -> Result<()> {
        let Recipe { seed, training, augment, .. } = &self.recipe;
        let mut sum = None;
        let mut batches = 0;
        for (i, showings) in showings.chunks(training.batch).enumerate() {
            let variation = Variation { augment, seed: *seed, epoch };
            let (x, targets) = self.train.batch(showings, Some(variation))?;
            let first = self.place.shown + i * training.batch;
            let mut rng = Draws::Dropout.rng(*seed, epoch << 32 | first);
            let pass = match &self.backbone {
                Some(backbone) => self.network.forward_features(&backbone.features(&x)?, &mut rng)?,
                None => self.network.forward(&x, &mut rng)?,
            };
            let loss = self.loss.of(pass.logits(), &targets)?;
            let value = f64::from(loss.to_scalar::<f32>().map_err(|e| Error::new(e.to_string()).at("the loss"))?);
            if !value.is_finite() {
                return Err(not_finite("the loss").at(format_args!("epoch {}, image {first}", epoch + 1)));
            }
            let grads = pass.backward(&loss)?;
            match &mut sum {
                None => sum = Some(grads),
                Some(sum) => optimizer::add(sum, &grads, self.network.parameters().map(|(_, var)| var))?,
            }
            self.place.losses += value;
            batches += 1;
        }
        self.place.batches += batches;
        let Some(grads) = sum else { return Ok(()) };
        let mut scale = 1.0 / batches as f64;
        if let Some(clip) = training.clip {
            let norm = scale * optimizer::norm(&grads, learning(&self.recipe, &self.network).map(|(_, var)| var))?;
            if !norm.is_finite() {
                return Err(not_finite("the gradient").at(format_args!("epoch {}", epoch + 1)));
            }
            // As PyTorch's `clip_grad_norm_`.
            scale *= (clip / (norm + 1e-6)).min(1.0);
        }
        self.optimizer.step(pace, &grads, scale as f32)
    }

    fn save(&mut self) -> Result<()> {
        self.place.steps = self.optimizer.steps();
        let mut values: Vec<_> = Vec::new();
        for (name, _, tensor) in self.network.tensors()?.iter() {
            values.push((name.to_owned(), tensor.into_owned()));
        }
        for (name, memory) in self.optimizer.memory() {
            values.push((memory_name(name), memory.as_flattened().to_vec()));
        }
        Checkpoint { place: self.place.clone(), values }.write(&self.folder.checkpoint())?;
        self.saved = Instant::now();
        Ok(())
    }

    fn restore(&mut self) -> Result<()> {
        let path = self.folder.checkpoint();
        let mut checkpoint = Checkpoint::read(&path)?;
        if checkpoint.place.fingerprint != self.place.fingerprint {
            return Err(another(&path));
        }
        let mut tensors = Tensors::new();
        for (name, shape, values) in self.network.tensors()?.iter() {
            tensors.insert(name, shape, checkpoint.take(name, values.len())?)?;
        }
        self.network = Network::new(&self.card, tensors)?;
        self.optimizer = Optimizer::new(self.recipe.optimizer, learning(&self.recipe, &self.network));
        self.optimizer.restore(checkpoint.place.steps, |name, length| {
            let values = checkpoint.take(&memory_name(name), 2 * length)?;
            Ok(values.as_chunks::<2>().0.to_vec())
        })?;
        self.place = checkpoint.place;
        for (i, epoch) in self.place.epochs.iter().enumerate() {
            let best = self.log.best.map(|b| self.place.epochs[b - 1].validation);
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
        write_safetensors(&self.network.tensors()?, &metadata, &mut bytes)
            .map_err(|e| Error::new(e.to_string()).at(WEIGHTS))?;
        files::write(&self.folder.path().join(WEIGHTS), &bytes)
    }

    fn write_log(&mut self) -> Result<()> {
        self.log.epochs = self.place.epochs.clone();
        files::write(&self.folder.log(), self.log.to_toml()?.as_bytes())
    }
}

/// What the optimiser changes.
fn learning<'a>(
    recipe: &Recipe,
    network: &'a Network,
) -> Box<dyn Iterator<Item = (&'a str, &'a candle_core::Var)> + 'a> {
    match recipe.training.frozen_backbone {
        true => Box::new(network.head_parameters()),
        false => Box::new(network.parameters()),
    }
}

fn memory_name(parameter: &str) -> String {
    format!("memory of {parameter}")
}

fn is_better(by: Measure, a: &Validation, b: &Validation) -> bool {
    match by {
        Measure::Auroc => a.auroc > b.auroc,
        Measure::AveragePrecision => a.average_precision > b.average_precision,
        Measure::Loss => a.loss < b.loss,
    }
}

/// The error of a folder that holds something else.
fn another(place: &std::path::Path) -> Error {
    Error::new("it is of another recipe, other data, another version or another machine")
        .at(place.display())
        .mend("go on with what it was begun with, or choose another --out")
}

/// The folder with the recipe in it, held by this process alone.
fn open(folder: &TrainingFolder, text: &str, resume: bool) -> Result<File> {
    let (path, recipe) = (folder.path(), folder.recipe());
    std::fs::create_dir_all(path).map_err(|e| Error::io(path, e))?;
    if recipe.exists() {
        if resume && std::fs::read(&recipe).map_err(|e| Error::io(&recipe, e))? != text.as_bytes() {
            return Err(another(&recipe));
        }
        if !resume {
            return Err(Error::usage("there is a training in it")
                .at(path.display())
                .mend("go on with it by --resume, or choose another --out"));
        }
    } else if path.read_dir().map_err(|e| Error::io(path, e))?.next().is_some() {
        return Err(Error::usage("the folder holds other files")
            .at(path.display())
            .mend("choose an empty or a new folder for --out"));
    } else {
        files::write(&recipe, text.as_bytes())?;
    }
    let file = File::open(&recipe).map_err(|e| Error::io(&recipe, e))?;
    match file.try_lock() {
        Ok(()) => {
            files::remove_unfinished(path)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => Err(Error::new("another process trains in it").at(path.display())),
        Err(TryLockError::Error(e)) => Err(Error::io(&recipe, e)),
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

/// Positives and negatives of each label.
fn prevalences_of(pictures: &Pictures) -> Vec<(usize, usize)> {
    let labels = pictures.truths().first().map_or(0, Vec::len);
    let count = |label: usize, of: bool| pictures.truths().iter().filter(|t| t[label] == Some(of)).count();
    (0..labels).map(|label| (count(label, true), count(label, false))).collect()
}

/// What the images to learn from say of each label; a label of one class only is an error.
fn prevalences(card: &ModelCard, recipe: &Recipe, train: &Pictures) -> Result<Vec<Prevalence>> {
    let prevalence = |(label, (positives, negatives)): (&String, (usize, usize))| {
        if positives == 0 || negatives == 0 {
            let none = if positives == 0 { "positive" } else { "negative" };
            return Err(Error::new(format!("none of the images to learn from is {none}"))
                .at(format_args!("label {label}"))
                .mend("take the label out of `model.labels`, or give data that have both classes"));
        }
        let share = positives as f64 / (positives + negatives) as f64;
        let weights = match recipe.training.loss {
            super::recipe::Loss::Bce => [1.0, 1.0],
            super::recipe::Loss::PrevalenceWeightedBce => [1.0 - share, share],
        };
        Ok(Prevalence { label: label.clone(), positives, negatives, weights })
    };
    card.labels.iter().zip(prevalences_of(train)).map(prevalence).collect()
}
