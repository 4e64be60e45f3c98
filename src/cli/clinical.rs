//! `predict --out`: a table of findings and their overlays.

use std::path::Path;

use crate::cards::model::ModelCard;
use crate::cli::{args, explain, explain_work, note};
use crate::data::Sample;
use crate::error::{Error, Result};
use crate::explain::canvas::Canvas;
use crate::explain::explainer::Explainer;
use crate::explain::integrated_gradients::Settings as Integral;
use crate::explain::overlay::Caption;
use crate::files;
use crate::imaging::encode;
use crate::labels;
use crate::metrics::recalibration::Calibrators;
use crate::models::Model;
use crate::predictions::Predictions;
use crate::report::clinical::{self, Row, Settings};

/// Where a finding begins unless a threshold is given.
const THRESHOLD: f64 = 0.5;

/// Writes `clinical_report.csv` into the folder `out`, after the overlays that it names.
pub fn write(
    out: &Path,
    args: &args::Predict,
    card: &ModelCard,
    model: &Model,
    samples: &[Sample],
    predictions: &Predictions,
    maps: Option<&Calibrators>,
) -> Result<()> {
    let settings = Settings {
        labels: &card.labels,
        thresholds: thresholds(&args.thresholds, &card.labels)?,
        calibrated: card.labels.iter().map(|name| maps.is_some_and(|m| m.get(name).is_some())).collect(),
    };
    let explainer =
        args.explain.map(|name| Explainer::new(model, card, explain::method(name, Integral::default()), None));
    let explainer = explainer.transpose()?;
    let overlays = out.join("overlays");
    let made = if explainer.is_some() { overlays.as_path() } else { out };
    std::fs::create_dir_all(made).map_err(|e| Error::io(made, e))?;
    let mut samples = samples.iter();
    let mut rows = Vec::with_capacity(predictions.len());
    for (number, image) in predictions.images.iter().enumerate() {
        let p = predictions.labels.iter().map(|label| label.scores.as_ref().map_or(0.0, |p| p[number]));
        let mut row = Row { image: image.clone(), probabilities: p.collect(), overlays: Vec::new() };
        if let Some(explainer) = &explainer {
            // In the same order, but unreadable pictures have no predictions.
            let sample = samples.find(|s| s.id == *image).ok_or_else(|| Error::new("no such sample").at(image))?;
            for (label, bytes) in drawn(explainer, sample, &row, &settings)? {
                let file = format!("{:06}_{}.png", number + 1, files::plain_name(&card.labels[label]));
                files::write(&overlays.join(&file), &bytes)?;
                row.overlays.push(format!("overlays/{file}"));
            }
        }
        rows.push(row);
    }
    let path = out.join("clinical_report.csv");
    files::write(&path, &clinical::to_csv(&rows, &settings)?)?;
    note(&format!("{} written; research use only", path.display()));
    Ok(())
}

/// An overlay, as a PNG, of each finding of a picture, with the number of its label.
fn drawn(explainer: &Explainer, sample: &Sample, row: &Row, settings: &Settings) -> Result<Vec<(usize, Vec<u8>)>> {
    let found = clinical::findings(row, settings);
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let caption = |label: usize| Caption {
        image: row.image.clone(),
        label: settings.labels[label].clone(),
        probability: row.probabilities[label],
        threshold: settings.thresholds[label],
        method: explainer.name(),
    };
    let canvases = explain_work::overlays(explainer, sample, &found, caption)?;
    let png =
        |(label, canvas): (usize, Canvas)| Ok((label, encode::png_rgb(canvas.width, canvas.height, &canvas.rgb)?));
    found.into_iter().zip(canvases).map(png).collect()
}

/// One threshold a label: the last one given for it, else the last one given for all.
fn thresholds(given: &[args::Threshold], names: &[String]) -> Result<Vec<f64>> {
    if let Some(unknown) = given.iter().filter_map(|t| t.label.as_ref()).find(|l| labels::find(names, l).is_none()) {
        return Err(Error::usage(format!("the model has no label `{unknown}`"))
            .at("`--threshold`")
            .mend(format!("it has {}", names.join(", "))));
    }
    let own = |name: &String| given.iter().rev().find(|t| t.label.as_ref().is_some_and(|l| labels::same(l, name)));
    let all = given.iter().rev().find(|t| t.label.is_none());
    Ok(names.iter().map(|name| own(name).or(all).map_or(THRESHOLD, |t| t.value)).collect())
}
