//! One binary test set: which counts give the printed metrics.
//!
//! Every metric here does not fall as true negatives are added while the true positives stay (for MCC: with k called
//! positive and M rows in all, the derivative over false positives has the sign of k (2 TP - P) - TP M <= 0 for
//! TP <= P). So for each number of true positives the fitting true negatives are one run of whole numbers, whose ends
//! are found by bisection: all pairs are enumerated exactly without being visited.

use std::cmp::Ordering;

use super::interval::{Exact, Interval};
use crate::cards::published::{Matrix, Metric};

/// Sizes of the two classes, both at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Positives.
    pub pos: u64,
    /// Negatives.
    pub neg: u64,
}

/// A metric of counts and where its value must lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    kind: Kind,
    within: Interval,
}

/// What is compared: a metric, or a rising function of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sensitivity,
    Specificity,
    Precision,
    Npv,
    Accuracy,
    Balanced,
    F1,
    /// MCC squared, with its sign.
    SignedSquareMcc,
}

/// MCC is compared by its square, which has twice the decimals.
const MCC_PLACES: i128 = 10i128.pow(17);

impl Claim {
    /// The claim that `metric` lies in `within`; `None` for metrics that counts alone do not give.
    pub fn new(metric: Metric, within: Interval) -> Option<Self> {
        let (one, two) = (Exact::from(1), Exact::from(2));
        let (kind, within) = match metric {
            Metric::Sensitivity => (Kind::Sensitivity, within),
            Metric::Specificity => (Kind::Specificity, within),
            Metric::Precision => (Kind::Precision, within),
            Metric::Npv => (Kind::Npv, within),
            Metric::Accuracy => (Kind::Accuracy, within),
            Metric::BalancedAccuracy => (Kind::Balanced, within),
            Metric::F1 => (Kind::F1, within),
            Metric::Fpr => (Kind::Specificity, within.map(-one, one)),
            Metric::Fnr => (Kind::Sensitivity, within.map(-one, one)),
            // J = 2 * balanced accuracy - 1.
            Metric::Youden => (Kind::Balanced, within.map(one / two, one / two)),
            Metric::Mcc if *within.low.denom().max(within.high.denom()) <= 2 * MCC_PLACES => {
                let square = |x: Exact| {
                    // Beyond what MCC can be it does not matter how far.
                    let x = x.clamp(-two, two);
                    if x < Exact::from(0) { -(x * x) } else { x * x }
                };
                (Kind::SignedSquareMcc, within.through(square))
            }
            _ => return None,
        };
        Some(Self { kind, within })
    }

    /// Whether it is about the positives or the negatives alone.
    fn of_one_class(&self) -> bool {
        matches!(self.kind, Kind::Sensitivity | Kind::Specificity)
    }

    fn place(&self, tp: u64, tn: u64, sizes: Sizes) -> Ordering {
        self.within.place(value(self.kind, tp, tn, sizes))
    }
}

/// The value at these counts. What is 0/0 counts as 0, as libraries print it.
fn value(kind: Kind, tp: u64, tn: u64, Sizes { pos, neg }: Sizes) -> Exact {
    let [tp, tn, pos, neg] = [tp, tn, pos, neg].map(i128::from);
    let (numer, denom) = match kind {
        Kind::Sensitivity => (tp, pos),
        Kind::Specificity => (tn, neg),
        Kind::Precision => (tp, tp + neg - tn),
        Kind::Npv => (tn, tn + pos - tp),
        Kind::Accuracy => (tp + tn, pos + neg),
        Kind::Balanced => (tp * neg + tn * pos, 2 * pos * neg),
        Kind::F1 => (2 * tp, tp + neg - tn + pos),
        Kind::SignedSquareMcc => {
            let called = tp + neg - tn;
            let numer = tp * neg - (neg - tn) * pos;
            (numer * numer.abs(), pos * neg * called * (pos + neg - called))
        }
    };
    // Not reduced: comparing needs no common factors removed.
    if denom == 0 { Exact::new_raw(0, 1) } else { Exact::new_raw(numer, denom) }
}

/// Whether a claim holds at a printed matrix.
pub fn fits(claim: &Claim, matrix: Matrix) -> bool {
    let sizes = Sizes { pos: matrix.tp + matrix.fn_, neg: matrix.tn + matrix.fp };
    claim.place(matrix.tp, matrix.tn, sizes) == Ordering::Equal
}

/// The counts that fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Solutions {
    /// How many pairs (TP, TN).
    pub count: u64,
    /// The first of them.
    pub first: Vec<(u64, u64)>,
    /// The range of TP in them.
    pub tp: Option<(u64, u64)>,
    /// The range of TN in them.
    pub tn: Option<(u64, u64)>,
}

/// How many solutions are listed.
pub const LISTED: usize = 5;

/// Every pair (TP, TN) at which all claims hold.
pub fn enumerate(sizes: Sizes, claims: &[Claim]) -> Solutions {
    let mut found = Solutions::default();
    walk(sizes, claims, |tp, tns| {
        found.count += tns.1 - tns.0 + 1;
        let room = LISTED - found.first.len();
        found.first.extend((tns.0..=tns.1).take(room).map(|tn| (tp, tn)));
        found.tp = Some(found.tp.map_or((tp, tp), |(low, _)| (low, tp)));
        found.tn = Some(found.tn.map_or(tns, |(low, high)| (low.min(tns.0), high.max(tns.1))));
        true
    });
    found
}

/// A pair (TP, TN) at which all claims hold, if there is one.
pub fn witness(sizes: Sizes, claims: &[Claim]) -> Option<(u64, u64)> {
    let mut found = None;
    walk(sizes, claims, |tp, tns| {
        found = Some((tp, tns.0));
        false
    });
    found
}

/// Gives every TP that has fitting TN, with their first and last; ends early when `visit` says false.
fn walk(sizes: Sizes, claims: &[Claim], mut visit: impl FnMut(u64, (u64, u64)) -> bool) {
    let of = |kind: Kind| claims.iter().filter(move |c| c.kind == kind);
    let run = |last: u64, kind: Kind, at: &dyn Fn(u64) -> (u64, u64)| {
        of(kind).try_fold((0, last), |range, claim| {
            shrink(range, |x| {
                let (tp, tn) = at(x);
                claim.place(tp, tn, sizes)
            })
        })
    };
    let Some(tps) = run(sizes.pos, Kind::Sensitivity, &|tp| (tp, 0)) else { return };
    let Some(tns) = run(sizes.neg, Kind::Specificity, &|tn| (0, tn)) else { return };
    let both: Vec<&Claim> = claims.iter().filter(|c| !c.of_one_class()).collect();
    for tp in tps.0..=tps.1 {
        let range = both.iter().try_fold(tns, |range, claim| shrink(range, |tn| claim.place(tp, tn, sizes)));
        if let Some(range) = range
            && !visit(tp, range)
        {
            return;
        }
    }
}

/// The part of the range at which `place`, which rises, is `Equal`.
fn shrink(range: (u64, u64), place: impl Fn(u64) -> Ordering) -> Option<(u64, u64)> {
    let first = partition_point(range, |x| place(x) == Ordering::Less);
    if first > range.1 {
        return None;
    }
    let after = partition_point((first, range.1), |x| place(x) != Ordering::Greater);
    (after > first).then(|| (first, after - 1))
}

/// The first number of the range at which `before` is false, or the one after the range.
fn partition_point((mut low, high): (u64, u64), before: impl Fn(u64) -> bool) -> u64 {
    let mut end = high + 1;
    while low < end {
        let middle = low + (end - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            end = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::printed::{Printed, Rounding};
    use proptest::prelude::*;

    const ALL: [Metric; 11] = [
        Metric::Sensitivity,
        Metric::Specificity,
        Metric::Precision,
        Metric::Npv,
        Metric::Accuracy,
        Metric::BalancedAccuracy,
        Metric::F1,
        Metric::Mcc,
        Metric::Fpr,
        Metric::Fnr,
        Metric::Youden,
    ];

    fn claim(metric: Metric, text: &str) -> Claim {
        let printed: Printed = text.parse().unwrap();
        Claim::new(metric, Interval::of(&printed, Rounding::Half)).unwrap()
    }

    proptest! {
        // All pairs, visited one by one.
        #[test]
        fn bisection_finds_what_visiting_finds(
            pos in 1u64..25, neg in 1u64..25, picks in prop::collection::vec((0usize..11, -100i128..101, 1i128..30), 1..4)
        ) {
            let sizes = Sizes { pos, neg };
            let claims: Vec<Claim> = picks
                .iter()
                .map(|&(metric, middle, width)| {
                    let within = Interval::around(Exact::new(middle, 100), Exact::new(width, 100));
                    Claim::new(ALL[metric], within).unwrap()
                })
                .collect();
            let holds = |tp, tn| claims.iter().all(|c| c.place(tp, tn, sizes) == Ordering::Equal);
            let visited: Vec<_> =
                (0..=pos).flat_map(|tp| (0..=neg).map(move |tn| (tp, tn))).filter(|&(tp, tn)| holds(tp, tn)).collect();
            let found = enumerate(sizes, &claims);
            prop_assert_eq!(found.count as usize, visited.len());
            prop_assert_eq!(&found.first[..], &visited[..visited.len().min(LISTED)]);
            prop_assert_eq!(witness(sizes, &claims), visited.first().copied());
            prop_assert_eq!(found.tp, visited.first().map(|f| (f.0, visited[visited.len() - 1].0)));
            prop_assert_eq!(found.tn.map(|t| t.0), visited.iter().map(|v| v.1).min());
            prop_assert_eq!(found.tn.map(|t| t.1), visited.iter().map(|v| v.1).max());
        }
    }

    // 54 million pairs, and neither sensitivity nor specificity to narrow them.
    #[test]
    fn a_table_of_chestxray14_takes_no_time() {
        let sizes = Sizes { pos: 2754, neg: 19_679 };
        let claims = [
            claim(Metric::Accuracy, "0.8612"),
            claim(Metric::Precision, "0.4605"),
            claim(Metric::F1, "0.5742"),
            claim(Metric::Mcc, "0.5199"),
        ];
        let begun = std::time::Instant::now();
        let found = enumerate(sizes, &claims);
        assert!(begun.elapsed().as_secs_f64() < 2.0, "{:?}", begun.elapsed());
        // Made of TP 2100 and FP 2460.
        assert!(found.tp.is_some_and(|(low, high)| low <= 2100 && 2100 <= high), "{found:?}");
        assert!(found.tn.is_some_and(|(low, high)| low <= 17_219 && 17_219 <= high), "{found:?}");
    }
}
