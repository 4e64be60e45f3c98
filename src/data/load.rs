//! From a card to its samples: picks the reader of the layout and compares the counts with the official ones.

use std::collections::HashSet;
use std::path::Path;

use super::dataset::Loaded;
use super::root::Root;
use super::{Dataset, Sample, chexpert, cohort, dicom, folder, nih, split, table};
use crate::cards::dataset::{Counts, DatasetCard, Layout, WHOLE};
use crate::error::{Error, Result};

/// The samples of a dataset, or of one of its splits, in a fixed order: the table's; of folders, sorted by id.
///
/// `root` is the folder of the images (the card's own when left out; phantoms need none). No image is opened, but each
/// is known to be there. Errors name the table, the row (its line, from 1) and the column.
pub fn load(card: &DatasetCard, root: Option<&Path>, split: Option<&str>) -> Result<Dataset> {
    let loaded = match card.layout {
        Layout::Folders => folder::load(card, &Root::of(card, root)?, split),
        Layout::Nih => nih::load(card, &Root::of(card, root)?, split),
        Layout::Chexpert => chexpert::load(card, &Root::of(card, root)?, split),
        Layout::Table => table::load(card, &Root::of(card, root)?, split),
        Layout::Dicom => dicom::load(card, &Root::of(card, root)?, split),
        Layout::Phantom => match split {
            None => cohort::load(card),
            Some(wanted) => Err(split::unknown(wanted, std::iter::empty())),
        },
    };
    let Loaded { attributes, samples, mut notes } =
        loaded.map_err(|e| e.at(format_args!("dataset `{}`", card.name)))?;
    if samples.is_empty() {
        return Err(Error::new("no image is selected")
            .at(format_args!("dataset `{}`", card.name))
            .mend("check --root, --split and the card"));
    }
    let mut ids = HashSet::new();
    if let Some(sample) = samples.iter().find(|s| !ids.insert(s.id.as_str())) {
        // Tables are checked row by row; file names that are not UTF-8 may still look alike.
        return Err(Error::new(format!("two images are named `{}`", sample.id))
            .at(format_args!("dataset `{}`", card.name))
            .mend("rename one of the files"));
    }
    let part = split.unwrap_or(WHOLE);
    if let Some(expected) = card.expected.get(part) {
        notes.extend(compare(part, expected, &samples));
    }
    Ok(Dataset { name: card.name.clone(), labels: card.labels.clone(), attributes, samples, notes })
}

/// Lines about counts that are not the official ones.
fn compare(part: &str, expected: &Counts, samples: &[Sample]) -> Vec<String> {
    let line = |what: &str, found: usize, expected: usize| {
        let why = match found < expected {
            true => format!("{} are missing: a part was probably not downloaded or unpacked", expected - found),
            false => format!("{} more: another release, or files were added", found - expected),
        };
        (found != expected).then(|| format!("{part}: {found} {what} where the card expects {expected}; {why}"))
    };
    let mut notes: Vec<_> = line("images", samples.len(), expected.images).into_iter().collect();
    if let Some(wanted) = expected.patients {
        let patients: HashSet<_> = samples.iter().filter_map(|s| s.patient.as_deref()).collect();
        notes.extend(line("patients", patients.len(), wanted));
    }
    notes
}
