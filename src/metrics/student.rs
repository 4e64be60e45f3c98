//! Student's t distribution with any real degrees of freedom.

use std::f64::consts::PI;

use super::confidence::two_sided_z;

/// The t with P(|T| <= t) = `level` at `df` degrees of freedom (1 at least): 2.228 for 0.95 and 10. By bisection on
/// [`two_sided_tail`]; above 1e6 degrees of freedom the normal's.
pub fn two_sided_t(level: f64, df: f64) -> f64 {
    let df = df.max(1.0);
    let z = two_sided_z(level);
    // Not below the normal's, and infinite where that is.
    if df > 1e6 || !z.is_finite() || z <= 0.0 {
        return z;
    }
    let (mut low, mut high) = (z, 2.0 * z);
    while two_sided_tail(high, df) > 1.0 - level {
        (low, high) = (high, 2.0 * high);
    }
    while high - low > 1e-14 * high {
        let middle = 0.5 * (low + high);
        *(if two_sided_tail(middle, df) > 1.0 - level { &mut low } else { &mut high }) = middle;
    }
    0.5 * (low + high)
}

/// P(|T| > t) at `df` degrees of freedom: the incomplete beta function I_x(df/2, 1/2) at x = df / (df + t^2).
pub fn two_sided_tail(t: f64, df: f64) -> f64 {
    let x = df / (df + t * t);
    let (a, b) = (0.5 * df, 0.5);
    let front = libm::exp(a * libm::log(x) + b * libm::log(1.0 - x) - ln_beta_half(a));
    // The continued fraction converges fast on one side only.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(x, a, b) / a
    } else {
        1.0 - front * beta_fraction(1.0 - x, b, a) / b
    }
}

/// The continued fraction of the incomplete beta function (Abramowitz & Stegun 26.5.8) by Lentz's method.
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |v: f64| if v.abs() < TINY { TINY } else { v };
    let (mut c, mut d) = (1.0, 1.0 / away(1.0 - (a + b) * x / (a + 1.0)));
    let mut value = d;
    for m in 1..500 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = value;
        for term in [even, odd] {
            d = 1.0 / away(1.0 + term * d);
            c = away(1.0 + term / c);
            value *= c * d;
        }
        if (value - before).abs() <= 1e-16 * value.abs() {
            break;
        }
    }
    value
}

/// ln B(a, 1/2) = ln Gamma(a) + ln Gamma(1/2) - ln Gamma(a + 1/2).
fn ln_beta_half(a: f64) -> f64 {
    0.5 * libm::log(PI) + ln_gamma(a) - ln_gamma(a + 0.5)
}

/// ln Gamma(x) for x > 0: Stirling's series (Abramowitz & Stegun 6.1.41) from 15 on, reached by Gamma(x + 1) = x Gamma(x).
fn ln_gamma(mut x: f64) -> f64 {
    let mut product = 1.0;
    while x < 15.0 {
        product *= x;
        x += 1.0;
    }
    let y = 1.0 / (x * x);
    let series = (1.0 / 12.0 - y * (1.0 / 360.0 - y * (1.0 / 1260.0 - y * (1.0 / 1680.0 - y / 1188.0)))) / x;
    (x - 0.5) * libm::log(x) - x + 0.5 * libm::log(2.0 * PI) + series - libm::log(product)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Reference values: SciPy's t.ppf(0.975, df) and 2 * t.sf(t, df).
    #[test]
    fn reference_values() {
        for (df, want) in [
            (1.0, 12.706_204_736_174_694),
            (2.5, 3.574_654_842_003_681_7),
            (10.0, 2.228_138_851_986_274),
            (49.3, 2.009_265_966_149_752_7),
            (5000.0, 1.960_438_551_706_507_3),
        ] {
            let t = two_sided_t(0.95, df);
            assert!((t / want - 1.0).abs() < 1e-11, "{df}: {t}");
        }
        assert!((two_sided_t(0.95, 2e6) - 1.959_963_984_540_054).abs() < 1e-12);
        assert_eq!(two_sided_t(1.0, 5.0), f64::INFINITY);
    }
}
