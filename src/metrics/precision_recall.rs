//! Precision against recall.

use serde::{Deserialize, Serialize};

use super::roc::{Ranked, merge};

/// One point of the precision-recall curve; both in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PrecisionRecallPoint {
    /// `score >= threshold` is called positive.
    pub threshold: f64,
    /// TP / (TP + FP).
    pub precision: f64,
    /// TP / positives.
    pub recall: f64,
}

/// The curve, one point for each distinct score from the highest to the lowest. Empty without positives.
pub fn curve(ranked: &Ranked) -> Vec<PrecisionRecallPoint> {
    points(ranked).collect()
}

/// Average precision as scikit-learn defines it, sum of (R_n - R_{n-1}) P_n: steps, no interpolation. `None` without
/// positives.
pub fn average_precision(ranked: &Ranked) -> Option<f64> {
    let mut last = 0.0;
    let area = points(ranked).map(|p| (p.recall - std::mem::replace(&mut last, p.recall)) * p.precision);
    let area = area.sum();
    (ranked.n_pos() > 0).then_some(area)
}

/// [`average_precision`] of several labels' rows as one list, for micro averages. `None` without positives.
pub fn pooled_average_precision(labels: &[&Ranked]) -> Option<f64> {
    let positives: u32 = labels.iter().map(|l| l.n_pos()).sum();
    let (mut area, mut tp) = (0.0, 0);
    merge(labels, |cut, _| {
        area += f64::from(cut.tp - tp) * f64::from(cut.tp) / (f64::from(cut.tp) + f64::from(cut.fp));
        tp = cut.tp;
    });
    (positives > 0).then(|| area / f64::from(positives))
}

/// Area under the curve by trapezoids, starting at recall 0 and precision 1 as `auc(*precision_recall_curve)` in
/// scikit-learn. The lines between points are too optimistic (Davis & Goadrich 2006), so that it is not
/// [`average_precision`]. `None` without positives.
pub fn pr_auc_trapezoid(ranked: &Ranked) -> Option<f64> {
    let (mut recall, mut precision) = (0.0, 1.0);
    let mut area = 0.0;
    for p in points(ranked) {
        area += (p.recall - recall) * (p.precision + precision) / 2.0;
        (recall, precision) = (p.recall, p.precision);
    }
    (ranked.n_pos() > 0).then_some(area)
}

fn points(ranked: &Ranked) -> impl Iterator<Item = PrecisionRecallPoint> {
    let positives = f64::from(ranked.n_pos());
    ranked.cuts().iter().filter(move |_| positives > 0.0).map(move |c| PrecisionRecallPoint {
        threshold: c.threshold,
        precision: f64::from(c.tp) / (f64::from(c.tp) + f64::from(c.fp)),
        recall: f64::from(c.tp) / positives,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example in scikit-learn's documentation of average_precision_score: 0.83.
    #[test]
    fn documented_example() {
        let r = Ranked::new(&[false, false, true, true], &[0.1, 0.4, 0.35, 0.8]).unwrap();
        assert!((average_precision(&r).unwrap() - 5.0 / 6.0).abs() < 1e-15);
        assert!((pr_auc_trapezoid(&r).unwrap() - (0.5 + 0.25 * (0.5 + 2.0 / 3.0))).abs() < 1e-15);
        assert_eq!(curve(&r).len(), 4);
    }

    #[test]
    fn one_class() {
        let none = Ranked::new(&[false, false], &[0.1, 0.4]).unwrap();
        assert_eq!((average_precision(&none), pr_auc_trapezoid(&none), curve(&none).len()), (None, None, 0));
        let all = Ranked::new(&[true, true], &[0.1, 0.4]).unwrap();
        assert_eq!((average_precision(&all), pr_auc_trapezoid(&all)), (Some(1.0), Some(1.0)));
    }
}
