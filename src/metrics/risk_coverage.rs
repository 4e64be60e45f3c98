//! Selective prediction: how often a model is wrong on the images that it is surest of (Geifman and El-Yaniv 2017).

use serde::Serialize;

/// Shares of the images that are kept in [`RiskCoverage::risks`].
pub const COVERAGES: [f64; 5] = [1.0, 0.95, 0.9, 0.8, 0.5];

/// Errors among the images that are kept when the least sure are left to a person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RiskCoverage {
    /// Images.
    pub n: usize,
    /// Share of errors at the greatest coverage not above each of [`COVERAGES`]; `None` where ties leave none.
    pub risks: [Option<f64>; 5],
    /// Area under the risk over coverage: the mean risk of the first image, the first two and so on. Images of one
    /// uncertainty come in any order; the mean over these orders is taken.
    pub aurc: f64,
    /// The same less that of an uncertainty that knows all errors.
    pub excess_aurc: f64,
    /// Coverage and risk after each group of images of one uncertainty, the surest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub curve: Vec<(f64, f64)>,
}

/// Of images with an uncertainty each (high is unsure, none NaN) and whether the model is wrong on it. `None` without
/// images.
pub fn risk_coverage(uncertainty: &[f64], wrong: &[bool]) -> Option<RiskCoverage> {
    let n = uncertainty.len();
    if n == 0 || wrong.len() != n {
        return None;
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| uncertainty[*a].total_cmp(&uncertainty[*b]));
    let (mut curve, mut area) = (Vec::new(), 0.0);
    let (mut kept, mut errors) = (0usize, 0usize);
    for same in order.chunk_by(|a, b| uncertainty[*a] == uncertainty[*b]) {
        let here = same.iter().filter(|i| wrong[**i]).count();
        // Within a tie the expected number of errors grows evenly.
        for i in 1..=same.len() {
            let expected = errors as f64 + here as f64 * i as f64 / same.len() as f64;
            area += expected / (kept + i) as f64;
        }
        (kept, errors) = (kept + same.len(), errors + here);
        curve.push((kept as f64 / n as f64, errors as f64 / kept as f64));
    }
    let best: f64 = (1..=errors).map(|i| i as f64 / (n - errors + i) as f64).sum();
    let at = |coverage: f64| curve.iter().rev().find(|(c, _)| *c <= coverage).map(|(_, risk)| *risk);
    let (aurc, best) = (area / n as f64, best / n as f64);
    Some(RiskCoverage { n, risks: COVERAGES.map(at), aurc, excess_aurc: aurc - best, curve })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let found = risk_coverage(&[0.1, 0.4, 0.2, 0.3], &[false, true, false, true]).unwrap();
        assert_eq!(found.curve, [(0.25, 0.0), (0.5, 0.0), (0.75, 1.0 / 3.0), (1.0, 0.5)]);
        assert!((found.aurc - (1.0 / 3.0 + 0.5) / 4.0).abs() < 1e-15 && found.excess_aurc.abs() < 1e-15);
        assert_eq!(found.risks, [Some(0.5), Some(1.0 / 3.0), Some(1.0 / 3.0), Some(1.0 / 3.0), Some(0.0)]);
        let tied = risk_coverage(&[1.0; 4], &[true, false, false, true]).unwrap();
        assert_eq!((tied.aurc, tied.risks[4], tied.curve.len()), (0.5, None, 1));
        assert!(risk_coverage(&[], &[]).is_none());
    }
}
