//! Published tables: numbers as someone printed them, and what was said about how they were made.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::printed::{Printed, Rounding};
use crate::error::{Error, Result};

/// The schema that a published table names.
pub const SCHEMA: &str = "roentgen/published/1";

/// Metric to printed value.
pub type Values = BTreeMap<Metric, Printed>;

/// A published table, validated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedTable {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// Who printed it, in words.
    pub source: String,
    /// Which version of the paper, file or page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where in the source it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub where_read: Option<String>,
    /// The dataset, by its card's name where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// The part of it, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// What a row of the test set is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// The release of the labels, as in dataset cards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_version: Option<String>,
    /// What became of uncertain and unmentioned labels, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_policy: Option<String>,
    /// Images (or studies) in the test set of the `[[label]]` rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u64>,
    /// Their patients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_patients: Option<u64>,
    /// How values became printed digits.
    #[serde(default, skip_serializing_if = "is_half")]
    pub rounding: Rounding,
    /// How the values were computed, where not exactly from the counts of one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub computed: Option<Computed>,
    /// What else a reader must know, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Names of other tables that belong to this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub see: Vec<String>,
    /// The split that the source states, where it can be held against the numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated_split: Option<StatedSplit>,
    /// How far a reproduction may be off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<Margin>,
    /// Binary test sets with rows of metrics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test_set: Vec<TestSet>,
    /// Rows of a table with one row a label.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub label: Vec<LabelRow>,
    /// The mean over labels.
    #[serde(default, rename = "macro", skip_serializing_if = "Option::is_none")]
    pub macro_average: Option<MacroRow>,
}

/// What a row of a test set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the names say it
pub enum Unit {
    Image,
    Study,
    Patient,
}

/// How values were computed, where not exactly from the counts of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Computed {
    /// In 32-bit floats (torchmetrics).
    Float32,
    /// AUROCs over a few hundred thresholds (Keras).
    Binned,
    /// Means over runs, folds or readers whose number is not known.
    Averaged,
}

/// A split stated in words, as numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedSplit {
    /// Images of the whole dataset.
    pub total: u64,
    /// Positives among them, where the split is said to keep the class balance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_pos: Option<u64>,
    /// The share that is said to be tested: `"10%"`.
    pub test: Printed,
}

/// How far a reproduction may be off and still count as one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Margin {
    /// For the mean over labels.
    #[serde(default, rename = "macro", skip_serializing_if = "Option::is_none")]
    pub macro_average: Option<Printed>,
    /// For each label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Printed>,
}

/// A test set, or several (folds) whose mean was printed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestSet {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which finding it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Rows in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u64>,
    /// Positives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_pos: Option<u64>,
    /// Negatives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_neg: Option<u64>,
    /// Sizes of the classes of a test with more than two of them, whose macro means were printed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<u64>,
    /// What the printed values are of several folds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<Mean>,
    /// How values became printed digits; else as the table says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounding: Option<Rounding>,
    /// In place of the rounding: every value lies within this of the printed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Printed>,
    /// Rows of metrics, all on this set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub row: Vec<Row>,
    /// Sizes of the folds, or of the several sets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fold: Vec<Fold>,
}

/// What a printed value is of several folds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mean {
    /// The mean of the folds' scores.
    Scores,
    /// The score of the folds' summed counts.
    Counts,
}

/// The size of a fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fold {
    /// Positives.
    pub n_pos: u64,
    /// Negatives.
    pub n_neg: u64,
    /// As [`TestSet::mean`], which it may stand in for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<Mean>,
}

/// One row of metrics on a test set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Its name: the threshold, the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// As printed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: Values,
    /// Intervals, as printed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ci: BTreeMap<Metric, [Printed; 2]>,
    /// A printed confusion matrix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matrix: Option<Matrix>,
}

/// A confusion matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // the names of the field
pub struct Matrix {
    pub tp: u64,
    pub fp: u64,
    #[serde(rename = "fn")]
    pub fn_: u64,
    pub tn: u64,
}

/// One label of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelRow {
    /// The finding, as printed.
    pub label: String,
    /// Rows that count for it, where not the table's `n`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u64>,
    /// Positives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_pos: Option<u64>,
    /// Negatives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_neg: Option<u64>,
    /// As printed.
    #[serde(default)]
    pub values: Values,
    /// Intervals, as printed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ci: BTreeMap<Metric, [Printed; 2]>,
}

/// The mean over labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MacroRow {
    /// How many labels the mean is over, shown or not; left out: those shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<u64>,
    /// As printed.
    pub values: Values,
    /// Intervals, as printed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ci: BTreeMap<Metric, [Printed; 2]>,
}

/// The metrics that a table may print, by the names of `evaluation.json` or their usual other ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the names of the field
pub enum Metric {
    Threshold,
    #[serde(alias = "auc", alias = "roc_auc")]
    Auroc,
    #[serde(alias = "auprc", alias = "pr_auc", alias = "ap")]
    AveragePrecision,
    #[serde(alias = "sens", alias = "recall", alias = "tpr")]
    Sensitivity,
    #[serde(alias = "spec", alias = "tnr")]
    Specificity,
    #[serde(alias = "ppv")]
    Precision,
    Npv,
    #[serde(alias = "acc")]
    Accuracy,
    #[serde(alias = "bacc")]
    BalancedAccuracy,
    F1,
    Mcc,
    Fpr,
    Fnr,
    Youden,
    Brier,
    LogLoss,
    Ece,
}

impl Metric {
    /// The metric of this name (any case, blanks or `-` for `_`), as in the card.
    pub fn parse(name: &str) -> Option<Self> {
        let plain = name.trim().to_lowercase().replace([' ', '-'], "_");
        Self::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(&plain)).ok()
    }
}

impl Display for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Cards and people use the same names.
        self.serialize(f)
    }
}

fn is_half(rounding: &Rounding) -> bool {
    *rounding == Rounding::Half
}

impl PublishedTable {
    /// Reads and checks the card at `path`. Errors name the file, the key and the mend.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&super::read(path)?, path.display())
    }

    /// Parses and checks the text of a card found at `place`.
    pub fn parse(text: &str, place: impl Display) -> Result<Self> {
        let parse = || {
            let mut card: Self = super::parse(text)?;
            card.settle()?;
            Ok(card)
        };
        parse().map_err(|e: Error| e.at(place))
    }

    /// The text of the card.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::new(e.to_string()).at("published table"))
    }

    /// The source and its version, as a heading.
    pub fn title(&self) -> String {
        match &self.version {
            Some(version) => format!("{} ({version})", self.source),
            None => self.source.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PublishedTable> {
        PublishedTable::parse(&format!("schema = \"{SCHEMA}\"\nsource = \"a paper\"\n{text}"), "card")
    }

    #[test]
    fn counts_fill_each_other_in() {
        let card = parse("n = 100\n[[label]]\nlabel = \"Edema\"\nn_pos = 7\nvalues = { auc = \"0.84\" }").unwrap();
        assert_eq!((card.label[0].n_neg, card.label[0].values[&Metric::Auroc].text()), (Some(93), "0.84"));
        let folds = "[[test_set]]\nmean = \"scores\"\n[[test_set.fold]]\nn_pos = 1\nn_neg = 2\n[[test_set.fold]]\nn_pos = 3\nn_neg = 4";
        assert_eq!(parse(folds).unwrap().test_set[0].n, Some(10));
    }

    #[test]
    fn the_card_of_the_interface_reads_back() {
        let text = r#"rounding = "half"
[[test_set]]
name = "test"
n_pos = 390
n_neg = 234
rounding = "any"
[[test_set.row]]
name = "screening"
values = { threshold = "0.37", auroc = "0.979", sensitivity = "0.997", f1 = "0.883" }
[[test_set.row]]
matrix = { tn = 137, fp = 97, fn = 10, tp = 380 }
[macro]
labels = 14
values = { auroc = "0.841" }
ci = { auroc = ["0.858", "0.870"] }
"#;
        let card = parse(text).unwrap();
        assert_eq!(card.test_set[0].row[1].matrix.unwrap().fn_, 10);
        assert_eq!(PublishedTable::parse(&card.to_toml().unwrap(), "again").unwrap(), card);
    }

    #[test]
    fn faults_are_told() {
        for (text, said) in [
            ("", "no numbers"),
            ("[macro]\nvalues = { auroc = 0.84 }", "line 4"),
            ("[macro]\nvalues = { auroc = \"high\" }", "`high` is no printed number"),
            ("[macro]\nvalues = { aurok = \"0.8\" }", "aurok"),
            ("colour = 1\n[macro]\nvalues = {}", "colour"),
            ("[[test_set]]\nn = 5\nn_pos = 3\nn_neg = 3", "`n` is not"),
            ("[[test_set]]\n[[test_set.fold]]\nn_pos = 3\nn_neg = 3", "mean"),
            ("[[label]]\nlabel = \"Effusion\"\n[[label]]\nlabel = \"Pleural Effusion\"", "twice"),
            ("[macro]\nlabels = 0\nvalues = {}\n[[label]]\nlabel = \"Mass\"", "fewer labels"),
            ("[[test_set]]\nn_pos = 100000000000", "more than"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
