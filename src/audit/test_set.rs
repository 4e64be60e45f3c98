//! The checks of one test set: its rows against its sizes, together and each on its own.

use super::check::{Check, Verdict};
use super::counts::{self, Claim, LISTED, Sizes, Solutions};
use super::fingerprint;
use super::interval::{Exact, Interval};
use super::means;
use super::programme::Outcome;
use super::roc_bounds::{self, Point};
use super::unknown;
use crate::cards::printed::{Printed, Rounding};
use crate::cards::published::{Computed, Matrix, Mean, Metric, Row, TestSet};

/// Sets of unknown size are searched up to this many rows.
const LARGEST_UNKNOWN: u64 = 1000;

/// Where the other class is known, it is searched up to this many rows.
const LARGEST_OTHER: u64 = 30_000;

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

    /// Rows on a set whose sizes are not both known.
    fn unknown(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        let mut share: Option<Interval> = None;
        for (i, row) in self.set.row.iter().enumerate() {
            let value = |metric| row.values.get(&metric).map(|v| self.interval(v));
            if let Some((metric, implied)) = unknown::broken_identity(&value) {
                let printed = &row.values[&metric];
                let places = printed.places() as usize + 1;
                let detail = format!("{metric} is printed as {printed}; the others make it {}", implied.text(places));
                checks.push(
                    Check::possible("identity", self.row_name(i), false, detail)
                        .assuming(format!("any class sizes; {}", self.printing())),
                );
            }
            if let Some(of_row) = unknown::prevalence(&value) {
                share = Some(share.map_or(of_row, |share| share.and(&of_row)));
            }
        }
        let rows: Vec<Vec<Claim>> =
            self.set.row.iter().map(|r| self.claims(r)).filter(|claims| !claims.is_empty()).collect();
        if let Some(share) = share.map(|s| s.and(&Interval::closed(Exact::from(0), Exact::from(1)))) {
            let detail = match share.is_empty() {
                true => "no share of positives gives accuracy or precision from sensitivity and specificity".to_owned(),
                false => format!("positives must be {} of the rows", share.text(4)),
            };
            checks.push(
                Check::possible("prevalence", self.name.clone(), !share.is_empty(), detail)
                    .assuming(format!("all rows are of the same images; {}", self.printing())),
            );
            if share.is_empty() {
                return checks;
            }
        }
        if !rows.is_empty() {
            checks.push(self.search(&rows, share));
        }
        checks
    }

    fn search(&self, rows: &[Vec<Claim>], share: Option<Interval>) -> Check {
        let TestSet { n, n_pos, n_neg, .. } = *self.set;
        let (found, among, exhaustive) = match (n, n_pos, n_neg) {
            (Some(n), ..) => (unknown::search(rows, unknown::splits(n, share)), format!("sets of {n} rows"), true),
            (_, Some(pos), _) => {
                let sizes = (1..=LARGEST_OTHER).map(|neg| Sizes { pos, neg });
                (
                    unknown::search(rows, sizes),
                    format!("sets of {pos} positives and up to {LARGEST_OTHER} negatives"),
                    false,
                )
            }
            (_, _, Some(neg)) => {
                let sizes = (1..=LARGEST_OTHER).map(|pos| Sizes { pos, neg });
                (
                    unknown::search(rows, sizes),
                    format!("sets of {neg} negatives and up to {LARGEST_OTHER} positives"),
                    false,
                )
            }
            _ => {
                let sizes = (2..=LARGEST_UNKNOWN).flat_map(|n| unknown::splits(n, share));
                (unknown::search(rows, sizes), format!("sets of up to {LARGEST_UNKNOWN} rows"), false)
            }
        };
        let (verdict, detail) = match (&found.pos, exhaustive) {
            (Some((low, high)), _) => (
                Verdict::NotInconsistent,
                format!("{} class sizes fit among {among}, with {low} to {high} positives", found.count),
            ),
            (None, true) => (Verdict::Inconsistent, format!("no class sizes fit among {among}")),
            (None, false) => (
                Verdict::NotInconsistent,
                format!("no class sizes fit among {among}: if the numbers are right, the set is larger"),
            ),
        };
        let mut check = Check::new("unknown_sizes", self.name.clone(), verdict, detail);
        check.solutions = Some(found.count);
        check.warning = found.count == 0;
        check.witness = found.first.map(|(sizes, counts)| {
            let rows: Vec<String> = counts.iter().map(|&(tp, tn)| cells(sizes, tp, tn)).collect();
            format!("{}: {}", said(sizes), rows.join("; "))
        });
        check.assuming(format!("all rows are of the same images; {}", self.printing()))
    }

    fn folds(&self, i: usize, row: &Row) -> Check {
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

    fn classes(&self, i: usize, row: &Row) -> Check {
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

    /// The AUROCs against the operating points and the class sizes.
    fn curves(&self, sizes: Option<Sizes>, checks: &mut Vec<Check>) {
        let rows = &self.set.row;
        let mut seen: Vec<&Printed> = Vec::new();
        for (i, row) in rows.iter().enumerate() {
            let Some(auroc) = row.values.get(&Metric::Auroc) else { continue };
            let first = !seen.contains(&auroc);
            seen.push(auroc);
            // Rows of one AUROC at different thresholds are points of one curve; others stand on their own.
            let of_curve: Vec<usize> =
                (0..rows.len()).filter(|&j| rows[j].values.get(&Metric::Auroc) == Some(auroc)).collect();
            let thresholds: Vec<_> = of_curve.iter().map(|&j| rows[j].values.get(&Metric::Threshold)).collect();
            let one_curve = thresholds.iter().enumerate().all(|(k, t)| t.is_some() && !thresholds[..k].contains(t));
            if one_curve && !first {
                continue;
            }
            let of_curve = if one_curve { of_curve } else { vec![i] };
            let points: Vec<Point> = of_curve.iter().filter_map(|&j| self.point(&rows[j], sizes)).collect();
            if !points.is_empty() {
                checks.push(self.staircase(auroc, &points, &of_curve));
            }
            if let Some(sizes) = sizes.filter(|_| first) {
                checks.push(self.fingerprint(i, auroc, sizes));
            } else if let Some(n) = self.set.n.filter(|_| first && sizes.is_none()) {
                checks.push(self.candidates(i, auroc, n));
            }
        }
    }

    /// The rates of a row: from its counts where the sizes are known, else as printed.
    fn point(&self, row: &Row, sizes: Option<Sizes>) -> Option<Point> {
        let share = |of: (u64, u64), n: u64| {
            let share = |count: u64| Exact::new(i128::from(count), i128::from(n));
            Interval::closed(share(of.0), share(of.1))
        };
        let one = Exact::from(1);
        match (row.matrix, sizes) {
            (Some(m), _) if m.tp + m.fn_ > 0 && m.tn + m.fp > 0 => {
                Some(Point { fpr: share((m.fp, m.fp), m.tn + m.fp), tpr: share((m.tp, m.tp), m.tp + m.fn_) })
            }
            (_, Some(sizes)) => {
                let claims = self.claims(row);
                let found = if claims.is_empty() { Solutions::default() } else { counts::enumerate(sizes, &claims) };
                let (tp, tn) = (found.tp?, found.tn?);
                Some(Point { fpr: share(tn, sizes.neg).map(-one, one), tpr: share(tp, sizes.pos) })
            }
            _ => {
                let value = |metric| row.values.get(&metric).map(|v| self.interval(v));
                let fpr = value(Metric::Specificity).map(|sp| sp.map(-one, one)).or_else(|| value(Metric::Fpr))?;
                let tpr = value(Metric::Sensitivity).or_else(|| value(Metric::Fnr).map(|f| f.map(-one, one)))?;
                Some(Point { fpr, tpr })
            }
        }
    }

    fn staircase(&self, auroc: &Printed, points: &[Point], rows: &[usize]) -> Check {
        let bounds = roc_bounds::auroc(points);
        let possible = !bounds.and(&self.interval(auroc)).is_empty();
        let names: Vec<String> = rows.iter().map(|&j| self.row_name(j)).collect();
        let one = if points.len() == 1 { "an operating point allows" } else { "the operating points allow" };
        let detail = format!("{one} an AUROC of {}; printed is {auroc}", bounds.text(4));
        Check::possible("auroc_against_points", names.join(" and "), possible, detail)
            .assuming(format!("the same scores gave the AUROC and the operating points; {}", self.printing()))
    }

    fn fingerprint(&self, i: usize, auroc: &Printed, sizes: Sizes) -> Check {
        let subject = self.row_name(i);
        if let Some(reason) = self.not_exact(auroc) {
            return self.untestable("auroc_fingerprint", subject, reason);
        }
        let within = Interval::of(auroc, self.rounding);
        let count = fingerprint::whole_numbers(&within, sizes);
        let detail = match count {
            0 => {
                let mut text = format!("no ranking of {} has the AUROC {auroc}", said(sizes));
                let n = sizes.pos + sizes.neg;
                if auroc.places() >= fingerprint::decimals_needed(n) {
                    let candidates = fingerprint::positives(&within, n).unwrap_or_default();
                    text += &format!("; of {n} rows it would have {} positives", alternatives(&candidates));
                }
                text
            }
            _ => format!("AUROC {auroc} times twice the pairs of {} can be whole", said(sizes)),
        };
        let mut check = Check::possible("auroc_fingerprint", subject, count > 0, detail);
        check.solutions = Some(count);
        check.assuming(format!("the AUROC is Mann-Whitney's, in doubles, of one run; {}", self.printing()))
    }

    /// The positives that an unrounded AUROC tells.
    fn candidates(&self, i: usize, auroc: &Printed, n: u64) -> Check {
        let subject = self.row_name(i);
        if let Some(reason) = self.not_exact(auroc) {
            return self.untestable("auroc_fingerprint", subject, reason);
        }
        let needed = fingerprint::decimals_needed(n);
        let enough = auroc.places() >= needed;
        let Some(found) = fingerprint::positives(&Interval::of(auroc, self.rounding), n) else {
            return self.untestable("auroc_fingerprint", subject, "too many rows to search");
        };
        let (verdict, detail) = match (found.is_empty(), enough) {
            (true, _) => (Verdict::Inconsistent, format!("no class sizes of {n} rows have the AUROC {auroc}")),
            (_, true) => (Verdict::NotInconsistent, format!("of {n} rows, {} are positives", alternatives(&found))),
            _ => (
                Verdict::Untestable,
                format!(
                    "{} numbers of positives fit; it takes {needed} decimals to tell them, {} are printed",
                    found.len(),
                    auroc.places()
                ),
            ),
        };
        let mut check = Check::new("auroc_fingerprint", subject, verdict, detail);
        check.solutions = Some(found.len() as u64);
        check.assuming(format!("the AUROC is Mann-Whitney's, in doubles, of one run; {}", self.printing()))
    }

    /// Why an AUROC need not be a fraction of the pairs.
    fn not_exact(&self, auroc: &Printed) -> Option<&'static str> {
        match self.computed {
            Some(Computed::Float32) => Some("it was computed in 32-bit floats"),
            Some(Computed::Binned) => Some("it was computed over binned thresholds"),
            Some(Computed::Averaged) => Some("it is a mean over runs"),
            None if fingerprint::is_float32(auroc) => Some("its digits look like a 32-bit float's"),
            None if self.set.mean == Some(Mean::Scores) => Some("it is a mean over folds"),
            None => None,
        }
    }

    fn untestable(&self, check: &'static str, subject: String, reason: &str) -> Check {
        Check::new(check, subject, Verdict::Untestable, reason)
    }

    /// Where a printed value lies.
    pub fn interval(&self, printed: &Printed) -> Interval {
        match &self.set.tolerance {
            Some(tolerance) => Interval::around(printed.value(), tolerance.value()),
            None => Interval::of(printed, self.rounding),
        }
    }

    fn intervals(&self, row: &Row) -> Vec<(Metric, Interval)> {
        let rate = |m: &Metric| !matches!(m, Metric::Threshold | Metric::Auroc | Metric::AveragePrecision);
        row.values.iter().filter(|(m, _)| rate(m)).map(|(&m, v)| (m, self.interval(v))).collect()
    }

    /// The claims that counts decide.
    pub fn claims(&self, row: &Row) -> Vec<Claim> {
        row.values.iter().filter_map(|(&m, v)| Claim::new(m, self.interval(v))).collect()
    }

    fn tested(&self, row: &Row) -> Vec<Metric> {
        row.values.iter().filter(|(m, v)| Claim::new(**m, self.interval(v)).is_some()).map(|(&m, _)| m).collect()
    }

    fn printing(&self) -> String {
        match (&self.set.tolerance, self.rounding) {
            (Some(tolerance), _) => format!("values within {tolerance} of those printed"),
            (_, Rounding::Half) => "values rounded to the nearest, ties either way".into(),
            (_, Rounding::HalfEven) => "values rounded half to even".into(),
            (_, Rounding::HalfUp) => "values rounded half up".into(),
            (_, Rounding::Truncate) => "values truncated".into(),
            (_, Rounding::Any) => "values rounded in any way, a whole unit of the last digit".into(),
        }
    }

    fn row_name(&self, i: usize) -> String {
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

fn cells(sizes: Sizes, tp: u64, tn: u64) -> String {
    format!("TP {tp}, FP {}, FN {}, TN {tn}", sizes.neg - tn, sizes.pos - tp)
}

fn listed(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
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
