//! One slice of the rows against the rest.

use serde::Serialize;

use super::auroc::{Auroc, FEW, Placements, wald_interval};
use super::confidence::{Estimate, LEVEL};
use super::roc::{Ranked, check_lengths};
use crate::error::{Error, Result};

/// A slice's AUROC and how far it lies from the rest's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Subgroup {
    /// Rows.
    pub n: usize,
    /// Positive rows.
    pub n_pos: usize,
    /// Patients, where known.
    pub n_patients: Option<usize>,
    /// `None` with one class only.
    pub auroc: Option<Auroc>,
    /// The slice's AUROC less that of all other rows, with Wald's 95% interval; `None` where either has one class.
    pub gap: Option<Estimate>,
    /// Why nothing firm can be said, where it cannot.
    pub warning: Option<String>,
}

/// Evaluates the rows for which `inside` is true against the others. `patients` holds each row's patient number; a
/// patient may have rows on both sides (views), and the gap's variance knows it. Errors where lengths differ, scores
/// are not finite, or no row is inside.
pub fn subgroup(y: &[bool], scores: &[f64], patients: Option<&[u32]>, inside: &[bool]) -> Result<Subgroup> {
    check_lengths(y.len(), scores.len())?;
    if inside.len() != y.len() || patients.is_some_and(|p| p.len() != y.len()) {
        return Err(Error::new(format!("{} rows but {} attributes", y.len(), inside.len())));
    }
    // Without patients every row is its own cluster.
    let units: Vec<u32> = patients.map_or_else(|| (0..y.len() as u32).collect(), <[u32]>::to_vec);
    let side = |wanted: bool| {
        let rows: Vec<usize> = (0..y.len()).filter(|&row| inside[row] == wanted).collect();
        let y: Vec<bool> = rows.iter().map(|&row| y[row]).collect();
        let scores: Vec<f64> = rows.iter().map(|&row| scores[row]).collect();
        let ids: Vec<u32> = rows.iter().map(|&row| units[row]).collect();
        let placements = |ranked: &Ranked| match patients {
            Some(_) => Placements::new(ranked, Some(&ids)),
            None => Placements::by_row(ranked, &ids),
        };
        Ranked::new(&y, &scores).map(|ranked| (placements(&ranked), ranked))
    };
    let (own, ranked) = side(true)?;
    let rest = if inside.contains(&false) { side(false)?.0 } else { None };
    let auroc = own.as_ref().map(|p| p.headline());
    let (n, n_pos) = (ranked.n(), ranked.n_pos() as usize);
    let warning = match &auroc {
        None => Some(format!("too small to say anything: {n_pos} of {n} rows are positive")),
        Some(auroc) if n_pos.min(n - n_pos) < FEW => {
            Some(auroc.warning.clone().unwrap_or_else(|| format!("small: {n_pos} of {n} rows are positive")))
        }
        Some(auroc) => auroc.warning.clone(),
    };
    let mut present: Vec<u32> = units.iter().zip(inside).filter(|(_, inside)| **inside).map(|(id, _)| *id).collect();
    present.sort_unstable();
    present.dedup();
    let n_patients = patients.map(|_| present.len());
    Ok(Subgroup { n, n_pos, n_patients, auroc, gap: own.zip(rest).map(|(own, rest)| gap(&own, &rest)), warning })
}

fn gap(own: &Placements, rest: &Placements) -> Estimate {
    let value = own.auroc() - rest.auroc();
    let k = own.clusters().max(rest.clusters()) as f64;
    let shared: f64 = own.influence().iter().zip(rest.influence()).map(|(a, b)| a * b).sum();
    let variance = own.variance().zip(rest.variance()).map(|(a, b)| a + b - 2.0 * k / (k - 1.0) * shared);
    let se = variance.map(|v| v.max(0.0).sqrt());
    let interval = se.filter(|se| *se > 0.0).map(|se| wald_interval(value, se, LEVEL));
    Estimate { value, se, ci_low: interval.map(|i| i.0), ci_high: interval.map(|i| i.1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> (Vec<bool>, Vec<f64>, Vec<bool>) {
        let y: Vec<bool> = (0..400).map(|i| i % 3 == 0).collect();
        let s: Vec<f64> =
            (0..400).map(|i| f64::from(i * 37 % 101) / 101.0 + if i % 3 == 0 { 0.3 } else { 0.0 }).collect();
        (y, s, (0..400).map(|i| i < 200).collect())
    }

    #[test]
    fn independent_sides_add_their_variances() {
        let (y, s, inside) = rows();
        let own = subgroup(&y, &s, None, &inside).unwrap();
        let rest = subgroup(&y, &s, None, &inside.iter().map(|i| !i).collect::<Vec<_>>()).unwrap();
        let se = |s: &Subgroup| s.auroc.as_ref().unwrap().estimate.se.unwrap();
        let gap = own.gap.unwrap();
        assert!((gap.se.unwrap() - se(&own).hypot(se(&rest))).abs() < 1e-12);
        assert!((gap.value + rest.gap.unwrap().value).abs() < 1e-15);
        assert_eq!((own.n, own.n_pos, own.n_patients, own.warning), (200, 67, None, None));
    }

    #[test]
    fn patients_on_both_sides_make_it_smaller() {
        let (y, s, _) = rows();
        // Every row twice, once on each side: the sides are one another's copies.
        let double = |v: Vec<f64>| [v.clone(), v].concat();
        let ids: Vec<u32> = (0..400).chain(0..400).collect();
        let inside: Vec<bool> = (0..800).map(|i| i < 400).collect();
        let both = subgroup(&[y.clone(), y].concat(), &double(s), Some(&ids), &inside).unwrap();
        let gap = both.gap.unwrap();
        assert!(gap.value == 0.0 && gap.se.unwrap() < 0.1 * both.auroc.unwrap().estimate.se.unwrap());
        assert_eq!(both.n_patients, Some(400));
    }

    #[test]
    fn small_slices_are_told() {
        let (y, s, _) = rows();
        let first = |n: usize| subgroup(&y, &s, None, &(0..400).map(|i| i < n).collect::<Vec<_>>());
        assert!(first(1).unwrap().warning.unwrap().contains("too small"));
        assert!(first(30).unwrap().warning.unwrap().contains("10 positive"));
        assert!(first(0).is_err());
        assert_eq!(first(400).unwrap().gap, None);
    }
}
