//! The checks of one test set: its rows against its sizes, together and each on its own.

use super::check::{Check, Verdict};
use super::counts::{self, Claim, LISTED, Sizes, Solutions};
use super::interval::{Exact, Interval};
use crate::cards::printed::{Printed, Rounding};
use crate::cards::published::{Computed, Matrix, Mean, Metric, Row, TestSet};

/// A test set with all that its checks rest on.
pub struct Subject<'a> {
    /// What messages call it.
    pub name: String,
    /// The set.
    pub set: &'a TestSet,
    /// How its values became digits.
    pub rounding: Rounding,
    /// How its values were computed.
    pub computed: Option<Computed>,
}

impl Subject<'_> {
    /// All checks of the set.
    pub fn checks(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        if self.computed == Some(Computed::Averaged) {
            let detail = "the values are means over runs or readers whose number is not known";
            checks.push(self.untestable("counts", self.name.clone(), detail));
        } else if !self.set.classes.is_empty() {
            checks.extend(self.set.row.iter().enumerate().map(|(i, row)| self.classes(i, row)));
        } else if self.set.mean == Some(Mean::Scores) {
            checks.extend(self.set.row.iter().enumerate().map(|(i, row)| self.folds(i, row)));
        } else {
            self.binary(&mut checks);
        }
        checks
    }

    fn binary(&self, checks: &mut Vec<Check>) {
        let sizes = self.sizes();
        for (i, row) in self.set.row.iter().enumerate() {
            if let Some(matrix) = row.matrix {
                checks.push(self.matrix(i, row, matrix, sizes));
            }
        }
        let mut all = Vec::new();
        match sizes {
            Some(sizes) => {
                for (i, row) in self.set.row.iter().enumerate() {
                    let claims = self.claims(row);
                    if claims.is_empty() {
                        continue;
                    }
                    let found = counts::enumerate(sizes, &claims);
                    checks.push(self.counts(i, row, sizes, &found));
                    all.push(found.count);
                }
                if all.len() > 1 {
                    let product = all.iter().fold(1u64, |product, &count| product.saturating_mul(count));
                    let detail = match product {
                        0 => "not all rows can stand on this set".to_owned(),
                        _ => format!("every row can stand on {}; their counts are free of one another", said(sizes)),
                    };
                    let mut joint = Check::possible("rows_jointly", self.name.clone(), product > 0, detail);
                    joint.solutions = Some(product);
                    checks.push(joint.assuming("all rows are of the same images"));
                }
            }
            None => checks.extend(self.unknown()),
        }
        self.curves(sizes, checks);
    }

    /// The class sizes: stated, or those of a printed matrix.
    fn sizes(&self) -> Option<Sizes> {
        let stated = self.set.n_pos.zip(self.set.n_neg);
        let of_matrix = || self.set.row.iter().find_map(|r| r.matrix).map(|m| (m.tp + m.fn_, m.tn + m.fp));
        let known = stated.or_else(of_matrix).map(|(pos, neg)| Sizes { pos, neg });
        known.filter(|s| s.pos > 0 && s.neg > 0)
    }

    fn counts(&self, i: usize, row: &Row, sizes: Sizes, found: &Solutions) -> Check {
        let names: Vec<String> = self.tested(row).iter().map(ToString::to_string).collect();
        let detail = match found.count {
            0 => format!("no counts give {} together{}", names.join(", "), self.culprits(row, sizes)),
            1 => format!("one pair of counts gives {}", names.join(", ")),
            n => format!("{n} pairs of counts give {}", names.join(", ")),
        };
        let mut check = Check::possible("test_set", self.row_name(i), found.count > 0, detail);
        check.solutions = Some(found.count);
        check.witness = found.first.first().map(|_| {
            let listed: Vec<String> = found.first.iter().map(|&(tp, tn)| cells(sizes, tp, tn)).collect();
            let more = if found.count as usize > LISTED { "; ..." } else { "" };
            format!("{}{more}", listed.join("; "))
        });
        check.assuming(format!("one test set of {}; {}", said(sizes), self.printing()))
    }

    /// Which metrics are impossible alone, and without which one the others are possible.
    fn culprits(&self, row: &Row, sizes: Sizes) -> String {
        let claims: Vec<(Metric, Claim)> =
            row.values.iter().filter_map(|(&m, v)| Some((m, Claim::new(m, self.interval(v))?))).collect();
        let named = |keep: &dyn Fn(usize) -> bool| {
            let kept = (0..claims.len()).filter(|&i| keep(i)).map(|i| claims[i].0.to_string());
            kept.collect::<Vec<_>>().join(", ")
        };
        let alone = named(&|i| counts::witness(sizes, &[claims[i].1]).is_none());
        let without = named(&|i| {
            let others: Vec<Claim> = claims.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, c)| c.1).collect();
            !others.is_empty() && counts::witness(sizes, &others).is_some()
        });
        let mut text = String::new();
        let rate = |metric| self.rate(row, metric);
        if let (Some(se), Some(sp), Some(acc)) =
            (rate(Metric::Sensitivity), rate(Metric::Specificity), rate(Metric::Accuracy))
        {
            let whole = |count: u64| Exact::from(i128::from(count));
            let share = |of: u64| whole(of) / whole(sizes.pos + sizes.neg);
            let zero = Exact::from(0);
            let implied = se.map(share(sizes.pos), zero).plus(&sp.map(share(sizes.neg), zero));
            if implied.and(&acc).is_empty() {
                text += &format!("; sensitivity and specificity make accuracy {}", implied.text(4));
            }
        }
        let percent = row.values.iter().find(|(m, v)| **m != Metric::Threshold && v.as_f64() > 1.0);
        if let Some((metric, value)) = percent {
            text += &format!("; {metric} {value} is above 1: a percentage needs its sign");
        }
        if !alone.is_empty() {
            text += &format!("; impossible alone: {alone}");
        }
        if !without.is_empty() {
            text += &format!("; the others fit without {without}");
        }
        text
    }

    fn matrix(&self, i: usize, row: &Row, matrix: Matrix, sizes: Option<Sizes>) -> Check {
        let own = (matrix.tp + matrix.fn_, matrix.tn + matrix.fp);
        let mut faults = Vec::new();
        if let Some(sizes) = sizes.filter(|s| (s.pos, s.neg) != own) {
            faults.push(format!("its rows sum to {} and {}, not to {}", own.0, own.1, said(sizes)));
        }
        for (&metric, printed) in &row.values {
            let claim = Claim::new(metric, self.interval(printed));
            if claim.is_some_and(|claim| !counts::fits(&claim, matrix)) {
                faults.push(format!("{metric} {printed} does not follow from it"));
            }
        }
        let detail = match faults.is_empty() {
            true => "the printed values follow from the printed matrix".to_owned(),
            false => faults.join("; "),
        };
        let mut check = Check::possible("matrix", self.row_name(i), faults.is_empty(), detail);
        check.witness = Some(format!("TP {}, FP {}, FN {}, TN {}", matrix.tp, matrix.fp, matrix.fn_, matrix.tn));
        check.solutions = Some(u64::from(faults.is_empty()));
        check.assuming(self.printing())
    }

    pub(super) fn untestable(&self, check: &'static str, subject: String, reason: &str) -> Check {
        Check::new(check, subject, Verdict::Untestable, reason)
    }

    /// Where a printed value lies.
    pub fn interval(&self, printed: &Printed) -> Interval {
        match &self.set.tolerance {
            Some(tolerance) => Interval::around(printed.value(), tolerance.value()),
            None => Interval::of(printed, self.rounding),
        }
    }

    /// Where a rate lies, which is no number outside 0 to 1.
    pub(super) fn rate(&self, row: &Row, metric: Metric) -> Option<Interval> {
        let printed = self.interval(row.values.get(&metric)?);
        let rate = printed.and(&Interval::closed(Exact::from(0), Exact::from(1)));
        if metric == Metric::Youden { Some(printed) } else { Some(rate).filter(|r| !r.is_empty()) }
    }

    /// The claims that counts decide.
    pub fn claims(&self, row: &Row) -> Vec<Claim> {
        row.values.iter().filter_map(|(&m, v)| Claim::new(m, self.interval(v))).collect()
    }

    fn tested(&self, row: &Row) -> Vec<Metric> {
        row.values.iter().filter(|(m, v)| Claim::new(**m, self.interval(v)).is_some()).map(|(&m, _)| m).collect()
    }

    pub(super) fn printing(&self) -> String {
        match (&self.set.tolerance, self.rounding) {
            (Some(tolerance), _) => format!("values within {tolerance} of those printed"),
            (_, Rounding::Half) => "values rounded to the nearest, ties either way".into(),
            (_, Rounding::HalfEven) => "values rounded half to even".into(),
            (_, Rounding::HalfUp) => "values rounded half up".into(),
            (_, Rounding::Truncate) => "values truncated".into(),
            (_, Rounding::Any) => "values rounded in any way, a whole unit of the last digit".into(),
        }
    }

    pub(super) fn row_name(&self, i: usize) -> String {
        match &self.set.row[i].name {
            Some(name) => format!("{}, {name}", self.name),
            None if self.set.row.len() == 1 => self.name.clone(),
            None => format!("{}, row {}", self.name, i + 1),
        }
    }
}

/// `390 positives and 234 negatives`.
pub fn said(sizes: Sizes) -> String {
    format!("{} positives and {} negatives", sizes.pos, sizes.neg)
}

pub(super) fn cells(sizes: Sizes, tp: u64, tn: u64) -> String {
    format!("TP {tp}, FP {}, FN {}, TN {tn}", sizes.neg - tn, sizes.pos - tp)
}

/// `260 or 22173`, at most six of them.
pub fn alternatives(numbers: &[u64]) -> String {
    let shown: Vec<String> = numbers.iter().take(6).map(u64::to_string).collect();
    match numbers.len() {
        0 => "no number of".into(),
        n if n > shown.len() => format!("{} or {} others", shown.join(", "), n - shown.len()),
        _ => shown.join(" or "),
    }
}
