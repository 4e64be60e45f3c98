//! Predictions as verbs take them: a file, a run folder, truths in a file of their own.

use std::path::{Path, PathBuf};

use crate::cli::{args, note};
use crate::error::{Error, Result};
use crate::predictions::{self, Aggregate, Predictions};
use crate::run::RunFolder;

/// The predictions file that `path` stands for: itself, or that of the run folder which it is.
pub fn predictions_file(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let file = RunFolder::new(path).predictions();
    if file.is_file() {
        return Ok(file);
    }
    Err(Error::new("there is no predictions.csv in the folder")
        .at(path.display())
        .mend("give a finished run folder, or a predictions file"))
}

/// Reads predictions, with the truths of `--truth` where it is given. What was left out is told on stderr.
pub fn read(path: &Path, args: &args::Truth) -> Result<Predictions> {
    let file = predictions_file(path)?;
    let id = args.id.as_deref();
    let Some(truth) = &args.truth else { return predictions::read(&file, id) };
    let (table, notes) = predictions::read_with_truth(&file, truth, id, args.allow_missing)?;
    notes.iter().for_each(|n| note(n));
    Ok(table)
}

/// The rows that the flags select, aggregated as they say.
pub fn selected(table: Predictions, args: &args::Selection) -> Result<Predictions> {
    let table = if args.conditions.is_empty() { table } else { table.filter(&args.conditions)? };
    if args.unit == args::Unit::Image {
        return Ok(table);
    }
    let (studies, notes) = table.by_study(aggregate(args))?;
    notes.iter().for_each(|n| note(n));
    Ok(studies)
}

/// How a study's score comes from its images'.
pub fn aggregate(args: &args::Selection) -> Aggregate {
    match args.aggregate {
        args::Aggregate::Max => Aggregate::Max,
        args::Aggregate::Mean => Aggregate::Mean,
    }
}
