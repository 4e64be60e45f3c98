//! The checks of printed means: over folds, and over the classes of a test with more than two of them.

use super::check::{Check, Verdict};
use super::counts::Sizes;
use super::interval::Interval;
use super::means;
use super::programme::Outcome;
use super::test_set::Subject;
use crate::cards::published::{Metric, Row};

impl Subject<'_> {
    pub(super) fn folds(&self, i: usize, row: &Row) -> Check {
        let folds: Vec<Sizes> = self.set.fold.iter().map(|f| Sizes { pos: f.n_pos, neg: f.n_neg }).collect();
        if folds.iter().any(|f| f.pos == 0 || f.neg == 0) {
            return self.untestable("mean_of_folds", self.row_name(i), "a fold has one class only");
        }
        let (outcome, untested) = means::folds(&folds, &self.intervals(row));
        let witness = |x: &[u64]| {
            let (tp, tn) = x.split_at(folds.len());
            format!("TP by fold {}; TN by fold {}", listed(tp), listed(tn))
        };
        let assumption = format!("the printed values are means over {} folds of the stated sizes", folds.len());
        self.programme("mean_of_folds", i, outcome, &untested, &assumption, witness)
    }

    pub(super) fn classes(&self, i: usize, row: &Row) -> Check {
        let sizes = &self.set.classes;
        let means = self.intervals(row);
        let witness = |x: &[u64]| {
            let (right, wrong) = x.split_at(sizes.len());
            format!("right by class {}; wrongly called each class {}", listed(right), listed(wrong))
        };
        let (outcome, untested) = means::classes(sizes, &means, means::Accuracy::Share);
        let reading = "the printed values are means over the classes, and accuracy is the share of right calls";
        if outcome != Outcome::Infeasible || !row.values.contains_key(&Metric::Accuracy) {
            return self.programme("macro_of_classes", i, outcome, &untested, reading, witness);
        }
        let (outcome, untested) = means::classes(sizes, &means, means::Accuracy::OneAgainstRest);
        let reading = "the printed values, accuracy too, are means over the classes of each against the rest";
        self.programme("macro_of_classes", i, outcome, &untested, reading, witness)
    }

    fn programme(
        &self,
        check: &'static str,
        i: usize,
        outcome: Outcome,
        untested: &[Metric],
        assumption: &str,
        witness: impl Fn(&[u64]) -> String,
    ) -> Check {
        let (verdict, mut detail) = match &outcome {
            Outcome::Feasible(_) => (Verdict::NotInconsistent, "whole counts give these means".to_owned()),
            Outcome::Infeasible => (Verdict::Inconsistent, "no whole counts give these means".to_owned()),
            Outcome::Undecided => (Verdict::Untestable, "the search for counts was given up".to_owned()),
        };
        if !untested.is_empty() {
            let names: Vec<String> = untested.iter().map(ToString::to_string).collect();
            detail += &format!("; not tested, since not linear in the counts: {}", names.join(", "));
        }
        let mut found = Check::new(check, self.row_name(i), verdict, detail);
        match &outcome {
            Outcome::Feasible(x) => found.witness = Some(witness(x)),
            Outcome::Infeasible => found.solutions = Some(0),
            Outcome::Undecided => {}
        }
        found.assuming(format!("{assumption}; {}", self.printing()))
    }

    fn intervals(&self, row: &Row) -> Vec<(Metric, Interval)> {
        let rate = |m: &Metric| !matches!(m, Metric::Threshold | Metric::Auroc | Metric::AveragePrecision);
        row.values.iter().filter(|(m, _)| rate(m)).map(|(&m, v)| (m, self.interval(v))).collect()
    }
}

fn listed(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
}
