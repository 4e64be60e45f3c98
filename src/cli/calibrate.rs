//! `roentgen calibrate`: maps to better probabilities, fitted on tuning predictions and tried on others.

use std::path::Path;

use crate::cards::model::{ModelCard, Output};
use crate::cli::args::{self, Format};
use crate::cli::table::{Side, Table};
use crate::cli::{inputs, json, note, print};
use crate::error::{Error, Result};
use crate::files;
use crate::metrics::calibrator::{Calibrator, Method};
use crate::metrics::recalibration::{self, Calibrators, LabelReport, Quality, Report};
use crate::predictions::Predictions;
use crate::run::{Description, RunFolder};

/// Carries the verb out.
pub fn run(args: &args::Calibrate) -> Result<()> {
    let model = model(&args.fit, &args.apply)?;
    let (tuning, test) = (inputs::read(&args.fit, &args.truth)?, inputs::read(&args.apply, &args.truth)?);
    if !args.same_patients {
        recalibration::check_apart(&tuning, &test)
            .map_err(|e| e.at(format_args!("{} and {}", args.fit.display(), args.apply.display())))?;
        if tuning.patients.is_none() || test.patients.is_none() {
            note("patients are not known in both tables: only the image ids could be held against each other");
        }
    }
    let method = match args.method {
        args::CalibrationMethod::Temperature => Method::Temperature,
        args::CalibrationMethod::Platt => Method::Platt,
        args::CalibrationMethod::Isotonic => Method::Isotonic,
    };
    let sha256 = files::sha256_of(&inputs::predictions_file(&args.fit)?)?;
    let name = model.map(|card| card.name);
    let (calibrators, left_out) =
        Calibrators::fit(&tuning, method, args.policy.resolve(), name, sha256).map_err(|e| e.at(args.fit.display()))?;
    let mut calibrated = test.clone();
    calibrators.apply(&mut calibrated).map_err(|e| e.at(args.apply.display()))?;
    let report = recalibration::report(&calibrators, method, left_out, &test, &calibrated)
        .map_err(|e| e.at(args.apply.display()))?;
    calibrated.labels.retain(|label| calibrators.get(&label.name).is_some());
    if let Some(path) = &args.save {
        files::write(path, calibrators.to_toml()?.as_bytes())?;
    }
    if let Some(path) = &args.out {
        files::write(path, &csv(&calibrated)?)?;
    }
    match args.format {
        Format::Text => print(&text(&report, args)),
        Format::Json => print(&json(&report)?),
        Format::Csv => print(&String::from_utf8_lossy(&csv(&calibrated)?)),
    }
}

/// The model behind the run folders among the two, which must be the same one.
fn model(fit: &Path, apply: &Path) -> Result<Option<ModelCard>> {
    let card = |path: &Path| match path.is_dir() {
        true => Description::read(&RunFolder::new(path)).map(|run| Some(run.model)),
        false => Ok(None),
    };
    let (tuning, test) = (card(fit)?, card(apply)?);
    if let (Some(a), Some(b)) = (&tuning, &test)
        && a.name != b.name
    {
        return Err(Error::new(format!(
            "{} is a run of {}, {} one of {}",
            fit.display(),
            a.name,
            apply.display(),
            b.name
        ))
        .mend("fit and apply on runs of one model"));
    }
    let model = tuning.or(test);
    model.iter().for_each(softmax_note);
    Ok(model)
}

/// Says what calibration label by label means for classes that exclude each other.
pub fn softmax_note(model: &ModelCard) {
    if model.output == Output::Softmax && model.labels.len() > 1 {
        note(
            "the classes of this model exclude each other, but each probability is calibrated by itself: an image's no longer sum to 1",
        );
    }
}

fn csv(table: &Predictions) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    table.write(&mut bytes)?;
    Ok(bytes)
}

fn text(report: &Report, args: &args::Calibrate) -> String {
    let of = |patients: Option<usize>| patients.map(|n| format!(" of {n} patients")).unwrap_or_default();
    let fitted = &report.fitted_on;
    let mut text = format!(
        "fitted on {} images{}, tried on {} images{}\n\n",
        fitted.images,
        of(fitted.patients),
        report.n_images,
        of(report.n_patients)
    );
    let mut header = vec![("label", Side::Left), ("map", Side::Left)];
    header.extend(
        ["n", "pos", "Brier", "after", "log loss", "after", "ECE", "after", "smECE", "after", "AUROC", "after"]
            .map(|h| (h, Side::Right)),
    );
    let mut table = Table::new(&header);
    for label in &report.labels {
        let names = [label.label.clone(), parameters(&label.calibrator), label.n.to_string(), label.n_pos.to_string()];
        table.row(names.into_iter().chain(measured(label)));
    }
    text += &table.to_string();
    for label in &report.labels {
        if matches!(label.calibrator, Calibrator::Platt { slope, .. } if slope < 0.0) {
            text +=
                &format!("{}: the slope is below 0: on the tuning rows high scores go with negatives\n", label.label);
        }
    }
    text.extend(report.left_out.iter().map(|l| format!("left out: {}: {}\n", l.label, l.reason)));
    let written = [("calibrator", &args.save), ("calibrated predictions", &args.out)];
    for (what, path) in written {
        text.extend(path.iter().map(|p| format!("{what} written to {}\n", p.display())));
    }
    text
}

/// Each measure before and after.
fn measured(label: &LabelReport) -> Vec<String> {
    let picks: [fn(&Quality) -> Option<f64>; 5] =
        [|q| Some(q.brier), |q| Some(q.log_loss), |q| Some(q.ece), |q| Some(q.smece), |q| q.auroc];
    let cell = |quality: &Option<Quality>, pick: fn(&Quality) -> Option<f64>| {
        quality.as_ref().and_then(pick).map_or("-".to_owned(), |v| format!("{v:.4}"))
    };
    picks.into_iter().flat_map(|pick| [cell(&label.before, pick), cell(&label.after, pick)]).collect()
}

fn parameters(map: &Calibrator) -> String {
    match map {
        Calibrator::Temperature { temperature } => format!("temperature {temperature:.4}"),
        Calibrator::Platt { slope, intercept } => format!("slope {slope:.4}, intercept {intercept:+.4}"),
        Calibrator::Isotonic { x, .. } => format!("isotonic, {} knots", x.len()),
    }
}
