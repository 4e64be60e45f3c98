//! `roentgen merge`: the shards of a run joined to the whole.

use crate::cli::{args, evaluate, print};
use crate::cluster::job;
use crate::error::{Error, Result};
use crate::files;
use crate::inference::{finish, merge};
use crate::run::RunFolder;
use crate::tui::live;

/// Carries the verb out.
pub fn run(args: &args::Merge) -> Result<()> {
    // Beside the shards of a job, the joined run has its place.
    let folder = RunFolder::new(&args.out);
    let beside = job::is_of_job(&args.out) && !folder.run_toml().exists();
    if args.out.exists() && !beside {
        return Err(Error::usage("it is there already").at(args.out.display()).mend("choose another --out"));
    }
    let shards: Vec<RunFolder> = args.runs.iter().map(RunFolder::new).collect();
    let (description, mut finding) = merge::merge(&shards)?;
    let evaluation = live::evaluate(&mut finding, description.calibration.as_ref(), description.policy)?;
    let json = evaluation.to_json()?;
    let name = format!("{} on {}", description.model.name, description.dataset.name);
    let write = |folder: &RunFolder| finding.write(folder, description, json.as_bytes());
    match beside {
        true => finish::finish(&folder, write)?,
        false => files::write_folder(&args.out, |path| write(&RunFolder::new(path)))?,
    }
    print(&evaluate::summary(&name, &evaluation, finding.failures.len(), &folder))
}
