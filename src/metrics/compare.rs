//! Two models on the same rows.

use std::f64::consts::{FRAC_1_SQRT_2, LN_2};

use serde::Serialize;

use super::auroc::{Method, Placements, wald_interval};
use super::average::weighted_mean;
use super::confidence::{LEVEL, erfc, holm, two_sided_p};

/// The difference of two paired AUROCs (or averages of them), A less B.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Comparison {
    /// A's AUROC.
    pub auroc_a: f64,
    /// B's AUROC.
    pub auroc_b: f64,
    /// A's less B's.
    pub difference: f64,
    /// Standard error of the difference; `None` with fewer than two rows or patients of a class.
    pub se: Option<f64>,
    /// Lower end of Wald's 95% interval of the difference.
    pub ci_low: Option<f64>,
    /// Upper end.
    pub ci_high: Option<f64>,
    /// difference / se; `None` where the standard error is 0 or unknown.
    pub z: Option<f64>,
    /// Two-sided p-value; 1 where both rank alike, `None` where it cannot be known.
    pub p_value: Option<f64>,
    /// The same after Holm's adjustment over the labels, once [`adjust`] has run.
    pub p_holm: Option<f64>,
    /// DeLong's variance, or Obuchowski's where patients are known.
    pub method: Method,
}

/// McNemar's test on the rows where exactly one of two models is right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Mcnemar {
    /// Rows that only A gets right.
    pub a_only: u32,
    /// Rows that only B gets right.
    pub b_only: u32,
    /// Two-sided exact binomial p-value. Rows count as independent.
    pub p_exact: f64,
    /// (|a - b| - 1)^2 / (a + b): Edwards' (1948) continuity-corrected chi-square on one degree of freedom.
    pub edwards_statistic: Option<f64>,
    /// Its p-value. Rows count as independent.
    pub p_edwards: f64,
    /// p-value of the score test with patients as units, (sum of d)^2 / sum of d^2 over each patient's a - b; `None`
    /// where patients are unknown. With a row a patient it is McNemar's test without correction.
    pub p_clustered: Option<f64>,
}

/// Tests the difference of two AUROCs of the same truths and patients: DeLong 1988, or Obuchowski 1997 where the
/// placements are clustered.
pub fn paired_auroc(a: &Placements, b: &Placements) -> Comparison {
    let difference = a.minus(b);
    Comparison::new(a.auroc(), b.auroc(), difference.variance(), a.method())
}

/// The same of the weighted means over labels of (A, B); equal weights give the macro average. `None` without labels.
pub fn paired_average(labels: &[(Placements, Placements)], weights: &[f64]) -> Option<Comparison> {
    let side = |pick: fn(&(Placements, Placements)) -> Placements| {
        weighted_mean(&labels.iter().map(pick).collect::<Vec<_>>(), weights)
    };
    let (a, b, difference) = (side(|l| l.0.clone())?, side(|l| l.1.clone())?, side(|l| l.0.minus(&l.1))?);
    Some(Comparison::new(a.value, b.value, difference.variance, labels.first()?.0.method()))
}

impl Comparison {
    fn new(auroc_a: f64, auroc_b: f64, variance: Option<f64>, method: Method) -> Self {
        let difference = auroc_a - auroc_b;
        let se = variance.map(|v| v.max(0.0).sqrt());
        let interval = se.map(|se| wald_interval(difference, se, LEVEL));
        let z = se.filter(|se| *se > 0.0).map(|se| difference / se);
        let alike = se == Some(0.0) && difference == 0.0;
        let p_value = z.map(two_sided_p).or(alike.then_some(1.0));
        let (ci_low, ci_high) = (interval.map(|i| i.0), interval.map(|i| i.1));
        Self { auroc_a, auroc_b, difference, se, ci_low, ci_high, z, p_value, p_holm: None, method }
    }
}

/// Fills in Holm's adjusted p-values over all labels that have one.
pub fn adjust(labels: &mut [Comparison]) {
    let known: Vec<f64> = labels.iter().filter_map(|l| l.p_value).collect();
    let adjusted = holm(&known);
    labels.iter_mut().filter(|l| l.p_value.is_some()).zip(adjusted).for_each(|(l, p)| l.p_holm = Some(p));
}

/// A's value less B's in each bootstrap replicate: both must come from the same seed and patients.
pub fn paired_differences(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// Compares the calls of A and B with the truth `y`, row by row.
pub fn mcnemar(y: &[bool], called_a: &[bool], called_b: &[bool], patients: Option<&[u32]>) -> Mcnemar {
    let (only_a, only_b) = disagreements(y, called_a, called_b);
    let (a, b) = (only_a.len() as u32, only_b.len() as u32);
    let total = f64::from(a) + f64::from(b);
    let edwards = (total > 0.0).then(|| ((f64::from(a) - f64::from(b)).abs() - 1.0).max(0.0).powi(2) / total);
    let chi_square_p = |statistic: f64| erfc(statistic.sqrt() * FRAC_1_SQRT_2);
    let clustered = |ids: &[u32]| {
        let mut net = vec![0.0; ids.iter().max().map_or(0, |&id| id as usize + 1)];
        only_a.iter().for_each(|&row| net[ids[row as usize] as usize] += 1.0);
        only_b.iter().for_each(|&row| net[ids[row as usize] as usize] -= 1.0);
        let squares: f64 = net.iter().map(|d| d * d).sum();
        if squares > 0.0 { chi_square_p(net.iter().sum::<f64>().powi(2) / squares) } else { 1.0 }
    };
    Mcnemar {
        a_only: a,
        b_only: b,
        p_exact: sign_test(a.min(b), a.max(b)),
        edwards_statistic: edwards,
        p_edwards: edwards.map_or(1.0, chi_square_p),
        p_clustered: patients.map(clustered),
    }
}

/// The rows that only A gets right, and those that only B gets right.
pub fn disagreements(y: &[bool], called_a: &[bool], called_b: &[bool]) -> (Vec<u32>, Vec<u32>) {
    let rows = || (0u32..).zip(y).zip(called_a.iter().zip(called_b));
    let only_a = rows().filter(|((_, y), (a, b))| a == y && b != y).map(|((row, _), _)| row);
    let only_b = rows().filter(|((_, y), (a, b))| a != y && b == y).map(|((row, _), _)| row);
    (only_a.collect(), only_b.collect())
}

/// Twice P(X <= low) for X binomial of low + high fair coins, at most 1.
fn sign_test(low: u32, high: u32) -> f64 {
    let n = f64::from(low) + f64::from(high);
    let choose: f64 = (0..low).map(|i| libm::log((n - f64::from(i)) / (f64::from(i) + 1.0))).sum();
    let mut term = libm::exp(choose - n * LN_2);
    let mut sum = 0.0;
    for k in (0..=low).rev() {
        sum += term;
        term *= f64::from(k) / (n - f64::from(k) + 1.0);
        if term <= sum * f64::EPSILON {
            break;
        }
    }
    (2.0 * sum).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::roc::Ranked;
    use proptest::prelude::*;

    fn placements(y: &[bool], s: &[f64], ids: Option<&[u32]>) -> Option<Placements> {
        Placements::new(&Ranked::new(y, s).unwrap(), ids)
    }

    fn table() -> impl Strategy<Value = (Vec<bool>, Vec<f64>, Vec<f64>, Vec<u32>)> {
        prop::collection::vec((any::<bool>(), 0u8..30, 0u8..30, 0u32..12), 8..60).prop_map(|rows| {
            let score = |v: u8| f64::from(v) / 30.0;
            let y = rows.iter().map(|r| r.0).collect();
            (
                y,
                rows.iter().map(|r| score(r.1)).collect(),
                rows.iter().map(|r| score(r.2)).collect(),
                rows.iter().map(|r| r.3).collect(),
            )
        })
    }

    proptest! {
        #[test]
        fn variance_of_the_difference((y, a, b, ids) in table()) {
            for ids in [None, Some(&ids[..])] {
                let Some((a, b)) = placements(&y, &a, ids).zip(placements(&y, &b, ids)) else { continue };
                let Some(va) = a.variance() else { continue };
                let want = va + b.variance().unwrap() - 2.0 * a.covariance(&b).unwrap();
                prop_assert!((a.minus(&b).variance().unwrap() - want).abs() < 1e-13);
            }
        }

        #[test]
        fn identical_ranks_are_no_difference((y, a, _, ids) in table()) {
            let squeezed: Vec<f64> = a.iter().map(|s| s / 2.0).collect();
            let Some((a, b)) = placements(&y, &a, Some(&ids)).zip(placements(&y, &squeezed, Some(&ids))) else { return Ok(()) };
            let c = paired_auroc(&a, &b);
            prop_assert_eq!((c.difference, c.z), (0.0, None));
            prop_assert!(c.se.is_none() || (c.se == Some(0.0) && c.p_value == Some(1.0)));
            let c = paired_average(&[(a.clone(), b.clone()), (a, b)], &[1.0, 1.0]).unwrap();
            prop_assert_eq!((c.difference, c.z), (0.0, None));
        }

        #[test]
        fn swapping_models_turns_the_sign((y, a, b, _) in table()) {
            let Some((a, b)) = placements(&y, &a, None).zip(placements(&y, &b, None)) else { return Ok(()) };
            let (ab, ba) = (paired_auroc(&a, &b), paired_auroc(&b, &a));
            prop_assert_eq!((ab.difference, ab.p_value, ab.se), (-ba.difference, ba.p_value, ba.se));
        }
    }

    // Reference values: SciPy's binomtest(6, 22) and chi2.sf.
    #[test]
    fn mcnemar_by_reference() {
        let y = [true; 30];
        let a: Vec<bool> = (0..30).map(|i| !(16..22).contains(&i)).collect();
        let b: Vec<bool> = (0..30).map(|i| i >= 16).collect();
        let ids: Vec<u32> = (0..30).collect();
        let m = mcnemar(&y, &a, &b, Some(&ids));
        assert_eq!((m.a_only, m.b_only), (16, 6));
        assert!((m.p_exact - 0.052_478_790_283_203_125).abs() < 1e-12, "{}", m.p_exact);
        assert!((m.edwards_statistic.unwrap() - 81.0 / 22.0).abs() < 1e-12);
        assert!((m.p_edwards - 0.055_008_833_629_265_9).abs() < 1e-9, "{}", m.p_edwards);
        assert!((m.p_clustered.unwrap() - 0.033_006_257_661_232_5).abs() < 1e-9, "{}", m.p_clustered.unwrap());
        // The same disagreement seen four times in each patient is no more evidence.
        let four: Vec<u32> = (0..30).map(|i| i / 4).collect();
        assert!(mcnemar(&y, &a, &b, Some(&four)).p_clustered > m.p_clustered);
        let same = mcnemar(&y, &a, &a, None);
        assert_eq!((same.p_exact, same.p_edwards, same.edwards_statistic), (1.0, 1.0, None));
        assert!(sign_test(400_000, 410_000) < 1e-10);
    }

    #[test]
    fn holm_skips_what_is_unknown() {
        let c = |p| Comparison { p_value: p, ..Comparison::new(0.5, 0.5, None, Method::Delong) };
        let mut labels = [c(Some(0.01)), c(None), c(Some(0.04))];
        adjust(&mut labels);
        assert_eq!(labels.map(|l| l.p_holm), [Some(0.02), None, Some(0.04)]);
    }
}
