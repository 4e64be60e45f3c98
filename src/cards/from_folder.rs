//! A folder given instead of a card: the card that describes it, by a few plain rules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::dataset::{DatasetCard, Dicom, DicomKey, Folders, Layout, SCHEMA};
use crate::error::{Error, Result};
use crate::labels;

/// Folder names that are splits.
const SPLITS: [&str; 5] = ["train", "val", "valid", "validation", "test"];

/// Class folders whose images have no finding.
const NORMAL: [&str; 2] = ["Normal", "No Finding"];

/// Whether `path` has the extension of a picture that roentgen decodes.
pub fn is_image(path: &Path) -> bool {
    const EXTENSIONS: [&str; 9] = ["png", "jpg", "jpeg", "tif", "tiff", "bmp", "dcm", "dicom", "dic"];
    path.extension().is_some_and(|e| EXTENSIONS.iter().any(|x| e.eq_ignore_ascii_case(x)))
}

fn is_dicom(path: &Path) -> bool {
    path.extension().is_some_and(|e| ["dcm", "dicom", "dic"].iter().any(|x| e.eq_ignore_ascii_case(x)))
}

impl DatasetCard {
    /// The card of a folder that has none.
    ///
    /// 1. Folders named train, val, valid, validation or test are splits; the rules below hold inside each, and what
    ///    lies beside them is passed over.
    /// 2. Folders that directly hold images are classes. Each class is a label of its folder's name, but `NORMAL` and
    ///    `No Finding` (in any spelling) add none.
    /// 3. Without class folders, all images below are taken, without labels; when they lie in the folder itself and are
    ///    DICOM files, patients and views come from their tags.
    ///
    /// Images beside class folders are an error.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        let top = Listing::of(folder)?;
        let splits: BTreeMap<String, String> = top
            .folders
            .iter()
            .filter(|name| SPLITS.iter().any(|s| name.eq_ignore_ascii_case(s)))
            .map(|name| (name.clone(), name.clone()))
            .collect();
        let inside: Vec<PathBuf> = match splits.is_empty() {
            true => vec![folder.to_owned()],
            false => splits.values().map(|name| folder.join(name)).collect(),
        };
        let mut classes = BTreeSet::new();
        let mut loose = None;
        for place in &inside {
            let listing = Listing::of(place)?;
            for name in listing.folders {
                if !Listing::of(&place.join(&name))?.images.is_empty() {
                    classes.insert(name);
                }
            }
            loose = loose.or(listing.images.into_iter().next());
        }
        if let (Some(image), Some(class)) = (&loose, classes.first()) {
            return Err(Error::new(format!("images lie beside class folders: `{}` and `{class}/`", image.display()))
                .at(folder.display())
                .mend("put every image into a class folder, or write a card"));
        }
        let dicom = splits.is_empty() && loose.as_deref().is_some_and(is_dicom);
        let classes: BTreeMap<_, _> = classes
            .into_iter()
            .map(|name| match NORMAL.iter().any(|n| labels::same(&name, n)) {
                true => (name, Vec::new()),
                false => (name.clone(), vec![name]),
            })
            .collect();
        let name = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let name = name.file_name().map_or_else(|| "folder".into(), |n| n.to_string_lossy());
        let name: String =
            name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
        let card = Self {
            schema: SCHEMA.into(),
            name,
            layout: if dicom { Layout::Dicom } else { Layout::Folders },
            licence: "unknown".into(),
            redistribution: false,
            labels: classes.values().flatten().cloned().collect(),
            label_version: None,
            source: Some("a folder without a card".into()),
            homepage: None,
            obtain: None,
            root: Some(folder.to_owned()),
            expected: BTreeMap::new(),
            folders: (!dicom).then(|| Folders { splits, classes, ..Folders::default() }),
            nih: None,
            chexpert: None,
            table: None,
            dicom: dicom.then_some(Dicom { key: DicomKey::Stem }),
            phantom: None,
            home: None,
        };
        card.check().map_err(|e| e.at(folder.display()))?;
        Ok(card)
    }
}

/// What lies directly in a folder, hidden entries left out, sorted.
struct Listing {
    folders: Vec<String>,
    images: Vec<PathBuf>,
}

impl Listing {
    fn of(folder: &Path) -> Result<Self> {
        let (mut folders, mut images) = (Vec::new(), Vec::new());
        for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
            let path = entry.map_err(|e| Error::io(folder, e))?.path();
            let Some(name) = path.file_name().map(|n| n.to_string_lossy().into_owned()) else { continue };
            match name {
                name if name.starts_with('.') || name == "__MACOSX" => {}
                name if path.is_dir() => folders.push(name),
                _ if is_image(&path) => images.push(path),
                _ => {}
            }
        }
        folders.sort();
        images.sort();
        Ok(Self { folders, images })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card_of(files: &[&str]) -> Result<DatasetCard> {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        DatasetCard::from_folder(folder.path())
    }

    #[test]
    fn splits_classes_and_normal() {
        let card = card_of(&["Train/NORMAL/a.png", "test/Covid/b.JPG", "test/no_finding/c.png", "notes.txt"]).unwrap();
        assert_eq!(card.labels, ["Covid"]);
        let folders = card.folders.unwrap();
        assert_eq!(folders.splits["Train"], "Train");
        assert_eq!(folders.classes.len(), 3);
        assert!(folders.classes["NORMAL"].is_empty() && folders.classes["no_finding"].is_empty());
    }

    #[test]
    fn images_without_classes_have_no_labels() {
        let card = card_of(&["a.png", "b.png", ".hidden.png"]).unwrap();
        assert!(card.labels.is_empty() && card.folders.unwrap().classes.is_empty());
        assert_eq!(card_of(&["patient1/study1/a.png"]).unwrap().layout, Layout::Folders);
        assert_eq!(card_of(&["a.dcm"]).unwrap().layout, Layout::Dicom);
    }

    #[test]
    fn a_mixture_is_refused() {
        let e = card_of(&["a.png", "b/c.png"]).unwrap_err().to_string();
        assert!(e.contains("beside class folders"), "{e}");
        let e = card_of(&["Effusion/a.png", "Pleural Effusion/c.png"]).unwrap_err().to_string();
        assert!(e.contains("twice"), "{e}");
    }
}
