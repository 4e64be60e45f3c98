//! What is unlikely rather than impossible: intervals too narrow for the rows, and differences within sampling noise.
//! Floating point is good enough here: nothing of it makes a table inconsistent.

use super::counts::Sizes;

/// Hanley & McNeil's (1982, Radiology 143:29) standard error of an AUROC, from its value and the class sizes alone.
pub fn hanley_mcneil(auroc: f64, sizes: Sizes) -> f64 {
    let (m, n) = (sizes.pos as f64, sizes.neg as f64);
    let (q1, q2, square) = (auroc / (2.0 - auroc), 2.0 * auroc * auroc / (1.0 + auroc), auroc * auroc);
    let variance = (auroc * (1.0 - auroc) + (m - 1.0) * (q1 - square) + (n - 1.0) * (q2 - square)) / (m * n);
    variance.max(0.0).sqrt()
}

/// The least standard error over all class sizes of `n` rows: that of equal classes.
pub fn least_hanley_mcneil(auroc: f64, n: u64) -> f64 {
    hanley_mcneil(auroc, Sizes { pos: n / 2, neg: n - n / 2 })
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of the paper: AUROC 0.893 on 51 and 58 cases, standard error 0.0325 (0.032 in print).
    #[test]
    fn the_papers_example() {
        let se = hanley_mcneil(0.893, Sizes { pos: 51, neg: 58 });
        assert!((se - 0.0325).abs() < 5e-5, "{se}");
        assert!(least_hanley_mcneil(0.893, 109) <= se);
    }
}
