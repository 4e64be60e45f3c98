//! An opened table: what every panel reads. Scores are sorted once here; moving a threshold only looks them up.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rayon::prelude::*;

use crate::audit::preflight::{self, Warning};
use crate::error::Result;
use crate::labels;
use crate::metrics::auroc::Placements;
use crate::metrics::compare::{Comparison, paired_auroc};
use crate::metrics::evaluation::{self, Evaluation, Settings};
use crate::metrics::operating_point::{FittedOn, OperatingPoint, Rule};
use crate::metrics::precision_recall;
use crate::metrics::roc::Ranked;
use crate::predictions::{Policy, Predictions, Truth};
use crate::run::{Description, RunFolder};
use crate::tui::worklist;

/// Steps to which curves are rounded before they are drawn: more than any terminal has dots.
const GRID: f64 = 1024.0;

/// Points of a confidence band.
const BAND: usize = 48;

/// What is known of a table before its rows are read.
#[derive(Debug, Clone)]
pub struct Overview {
    /// What is written above it.
    pub name: String,
    /// The table.
    pub predictions: PathBuf,
    /// Where marks, notes and thresholds are kept.
    pub annotations: PathBuf,
    /// What ran, where the table is that of a run.
    pub description: Option<Description>,
    /// `evaluation.json` of a run, as it stands there.
    pub stored: Option<String>,
}

/// A table whose rows were read.
pub struct Analysis {
    /// What was known before.
    pub overview: Arc<Overview>,
    /// The rows.
    pub predictions: Arc<Predictions>,
    /// The labels with scores, in the table's order, as in its evaluation.
    pub labels: Vec<LabelData>,
    /// Each row's patient number, and each patient's rows; none where patients are not known.
    patients: Option<(Vec<u32>, Vec<Vec<u32>>)>,
    conditions: OnceLock<String>,
}

/// The rows of one label that count, sorted.
pub struct LabelData {
    /// Its name, as the table spells it.
    pub name: String,
    /// Where it stands in the table's labels.
    pub column: usize,
    /// The table's row of each of the following.
    pub rows: Vec<u32>,
    /// Truths.
    pub y: Vec<bool>,
    /// Scores.
    pub p: Vec<f64>,
    /// Patient numbers, where they are known.
    pub patients: Option<Vec<u32>>,
    /// Rows of the table that are positive, negative, uncertain, and silent about it.
    pub truths: [usize; 4],
    /// Truths and scores, sorted; `None` where no row counts.
    pub ranked: Option<Ranked>,
    /// (1 - specificity, sensitivity), thinned.
    pub roc: Vec<(f64, f64)>,
    /// (recall, precision), thinned.
    pub precision_recall: Vec<(f64, f64)>,
    band: OnceLock<Vec<Band>>,
}

/// The interval of the sensitivity beside one point of the ROC curve.
#[derive(Debug, Clone, Copy)]
pub struct Band {
    /// 1 - specificity.
    pub fpr: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Overview {
    /// Of a run folder or a predictions file. Nothing large is read.
    pub fn open(path: &Path) -> Result<Self> {
        if path.is_dir() {
            let folder = RunFolder::new(path);
            let description = Description::read(&folder)?;
            return Ok(Self {
                name: format!("{} on {}", description.model.name, description.dataset.name),
                predictions: folder.predictions(),
                annotations: folder.annotations(),
                description: Some(description),
                stored: std::fs::read_to_string(folder.evaluation()).ok(),
            });
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let annotations = path.with_file_name(format!("{name}.annotations.csv"));
        Ok(Self { name, predictions: path.to_owned(), annotations, description: None, stored: None })
    }

    /// What becomes of uncertain and unmentioned labels.
    pub fn policy(&self) -> Policy {
        self.description.as_ref().map_or_else(Policy::default, |d| d.policy)
    }

    /// The evaluation that stands in the run; `None` where there is none, or none that this version understands.
    pub fn evaluation(&self) -> Option<Evaluation> {
        serde_json::from_str(self.stored.as_deref()?).ok()
    }
}

impl Analysis {
    /// Sorts every label of a table. Errors when no label has scores.
    pub fn new(overview: Arc<Overview>, predictions: Predictions) -> Result<Self> {
        let (policy, clusters) = (overview.policy(), predictions.clusters());
        let labels = evaluation::scored(&predictions)?
            .par_iter()
            .map(|&column| LabelData::new(&predictions, column, policy, clusters.as_deref()))
            .collect::<Result<_>>()?;
        let patients = clusters.map(|numbers| {
            let mut rows = vec![Vec::new(); numbers.iter().max().map_or(0, |most| *most as usize + 1)];
            (0..).zip(&numbers).for_each(|(row, &patient): (u32, _)| rows[patient as usize].push(row));
            (numbers, rows)
        });
        let (predictions, conditions) = (Arc::new(predictions), OnceLock::new());
        Ok(Self { overview, predictions, labels, patients, conditions })
    }

    /// Computes what takes longer than a frame may, before it is asked for.
    pub fn prepare(&self) {
        self.labels.par_iter().for_each(LabelData::prepare);
        self.conditions();
    }

    /// The attributes that rows can be chosen by, with their values where they are few.
    pub fn conditions(&self) -> &str {
        self.conditions.get_or_init(|| worklist::conditions(&self.predictions))
    }

    /// Every number about the table, computed anew, and what is probably wrong with its outputs.
    pub fn evaluate(&self) -> Result<(Evaluation, Vec<Warning>)> {
        let policy = self.overview.policy();
        let evaluation = evaluation::evaluate(&self.predictions, None, &Settings { policy, ..Settings::default() })?;
        let warnings = preflight::outputs(&self.predictions, &evaluation, policy)?;
        Ok((evaluation, warnings))
    }

    /// The rows of the same patient as `row`, in the table's order; only `row` where patients are not known.
    pub fn siblings(&self, row: usize) -> Vec<usize> {
        match &self.patients {
            Some((numbers, rows)) => rows[numbers[row] as usize].iter().map(|&row| row as usize).collect(),
            None => vec![row],
        }
    }

    /// Name of label `i`.
    pub fn label(&self, i: usize) -> &str {
        &self.labels[i].name
    }

    /// For each label the difference of the AUROCs (ours less the other's), where both tables hold the same images.
    pub fn differences(&self, other: &Self) -> Vec<Option<Comparison>> {
        let same = self.predictions.images == other.predictions.images;
        let difference = |ours: &LabelData| {
            let theirs = &other.labels[other.find(&ours.name).filter(|_| same)?];
            if ours.rows != theirs.rows || ours.y != theirs.y {
                return None;
            }
            let placements = |l: &LabelData| Placements::new(l.ranked.as_ref()?, l.patients.as_deref());
            Some(paired_auroc(&placements(ours)?, &placements(theirs)?))
        };
        self.labels.par_iter().map(difference).collect()
    }

    /// The label of this table that means the finding `name`.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.labels.iter().position(|l| labels::same(&l.name, name))
    }
}

impl LabelData {
    fn new(predictions: &Predictions, column: usize, policy: Policy, clusters: Option<&[u32]>) -> Result<Self> {
        let label = &predictions.labels[column];
        let scores = label.scores.as_deref().unwrap_or_default();
        let (rows, y) = policy.rows(label.truths.as_deref().unwrap_or_default());
        let p: Vec<f64> = rows.iter().map(|&row| scores[row as usize]).collect();
        let patients = clusters.map(|ids| rows.iter().map(|&row| ids[row as usize]).collect());
        let ranked = (!rows.is_empty()).then(|| Ranked::new(&y, &p)).transpose()?;
        let (mut roc, mut curve) = (Vec::new(), Vec::new());
        if let Some(ranked) = &ranked {
            roc = thinned(ranked.roc_points().iter().map(|p| (p.fpr, p.tpr)));
            curve = thinned(precision_recall::curve(ranked).iter().map(|p| (p.recall, p.precision)));
        }
        let mut truths = [0; 4];
        for truth in label.truths.iter().flatten() {
            truths[match truth {
                Truth::Positive => 0,
                Truth::Negative => 1,
                Truth::Uncertain => 2,
                Truth::Unmentioned => 3,
            }] += 1;
        }
        let (name, band) = (label.name.clone(), OnceLock::new());
        Ok(Self { name, column, rows, y, p, patients, truths, ranked, roc, precision_recall: curve, band })
    }

    /// Sorted scores with both classes; without, there is no threshold to speak of.
    pub fn cut(&self) -> Option<&Ranked> {
        self.ranked.as_ref().filter(|r| r.two_classes())
    }

    /// All that is known at `threshold`.
    pub fn at(&self, threshold: f64) -> Option<OperatingPoint> {
        let ranked = self.cut()?;
        Rule::Fixed(threshold).evaluate(ranked, FittedOn::Given, ranked, self.patients.as_deref())
    }

    /// The threshold that `rule` chooses.
    pub fn fit(&self, rule: Rule) -> Option<f64> {
        rule.fit(self.cut()?).first().copied()
    }

    /// 95% intervals of the sensitivity along the ROC curve, point by point; empty until they are computed beside the UI.
    pub fn band(&self) -> &[Band] {
        self.band.get().map_or(&[], Vec::as_slice)
    }

    fn prepare(&self) {
        self.band.get_or_init(|| {
            let Some(ranked) = self.cut() else { return Vec::new() };
            let cuts = ranked.cuts();
            let n_neg = f64::from(ranked.n_neg());
            // Evenly along the x axis, not along the scores: most of those lie in one corner.
            let mut chosen: Vec<usize> = (0..=BAND)
                .map(|k| cuts.partition_point(|c| f64::from(c.fp) / n_neg < k as f64 / BAND as f64).min(cuts.len() - 1))
                .collect();
            chosen.dedup();
            let point = |i: usize| {
                let (low, high) = self.at(cuts[i].threshold)?.ci.sensitivity?;
                Some(Band { fpr: f64::from(cuts[i].fp) / n_neg, low, high })
            };
            chosen.into_iter().filter_map(point).collect()
        });
    }

    /// Lowest and highest score.
    pub fn range(&self) -> (f64, f64) {
        let cuts = self.ranked.as_ref().map_or(&[][..], Ranked::cuts);
        let low = cuts.last().map_or(0.0, |c| c.threshold);
        let high = cuts.first().map_or(1.0, |c| c.threshold);
        if (0.0..=1.0).contains(&low) && (0.0..=1.0).contains(&high) { (0.0, 1.0) } else { (low, high) }
    }
}

/// The points of a curve without those that fall on the dot before them.
fn thinned(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let mut kept: Vec<(f64, f64)> = Vec::new();
    let mut last = None;
    let mut skipped = None;
    for (x, y) in points {
        let dot = ((x * GRID).round() as i64, (y * GRID).round() as i64);
        if last == Some(dot) {
            skipped = Some((x, y));
            continue;
        }
        // The end of a run of equal dots keeps corners where they are.
        kept.extend(skipped.take());
        last = Some(dot);
        kept.push((x, y));
    }
    kept.extend(skipped);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_the_ends_and_drops_what_cannot_be_seen() {
        let dense: Vec<_> = (0..=100_000).map(|i| (f64::from(i) / 1e5, f64::from(i) / 1e5)).collect();
        let thin = thinned(dense.iter().copied());
        assert!(thin.len() < 2100, "{}", thin.len());
        assert_eq!((thin[0], thin[thin.len() - 1]), ((0.0, 0.0), (1.0, 1.0)));
    }
}
