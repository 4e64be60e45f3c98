//! `roentgen train`: from a recipe to weights that are measured and ready for use.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::cards::catalogue;
use crate::cards::dataset::DatasetCard;
use crate::cli::{args, machine, note, print, train_results};
use crate::data::{self, Dataset};
use crate::device::{Place, Precision};
use crate::error::Result;
use crate::models;
use crate::ops;
use crate::run::{Epoch, TrainingFolder};
use crate::train::recipe::{self, Recipe, StartPart};
use crate::train::{News, Part, Plan, Trainer, stratify};
use crate::tui::widgets::text::duration;
use crate::weights::Tensors;

/// Off a terminal there is a line about the steps this often.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Carries the verb out.
pub fn run(args: &args::Train) -> Result<()> {
    let threads = machine::threads(args.threads)?;
    ops::keep_memory();
    let (text, home) = catalogue::recipe(&args.recipe)?;
    let recipe = Recipe::parse(&text, &args.recipe)?;
    let folder = match &args.out {
        Some(out) => out.clone(),
        None => Path::new("reports").join(format!("train--{}", recipe.name)),
    };
    let folder = TrainingFolder::new(folder);
    let place = machine::place(args.device, recipe.training.precision)?;
    let (parts, cards) = parts(&recipe, &home, args.root.as_deref())?;
    let start = start(&recipe, &home)?;
    let plan = Plan {
        recipe: recipe.clone(),
        text,
        start,
        parts: parts.clone(),
        place: place.clone(),
        folder: folder.clone(),
        resume: args.resume,
    };
    let mut trainer = Trainer::begin(plan)?;
    print(&header(&trainer))?;
    let stop = machine::stop_flag()?;
    let mut meter = Meter::new();
    let mut printed = Ok(());
    for epoch in &trainer.log().epochs {
        print(&line(epoch, trainer.log().best == Some(epoch.epoch), None))?;
    }
    trainer.run(&stop, &mut |news| {
        if let Some(line) = meter.show(news) {
            printed = print(&line);
        }
    })?;
    printed?;
    let log = trainer.log();
    // What is learnt in any precision is measured in f32.
    let place = Place { precision: Precision::F32, ..place };
    let finished = train_results::Finished { recipe: &recipe, log, folder: &folder, parts, cards, place, threads };
    print(&finished.measure(&stop)?)?;
    trainer.finish()
}

/// Train, validation and test, each with its dataset's card.
fn parts(recipe: &Recipe, home: &Path, root: Option<&Path>) -> Result<(Vec<Part>, Vec<DatasetCard>)> {
    let data = &recipe.data;
    let card = dataset(&data.card, home)?;
    let name = card.name.clone();
    let load = |card: &DatasetCard, split: Option<&str>| -> Result<Dataset> {
        // Another dataset has its own place.
        let dataset = data::load(card, root.filter(|_| card.name == name), split)?;
        dataset.notes.iter().for_each(|n| note(n));
        Ok(dataset)
    };
    let learnt = load(&card, data.train.as_deref())?;
    let others = [("validation", Some(&data.validation)), ("test", data.test.as_ref())];
    let others: Vec<(&'static str, &recipe::Part)> =
        others.into_iter().filter_map(|(name, part)| part.map(|part| (name, part))).collect();
    let cut: Vec<f64> = others.iter().filter_map(|(_, part)| part.share).collect();
    let shares: Vec<f64> = std::iter::once(1.0 - cut.iter().sum::<f64>()).chain(cut).collect();
    if shares.len() > 1 && learnt.samples.iter().any(|s| s.patient.is_none()) {
        note("patients are not known for all images: those are split image by image");
    }
    let of = stratify(&learnt.samples, &shares, recipe.seed);
    let piece = |wanted: usize| {
        let samples = learnt.samples.iter().zip(&of).filter(|(_, part)| **part == wanted).map(|(s, _)| s.clone());
        Dataset { samples: samples.collect(), notes: Vec::new(), ..learnt.clone() }
    };
    let (mut parts, mut cards) = (vec![Part { name: "train", dataset: piece(0) }], vec![card.clone()]);
    let mut next = 1;
    for (name, part) in others {
        let (card, dataset) = match part.share {
            Some(_) => {
                next += 1;
                (card.clone(), piece(next - 1))
            }
            None => {
                let card = match &part.card {
                    Some(spec) => dataset(spec, home)?,
                    None => card.clone(),
                };
                let found = load(&card, part.split.as_deref())?;
                (card, found)
            }
        };
        parts.push(Part { name, dataset });
        cards.push(card);
    }
    Ok((parts, cards))
}

/// The dataset card that a recipe names: beside the recipe, or as everywhere.
fn dataset(spec: &str, home: &Path) -> Result<DatasetCard> {
    let beside = home.join(spec);
    match beside.is_file() {
        true => DatasetCard::read(&beside),
        false => catalogue::dataset(spec),
    }
}

/// The weights to start from, and the SHA-256 of the files they are from.
fn start(recipe: &Recipe, home: &Path) -> Result<(Tensors, Vec<String>)> {
    let card = recipe.card();
    let mut tensors = models::initial(&card, recipe.seed)?;
    let mut hashes = Vec::new();
    for start in &recipe.start {
        let beside = home.join(&start.model);
        let (from, home) = match beside.is_file() {
            true => catalogue::model(&beside.display().to_string())?,
            false => catalogue::model(&start.model)?,
        };
        let (file, sha256) = models::tensors(&from, &home)?;
        models::put(&card, &mut tensors, file, start.part == StartPart::Backbone)?;
        hashes.push(sha256);
    }
    Ok((tensors, hashes))
}

/// What is learnt from.
fn header(trainer: &Trainer) -> String {
    let log = trainer.log();
    let parts: Vec<_> =
        log.parts.iter().map(|p| format!("{} {} images of {} patients", p.name, p.images, p.patients)).collect();
    let mut text = format!("{}: {}\n", log.recipe, parts.join(", "));
    if let Some(how) = log.arithmetic() {
        text += &format!("  {how}\n");
    }
    for label in &log.labels {
        let [positive, negative] = label.weights;
        text += &format!("  {}: {} positive, {} negative", label.label, label.positives, label.negatives);
        if positive != 1.0 || negative != 1.0 {
            text += &format!(", weighted {positive:.4} and {negative:.4}");
        }
        text += "\n";
    }
    text
}

/// One line an epoch.
fn line(epoch: &Epoch, best: bool, took: Option<Duration>) -> String {
    let v = &epoch.validation;
    let took = took.map(|t| format!("  {}", duration(t.as_secs_f64()))).unwrap_or_default();
    format!(
        "epoch {:>3}  loss {:.4}  rate {:.2e}  validation: loss {:.4}  AUROC {:.4}  AUPRC {:.4}  sens {:.4}  spec {:.4}{}{took}\n",
        epoch.epoch,
        epoch.loss,
        epoch.rate,
        v.loss,
        v.auroc,
        v.average_precision,
        v.sensitivity,
        v.specificity,
        if best { "  best" } else { "" },
    )
}

/// Tells on stderr how far an epoch is.
struct Meter {
    terminal: bool,
    begun: Instant,
    shown: Instant,
    /// Of the epoch's images, when this process came to it.
    before: HashMap<usize, usize>,
}

impl Meter {
    fn new() -> Self {
        let now = Instant::now();
        Self { terminal: std::io::stderr().is_terminal(), begun: now, shown: now, before: HashMap::new() }
    }

    /// Shows steps; gives an epoch's line.
    fn show(&mut self, news: News) -> Option<String> {
        match news {
            News::Epoch(epoch, best) => {
                let took = std::mem::replace(&mut self.begun, Instant::now()).elapsed();
                if self.terminal {
                    let _ = write!(std::io::stderr(), "\r\x1b[K");
                }
                Some(line(epoch, best, Some(took)))
            }
            News::Step { epoch, shown, images, loss, rate } => {
                let first = !self.before.contains_key(&epoch);
                let before = *self.before.entry(epoch).or_insert(shown);
                if !self.terminal && (first || self.shown.elapsed() < LINE_EVERY) {
                    return None;
                }
                self.shown = Instant::now();
                let new = shown.saturating_sub(before);
                let each = self.begun.elapsed().as_secs_f64() / new.max(1) as f64;
                let left =
                    if new > 0 { format!("  ETA {}", duration(each * (images - shown) as f64)) } else { String::new() };
                let text = format!("epoch {epoch}  {shown}/{images} images  loss {loss:.4}  rate {rate:.2e}{left}");
                let mut stderr = std::io::stderr();
                let _ = if self.terminal {
                    write!(stderr, "\r\x1b[K{text}").and_then(|()| stderr.flush())
                } else {
                    writeln!(stderr, "{text}")
                };
                None
            }
        }
    }
}
