//! Leakage between two datasets: patients in both, pictures in both, and pictures that a model was trained on.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;

use super::picture_look::Look;
use crate::data::phantom;
use crate::data::{Dataset, Sample, Source};
use crate::error::{Error, Result};
use crate::files;
use crate::imaging::decode::decode;
use crate::imaging::picture::{DEFAULT_MAX_PIXELS, Picture, Pixels};

/// Hashes that differ in at most this many of their 64 bits are candidates.
const NEAR_BITS: u32 = 14;

/// Details that correlate at least so much are of the same exposure.
const NEAR_CORRELATION: f64 = 0.9;

/// What two datasets share.
#[derive(Debug, Clone, Serialize)]
pub struct Leakage {
    /// The first dataset, as training data.
    pub a: String,
    /// The second, as test data.
    pub b: String,
    /// Images of the first.
    pub images_a: usize,
    /// Images of the second.
    pub images_b: usize,
    /// Whether both are the same images, so that only copies among them are looked for.
    pub same_dataset: bool,
    /// Patients in both; `None` where one does not know them, or both are the same dataset.
    pub patients: Option<SharedPatients>,
    /// Pairs of files with the same bytes.
    pub identical: Vec<Pair>,
    /// Pairs of other files that show the same picture.
    pub near: Vec<Pair>,
    /// Images of the second on the list that a model was trained on; `None` without a list.
    pub trained_on: Option<Vec<String>>,
    /// Files that could not be read, with the reason.
    pub unreadable: Vec<String>,
}

/// Patients in both datasets.
#[derive(Debug, Clone, Serialize)]
pub struct SharedPatients {
    /// Their ids.
    pub patients: Vec<String>,
    /// Images that the first has of them.
    pub images_a: usize,
    /// Images that the second has of them.
    pub images_b: usize,
}

/// Two images, one of each dataset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// Of the first.
    pub a: String,
    /// Of the second.
    pub b: String,
    /// Correlation of their details; 1 for files with the same bytes.
    pub correlation: f64,
    /// Whether the datasets label them differently, over the labels that both have.
    pub labels_differ: bool,
}

/// What is kept of a file.
struct Seen {
    sha256: String,
    look: Look,
}

/// Compares all images of `a` with all of `b`. `trained_on` lists ids.
pub fn leakage(a: &Dataset, b: &Dataset, trained_on: Option<&HashSet<String>>) -> Leakage {
    let same = |(a, b): (&Sample, &Sample)| a.id == b.id && place(a) == place(b);
    let same_dataset = a.samples.len() == b.samples.len() && a.samples.iter().zip(&b.samples).all(same);
    let mut unreadable = Vec::new();
    let mut seen = |dataset: &Dataset| -> Vec<Option<Seen>> {
        let read: Vec<Result<Seen>> = dataset.samples.par_iter().map(look_at).collect();
        let keep = |r: Result<Seen>| r.map_err(|e| unreadable.push(e.to_string())).ok();
        read.into_iter().map(keep).collect()
    };
    let of_a = seen(a);
    let of_b = if same_dataset { None } else { Some(seen(b)) };
    let of_b = of_b.as_deref().unwrap_or(&of_a);
    let labels: Vec<(usize, usize)> =
        (0..a.labels.len()).filter_map(|i| Some((i, crate::labels::find(&b.labels, &a.labels[i])?))).collect();
    let pair = |i: usize, j: usize, correlation: f64| Pair {
        a: a.samples[i].id.clone(),
        b: b.samples[j].id.clone(),
        correlation,
        labels_differ: labels.iter().any(|&(x, y)| a.samples[i].truths[x] != b.samples[j].truths[y]),
    };
    // A file is no copy of itself, and in one dataset each pair counts once.
    let counts = |i: usize, j: usize| match same_dataset {
        true => i < j,
        false => place(&a.samples[i]).is_none() || place(&a.samples[i]) != place(&b.samples[j]),
    };
    let mut by_hash: HashMap<&str, Vec<usize>> = HashMap::new();
    for (j, file) in of_b.iter().enumerate() {
        if let Some(file) = file {
            by_hash.entry(&file.sha256).or_default().push(j);
        }
    }
    let mut identical = Vec::new();
    for (i, file) in of_a.iter().enumerate() {
        let Some(file) = file else { continue };
        let same = by_hash.get(file.sha256.as_str()).map_or(&[][..], Vec::as_slice);
        identical.extend(same.iter().filter(|&&j| counts(i, j)).map(|&j| pair(i, j, 1.0)));
    }
    let near = of_a
        .par_iter()
        .enumerate()
        .flat_map_iter(|(i, file)| {
            let Some(file) = file else { return Vec::new() };
            let close = |j: usize| {
                let other = of_b[j].as_ref()?;
                let bits = (file.look.hash ^ other.look.hash).count_ones();
                if bits > NEAR_BITS || other.sha256 == file.sha256 || !counts(i, j) {
                    return None;
                }
                let correlation = file.look.correlation(&other.look);
                (correlation >= NEAR_CORRELATION).then(|| pair(i, j, correlation))
            };
            (0..of_b.len()).filter_map(close).collect()
        })
        .collect();
    Leakage {
        a: a.name.clone(),
        b: b.name.clone(),
        images_a: a.samples.len(),
        images_b: b.samples.len(),
        same_dataset,
        patients: if same_dataset { None } else { shared_patients(a, b) },
        identical,
        near,
        trained_on: trained_on.map(|list| {
            b.samples
                .iter()
                .filter(|s| names(&s.id).iter().any(|name| list.contains(*name)))
                .map(|s| s.id.clone())
                .collect()
        }),
        unreadable,
    }
}

/// The ids of a list file: the first cell of each line, as it is and without its folder and extension.
pub fn id_list(path: &Path) -> Result<HashSet<String>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    let cells = text.lines().filter_map(|line| line.split([',', '\t', ';']).next()).map(|c| c.trim().trim_matches('"'));
    let ids: HashSet<String> = cells.filter(|c| !c.is_empty()).flat_map(names).map(str::to_owned).collect();
    if ids.is_empty() {
        return Err(Error::new("the list is empty").at(path.display()).mend("give one id a line"));
    }
    Ok(ids)
}

/// An id as it is, without its folder, and without its extension too.
fn names(id: &str) -> [&str; 3] {
    let name = id.rsplit('/').next().unwrap_or(id);
    [id, name, name.rsplit_once('.').map_or(name, |(stem, _)| stem)]
}

fn place(sample: &Sample) -> Option<&Path> {
    match &sample.source {
        Source::File(path) => Some(path),
        Source::Phantom(..) => None,
    }
}

fn look_at(sample: &Sample) -> Result<Seen> {
    let (sha256, picture) = match &sample.source {
        Source::File(path) => {
            let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
            let name = path.display().to_string();
            (files::sha256(&bytes), decode(&bytes, &name, None, DEFAULT_MAX_PIXELS)?)
        }
        Source::Phantom(cohort, id) => {
            let drawn = phantom::render(cohort, id);
            let side = drawn.size as usize;
            let sha256 = files::sha256(&drawn.pixels);
            let pixels = Pixels::Gray(drawn.pixels);
            (sha256, Picture { width: side, height: side, pixels, range: [0.0, 255.0] })
        }
    };
    Ok(Seen { sha256, look: Look::of(&picture)? })
}

fn shared_patients(a: &Dataset, b: &Dataset) -> Option<SharedPatients> {
    let of = |d: &Dataset| -> HashSet<String> { d.samples.iter().filter_map(|s| s.patient.clone()).collect() };
    let (of_a, of_b) = (of(a), of(b));
    if of_a.is_empty() || of_b.is_empty() {
        return None;
    }
    let shared: HashSet<&String> = of_a.intersection(&of_b).collect();
    let images =
        |d: &Dataset| d.samples.iter().filter(|s| s.patient.as_ref().is_some_and(|p| shared.contains(p))).count();
    let (images_a, images_b) = (images(a), images(b));
    let mut patients: Vec<String> = shared.into_iter().cloned().collect();
    patients.sort();
    Some(SharedPatients { patients, images_a, images_b })
}
