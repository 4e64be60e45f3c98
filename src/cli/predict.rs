//! `roentgen predict`: probabilities of pictures, without truths.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use candle_core::DType;
use rayon::prelude::*;
use serde_json::json;

use crate::cards::catalogue;
use crate::cards::model::ModelCard;
use crate::cli::args::{self, Format};
use crate::cli::table::{Side, Table};
use crate::cli::{clinical, evaluate, inputs, machine, note, print};
use crate::data::manifest::Manifest;
use crate::data::{Dataset, Sample};
use crate::error::{Error, Result};
use crate::explain::uncertainty::{Member, Spread, Uncertainty};
use crate::inference::engine::{self, Job, Pace};
use crate::inference::finding;
use crate::inference::journal::Output;
use crate::inference::prepare;
use crate::metrics::recalibration::Calibrators;
use crate::models::{self, Model};
use crate::predictions::{Attribute, Label, Predictions};

/// Carries the verb out. Pictures that cannot be read are told on stderr; that there are any makes it an error.
pub fn run(args: &args::Predict) -> Result<()> {
    let place = machine::place(args.machine.device, args.precision)?;
    let threads = machine::threads(args.machine.threads)?;
    let (card, home) = catalogue::model(&args.model)?;
    let maps = args.calibration.as_deref().map(|path| calibrators(path, &card)).transpose()?;
    let dataset = inputs::dataset(&args.paths, &args.pictures)?;
    let dtype = place.precision.dtype();
    let (model, _) = models::load_as(&card, &home, &place.device, dtype)?;
    let pace = Pace { batch: args.machine.batch, decoders: threads, strict: false };
    let samples = &dataset.samples;
    let mut predictions = match args.uncertainty.is_none() && args.ensemble.is_empty() {
        true => plain(&card, &dataset, &Job { model: &model, input: &card.input, samples, pace })?,
        false => uncertain(args, &card, &model, &dataset, dtype)?,
    };
    if let Some(maps) = &maps {
        maps.apply(&mut predictions)?;
    }
    if let Some(out) = &args.out {
        clinical::write(out, args, &card, &model, samples, &predictions, maps.as_ref())?;
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

fn calibrators(path: &Path, card: &ModelCard) -> Result<Calibrators> {
    Calibrators::parse(&evaluate::calibration(path, card)?.content)
}

/// One pass of the model.
fn plain(card: &ModelCard, dataset: &Dataset, job: &Job) -> Result<Predictions> {
    let outcomes = engine::run(job, Vec::new(), &mut |_| Ok(()), &AtomicBool::new(false), &mut |_| {})?;
    let (mut read, mut logits, mut scores) = (Vec::new(), columns(card), columns(card));
    let manifest = Manifest::new(dataset, []);
    for (row, outcome) in manifest.rows.iter().zip(outcomes) {
        match outcome.result {
            Output::Failure(reason) => note(&format!("left out: {reason}")),
            Output::Logits(values) => {
                read.push(row);
                push(&mut scores, models::probabilities(card.output, &values));
                push(&mut logits, values.into_iter().map(f64::from));
            }
        }
    }
    Ok(finding::table(card, &manifest, &read, Some(logits), scores))
}

/// Several passes: means of probabilities, and what their spread says in two columns.
fn uncertain(
    args: &args::Predict,
    card: &ModelCard,
    model: &Model,
    dataset: &Dataset,
    dtype: DType,
) -> Result<Predictions> {
    let spread = match args.uncertainty {
        None => Spread::None,
        Some(args::Uncertainty::Tta) => Spread::Augmented,
        Some(args::Uncertainty::McDropout) => Spread::Dropout { samples: args.samples, seed: args.seed },
    };
    let others = args.ensemble.iter().map(|spec| {
        let (card, home) = catalogue::model(spec)?;
        let (model, _) = models::load_as(&card, &home, model.device(), dtype)?;
        Ok((card, model))
    });
    let others = others.collect::<Result<Vec<_>>>()?;
    let all = std::iter::once((card, model)).chain(others.iter().map(|(card, model)| (card, model)));
    let members = all.map(|(other, model)| Member::new(model, other, card, spread)).collect::<Result<Vec<_>>>()?;
    let of = |sample: &Sample| -> Result<Uncertainty> {
        let mut views = Vec::new();
        for member in &members {
            let picture = prepare::picture(sample, &member.card.input).1?;
            let found = member.probabilities(&picture, spread);
            views.extend(found.map_err(|e| e.at(format_args!("image {}", sample.id)))?);
        }
        Ok(Uncertainty::of(&views, card.output))
    };
    let (mut read, mut scores) = (Vec::new(), columns(card));
    let (mut entropy, mut information) = (Vec::new(), Vec::new());
    let found: Vec<_> = dataset.samples.par_iter().map(of).collect();
    let manifest = Manifest::new(dataset, []);
    for (row, found) in manifest.rows.iter().zip(found) {
        match found {
            Err(e) => note(&format!("left out: {e}")),
            Ok(found) => {
                read.push(row);
                push(&mut scores, found.probabilities);
                entropy.push(found.entropy.to_string());
                information.push(found.mutual_information.to_string());
            }
        }
    }
    let mut table = finding::table(card, &manifest, &read, None, scores);
    let more = [("entropy", entropy), ("mutual_information", information)];
    table.attributes.extend(more.map(|(name, values)| Attribute { name: name.to_owned(), values }));
    Ok(table)
}

fn columns(card: &ModelCard) -> Vec<Vec<f64>> {
    vec![Vec::new(); card.labels.len()]
}

/// Adds a row to columns.
fn push(columns: &mut [Vec<f64>], row: impl IntoIterator<Item = f64>) {
    columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
}

/// Each image with the values of one kind, a value a label.
fn rows(predictions: &Predictions, of: fn(&Label) -> &Option<Vec<f64>>) -> impl Iterator<Item = (&String, Vec<f64>)> {
    let value = move |row: usize| predictions.labels.iter().filter_map(move |l| of(l).as_ref().map(|v| v[row]));
    predictions.images.iter().enumerate().map(move |(row, image)| (image, value(row).collect()))
}

fn text(predictions: &Predictions) -> String {
    let mut header = vec![("image", Side::Left)];
    header.extend(predictions.labels.iter().map(|l| (l.name.as_str(), Side::Right)));
    let spread = spread(predictions);
    header.extend(spread.iter().map(|a| (a.name.as_str(), Side::Right)));
    let mut table = Table::new(&header);
    for (row, (image, scores)) in rows(predictions, |l| &l.scores).enumerate() {
        let numbers = scores.into_iter().chain(spread.iter().filter_map(|a| a.values[row].parse().ok()));
        table.row(std::iter::once(image.clone()).chain(numbers.map(|p| format!("{p:.4}"))));
    }
    table.to_string()
}

fn csv(predictions: &Predictions) -> Result<String> {
    let mut bytes = Vec::new();
    predictions.write(&mut bytes)?;
    String::from_utf8(bytes).map_err(|e| Error::new(e.to_string()).at("the predictions table"))
}

/// The columns that say how sure the model is, if there are any.
fn spread(predictions: &Predictions) -> Vec<&Attribute> {
    predictions.attributes.iter().filter(|a| ["entropy", "mutual_information"].contains(&a.name.as_str())).collect()
}

fn json(card: &ModelCard, predictions: &Predictions) -> String {
    let images: Vec<_> = predictions
        .images
        .iter()
        .enumerate()
        .map(|(row, image)| {
            let labels: Vec<_> = predictions
                .labels
                .iter()
                .map(|label| {
                    let p = label.scores.as_ref().map(|v| v[row]);
                    match &label.logits {
                        Some(logits) => json!({ "label": label.name, "logit": logits[row], "probability": p }),
                        None => json!({ "label": label.name, "probability": p }),
                    }
                })
                .collect();
            let mut found = json!({ "image": image, "labels": labels });
            for attribute in spread(predictions) {
                found[&attribute.name] = json!(attribute.values[row].parse::<f64>().ok());
            }
            found
        })
        .collect();
    format!("{:#}\n", json!({ "schema": "roentgen/predictions/1", "model": card.name, "images": images }))
}
