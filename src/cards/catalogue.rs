//! Finds cards: the bundled ones by name, a person's own by path.

use std::path::{Path, PathBuf};

use crate::cards::dataset::DatasetCard;
use crate::cards::model::ModelCard;
use crate::cards::published::PublishedTable;
use crate::error::{Error, Result};

include!(concat!(env!("OUT_DIR"), "/bundled.rs"));

/// Where a model card was found, which decides what its relative path means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Home {
    /// Inside the program.
    Bundled,
    /// In this folder.
    Folder(PathBuf),
}

/// A file that a model card names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CardFile {
    /// Inside the program.
    Bundled(&'static [u8]),
    /// On this machine.
    Path(PathBuf),
}

/// The names of the bundled dataset cards, sorted.
pub fn dataset_names() -> impl Iterator<Item = &'static str> {
    DATASETS.iter().filter_map(|(name, _)| name.strip_suffix(".toml"))
}

/// The names of the bundled model cards, sorted.
pub fn model_names() -> impl Iterator<Item = &'static str> {
    MODELS.iter().filter_map(|(name, _)| name.strip_suffix(".toml"))
}

/// The names of the bundled published tables, sorted.
pub fn published_names() -> impl Iterator<Item = &'static str> {
    PUBLISHED.iter().filter_map(|(name, _)| name.strip_suffix(".toml"))
}

/// The names of the bundled recipes, sorted.
pub fn recipe_names() -> impl Iterator<Item = &'static str> {
    RECIPES.iter().filter_map(|(name, _)| name.strip_suffix(".toml"))
}

/// The text of the recipe that `spec` names, and the folder that its paths are relative to: of a bundled one the current
/// folder.
pub fn recipe(spec: &str) -> Result<(String, PathBuf)> {
    let path = Path::new(spec);
    match bundled(RECIPES, spec) {
        Some(text) => Ok((text.to_owned(), PathBuf::new())),
        None if path.is_file() => Ok((super::read(path)?, path.parent().unwrap_or(Path::new("")).to_owned())),
        None => Err(unknown("recipe", spec, recipe_names())),
    }
}

/// The dataset that `spec` names: a bundled card's name, the path of a card, or a folder of pictures.
pub fn dataset(spec: &str) -> Result<DatasetCard> {
    let path = Path::new(spec);
    match bundled(DATASETS, spec) {
        _ if path.is_dir() => DatasetCard::from_folder(path),
        Some(text) => DatasetCard::parse(text, spec),
        None if path.is_file() => DatasetCard::read(path),
        None => Err(unknown("dataset", spec, dataset_names())),
    }
}

/// The text of a dataset card: a bundled one's or the one at a path.
pub fn dataset_text(spec: &str) -> Result<String> {
    match bundled(DATASETS, spec) {
        Some(text) => Ok(text.to_owned()),
        None if Path::new(spec).is_file() => super::read(Path::new(spec)),
        None => Err(unknown("dataset", spec, dataset_names())),
    }
}

/// The model that `spec` names: a bundled card's name or the path of a card.
pub fn model(spec: &str) -> Result<(ModelCard, Home)> {
    let path = Path::new(spec);
    match bundled(MODELS, spec) {
        Some(text) => Ok((ModelCard::parse(text, spec)?, Home::Bundled)),
        None if path.is_file() => {
            Ok((ModelCard::read(path)?, Home::Folder(path.parent().unwrap_or(Path::new("")).to_owned())))
        }
        None => Err(unknown("model", spec, model_names())),
    }
}

/// The published table that `spec` names: a bundled one's name or the path of a card.
pub fn published(spec: &str) -> Result<PublishedTable> {
    let path = Path::new(spec);
    match bundled(PUBLISHED, spec) {
        Some(text) => PublishedTable::parse(text, spec),
        None if path.is_file() => PublishedTable::read(path),
        None => Err(unknown("published table", spec, published_names())),
    }
}

/// The file at a path in a model card.
pub fn file_of(card: &ModelCard, home: &Home, path: &Path) -> Result<CardFile> {
    match home {
        Home::Folder(folder) => Ok(CardFile::Path(folder.join(path))),
        Home::Bundled => MODELS
            .iter()
            .find(|(name, _)| Path::new(name) == path)
            .map(|(_, bytes)| CardFile::Bundled(bytes))
            .ok_or_else(|| {
                Error::new(format!("{} is not bundled", path.display())).at(format_args!("model `{}`", card.name))
            }),
    }
}

fn bundled(table: &'static [(&str, &[u8])], name: &str) -> Option<&'static str> {
    let (_, bytes) = table.iter().find(|(file, _)| file.strip_suffix(".toml") == Some(name))?;
    std::str::from_utf8(bytes).ok()
}

fn unknown<'a>(what: &str, spec: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let known: Vec<_> = known.collect();
    Error::usage(format!("there is no {what} card and no file of this name"))
        .at(format_args!("`{spec}`"))
        .mend(format!("bundled: {}; or give the path of a card", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bundled_card_is_valid_and_named_as_its_file() {
        for name in dataset_names() {
            assert_eq!(dataset(name).unwrap().name, name);
        }
        for name in model_names() {
            let (card, home) = model(name).unwrap();
            assert_eq!(card.name, name);
            assert_eq!(home, Home::Bundled);
        }
        for name in published_names() {
            let table = published(name).unwrap();
            table.see.iter().for_each(|other| assert!(published(other).is_ok(), "{name}: {other}"));
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let e = model("no-such-model").unwrap_err().to_string();
        assert!(e.contains("`no-such-model`") && e.contains("phantom"), "{e}");
    }
}
