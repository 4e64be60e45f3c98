//! Do maps lie where the finding is? Pointing game (Zhang et al. 2018), overlap and energy, with intervals over patients.

use std::collections::BTreeMap;

use serde::Serialize;

use super::map::Map;
use crate::metrics::bootstrap::percentile;
use crate::rng::Rng;

/// Shares of the highest value at which a map is cut for its overlap.
const CUTS: usize = 19;
/// Standard deviation of the baseline that looks at the middle, as a share of the side.
const CENTRE: f32 = 0.25;

/// How one map lies over one finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    /// Whether its highest place is in the finding. A map on which nothing speaks for the label misses.
    pub hit: bool,
    /// Share of its positive part that is in the finding.
    pub energy: f64,
    /// Intersection over union of the finding and what is above each cut.
    pub overlaps: [f64; CUTS],
}

/// A finding with a map and the baseline's.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The finding's name.
    pub label: String,
    /// Whose picture it is.
    pub patient: String,
    /// Of the model's map.
    pub map: Placement,
    /// Of a map that is highest in the middle of the picture, whatever the picture.
    pub centre: Placement,
}

/// A mean over cases and its 95% interval over patients.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Mean {
    /// The mean.
    pub value: f64,
    /// Lower end; `None` with fewer than two patients.
    pub ci_low: Option<f64>,
    /// Upper end.
    pub ci_high: Option<f64>,
}

/// A measure of the maps, of the baseline, and the difference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Compared {
    /// Of the maps.
    pub map: Mean,
    /// Of the baseline that looks at the middle.
    pub centre: Mean,
    /// The maps' less the baseline's, patient by patient.
    pub difference: Mean,
}

/// How well the maps of a label lie.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Localization {
    /// The label; `all` for all together.
    pub label: String,
    /// Findings.
    pub n: usize,
    /// Patients.
    pub n_patients: usize,
    /// Share of maps whose highest place is in the finding.
    pub pointing_game: Compared,
    /// Share of the map that is in the finding.
    pub energy: Compared,
    /// Intersection over union at a cut that was chosen on other patients.
    pub iou: Compared,
    /// These cuts, as shares of the highest value: of the even and of the odd patients.
    pub cuts: [f64; 2],
}

/// How the patient bootstrap is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Draws {
    /// Replicates.
    pub replicates: usize,
    /// Decides all of them.
    pub seed: u64,
}

impl Placement {
    /// Of a map over the pixels of a picture, and a finding of some of them.
    pub fn of(map: &Map, finding: &[bool]) -> Self {
        let highest = map.highest();
        let cut = |i: usize| (i + 1) as f32 / (CUTS + 1) as f32 * highest;
        let (mut inside, mut total, mut hit, mut found) = (0f64, 0f64, false, false);
        // Pixels above each cut, and those of them in the finding.
        let (mut above, mut both) = ([0usize; CUTS], [0usize; CUTS]);
        let area = finding.iter().filter(|f| **f).count();
        for (value, finding) in map.values.iter().zip(finding).filter(|(v, _)| **v > 0.0) {
            total += f64::from(*value);
            inside += if *finding { f64::from(*value) } else { 0.0 };
            if *value == highest && !found {
                (hit, found) = (*finding, true);
            }
            for i in (0..CUTS).take_while(|i| *value >= cut(*i)) {
                above[i] += 1;
                both[i] += usize::from(*finding);
            }
        }
        let overlap = |i: usize| both[i] as f64 / (above[i] + area - both[i]).max(1) as f64;
        Self { hit, energy: if total > 0.0 { inside / total } else { 0.0 }, overlaps: std::array::from_fn(overlap) }
    }
}

/// The map of the baseline: a bell in the middle of `width` x `height` pixels.
pub fn centre(width: usize, height: usize) -> Map {
    let off = |i: usize, n: usize| ((i as f32 + 0.5) / n as f32 - 0.5) / CENTRE;
    let bell = |x: usize, y: usize| (-0.5 * (off(x, width).powi(2) + off(y, height).powi(2))).exp();
    let values = (0..height).flat_map(|y| (0..width).map(move |x| bell(x, y))).collect();
    Map { width, height, values }
}

/// What the cases come to, label by label in the order of `labels`, and all together at the end. Labels without cases are
/// left out.
pub fn summarize(cases: &[Case], labels: &[String], draws: Draws) -> Vec<Localization> {
    let of = |label: &String| {
        let cases: Vec<_> = cases.iter().filter(|c| c.label == *label).collect();
        (!cases.is_empty()).then(|| summary(label, &cases, draws))
    };
    let mut found: Vec<_> = labels.iter().filter_map(of).collect();
    if found.len() > 1 {
        found.push(summary("all", &cases.iter().collect::<Vec<_>>(), draws));
    }
    found
}

fn summary(label: &str, cases: &[&Case], draws: Draws) -> Localization {
    let mut numbers = BTreeMap::new();
    for case in cases {
        let next = numbers.len();
        numbers.entry(case.patient.as_str()).or_insert(next);
    }
    let patients: Vec<usize> = cases.iter().map(|c| numbers[c.patient.as_str()]).collect();
    let compared = |measure: &dyn Fn(&Placement, usize) -> f64| {
        let of = |pick: fn(&Case) -> &Placement| -> Vec<f64> {
            cases.iter().zip(&patients).map(|(case, patient)| measure(pick(case), *patient)).collect()
        };
        let (map, centre) = (of(|c| &c.map), of(|c| &c.centre));
        let difference: Vec<f64> = map.iter().zip(&centre).map(|(a, b)| a - b).collect();
        let mean = |values: &[f64]| mean(values, &patients, numbers.len(), draws);
        Compared { map: mean(&map), centre: mean(&centre), difference: mean(&difference) }
    };
    // The cut that serves the even patients is the best one of the odd, and the other way round.
    let best = |pick: fn(&Case) -> &Placement, parity: usize| {
        let total = |i: usize| {
            let other = cases.iter().zip(&patients).filter(|(_, patient)| *patient % 2 != parity);
            other.map(|(case, _)| pick(case).overlaps[i]).sum::<f64>()
        };
        (0..CUTS).fold(0, |best, i| if total(i) > total(best) { i } else { best })
    };
    let map_cuts = [0, 1].map(|parity| best(|c| &c.map, parity));
    let centre_cuts = [0, 1].map(|parity| best(|c| &c.centre, parity));
    let mut iou = compared(&|p, patient| p.overlaps[map_cuts[patient % 2]]);
    let other = compared(&|p, patient| p.overlaps[centre_cuts[patient % 2]]);
    let both =
        |c: &&Case, patient: usize| c.map.overlaps[map_cuts[patient % 2]] - c.centre.overlaps[centre_cuts[patient % 2]];
    let difference: Vec<f64> = cases.iter().zip(&patients).map(|(c, patient)| both(c, *patient)).collect();
    iou.centre = other.centre;
    iou.difference = mean(&difference, &patients, numbers.len(), draws);
    Localization {
        label: label.to_owned(),
        n: cases.len(),
        n_patients: numbers.len(),
        pointing_game: compared(&|p, _| f64::from(u8::from(p.hit))),
        energy: compared(&|p, _| p.energy),
        iou,
        cuts: map_cuts.map(|i| (i + 1) as f64 / (CUTS + 1) as f64),
    }
}

/// The mean of values and its percentile interval over draws of patients.
fn mean(values: &[f64], patients: &[usize], count: usize, draws: Draws) -> Mean {
    let (mut sums, mut sizes) = (vec![0.0; count], vec![0.0; count]);
    for (value, patient) in values.iter().zip(patients) {
        sums[*patient] += value;
        sizes[*patient] += 1.0;
    }
    let replicate = |replicate: usize| {
        let mut rng = Rng::new(draws.seed, replicate as u64);
        let (mut sum, mut size) = (0.0, 0.0);
        for _ in 0..count {
            let drawn = rng.below(count as u32) as usize;
            sum += sums[drawn];
            size += sizes[drawn];
        }
        sum / size
    };
    let means: Vec<f64> = if count > 1 { (0..draws.replicates).map(replicate).collect() } else { Vec::new() };
    let interval = percentile(&means, 0.95);
    let value = values.iter().sum::<f64>() / values.len() as f64;
    Mean { value, ci_low: interval.map(|i| i.low), ci_high: interval.map(|i| i.high) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(values: &[f32]) -> Map {
        Map { width: values.len(), height: 1, values: values.to_vec() }
    }

    #[test]
    fn by_hand() {
        let found = Placement::of(&map(&[-3.0, 1.0, 4.0, 0.0]), &[true, false, true, false]);
        assert!(found.hit);
        assert_eq!(found.energy, 0.8);
        // Up to a quarter of 4 both positive places are above the cut, then only the third.
        assert_eq!((found.overlaps[4], found.overlaps[5]), (1.0 / 3.0, 0.5));
        let empty = Placement::of(&map(&[0.0, -1.0]), &[true, true]);
        assert_eq!((empty.hit, empty.energy, empty.overlaps), (false, 0.0, [0.0; CUTS]));
        let middle = centre(3, 3);
        assert_eq!(middle.values.iter().position(|v| *v == middle.highest()), Some(4));
    }

    #[test]
    fn intervals_are_over_patients() {
        let place = |hit| Placement { hit, energy: f64::from(u8::from(hit)), overlaps: [0.5; CUTS] };
        let case = |i: usize, hit| Case {
            label: "Mass".into(),
            patient: format!("P{}", i / 4),
            map: place(hit),
            centre: place(false),
        };
        // Four patients of four images each; two are hit always and two never.
        let cases: Vec<_> = (0..16).map(|i| case(i, i / 4 % 2 == 0)).collect();
        let found = &summarize(&cases, &["Other".into(), "Mass".into()], Draws { replicates: 500, seed: 1 })[..];
        let [found] = found else { panic!("one label has cases") };
        let game = found.pointing_game;
        assert_eq!((found.n, found.n_patients, game.map.value, game.difference.value), (16, 4, 0.5, 0.5));
        assert_eq!((game.map.ci_low, game.map.ci_high), (Some(0.0), Some(1.0)));
        assert_eq!(found.iou.difference.value, 0.0);
    }
}
