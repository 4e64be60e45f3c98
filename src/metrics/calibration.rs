//! Are the probabilities true? Brier score, log loss, and calibration error over bins.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::confidence::{LEVEL, normal_cdf, wilson};
use super::roc::{Ranked, check_lengths};
use crate::error::{Error, Result};

/// Truths with the probabilities of a positive, checked.
#[derive(Debug, Clone, Copy)]
pub struct Forecast<'a> {
    y: &'a [bool],
    p: &'a [f64],
}

/// One bin of a reliability diagram; never empty.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Lower edge (equal width) or lowest probability (equal count).
    pub low: f64,
    /// Upper edge (equal width) or highest probability (equal count).
    pub high: f64,
    /// Rows.
    pub n: usize,
    /// Positive rows.
    pub n_pos: usize,
    /// Mean probability.
    pub mean: f64,
    /// Share of positives.
    pub observed: f64,
    /// Lower end of Wilson's 95% interval of that share.
    pub ci_low: f64,
    /// Upper end.
    pub ci_high: f64,
}

/// Murphy's (1973) parts of the Brier score: `reliability - resolution + uncertainty + within_bins`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BrierParts {
    /// Mean squared gap between probability and share of positives; 0 is best.
    pub reliability: f64,
    /// Mean squared gap between the bins' shares and the prevalence; higher is better.
    pub resolution: f64,
    /// Prevalence * (1 - prevalence).
    pub uncertainty: f64,
    /// What binning hides: the spread inside the bins less twice their covariance with the truth (Stephenson 2008).
    pub within_bins: f64,
}

impl<'a> Forecast<'a> {
    /// Takes truths and probabilities of the same rows. Errors when the lengths differ, there are none, or a
    /// probability is not in [0, 1] (the message counts rows from 1).
    pub fn new(y: &'a [bool], p: &'a [f64]) -> Result<Self> {
        check_lengths(y.len(), p.len())?;
        if let Some(row) = p.iter().position(|p| !(0.0..=1.0).contains(p)) {
            return Err(Error::new(format!("{} is no probability", p[row]))
                .at(format!("row {}", row + 1))
                .mend("calibration needs scores in [0, 1]; say --scores rank for scores that only rank"));
        }
        Ok(Self { y, p })
    }

    /// The truths.
    pub fn y(&self) -> &'a [bool] {
        self.y
    }

    /// The probabilities.
    pub fn p(&self) -> &'a [f64] {
        self.p
    }

    fn n(&self) -> f64 {
        self.y.len() as f64
    }

    /// Share of positives.
    pub fn prevalence(&self) -> f64 {
        self.y.iter().filter(|&&y| y).count() as f64 / self.n()
    }

    /// Brier score: mean of (p - y)^2, in [0, 1].
    pub fn brier(&self) -> f64 {
        self.y.iter().zip(self.p).map(|(&y, p)| (p - f64::from(u8::from(y))).powi(2)).sum::<f64>() / self.n()
    }

    /// The Brier score's parts over equal-width bins.
    pub fn brier_parts(&self, bins: u16) -> BrierParts {
        let prevalence = self.prevalence();
        let (mut reliability, mut resolution) = (0.0, 0.0);
        for bin in self.equal_width(bins) {
            let weight = bin.n as f64 / self.n();
            reliability += weight * (bin.mean - bin.observed).powi(2);
            resolution += weight * (bin.observed - prevalence).powi(2);
        }
        let uncertainty = prevalence * (1.0 - prevalence);
        let within_bins = self.brier() - (reliability - resolution + uncertainty);
        BrierParts { reliability, resolution, uncertainty, within_bins }
    }

    /// Log loss in nats, the probability of what happened clipped to [eps, 1 - eps] with f64's eps, as scikit-learn.
    pub fn log_loss(&self) -> f64 {
        let loss = |(&y, &p): (&bool, &f64)| {
            let happened = if y { p } else { 1.0 - p };
            -libm::log(happened.clamp(f64::EPSILON, 1.0 - f64::EPSILON))
        };
        self.y.iter().zip(self.p).map(loss).sum::<f64>() / self.n()
    }

    /// The bins [l, u) of equal width, the last one closed; empty ones are left out.
    pub fn equal_width(&self, bins: u16) -> Vec<Bin> {
        let count = usize::from(bins.max(1));
        let mut sums = vec![(0, 0, 0.0); count];
        for (&y, &p) in self.y.iter().zip(self.p) {
            let sum = &mut sums[width_bin(p, count)];
            *sum = (sum.0 + 1, sum.1 + usize::from(y), sum.2 + p);
        }
        let edge = |i: usize| i as f64 / count as f64;
        let bin = |(i, &(n, n_pos, sum)): (usize, &(usize, usize, f64))| {
            (n > 0).then(|| Bin::new((edge(i), edge(i + 1)), n, n_pos, sum))
        };
        sums.iter().enumerate().filter_map(bin).collect()
    }

    /// Bins of equal count: the row of rank r (from 0, ascending, equal probabilities in row order) of n goes to bin
    /// r * bins / n. `ranked` must be of the same rows.
    pub fn equal_count(&self, ranked: &Ranked, bins: u16) -> Vec<Bin> {
        let (count, n) = (usize::from(bins.max(1)), ranked.n());
        let mut found = Vec::with_capacity(count.min(n));
        let mut start = 0;
        for i in 1..=count {
            let end = (i * n).div_ceil(count);
            if end > start {
                // `order` falls from the highest.
                let rows = &ranked.order()[n - end..n - start];
                let n_pos = ranked.positive()[n - end..n - start].iter().filter(|&&y| y).count();
                let p = |row: &u32| self.p[*row as usize];
                let edges = (rows.last().map_or(0.0, p), rows.first().map_or(0.0, p));
                found.push(Bin::new(edges, rows.len(), n_pos, rows.iter().rev().map(p).sum()));
            }
            start = end;
        }
        found
    }

    /// The bins of top-label calibration (Guo 2017): the probability max(p, 1 - p) of the called class against
    /// whether the call (p >= 0.5) is right. Equal width, our edges.
    pub fn top_label(&self, bins: u16) -> Vec<Bin> {
        let right: Vec<bool> = self.y.iter().zip(self.p).map(|(&y, &p)| y == (p >= 0.5)).collect();
        let confidence: Vec<f64> = self.p.iter().map(|&p| p.max(1.0 - p)).collect();
        Forecast { y: &right, p: &confidence }.equal_width(bins)
    }
}

impl Bin {
    fn new((low, high): (f64, f64), n: usize, n_pos: usize, sum: f64) -> Self {
        let (ci_low, ci_high) = wilson(n_pos as f64, n as f64, LEVEL).unwrap_or((0.0, 1.0));
        Self { low, high, n, n_pos, mean: sum / n as f64, observed: n_pos as f64 / n as f64, ci_low, ci_high }
    }

    fn gap(&self) -> f64 {
        (self.observed - self.mean).abs()
    }
}

/// The equal-width bin of `p` among `count`.
pub(super) fn width_bin(p: f64, count: usize) -> usize {
    ((p * count as f64) as usize).min(count - 1)
}

/// Expected calibration error: the mean gap between probability and share of positives, weighted by rows (Naeini
/// 2015, of the positive class), in [0, 1].
pub fn ece(bins: &[Bin]) -> f64 {
    weighted(bins, Bin::gap)
}

/// Maximum calibration error: the widest gap, however few rows stand behind it.
pub fn mce(bins: &[Bin]) -> f64 {
    bins.iter().map(Bin::gap).fold(0.0, f64::max)
}

/// ECE less its bias from finite bins, not below 0: the plug-in value minus what redrawing each bin's share from
/// N(share, share (1 - share) / n) adds to it (Kumar, Liang & Ma 2019, the L1 form; here the mean of the folded
/// normal in closed form instead of by simulation).
pub fn debiased_ece(bins: &[Bin]) -> f64 {
    let redrawn = weighted(bins, |b| {
        let sd = (b.observed * (1.0 - b.observed) / b.n as f64).sqrt();
        if sd == 0.0 {
            return b.gap();
        }
        let z = b.gap() / sd;
        sd * (2.0 / PI).sqrt() * libm::exp(-0.5 * z * z) + b.gap() * (1.0 - 2.0 * normal_cdf(-z))
    });
    (2.0 * ece(bins) - redrawn).max(0.0)
}

fn weighted(bins: &[Bin], value: impl Fn(&Bin) -> f64) -> f64 {
    let n: usize = bins.iter().map(|b| b.n).sum();
    bins.iter().map(|b| b.n as f64 * value(b)).sum::<f64>() / n.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn edges_belong_to_the_upper_bin_and_the_last_is_closed() {
        let p = [0.0, 0.1, 0.5, 1.0];
        let f = Forecast::new(&[false, true, true, true], &p).unwrap();
        let bins = f.equal_width(10);
        let seen: Vec<_> = bins.iter().map(|b| (b.low, b.n, b.n_pos)).collect();
        assert_eq!(seen, [(0.0, 1, 0), (0.1, 1, 1), (0.5, 1, 1), (0.9, 1, 1)]);
        assert!((ece(&bins) - (0.0 + 0.9 + 0.5 + 0.0) / 4.0).abs() < 1e-15);
        assert!((mce(&bins) - 0.9).abs() < 1e-15);
        assert!((ece(&f.top_label(10)) - (0.0 + 0.9 + 0.5 + 0.0) / 4.0).abs() < 1e-15);
    }

    #[test]
    fn bad_probabilities_are_told() {
        let told = |p: &[f64]| Forecast::new(&[true, false], p).unwrap_err().to_string();
        assert!(told(&[0.5, 1.5]).contains("row 2: 1.5 is no probability"));
        assert!(told(&[f64::NAN, 0.5]).contains("row 1"));
        assert!(told(&[0.5]).contains("2 truths but 1 scores"));
    }

    #[test]
    fn certain_and_wrong_is_finite() {
        let f = Forecast::new(&[true], &[0.0]).unwrap();
        assert!((f.log_loss() + f64::EPSILON.ln()).abs() < 1e-12);
    }

    fn table() -> impl Strategy<Value = (Vec<bool>, Vec<f64>)> {
        prop::collection::vec((any::<bool>(), 0u8..=40), 1..80)
            .prop_map(|rows| rows.into_iter().map(|(y, p)| (y, f64::from(p) / 40.0)).unzip())
    }

    proptest! {
        #[test]
        fn parts_sum_to_brier((y, p) in table(), bins in 1u16..30) {
            let f = Forecast::new(&y, &p).unwrap();
            let b = f.brier_parts(bins);
            prop_assert!((b.reliability - b.resolution + b.uncertainty + b.within_bins - f.brier()).abs() < 1e-12);
        }

        #[test]
        fn every_row_is_in_one_bin((y, p) in table(), bins in 1u16..30) {
            let f = Forecast::new(&y, &p).unwrap();
            let ranked = Ranked::new(&y, &p).unwrap();
            for found in [f.equal_width(bins), f.equal_count(&ranked, bins), f.top_label(bins)] {
                prop_assert_eq!(found.iter().map(|b| b.n).sum::<usize>(), y.len());
                prop_assert!(debiased_ece(&found) <= ece(&found) + 1e-15);
                prop_assert!(ece(&found) <= mce(&found) + 1e-15);
            }
            let counts: Vec<usize> = f.equal_count(&ranked, bins).iter().map(|b| b.n).collect();
            prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
        }
    }
}
