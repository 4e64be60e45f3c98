//! The headline metrics in other libraries' conventions, to find out which one a printed number follows.

use serde::Serialize;

use super::auroc::auroc_delong;
use super::calibration::{Forecast, ece};
use super::operating_point::{Confusion, Rule, interpolated_sensitivity};
use super::precision_recall::{average_precision, pr_auc_trapezoid};
use super::roc::Ranked;

/// Bins of the calibration errors.
const BINS: usize = 15;
/// The specificity at which sensitivity is read.
const SPECIFICITY: f64 = 0.90;

/// Whose convention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// scikit-learn.
    Sklearn,
    /// torchmetrics.
    Torchmetrics,
    /// R's pROC.
    Proc,
}

/// One metric as a library prints it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reading {
    /// Our name of the metric.
    pub metric: &'static str,
    /// The library's call.
    pub call: &'static str,
    /// What it gives; `None` where it has no answer.
    pub value: Option<f64>,
    /// What we give.
    pub ours: Option<f64>,
    /// Where the conventions part; `None` where they do not.
    pub differs: Option<&'static str>,
}

/// The metrics that `dialect` has, on one label; those of probabilities only where `forecast` (of the same rows) is
/// given. Empty with one class only.
pub fn readings(dialect: Dialect, ranked: &Ranked, forecast: Option<&Forecast>) -> Vec<Reading> {
    let Some(auroc) = ranked.auroc() else { return Vec::new() };
    let reading = |metric, call, value, ours, differs| Reading { metric, call, value, ours, differs };
    let youden = Rule::Youden.fit(ranked).first().copied();
    let sensitivity = Rule::Specificity(SPECIFICITY)
        .fit(ranked)
        .first()
        .and_then(|&threshold| Confusion::at(ranked, threshold).measures().sensitivity);
    let ours = forecast.map(|f| ece(&f.equal_width(BINS as u16)));
    match dialect {
        Dialect::Sklearn => {
            let (ap, trapezoid) = (average_precision(ranked), pr_auc_trapezoid(ranked));
            let ece = forecast.map(|f| ece_by(f, upper_edge_bin));
            vec![
                reading("auroc", "roc_auc_score", Some(auroc), Some(auroc), None),
                reading("average_precision", "average_precision_score", ap, ap, None),
                reading(
                    "average_precision",
                    "auc(*precision_recall_curve)",
                    trapezoid,
                    ap,
                    Some("trapezoids between the points; ours as pr_auc_trapezoid"),
                ),
                reading("ece", "calibration_curve(n_bins=15)", ece, ours, Some("bins (l, u], the first closed")),
                reading(
                    "youden",
                    "thresholds[argmax(tpr - fpr)]",
                    float_youden(ranked),
                    youden,
                    Some("differences of rounded rates: a tie may fall to another threshold"),
                ),
            ]
        }
        Dialect::Torchmetrics => {
            let ap = average_precision(ranked);
            let ece = forecast.map(|f| ece_by(f, |p| (p * BINS as f64) as usize));
            vec![
                reading("auroc", "binary_auroc", Some(auroc), Some(auroc), Some("float32: about six digits")),
                reading(
                    "average_precision",
                    "binary_average_precision",
                    ap,
                    ap,
                    Some("float32: about six digits; often called AUPRC"),
                ),
                reading(
                    "ece",
                    "binary_calibration_error(n_bins=15, norm='l1')",
                    ece,
                    ours,
                    Some("p = 1 has a bin of its own; float32"),
                ),
                reading(
                    "sensitivity_at_specificity_0.90",
                    "binary_sensitivity_at_specificity(min_specificity=0.9)",
                    sensitivity.or(Some(0.0)),
                    sensitivity,
                    Some("where no threshold fulfils it: 0, at threshold 1e6"),
                ),
            ]
        }
        Dialect::Proc => {
            let flipped = controls_above_cases(ranked);
            let directed = if flipped { 1.0 - auroc } else { auroc };
            let low = auroc_delong(ranked).and_then(|e| {
                // The interval turns with the direction.
                if flipped { e.ci_high.map(|high| 1.0 - high) } else { e.ci_low }
            });
            let headline = super::auroc::Placements::new(ranked, None).and_then(|p| p.headline().estimate.ci_low);
            vec![
                reading(
                    "auroc",
                    "auc(roc(y, p))",
                    Some(directed),
                    Some(auroc),
                    Some("the direction is chosen by the medians unless direction = '<' is given"),
                ),
                reading(
                    "auroc_ci_low",
                    "ci.auc(roc(y, p))",
                    low,
                    headline,
                    Some("Wald's interval; ours on the logit scale, and clustered where patients are known"),
                ),
                reading(
                    "youden",
                    "coords(r, 'best')",
                    midpoint_youden(ranked, youden),
                    youden,
                    Some("thresholds lie midway between scores; ties are all returned"),
                ),
                reading(
                    "sensitivity_at_specificity_0.90",
                    "coords(r, 0.9, input = 'specificity')",
                    interpolated_sensitivity(ranked, SPECIFICITY),
                    sensitivity,
                    Some("interpolated; no threshold need achieve it"),
                ),
            ]
        }
    }
}

/// ECE over bins chosen by `bin`.
fn ece_by(forecast: &Forecast, bin: impl Fn(f64) -> usize) -> f64 {
    let mut gaps = [0.0; BINS + 1];
    for (&y, &p) in forecast.y().iter().zip(forecast.p()) {
        gaps[bin(p)] += p - f64::from(u8::from(y));
    }
    gaps.iter().map(|g| g.abs()).sum::<f64>() / forecast.p().len() as f64
}

/// How many inner edges lie below `p`.
fn upper_edge_bin(p: f64) -> usize {
    (1..BINS).filter(|&edge| (edge as f64 / BINS as f64) < p).count()
}

/// The first maximum of the difference of the rates as floating-point numbers.
fn float_youden(ranked: &Ranked) -> Option<f64> {
    let mut best = None;
    for point in ranked.roc_points() {
        let value = point.tpr - point.fpr;
        if best.is_none_or(|(most, _)| value > most) {
            best = Some((value, point.threshold));
        }
    }
    best.map(|b| b.1)
}

/// Midway from the threshold to the next lower score.
fn midpoint_youden(ranked: &Ranked, threshold: Option<f64>) -> Option<f64> {
    let below = ranked.cuts().iter().map(|c| c.threshold).find(|&t| Some(t) < threshold)?;
    threshold.map(|t| 0.5 * (t + below))
}

/// Whether the median of the negatives lies above that of the positives.
fn controls_above_cases(ranked: &Ranked) -> bool {
    // The scores of a class in falling order, without keeping them.
    let nth = |count: fn(&super::roc::Cut) -> u32, n: u32| {
        ranked.cuts().iter().find(|c| count(c) > n).map_or(f64::NAN, |c| c.threshold)
    };
    let median = |count: fn(&super::roc::Cut) -> u32, n: u32| 0.5 * (nth(count, (n - 1) / 2) + nth(count, n / 2));
    median(|c| c.fp, ranked.n_neg()) > median(|c| c.tp, ranked.n_pos())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(dialect: Dialect, metric: &str, y: &[bool], p: &[f64]) -> Option<f64> {
        let forecast = Forecast::new(y, p).unwrap();
        let all = readings(dialect, &Ranked::new(y, p).unwrap(), Some(&forecast));
        all.iter().find(|r| r.metric == metric).unwrap().value
    }

    #[test]
    fn direction_by_the_medians() {
        let y = [true, true, false, false, false];
        assert_eq!(value(Dialect::Proc, "auroc", &y, &[0.1, 0.2, 0.3, 0.4, 0.15]), Some(5.0 / 6.0));
        assert_eq!(value(Dialect::Sklearn, "auroc", &y, &[0.1, 0.2, 0.3, 0.4, 0.15]), Some(1.0 / 6.0));
        assert_eq!(value(Dialect::Proc, "auroc", &y, &[0.9, 0.8, 0.3, 0.4, 0.1]), Some(1.0));
        assert_eq!(value(Dialect::Proc, "youden", &y, &[0.9, 0.8, 0.3, 0.4, 0.1]), Some(0.5 * (0.8 + 0.4)));
    }

    #[test]
    fn edges_fall_elsewhere() {
        // 1 and 0.9 share our last bin and scikit-learn's, not torchmetrics'.
        let (y, p) = ([true, false, false, false], [1.0, 0.95, 0.2, 0.19]);
        assert!((value(Dialect::Torchmetrics, "ece", &y, &p).unwrap() - (0.95 + 0.2 + 0.19) / 4.0).abs() < 1e-12);
        assert!((value(Dialect::Sklearn, "ece", &y, &p).unwrap() - (0.95 + 0.2 + 0.19) / 4.0).abs() < 1e-12);
        // 0.2 is an edge: ours and torchmetrics' bin above it, scikit-learn's below.
        let (y, p) = ([true, false], [0.2, 0.19]);
        assert!((value(Dialect::Sklearn, "ece", &y, &p).unwrap() - 0.305).abs() < 1e-12);
        assert!((value(Dialect::Torchmetrics, "ece", &y, &p).unwrap() - 0.495).abs() < 1e-12);
    }

    #[test]
    fn one_class_has_no_readings() {
        assert!(readings(Dialect::Sklearn, &Ranked::new(&[true], &[0.5]).unwrap(), None).is_empty());
    }
}
