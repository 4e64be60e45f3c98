//! `report.json`: everything that a run came to, recomputed from the run's predictions.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::canonical;
use super::checklist::{self, Checklist};
use super::examples::{self, Example};
use super::redaction::Ids;
use crate::audit::reproduce::reproduce;
use crate::audit::reproduction::{self, Images, Reproduction};
use crate::cards::dataset::DatasetCard;
use crate::cards::model::ModelCard;
use crate::cards::published::{PublishedTable, Unit};
use crate::error::{Error, Result};
use crate::explain;
use crate::explain::trust::{self, Trust};
use crate::files;
use crate::metrics::breakdown::{Breakdown, breakdown};
use crate::metrics::evaluation::{self, Curves, Evaluation, Settings};
use crate::predictions::{self, Label, Predictions, Truth};
use crate::run::{Description, RunFolder};

/// The schema that a report names.
pub const SCHEMA: &str = "roentgen/report/1";

/// More replicates say nothing more, and a report that asks for them would hold its reader's machine for hours.
const MOST_REPLICATES: usize = 20_000;

/// What a person chose for the report; part of it, so that a verifier computes the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Choices {
    /// Replicates of the patient bootstrap; 0 for none.
    pub bootstrap: usize,
    /// Its seed.
    pub seed: u64,
    /// The card of a published table that the run is compared with, whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<String>,
}

/// The report, in the order in which it is made; `report.json` holds it canonically.
#[derive(Serialize)]
pub struct Document {
    /// Always [`SCHEMA`].
    pub schema: &'static str,
    /// The program that made the report; the run names the one that made the predictions.
    pub software: &'static str,
    /// What a person chose.
    pub choices: Choices,
    /// The run's description: cards, versions, device, precision, policy, hashes.
    pub run: Value,
    /// Images, patients and labels.
    pub counts: Counts,
    /// Every metric with its interval and method.
    pub evaluation: Evaluation,
    /// The AUROC by each attribute of the images.
    pub subgroups: Vec<Breakdown>,
    /// Attributes that make no groups, and why.
    pub not_grouped: Vec<NotGrouped>,
    /// The published table against the run, where one was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reproduction: Option<Reproduction>,
    /// Images that could not be read.
    pub failures: Vec<Failure>,
    /// Whether images and their ids may be shown.
    pub redistribution: bool,
    /// Pictures of right and wrong calls, where they may be shown.
    pub examples: Vec<Example>,
    /// Whether the maps that explain the model can be trusted, where that was tested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maps: Option<Maps>,
    /// The reporting guidelines' items: where the run answers one, and what is left to the author.
    pub checklists: Vec<Checklist>,
    /// SHA-256 of every file that belongs to the report, by its path in the run folder.
    pub files: BTreeMap<String, String>,
}

/// Images, patients and labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Images of the run.
    pub images: usize,
    /// Those that could be read and have predictions.
    pub predicted: usize,
    /// Those that could not be read.
    pub failed: usize,
    /// Patients of the predicted images, where known.
    pub patients: Option<usize>,
    /// Studies of the predicted images, where known.
    pub studies: Option<usize>,
    /// What the data say of each label, over the predicted images.
    pub labels: Vec<LabelCounts>,
}

/// What the data say of one label.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LabelCounts {
    /// The label.
    pub label: String,
    /// Images that have the finding.
    pub positive: usize,
    /// Images that do not have it.
    pub negative: usize,
    /// Images of which the data are uncertain.
    pub uncertain: usize,
    /// Images of which the data say nothing.
    pub unmentioned: usize,
}

/// Tests of the maps that explain the run's model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Maps {
    /// The method and its layer.
    pub method: String,
    /// What the tests say of each label.
    pub trust: Vec<Trust>,
}

/// An attribute that makes no groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotGrouped {
    /// The attribute.
    pub attribute: String,
    /// Why not.
    pub reason: String,
}

/// An image that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The image; salted where the data may not be shown.
    pub image: String,
    /// Why, without the path, which is the machine's own.
    pub reason: String,
}

/// A report with what its drawings need besides.
pub struct Material {
    /// The report, its list of files not yet filled.
    pub document: Document,
    /// The model's card.
    pub model: ModelCard,
    /// The dataset's card.
    pub dataset: DatasetCard,
    /// What ran, without the places of images and weights.
    pub description: Description,
    /// The curves of each label of the evaluation.
    pub curves: Vec<Option<Curves>>,
    /// The pictures of the examples, in their order.
    pub pictures: Vec<Vec<u8>>,
}

impl Material {
    /// Reads a finished run and computes its report. The run's own files are taken as they are: whether they are what the
    /// run wrote tells [`unlike_run`](Self::unlike_run).
    pub fn of_run(folder: &RunFolder, choices: Choices) -> Result<Self> {
        if folder.journal().exists() {
            return Err(Error::new("the run is not finished")
                .at(folder.path().display())
                .mend("finish it with `evaluate --resume`"));
        }
        if choices.bootstrap > MOST_REPLICATES {
            return Err(Error::usage(format!("more than {MOST_REPLICATES} replicates")).at("the bootstrap"));
        }
        // Without a bootstrap there is no seed, so that nothing in the report is without a meaning.
        let choices = if choices.bootstrap == 0 { Choices { seed: 0, ..choices } } else { choices };
        let description = without_places(Description::read(folder)?);
        let predictions = read_predictions(folder, &description.model)?;
        let settings = Settings {
            policy: description.policy,
            bootstrap: (choices.bootstrap, choices.seed),
            curves: true,
            ..Settings::default()
        };
        let mut evaluation = evaluation::evaluate(&predictions, None, &settings)?;
        let curves = evaluation.labels.iter_mut().map(|label| label.curves.take()).collect();
        let redistribution = description.dataset.redistribution;
        let ids = Ids::of(folder, redistribution)?;
        let failures = failures(folder, &ids)?;
        let (subgroups, not_grouped) = groups(&predictions, &description);
        let (examples, pictures) = if redistribution { examples::read(folder)? } else { (Vec::new(), Vec::new()) };
        let reproduction = choices.published.as_deref().map(|card| against(card, &predictions, &description));
        let mut document = Document {
            schema: SCHEMA,
            software: concat!("roentgen ", env!("CARGO_PKG_VERSION")),
            choices,
            run: canonical::value(&description)?,
            counts: counts(&predictions, &description, failures.len()),
            evaluation,
            subgroups,
            not_grouped,
            reproduction: reproduction.transpose()?,
            failures,
            redistribution,
            examples,
            maps: maps(folder, &description)?,
            checklists: Vec::new(),
            files: BTreeMap::new(),
        };
        document.checklists = checklist::fill(&document);
        let (model, dataset) = (description.model.clone(), description.dataset.clone());
        Ok(Self { document, model, dataset, description, curves, pictures })
    }

    /// What in the folder is not what the run wrote: manifest and predictions by the hashes in `run.toml`, the evaluation
    /// by what the predictions give.
    pub fn unlike_run(&self, folder: &RunFolder) -> Result<Vec<String>> {
        let hashes = &self.description.hashes;
        let mut faults = Vec::new();
        for (path, expected) in [(folder.manifest(), &hashes.manifest), (folder.predictions(), &hashes.predictions)] {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            match expected {
                Some(expected) if *expected == files::sha256_of(&path)? => {}
                Some(_) => faults.push(format!("{name}: not what the run wrote: its hash is not the one in run.toml")),
                None => faults.push(format!("run.toml: no hash of {name}")),
            }
        }
        let again = match self.document.choices.bootstrap {
            0 => self.document.evaluation.to_json()?,
            _ => {
                let settings = Settings { policy: self.description.policy, ..Settings::default() };
                let predictions = read_predictions(folder, &self.model)?;
                evaluation::evaluate(&predictions, None, &settings)?.to_json()?
            }
        };
        let path = folder.evaluation();
        if std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))? != again {
            faults.push("evaluation.json: not what the predictions give".into());
        }
        Ok(faults)
    }

    /// The title of the report.
    pub fn title(&self) -> String {
        let split = self.description.split.as_ref().map(|s| format!(", {s}")).unwrap_or_default();
        format!("{} on {}{split}", self.model.name, self.dataset.name)
    }
}

/// The name in the run folder of what `roentgen explain --trust N --out RUN/explain` found.
pub fn explanations() -> String {
    format!("explain/{}", explain::FILE)
}

/// The files of a run that a report covers, as they are named in the folder.
pub fn run_files(folder: &RunFolder) -> Vec<String> {
    let paths = [folder.run_toml(), folder.manifest(), folder.predictions(), folder.evaluation(), folder.failures()];
    let there = paths.iter().filter(|path| path.exists());
    there.filter_map(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned()).collect()
}

/// The run's predictions with the labels in the model's order, as the run itself held them.
fn read_predictions(folder: &RunFolder, model: &ModelCard) -> Result<Predictions> {
    let mut predictions = read_table(&folder.predictions())?;
    let place = |label: &Label| model.labels.iter().position(|name| *name == label.name);
    predictions.labels.sort_by_key(|label| place(label).unwrap_or(usize::MAX));
    Ok(predictions)
}

/// Reads a table that a run wrote. A compressed one is refused: a small file may hold more than the memory does.
pub fn read_table(path: &Path) -> Result<Predictions> {
    let mut start = [0; 2];
    let begun = File::open(path).and_then(|mut file| file.read(&mut start)).map_err(|e| Error::io(path, e))?;
    if begun == 2 && start == [0x1f, 0x8b] {
        return Err(Error::new("compressed, which no run writes").at(path.display()));
    }
    predictions::read(path, None)
}

/// The description without the places of images and weights, which are the machine's own.
fn without_places(mut description: Description) -> Description {
    description.dataset.root = None;
    if let Some(path) = &mut description.model.weights.path {
        *path = path.file_name().map(PathBuf::from).unwrap_or_default();
    }
    description
}

fn counts(predictions: &Predictions, description: &Description, failed: usize) -> Counts {
    let distinct = |ids: &Vec<String>| ids.iter().collect::<std::collections::HashSet<_>>().len();
    let labels = predictions.labels.iter().map(|label| {
        let mut counts = LabelCounts { label: label.name.clone(), ..LabelCounts::default() };
        for truth in label.truths.iter().flatten() {
            match truth {
                Truth::Positive => counts.positive += 1,
                Truth::Negative => counts.negative += 1,
                Truth::Uncertain => counts.uncertain += 1,
                Truth::Unmentioned => counts.unmentioned += 1,
            }
        }
        counts
    });
    Counts {
        images: description.images,
        predicted: predictions.len(),
        failed,
        patients: predictions.patients.as_ref().map(distinct),
        studies: predictions.studies.as_ref().map(distinct),
        labels: labels.collect(),
    }
}

/// The published table of a card against the run.
fn against(card: &str, predictions: &Predictions, run: &Description) -> Result<Reproduction> {
    let table = PublishedTable::parse(card, "the published table")?;
    let settings = reproduction::Settings {
        policy: run.policy,
        unit: Unit::Image,
        images: Images::default(),
        same_model: false,
        margin_macro: None,
        margin_label: None,
        rounding: None,
        theirs: None,
        run: Some(run),
    };
    reproduce(&table, &table.title(), predictions, &settings)
}

/// The tests in the run's `explain/`; none where it has none. Those of another model and badges that their numbers do not
/// give are errors.
fn maps(folder: &RunFolder, run: &Description) -> Result<Option<Maps>> {
    let tested = trust::read(&examples::folder(folder))?;
    if tested.trust.is_empty() {
        return Ok(None);
    }
    let fault = |text: String| Error::new(text).at(explanations());
    if tested.weights != run.hashes.weights {
        return Err(fault("maps of other weights than the run's".into())
            .mend("explain the run's model again, or take the file away"));
    }
    if let Some(odd) = tested.trust.iter().find(|label| !label.is_sound()) {
        return Err(fault(format!("label `{}`: `{}` is not what its numbers give", odd.label, odd.badge)));
    }
    Ok(Some(Maps { method: tested.method, trust: tested.trust }))
}

/// The breakdowns by every attribute that makes groups, and why the others do not.
fn groups(predictions: &Predictions, description: &Description) -> (Vec<Breakdown>, Vec<NotGrouped>) {
    let (mut groups, mut not) = (Vec::new(), Vec::new());
    for attribute in &predictions.attributes {
        match breakdown(predictions, &attribute.name, description.policy) {
            Ok(found) => groups.push(found),
            Err(e) => not.push(NotGrouped { attribute: attribute.name.clone(), reason: e.to_string() }),
        }
    }
    (groups, not)
}

fn failures(folder: &RunFolder, ids: &Ids) -> Result<Vec<Failure>> {
    let rows = folder.read_failures()?;
    Ok(rows
        .iter()
        .map(|(image, reason)| Failure { image: ids.shown(image), reason: ids.reason(image, reason) })
        .collect())
}
