//! The normal distribution, intervals for proportions, and Holm's adjustment.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use serde::{Deserialize, Serialize};

/// Confidence of every interval that says nothing else.
pub const LEVEL: f64 = 0.95;

/// A value with its standard error and interval; `None` where they are undefined.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The point estimate.
    pub value: f64,
    /// Its standard error.
    pub se: Option<f64>,
    /// Lower end of the interval.
    pub ci_low: Option<f64>,
    /// Upper end of the interval.
    pub ci_high: Option<f64>,
}

/// Error function, to a few units in the last place: the all-positive series (Abramowitz & Stegun 7.1.6) below 1,
/// the continued fraction of [`erfc`] above.
pub fn erf(x: f64) -> f64 {
    if x.abs() < 1.0 { erf_series(x) } else { (1.0 - erfc(x.abs())).copysign(x) }
}

/// Complementary error function, accurate in the tail too: Laplace's continued fraction (Abramowitz & Stegun
/// 7.1.14) from 1 on, which 30 + 250/x^2 terms take to full precision.
pub fn erfc(x: f64) -> f64 {
    if x < 1.0 {
        return if x <= -1.0 { 2.0 - erfc(-x) } else { 1.0 - erf_series(x) };
    }
    let terms = 30 + (250.0 / (x * x)) as u32;
    let fraction = (1..=terms).rev().fold(x, |f, k| x + 0.5 * f64::from(k) / f);
    libm::exp(-x * x) / (fraction * PI.sqrt())
}

fn erf_series(x: f64) -> f64 {
    let (mut term, mut sum, mut k) = (x, x, 1.0);
    while term.abs() > 1e-18 * sum.abs() {
        term *= 2.0 * x * x / (2.0 * k + 1.0);
        sum += term;
        k += 1.0;
    }
    2.0 / PI.sqrt() * libm::exp(-x * x) * sum
}

/// P(Z <= z) of the standard normal distribution.
pub fn normal_cdf(z: f64) -> f64 {
    0.5 * erfc(-z * FRAC_1_SQRT_2)
}

/// The z with P(Z <= z) = `p`; infinite at 0 and 1, NaN outside. Abramowitz & Stegun 26.2.23 (error < 4.5e-4), then
/// Halley's steps on [`erfc`] to full precision.
pub fn normal_quantile(p: f64) -> f64 {
    if p > 0.5 {
        return -normal_quantile(1.0 - p);
    }
    if p <= 0.0 || p.is_nan() {
        return if p == 0.0 { f64::NEG_INFINITY } else { f64::NAN };
    }
    let t = (-2.0 * libm::log(p)).sqrt();
    let mut z = (2.515517 + t * (0.802853 + t * 0.010328)) / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308))) - t;
    for _ in 0..3 {
        let u = (normal_cdf(z) - p) * (2.0 * PI).sqrt() * libm::exp(0.5 * z * z);
        z -= u / (1.0 + 0.5 * z * u);
    }
    z
}

/// The z of a two-sided interval: 1.96 for 0.95.
pub fn two_sided_z(level: f64) -> f64 {
    normal_quantile(0.5 + 0.5 * level)
}

/// Two-sided p-value of a standard normal z.
pub fn two_sided_p(z: f64) -> f64 {
    erfc(z.abs() * FRAC_1_SQRT_2).min(1.0)
}

/// Wilson's score interval (1927) for `successes` of `n`, both of which may be fractions (effective counts); `None`
/// when `n` is 0. Within [0, 1].
pub fn wilson(successes: f64, n: f64, level: f64) -> Option<(f64, f64)> {
    if n <= 0.0 {
        return None;
    }
    let z2 = two_sided_z(level).powi(2);
    let p = successes / n;
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = (z2 * (p * (1.0 - p) / n + z2 / (4.0 * n * n))).sqrt() / (1.0 + z2 / n);
    // At 0 and n the end is exact; rounding must not move it.
    let low = if successes <= 0.0 { 0.0 } else { (centre - half).max(0.0) };
    let high = if successes >= n { 1.0 } else { (centre + half).min(1.0) };
    Some((low, high))
}

/// Interval for a proportion of rows that come in clusters (images of patients): Wilson's on the effective sample
/// size n / deff, with the design effect of the linearised ratio estimator (Rao & Scott 1992, Biometrics 48:577),
/// never below 1. Where every row agrees the data cannot show the design effect, and clusters are counted instead
/// of rows, the widest choice.
///
/// `clusters` gives (successes, rows) of each cluster; those without rows are skipped. `None` without rows.
pub fn clustered_wilson(clusters: impl Iterator<Item = (f64, f64)> + Clone, level: f64) -> Option<(f64, f64)> {
    let (mut successes, mut n, mut k) = (0.0, 0.0, 0.0);
    for (s, rows) in clusters.clone().filter(|c| c.1 > 0.0) {
        (successes, n, k) = (successes + s, n + rows, k + 1.0);
    }
    let p = successes / n;
    let simple = p * (1.0 - p) / n;
    let effective = if k < 2.0 || simple <= 0.0 {
        k
    } else {
        let squares: f64 = clusters.map(|(s, rows)| (s - p * rows).powi(2)).sum();
        let design_effect = k / (k - 1.0) * squares / (n * n) / simple;
        n / design_effect.max(1.0)
    };
    wilson(p * effective, effective, level)
}

/// Holm's (1979) adjusted p-values, in the order given: each at least as large as the raw one, at most 1.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut floor: f64 = 0.0;
    for (rank, &i) in order.iter().enumerate() {
        floor = floor.max(p_values[i] * (p_values.len() - rank) as f64).min(1.0);
        adjusted[i] = floor;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(a: f64, b: f64, relative: f64) {
        assert!((a - b).abs() <= relative * b.abs(), "{a} against {b}");
    }

    // Reference values: SciPy.
    #[test]
    fn error_function_and_normal() {
        for (x, want) in
            [(0.1, 0.112_462_916_018_284_89), (0.99, 0.838_508_069_555_369_8), (2.5, 0.999_593_047_982_555)]
        {
            close(erf(x), want, 1e-15);
            close(erf(-x), -want, 1e-15);
        }
        for (x, want) in
            [(1.0, 0.157_299_207_050_285_13), (3.0, 2.209_049_699_858_544e-5), (10.0, 2.088_487_583_762_545e-45)]
        {
            close(erfc(x), want, 4e-15);
        }
        for (p, want) in [
            (0.975, 1.959_963_984_540_054),
            (0.95, 1.644_853_626_951_472_7),
            (1e-10, -6.361_340_902_404_056),
            (0.5, 0.0),
        ] {
            assert!((normal_quantile(p) - want).abs() < 2e-15 * f64::max(1.0, want.abs()), "{p}");
        }
        assert_eq!(normal_quantile(1.0), f64::INFINITY);
        assert!(normal_quantile(1.5).is_nan() && normal_quantile(f64::NAN).is_nan());
    }

    // Reference values: SciPy (Wilson); Holm by hand.
    #[test]
    fn wilson_and_holm() {
        let (low, high) = wilson(8.0, 10.0, 0.95).unwrap();
        close(low, 0.490_162_471_536_642, 1e-9);
        close(high, 0.943_317_848_545_625_6, 1e-9);
        assert_eq!(wilson(0.0, 10.0, 0.95).unwrap().0, 0.0);
        assert_eq!(wilson(10.0, 10.0, 0.95).unwrap().1, 1.0);
        assert_eq!(wilson(0.0, 0.0, 0.95), None);
        assert_eq!(holm(&[0.01, 0.04, 0.03, 0.5]), [0.04, 0.09, 0.09, 0.5]);
        assert_eq!(holm(&[]), [0.0; 0]);
    }

    #[test]
    fn clusters_widen() {
        let single = std::iter::repeat_n((1.0, 1.0), 30).chain(std::iter::repeat_n((0.0, 1.0), 10));
        let rows = wilson(30.0, 40.0, 0.95).unwrap();
        let (low, high) = clustered_wilson(single, 0.95).unwrap();
        // K/(K-1) is all that differs with one row a cluster.
        assert!((low - rows.0).abs() < 5e-3 && (high - rows.1).abs() < 5e-3);
        let fours = std::iter::repeat_n((4.0, 4.0), 30).chain(std::iter::repeat_n((0.0, 4.0), 10));
        let wide = clustered_wilson(fours, 0.95).unwrap();
        close(wide.0, low, 1e-12);
        close(wide.1, high, 1e-12);
        assert_eq!(clustered_wilson(std::iter::repeat_n((2.0, 2.0), 5), 0.95), wilson(5.0, 5.0, 0.95));
        assert_eq!(clustered_wilson(std::iter::empty(), 0.95), None);
    }

    proptest! {
        #[test]
        fn quantile_inverts_cdf(z in -8.0f64..5.0) {
            let back = normal_quantile(normal_cdf(z));
            prop_assert!((back - z).abs() < 1e-9, "{} {}", z, back);
        }
    }
}
