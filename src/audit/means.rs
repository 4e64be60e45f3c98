//! Means: over folds, over classes, over labels of which some are not shown.

use super::counts::Sizes;
use super::interval::{Exact, Interval};
use super::programme::{Outcome, Programme};
use crate::cards::published::Metric;

/// Whether counts of the folds exist whose scores have these means; for metrics that are linear in the counts.
/// Feasible gives TP of each fold, then TN of each. The second part lists the metrics that were not tested.
pub fn folds(folds: &[Sizes], means: &[(Metric, Interval)]) -> (Outcome, Vec<Metric>) {
    let k = Exact::from(folds.len() as i128);
    let share = |count: u64| Exact::new(1, i128::from(count.max(1))) / k;
    let mut programme = Programme::new(folds.iter().map(|f| f.pos).chain(folds.iter().map(|f| f.neg)).collect());
    let mut untested = Vec::new();
    for &(metric, within) in means {
        let Some((metric, within)) = plain(metric, within) else {
            untested.push(metric);
            continue;
        };
        let (tp, tn): (Vec<Exact>, Vec<Exact>) = folds
            .iter()
            .map(|f| {
                let zero = Exact::from(0);
                match metric {
                    Metric::Sensitivity => (share(f.pos), zero),
                    Metric::Specificity => (zero, share(f.neg)),
                    Metric::Accuracy => (share(f.pos + f.neg), share(f.pos + f.neg)),
                    _ => (share(f.pos) / 2, share(f.neg) / 2),
                }
            })
            .unzip();
        programme.row(&[tp, tn].concat(), within);
    }
    (programme.solve(), untested)
}

/// How the accuracy of several classes was meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accuracy {
    /// The share of rows whose class was right.
    Share,
    /// The mean over classes of each class's own accuracy against the rest.
    OneAgainstRest,
}

/// Whether a confusion matrix of these class sizes exists with these macro means. Feasible gives the right calls of
/// each class, then the wrong calls for each class.
///
/// Such a matrix exists for right calls t and wrong calls f exactly where the sums of misses and of wrong calls agree and
/// no class has more of both than there are errors (a transport problem with an empty diagonal; Gale 1957).
pub fn classes(sizes: &[u64], means: &[(Metric, Interval)], accuracy: Accuracy) -> (Outcome, Vec<Metric>) {
    let k = sizes.len();
    let (zero, one) = (Exact::from(0), Exact::from(1));
    let n: u64 = sizes.iter().sum();
    let whole = |count: u64| Exact::from(i128::from(count));
    let mut programme = Programme::new(sizes.iter().copied().chain(sizes.iter().map(|s| n - s)).collect());
    // Wrong calls plus right calls are all rows.
    programme.row(&vec![one; 2 * k], Interval::closed(whole(n), whole(n)));
    for class in 0..k {
        // misses + wrong calls <= errors, with misses = size - right and errors = n - sum of right
        let mut row = vec![one; 2 * k];
        row[k..].fill(zero);
        row[class] = zero;
        row[k + class] = one;
        programme.row(&row, Interval::closed(-whole(n), whole(n - sizes[class])));
    }
    let mean = |count: u64| Exact::new(1, i128::from(count.max(1)) * k as i128);
    let mut untested = Vec::new();
    for &(metric, within) in means {
        let Some((plain, within)) = plain(metric, within) else {
            untested.push(metric);
            continue;
        };
        let (row, constant): (Vec<Exact>, Exact) = match plain {
            Metric::Sensitivity => (sizes.iter().copied().map(mean).chain(vec![zero; k]).collect(), zero),
            Metric::Specificity => (vec![zero; k].into_iter().chain(sizes.iter().map(|s| -mean(n - s))).collect(), one),
            Metric::Accuracy if accuracy == Accuracy::Share => {
                (vec![Exact::new(1, i128::from(n)); k].into_iter().chain(vec![zero; k]).collect(), zero)
            }
            // tn = n - size - wrong calls
            Metric::Accuracy => {
                let negatives: i128 = sizes.iter().map(|&s| i128::from(n - s)).sum();
                let each = mean(n);
                (vec![each; k].into_iter().chain(vec![-each; k]).collect(), each * negatives)
            }
            _ => (
                sizes.iter().map(|&s| mean(s) / 2).chain(sizes.iter().map(|s| -mean(n - s) / 2)).collect(),
                Exact::new(1, 2),
            ),
        };
        programme.row(&row, within.map(one, -constant));
    }
    (programme.solve(), untested)
}

/// The linear metric that stands for this one, where there is one.
fn plain(metric: Metric, within: Interval) -> Option<(Metric, Interval)> {
    let one = Exact::from(1);
    match metric {
        Metric::Sensitivity | Metric::Specificity | Metric::Accuracy | Metric::BalancedAccuracy => {
            Some((metric, within))
        }
        Metric::Fpr => Some((Metric::Specificity, within.map(-one, one))),
        Metric::Fnr => Some((Metric::Sensitivity, within.map(-one, one))),
        Metric::Youden => Some((Metric::BalancedAccuracy, within.map(Exact::new(1, 2), Exact::new(1, 2)))),
        _ => None,
    }
}

/// A mean over `count` labels of which `rows` are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HiddenMean {
    /// What the labels that are not shown must average, or what the mean of those shown is when all are.
    pub must: Interval,
    /// Whether numbers in `range` (the metric's, or what is known of the hidden ones) can do it.
    pub possible: bool,
}

/// What the hidden labels must average so that the mean of all is `mean`: (count * mean - sum of rows) / (count -
/// shown), and whether values in `range` can. With no label hidden, whether the rows can have that mean.
pub fn hidden_mean(rows: &[Interval], mean: Interval, count: u64, range: Interval) -> HiddenMean {
    let zero = Exact::from(0);
    let sum = rows.iter().fold(Interval::closed(zero, zero), |sum, row| sum.plus(row));
    let shown = rows.len() as u64;
    if count <= shown {
        let must = sum.map(Exact::new(1, i128::from(shown.max(1))), zero);
        return HiddenMean { must, possible: !must.and(&mean).is_empty() };
    }
    let total = mean.map(Exact::from(i128::from(count)), zero);
    let must = total.plus(&sum.map(Exact::from(-1), zero)).map(Exact::new(1, i128::from(count - shown)), zero);
    HiddenMean { must, possible: !must.and(&range).is_empty() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    // Means of real folds and of real matrices are never found impossible; to four decimals over five small folds
    // the search is sometimes given up, which is no verdict.
    #[test]
    fn no_false_alarm_on_means() {
        let mut undecided = 0;
        for seed in 0..40 {
            let mut rng = Rng::new(seed, 1);
            let fold: Vec<Sizes> = (0..5)
                .map(|_| Sizes { pos: 3 + u64::from(rng.below(40)), neg: 3 + u64::from(rng.below(90)) })
                .collect();
            let (mut se, mut sp, mut acc) = (Exact::from(0), Exact::from(0), Exact::from(0));
            for f in &fold {
                let (tp, tn) = (u64::from(rng.below(f.pos as u32 + 1)), u64::from(rng.below(f.neg as u32 + 1)));
                let ratio = |a: u64, b: u64| Exact::new(i128::from(a), i128::from(b));
                se += ratio(tp, f.pos) / 5;
                sp += ratio(tn, f.neg) / 5;
                acc += ratio(tp + tn, f.pos + f.neg) / 5;
            }
            let around = |x| Interval::around(x, Exact::new(1, 20_000));
            let means = [(Metric::Sensitivity, se), (Metric::Specificity, sp), (Metric::Accuracy, acc)];
            let (found, _) = folds(&fold, &means.map(|(m, x)| (m, around(x))));
            assert_ne!(found, Outcome::Infeasible, "{seed}");
            undecided += usize::from(found == Outcome::Undecided);

            let sizes = [fold[0].pos, fold[0].neg, fold[1].neg];
            let n: u64 = sizes.iter().sum();
            let mut matrix = [[0u64; 3]; 3];
            for (class, &size) in sizes.iter().enumerate() {
                (0..size).for_each(|_| matrix[class][rng.below(3) as usize] += 1);
            }
            let mean = |of: &dyn Fn(usize) -> Exact| (0..3).map(of).sum::<Exact>() / 3;
            let ratio = |a: u64, b: u64| Exact::new(i128::from(a), i128::from(b));
            let wrong = |c: usize| (0..3).filter(|&r| r != c).map(|r| matrix[r][c]).sum::<u64>();
            let means = [
                (Metric::Sensitivity, mean(&|c| ratio(matrix[c][c], sizes[c]))),
                (Metric::Specificity, mean(&|c| ratio(n - sizes[c] - wrong(c), n - sizes[c]))),
                (Metric::Accuracy, ratio((0..3).map(|c| matrix[c][c]).sum(), n)),
            ];
            let (found, _) = classes(&sizes, &means.map(|(m, x)| (m, around(x))), Accuracy::Share);
            assert_ne!(found, Outcome::Infeasible, "{seed}");
            undecided += usize::from(found == Outcome::Undecided);
        }
        assert!(undecided <= 16, "{undecided} of 80");
    }
}
