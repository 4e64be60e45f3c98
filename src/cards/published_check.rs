//! What makes a published table valid, beyond its keys being known, and the counts that others imply.

use std::collections::HashSet;

use super::printed::Printed;
use super::published::{Fold, Metric, PublishedTable, SCHEMA, TestSet};
use crate::error::{Error, Result};
use crate::labels;

/// Larger sets are refused: exact arithmetic on their counts would take too long.
const MAX_COUNT: u64 = 10_000_000;

/// More folds or classes are refused: an integer programme over them would take too long.
const MOST_PARTS: usize = 200;

impl PublishedTable {
    /// Checks the counts, and fills in those that others imply.
    pub(super) fn settle(&mut self) -> Result<()> {
        super::check_schema(&self.schema, SCHEMA)?;
        if self.test_set.is_empty() && self.label.is_empty() && self.macro_average.is_none() {
            return Err(Error::new("the table has no numbers").mend("add `[[test_set]]`, `[[label]]` or `[macro]`"));
        }
        let rows = self.test_set.iter().flat_map(|s| s.row.iter().map(|r| &r.values));
        let mut values =
            rows.chain(self.label.iter().map(|l| &l.values)).chain(self.macro_average.iter().map(|m| &m.values));
        let unbounded = |m: Metric| matches!(m, Metric::Threshold | Metric::LogLoss);
        let large = |(&metric, value): (&Metric, &Printed)| {
            (!unbounded(metric) && value.as_f64().abs() > 100.0).then_some(metric)
        };
        if let Some(metric) = values.find_map(|v| v.iter().find_map(large)) {
            return Err(Error::new(format!("{metric} is above 100")).mend("write rates as 0.841 or \"84.1%\""));
        }
        for (i, set) in self.test_set.iter_mut().enumerate() {
            set.settle().map_err(|e| e.at(format_args!("`test_set[{i}]`")))?;
        }
        let mut seen = HashSet::new();
        for (i, row) in self.label.iter_mut().enumerate() {
            let place = format!("`label[{i}]` ({})", row.label);
            if !seen.insert(labels::canonical(&row.label)) {
                return Err(Error::new("the label is there twice").at(place).mend("give one card a model"));
            }
            let n = if row.n_pos.is_some() && row.n_neg.is_some() { row.n } else { row.n.or(self.n) };
            (row.n, row.n_pos, row.n_neg) = counts(n, row.n_pos, row.n_neg).map_err(|e| e.at(place))?;
        }
        if let Some(split) = &self.stated_split {
            let share = split.test.as_f64();
            let fault = |cause: &str| Err(Error::new(cause).at("`stated_split`"));
            if !(share > 0.0 && share < 1.0) {
                return fault("`test` is no share between 0 and 100%");
            }
            if split.total > MAX_COUNT || split.n_pos.is_some_and(|p| p > split.total) {
                return fault("its counts do not fit together");
            }
        }
        if let Some(row) = &self.macro_average
            && row.labels.is_some_and(|labels| labels < self.label.len() as u64 || labels > MAX_COUNT)
        {
            return Err(Error::new(format!("the mean is over fewer labels than the {} shown", self.label.len()))
                .at("`macro.labels`")
                .mend("count all labels of the mean, shown or not"));
        }
        Ok(())
    }
}

impl TestSet {
    fn settle(&mut self) -> Result<()> {
        let of_folds = self.fold.iter().filter_map(|f| f.mean).next();
        self.mean = self.mean.or(of_folds);
        if self.fold.iter().any(|f| f.mean.is_some_and(|m| Some(m) != self.mean)) {
            return Err(Error::new("the folds name different means").at("`mean`"));
        }
        if self.fold.len().max(self.classes.len()) > MOST_PARTS {
            return Err(Error::new(format!("more than {MOST_PARTS} folds or classes")));
        }
        if !self.fold.is_empty() {
            if self.mean.is_none() {
                return Err(Error::new("what is printed of the folds is not said").at("`mean`").mend(
                    "write mean = \"scores\" (mean of the folds' scores) or \"counts\" (score of their summed counts)",
                ));
            }
            if self.fold.iter().any(|f| f.n_pos > MAX_COUNT || f.n_neg > MAX_COUNT) {
                return Err(Error::new(format!("more than {MAX_COUNT}")).at("`fold`"));
            }
            let sum = |of: fn(&Fold) -> u64| Some(self.fold.iter().map(of).sum());
            let (pos, neg) = (sum(|f| f.n_pos), sum(|f| f.n_neg));
            if self.n_pos.is_some_and(|n| Some(n) != pos) || self.n_neg.is_some_and(|n| Some(n) != neg) {
                return Err(Error::new("the folds do not sum to the set's counts").at("`fold`"));
            }
            (self.n_pos, self.n_neg) = (pos, neg);
        }
        if !self.classes.is_empty() {
            let two = self.n_pos.is_some() || self.n_neg.is_some() || !self.fold.is_empty();
            if two || self.classes.len() < 3 || self.classes.iter().any(|&c| c == 0 || c > MAX_COUNT) {
                return Err(Error::new("`classes` are the sizes of three or more classes, beside no other counts"));
            }
            self.n = Some(self.classes.iter().sum());
        }
        if let Some(rounding) = &self.tolerance
            && rounding.value() < num_rational::Ratio::new(0, 1)
        {
            return Err(Error::new("below 0").at("`tolerance`"));
        }
        (self.n, self.n_pos, self.n_neg) = counts(self.n, self.n_pos, self.n_neg)?;
        for (i, row) in self.row.iter().enumerate() {
            let Some(m) = row.matrix else { continue };
            if [m.tp, m.fp, m.fn_, m.tn].iter().any(|&c| c > MAX_COUNT) {
                return Err(Error::new(format!("more than {MAX_COUNT}")).at(format_args!("`row[{i}].matrix`")));
            }
        }
        Ok(())
    }
}

/// Rows, positives and negatives, each filled in from the other two.
fn counts(n: Option<u64>, pos: Option<u64>, neg: Option<u64>) -> Result<(Option<u64>, Option<u64>, Option<u64>)> {
    if [n, pos, neg].iter().flatten().any(|&c| c > MAX_COUNT) {
        return Err(Error::new(format!("more than {MAX_COUNT} rows")).at("`n`, `n_pos`, `n_neg`"));
    }
    let fault = || Error::new("`n` is not `n_pos` and `n_neg` together").mend("mend the counts");
    match (n, pos, neg) {
        (Some(n), Some(pos), Some(neg)) if n != pos + neg => Err(fault()),
        (Some(n), Some(part), None) | (Some(n), None, Some(part)) if part > n => Err(fault()),
        (Some(n), Some(pos), None) => Ok((Some(n), Some(pos), Some(n - pos))),
        (Some(n), None, Some(neg)) => Ok((Some(n), Some(n - neg), Some(neg))),
        (None, Some(pos), Some(neg)) => Ok((Some(pos + neg), Some(pos), Some(neg))),
        known => Ok(known),
    }
}
