//! AUROC against operating points: the curve passes through them, so its area lies between two staircases.

use super::interval::{Exact, Interval};

/// A point of the curve, each rate as an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// False positives over negatives.
    pub fpr: Interval,
    /// True positives over positives.
    pub tpr: Interval,
}

/// The least and the greatest area under a curve through the points: below it steps as late, above it as early as the
/// points let it. Between points that only intervals are known of, the widest choice.
pub fn auroc(points: &[Point]) -> Interval {
    let (zero, one) = (Exact::from(0), Exact::from(1));
    let mut points = points.to_vec();
    points.sort_by_key(|p| (p.fpr.low, p.tpr.low));
    let clamp = |x: Exact| x.clamp(zero, one);
    // Least: every point as far right and as low as it may be.
    let (mut least, mut from, mut height) = (zero, zero, zero);
    for p in &points {
        let to = clamp(p.fpr.high).max(from);
        least += (to - from) * height;
        (from, height) = (to, clamp(p.tpr.low).max(height));
    }
    least += (one - from) * height;
    // Greatest: every point as far left and as high as it may be.
    let (mut greatest, mut to, mut height) = (zero, one, one);
    for p in points.iter().rev() {
        let from = clamp(p.fpr.low).min(to);
        greatest += (to - from) * height;
        (to, height) = (from, clamp(p.tpr.high).min(height));
    }
    greatest += to * height;
    Interval::closed(least, greatest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::roc::Ranked;
    use crate::rng::Rng;

    #[test]
    fn every_curve_lies_between_its_staircases() {
        let exactly = |x: Exact| Interval::closed(x, x);
        for seed in 0..200 {
            let mut rng = Rng::new(seed, 0);
            let rows = 4 + rng.below(30);
            let y: Vec<bool> = (0..rows).map(|_| rng.below(2) == 1).collect();
            let s: Vec<f64> = y.iter().map(|&y| f64::from(rng.below(8) + u32::from(y) * 2)).collect();
            let ranked = Ranked::new(&y, &s).unwrap();
            if !ranked.two_classes() {
                continue;
            }
            let (p, n) = (i128::from(ranked.n_pos()), i128::from(ranked.n_neg()));
            let points: Vec<Point> = ranked
                .cuts()
                .iter()
                .filter(|_| rng.below(3) == 0)
                .map(|c| Point { fpr: exactly(Exact::new(c.fp.into(), n)), tpr: exactly(Exact::new(c.tp.into(), p)) })
                .collect();
            let area = Exact::new(ranked.twice_concordant().into(), 2 * p * n);
            assert!(auroc(&points).holds(area), "{seed}");
        }
    }

    #[test]
    fn one_point() {
        let at = |a: i128, b: i128| Interval::closed(Exact::new(a, b), Exact::new(a, b));
        let bounds = auroc(&[Point { fpr: at(1, 5), tpr: at(9, 10) }]);
        assert_eq!((bounds.low, bounds.high), (Exact::new(72, 100), Exact::new(98, 100)));
        assert_eq!(auroc(&[]), Interval::closed(Exact::from(0), Exact::from(1)));
    }
}
