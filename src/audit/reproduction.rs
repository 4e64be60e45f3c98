//! What a comparison of a published table with predictions is made by, and what comes of it.

use std::fmt::Display;

use serde::Serialize;

use super::fairness::Fairness;
use super::rule::{Judgement, Verdict};
use crate::cards::printed::Rounding;
use crate::cards::published::{Metric, Unit};
use crate::predictions::{Policy, Predictions};
use crate::run::Description;

/// The schema that the document names.
pub const SCHEMA: &str = "roentgen/reproduction/1";

/// What is known beforehand of the two sides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Images {
    /// Counts must show it.
    #[default]
    ByCounts,
    /// The person vouches that they are the same.
    Same,
    /// They are others of the same kind.
    Other,
}

/// How a table is compared.
pub struct Settings<'a> {
    /// What becomes of uncertain and unmentioned labels.
    pub policy: Policy,
    /// What a row of the predictions is.
    pub unit: Unit,
    /// Which images were tested.
    pub images: Images,
    /// Whether the predictions are of the weights behind the table.
    pub same_model: bool,
    /// Margin of the mean, in place of the card's.
    pub margin_macro: Option<f64>,
    /// Margin of a label, in place of the card's.
    pub margin_label: Option<f64>,
    /// How values became digits, in place of the card's.
    pub rounding: Option<Rounding>,
    /// The predictions behind the table, of the same images in the same order.
    pub theirs: Option<&'a Predictions>,
    /// The run that made the predictions.
    pub run: Option<&'a Description>,
}

/// What stands behind a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Case {
    /// A numeric check.
    #[serde(rename = "same weights, images and labels")]
    Same,
    /// Paired.
    #[serde(rename = "same images, both predictions")]
    Paired,
    /// Only the printed value.
    #[serde(rename = "same images, printed values only")]
    Printed,
    /// Both variances.
    #[serde(rename = "other images")]
    Other,
}

/// One printed number against ours.
#[derive(Debug, Clone, Serialize)]
pub struct Item {
    /// The label, or `macro`.
    pub label: String,
    /// Which metric.
    pub metric: Metric,
    /// As printed; of a mean that was not printed, the mean of the printed rows.
    pub printed: String,
    /// Here.
    pub ours: f64,
    /// Ours less theirs.
    pub difference: f64,
    /// The margin with half the printed step.
    pub delta: f64,
    /// What stands behind the difference.
    pub case: Case,
    /// Intervals and tests; `None` for a numeric check and where there is no standard error.
    #[serde(flatten)]
    pub judgement: Option<Judgement>,
    /// The rule's answer.
    pub verdict: Verdict,
    /// Why, where the rule's words do not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How many labels have a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The verdict.
    pub verdict: Verdict,
    /// How many.
    pub labels: usize,
}

/// A label or value that could not be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The label.
    pub label: String,
    /// The metric, where only one is concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// Why.
    pub reason: String,
}

impl Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self.metric {
            Some(metric) => write!(f, "{} {metric}: not compared, {}", self.label, self.reason),
            None => write!(f, "{}: not compared, {}", self.label, self.reason),
        }
    }
}

/// The whole comparison: what `reproduce --format json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct Reproduction {
    /// Always [`SCHEMA`].
    pub schema: &'static str,
    /// The card's file or name.
    pub table: String,
    /// The source and version.
    pub title: String,
    /// Rows of the predictions.
    pub n_images: usize,
    /// Their patients, when known.
    pub n_patients: Option<usize>,
    /// What must be the same, and whether it is.
    pub fairness: Vec<Fairness>,
    /// Why the comparison is not fair; empty where it is.
    pub not_comparable: Vec<String>,
    /// The mean over labels; `None` where the table has none and fewer than two labels.
    #[serde(rename = "macro")]
    pub macro_average: Option<Item>,
    /// The labels, in the table's order.
    pub labels: Vec<Item>,
    /// How many labels have each verdict, in the rule's order.
    pub counts: Vec<Count>,
    /// What could not be compared.
    pub left_out: Vec<LeftOut>,
    /// What a reader must know.
    pub notes: Vec<String>,
}
