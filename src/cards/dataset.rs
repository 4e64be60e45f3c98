//! Dataset cards: where images and labels come from, how they lie on the disk and what their licence allows.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

pub use super::dataset_check::regex;
pub use super::from_folder::is_image;

/// The schema that a dataset card names.
pub const SCHEMA: &str = "roentgen/dataset/1";

/// The key of [`DatasetCard::expected`] that stands for the whole dataset; no split has this name.
pub const WHOLE: &str = "all";

/// A dataset card, validated: its layout's table is there and no other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetCard {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The name that catalogue and runs know it by.
    pub name: String,
    /// How images and labels lie on the disk.
    pub layout: Layout,
    /// SPDX expression or a short name of the images' licence.
    pub licence: String,
    /// Whether images may be passed on. Without it reports show no image and salted ids.
    #[serde(default)]
    pub redistribution: bool,
    /// The findings that the dataset tells, in the order of the `y_` columns. May be empty.
    pub labels: Vec<String>,
    /// Which release of the labels this is, when there are several ("2017", "2020").
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_version: Option<String>,
    /// What it is and what to cite, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Where it is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    /// How to get it, and how to lay it out below the root, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obtain: Option<String>,
    /// The folder of the images when `--root` is not given, relative to the card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Official counts by split, or under [`WHOLE`]. A difference is a note, no error.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub expected: BTreeMap<String, Counts>,
    /// Of layout `folders`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folders: Option<Folders>,
    /// Of layout `nih`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nih: Option<Nih>,
    /// Of layout `chexpert`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chexpert: Option<Chexpert>,
    /// Of layout `table`; with layout `dicom` the optional table of labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Table>,
    /// Of layout `dicom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dicom: Option<Dicom>,
    /// Of layout `phantom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phantom: Option<Phantom>,
    /// The folder that the card was read from; its relative paths start there.
    #[serde(skip)]
    pub home: Option<PathBuf>,
}

/// How images and labels lie on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// A folder for each class.
    Folders,
    /// ChestX-ray14's table.
    Nih,
    /// CheXpert's tables.
    Chexpert,
    /// Any other table.
    Table,
    /// A folder of DICOM files, whose tags tell patients and views.
    Dicom,
    /// Synthetic images, made on demand.
    Phantom,
}

/// Official counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Images.
    pub images: usize,
    /// Different patients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patients: Option<usize>,
}

/// `[folders]`: a folder for each class, below a folder for each split.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Folders {
    /// Split to folder, relative to the root. Left out: the classes lie directly below the root.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub splits: BTreeMap<String, String>,
    /// Name of a class folder to the labels that its images have. Empty: all images below, without classes.
    #[serde(default)]
    pub classes: BTreeMap<String, Vec<String>>,
    /// Label to a regular expression; file names in which it is found have the label.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub patterns: BTreeMap<String, String>,
    /// Regular expression whose one group is the patient, on the file name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<String>,
}

/// `[nih]`: ChestX-ray14's official table and lists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nih {
    /// The table, with the official column names.
    pub file: String,
    /// Split to the text file that lists its images, one a line.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lists: BTreeMap<String, String>,
}

/// `[chexpert]`: CheXpert's official tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chexpert {
    /// Split to table.
    pub files: BTreeMap<String, String>,
}

/// `[table]`: a table that names its images. Delimiter (`,` `;` tab), BOM, CRLF and .gz are recognised.
///
/// Labels stand in columns named as they are (1, 0, -1 uncertain, empty not mentioned), or in `list`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The one table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Instead of `file`: split to table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// With `file`: the column that tells the split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// With `file`: split to the text file that lists its images, one a line.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lists: BTreeMap<String, String>,
    /// The column with the image's file name, its path, or its name without the extension.
    pub image: String,
    /// The column with the patient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<String>,
    /// The column with the study.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub study: Option<String>,
    /// Attribute (`age`, `sex`, `view`, ...) to column.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Whether rows of the same image are one sample: positive if any row says so, else uncertain, else negative.
    #[serde(default)]
    pub repeated: bool,
    /// Label to column, where the column has another name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, String>,
    /// One column that lists the labels that are present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<LabelList>,
    /// Tables whose columns are added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub join: Vec<Join>,
}

/// A column that lists the labels that are present; the others are negative. An empty cell mentions none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelList {
    /// The column. Python lists (`['a', 'b']`) are read as such.
    pub column: String,
    /// Between labels; left out: one label a cell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// What stands there when no label is present ("No finding").
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub none: Vec<String>,
    /// Whether names that are no label of the card are passed over; else they are an error.
    #[serde(default)]
    pub ignore_others: bool,
}

/// A table whose columns are added to the rows that agree in `on`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The table.
    pub file: String,
    /// Columns of both tables that tell which rows belong together.
    pub on: Vec<String>,
}

/// `[dicom]`: DICOM files anywhere below the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dicom {
    /// What `table.image` holds, when there is a `[table]`.
    #[serde(default, rename = "match")]
    pub key: DicomKey,
}

/// What a table of labels knows a DICOM file by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DicomKey {
    /// The file's name without the extension.
    #[default]
    Stem,
    /// SOPInstanceUID (0008,0018).
    SopInstanceUid,
    /// PatientID (0010,0020): all files of the patient.
    PatientId,
}

/// `[phantom]`: synthetic images, the same for the same numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phantom {
    /// Seed of the generator.
    pub seed: u64,
    /// Number of patients; each has one or more images.
    pub patients: u32,
    /// Patients of the seed that are left out before the first: another cohort's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u32>,
    /// Side of the images, pixels.
    pub size: u32,
}

impl DatasetCard {
    /// Reads and checks the card at `path`. Errors name the file, the key and the mend.
    pub fn read(path: &Path) -> Result<Self> {
        let mut card = Self::parse(&super::read(path)?, path.display())?;
        card.home = path.parent().map(Path::to_owned);
        Ok(card)
    }

    /// Parses and checks the text of a card found at `place`.
    pub fn parse(text: &str, place: impl Display) -> Result<Self> {
        let parse = || {
            let card: Self = super::parse(text)?;
            card.check()?;
            Ok(card)
        };
        parse().map_err(|e: Error| e.at(place))
    }

    /// Names of the official splits, sorted; `None` when a column of the table tells them.
    pub fn splits(&self) -> Option<Vec<&str>> {
        let folders = self.folders.iter().flat_map(|f| f.splits.keys());
        let nih = self.nih.iter().flat_map(|n| n.lists.keys());
        let chexpert = self.chexpert.iter().flat_map(|c| c.files.keys());
        let table = self.table.iter().flat_map(|t| t.files.keys().chain(t.lists.keys()));
        let by_column = self.table.as_ref().is_some_and(|t| t.split.is_some());
        (!by_column).then(|| folders.chain(nih).chain(chexpert).chain(table).map(String::as_str).collect())
    }

    /// The table of the card's layout, `table` being that field: the check on reading has seen it there.
    pub fn of_layout<'a, T>(&self, table: &'a Option<T>) -> Result<&'a T> {
        table.as_ref().ok_or_else(|| {
            let key = self.layout.key();
            Error::new(format!("layout `{key}` needs this table"))
                .at(format_args!("`[{key}]`"))
                .mend("add it; the README's section on cards lists its keys")
        })
    }
}

impl Layout {
    /// The name of the layout's table in the card.
    pub fn key(self) -> &'static str {
        match self {
            Self::Folders => "folders",
            Self::Nih => "nih",
            Self::Chexpert => "chexpert",
            Self::Table => "table",
            Self::Dicom => "dicom",
            Self::Phantom => "phantom",
        }
    }
}
