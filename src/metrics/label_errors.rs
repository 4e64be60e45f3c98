//! Which labels look wrong: confident learning (Northcutt, Jiang & Chuang 2021), one label at a time. For triage
//! only: dropping or changing labels before scoring would flatter the model.

use serde::Serialize;

use super::calibration::Forecast;

/// cleanlab's tolerance on its thresholds.
const TOLERANCE: f64 = 1e-6;

/// What confident learning says of one label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelErrors {
    /// Mean probability of negative over the rows labelled so: from there a row is confidently negative.
    pub negative_threshold: f64,
    /// Mean probability of positive over the rows labelled so.
    pub positive_threshold: f64,
    /// Confident rows as \[label\]\[confident class\], negative first.
    pub joint: [[usize; 2]; 2],
    /// The rows off its diagonal, the least probable label first.
    pub suspects: Vec<Suspect>,
}

/// A row whose label looks wrong.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Suspect {
    /// Row, from 0.
    pub row: usize,
    /// Its label.
    pub label: bool,
    /// The probability that the model gives that label.
    pub self_confidence: f64,
}

/// Finds rows that are confidently of the other class: its probability reaches the mean that rows labelled so have
/// (equal to cleanlab's `compute_confident_joint` without calibration; a row confident of both goes to the more
/// probable one). `None` with one class only.
pub fn label_errors(forecast: &Forecast) -> Option<LabelErrors> {
    let rows = || forecast.y().iter().copied().zip(forecast.p().iter().copied());
    let mean = |class: bool| {
        let n = rows().filter(|r| r.0 == class).count();
        let sum: f64 = rows().filter(|r| r.0 == class).map(|r| confidence(class, r.1)).sum();
        (n > 0).then(|| sum / n as f64)
    };
    let (negative_threshold, positive_threshold) = mean(false).zip(mean(true))?;
    let mut joint = [[0; 2]; 2];
    let mut suspects = Vec::new();
    for (row, (label, p)) in rows().enumerate() {
        let negative = 1.0 - p >= negative_threshold - TOLERANCE;
        let positive = p >= positive_threshold - TOLERANCE;
        let class = match (negative, positive) {
            (false, false) => continue,
            (true, true) => p > 0.5,
            (_, positive) => positive,
        };
        joint[usize::from(label)][usize::from(class)] += 1;
        if class != label {
            suspects.push(Suspect { row, label, self_confidence: confidence(label, p) });
        }
    }
    suspects.sort_by(|a, b| a.self_confidence.total_cmp(&b.self_confidence));
    Some(LabelErrors { negative_threshold, positive_threshold, joint, suspects })
}

fn confidence(class: bool, p: f64) -> f64 {
    if class { p } else { 1.0 - p }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swapped_pair_is_found() {
        let y = [true, true, true, false, false, false, false, true];
        let p = [0.9, 0.8, 0.1, 0.1, 0.2, 0.95, 0.15, 0.5];
        let found = label_errors(&Forecast::new(&y, &p).unwrap()).unwrap();
        let rows: Vec<usize> = found.suspects.iter().map(|s| s.row).collect();
        assert_eq!(rows, [5, 2]);
        assert_eq!(found.joint, [[3, 1], [1, 2]]);
        assert!(label_errors(&Forecast::new(&[true], &[0.3]).unwrap()).is_none());
    }
}
