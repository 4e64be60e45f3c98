//! Could these probabilities be calibrated? ECE is positive even if they are, so that it is held against what it
//! would be: truths drawn from the probabilities themselves (Broecker & Smith 2007; Vaicenavicius 2019).

use serde::{Deserialize, Serialize};

use super::calibration::{Forecast, ece, width_bin};
use super::confidence::LEVEL;
use crate::rng::Rng;

/// From this variance of a bin's count on its distribution is taken as normal, corrected for skewness.
const NORMAL_FROM: f64 = 100.0;

/// ECE against its distribution under perfect calibration.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibratedNull {
    /// The ECE at hand.
    pub ece: f64,
    /// Its mean if the probabilities were true.
    pub expected: f64,
    /// What it would then exceed once in twenty times.
    pub critical: f64,
    /// (1 + simulations at least as large) / (1 + simulations).
    pub p_value: f64,
    /// Simulations.
    pub replicates: usize,
}

/// The distribution of the number of positives in a bin.
enum Count {
    /// Cumulative probabilities of 0, 1, ...
    Exact { mean: f64, cumulative: Vec<f64> },
    /// Too many to enumerate.
    Normal { mean: f64, sd: f64, skewness: f64 },
}

/// Tests the ECE over equal-width `bins` with `replicates` simulations (at least one). Only each bin's count of
/// positives matters; it is drawn from its exact (Poisson binomial) distribution, or for variances of 100 and more
/// from the normal with Cornish and Fisher's skewness term, rounded. Depends on `seed` only.
pub fn calibrated_null(forecast: &Forecast, bins: u16, replicates: usize, seed: u64) -> CalibratedNull {
    let count = usize::from(bins.max(1));
    let mut members = vec![Vec::new(); count];
    forecast.p().iter().for_each(|&p| members[width_bin(p, count)].push(p));
    let counts: Vec<Count> = members.iter().filter(|m| !m.is_empty()).map(|m| Count::new(m)).collect();
    let n = forecast.p().len() as f64;
    let simulate = |replicate: usize| {
        let mut rng = Rng::new(seed, replicate as u64);
        counts.iter().map(|c| c.draw_gap(&mut rng)).sum::<f64>() / n
    };
    let mut simulated: Vec<f64> = (0..replicates.max(1)).map(simulate).collect();
    simulated.sort_unstable_by(f64::total_cmp);
    let ece = ece(&forecast.equal_width(bins));
    // Rounding must not hide an equal one.
    let larger = simulated.len() - simulated.partition_point(|&s| s < ece - 1e-12);
    CalibratedNull {
        ece,
        expected: simulated.iter().sum::<f64>() / simulated.len() as f64,
        critical: super::bootstrap::quantile(&simulated, LEVEL),
        p_value: (1 + larger) as f64 / (1 + simulated.len()) as f64,
        replicates: simulated.len(),
    }
}

impl Count {
    fn new(p: &[f64]) -> Self {
        let sum = |term: fn(f64) -> f64| p.iter().map(|&p| term(p)).sum::<f64>();
        let (mean, variance) = (sum(|p| p), sum(|p| p * (1.0 - p)));
        if variance >= NORMAL_FROM {
            let skewness = sum(|p| p * (1.0 - p) * (1.0 - 2.0 * p)) / (variance * variance.sqrt());
            return Self::Normal { mean, sd: variance.sqrt(), skewness };
        }
        // Of positives and negatives the rarer are counted: the gap is the same and the list shorter.
        let turned = mean > 0.5 * p.len() as f64;
        let mean = if turned { p.len() as f64 - mean } else { mean };
        // Beyond 12 standard deviations (and 12, for tiny ones) nothing is left to see.
        let longest = ((mean + 12.0 * variance.sqrt() + 12.0) as usize).min(p.len()) + 1;
        let mut mass = vec![1.0];
        for &p in p {
            let p = if turned { 1.0 - p } else { p };
            if mass.len() < longest {
                mass.push(0.0);
            }
            for k in (1..mass.len()).rev() {
                mass[k] += p * (mass[k - 1] - mass[k]);
            }
            mass[0] *= 1.0 - p;
        }
        let mut sum = 0.0;
        mass.iter_mut().for_each(|m| {
            sum += *m;
            *m = sum;
        });
        Self::Exact { mean, cumulative: mass }
    }

    /// How far a drawn count lies from its mean.
    fn draw_gap(&self, rng: &mut Rng) -> f64 {
        match self {
            Self::Exact { mean, cumulative } => {
                let u = rng.uniform();
                (cumulative.partition_point(|&c| c < u) as f64 - mean).abs()
            }
            Self::Normal { mean, sd, skewness } => {
                let z = rng.normal();
                ((mean + sd * (z + skewness * (z * z - 1.0) / 6.0)).round() - mean).abs()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(p: &[f64], seed: u64) -> Vec<bool> {
        let mut rng = Rng::new(seed, 1 << 40);
        p.iter().map(|&p| rng.uniform() < p).collect()
    }

    #[test]
    fn exact_counts_are_binomial() {
        let Count::Exact { cumulative, mean } = Count::new(&[0.3; 5]) else { panic!("small counts are exact") };
        assert!((mean - 1.5).abs() < 1e-12);
        let want = [0.16807, 0.52822, 0.83692, 0.96922, 0.99757, 1.0];
        assert!(cumulative.iter().zip(want).all(|(c, w)| (c - w).abs() < 1e-12), "{cumulative:?}");
        let Count::Exact { mean, .. } = Count::new(&[0.9; 5]) else { panic!("small counts are exact") };
        assert!((mean - 0.5).abs() < 1e-12);
    }

    #[test]
    fn p_values_of_calibrated_scores_are_even() {
        let p: Vec<f64> = (0..300).map(|i| f64::from(i) / 299.0).collect();
        let values: Vec<f64> = (0..400)
            .map(|seed| calibrated_null(&Forecast::new(&draw(&p, seed), &p).unwrap(), 15, 199, seed).p_value)
            .collect();
        for level in [0.05, 0.25, 0.5, 0.75] {
            let below = values.iter().filter(|v| **v <= level).count() as f64 / 400.0;
            assert!((below - level).abs() < 4.0 * (level * (1.0 - level) / 400.0).sqrt(), "{level}: {below}");
        }
    }

    #[test]
    fn simulated_directly_it_is_the_same() {
        // Large counts: the normal branch against rows drawn one by one.
        let p: Vec<f64> = (0..6000).map(|i| 0.02 + 0.96 * f64::from(i) / 5999.0).collect();
        let y = draw(&p, 5);
        let null = calibrated_null(&Forecast::new(&y, &p).unwrap(), 15, 2000, 3);
        let direct: Vec<f64> =
            (0..2000).map(|s| ece(&Forecast::new(&draw(&p, 100 + s), &p).unwrap().equal_width(15))).collect();
        let mean = direct.iter().sum::<f64>() / 2000.0;
        assert!((null.expected / mean - 1.0).abs() < 0.02, "{} against {mean}", null.expected);
    }

    #[test]
    fn miscalibration_is_seen() {
        let p = vec![0.3; 500];
        let null = calibrated_null(&Forecast::new(&draw(&vec![0.5; 500], 1), &p).unwrap(), 15, 999, 1);
        assert_eq!(null.p_value, 0.001);
        assert!(null.ece > null.critical && null.critical > null.expected);
    }
}
