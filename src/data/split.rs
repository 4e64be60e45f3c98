//! Official splits: one folder or table each, or lists of images. Nothing here is random.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::root::Root;
use crate::error::{Error, Result};

/// The places of the split `wanted`, or of all that are there; those that are not become notes.
pub(super) fn places(
    splits: &BTreeMap<String, String>,
    wanted: Option<&str>,
    find: impl Fn(&str) -> Result<PathBuf>,
    notes: &mut Vec<String>,
) -> Result<Vec<PathBuf>> {
    if let Some(wanted) = wanted {
        let place = splits.get(wanted).ok_or_else(|| unknown(wanted, splits.keys().map(String::as_str)))?;
        return Ok(vec![find(place)?]);
    }
    let (mut found, mut missing) = (Vec::new(), None);
    for (split, place) in splits {
        match find(place) {
            Ok(path) => found.push(path),
            Err(e) => {
                notes.push(format!("split `{split}` is left out: `{place}` is not there"));
                missing.get_or_insert(e);
            }
        }
    }
    match missing {
        Some(e) if found.is_empty() => Err(e),
        _ => Ok(found),
    }
}

/// The error of a split that the dataset lacks.
pub(super) fn unknown<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let known: Vec<_> = known.collect();
    Error::usage(format!("there is no split `{wanted}`")).mend(match known.is_empty() {
        true => "it has no splits: leave --split out".into(),
        false => format!("it has {}", known.join(", ")),
    })
}

/// The lines of the official list of `wanted`.
pub(super) struct List {
    path: PathBuf,
    /// Name to its line, from 1.
    names: HashMap<String, usize>,
}

impl List {
    /// `None` without a wanted split.
    pub fn of(lists: &BTreeMap<String, String>, wanted: Option<&str>, root: &Root) -> Result<Option<Self>> {
        let Some(wanted) = wanted else { return Ok(None) };
        let file = lists.get(wanted).ok_or_else(|| unknown(wanted, lists.keys().map(String::as_str)))?;
        Self::read(root.file(file)?).map(Some)
    }

    fn read(path: PathBuf) -> Result<Self> {
        let text = super::csv_file::read_text(&path)?;
        let mut names = HashMap::new();
        for (line, name) in (1..).zip(text.lines().map(str::trim)).filter(|(_, name)| !name.is_empty()) {
            if let Some(first) = names.insert(name.to_owned(), line) {
                return Err(Error::new(format!("`{name}` is there twice, first in line {first}"))
                    .at(format_args!("line {line}"))
                    .at(path.display())
                    .mend("remove one of the lines"));
            }
        }
        Ok(Self { path, names })
    }

    /// Whether the list names `image`.
    pub fn has(&self, image: &str) -> bool {
        self.names.contains_key(image)
    }

    /// Every name of the list must be among `images`, those of `table`.
    pub fn check_all_in<'a>(&self, images: impl Iterator<Item = &'a str>, table: &Path) -> Result<()> {
        let images: HashSet<_> = images.collect();
        let missing = || self.names.iter().filter(|(name, _)| !images.contains(name.as_str()));
        let Some((name, line)) = missing().min_by_key(|(_, line)| **line) else { return Ok(()) };
        let all = self.names.len();
        Err(Error::new(format!("`{name}` is not in {} ({} of {all} are not)", table.display(), missing().count()))
            .at(format_args!("line {line}"))
            .at(self.path.display())
            .mend("use the table and the list of the same release"))
    }
}
