//! Shards joined to the run that one process would have made of all images.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use crate::data::manifest::{Manifest, Row};
use crate::error::{Error, Result};
use crate::files;
use crate::inference::finding::Finding;
use crate::inference::journal::Output;
use crate::inference::part;
use crate::predictions;
use crate::run::{Description, RunFolder};

/// The whole run's description and outcome from the folders of all its shards, in any order. Shards that are missing,
/// unfinished, changed, of another run or there twice are errors that name them.
pub fn merge(folders: &[RunFolder]) -> Result<(Description, Finding)> {
    let mut shards = folders.iter().map(|folder| Ok((folder, description(folder)?))).collect::<Result<Vec<_>>>()?;
    shards.sort_by_key(|(_, d)| d.shard.map(|shard| shard.index()));
    let [(first, description), ..] = &shards[..] else { return Err(Error::usage("no shards to merge")) };
    let common = whole(description);
    for (folder, other) in &shards[1..] {
        if let Some(key) = difference(&common, &whole(other))? {
            return Err(Error::new(format!("`{key}` is another than in {}", first.path().display()))
                .at(folder.run_toml().display())
                .mend("merge the shards of one run only"));
        }
    }
    check_all_there(&shards)?;
    let mut manifest = Manifest { attributes: Vec::new(), labels: Vec::new(), rows: Vec::new() };
    let mut placed = Vec::new();
    for (folder, description) in &shards {
        let read = read(folder, description)?;
        (manifest.attributes, manifest.labels) = (read.attributes, read.labels);
        placed.extend(read.rows);
    }
    placed.sort_by_key(|(position, ..)| *position);
    let mut results = Vec::with_capacity(placed.len());
    for (_, row, result) in placed {
        manifest.rows.push(row);
        results.push(result);
    }
    if manifest.listing_sha256() != common.hashes.samples {
        return Err(Error::new("the shards together are not the list of images that each was cut from")
            .mend("run the shards again over one and the same dataset"));
    }
    let smallest_batch = shards.iter().filter_map(|(_, d)| d.smallest_batch).min();
    let description = Description { images: results.len(), smallest_batch, ..common };
    let finding = Finding::new(&description.model, manifest, results)?;
    Ok((description, finding))
}

/// Of a finished shard.
fn description(folder: &RunFolder) -> Result<Description> {
    let description = Description::read(folder)?;
    let place = folder.path().display();
    if description.shard.is_none() {
        return Err(Error::new("this run is no shard").at(place).mend("merge runs of `evaluate --shard I/N`"));
    }
    if folder.journal().exists() || !description.is_finished() {
        return Err(Error::new("this shard is not finished").at(place).mend("go on with it by `evaluate --resume`"));
    }
    Ok(description)
}

/// A shard's description without what only the shard has; the number of parts stays in none of it.
fn whole(description: &Description) -> Description {
    let mut whole = Description { shard: None, images: 0, smallest_batch: None, ..description.clone() };
    (whole.hashes.manifest, whole.hashes.predictions) = (None, None);
    whole
}

/// The first key in which two descriptions differ.
fn difference(a: &Description, b: &Description) -> Result<Option<String>> {
    let table = |d: &Description| toml::Table::try_from(d).map_err(|e| Error::new(e.to_string()).at("run.toml"));
    let (a, b) = (table(a)?, table(b)?);
    let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
    keys.sort();
    Ok(keys.into_iter().find(|key| a.get(*key) != b.get(*key)).cloned())
}

/// Every shard once, none of another cut; they are in the order of their numbers.
fn check_all_there(shards: &[(&RunFolder, Description)]) -> Result<()> {
    let numbered = shards.iter().filter_map(|(folder, d)| Some((folder, d.shard?)));
    let mut seen: HashMap<u64, &RunFolder> = HashMap::new();
    let mut count = 0;
    for (folder, shard) in numbered {
        if count != 0 && shard.count() != count {
            return Err(Error::new(format!("shard {shard} is of another cut than those into {count}"))
                .at(folder.path().display()));
        }
        count = shard.count();
        if let Some(other) = seen.insert(shard.index(), folder) {
            return Err(Error::new(format!("shard {shard} is there twice, also in {}", other.path().display()))
                .at(folder.path().display())
                .mend("name one of the two"));
        }
    }
    let missing: Vec<String> =
        (1..=count).filter(|i| !seen.contains_key(i)).map(|i| format!("{i}/{count}")).take(10).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Error::new(format!("of the {count} shards there are only {}", seen.len()))
            .mend(format!("finish and name also {}", missing.join(", ")))),
    }
}

/// The images of a shard, each with its place in the whole list.
struct Shard {
    attributes: Vec<String>,
    labels: Vec<String>,
    rows: Vec<(usize, Row, Output)>,
}

fn read(folder: &RunFolder, description: &Description) -> Result<Shard> {
    unchanged(&folder.manifest(), description.hashes.manifest.as_deref())?;
    unchanged(&folder.predictions(), description.hashes.predictions.as_deref())?;
    let file = File::open(folder.manifest()).map_err(|e| Error::io(&folder.manifest(), e))?;
    let manifest = Manifest::read(file).map_err(|e| e.at("manifest.csv"))?;
    let positions = part::positions(&folder.positions())?;
    let failed = folder.read_failures()?.into_iter();
    let mut results: HashMap<_, _> = failed.map(|(image, reason)| (image, Output::Failure(reason))).collect();
    if results.len() < manifest.rows.len() {
        results.extend(logits(&folder.predictions(), &description.model.labels)?);
    }
    let place = folder.path().display();
    if positions.len() != manifest.rows.len() {
        let counts = format!("{} positions for {} images", positions.len(), manifest.rows.len());
        return Err(Error::new(counts).at(place).mend("run the shard again"));
    }
    let rows = positions.into_iter().zip(manifest.rows).map(|(position, row)| {
        let result = results.remove(&row.image);
        let result = result.ok_or_else(|| {
            Error::new(format!("image {} is neither in predictions.csv nor in failures.csv", row.image)).at(&place)
        })?;
        Ok((position, row, result))
    });
    Ok(Shard { rows: rows.collect::<Result<_>>()?, attributes: manifest.attributes, labels: manifest.labels })
}

fn unchanged(path: &Path, sha256: Option<&str>) -> Result<()> {
    if Some(files::sha256_of(path)?.as_str()) == sha256 {
        return Ok(());
    }
    Err(Error::new("it was changed after the run").at(path.display()).mend("run the shard again"))
}

/// Images that could be read, with their logits.
fn logits(path: &Path, labels: &[String]) -> Result<Vec<(String, Output)>> {
    let table = predictions::read(path, None)?;
    let columns = labels.iter().map(|name| {
        let logits = table.label(name).and_then(|label| label.logits.as_ref());
        logits.ok_or_else(|| Error::new(format!("there is no logit of {name}")).at(path.display()))
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    // They were f32 before they were written.
    let row = |i: usize| columns.iter().map(|column| column[i] as f32).collect();
    Ok(table.images.iter().enumerate().map(|(i, image)| (image.clone(), Output::Logits(row(i)))).collect())
}
