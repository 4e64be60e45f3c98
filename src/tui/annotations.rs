//! `annotations.csv`: marks, notes and chosen thresholds of a person. They lie beside the results and are never part of
//! what is signed.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files;

/// What an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `value` is the threshold of `label`, `note` the rule it comes from.
    Threshold,
    /// The truth of `label` looks wrong in `image`.
    LabelLooksWrong,
    /// There is an artefact in `image`.
    Artefact,
    /// `note` says something about `image`.
    Note,
}

/// One row of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Annotation {
    /// What it is.
    pub kind: Kind,
    /// The image, empty for thresholds.
    pub image: String,
    /// The label, empty where it is about the image as a whole.
    pub label: String,
    /// The threshold.
    pub value: Option<f64>,
    /// In words.
    pub note: String,
}

/// The annotations of one file.
#[derive(Debug, Clone, Default)]
pub struct Annotations {
    path: PathBuf,
    rows: Vec<Annotation>,
}

impl Annotations {
    /// Reads the file; one that is not there holds nothing.
    pub fn read(path: &Path) -> Result<Self> {
        let mut rows = Vec::new();
        if path.exists() {
            let at = |e: csv::Error| Error::new(e.to_string()).at(path.display());
            for row in csv::Reader::from_path(path).map_err(at)?.deserialize() {
                rows.push(row.map_err(at)?);
            }
        }
        Ok(Self { path: path.to_owned(), rows })
    }

    /// All of them, in the file's order.
    pub fn rows(&self) -> &[Annotation] {
        &self.rows
    }

    /// Those of an image.
    pub fn of<'a>(&'a self, image: &'a str) -> impl Iterator<Item = &'a Annotation> {
        self.rows.iter().filter(move |a| !a.image.is_empty() && a.image == image)
    }

    /// Sets the threshold of a label, instead of the one before.
    pub fn set_threshold(&mut self, label: &str, value: f64, note: &str) -> Result<()> {
        self.rows.retain(|a| a.kind != Kind::Threshold || a.label != label);
        self.rows.push(Annotation {
            kind: Kind::Threshold,
            image: String::new(),
            label: label.to_owned(),
            value: Some(value),
            note: note.to_owned(),
        });
        self.write()
    }

    /// Sets a mark, or takes it away where it is set. True: it is set now.
    pub fn toggle(&mut self, kind: Kind, image: &str, label: &str) -> Result<bool> {
        let before = self.rows.len();
        self.rows.retain(|a| (a.kind, a.image.as_str(), a.label.as_str()) != (kind, image, label));
        let set = self.rows.len() == before;
        if set {
            let (image, label) = (image.to_owned(), label.to_owned());
            self.rows.push(Annotation { kind, image, label, value: None, note: String::new() });
        }
        self.write()?;
        Ok(set)
    }

    /// Sets the note of an image, instead of the one before; an empty one takes it away.
    pub fn set_note(&mut self, image: &str, note: &str) -> Result<()> {
        self.rows.retain(|a| a.kind != Kind::Note || a.image != image);
        if !note.is_empty() {
            let (image, note) = (image.to_owned(), note.to_owned());
            self.rows.push(Annotation { kind: Kind::Note, image, label: String::new(), value: None, note });
        }
        self.write()
    }

    fn write(&self) -> Result<()> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let at = |e: String| Error::new(e).at(self.path.display());
        self.rows.iter().try_for_each(|row| writer.serialize(row)).map_err(|e| at(e.to_string()))?;
        files::write(&self.path, &writer.into_inner().map_err(|e| at(e.to_string()))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_kept_replaced_and_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("annotations.csv");
        let mut a = Annotations::read(&path).unwrap();
        assert!(a.toggle(Kind::LabelLooksWrong, "i1", "Mass").unwrap());
        a.set_threshold("Mass", 0.5, "youden").unwrap();
        a.set_threshold("Mass", 0.25, "sensitivity 0.95").unwrap();
        a.set_note("i1", "a \"pacemaker\", left").unwrap();
        assert_eq!(Annotations::read(&path).unwrap().rows(), a.rows());
        assert_eq!(a.rows().len(), 3);
        assert!(!a.toggle(Kind::LabelLooksWrong, "i1", "Mass").unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        insta::assert_snapshot!(text, @r#"
        kind,image,label,value,note
        threshold,,Mass,0.25,sensitivity 0.95
        note,i1,,,"a ""pacemaker"", left"
        "#);
    }
}
