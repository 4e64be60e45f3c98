//! Test sets whose class sizes were not printed: what the metrics say about them.

use super::counts::{Claim, Sizes, witness};
use super::interval::{Exact, Interval};
use crate::cards::published::Metric;

/// The intervals of one row's metrics.
pub type Intervals<'a> = &'a dyn Fn(Metric) -> Option<Interval>;

/// The share of positives that sensitivity, specificity and accuracy, or sensitivity, specificity and precision, allow
/// together; `None` where they do not tell.
pub fn prevalence(row: Intervals) -> Option<Interval> {
    let (se, sp) = (row(Metric::Sensitivity)?, row(Metric::Specificity)?);
    let one = Exact::from(1);
    // accuracy = share * sensitivity + (1 - share) * specificity
    let by_accuracy = row(Metric::Accuracy)
        .and_then(|acc| corners([acc, sp, se], |[acc, sp, se]| divide(acc - sp, se - sp), |[_, sp, se]| se - sp));
    // precision = share * sensitivity / (share * sensitivity + (1 - share) * (1 - specificity))
    let by_precision = row(Metric::Precision).and_then(|ppv| {
        let share = |[ppv, sp, se]: [Exact; 3]| {
            let (hit, false_call) = (se * (one - ppv), ppv * (one - sp));
            divide(false_call, hit + false_call)
        };
        corners([ppv, sp, se], share, |[ppv, sp, se]| se * (one - ppv) + ppv * (one - sp))
    });
    match (by_accuracy, by_precision) {
        (Some(a), Some(b)) => Some(a.and(&b)),
        (a, b) => a.or(b),
    }
}

/// The range of `f` over a box. `f` is monotone in each argument where `denominator` keeps its sign; `None` where it
/// does not.
fn corners(
    sides: [Interval; 3],
    f: impl Fn([Exact; 3]) -> Option<Exact>,
    denominator: impl Fn([Exact; 3]) -> Exact,
) -> Option<Interval> {
    let mut range: Option<(Exact, Exact)> = None;
    let mut sign = None;
    for corner in 0..8 {
        let at = std::array::from_fn(|i| if corner >> i & 1 == 0 { sides[i].low } else { sides[i].high });
        let side = denominator(at).cmp(&Exact::from(0));
        if side.is_eq() || *sign.get_or_insert(side) != side {
            return None;
        }
        let y = f(at)?;
        range = Some(range.map_or((y, y), |(low, high)| (low.min(y), high.max(y))));
    }
    range.map(|(low, high)| Interval::closed(low, high))
}

fn divide(a: Exact, b: Exact) -> Option<Exact> {
    (b != Exact::from(0)).then(|| a / b)
}

/// F1 from sensitivity and precision, and balanced accuracy and Youden's J from sensitivity and specificity, hold
/// whatever the sizes: the metric whose printed value cannot come from the others, with what it would be.
pub fn broken_identity(row: Intervals) -> Option<(Metric, Interval)> {
    let (se, zero) = (row(Metric::Sensitivity)?, Exact::from(0));
    let halves = |sp: Interval| se.plus(&sp).map(Exact::new(1, 2), zero);
    let f1 = |ppv: Interval| {
        let f = |r: Exact, p: Exact| divide(Exact::from(2) * r * p, r + p).unwrap_or(zero);
        Interval::closed(f(se.low.max(zero), ppv.low.max(zero)), f(se.high, ppv.high))
    };
    [
        (Metric::BalancedAccuracy, row(Metric::Specificity).map(halves)),
        (Metric::Youden, row(Metric::Specificity).map(|sp| halves(sp).map(Exact::from(2), Exact::from(-1)))),
        (Metric::F1, row(Metric::Precision).map(f1)),
    ]
    .into_iter()
    .find_map(|(metric, implied)| {
        let (implied, printed) = (implied?, row(metric)?);
        implied.and(&printed).is_empty().then_some((metric, implied))
    })
}

/// Class sizes at which every row has counts that fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// How many sizes.
    pub count: u64,
    /// The first of them.
    pub first: Option<(Sizes, Vec<(u64, u64)>)>,
    /// The range of the positives among them.
    pub pos: Option<(u64, u64)>,
}

/// Tries `sizes`, in their order, against all rows.
pub fn search(rows: &[Vec<Claim>], sizes: impl Iterator<Item = Sizes>) -> Found {
    let mut found = Found::default();
    for size in sizes {
        let Some(counts) = rows.iter().map(|claims| witness(size, claims)).collect::<Option<Vec<_>>>() else {
            continue;
        };
        found.count += 1;
        found.pos = Some(found.pos.map_or((size.pos, size.pos), |(a, b)| (a.min(size.pos), b.max(size.pos))));
        found.first.get_or_insert((size, counts));
    }
    found
}

/// Sizes of sets of `n` rows whose share of positives lies in `share`.
pub fn splits(n: u64, share: Option<Interval>) -> impl Iterator<Item = Sizes> {
    let total = Exact::from(i128::from(n));
    let end = |x: Exact| u64::try_from(x.to_integer().max(0)).unwrap_or(0);
    let (low, high) = match share {
        Some(share) => (end((share.low * total).ceil()), end((share.high * total).floor())),
        None => (1, n),
    };
    (low.max(1)..=high.min(n.saturating_sub(1))).map(move |pos| Sizes { pos, neg: n - pos })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::printed::Rounding;

    fn row(values: &[(Metric, &str)]) -> impl Fn(Metric) -> Option<Interval> {
        let values: Vec<_> =
            values.iter().map(|(m, text)| (*m, Interval::of(&text.parse().unwrap(), Rounding::Half))).collect();
        move |metric| values.iter().find(|v| v.0 == metric).map(|v| v.1)
    }

    // README 004: 390 of 624 is 0.625.
    #[test]
    fn the_share_of_positives_follows() {
        use Metric::{Accuracy, Precision, Sensitivity, Specificity};
        let share = prevalence(&row(&[
            (Sensitivity, "0.949"),
            (Specificity, "0.902"),
            (Accuracy, "0.931"),
            (Precision, "0.941"),
        ]))
        .unwrap();
        assert!(share.holds(Exact::new(390, 624)), "{}", share.text(4));
        assert!(!share.holds(Exact::new(427, 585)), "{}", share.text(4));
        assert!(prevalence(&row(&[(Sensitivity, "0.9"), (Specificity, "0.9"), (Accuracy, "0.9")])).is_none());
    }

    #[test]
    fn identities_hold_whatever_the_sizes() {
        use Metric::{BalancedAccuracy, F1, Precision, Sensitivity, Specificity};
        let values = [(Sensitivity, "0.997"), (Specificity, "0.564"), (Precision, "0.792")];
        let with = |more| [&values[..], &[more]].concat();
        assert_eq!(broken_identity(&row(&with((BalancedAccuracy, "0.781")))), None);
        assert_eq!(broken_identity(&row(&with((BalancedAccuracy, "0.790")))).unwrap().0, BalancedAccuracy);
        assert_eq!(broken_identity(&row(&with((F1, "0.883")))), None);
        assert_eq!(broken_identity(&row(&with((F1, "0.893")))).unwrap().0, F1);
    }
}
