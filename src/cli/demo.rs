//! `roentgen demo`: an evaluation of drawn phantoms with the bundled weights.

use std::path::Path;

use candle_core::Device;

use crate::cards::catalogue::{self, Home};
use crate::cards::model::ModelCard;
use crate::cli::explain_work::Work;
use crate::cli::{args, evaluate, print};
use crate::data::{self, Sample};
use crate::error::{Error, Result};
use crate::explain::explainer::{Explainer, Method};
use crate::explain::gradcam::Cam;
use crate::explain::localization::Draws;
use crate::inference::engine::Pace;
use crate::inference::session::Plan;
use crate::models;
use crate::predictions::Policy;
use crate::run::RunFolder;

/// Pictures that are explained.
const EXPLAINED: usize = 60;
/// Where: fine enough for findings of a few pixels.
const LAYER: &str = "features.denseblock2";

/// Carries the verb out.
pub fn run(args: &args::Demo) -> Result<()> {
    let (model, home) = catalogue::model("phantom-densenet")?;
    let card = catalogue::dataset("phantom")?;
    let dataset = data::load(&card, None, None)?;
    let temporary;
    let out = match &args.out {
        Some(out) => out.clone(),
        None => {
            temporary = tempfile::tempdir().map_err(|e| Error::new(e.to_string()).at("making a temporary folder"))?;
            temporary.path().join("demo")
        }
    };
    let plan = Plan {
        model: (model, home),
        dataset_card: card,
        dataset,
        split: None,
        limit: None,
        policy: Policy::default(),
        calibration: None,
        device: Device::Cpu,
        pace: Pace { batch: 16, decoders: rayon::current_num_threads(), strict: true },
        folder: RunFolder::new(out),
        resume: false,
    };
    let (samples, card) = (plan.dataset.samples[..EXPLAINED].to_vec(), plan.model.0.clone());
    let folder = plan.folder.path().join("explain");
    evaluate::carry_out(plan, args.headless)?;
    explain(&card, &samples, &folder)
}

/// Maps of the first pictures, and how well they lie.
fn explain(card: &ModelCard, samples: &[Sample], folder: &Path) -> Result<()> {
    let (model, weights) = models::load(card, &Home::Bundled, &Device::Cpu)?;
    let work = Work {
        explainer: Explainer::new(&model, card, Method::Cam(Cam::HiResCam), Some(LAYER))?,
        labels: (0..card.labels.len()).collect(),
        only_positive: true,
        thresholds: vec![0.5; card.labels.len()],
        out: Some(folder),
        raw: false,
        boxes: None,
        randomized: &[],
        trials: 0,
        seed: 0,
    };
    let found = work.carry_out(samples, &weights, Draws { replicates: 2000, seed: 0 })?;
    print(&format!("\n{}", found.text()))
}
