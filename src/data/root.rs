//! Where a dataset's files are.

use std::path::{Path, PathBuf};

use crate::cards::dataset::DatasetCard;
use crate::error::{Error, Result};

/// The folder of the images, and the card's own, where tables may lie too.
pub(super) struct Root {
    /// The folder of the images.
    pub folder: PathBuf,
    home: Option<PathBuf>,
}

impl Root {
    /// `given` by the person, else what the card says, relative to the card.
    pub fn of(card: &DatasetCard, given: Option<&Path>) -> Result<Self> {
        let own = || {
            let root = card.root.as_ref()?;
            Some(card.home.as_ref().map_or_else(|| root.clone(), |home| home.join(root)))
        };
        let Some(folder) = given.map(Path::to_owned).or_else(own) else {
            return Err(Error::usage("it is not known where its images are")
                .at(format_args!("dataset `{}`", card.name))
                .mend("give their folder with --root"));
        };
        if !folder.is_dir() {
            return Err(Error::new("there is no such folder").at(folder.display()).mend("mend --root"));
        }
        Ok(Self { folder, home: card.home.clone() })
    }

    /// The table or list `name`: below the root, beside the card, or in a folder directly below the root; each also with
    /// `.gz` added.
    pub fn file(&self, name: &str) -> Result<PathBuf> {
        let mut places: Vec<_> = std::iter::once(self.folder.clone()).chain(self.home.clone()).collect();
        let below = std::fs::read_dir(&self.folder).map_err(|e| Error::io(&self.folder, e))?;
        let mut below: Vec<_> = below.filter_map(|entry| Some(entry.ok()?.path())).filter(|p| p.is_dir()).collect();
        below.sort();
        places.extend(below);
        places
            .iter()
            .flat_map(|place| [place.join(name), place.join(format!("{name}.gz"))])
            .find(|path| path.is_file())
            .ok_or_else(|| {
                let beside = self.home.as_ref().map_or_else(String::new, |h| format!(", nor in {}", h.display()));
                Error::new(format!("`{name}` is not in {}{beside}", self.folder.display()))
                    .mend("give the folder that holds it with --root")
            })
    }
}
