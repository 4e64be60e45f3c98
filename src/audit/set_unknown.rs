//! The checks of a test set whose class sizes are not both known.

use super::check::{Check, Verdict};
use super::counts::{Claim, Sizes};
use super::interval::{Exact, Interval};
use super::test_set::{Subject, cells, said};
use super::unknown;
use crate::cards::published::TestSet;

/// Sets of unknown size are searched up to this many rows.
const LARGEST_UNKNOWN: u64 = 1000;

/// Where the other class is known, it is searched up to this many rows.
const LARGEST_OTHER: u64 = 30_000;

/// Sets of more rows are not searched for the sizes of their classes.
const MOST_SEARCHED: u64 = 100_000;

impl Subject<'_> {
    /// Rows on a set whose sizes are not both known.
    pub(super) fn unknown(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        let mut share: Option<Interval> = None;
        for (i, row) in self.set.row.iter().enumerate() {
            let value = |metric| self.rate(row, metric);
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
        if [n, n_pos, n_neg].into_iter().flatten().any(|count| count > MOST_SEARCHED) {
            return self.untestable("unknown_sizes", self.name.clone(), "too many class sizes to search");
        }
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
}
