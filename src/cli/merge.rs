//! `roentgen merge`: the shards of a run joined to the whole.

use crate::cli::{args, evaluate, print};
use crate::error::{Error, Result};
use crate::files;
use crate::inference::merge;
use crate::run::RunFolder;
use crate::tui::live;

/// Carries the verb out.
pub fn run(args: &args::Merge) -> Result<()> {
    if args.out.exists() {
        return Err(Error::usage("it is there already").at(args.out.display()).mend("choose another --out"));
    }
    let shards: Vec<RunFolder> = args.runs.iter().map(RunFolder::new).collect();
    let (description, mut finding) = merge::merge(&shards)?;
    let evaluation = live::evaluate(&mut finding, description.calibration.as_ref(), description.policy)?;
    let json = evaluation.to_json()?;
    let name = format!("{} on {}", description.model.name, description.dataset.name);
    files::write_folder(&args.out, |folder| finding.write(&RunFolder::new(folder), description, json.as_bytes()))?;
    let failed = finding.failures.len();
    print(&evaluate::summary(&name, &evaluation, failed, &RunFolder::new(&args.out)))
}
