//! `roentgen predict`: probabilities of pictures, without truths.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde_json::json;

use crate::cards::catalogue;
use crate::cards::dataset::DatasetCard;
use crate::cards::model::ModelCard;
use crate::cli::args::{self, Format};
use crate::cli::table::{Side, Table};
use crate::cli::{machine, note, print};
use crate::data::{self, Sample, Source};
use crate::error::{Error, Result};
use crate::inference::engine::{self, Job, Pace};
use crate::inference::journal::Output;
use crate::models;
use crate::predictions::{Label, Predictions};

/// Carries the verb out. Pictures that cannot be read are told on stderr; that there are any makes it an error.
pub fn run(args: &args::Predict) -> Result<()> {
    let device = args.machine.device.open()?;
    let threads = machine::threads(&args.machine)?;
    let (card, home) = catalogue::model(&args.model)?;
    let samples = samples(&args.paths)?;
    let (model, _) = models::load(&card, &home, &device)?;
    let pace = Pace { batch: args.machine.batch, decoders: threads, strict: false };
    let job = Job { model: &model, input: &card.input, samples: &samples, pace };
    let outcomes = engine::run(&job, Vec::new(), &mut |_| Ok(()), &AtomicBool::new(false), &mut |_| {})?;
    let empty = |name: &String| Label { name: name.clone(), truths: None, logits: Some(vec![]), scores: Some(vec![]) };
    let mut predictions = Predictions { labels: card.labels.iter().map(empty).collect(), ..Predictions::default() };
    for (sample, outcome) in samples.iter().zip(outcomes) {
        match outcome.result {
            Output::Failure(reason) => note(&format!("left out: {reason}")),
            Output::Logits(logits) => {
                predictions.images.push(sample.id.clone());
                let probabilities = models::probabilities(card.output, &logits);
                for ((label, logit), p) in predictions.labels.iter_mut().zip(logits).zip(probabilities) {
                    label.logits.get_or_insert_default().push(f64::from(logit));
                    label.scores.get_or_insert_default().push(p);
                }
            }
        }
    }
    print(&match args.format {
        Format::Text => text(&predictions),
        Format::Csv => csv(&predictions)?,
        Format::Json => json(&card, &predictions),
    })?;
    match samples.len() - predictions.len() {
        0 => Ok(()),
        failed => Err(Error::new(format!("{failed} of {} pictures could not be read", samples.len()))
            .mend("the notes above name each with its cause")),
    }
}

/// The pictures at `paths`; a folder stands for all pictures below it. The id is the path as given.
fn samples(paths: &[PathBuf]) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for path in paths {
        if path.is_dir() {
            let card = DatasetCard::from_folder(path)?;
            let found = data::load(&card, Some(path), None)?.samples;
            if found.is_empty() {
                return Err(Error::new("there is no picture below it").at(path.display()));
            }
            samples.extend(found.into_iter().map(|s| Sample { id: path.join(s.id).display().to_string(), ..s }));
        } else {
            samples.push(single(path));
        }
    }
    Ok(samples)
}

fn single(path: &Path) -> Sample {
    Sample {
        id: path.display().to_string(),
        patient: None,
        study: None,
        attributes: Vec::new(),
        truths: Vec::new(),
        source: Source::File(path.to_owned()),
    }
}

/// Each image with the values of one kind, a value a label.
fn rows(predictions: &Predictions, of: fn(&Label) -> &Option<Vec<f64>>) -> impl Iterator<Item = (&String, Vec<f64>)> {
    let value = move |row: usize| predictions.labels.iter().filter_map(move |l| of(l).as_ref().map(|v| v[row]));
    predictions.images.iter().enumerate().map(move |(row, image)| (image, value(row).collect()))
}

fn text(predictions: &Predictions) -> String {
    let mut header = vec![("image", Side::Left)];
    header.extend(predictions.labels.iter().map(|l| (l.name.as_str(), Side::Right)));
    let mut table = Table::new(&header);
    for (image, scores) in rows(predictions, |l| &l.scores) {
        table.row(std::iter::once(image.clone()).chain(scores.iter().map(|p| format!("{p:.4}"))));
    }
    table.to_string()
}

fn csv(predictions: &Predictions) -> Result<String> {
    let mut bytes = Vec::new();
    predictions.write(&mut bytes)?;
    String::from_utf8(bytes).map_err(|e| Error::new(e.to_string()).at("the predictions table"))
}

fn json(card: &ModelCard, predictions: &Predictions) -> String {
    let both = rows(predictions, |l| &l.logits).zip(rows(predictions, |l| &l.scores));
    let images: Vec<_> = both
        .map(|((image, logits), (_, scores))| {
            let labels: Vec<_> = card
                .labels
                .iter()
                .zip(logits.iter().zip(scores))
                .map(|(label, (logit, p))| json!({ "label": label, "logit": logit, "probability": p }))
                .collect();
            json!({ "image": image, "labels": labels })
        })
        .collect();
    format!("{:#}\n", json!({ "schema": "roentgen/predictions/1", "model": card.name, "images": images }))
}
