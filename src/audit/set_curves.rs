//! The checks of a test set's AUROCs: against its operating points and its class sizes.

use super::check::{Check, Verdict};
use super::counts::{self, Sizes, Solutions};
use super::fingerprint;
use super::interval::{Exact, Interval};
use super::roc_bounds::{self, Point};
use super::test_set::{Subject, alternatives, said};
use crate::cards::printed::Printed;
use crate::cards::published::{Computed, Mean, Metric, Row};

impl Subject<'_> {
    /// The AUROCs against the operating points and the class sizes.
    pub(super) fn curves(&self, sizes: Option<Sizes>, checks: &mut Vec<Check>) {
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
                let value = |metric| self.rate(row, metric);
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
}
