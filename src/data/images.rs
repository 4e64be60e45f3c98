//! Finds image files below a root: by path, or by name wherever they lie, in one walk.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::cards::dataset::is_image;
use crate::error::{Error, Result};

/// Calls `visit` with every file below `folder`, in a fixed order. Hidden entries and `__MACOSX` are passed over, links
/// followed; a folder that is reached twice is entered once.
pub(super) fn walk(folder: &Path, visit: &mut impl FnMut(PathBuf)) -> Result<()> {
    let mut entered = HashSet::new();
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        let real = folder.canonicalize().map_err(|e| Error::io(&folder, e))?;
        if !entered.insert(real) {
            continue;
        }
        let mut entries: Vec<_> = std::fs::read_dir(&folder)
            .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
            .map_err(|e| Error::io(&folder, e))?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        let first_new = left.len();
        for entry in entries {
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") || name == "__MACOSX" {
                continue;
            }
            let path = entry.path();
            let kind = entry.file_type().map_err(|e| Error::io(&path, e))?;
            // A link that leads nowhere is neither folder nor file.
            if kind.is_dir() || (kind.is_symlink() && path.is_dir()) {
                left.push(path);
            } else if kind.is_file() || path.is_file() {
                visit(path);
            }
        }
        left[first_new..].reverse();
    }
    Ok(())
}

/// `path` below `root`, with `/` between its parts.
pub(super) fn id_of(root: &Path, path: &Path) -> String {
    let parts = path.strip_prefix(root).unwrap_or(path).components();
    parts.map(|p| p.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// The images below a root.
pub(super) struct Images<'a> {
    root: &'a Path,
    /// File name without extension to the files that have it; made when first needed.
    by_stem: Option<HashMap<String, Vec<PathBuf>>>,
}

/// An image that a table names.
pub(super) struct Wanted<'a> {
    pub name: &'a str,
    pub line: usize,
}

impl<'a> Images<'a> {
    pub fn below(root: &'a Path) -> Self {
        Self { root, by_stem: None }
    }

    /// The file of each image that `table` names.
    ///
    /// A name with `/` is a path below the root, whose leading folders may be missing there
    /// (`CheXpert-v1.0-small/train/...`). Other names are looked for everywhere; without an extension, any will do.
    pub fn find(&mut self, wanted: &[Wanted], table: &Path) -> Result<Vec<PathBuf>> {
        let mut found = Vec::with_capacity(wanted.len());
        let mut missing = Vec::new();
        for image in wanted {
            let path = match image.name.contains('/') {
                true => self.by_path(image.name),
                false => self.by_name(image.name).map_err(|e| at(image, table, e))?,
            };
            match path {
                Some(path) => found.push(path),
                None => missing.push(image),
            }
        }
        let Some(first) = missing.first() else { return Ok(found) };
        Err(missing_error(first, table, self.root, missing.len(), wanted.len()))
    }

    fn by_path(&self, name: &str) -> Option<PathBuf> {
        let parts: Vec<&str> = name.split('/').collect();
        // At least one folder stays: file names alone may not be unique.
        (0..parts.len() - 1).map(|i| self.root.join(parts[i..].join("/"))).find(|path| path.is_file())
    }

    fn by_name(&mut self, name: &str) -> Result<Option<PathBuf>> {
        let path = Path::new(name);
        let stem = match is_image(path) {
            true => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            false => name.to_owned(),
        };
        if self.by_stem.is_none() {
            let mut by_stem: HashMap<String, Vec<PathBuf>> = HashMap::new();
            walk(self.root, &mut |path| {
                if let Some(stem) = path.file_stem().filter(|_| is_image(&path)) {
                    by_stem.entry(stem.to_string_lossy().into_owned()).or_default().push(path);
                }
            })?;
            self.by_stem = Some(by_stem);
        }
        let same_stem = self.by_stem.as_ref().and_then(|s| s.get(&stem)).map_or(&[][..], Vec::as_slice);
        let exact = |p: &&PathBuf| !is_image(path) || p.file_name() == path.file_name();
        let candidates: Vec<&PathBuf> = same_stem.iter().filter(exact).collect();
        let real = |p: &&PathBuf| p.canonicalize().ok();
        match candidates.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some((*one).clone())),
            // Links to one file are no contradiction.
            [first, others @ ..] => match others.iter().find(|o| real(o).is_none() || real(o) != real(first)) {
                None => Ok(Some((*first).clone())),
                Some(other) => {
                    let cause = format!("image `{name}` is there twice: {} and {}", first.display(), other.display());
                    Err(Error::new(cause).mend("give a --root that holds only one of them"))
                }
            },
        }
    }
}

fn at(image: &Wanted, table: &Path, error: Error) -> Error {
    error.at(format_args!("line {}", image.line)).at(table.display())
}

/// The error of images that are not there: the first, and how many.
pub(super) fn missing_error(first: &Wanted, table: &Path, root: &Path, missing: usize, of: usize) -> Error {
    let cause = format!("image `{}` is not below {} ({missing} of {of} are missing)", first.name, root.display());
    at(first, table, Error::new(cause).mend("give the folder that holds the images with --root"))
}
