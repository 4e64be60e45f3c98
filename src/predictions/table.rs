//! The table in memory.

use std::collections::HashMap;
use std::fmt;

use crate::labels;

/// What the data say of one label of one image, ordered by how much it counts where rows of one image or study say
/// different things: the greatest is what they say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    /// Empty: the report does not mention the finding.
    Unmentioned,
    /// 0: the finding is absent.
    Negative,
    /// -1: the report is uncertain (CheXpert).
    Uncertain,
    /// 1: the finding is present.
    Positive,
}

impl Truth {
    /// Reads a cell: `0`, `1`, `-1` (also written `1.0` and the like) or empty. `None` for anything else.
    pub fn parse(cell: &[u8]) -> Option<Self> {
        match cell.trim_ascii() {
            b"0" => Some(Self::Negative),
            b"1" => Some(Self::Positive),
            b"-1" => Some(Self::Uncertain),
            b"" => Some(Self::Unmentioned),
            other => match std::str::from_utf8(other).ok()?.parse::<f64>().ok()? {
                0.0 => Some(Self::Negative),
                1.0 => Some(Self::Positive),
                -1.0 => Some(Self::Uncertain),
                _ => None,
            },
        }
    }

    /// The cell that stands for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Negative => "0",
            Self::Positive => "1",
            Self::Uncertain => "-1",
            Self::Unmentioned => "",
        }
    }
}

impl fmt::Display for Truth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Images with what is known of them, what the data say and what a model says. Every column has one value an image.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Predictions {
    /// Unique, not empty.
    pub images: Vec<String>,
    /// None of them empty; `None` if patients are not known.
    pub patients: Option<Vec<String>>,
    /// `None` if studies are not known; empty where one is not known.
    pub studies: Option<Vec<String>>,
    /// Age, sex, view and so on, in file order.
    pub attributes: Vec<Attribute>,
    /// Those with truths first, in file order.
    pub labels: Vec<Label>,
}

/// A column of text about the images; empty where it is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// The column's name.
    pub name: String,
    /// One an image.
    pub values: Vec<String>,
}

/// One finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// As the data spell it, or as the model does where the data lack it.
    pub name: String,
    /// `None`: the data lack this label.
    pub truths: Option<Vec<Truth>>,
    /// Finite; `None`: only scores are known.
    pub logits: Option<Vec<f64>>,
    /// Finite, and probabilities unless the model says otherwise: the `p_` column, else the f64 sigmoid of `logit_`.
    /// `None`: the model lacks this label.
    pub scores: Option<Vec<f64>>,
}

impl Predictions {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// The label that means this finding.
    pub fn label(&self, name: &str) -> Option<&Label> {
        let same = |label: &&Label| labels::same(&label.name, name);
        self.labels.iter().find(|label| label.name == name).or_else(|| self.labels.iter().find(same))
    }

    /// The text column of this name: an attribute, or `image`, `patient`, `study`.
    pub fn column(&self, name: &str) -> Option<&[String]> {
        match name {
            "image" => Some(&self.images),
            "patient" => self.patients.as_deref(),
            "study" => self.studies.as_deref(),
            _ => self.attributes.iter().find(|a| a.name == name).map(|a| a.values.as_slice()),
        }
    }

    /// The names that [`column`](Self::column) knows.
    pub fn columns(&self) -> Vec<&str> {
        let ids = [("image", true), ("patient", self.patients.is_some()), ("study", self.studies.is_some())];
        let ids = ids.into_iter().filter(|(_, known)| *known).map(|(name, _)| name);
        ids.chain(self.attributes.iter().map(|a| a.name.as_str())).collect()
    }

    /// The given rows, in the given order.
    pub fn take(&self, rows: &[u32]) -> Self {
        Self {
            images: pick(&self.images, rows),
            patients: self.patients.as_ref().map(|v| pick(v, rows)),
            studies: self.studies.as_ref().map(|v| pick(v, rows)),
            attributes: self
                .attributes
                .iter()
                .map(|a| Attribute { name: a.name.clone(), values: pick(&a.values, rows) })
                .collect(),
            labels: self
                .labels
                .iter()
                .map(|label| Label {
                    name: label.name.clone(),
                    truths: label.truths.as_ref().map(|v| pick(v, rows)),
                    logits: label.logits.as_ref().map(|v| pick(v, rows)),
                    scores: label.scores.as_ref().map(|v| pick(v, rows)),
                })
                .collect(),
        }
    }

    /// The patient of each image as a number, from 0 in order of first appearance; `None` if patients are not known.
    pub fn clusters(&self) -> Option<Vec<u32>> {
        self.patients.as_ref().map(|patients| codes(patients).0)
    }
}

fn pick<T: Clone>(values: &[T], rows: &[u32]) -> Vec<T> {
    rows.iter().map(|&row| values[row as usize].clone()).collect()
}

/// Each value as a number, from 0 in order of first appearance, and the distinct values.
pub(super) fn codes(values: &[String]) -> (Vec<u32>, Vec<&str>) {
    let mut distinct = Vec::new();
    let mut known = HashMap::new();
    let codes = values.iter().map(|value| {
        *known.entry(value.as_str()).or_insert_with(|| {
            distinct.push(value.as_str());
            distinct.len() as u32 - 1
        })
    });
    (codes.collect(), distinct)
}

#[cfg(test)]
mod tests {
    use super::Truth::{self, *};

    #[test]
    fn cells() {
        for (cell, truth) in [
            ("1", Some(Positive)),
            ("1.0", Some(Positive)),
            ("0.0", Some(Negative)),
            ("-1.0", Some(Uncertain)),
            ("", Some(Unmentioned)),
            ("2", None),
            ("nan", None),
            ("yes", None),
        ] {
            assert_eq!(Truth::parse(cell.as_bytes()), truth, "{cell:?}");
        }
        assert!(Unmentioned < Negative && Negative < Uncertain && Uncertain < Positive);
    }
}
