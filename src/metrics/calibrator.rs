//! Maps from probabilities to better calibrated ones, fitted on a tuning split.

use serde::{Deserialize, Serialize};

use super::calibration::Forecast;
use super::roc::Ranked;
use crate::error::{Error, Result};

/// Probabilities are kept this far from 0 and 1 before their logit is taken.
const CLIP: f64 = 1e-7;
/// Temperatures lie between exp(-5) and exp(5).
const WIDEST: f64 = 5.0;

/// The ways to fit a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// [`Calibrator::fit_temperature`].
    Temperature,
    /// [`Calibrator::fit_platt`].
    Platt,
    /// [`Calibrator::fit_isotonic`].
    Isotonic,
}

/// A fitted map; in TOML `method = "temperature"` and so on, with its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "lowercase", deny_unknown_fields)]
pub enum Calibrator {
    /// sigmoid(logit / temperature) (Guo 2017).
    Temperature {
        /// Above 1 it softens.
        temperature: f64,
    },
    /// sigmoid(slope * logit + intercept) (Platt 1999, on the logit and without his smoothed targets).
    Platt {
        /// 1 where the spread is right.
        slope: f64,
        /// 0 where the mean is right.
        intercept: f64,
    },
    /// A rising line through knots, flat beyond them (pool adjacent violators).
    Isotonic {
        /// Rising probabilities.
        x: Vec<f64>,
        /// Calibrated ones, not falling.
        y: Vec<f64>,
    },
}

impl Calibrator {
    /// Fits a map the way that `method` says.
    pub fn fit(method: Method, forecast: &Forecast) -> Result<Self> {
        match method {
            Method::Temperature => Ok(Self::fit_temperature(forecast)),
            Method::Platt => Self::fit_platt(forecast),
            Method::Isotonic => Ok(Self::fit_isotonic(&Ranked::new(forecast.y(), forecast.p())?)),
        }
    }

    /// The temperature of least log loss, within exp(-5) and exp(5): on data that the scores separate it ends at the
    /// lower bound, where the scores mislead at the upper one.
    pub fn fit_temperature(forecast: &Forecast) -> Self {
        let rows: Vec<(f64, f64)> = rows(forecast);
        // Slope and curvature of the log loss along 1 / temperature, in which it is convex.
        let slope = |beta: f64| {
            rows.iter().fold((0.0, 0.0), |(slope, bend), &(x, y)| {
                let p = sigmoid(beta * x);
                (slope + (p - y) * x, bend + p * (1.0 - p) * x * x)
            })
        };
        let (mut low, mut high) = (libm::exp(-WIDEST), libm::exp(WIDEST));
        let mut beta: f64 = 1.0;
        // Newton's step where it stays inside the bracket, else halving: 200 are far more than it takes.
        for _ in 0..200 {
            let (gradient, bend) = slope(beta);
            *(if gradient > 0.0 { &mut high } else { &mut low }) = beta;
            let newton = beta - gradient / bend;
            let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
            let done = (next - beta).abs() <= 1e-15 * beta;
            beta = next;
            if done {
                break;
            }
        }
        Self::Temperature { temperature: 1.0 / beta }
    }

    /// Slope and intercept of least log loss: logistic regression without a penalty, by Newton's method.
    ///
    /// Errors where no finite fit exists: one class only, scores that do not vary, scores that separate the classes.
    pub fn fit_platt(forecast: &Forecast) -> Result<Self> {
        let rows = rows(forecast);
        let range = |class: f64| {
            let of = rows.iter().filter(move |r| r.1 == class).map(|r| r.0);
            of.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
        };
        let (neg, pos) = (range(0.0), range(1.0));
        if neg.1 <= pos.0 || pos.1 <= neg.0 {
            return Err(Error::new(
                "Platt's map has no finite fit: one score separates the classes of the tuning rows, or there is one class only",
            )
            .mend("use temperature or isotonic, or more tuning rows"));
        }
        let loss = |slope: f64, intercept: f64| -> f64 {
            rows.iter().map(|&(x, y)| softplus((1.0 - 2.0 * y) * (slope * x + intercept))).sum()
        };
        let (mut slope, mut intercept) = (1.0, 0.0);
        let mut least = loss(slope, intercept);
        for _ in 0..100 {
            let [mut g0, mut g1, mut h00, mut h01, mut h11] = [0.0; 5];
            for &(x, y) in &rows {
                let p = sigmoid(slope * x + intercept);
                let (gap, weight) = (p - y, p * (1.0 - p));
                g0 += gap;
                g1 += gap * x;
                h00 += weight;
                h01 += weight * x;
                h11 += weight * x * x;
            }
            let determinant = h00 * h11 - h01 * h01;
            let (d_slope, d_intercept) = ((h00 * g1 - h01 * g0) / determinant, (h11 * g0 - h01 * g1) / determinant);
            // Half the step until the loss does not grow.
            let mut part = 1.0;
            let mut next = loss(slope - d_slope, intercept - d_intercept);
            while (next.is_nan() || next > least) && part > 1e-9 {
                part *= 0.5;
                next = loss(slope - part * d_slope, intercept - part * d_intercept);
            }
            if next <= least {
                (slope, intercept, least) = (slope - part * d_slope, intercept - part * d_intercept, next);
            }
            if part <= 1e-9 || (d_slope.abs() <= 1e-12 * slope.abs() && d_intercept.abs() <= 1e-12) {
                break;
            }
        }
        if slope.is_finite() && intercept.is_finite() {
            Ok(Self::Platt { slope, intercept })
        } else {
            Err(Error::new("Platt's map did not converge").mend("use temperature or isotonic"))
        }
    }

    /// The non-falling map of least squared error, by pooling adjacent violators; between its steps it is a straight
    /// line, as scikit-learn's `IsotonicRegression(out_of_bounds="clip")`. `ranked` holds the probabilities.
    pub fn fit_isotonic(ranked: &Ranked) -> Self {
        struct Block {
            first: f64,
            last: f64,
            pos: u64,
            n: u64,
        }
        let mut blocks: Vec<Block> = Vec::new();
        let (mut seen, mut seen_pos) = (ranked.n() as u64, u64::from(ranked.n_pos()));
        for (i, cut) in ranked.cuts().iter().enumerate().rev() {
            let above = i.checked_sub(1).map_or((0, 0), |i| (ranked.cuts()[i].tp, ranked.cuts()[i].fp));
            let (n, pos) = (u64::from(above.0) + u64::from(above.1), u64::from(above.0));
            let mut block = Block { first: cut.threshold, last: cut.threshold, pos: seen_pos - pos, n: seen - n };
            (seen, seen_pos) = (n, pos);
            while let Some(lower) = blocks.pop_if(|b| b.pos * block.n >= block.pos * b.n) {
                block =
                    Block { first: lower.first, last: block.last, pos: lower.pos + block.pos, n: lower.n + block.n };
            }
            blocks.push(block);
        }
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for block in blocks {
            let ends = [block.first, block.last];
            for &end in &ends[..if block.first == block.last { 1 } else { 2 }] {
                x.push(end);
                y.push(block.pos as f64 / block.n as f64);
            }
        }
        Self::Isotonic { x, y }
    }

    /// The calibrated probability of `p`, in [0, 1]; NaN stays NaN. Parameters read from a file go through
    /// [`Calibrator::check`] first.
    pub fn apply(&self, p: f64) -> f64 {
        match self {
            Self::Temperature { temperature } => sigmoid(logit(p) / temperature),
            Self::Platt { slope, intercept } => sigmoid(slope * logit(p) + intercept),
            Self::Isotonic { x, y } => {
                let right = x.partition_point(|&knot| knot < p);
                match (right.checked_sub(1), x.get(right)) {
                    (_, None) => y.last().copied().unwrap_or(f64::NAN),
                    (None, Some(_)) => y[0],
                    // Rounding must not lead beyond the knot: a probability above 1 is refused by every metric.
                    (Some(left), Some(&end)) => {
                        (y[left] + (y[right] - y[left]) * (p - x[left]) / (end - x[left])).min(y[right])
                    }
                }
            }
        }
    }

    /// Refuses parameters that are no map: what a damaged or foreign file may hold.
    pub fn check(&self) -> Result<()> {
        let rising = |v: &[f64], strictly: bool| v.windows(2).all(|w| w[0] < w[1] || (!strictly && w[0] == w[1]));
        let inside = |v: &[f64]| v.iter().all(|v| (0.0..=1.0).contains(v));
        let fault = match self {
            Self::Temperature { temperature } if !(temperature.is_finite() && *temperature > 0.0) => {
                "the temperature must be above 0"
            }
            Self::Platt { slope, intercept } if !(slope.is_finite() && intercept.is_finite()) => {
                "slope and intercept must be finite"
            }
            Self::Isotonic { x, y } if x.is_empty() || x.len() != y.len() => "x and y must be as many, at least one",
            Self::Isotonic { x, y } if !(rising(x, true) && rising(y, false) && inside(x) && inside(y)) => {
                "x must rise and y must not fall, both within [0, 1]"
            }
            _ => return Ok(()),
        };
        Err(Error::new(fault).mend("fit the calibrator again"))
    }
}

/// (logit, truth) of each row.
fn rows(forecast: &Forecast) -> Vec<(f64, f64)> {
    forecast.p().iter().zip(forecast.y()).map(|(&p, &y)| (logit(p), f64::from(u8::from(y)))).collect()
}

fn logit(p: f64) -> f64 {
    let p = p.clamp(CLIP, 1.0 - CLIP);
    libm::log(p / (1.0 - p))
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

/// ln(1 + exp(x)) without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + libm::log1p(libm::exp(-x.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table() -> impl Strategy<Value = (Vec<bool>, Vec<f64>)> {
        prop::collection::vec((any::<bool>(), 0u8..=40), 2..80)
            .prop_map(|rows| rows.into_iter().map(|(y, p)| (y, f64::from(p) / 40.0)).unzip())
    }

    fn loss(map: &Calibrator, y: &[bool], p: &[f64]) -> f64 {
        let mapped: Vec<f64> = p.iter().map(|&p| map.apply(p)).collect();
        Forecast::new(y, &mapped).unwrap().log_loss()
    }

    proptest! {
        #[test]
        fn temperature_and_rising_platt_keep_ranks((y, p) in table(), slope in 0.1f64..3.0, intercept in -2.0f64..2.0) {
            let base = Ranked::new(&y, &p).unwrap().twice_concordant();
            for map in [Calibrator::fit_temperature(&Forecast::new(&y, &p).unwrap()), Calibrator::Platt { slope, intercept }] {
                // A very sharp map rounds different scores to the same one.
                let sharp = matches!(map, Calibrator::Temperature { temperature } if temperature < 0.4);
                let mapped: Vec<f64> = p.iter().map(|&p| map.apply(p)).collect();
                prop_assert!(sharp || Ranked::new(&y, &mapped).unwrap().twice_concordant() == base);
            }
        }

        #[test]
        fn fits_are_minima((y, p) in table()) {
            let forecast = Forecast::new(&y, &p).unwrap();
            let fitted = Calibrator::fit_temperature(&forecast);
            let Calibrator::Temperature { temperature } = fitted else { unreachable!() };
            let at = |t: f64| loss(&Calibrator::Temperature { temperature: t }, &y, &p);
            prop_assert!((-WIDEST).exp() * 0.999 < temperature && temperature < WIDEST.exp() * 1.001);
            for factor in [0.99, 1.01] {
                let t = (temperature * factor).clamp((-WIDEST).exp(), WIDEST.exp());
                prop_assert!(at(temperature) <= at(t) + 1e-9);
            }
            if let Ok(platt) = Calibrator::fit_platt(&forecast) {
                let Calibrator::Platt { slope, intercept } = platt else { unreachable!() };
                for (a, b) in [(0.01, 0.0), (-0.01, 0.0), (0.0, 0.01), (0.0, -0.01)] {
                    let other = Calibrator::Platt { slope: slope + a, intercept: intercept + b };
                    prop_assert!(loss(&platt, &y, &p) <= loss(&other, &y, &p) + 1e-12);
                }
            }
        }

        #[test]
        fn isotonic_rises_and_keeps_the_mean((y, p) in table()) {
            let map = Calibrator::fit_isotonic(&Ranked::new(&y, &p).unwrap());
            map.check().unwrap();
            let mapped: Vec<f64> = p.iter().map(|&p| map.apply(p)).collect();
            let positives = y.iter().filter(|&&y| y).count() as f64;
            prop_assert!((mapped.iter().sum::<f64>() - positives).abs() < 1e-9);
            let mut pairs: Vec<(f64, f64)> = p.into_iter().zip(mapped).collect();
            pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
            prop_assert!(pairs.windows(2).all(|w| w[0].1 <= w[1].1 + 1e-15));
        }
    }

    #[test]
    fn isotonic_stays_within_its_knots() {
        let (y, p) = ([true, false, false, true, false], [18.0, 34.0, 18.0, 38.0, 0.0].map(|v: f64| v / 40.0));
        let map = Calibrator::fit_isotonic(&Ranked::new(&y, &p).unwrap());
        assert!(p.iter().all(|&p| map.apply(p) <= 1.0), "{map:?}");
    }

    #[test]
    fn no_finite_fit_is_told() {
        let fit = |y: &[bool], p: &[f64]| Calibrator::fit_platt(&Forecast::new(y, p).unwrap());
        for (y, p) in [([true, false], [0.9, 0.1]), ([true, true], [0.9, 0.1]), ([true, false], [0.5, 0.5])] {
            assert!(fit(&y, &p).unwrap_err().to_string().contains("no finite fit"));
        }
    }

    #[test]
    fn written_and_read_again() {
        let platt = Calibrator::Platt { slope: 0.78, intercept: -0.25 };
        let text = serde_json::to_string(&platt).unwrap();
        assert_eq!(text, r#"{"method":"platt","slope":0.78,"intercept":-0.25}"#);
        assert_eq!(serde_json::from_str::<Calibrator>(&text).unwrap(), platt);
        assert!(serde_json::from_str::<Calibrator>(r#"{"method":"temperature","temperature":1,"slope":2}"#).is_err());
    }

    #[test]
    fn damaged_parameters_are_told() {
        for bad in [
            Calibrator::Temperature { temperature: 0.0 },
            Calibrator::Platt { slope: f64::NAN, intercept: 0.0 },
            Calibrator::Isotonic { x: vec![], y: vec![] },
            Calibrator::Isotonic { x: vec![0.5, 0.5], y: vec![0.1, 0.2] },
            Calibrator::Isotonic { x: vec![0.1, 0.5], y: vec![0.3, 0.2] },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
