//! `roentgen demo`: an evaluation of drawn phantoms with the bundled weights.

use candle_core::Device;

use crate::cards::catalogue;
use crate::cli::{args, evaluate};
use crate::data;
use crate::error::{Error, Result};
use crate::inference::engine::Pace;
use crate::inference::session::Plan;
use crate::predictions::Policy;
use crate::run::RunFolder;

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
        device: Device::Cpu,
        pace: Pace { batch: 16, decoders: rayon::current_num_threads(), strict: true },
        folder: RunFolder::new(out),
        resume: false,
    };
    evaluate::carry_out(plan, args.headless)
}
