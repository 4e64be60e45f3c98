//! The patient bootstrap: one draw of patients a replicate, shared by all labels, metrics and models.
//!
//! Nothing is resampled row by row. Each replicate is a weight for each patient, and each label's rows, sorted once,
//! are passed through with those weights, eight replicates side by side.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::calibration::{Forecast, width_bin};
use super::roc::Ranked;
use crate::error::{Error, Result};
use crate::rng::Rng;

/// Bins of the bootstrapped ECE (equal width).
pub const ECE_BINS: u16 = 15;

/// Replicates passed through together.
const LANES: usize = 8;
/// One number for each of them.
type Lanes<T> = [T; LANES];

/// One label of one model, ready to be drawn from.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Patients of the rows from the highest score to the lowest, up to the last positive; in a tie positives first.
    patients: Vec<u32>,
    /// Rows between one tie that holds positives and the next.
    steps: Vec<Step>,
    /// Patients of the negatives below every positive.
    tail: Vec<u32>,
    /// For probabilities: the terms of Brier and ECE.
    residuals: Option<Residuals>,
}

/// How many of the next rows are negatives above a tie that holds positives, then its positives, then its negatives.
#[derive(Debug, Clone, Copy)]
struct Step {
    above: u32,
    positives: u32,
    tied: u32,
}

/// Rows of one patient in one ECE bin, taken together: both metrics are linear in the patients' weights.
#[derive(Debug, Clone, Default)]
struct Residuals {
    patients: Vec<u32>,
    /// Sum of (p - y).
    plain: Vec<f64>,
    /// Sum of (p - y)^2.
    squared: Vec<f64>,
    /// Where each bin ends in the lists above.
    ends: Vec<usize>,
}

/// A metric's value in every replicate, in replicate order; NaN where the draw had one class only (AUROC), no
/// positives (AP), or no rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Draws {
    /// AUROC.
    pub auroc: Vec<f64>,
    /// Average precision.
    pub average_precision: Vec<f64>,
    /// Brier score; empty where the scores are no probabilities.
    pub brier: Vec<f64>,
    /// ECE over [`ECE_BINS`] bins of equal width; empty where the scores are no probabilities.
    pub ece: Vec<f64>,
}

/// A percentile interval and what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentile {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Standard deviation over the replicates: the bootstrap's standard error.
    pub se: f64,
    /// Replicates used.
    pub used: usize,
    /// Replicates discarded because the metric was undefined in them.
    pub discarded: usize,
}

impl Sample {
    /// `patients` is the number of each row's patient, the same numbering for all samples that are drawn together;
    /// `probabilities` must be of the same rows, and `None` for scores that only rank.
    pub fn new(ranked: &Ranked, patients: &[u32], probabilities: Option<&Forecast>) -> Result<Self> {
        if ranked.n() != patients.len() || probabilities.is_some_and(|f| f.p().len() != ranked.n()) {
            return Err(Error::new(format!("{} rows but {} patients", ranked.n(), patients.len())));
        }
        let mut sample = Self {
            patients: Vec::with_capacity(ranked.n()),
            steps: Vec::new(),
            tail: Vec::new(),
            residuals: probabilities.map(|forecast| Residuals::new(forecast, patients)),
        };
        let (mut start, mut tp) = (0, 0);
        for cut in ranked.cuts() {
            let end = cut.tp as usize + cut.fp as usize;
            let group = start..end;
            let rows = || ranked.order()[group.clone()].iter().zip(&ranked.positive()[group.clone()]);
            let of = |class: bool| rows().filter(move |r| *r.1 == class).map(|r| patients[*r.0 as usize]);
            if cut.tp > tp {
                let above = sample.tail.len() as u32;
                sample.patients.append(&mut sample.tail);
                sample.patients.extend(of(true));
                sample.patients.extend(of(false));
                let positives = cut.tp - tp;
                sample.steps.push(Step { above, positives, tied: (end - start) as u32 - positives });
            } else {
                sample.tail.extend(of(false));
            }
            (start, tp) = (end, cut.tp);
        }
        Ok(sample)
    }

    fn all_patients(&self) -> impl Iterator<Item = u32> {
        self.patients.iter().chain(&self.tail).copied()
    }

    /// All four metrics in eight replicates.
    fn pass(&self, weights: &[Lanes<u32>]) -> [Lanes<f64>; 4] {
        let (mut tp, mut fp) = ([0u32; LANES], [0u32; LANES]);
        // Twice the discordant pairs, ties once.
        let mut discordant = [0u64; LANES];
        let mut steps_area = [0.0; LANES];
        let mut rest = &self.patients[..];
        let mut take = |count: u32| {
            let (now, later) = rest.split_at(count as usize);
            rest = later;
            total(weights, now)
        };
        for step in &self.steps {
            let above = take(step.above);
            let positives = take(step.positives);
            let tied = take(step.tied);
            for l in 0..LANES {
                let before = fp[l] + above[l];
                tp[l] += positives[l];
                fp[l] = before + tied[l];
                discordant[l] += u64::from(positives[l]) * (u64::from(before) + u64::from(fp[l]));
                // Before the first drawn row 0 / 0 must count as 0.
                let called = (tp[l] + fp[l]).max(1);
                steps_area[l] += f64::from(positives[l]) * f64::from(tp[l]) / f64::from(called);
            }
        }
        let tail = total(weights, &self.tail);
        let (mut auroc, mut precision) = ([f64::NAN; LANES], [f64::NAN; LANES]);
        let mut n = [0.0; LANES];
        for l in 0..LANES {
            let (pos, neg) = (u64::from(tp[l]), u64::from(fp[l]) + u64::from(tail[l]));
            // With one class 0 / 0 is the NaN that marks a discarded draw.
            auroc[l] = (2 * pos * neg - discordant[l]) as f64 / (2 * pos * neg) as f64;
            precision[l] = steps_area[l] / pos as f64;
            n[l] = (pos + neg) as f64;
        }
        let (squared, gaps) = self.residuals.as_ref().map(|r| r.pass(weights)).unwrap_or_default();
        [auroc, precision, divide(squared, n), divide(gaps, n)]
    }
}

impl Residuals {
    fn new(forecast: &Forecast, patients: &[u32]) -> Self {
        let bins = usize::from(ECE_BINS);
        let bin = |row: u32| width_bin(forecast.p()[row as usize], bins);
        let mut rows: Vec<u32> = (0..patients.len() as u32).collect();
        rows.sort_by_cached_key(|&row| (bin(row), patients[row as usize]));
        let mut sums = Self::default();
        for same in rows.chunk_by(|&a, &b| bin(a) == bin(b) && patients[a as usize] == patients[b as usize]) {
            let gap = |&row: &u32| forecast.p()[row as usize] - f64::from(u8::from(forecast.y()[row as usize]));
            sums.ends.resize(bin(same[0]), sums.patients.len());
            sums.patients.push(patients[same[0] as usize]);
            sums.plain.push(same.iter().map(gap).sum());
            sums.squared.push(same.iter().map(|row| gap(row).powi(2)).sum());
        }
        sums.ends.resize(bins, sums.patients.len());
        sums
    }

    /// Weighted sum of squared residuals, and of the absolute sums of plain ones by bin.
    fn pass(&self, weights: &[Lanes<u32>]) -> (Lanes<f64>, Lanes<f64>) {
        let (mut squared, mut gaps) = ([0.0; LANES], [0.0; LANES]);
        let mut start = 0;
        for &end in &self.ends {
            let mut plain = [0.0; LANES];
            let terms = self.plain[start..end].iter().zip(&self.squared[start..end]);
            for (&patient, (r, r2)) in self.patients[start..end].iter().zip(terms) {
                for (l, &w) in weights[patient as usize].iter().enumerate() {
                    // Weights are below 2^31 (see `draw`); signed integers convert faster.
                    let w = f64::from(w as i32);
                    plain[l] += w * r;
                    squared[l] += w * r2;
                }
            }
            (0..LANES).for_each(|l| gaps[l] += plain[l].abs());
            start = end;
        }
        (squared, gaps)
    }
}

/// Draws `replicates` times as many patients as there are, with replacement, and computes the metrics of every
/// sample in each draw. Patients are numbered from 0 to `n_patients` - 1. Replicate r depends on `seed` and r only,
/// so that the numbers are the same for any number of threads, and pair up between samples.
///
/// Errors when a patient's number is too high or the draws could overflow 31-bit counts.
pub fn draw(samples: &[Sample], n_patients: u32, replicates: usize, seed: u64) -> Result<Vec<Draws>> {
    for sample in samples {
        let mut rows = vec![0u32; n_patients as usize];
        for patient in sample.all_patients() {
            let of_patient = rows.get_mut(patient as usize);
            *of_patient.ok_or_else(|| Error::new(format!("patient {patient} of {n_patients}")))? += 1;
        }
        let most = rows.into_iter().max().unwrap_or(0);
        if u64::from(most) * u64::from(n_patients) >= 1 << 31 {
            return Err(Error::new(format!("a patient has {most} rows: too many to draw from {n_patients} patients"))
                .mend("check the patient column"));
        }
    }
    let block = |block: usize| {
        let mut weights = vec![[0u32; LANES]; n_patients as usize];
        for (replicate, lane) in ((block * LANES) as u64..).zip(0..LANES) {
            let mut rng = Rng::new(seed, replicate);
            (0..n_patients).for_each(|_| weights[rng.below(n_patients) as usize][lane] += 1);
        }
        samples.iter().map(|sample| sample.pass(&weights)).collect::<Vec<_>>()
    };
    let blocks: Vec<_> = (0..replicates.div_ceil(LANES)).into_par_iter().map(block).collect();
    let draws = |(i, sample): (usize, &Sample)| {
        let values = |metric: usize| {
            let all = blocks.iter().flat_map(|b| b[i][metric]);
            all.take(replicates).collect::<Vec<f64>>()
        };
        let probabilities = |metric| if sample.residuals.is_some() { values(metric) } else { Vec::new() };
        Draws { auroc: values(0), average_precision: values(1), brier: probabilities(2), ece: probabilities(3) }
    };
    Ok(samples.iter().enumerate().map(draws).collect())
}

/// The percentile interval of `values` at `level`; NaN ones are discarded and counted. `None` when fewer than two are
/// left.
pub fn percentile(values: &[f64], level: f64) -> Option<Percentile> {
    let mut kept: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    let used = kept.len();
    if used < 2 {
        return None;
    }
    kept.sort_unstable_by(f64::total_cmp);
    let mean = kept.iter().sum::<f64>() / used as f64;
    let se = (kept.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (used - 1) as f64).sqrt();
    let tail = 0.5 * (1.0 - level);
    let (low, high) = (quantile(&kept, tail), quantile(&kept, 1.0 - tail));
    Some(Percentile { low, high, se, used, discarded: values.len() - used })
}

/// Quantile of type 7 (Hyndman & Fan 1996; the default of R and NumPy) of `sorted` values; NaN of none.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = q.clamp(0.0, 1.0) * last as f64;
    let (low, part) = (at as usize, at.fract());
    sorted[low] + part * (sorted[(low + 1).min(last)] - sorted[low])
}

/// The weights of the patients of `rows`, summed.
fn total(weights: &[Lanes<u32>], rows: &[u32]) -> Lanes<u32> {
    let mut sum = [0; LANES];
    for &patient in rows {
        for (s, w) in sum.iter_mut().zip(&weights[patient as usize]) {
            *s += w;
        }
    }
    sum
}

fn divide(a: Lanes<f64>, b: Lanes<f64>) -> Lanes<f64> {
    std::array::from_fn(|l| a[l] / b[l])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::calibration::ece;
    use crate::metrics::precision_recall::average_precision;
    use crate::rng::Rng;
    use proptest::prelude::*;

    /// The same draws, taken literally: rows copied, metrics from scratch.
    fn naive(y: &[bool], p: &[f64], ids: &[u32], n_patients: u32, replicate: u64, seed: u64) -> [f64; 4] {
        let mut rng = Rng::new(seed, replicate);
        let (mut yy, mut pp) = (Vec::new(), Vec::new());
        for _ in 0..n_patients {
            let drawn = rng.below(n_patients);
            for i in (0..y.len()).filter(|&i| ids[i] == drawn) {
                yy.push(y[i]);
                pp.push(p[i]);
            }
        }
        let Ok(ranked) = Ranked::new(&yy, &pp) else { return [f64::NAN; 4] };
        let forecast = Forecast::new(&yy, &pp).unwrap();
        [
            ranked.auroc().unwrap_or(f64::NAN),
            average_precision(&ranked).unwrap_or(f64::NAN),
            forecast.brier(),
            ece(&forecast.equal_width(ECE_BINS)),
        ]
    }

    fn table() -> impl Strategy<Value = (Vec<bool>, Vec<f64>, Vec<u32>)> {
        prop::collection::vec((any::<bool>(), 0u8..=30, 0u32..9), 1..50).prop_map(|rows| {
            let y = rows.iter().map(|r| r.0).collect();
            let p = rows.iter().map(|r| f64::from(r.1) / 30.0).collect();
            (y, p, rows.iter().map(|r| r.2).collect())
        })
    }

    fn sample(y: &[bool], p: &[f64], ids: &[u32]) -> Sample {
        Sample::new(&Ranked::new(y, p).unwrap(), ids, Some(&Forecast::new(y, p).unwrap())).unwrap()
    }

    proptest! {
        #[test]
        fn weighted_passes_equal_literal_resampling((y, p, ids) in table(), seed: u64) {
            let draws = draw(&[sample(&y, &p, &ids)], 9, 11, seed).unwrap().remove(0);
            for r in 0..11 {
                let want = naive(&y, &p, &ids, 9, r as u64, seed);
                let ours = [draws.auroc[r], draws.average_precision[r], draws.brier[r], draws.ece[r]];
                for (a, b) in ours.into_iter().zip(want) {
                    prop_assert!((a - b).abs() < 1e-12 || (a.is_nan() && b.is_nan()), "{:?} {:?}", ours, want);
                }
            }
        }

        #[test]
        fn threads_do_not_matter((y, p, ids) in table(), seed: u64) {
            let with = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let draws = pool.install(|| draw(&[sample(&y, &p, &ids)], 9, 40, seed)).unwrap().remove(0);
                [draws.auroc, draws.average_precision, draws.brier, draws.ece].concat().iter().map(|v| v.to_bits())
                    .collect::<Vec<_>>()
            };
            prop_assert_eq!(with(1), with(3));
        }
    }

    #[test]
    fn discarded_draws_are_counted() {
        let draws = draw(&[sample(&[true, false, false], &[0.9, 0.2, 0.1], &[0, 1, 2])], 3, 200, 7).unwrap().remove(0);
        let interval = percentile(&draws.auroc, 0.95).unwrap();
        // P(one class only) = (2/3)^3 + (1/3)^3 = 1/3.
        assert!((40..95).contains(&interval.discarded), "{}", interval.discarded);
        assert_eq!((interval.used + interval.discarded, interval.low, interval.high), (200, 1.0, 1.0));
        assert_eq!(percentile(&draws.brier, 0.95).unwrap().discarded, 0);
    }

    #[test]
    fn bad_numbers_are_told() {
        assert!(draw(&[sample(&[true], &[0.5], &[9])], 3, 1, 0).is_err());
        assert!(Sample::new(&Ranked::new(&[true], &[0.5]).unwrap(), &[], None).is_err());
        assert_eq!(draw(&[], 0, 5, 0).unwrap(), []);
    }

    #[test]
    fn type_seven() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0, 8.0], 0.5), 3.0);
        assert_eq!(quantile(&[1.0, 2.0, 4.0, 8.0], 1.0), 8.0);
        assert!(quantile(&[], 0.5).is_nan());
        assert_eq!(percentile(&[1.0], 0.95), None);
    }
}
