//! What a table claims of a label, and the same number here with its standard error.

use super::counts::Sizes;
use crate::cards::printed::Printed;
use crate::cards::published::{Metric, PublishedTable};
use crate::error::Result;
use crate::metrics::auroc::Placements;
use crate::metrics::bootstrap::{Sample, draw, percentile};
use crate::metrics::calibration::Forecast;
use crate::metrics::confidence::LEVEL;
use crate::metrics::precision_recall::average_precision;
use crate::metrics::roc::Ranked;
use crate::predictions::{Policy, Predictions};

/// Replicates of the bootstrap behind the standard errors that have no formula, and its seed.
const BOOTSTRAP: (usize, u64) = (2000, 0);

/// A thing, or why there is none.
pub type Said<T> = std::result::Result<T, String>;

/// One printed number of one label.
#[derive(Debug, Clone)]
pub struct Claim<'a> {
    /// As the table spells it.
    pub label: &'a str,
    /// Which metric.
    pub metric: Metric,
    /// As printed.
    pub printed: &'a Printed,
    /// Its interval, as printed.
    pub ci: Option<&'a [Printed; 2]>,
    /// The threshold behind it.
    pub threshold: Option<&'a Printed>,
    /// Rows, as printed.
    pub n: Option<u64>,
    /// Positives, as printed.
    pub n_pos: Option<u64>,
    /// Its place in [`PublishedTable::label`].
    pub row: Option<usize>,
}

/// All that `table` claims of labels. A test set that names no label is about `only`, the predictions' one label.
pub fn claims<'a>(table: &'a PublishedTable, only: Option<&'a str>) -> Vec<Claim<'a>> {
    let mut found = Vec::new();
    for (i, row) in table.label.iter().enumerate() {
        let threshold = row.values.get(&Metric::Threshold);
        for (&metric, printed) in &row.values {
            let ci = row.ci.get(&metric);
            found.push(Claim {
                label: &row.label,
                metric,
                printed,
                ci,
                threshold,
                n: row.n,
                n_pos: row.n_pos,
                row: Some(i),
            });
        }
    }
    for set in &table.test_set {
        let Some(label) = set.label.as_deref().or(only) else { continue };
        for row in &set.row {
            let threshold = row.values.get(&Metric::Threshold);
            for (&metric, printed) in &row.values {
                let ci = row.ci.get(&metric);
                found.push(Claim { label, metric, printed, ci, threshold, n: set.n, n_pos: set.n_pos, row: None });
            }
        }
    }
    found.retain(|c| c.metric != Metric::Threshold);
    found
}

/// One label's rows that count, sorted.
pub struct Rows {
    /// Class sizes.
    pub sizes: Sizes,
    /// The AUROC's.
    pub placements: Placements,
    ranked: Ranked,
    y: Vec<bool>,
    scores: Vec<f64>,
    /// The patient of each row, or the row's own number.
    units: Vec<u32>,
}

/// A number with its standard error, `None` where that is not known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ours {
    /// The value.
    pub value: f64,
    /// Over patients where they are known, else over rows.
    pub se: Option<f64>,
}

impl Rows {
    /// The rows of `label`; `Err` says why there is nothing to compare.
    pub fn of(table: &Predictions, label: &str, policy: Policy, patients: Option<&[u32]>) -> Result<Said<Self>> {
        let Some(found) = table.label(label) else { return Ok(Err("the predictions lack it".into())) };
        let Some(truths) = &found.truths else { return Ok(Err("the data have no truths for it".into())) };
        let Some(all) = &found.scores else { return Ok(Err("the predictions have no scores of it".into())) };
        let (rows, y) = policy.rows(truths);
        if y.is_empty() {
            return Ok(Err("no row counts under this label policy".into()));
        }
        let scores: Vec<f64> = rows.iter().map(|&row| all[row as usize]).collect();
        let ranked = Ranked::new(&y, &scores).map_err(|e| e.at(format_args!("label {}", found.name)))?;
        let (units, placements) = match patients {
            Some(ids) => {
                let units: Vec<u32> = rows.iter().map(|&row| ids[row as usize]).collect();
                let placements = Placements::new(&ranked, Some(&units));
                (units, placements)
            }
            None => {
                let placements = Placements::by_row(&ranked, &rows);
                (rows, placements)
            }
        };
        let Some(placements) = placements else { return Ok(Err("there is one class only".into())) };
        let sizes = Sizes { pos: ranked.n_pos().into(), neg: ranked.n_neg().into() };
        Ok(Ok(Self { sizes, placements, ranked, y, scores, units }))
    }

    /// The claimed number here; `Err` says why it cannot be compared.
    pub fn number(&self, metric: Metric, threshold: Option<f64>) -> Said<Ours> {
        match metric {
            Metric::Auroc => {
                Ok(Ours { value: self.placements.auroc(), se: self.placements.variance().map(|v| v.max(0.0).sqrt()) })
            }
            Metric::AveragePrecision => {
                let value = average_precision(&self.ranked).ok_or("it is undefined here")?;
                Ok(Ours { value, se: self.bootstrap() })
            }
            Metric::Brier => {
                let forecast = Forecast::new(&self.y, &self.scores).map_err(|e| e.to_string())?;
                let squares: Vec<f64> = forecast_errors(&self.y, &self.scores);
                Ok(Ours { value: forecast.brier(), se: self.mean_se(&squares) })
            }
            Metric::Threshold | Metric::LogLoss | Metric::Ece => Err("the metric is not compared".into()),
            _ => {
                let threshold = threshold.ok_or("the table prints no threshold for it")?;
                self.at_threshold(metric, threshold).ok_or_else(|| "it is undefined at this threshold".into())
            }
        }
    }

    fn bootstrap(&self) -> Option<f64> {
        let patients = self.units.iter().max()? + 1;
        let sample = Sample::new(&self.ranked, &self.units, None).ok()?;
        let draws = draw(&[sample], patients, BOOTSTRAP.0, BOOTSTRAP.1).ok()?;
        percentile(&draws.first()?.average_precision, LEVEL).map(|p| p.se)
    }

    /// A metric of counts, its error by linearisation over patients: the metric's gradient times each patient's share of
    /// the counts.
    fn at_threshold(&self, metric: Metric, threshold: f64) -> Option<Ours> {
        let mut clusters = vec![[0.0; 4]; *self.units.iter().max()? as usize + 1];
        let mut seen = vec![false; clusters.len()];
        for ((&y, &score), &unit) in self.y.iter().zip(&self.scores).zip(&self.units) {
            clusters[unit as usize][cell(y, score >= threshold)] += 1.0;
            seen[unit as usize] = true;
        }
        let total: [f64; 4] = std::array::from_fn(|i| clusters.iter().map(|c| c[i]).sum());
        let value = measure(metric, total)?;
        let gradient: [f64; 4] = std::array::from_fn(|i| {
            // Central difference by a step that is exact in binary; the metrics are smooth ratios of counts.
            let step = 0.25;
            let moved = |by: f64| {
                let mut counts = total;
                counts[i] += by;
                measure(metric, counts)
            };
            match (moved(step), moved(-step)) {
                (Some(up), Some(down)) if total[i] > 0.0 => (up - down) / (2.0 * step),
                (Some(up), _) => (up - value) / step,
                _ => 0.0,
            }
        });
        let k = seen.iter().filter(|s| **s).count() as f64;
        let influence = |counts: &[f64; 4]| (0..4).map(|i| gradient[i] * (counts[i] - total[i] / k)).sum::<f64>();
        let squares: f64 =
            clusters.iter().zip(&seen).filter(|(_, seen)| **seen).map(|(c, _)| influence(c).powi(2)).sum();
        Some(Ours { value, se: (k > 1.0).then(|| (k / (k - 1.0) * squares).sqrt()) })
    }

    /// Standard error of the mean of one number a row, over patients.
    fn mean_se(&self, values: &[f64]) -> Option<f64> {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let mut sums = vec![None; *self.units.iter().max()? as usize + 1];
        for (value, &unit) in values.iter().zip(&self.units) {
            *sums[unit as usize].get_or_insert(0.0) += (value - mean) / n;
        }
        let k = sums.iter().flatten().count() as f64;
        (k > 1.0).then(|| (k / (k - 1.0) * sums.iter().flatten().map(|s: &f64| s * s).sum::<f64>()).sqrt())
    }
}

fn forecast_errors(y: &[bool], scores: &[f64]) -> Vec<f64> {
    y.iter().zip(scores).map(|(&y, p)| (p - f64::from(u8::from(y))).powi(2)).collect()
}

/// TP, FP, FN, TN.
fn cell(y: bool, called: bool) -> usize {
    match (y, called) {
        (true, true) => 0,
        (false, true) => 1,
        (true, false) => 2,
        (false, false) => 3,
    }
}

fn measure(metric: Metric, [tp, fp, fn_, tn]: [f64; 4]) -> Option<f64> {
    let ratio = |a: f64, b: f64| (b > 0.0).then(|| a / b);
    let (se, sp) = (ratio(tp, tp + fn_), ratio(tn, tn + fp));
    match metric {
        Metric::Sensitivity => se,
        Metric::Specificity => sp,
        Metric::Precision => ratio(tp, tp + fp),
        Metric::Npv => ratio(tn, tn + fn_),
        Metric::Accuracy => ratio(tp + tn, tp + fp + fn_ + tn),
        Metric::BalancedAccuracy => Some(0.5 * (se? + sp?)),
        Metric::Youden => Some(se? + sp? - 1.0),
        Metric::Fpr => sp.map(|sp| 1.0 - sp),
        Metric::Fnr => se.map(|se| 1.0 - se),
        Metric::F1 => ratio(2.0 * tp, 2.0 * tp + fp + fn_),
        Metric::Mcc => ratio(tp * tn - fp * fn_, ((tp + fp) * (tp + fn_) * (tn + fp) * (tn + fn_)).max(0.0).sqrt()),
        _ => None,
    }
}
