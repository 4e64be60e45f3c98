//! The lock file: what was fetched, so that later runs use the same bytes.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::cards::model::Weights;
use crate::error::{Error, Result};
use crate::files;

/// The schema that a lock file names.
const SCHEMA: &str = "roentgen/lock/1";

/// A lock file's entries, at most one for a file of a repository.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    schema: String,
    #[serde(default)]
    file: Vec<Entry>,
}

/// A file at a commit, and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// `owner/name` on the Hub.
    pub repo: String,
    /// The revision that was asked for.
    pub revision: String,
    /// The commit that it was.
    pub commit: String,
    /// The file in the repository.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the bytes, in hex.
    pub sha256: String,
}

impl Lock {
    /// The lock file at `path`; an empty one if there is none.
    pub fn read(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { schema: SCHEMA.into(), file: Vec::new() });
            }
            Err(e) => return Err(Error::io(path, e)),
        };
        let lock: Self = toml::from_str(&text).map_err(|e| {
            Error::new(e.message()).at(path.display()).mend("mend the lock file, or remove it and fetch")
        })?;
        match lock.schema == SCHEMA {
            true => Ok(lock),
            false => Err(Error::new(format!("schema `{}` is not known here", lock.schema)).at(path.display())),
        }
    }

    /// The entry of the file that a card names.
    pub fn of(&self, weights: &Weights) -> Option<&Entry> {
        self.get(weights.repo.as_ref()?, weights.revision.as_ref()?, weights.file.as_ref()?)
    }

    fn get(&self, repo: &str, revision: &str, file: &str) -> Option<&Entry> {
        self.file.iter().find(|e| e.repo == repo && e.revision == revision && e.file == file)
    }

    /// Puts `entry` into the lock file at `path`. Two processes may do so at once.
    pub fn put(path: &Path, entry: &Entry) -> Result<()> {
        let fault = |e| Error::io(path, e);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(fault)?;
        // The folder itself is what the other process waits for; it is let go at the end.
        let held = std::fs::File::open(folder).map_err(fault)?;
        held.lock().map_err(fault)?;
        let mut lock = Self::read(path)?;
        if lock.get(&entry.repo, &entry.revision, &entry.file) != Some(entry) {
            lock.file.retain(|e| (&e.repo, &e.revision, &e.file) != (&entry.repo, &entry.revision, &entry.file));
            lock.file.push(entry.clone());
            lock.file.sort_by(|a, b| (&a.repo, &a.file, &a.revision).cmp(&(&b.repo, &b.file, &b.revision)));
            let text = toml::to_string(&lock).map_err(|e| Error::new(e.to_string()))?;
            files::write(path, text.as_bytes())?;
        }
        Ok(())
    }
}
