//! Averages over labels, with intervals that know that the labels share their patients.

use super::auroc::{Auroc, Placements, logit_interval, variance_error};
use super::bootstrap::Draws;
use super::confidence::{Estimate, LEVEL};

/// The weighted mean of AUROCs and its interval on the logit scale: equal weights give the macro average, the labels'
/// positives the prevalence-weighted one. Weights count as fixed.
///
/// All `labels` must be clustered by the same patient numbers, or by the same row numbers where patients are unknown
/// ([`Placements::by_row`]).
/// `None` without labels or without weight; no interval where a label has no variance.
pub fn weighted_auroc(labels: &[Placements], weights: &[f64]) -> Option<Auroc> {
    let mean = weighted_mean(labels, weights)?;
    let se = mean.variance.map(f64::sqrt).filter(|se| *se > 0.0);
    let df = se.map(|_| (2.0 / variance_error(&mean.influence, mean.clusters)).max(1.0));
    let interval = se.zip(df).and_then(|(se, df)| logit_interval(mean.value, se, df, LEVEL));
    let estimate = Estimate {
        value: mean.value,
        se: mean.variance.map(f64::sqrt),
        ci_low: interval.map(|i| i.0),
        ci_high: interval.map(|i| i.1),
    };
    let warning = interval.is_none().then(|| "no interval: a label has too few patients, or nothing varies".into());
    Some(Auroc { estimate, method: labels.first()?.method(), df, warning })
}

/// A weighted mean over labels.
pub(super) struct WeightedMean {
    pub value: f64,
    /// `None` where a label has none.
    pub variance: Option<f64>,
    /// By patient, summed over labels.
    influence: Vec<f64>,
    /// The most patients that a label has.
    clusters: usize,
}

/// The weighted mean and its variance, from the influence values of each patient summed over labels. `None` without
/// labels or without weight.
pub(super) fn weighted_mean(labels: &[Placements], weights: &[f64]) -> Option<WeightedMean> {
    let sum: f64 = weights.iter().sum();
    if labels.is_empty() || labels.len() != weights.len() || sum.is_nan() || sum <= 0.0 {
        return None;
    }
    let mut influence: Vec<f64> = Vec::new();
    for (label, weight) in labels.iter().zip(weights) {
        let of_label = label.influence();
        influence.resize(influence.len().max(of_label.len()), 0.0);
        influence.iter_mut().zip(of_label).for_each(|(total, i)| *total += weight / sum * i);
    }
    let clusters = labels.iter().map(Placements::clusters).max()?;
    let k = clusters as f64;
    let known = labels.iter().all(|l| l.variance().is_some());
    Some(WeightedMean {
        value: labels.iter().zip(weights).map(|(l, w)| w / sum * l.auroc()).sum(),
        variance: known.then(|| k / (k - 1.0) * influence.iter().map(|i| i * i).sum::<f64>()),
        influence,
        clusters,
    })
}

/// The weighted mean over labels of one metric (`pick`) in each replicate, for its percentile interval; NaN where a
/// label's value is, so that every replicate averages the same labels. Empty without labels.
pub fn weighted_draws(labels: &[Draws], weights: &[f64], pick: impl Fn(&Draws) -> &[f64]) -> Vec<f64> {
    let replicates = labels.iter().map(|l| pick(l).len()).min().unwrap_or(0);
    let sum: f64 = weights.iter().sum();
    (0..replicates).map(|r| labels.iter().zip(weights).map(|(l, w)| w / sum * pick(l)[r]).sum()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::roc::Ranked;
    use proptest::prelude::*;

    fn placements(y: &[bool], s: &[f64], ids: &[u32]) -> Option<Placements> {
        Placements::new(&Ranked::new(y, s).unwrap(), Some(ids))
    }

    proptest! {
        #[test]
        fn a_label_averaged_with_itself_is_itself(rows in prop::collection::vec((any::<bool>(), 0u8..30, 0u32..1000), 10..60)) {
            let y: Vec<bool> = rows.iter().map(|r| r.0).collect();
            let s: Vec<f64> = rows.iter().map(|r| f64::from(r.1)).collect();
            let ids: Vec<u32> = (0..y.len() as u32).collect();
            if let Some(p) = placements(&y, &s, &ids) {
                let mean = weighted_auroc(&[p.clone(), p.clone()], &[1.0, 3.0]).unwrap();
                prop_assert!((mean.estimate.value - p.auroc()).abs() < 1e-12);
                // DeLong divides by m - 1 and n - 1, the influence values by k - 1 only.
                if let (Some(se), Some(variance)) = (mean.estimate.se, p.variance()) {
                    prop_assert!(se <= variance.sqrt() + 1e-12 && se >= 0.6 * variance.sqrt());
                }
            }
        }
    }

    #[test]
    fn draws_average_jointly() {
        let draws = |v: &[f64]| Draws { auroc: v.to_vec(), ..Draws::default() };
        let mean = weighted_draws(&[draws(&[0.5, 0.7, f64::NAN]), draws(&[0.7, 0.9, 0.9])], &[1.0, 1.0], |d| &d.auroc);
        assert!((mean[0] - 0.6).abs() < 1e-15 && (mean[1] - 0.8).abs() < 1e-15 && mean[2].is_nan());
        assert_eq!(weighted_draws(&[], &[], |d| &d.auroc), [0.0; 0]);
    }

    #[test]
    fn nothing_to_average() {
        assert!(weighted_auroc(&[], &[]).is_none());
        let p = placements(&[true, false], &[0.1, 0.2], &[0, 1]).unwrap();
        assert!(weighted_auroc(std::slice::from_ref(&p), &[0.0]).is_none());
        assert_eq!(weighted_auroc(&[p], &[1.0]).unwrap().estimate.se, None);
    }
}
