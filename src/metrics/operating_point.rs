//! One threshold: how it is chosen, what it counts, what follows from the counts.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::confidence::{LEVEL, clustered_wilson, wilson};
use super::roc::{Cut, Ranked};

/// How a threshold is chosen among the scores that occur; ties always go to the highest one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// The largest sensitivity + specificity, compared in whole numbers.
    Youden,
    /// The highest specificity with at least this sensitivity.
    Sensitivity(f64),
    /// The highest sensitivity with at least this specificity.
    Specificity(f64),
    /// The largest F1, compared in whole numbers.
    F1,
    /// The least cost, where a false negative costs this many false positives.
    Cost(f64),
    /// The threshold given, whatever the scores.
    Fixed(f64),
}

/// Which rows a threshold was chosen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FittedOn {
    /// The rows it is evaluated on: optimistic.
    Same,
    /// Rows kept apart for it.
    Tuning,
    /// None: it was given.
    Given,
}

/// Rows by truth and call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// True positives.
    pub tp: u32,
    /// False positives.
    pub fp: u32,
    /// False negatives.
    #[serde(rename = "fn")]
    pub fn_: u32,
    /// True negatives.
    pub tn: u32,
}

/// What follows from the counts; `None` where a denominator is 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// TP / positives: recall, true positive rate.
    pub sensitivity: Option<f64>,
    /// TN / negatives.
    pub specificity: Option<f64>,
    /// TP / called positive: precision.
    pub ppv: Option<f64>,
    /// TN / called negative.
    pub npv: Option<f64>,
    /// Share of right calls.
    pub accuracy: Option<f64>,
    /// Mean of sensitivity and specificity.
    pub balanced_accuracy: Option<f64>,
    /// Harmonic mean of PPV and sensitivity.
    pub f1: Option<f64>,
    /// Matthews' correlation coefficient, in [-1, 1]; 0 where all rows are called alike (or are of one class), as in
    /// scikit-learn and by continuity.
    pub mcc: Option<f64>,
    /// Sensitivity / (1 - specificity).
    pub lr_positive: Option<f64>,
    /// (1 - sensitivity) / specificity.
    pub lr_negative: Option<f64>,
}

/// 95% intervals of the proportions: Wilson's, clustered where patients are known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// Of sensitivity.
    pub sensitivity: Option<(f64, f64)>,
    /// Of specificity.
    pub specificity: Option<(f64, f64)>,
    /// Of PPV.
    pub ppv: Option<(f64, f64)>,
    /// Of NPV.
    pub npv: Option<(f64, f64)>,
    /// Of accuracy.
    pub accuracy: Option<(f64, f64)>,
}

/// A threshold with all that is reported about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// The rule's name.
    #[serde(deserialize_with = "rule_name")]
    pub rule: Name,
    /// What the rule aims at, where it has an aim.
    pub target: Option<f64>,
    /// Where the threshold comes from.
    pub fitted_on: FittedOn,
    /// `score >= threshold` is called positive.
    pub threshold: f64,
    /// Other thresholds that the rule finds as good, from high to low.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ties: Vec<f64>,
    /// The counts.
    #[serde(flatten)]
    pub counts: Confusion,
    /// What follows from them.
    #[serde(flatten)]
    pub measures: Measures,
    /// The intervals.
    pub ci: Intervals,
}

/// A name that this program knows. Serde takes a plain `&'static str` for one that lies in its input.
pub(super) type Name = &'static str;

/// Reads the name of a rule.
pub(super) fn rule_name<'de, D: Deserializer<'de>>(from: D) -> Result<&'static str, D::Error> {
    let name = String::deserialize(from)?;
    let rules =
        [Rule::Youden, Rule::Sensitivity(0.0), Rule::Specificity(0.0), Rule::F1, Rule::Cost(0.0), Rule::Fixed(0.0)];
    let known = rules.into_iter().map(Rule::name).find(|known| *known == name);
    known.ok_or_else(|| D::Error::custom(format!("`{name}` is no rule")))
}

impl Rule {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Youden => "youden",
            Self::Sensitivity(_) => "sensitivity",
            Self::Specificity(_) => "specificity",
            Self::F1 => "f1",
            Self::Cost(_) => "cost",
            Self::Fixed(_) => "fixed",
        }
    }

    /// What the rule aims at; the given threshold of [`Rule::Fixed`] is no aim.
    pub fn target(self) -> Option<f64> {
        match self {
            Self::Sensitivity(t) | Self::Specificity(t) | Self::Cost(t) => Some(t),
            Self::Youden | Self::F1 | Self::Fixed(_) => None,
        }
    }

    /// The thresholds that fulfil the rule best on `ranked`, from high to low: the first is the one to use, the
    /// others are exactly as good by the rule's own measure. Only scores that occur are tried. Empty where none
    /// fulfils it, or a class that it needs is missing.
    pub fn fit(self, ranked: &Ranked) -> Vec<f64> {
        let (pos, neg) = (i128::from(ranked.n_pos()), i128::from(ranked.n_neg()));
        let youden = |c: &Cut| i128::from(c.tp) * neg - i128::from(c.fp) * pos;
        let share = |count: u32, of: u32| f64::from(count) / f64::from(of);
        let enough = |s: f64, c: &&Cut| share(c.tp, ranked.n_pos()) >= s;
        let spared = |s: f64, c: &&Cut| share(ranked.n_neg() - c.fp, ranked.n_neg()) >= s;
        let cuts = ranked.cuts().iter();
        match self {
            Self::Fixed(threshold) => vec![threshold],
            Self::Sensitivity(_) if pos == 0 => Vec::new(),
            Self::Specificity(_) if neg == 0 => Vec::new(),
            Self::Youden | Self::F1 | Self::Cost(_) if !ranked.two_classes() => Vec::new(),
            Self::Youden => best(cuts, |a, b| youden(a) > youden(b)),
            Self::Sensitivity(s) => best(cuts.filter(|c| enough(s, c)), |a, b| a.fp < b.fp),
            Self::Specificity(s) => best(cuts.filter(|c| spared(s, c)), |a, b| a.tp > b.tp),
            // F1 = 2 TP / (called + positives), compared crosswise.
            Self::F1 => {
                let called = |c: &Cut| i128::from(c.tp) + i128::from(c.fp) + pos;
                best(cuts, |a, b| i128::from(a.tp) * called(b) > i128::from(b.tp) * called(a))
            }
            Self::Cost(ratio) => {
                let cost = |c: &Cut| f64::from(c.fp) + ratio * f64::from(ranked.n_pos() - c.tp);
                best(cuts, |a, b| cost(a) < cost(b))
            }
        }
    }

    /// Chooses the threshold on `fit_on` (the rows themselves, or tuning rows, as `fitted_on` says) and evaluates it
    /// on `ranked`. `patients` holds the patient number of each row. `None` where [`Rule::fit`] finds none.
    pub fn evaluate(
        self,
        fit_on: &Ranked,
        fitted_on: FittedOn,
        ranked: &Ranked,
        patients: Option<&[u32]>,
    ) -> Option<OperatingPoint> {
        let mut thresholds = self.fit(fit_on);
        let ties = thresholds.split_off(thresholds.len().min(1));
        let threshold = thresholds.pop()?;
        let fitted_on = if matches!(self, Self::Fixed(_)) { FittedOn::Given } else { fitted_on };
        let counts = Confusion::at(ranked, threshold);
        let ci = intervals(ranked, counts, patients);
        let (rule, target, measures) = (self.name(), self.target(), counts.measures());
        Some(OperatingPoint { rule, target, fitted_on, threshold, ties, counts, measures, ci })
    }
}

/// The thresholds of the cuts that no other is better than, in their order.
fn best<'a>(cuts: impl Iterator<Item = &'a Cut>, better: impl Fn(&Cut, &Cut) -> bool) -> Vec<f64> {
    let mut kept: Vec<&Cut> = Vec::new();
    for cut in cuts {
        match kept.first() {
            Some(first) if better(first, cut) => {}
            Some(first) if better(cut, first) => kept = vec![cut],
            _ => kept.push(cut),
        }
    }
    kept.into_iter().map(|c| c.threshold).collect()
}

impl Confusion {
    /// Calls every `score >= threshold` positive and counts.
    pub fn at(ranked: &Ranked, threshold: f64) -> Self {
        let Cut { tp, fp, .. } = ranked.at(threshold);
        Self { tp, fp, fn_: ranked.n_pos() - tp, tn: ranked.n_neg() - fp }
    }

    /// What follows from the counts.
    pub fn measures(self) -> Measures {
        let [tp, fp, fn_, tn] = [self.tp, self.fp, self.fn_, self.tn].map(f64::from);
        let divide = |a: f64, b: f64| (b != 0.0).then(|| a / b);
        let sensitivity = divide(tp, tp + fn_);
        let specificity = divide(tn, tn + fp);
        let both = sensitivity.zip(specificity);
        let margins = (tp + fp) * (tp + fn_) * (tn + fp) * (tn + fn_);
        // Whole numbers: the two products may nearly cancel.
        let association = i128::from(self.tp) * i128::from(self.tn) - i128::from(self.fp) * i128::from(self.fn_);
        Measures {
            sensitivity,
            specificity,
            ppv: divide(tp, tp + fp),
            npv: divide(tn, tn + fn_),
            accuracy: divide(tp + tn, tp + fp + fn_ + tn),
            balanced_accuracy: both.map(|(a, b)| (a + b) / 2.0),
            f1: divide(2.0 * tp, 2.0 * tp + fp + fn_),
            mcc: (tp + fp + fn_ + tn > 0.0).then(|| divide(association as f64, margins.sqrt()).unwrap_or(0.0)),
            lr_positive: both.and_then(|(se, _)| divide(se, fp / (tn + fp))),
            lr_negative: both.and_then(|(_, sp)| divide(fn_ / (tp + fn_), sp)),
        }
    }
}

/// Intervals of the proportions of `counts`, which calls the first TP + FP rows of `ranked` positive.
fn intervals(ranked: &Ranked, counts: Confusion, patients: Option<&[u32]>) -> Intervals {
    let Confusion { tp, fp, fn_, tn } = counts;
    let Some(ids) = patients else {
        let simple = |a: u32, b: u32| wilson(f64::from(a), f64::from(a) + f64::from(b), LEVEL);
        return Intervals {
            sensitivity: simple(tp, fn_),
            specificity: simple(tn, fp),
            ppv: simple(tp, fp),
            npv: simple(tn, fn_),
            accuracy: wilson(f64::from(tp) + f64::from(tn), ranked.n() as f64, LEVEL),
        };
    };
    // By patient: TP, FP, FN, TN.
    let size = ids.iter().max().map_or(0, |&id| id as usize + 1);
    let mut cells = vec![[0u32; 4]; size];
    let called = tp as usize + fp as usize;
    for (rank, (&row, &positive)) in ranked.order().iter().zip(ranked.positive()).enumerate() {
        let cell = match (rank < called, positive) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        };
        cells[ids[row as usize] as usize][cell] += 1;
    }
    fn clustered(cells: &[[u32; 4]], counts: impl Fn(&[u32; 4]) -> (u32, u32) + Copy) -> Option<(f64, f64)> {
        let of = |c: &[u32; 4]| {
            let (hits, misses) = counts(c);
            (f64::from(hits), f64::from(hits + misses))
        };
        clustered_wilson(cells.iter().map(of), LEVEL)
    }
    Intervals {
        sensitivity: clustered(&cells, |&[tp, _, fn_, _]| (tp, fn_)),
        specificity: clustered(&cells, |&[_, fp, _, tn]| (tn, fp)),
        ppv: clustered(&cells, |&[tp, fp, ..]| (tp, fp)),
        npv: clustered(&cells, |&[_, _, fn_, tn]| (tn, fn_)),
        accuracy: clustered(&cells, |&[tp, fp, fn_, tn]| (tp + tn, fp + fn_)),
    }
}

/// Sensitivity where the ROC curve's straight lines cross `specificity`: pROC's reading, which no threshold need
/// achieve. `None` with one class.
pub fn interpolated_sensitivity(ranked: &Ranked, specificity: f64) -> Option<f64> {
    let curve = ranked.roc_points();
    let fpr = 1.0 - specificity;
    let right = curve.iter().position(|p| p.fpr > fpr);
    let left = curve[..right.unwrap_or(curve.len())].last()?;
    Some(
        right.map_or(left.tpr, |i| left.tpr + (curve[i].tpr - left.tpr) * (fpr - left.fpr) / (curve[i].fpr - left.fpr)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranked(y: &[u8], s: &[f64]) -> Ranked {
        Ranked::new(&y.iter().map(|&y| y == 1).collect::<Vec<_>>(), s).unwrap()
    }

    #[test]
    fn ties_go_to_the_highest_threshold_and_are_listed() {
        let r = ranked(&[1, 0, 1, 0], &[0.9, 0.8, 0.7, 0.1]);
        assert_eq!(Rule::Youden.fit(&r), [0.9, 0.7]);
        let point = Rule::Youden.evaluate(&r, FittedOn::Same, &r, None).unwrap();
        assert_eq!((point.threshold, point.ties), (0.9, vec![0.7]));
        assert_eq!(Rule::F1.fit(&r), [0.7]);
        assert_eq!(Rule::Cost(3.0).fit(&r), [0.7]);
        assert_eq!(Rule::Cost(0.5).fit(&r), [0.9]);
        assert_eq!(Rule::Sensitivity(0.6).fit(&r), [0.7]);
        assert_eq!(Rule::Specificity(0.5).fit(&r), [0.7]);
    }

    #[test]
    fn what_cannot_be_is_none() {
        let r = ranked(&[0, 1], &[0.9, 0.1]);
        assert!(Rule::Specificity(0.5).fit(&r).is_empty());
        let one = ranked(&[1, 1], &[0.9, 0.1]);
        assert!(Rule::Youden.fit(&one).is_empty() && Rule::Specificity(0.5).fit(&one).is_empty());
        assert!(Rule::Sensitivity(f64::NAN).fit(&one).is_empty());
        let point = Rule::Fixed(2.0).evaluate(&one, FittedOn::Tuning, &one, None).unwrap();
        assert_eq!((point.fitted_on, point.measures.ppv, point.measures.specificity), (FittedOn::Given, None, None));
        assert_eq!((point.measures.mcc, point.ci.specificity, point.measures.f1), (Some(0.0), None, Some(0.0)));
        assert_eq!(interpolated_sensitivity(&one, 0.5), None);
    }

    #[test]
    fn likelihood_ratios() {
        let m = Confusion { tp: 80, fp: 10, fn_: 20, tn: 90 }.measures();
        assert!((m.lr_positive.unwrap() - 8.0).abs() < 1e-12 && (m.lr_negative.unwrap() - 2.0 / 9.0).abs() < 1e-12);
        assert!((m.mcc.unwrap() - (7200.0 - 200.0) / (90.0f64 * 100.0 * 100.0 * 110.0).sqrt()).abs() < 1e-12);
        assert_eq!(Confusion { tp: 1, fp: 0, fn_: 0, tn: 1 }.measures().lr_positive, None);
    }

    #[test]
    fn interpolation_on_the_curve() {
        let r = ranked(&[1, 0, 1, 0], &[0.9, 0.8, 0.7, 0.1]);
        assert_eq!(interpolated_sensitivity(&r, 0.75), Some(0.5));
        assert_eq!(interpolated_sensitivity(&r, 0.5), Some(1.0));
        assert_eq!(interpolated_sensitivity(&r, 0.0), Some(1.0));
        assert_eq!(interpolated_sensitivity(&ranked(&[1, 0], &[0.5, 0.5]), 0.75), Some(0.25));
    }

    proptest! {
        #[test]
        fn rules_find_the_best_there_is(rows in prop::collection::vec((any::<bool>(), 0u8..12), 2..60), s in 0.0f64..1.0) {
            let (y, p): (Vec<bool>, Vec<f64>) = rows.into_iter().map(|(y, p)| (y, f64::from(p) / 12.0)).unzip();
            let r = Ranked::new(&y, &p).unwrap();
            if r.two_classes() {
                let all: Vec<Measures> = p.iter().map(|&t| Confusion::at(&r, t).measures()).collect();
                let top = |f: &dyn Fn(&Measures) -> Option<f64>| all.iter().filter_map(f).fold(f64::MIN, f64::max);
                let at = |rule: Rule| rule.evaluate(&r, FittedOn::Same, &r, None).map(|o| o.measures);
                prop_assert!((at(Rule::Youden).unwrap().balanced_accuracy.unwrap() - top(&|m| m.balanced_accuracy)).abs() < 1e-12);
                prop_assert!((at(Rule::F1).unwrap().f1.unwrap() - top(&|m| m.f1)).abs() < 1e-12);
                let highest = top(&|m| m.sensitivity.filter(|_| m.specificity >= Some(s)));
                prop_assert_eq!(at(Rule::Specificity(s)).and_then(|m| m.sensitivity).unwrap_or(f64::MIN), highest);
            }
        }

        #[test]
        fn rows_as_patients_barely_change_intervals(rows in prop::collection::vec((any::<bool>(), 0u8..12), 40..90)) {
            let (y, p): (Vec<bool>, Vec<f64>) = rows.into_iter().map(|(y, p)| (y, f64::from(p) / 12.0)).unzip();
            let r = Ranked::new(&y, &p).unwrap();
            let ids: Vec<u32> = (0..y.len() as u32).collect();
            let ci = |ids| Rule::Fixed(0.5).evaluate(&r, FittedOn::Given, &r, ids).unwrap().ci;
            let (a, b) = (ci(None).accuracy.unwrap(), ci(Some(&ids)).accuracy.unwrap());
            prop_assert!((a.0 - b.0).abs() < 0.01 && (a.1 - b.1).abs() < 0.01);
        }
    }
}
