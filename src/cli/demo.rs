//! `roentgen demo`: an evaluation of drawn phantoms with the bundled weights, its report, signed and verified.

use candle_core::Device;

use crate::cards::catalogue;
use crate::cli::{args, evaluate, print, report};
use crate::data;
use crate::error::{Error, Result};
use crate::files;
use crate::inference::engine::Pace;
use crate::inference::session::Plan;
use crate::predictions::Policy;
use crate::report::bundle;
use crate::report::document::Choices;
use crate::report::signature::{self, Signer};
use crate::report::verify::{self, Findings, Trust};
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
        folder: RunFolder::new(&out),
        resume: false,
    };
    evaluate::carry_out(plan, args.headless)?;
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
