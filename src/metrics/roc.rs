//! Scores sorted once: the structure that every threshold metric reads.

use std::collections::BinaryHeap;
use std::ops::Range;

use crate::error::{Error, Result};

/// The counts of calling every `score >= threshold` positive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cut {
    /// One of the distinct scores.
    pub threshold: f64,
    /// Positives with `score >= threshold`.
    pub tp: u32,
    /// Negatives with `score >= threshold`.
    pub fp: u32,
}

/// One point of the ROC curve; all three in their natural units, the rates in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RocPoint {
    /// `score >= threshold` is called positive; infinite (null in JSON) at the origin.
    pub threshold: f64,
    /// False positives over negatives.
    pub fpr: f64,
    /// True positives over positives.
    pub tpr: f64,
}

/// One label's truths and scores, sorted from the highest score to the lowest, equal scores grouped.
#[derive(Debug, Clone)]
pub struct Ranked {
    order: Vec<u32>,
    positive: Vec<bool>,
    cuts: Vec<Cut>,
}

impl Ranked {
    /// Sorts `scores` (any finite numbers) with their truths `y`.
    ///
    /// Errors when the lengths differ, there are no rows or more than 2^32 - 1, or a score is not finite (the
    /// message counts rows from 1). One class only is no error here: the rates that need the other are `None`.
    pub fn new(y: &[bool], scores: &[f64]) -> Result<Self> {
        check_lengths(y.len(), scores.len())?;
        if let Some(row) = scores.iter().position(|s| !s.is_finite()) {
            return Err(Error::new(format!("the score is {}", scores[row]))
                .at(format!("row {}", row + 1))
                .mend("give every row a finite score or leave the row out"));
        }
        let mut keyed: Vec<(u64, u32)> = scores.iter().zip(0..).map(|(&s, row)| (sortable(s), row)).collect();
        keyed.sort_unstable_by(|a, b| b.cmp(a));
        let order: Vec<u32> = keyed.iter().map(|&(_, row)| row).collect();
        let positive: Vec<bool> = order.iter().map(|&row| y[row as usize]).collect();
        let distinct = 1 + keyed.windows(2).filter(|w| w[0].0 != w[1].0).count();
        let mut cuts = Vec::with_capacity(distinct);
        let (mut tp, mut fp) = (0, 0);
        for (i, &(key, row)) in keyed.iter().enumerate() {
            if positive[i] {
                tp += 1;
            } else {
                fp += 1;
            }
            if keyed.get(i + 1).is_none_or(|next| next.0 != key) {
                cuts.push(Cut { threshold: scores[row as usize], tp, fp });
            }
        }
        Ok(Self { order, positive, cuts })
    }

    /// Rows in all.
    pub fn n(&self) -> usize {
        self.order.len()
    }

    /// Positive rows.
    pub fn n_pos(&self) -> u32 {
        self.cuts.last().map_or(0, |c| c.tp)
    }

    /// Negative rows.
    pub fn n_neg(&self) -> u32 {
        self.cuts.last().map_or(0, |c| c.fp)
    }

    /// Whether both classes are there, which most metrics need.
    pub fn two_classes(&self) -> bool {
        self.n_pos() > 0 && self.n_neg() > 0
    }

    /// The distinct scores from the highest to the lowest, each with its counts.
    pub fn cuts(&self) -> &[Cut] {
        &self.cuts
    }

    /// Row numbers from the highest score to the lowest; equal scores by falling row number, so that the reverse
    /// is a stable ascending sort.
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// The truths in that order.
    pub fn positive(&self) -> &[bool] {
        &self.positive
    }

    /// The counts at `score >= threshold` for any threshold, in O(log n).
    pub fn at(&self, threshold: f64) -> Cut {
        let above = self.cuts.partition_point(|c| c.threshold >= threshold);
        let (tp, fp) = above.checked_sub(1).map_or((0, 0), |i| (self.cuts[i].tp, self.cuts[i].fp));
        Cut { threshold, tp, fp }
    }

    /// Area under the ROC curve: P(score of a positive > score of a negative) + P(equal)/2, the Mann-Whitney
    /// statistic by midranks. Counted in whole numbers, one division at the end. `None` with one class only.
    pub fn auroc(&self) -> Option<f64> {
        let pairs = u64::from(self.n_pos()) * u64::from(self.n_neg());
        (pairs > 0).then(|| self.twice_concordant() as f64 / (2 * pairs) as f64)
    }

    /// Twice the concordant pairs plus the tied ones: AUROC * 2 * positives * negatives, always whole.
    pub fn twice_concordant(&self) -> u64 {
        let n_neg = u64::from(self.n_neg());
        let (mut sum, mut tp, mut fp) = (0, 0, 0);
        for cut in &self.cuts {
            let positives = u64::from(cut.tp) - tp;
            (tp, sum) = (u64::from(cut.tp), sum + positives * (2 * n_neg - fp - u64::from(cut.fp)));
            fp = u64::from(cut.fp);
        }
        sum
    }

    /// The ROC curve from (0, 0) to (1, 1), one point for each distinct score and the origin. Empty with one class.
    pub fn roc_points(&self) -> Vec<RocPoint> {
        if !self.two_classes() {
            return Vec::new();
        }
        let (p, n) = (f64::from(self.n_pos()), f64::from(self.n_neg()));
        let origin = RocPoint { threshold: f64::INFINITY, fpr: 0.0, tpr: 0.0 };
        let point = |c: &Cut| RocPoint { threshold: c.threshold, fpr: f64::from(c.fp) / n, tpr: f64::from(c.tp) / p };
        std::iter::once(origin).chain(self.cuts.iter().map(point)).collect()
    }
}

/// Walks several labels' rows as one sorted list, without making it: for each distinct score from the highest to the
/// lowest the counts so far, and for each label that has it the places in its [`Ranked::order`].
pub(super) fn merge(labels: &[&Ranked], mut each: impl FnMut(Cut, &[(usize, Range<usize>)])) {
    let mut next = vec![0; labels.len()];
    let key = |label: usize, i: usize| labels[label].cuts.get(i).map(|c| (sortable(c.threshold), label));
    let mut waiting: BinaryHeap<(u64, usize)> = (0..labels.len()).filter_map(|label| key(label, 0)).collect();
    let mut sum = Cut { threshold: f64::INFINITY, tp: 0, fp: 0 };
    let mut places = Vec::with_capacity(labels.len());
    while let Some(&(highest, _)) = waiting.peek() {
        places.clear();
        while let Some((_, label)) = waiting.peek().copied().filter(|(key, _)| *key == highest) {
            waiting.pop();
            let cuts = labels[label].cuts();
            let here = cuts[next[label]];
            let before = next[label].checked_sub(1).map_or((0, 0), |i| (cuts[i].tp, cuts[i].fp));
            sum = Cut { threshold: here.threshold, tp: sum.tp + here.tp - before.0, fp: sum.fp + here.fp - before.1 };
            places.push((label, (before.0 + before.1) as usize..(here.tp + here.fp) as usize));
            next[label] += 1;
            waiting.extend(key(label, next[label]));
        }
        each(sum, &places);
    }
}

/// Truths and scores must be as many, at least one, and countable in 32 bits.
pub(super) fn check_lengths(truths: usize, scores: usize) -> Result<()> {
    if truths != scores {
        return Err(Error::new(format!("{truths} truths but {scores} scores")).mend("give one score for each truth"));
    }
    if truths == 0 {
        return Err(Error::new("there are no rows to evaluate"));
    }
    if u32::try_from(truths).is_err() {
        return Err(Error::new(format!("{truths} rows are too many")).mend("split the table below 2^32 rows"));
    }
    Ok(())
}

/// The bits of a finite `x`, changed so that they sort as the numbers do (-0 as 0).
fn sortable(x: f64) -> u64 {
    let bits = (x + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All pairs, as the definition reads.
    fn naive_twice(y: &[bool], s: &[f64]) -> u64 {
        let mut sum = 0;
        for i in (0..y.len()).filter(|&i| y[i]) {
            for j in (0..y.len()).filter(|&j| !y[j]) {
                sum += if s[i] > s[j] { 2 } else { u64::from(s[i] == s[j]) };
            }
        }
        sum
    }

    fn table() -> impl Strategy<Value = (Vec<bool>, Vec<f64>)> {
        prop::collection::vec((any::<bool>(), -6i32..6), 1..60)
            .prop_map(|rows| rows.into_iter().map(|(y, s)| (y, f64::from(s) / 4.0)).unzip())
    }

    proptest! {
        #[test]
        fn auroc_is_the_share_of_concordant_pairs((y, s) in table()) {
            let r = Ranked::new(&y, &s).unwrap();
            prop_assert_eq!(r.twice_concordant(), naive_twice(&y, &s));
            let pairs = u64::from(r.n_pos()) * u64::from(r.n_neg());
            prop_assert_eq!(r.auroc(), (pairs > 0).then(|| naive_twice(&y, &s) as f64 / (2 * pairs) as f64));
        }

        #[test]
        fn auroc_keeps_under_rising_maps_and_turns_under_flips((y, s) in table()) {
            let auroc = |y: &[bool], s: &[f64]| Ranked::new(y, s).unwrap().twice_concordant();
            let base = auroc(&y, &s);
            let map = |f: fn(f64) -> f64| s.iter().map(|&x| f(x)).collect::<Vec<_>>();
            prop_assert_eq!(auroc(&y, &map(f64::exp)), base);
            prop_assert_eq!(auroc(&y, &map(|x| x * x * x - 7.0)), base);
            let flipped: Vec<bool> = y.iter().map(|b| !b).collect();
            prop_assert_eq!(auroc(&flipped, &map(|x| -x)), base);
            let pairs = Ranked::new(&y, &s).map(|r| u64::from(r.n_pos()) * u64::from(r.n_neg())).unwrap();
            prop_assert_eq!(auroc(&flipped, &s), 2 * pairs - base);
        }

        #[test]
        fn counts_at_any_threshold((y, s) in table(), t in -2.0f64..2.0) {
            let c = Ranked::new(&y, &s).unwrap().at(t);
            let count = |class| y.iter().zip(&s).filter(|&(&b, &x)| b == class && x >= t).count();
            prop_assert_eq!((c.tp as usize, c.fp as usize), (count(true), count(false)));
        }
    }

    #[test]
    fn the_reverse_order_is_a_stable_ascending_sort() {
        let r = Ranked::new(&[true, false, true, false], &[0.5, -0.0, 0.5, 0.0]).unwrap();
        assert_eq!(r.order(), [2, 0, 3, 1]);
        assert_eq!(r.cuts().len(), 2);
        assert_eq!(r.roc_points().len(), 3);
    }

    #[test]
    fn bad_input_is_told() {
        assert!(Ranked::new(&[], &[]).is_err());
        assert!(Ranked::new(&[true], &[0.1, 0.2]).is_err());
        let e = Ranked::new(&[true, false], &[0.1, f64::NAN]).unwrap_err().to_string();
        assert!(e.contains("row 2") && e.contains("NaN"), "{e}");
        assert_eq!(Ranked::new(&[true, true], &[0.1, 0.2]).unwrap().auroc(), None);
    }
}
