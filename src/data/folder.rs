//! Class folders, as in train/NORMAL, train/PNEUMONIA, test/NORMAL, ...

use std::path::{Path, PathBuf};

use regex::Regex;

use super::dataset::Loaded;
use super::images::{id_of, walk};
use super::root::Root;
use super::{Sample, Source, split};
use crate::cards::dataset::{DatasetCard, Folders, is_image, regex};
use crate::error::{Error, Result};
use crate::predictions::Truth;

pub(super) fn load(card: &DatasetCard, root: &Root, wanted: Option<&str>) -> Result<Loaded> {
    let folders = card.of_layout(&card.folders)?;
    let mut notes = Vec::new();
    let find = |name: &str| {
        let folder = root.folder.join(name);
        let missing = || {
            Error::new("there is no such folder")
                .at(folder.display())
                .mend(format!("give the folder that holds `{name}` with --root"))
        };
        folder.is_dir().then(|| folder.clone()).ok_or_else(missing)
    };
    let places = match (folders.splits.is_empty(), wanted) {
        (true, None) => vec![root.folder.clone()],
        _ => split::places(&folders.splits, wanted, find, &mut notes)?,
    };
    let rules = Rules::of(card, folders)?;
    let mut samples = Vec::new();
    for place in places {
        let images = images_in(&place, folders)?;
        for class in folders.classes.keys().filter(|class| !place.join(class).is_dir()) {
            notes.push(format!("{} has no class folder `{class}`", place.display()));
        }
        for (path, class) in images {
            samples.push(rules.sample(&root.folder, path, class)?);
        }
    }
    samples.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(Loaded { attributes: Vec::new(), samples, notes })
}

/// The images of one split, each with the labels of its class.
fn images_in<'a>(place: &Path, folders: &'a Folders) -> Result<Vec<(PathBuf, &'a [String])>> {
    let mut found = Vec::new();
    let mut stray = None;
    walk(place, &mut |path| {
        if !is_image(&path) {
            return;
        }
        let id = id_of(place, &path);
        let class = id.split_once('/').map(|(class, _)| class);
        match class.and_then(|class| folders.classes.get(class)) {
            Some(labels) => found.push((path, labels.as_slice())),
            None if folders.classes.is_empty() => found.push((path, &[][..])),
            None => stray = stray.take().or(Some((path, class.map(str::to_owned)))),
        }
    })?;
    let known = || folders.classes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    match stray {
        None => Ok(found),
        Some((_, Some(class))) => Err(Error::new(format!("the folder `{class}` is no class of the card"))
            .at(place.display())
            .mend(format!("the classes are {}; add it to `folders.classes` or take it away", known()))),
        Some((path, None)) => Err(Error::new("the image lies beside the class folders")
            .at(path.display())
            .mend(format!("put it into one of {}", known()))),
    }
}

/// What the card says about file names.
struct Rules<'a> {
    labels: &'a [String],
    /// Parallel to `labels`.
    patterns: Vec<Option<Regex>>,
    patient: Option<Regex>,
}

impl<'a> Rules<'a> {
    fn of(card: &'a DatasetCard, folders: &Folders) -> Result<Self> {
        let pattern = |label: &String| {
            let pattern = folders.patterns.get(label);
            pattern.map(|p| regex(&format!("folders.patterns.{label}"), p)).transpose()
        };
        Ok(Self {
            labels: &card.labels,
            patterns: card.labels.iter().map(pattern).collect::<Result<_>>()?,
            patient: folders.patient.as_ref().map(|p| regex("folders.patient", p)).transpose()?,
        })
    }

    fn sample(&self, root: &Path, path: PathBuf, class: &[String]) -> Result<Sample> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let truth = |(label, pattern): (&String, &Option<Regex>)| {
            let named = pattern.as_ref().is_some_and(|p| p.is_match(&name));
            if named || class.contains(label) { Truth::Positive } else { Truth::Negative }
        };
        let patient = match &self.patient {
            None => None,
            Some(pattern) => match pattern.captures(&name).and_then(|c| c.get(1)) {
                Some(patient) => Some(patient.as_str().to_owned()),
                None => {
                    return Err(Error::new(format!("the name does not fit `folders.patient` ({pattern})"))
                        .at(path.display())
                        .mend("mend the pattern, or take the file away"));
                }
            },
        };
        Ok(Sample {
            id: id_of(root, &path),
            patient,
            study: None,
            attributes: Vec::new(),
            truths: self.labels.iter().zip(&self.patterns).map(truth).collect(),
            source: Source::File(path),
        })
    }
}
