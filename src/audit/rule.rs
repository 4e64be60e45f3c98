//! The rule that says whether a published number reproduces, from a difference and its standard error.

use serde::{Serialize, Serializer};

use crate::metrics::confidence::{LEVEL, holm, normal_cdf, two_sided_p, two_sided_z};

/// What is said of a published number, in the order in which it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Test list, labels, unit or the claim itself differ or are not known.
    NotComparable,
    /// Same weights, images and labels, and equal to all printed digits.
    Exact,
    /// The difference is beyond the margin whatever the sampling error.
    NotReproduced,
    /// The difference is within the margin whatever the sampling error.
    Within,
    /// No difference is shown, nor that it is small.
    Consistent,
    /// A difference is shown, but not how large.
    Unresolved,
}

impl Verdict {
    /// The rule's words.
    pub fn words(self) -> &'static str {
        match self {
            Self::NotComparable => "NOT COMPARABLE",
            Self::Exact => "REPRODUCED (exact)",
            Self::NotReproduced => "NOT REPRODUCED",
            Self::Within => "REPRODUCED (within delta)",
            Self::Consistent => "CONSISTENT",
            Self::Unresolved => "DIFFERENT, SIZE UNRESOLVED",
        }
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.words())
    }
}

/// A difference (ours less theirs), its standard error and the margin it is judged by, all in the metric's units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// Ours less theirs.
    pub value: f64,
    /// Above 0.
    pub se: f64,
    /// The margin with half the printed step.
    pub delta: f64,
}

/// What is said of one difference among several.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Judgement {
    /// Standard error of the difference.
    pub se: f64,
    /// Its 95% interval.
    pub ci: [f64; 2],
    /// Its 90% interval, that of the two one-sided tests.
    pub ci90: [f64; 2],
    /// Its interval at Holm's level among the differences judged together.
    pub ci_holm: [f64; 2],
    /// Of no difference, after Holm.
    pub p_holm: f64,
    /// Of the two one-sided tests: that the difference is not within the margin.
    pub p_equivalence: f64,
    /// The same after Holm.
    pub p_equivalence_holm: f64,
    /// The smallest margin within which the data show the difference to be (90% interval).
    pub smallest_margin: f64,
    /// The rule's answer where the comparison is fair.
    #[serde(skip)]
    pub verdict: Verdict,
}

/// Judges differences together: the labels of a table, or its mean alone.
pub fn judge(differences: &[Difference]) -> Vec<Judgement> {
    let each = |f: &dyn Fn(&Difference) -> f64| -> Vec<f64> { differences.iter().map(f).collect() };
    // That the difference is beyond the margin: its interval lies outside exactly where this is small.
    let beyond = each(&|d| match d.value.abs() > d.delta {
        true => two_sided_p((d.value.abs() - d.delta) / d.se),
        false => 1.0,
    });
    let beyond_holm = holm(&beyond);
    let differ_holm = holm(&each(&|d| two_sided_p(d.value / d.se)));
    let equivalence = each(&|d| normal_cdf((d.value.abs() - d.delta) / d.se));
    let equivalence_holm = holm(&equivalence);
    let alpha = 1.0 - LEVEL;
    let all_within = equivalence.iter().all(|p| *p < alpha);
    let steps = holm_steps(&beyond, differences);
    let interval = |d: &Difference, level: f64| {
        let half = two_sided_z(level) * d.se;
        [d.value - half, d.value + half]
    };
    differences
        .iter()
        .enumerate()
        .map(|(i, d)| {
            let ci = interval(d, LEVEL);
            let ci90 = interval(d, 1.0 - 2.0 * alpha);
            let within = all_within || equivalence_holm[i] < alpha;
            let verdict = if beyond_holm[i] < alpha {
                Verdict::NotReproduced
            } else if within {
                Verdict::Within
            } else if ci[0] <= 0.0 && 0.0 <= ci[1] {
                Verdict::Consistent
            } else {
                Verdict::Unresolved
            };
            Judgement {
                se: d.se,
                ci,
                ci90,
                ci_holm: interval(d, 1.0 - alpha / steps[i] as f64),
                p_holm: differ_holm[i],
                p_equivalence: equivalence[i],
                p_equivalence_holm: equivalence_holm[i],
                smallest_margin: ci90[0].abs().max(ci90[1].abs()),
                verdict,
            }
        })
        .collect()
}

/// By how much Holm divides the level of each: the number of differences less those that come before it.
fn holm_steps(p_values: &[f64], differences: &[Difference]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    let z = |i: usize| (differences[i].value / differences[i].se).abs();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]).then(z(b).total_cmp(&z(a))));
    let mut steps = vec![0; order.len()];
    order.iter().enumerate().for_each(|(rank, &i)| steps[i] = order.len() - rank);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: f64, se: f64) -> Judgement {
        judge(&[Difference { value, se, delta: 0.03 }])[0]
    }

    #[test]
    fn the_rule_in_its_order() {
        assert_eq!(one(0.08, 0.01).verdict, Verdict::NotReproduced);
        assert_eq!(one(0.01, 0.01).verdict, Verdict::Within);
        assert_eq!(one(-0.01, 0.01).verdict, Verdict::Within);
        assert_eq!(one(0.02, 0.02).verdict, Verdict::Consistent);
        assert_eq!(one(0.04, 0.01).verdict, Verdict::Unresolved);
        // 0.01 + 1.645 * 0.01
        assert!((one(-0.01, 0.01).smallest_margin - 0.026_448_536).abs() < 1e-8);
        assert!(judge(&[]).is_empty());
    }

    #[test]
    fn many_labels_make_it_harder_to_refute() {
        let d = |value| Difference { value, se: 0.01, delta: 0.03 };
        // (0.052 - 0.03) / 0.01 = 2.2: p 0.028, and 0.28 among ten.
        assert_eq!(judge(&[d(0.052)])[0].verdict, Verdict::NotReproduced);
        let ten: Vec<Difference> = std::iter::once(d(0.052)).chain(std::iter::repeat_n(d(0.0), 9)).collect();
        let judged = judge(&ten);
        assert_eq!(judged[0].verdict, Verdict::Unresolved);
        // Not all are within, so that each of the others needs Holm's level; at z 3 they pass it.
        assert!(judged[1..].iter().all(|j| j.verdict == Verdict::Within));
        assert!(judged[0].ci_holm[0] < 0.03 && judged[0].ci_holm[1] > judged[0].ci[1]);
        // All within, each at z 2: no adjustment, where some would need it.
        let d = |value| Difference { value, se: 0.015, delta: 0.03 };
        assert!(judge(&[d(0.0); 10]).iter().all(|j| j.verdict == Verdict::Within));
        let mut some = vec![d(0.0); 9];
        some.push(d(0.04));
        assert!(judge(&some).iter().all(|j| j.verdict != Verdict::Within));
    }
}
