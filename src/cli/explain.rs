//! `roentgen explain`: from its flags to the work, and what is printed of it.

use std::path::Path;

use crate::cards::catalogue::{self, Home};
use crate::cards::model::ModelCard;
use crate::cli::args::{self, Format};
use crate::cli::explain_work::Work;
use crate::cli::{inputs, machine, print};
use crate::data::regions::Regions;
use crate::device::Precision;
use crate::error::{Error, Result};
use crate::explain::explainer::{Explainer, Method};
use crate::explain::gradcam::Cam;
use crate::explain::integrated_gradients::{self as ig, Settings};
use crate::explain::localization::Draws;
use crate::explain::randomization::{self, DEPTHS};
use crate::labels;
use crate::models::{self, Model};
use crate::run::RunFolder;

/// Carries the verb out.
pub fn run(args: &args::Explain) -> Result<()> {
    machine::threads(args.threads)?;
    let (card, home) = catalogue::model(&args.model)?;
    let samples = inputs::dataset(&args.paths, &args.pictures)?.samples;
    let place = machine::place(args.device, Precision::F32)?;
    let (model, weights) = models::load(&card, &home, &place.device)?;
    let explainer = Explainer::new(&model, &card, method(args.method, settings(args)), args.layer.as_deref())?;
    let boxes = args.boxes.as_deref().map(Regions::read).transpose()?;
    if let Some(boxes) = &boxes
        && !samples.iter().any(|s| boxes.has(&s.id))
    {
        return Err(Error::new("none of the pictures is marked in it")
            .at(args.boxes.as_deref().unwrap_or(Path::new("")).display())
            .mend("check that file names agree"));
    }
    let randomized = match args.trust {
        Some(_) => randomized(&card, &home, &model, args.seed)?,
        None => Vec::new(),
    };
    let work = Work {
        explainer,
        labels: chosen(&card, &args.labels)?,
        only_positive: args.only_positive,
        thresholds: thresholds(&card, args)?,
        out: args.out.as_deref(),
        raw: args.raw,
        boxes: boxes.as_ref(),
        randomized: &randomized,
        trials: args.trust.unwrap_or(0),
        seed: args.seed,
    };
    let draws = Draws { replicates: args.bootstrap, seed: args.seed };
    let found = work.carry_out(&samples, &weights, draws)?;
    print(&match args.format {
        Format::Text => found.text(),
        Format::Csv => found.csv()?,
        Format::Json => found.json()?,
    })?;
    match found.failed {
        0 => Ok(()),
        failed => Err(Error::new(format!("{failed} of {} pictures could not be explained", samples.len()))
            .mend("the notes above name each with its cause")),
    }
}

/// The method of this name; the integral is made as `settings` say.
pub fn method(name: args::Method, settings: Settings) -> Method {
    match name {
        args::Method::Gradcam => Method::Cam(Cam::GradCam),
        args::Method::GradcamPlusPlus => Method::Cam(Cam::GradCamPlusPlus),
        args::Method::Hirescam => Method::Cam(Cam::HiResCam),
        args::Method::InputGradient => Method::InputGradient,
        args::Method::IntegratedGradients => Method::IntegratedGradients(settings),
    }
}

fn settings(args: &args::Explain) -> Settings {
    Settings {
        steps: args.steps,
        rule: match args.rule {
            args::Integration::GaussLegendre => ig::Rule::GaussLegendre,
            args::Integration::Trapezoid => ig::Rule::Trapezoid,
        },
        baseline: match args.baseline {
            args::Baseline::Black => ig::Baseline::Black,
            args::Baseline::Zeros => ig::Baseline::Zeros,
            args::Baseline::Mean => ig::Baseline::Mean,
        },
    }
}

/// Numbers of the labels of these names; all when there are none.
fn chosen(card: &ModelCard, names: &[String]) -> Result<Vec<usize>> {
    if names.is_empty() {
        return Ok((0..card.labels.len()).collect());
    }
    let number = |name: &String| {
        labels::find(&card.labels, name).ok_or_else(|| {
            Error::usage("the model has no such label")
                .at(format_args!("label `{name}`"))
                .mend(format!("it has {}", card.labels.join(", ")))
        })
    };
    names.iter().map(number).collect()
}

/// One a label: Youden's of a run where it has one, else the same for all.
fn thresholds(card: &ModelCard, args: &args::Explain) -> Result<Vec<f64>> {
    let mut thresholds = vec![args.threshold; card.labels.len()];
    let Some(run) = &args.thresholds else { return Ok(thresholds) };
    let path = RunFolder::new(run).evaluation();
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
    let file: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| Error::new(e.to_string()).at(path.display()))?;
    for label in file["labels"].as_array().into_iter().flatten() {
        let points = label["operating_points"].as_array().into_iter().flatten();
        let youden = points.filter(|p| p["rule"] == "youden").find_map(|p| p["threshold"].as_f64());
        let number = label["label"].as_str().and_then(|name| labels::find(&card.labels, name));
        if let (Some(number), Some(threshold)) = (number, youden) {
            thresholds[number] = threshold;
        }
    }
    Ok(thresholds)
}

/// The networks with random weights that maps are tested with.
fn randomized(card: &ModelCard, home: &Home, model: &Model, seed: u64) -> Result<Vec<Model>> {
    DEPTHS.iter().map(|depth| randomization::randomized(card, home, model, *depth, seed)).collect()
}
