//! What a run came to, and the files that say so.

use crate::cards::model::ModelCard;
use crate::data::Dataset;
use crate::data::manifest::{Manifest, Row};
use crate::error::{Error, Result};
use crate::files;
use crate::inference::journal::{Outcome, Output};
use crate::labels;
use crate::models;
use crate::predictions::{self, Predictions};
use crate::run::{Description, RunFolder};

/// What a run came to.
pub struct Finding {
    /// Of the images that could be read.
    pub predictions: Predictions,
    /// Images that could not be read: id and reason.
    pub failures: Vec<(String, String)>,
    manifest: Manifest,
}

impl Finding {
    /// What outcomes, parallel to the samples of the dataset, come to.
    pub fn of(card: &ModelCard, dataset: &Dataset, outcomes: Vec<Outcome>) -> Result<Self> {
        let (hashes, results): (Vec<_>, _) =
            outcomes.into_iter().map(|o| (o.sha256.unwrap_or_default(), o.result)).unzip();
        Self::new(card, Manifest::new(dataset, hashes), results)
    }

    /// What `results`, parallel to the rows of the manifest, come to: a row a readable image, a column a label of the
    /// model. A label that the data lack has no truths.
    pub fn new(card: &ModelCard, manifest: Manifest, results: Vec<Output>) -> Result<Self> {
        let mut failures = Vec::new();
        let mut logits: Vec<Vec<f64>> = vec![Vec::new(); card.labels.len()];
        let mut scores = logits.clone();
        let mut read = Vec::new();
        for (row, result) in manifest.rows.iter().zip(results) {
            match result {
                Output::Logits(values) if values.len() == card.labels.len() => {
                    let probabilities = models::probabilities(card.output, &values);
                    for (i, (logit, p)) in values.iter().zip(probabilities).enumerate() {
                        logits[i].push(f64::from(*logit));
                        scores[i].push(p);
                    }
                    read.push(row);
                }
                Output::Failure(reason) => failures.push((row.image.clone(), reason)),
                Output::Logits(_) => {
                    return Err(Error::new("its entry does not fit the model").at(format_args!("image {}", row.image)));
                }
            }
        }
        let predictions = table(card, &manifest, &read, Some(logits), scores);
        Ok(Self { predictions, failures, manifest })
    }

    /// Writes the files of the finished run, `evaluation` (a JSON document) among them; `run.toml`, with the hashes of
    /// the others, goes last.
    pub fn write(&self, folder: &RunFolder, mut description: Description, evaluation: &[u8]) -> Result<()> {
        description.hashes.manifest = Some(files::write_hashed(&folder.manifest(), |out| self.manifest.write(out))?);
        description.hashes.predictions =
            Some(files::write_hashed(&folder.predictions(), |out| self.predictions.write(out))?);
        if !self.failures.is_empty() {
            files::write(&folder.failures(), &self.failures_csv()?)?;
        }
        files::write(&folder.evaluation(), evaluation)?;
        files::write(&folder.run_toml(), description.to_toml()?.as_bytes())
    }

    fn failures_csv(&self) -> Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut write = || -> std::result::Result<(), csv::Error> {
            writer.write_record(["image", "reason"])?;
            self.failures.iter().try_for_each(|(image, reason)| writer.write_record([image, reason]))
        };
        write().map_err(|e| Error::new(e.to_string()).at("failures.csv"))?;
        writer.into_inner().map_err(|e| Error::new(e.to_string()).at("failures.csv"))
    }
}

/// The predictions table of the rows in `read`: per label of the model its logits, where they are known, and its scores,
/// a value a row. A label that the data lack has no truths.
pub fn table(
    card: &ModelCard,
    manifest: &Manifest,
    read: &[&Row],
    logits: Option<Vec<Vec<f64>>>,
    scores: Vec<Vec<f64>>,
) -> Predictions {
    let mut logits = logits.map(Vec::into_iter);
    let labels = card.labels.iter().zip(scores).map(|(name, scores)| {
        let truths = labels::find(&manifest.labels, name).map(|i| read.iter().map(|row| row.truths[i]).collect());
        let logits = logits.as_mut().and_then(Iterator::next);
        predictions::Label { name: name.clone(), truths, logits, scores: Some(scores) }
    });
    let known = |of: fn(&Row) -> &Option<String>| -> Option<Vec<String>> {
        read.iter().map(|row| of(row).clone()).collect::<Option<Vec<_>>>().filter(|_| !read.is_empty())
    };
    let attributes = manifest.attributes.iter().enumerate().map(|(i, name)| predictions::Attribute {
        name: name.clone(),
        values: read.iter().map(|row| row.attributes[i].clone()).collect(),
    });
    Predictions {
        images: read.iter().map(|row| row.image.clone()).collect(),
        patients: known(|row| &row.patient),
        studies: known(|row| &row.study),
        attributes: attributes.collect(),
        labels: labels.collect(),
    }
}
