//! What several verbs take: predictions (a file, a run folder, truths in a file of their own), pictures.

use std::path::{Path, PathBuf};

use crate::cards::catalogue;
use crate::cards::dataset::DatasetCard;
use crate::cli::{args, note};
use crate::data::{self, Dataset, Sample, Source};
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

/// The pictures at `paths`, or those of a dataset in their place, with the names of its labels and attributes.
pub fn dataset(paths: &[PathBuf], pictures: &args::Pictures) -> Result<Dataset> {
    let mut dataset = match &pictures.data {
        None => Dataset {
            name: "pictures".into(),
            labels: Vec::new(),
            attributes: Vec::new(),
            samples: of_paths(paths)?,
            notes: Vec::new(),
        },
        Some(data) => {
            let card = catalogue::dataset(data)?;
            data::load(&card, pictures.root.as_deref(), pictures.split.as_deref())?
        }
    };
    dataset.notes.iter().for_each(|n| note(n));
    dataset.samples.truncate(pictures.limit.unwrap_or(usize::MAX));
    Ok(dataset)
}

/// The pictures at `paths`; a folder stands for all pictures below it. The id is the path as given.
fn of_paths(paths: &[PathBuf]) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for path in paths {
        if path.is_dir() {
            let card = DatasetCard::from_folder(path)?;
            let found = data::load(&card, Some(path), None)?.samples;
            if found.is_empty() {
                return Err(Error::new("there is no picture below it").at(path.display()));
            }
            samples.extend(found.into_iter().map(|s| Sample { id: path.join(s.id).display().to_string(), ..s }));
        } else {
            samples.push(single(path));
        }
    }
    Ok(samples)
}

fn single(path: &Path) -> Sample {
    Sample {
        id: path.display().to_string(),
        patient: None,
        study: None,
        attributes: Vec::new(),
        truths: Vec::new(),
        source: Source::File(path.to_owned()),
    }
}
