//! A quick search for whole numbers that fit an integer programme, in floating point: it proves nothing, but finds fast
//! what exact branching may take long for.

use crate::rng::Rng;

/// Moves of every two variables are tried: with more of them it would take too long.
const MOST_MOVED: usize = 60;

/// Starts of the search.
const RESTARTS: usize = 150;

/// How far a variable moves at most.
const REACH: i32 = 4;

/// A row of the programme, in floating point.
pub(super) struct FloatRow {
    coefficients: Vec<f64>,
    low: f64,
    high: f64,
    /// The greatest coefficient, by which what is off is measured.
    size: f64,
}

impl FloatRow {
    /// The sum of `coefficients` times the variables lies in `low` to `high`.
    pub fn new(coefficients: Vec<f64>, low: f64, high: f64) -> Self {
        let size = coefficients.iter().fold(f64::MIN_POSITIVE, |m, c| m.max(c.abs()));
        Self { coefficients, low, high, size }
    }

    fn off(&self, sum: f64) -> f64 {
        (self.low - sum).max(sum - self.high).max(0.0) / self.size
    }
}

/// Whole numbers in `0..=high` near `start` that `fits` accepts. From several starts the best move of two variables is
/// made until none makes what is off less.
pub(super) fn near(rows: &[FloatRow], high: &[f64], start: &[f64], fits: impl Fn(&[u64]) -> bool) -> Option<Vec<u64>> {
    if high.len() > MOST_MOVED {
        return None;
    }
    let mut rng = Rng::new(0, 0);
    for _ in 0..RESTARTS {
        let mut jitter = || f64::from(rng.below(5)) - 2.0;
        let mut x: Vec<f64> = start.iter().zip(high).map(|(s, h)| (s + jitter()).clamp(0.0, *h)).collect();
        descend(rows, high, &mut x);
        let whole: Vec<u64> = x.iter().map(|&x| x as u64).collect();
        if fits(&whole) {
            return Some(whole);
        }
    }
    None
}

fn descend(rows: &[FloatRow], high: &[f64], x: &mut [f64]) {
    let sum = |row: &FloatRow, x: &[f64]| -> f64 { row.coefficients.iter().zip(x).map(|(c, x)| c * x).sum() };
    let mut sums: Vec<f64> = rows.iter().map(|row| sum(row, x)).collect();
    let mut best: f64 = rows.iter().zip(&sums).map(|(row, sum)| row.off(*sum)).sum();
    let moves = || (-REACH..=REACH).map(f64::from);
    loop {
        let mut step = None;
        for i in 0..x.len() {
            for a in moves().filter(|a| (0.0..=high[i]).contains(&(x[i] + a))) {
                for j in i + 1..x.len() {
                    for b in moves().filter(|b| (0.0..=high[j]).contains(&(x[j] + b))) {
                        let moved = |(row, sum): (&FloatRow, &f64)| {
                            row.off(sum + a * row.coefficients[i] + b * row.coefficients[j])
                        };
                        let off: f64 = rows.iter().zip(&sums).map(moved).sum();
                        if off < best {
                            (best, step) = (off, Some((i, a, j, b)));
                        }
                    }
                }
            }
        }
        let Some((i, a, j, b)) = step else { return };
        x[i] += a;
        x[j] += b;
        sums = rows.iter().map(|row| sum(row, x)).collect();
    }
}
