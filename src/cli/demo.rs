//! `roentgen demo`: an evaluation of drawn phantoms with the bundled weights, maps over some, its report, signed and verified.

use std::path::Path;

use candle_core::Device;

use crate::cards::catalogue::{self, Home};
use crate::cards::model::ModelCard;
use crate::cli::explain_work::Work;
use crate::cli::{args, evaluate, print, report};
use crate::data::{self, Sample};
use crate::device::{Place, Precision};
use crate::error::{Error, Result};
use crate::explain::explainer::{Explainer, Method};
use crate::explain::gradcam::Cam;
use crate::explain::localization::Draws;
use crate::files;
use crate::inference::engine::Pace;
use crate::inference::journal::Others;
use crate::inference::session::Plan;
use crate::models;
use crate::predictions::Policy;
use crate::report::bundle;
use crate::report::document::Choices;
use crate::report::signature::{self, Signer};
use crate::report::verify::{self, Findings, Trust};
use crate::run::RunFolder;

/// Pictures that are explained.
const EXPLAINED: usize = 60;
/// Where: fine enough for findings of a few pixels.
const LAYER: &str = "features.denseblock1";

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
        part: None,
        policy: Policy::default(),
        calibration: None,
        training: None,
        place: Place::cpu(Precision::F32),
        pace: Pace { batch: None, decoders: rayon::current_num_threads(), strict: true },
        folder: RunFolder::new(&out),
        resume: false,
        others: Others::Refused,
    };
    let (samples, card) = (plan.dataset.samples[..EXPLAINED].to_vec(), plan.model.0.clone());
    evaluate::carry_out(plan, Vec::new(), args.headless)?;
    explain(&card, &samples, &out.join("explain"))?;
    report_and_verify(&RunFolder::new(&out), args.out.is_some())
}

/// Reports the run, signs with a key that is thrown away, and verifies as a stranger would.
fn report_and_verify(folder: &RunFolder, kept: bool) -> Result<()> {
    report::draw_examples(folder, None, None)?;
    // The private key is never written: nobody, we included, can sign with it again.
    let mut signer = Signer::Key(Box::new(Signer::new_key("demo")?));
    report::make(folder, Choices::default(), Some(&mut signer))?;
    let signers = folder.path().join("allowed_signers");
    let line = format!("demo namespaces=\"{}\" {}\n", signature::NAMESPACE, report::public_line(&signer)?);
    files::write(&signers, line.as_bytes())?;
    let json = bundle::json_path(folder);
    let found = verify::verify(&json, Trust { signers: Some(&signers), identity: Some("demo") })?;
    if let Some(off) = found.off.first() {
        return Err(Error::new(off.clone()).at(json.display()));
    }
    let again = match kept {
        true => format!("roentgen verify {} --signers {}\n", json.display(), signers.display()),
        false => "keep it with --out DIR: report.html is the page to look at\n".to_owned(),
    };
    print(&format!(
        "reported, signed with a key made for it and thrown away, and verified:\n  {}\n{again}",
        numbers(&found)
    ))
}

/// What of a verification tells the most.
fn numbers(found: &Findings) -> String {
    found.checked.iter().filter(|line| !line.starts_with("signature")).cloned().collect::<Vec<_>>().join("\n  ")
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
