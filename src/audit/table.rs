//! The audit of a published table: the checks of its sets, labels and means.

use super::check::{Check, TableAudit, Verdict};
use super::counts::Sizes;
use super::interval::{Exact, Interval, to_f64};
use super::means::hidden_mean;
use super::plausibility::{hanley_mcneil, least_hanley_mcneil};
use super::test_set::{Subject, said};
use super::unknown;
use crate::cards::printed::{Printed, Rounding};
use crate::cards::published::{Computed, LabelRow, Metric, PublishedTable, Row, StatedSplit, TestSet, Values};
use crate::metrics::confidence::{LEVEL, two_sided_z};

/// An interval this many times narrower or wider than Hanley & McNeil's is told.
const WIDTH: f64 = 2.0;

/// The audit of `table`, which the card at `place` holds. `rounding` overrides what the card says.
pub fn audit(table: &PublishedTable, place: &str, rounding: Option<Rounding>) -> TableAudit {
    let mut checks = Vec::new();
    let mut all_rows: Vec<(String, &Row, Option<Sizes>, Option<u64>)> = Vec::new();
    for (i, set) in table.test_set.iter().enumerate() {
        let name = set.name.clone().unwrap_or_else(|| format!("test set {}", i + 1));
        let rounding = rounding.or(set.rounding).unwrap_or(table.rounding);
        let subject = Subject { name: name.clone(), set, rounding, computed: table.computed };
        checks.extend(subject.checks());
        let sizes = set.n_pos.zip(set.n_neg).map(|(pos, neg)| Sizes { pos, neg });
        let named = |row: &Row| row.name.as_ref().map_or(name.clone(), |row| format!("{name}, {row}"));
        all_rows.extend(set.row.iter().map(|row| (named(row), row, sizes, set.n)));
    }
    let rounding_of_labels = rounding.unwrap_or(table.rounding);
    let labels: Vec<TestSet> = table.label.iter().map(as_set).collect();
    for (row, set) in table.label.iter().zip(&labels) {
        let name = row.label.clone();
        let subject = Subject { name: name.clone(), set, rounding: rounding_of_labels, computed: table.computed };
        checks.extend(subject.checks());
        let sizes = set.n_pos.zip(set.n_neg).map(|(pos, neg)| Sizes { pos, neg });
        all_rows.extend(set.row.iter().map(|r| (name.clone(), r, sizes, set.n)));
    }
    for (name, row, sizes, n) in all_rows {
        for (&metric, ci) in &row.ci {
            checks.extend(interval_check(name.clone(), metric, &row.values, ci, sizes, n));
        }
    }
    if let Some(row) = &table.macro_average {
        for (&metric, printed) in &row.values {
            macro_checks(table, metric, printed, row.labels, rounding_of_labels, &mut checks);
        }
        for (&metric, ci) in &row.ci {
            checks.extend(interval_check("macro".into(), metric, &row.values, ci, None, None));
        }
    }
    if let Some(split) = &table.stated_split {
        checks.extend(split_check(table, split, rounding));
    }
    if checks.is_empty() {
        let detail = "the card states too little: class sizes, several metrics of one row, intervals or a mean";
        checks.push(Check::new("nothing", "table", Verdict::Untestable, detail));
    }
    TableAudit::of(place.to_owned(), table.title(), checks)
}

/// A label's row as a test set of one row.
fn as_set(row: &LabelRow) -> TestSet {
    let values = Row { values: row.values.clone(), ci: row.ci.clone(), ..Row::default() };
    TestSet { n: row.n, n_pos: row.n_pos, n_neg: row.n_neg, row: vec![values], ..TestSet::default() }
}

/// The mean over labels, as stated and, where labels are hidden, over those shown.
fn macro_checks(
    table: &PublishedTable,
    metric: Metric,
    printed: &Printed,
    labels: Option<u64>,
    rounding: Rounding,
    checks: &mut Vec<Check>,
) {
    let rows: Vec<&Printed> = table.label.iter().filter_map(|l| l.values.get(&metric)).collect();
    let subject = format!("macro {metric}");
    if rows.is_empty() {
        checks.push(Check::new("macro_mean", subject, Verdict::Untestable, "no label's value is shown"));
        return;
    }
    let intervals: Vec<Interval> = rows.iter().map(|r| Interval::of(r, rounding)).collect();
    let mean = Interval::of(printed, rounding);
    let range = Interval::closed(Exact::from(-i128::from(metric == Metric::Mcc)), Exact::from(1));
    let places = printed.places() as usize + 2;
    let shown = rows.len() as u64;
    let of_shown = hidden_mean(&intervals, mean, shown, range);
    let count = labels.unwrap_or(shown).max(shown);
    let detail = format!("the {shown} rows shown average {}; printed is {printed}", of_shown.must.text(places));
    let check = Check::possible("macro_mean", subject.clone(), of_shown.possible, detail)
        .assuming(format!("the mean is over the {shown} rows shown, each counting the same"));
    checks.push(Check { alternative: count > shown, ..check });
    if count == shown {
        return;
    }
    let hidden = hidden_mean(&intervals, mean, count, range);
    let above = intervals.iter().filter(|row| hidden.must.low >= row.low).count();
    let below = intervals.iter().filter(|row| hidden.must.high <= row.high).count();
    let mut detail = format!("the {} labels not shown must average {}", count - shown, hidden.must.text(places));
    if above > 0 {
        detail += &format!(", not below {above} of the {shown} shown");
    }
    if below == intervals.len() {
        detail += ", not above any of those shown";
    }
    let mut check = Check::possible("macro_mean", subject, hidden.possible, detail)
        .assuming(format!("the mean is over {count} labels, each counting the same"));
    check.warning = above as u64 == shown || !of_shown.possible && above > 0;
    checks.push(check);
}

/// A printed interval: its value must lie in it, and its width should suit the rows.
fn interval_check(
    subject: String,
    metric: Metric,
    values: &Values,
    [low, high]: &[Printed; 2],
    sizes: Option<Sizes>,
    n: Option<u64>,
) -> Option<Check> {
    let (from, to) = (Interval::of(low, Rounding::Any), Interval::of(high, Rounding::Any));
    if from.low > to.high {
        let detail = format!("{metric}: the interval {low} to {high} ends before it begins");
        return Some(Check::possible("interval", subject, false, detail));
    }
    let value = values.get(&metric)?;
    let at = Interval::of(value, Rounding::Any);
    if at.high < from.low || at.low > to.high {
        let detail = format!("{metric} {value} lies outside its interval {low} to {high}");
        return Some(Check::possible("interval", subject, false, detail));
    }
    let inside = format!("{metric} {value} lies in its interval {low} to {high}");
    let plain = |detail: String| Check::possible("interval", subject.clone(), true, detail);
    if metric != Metric::Auroc {
        return Some(plain(inside));
    }
    let half_width = 0.5 * (high.as_f64() - low.as_f64());
    let slack = 0.5 * (to_f64(low.unit()) + to_f64(high.unit()));
    let (expected, whose) = match (sizes, n) {
        (Some(sizes), _) if sizes.pos > 0 && sizes.neg > 0 => (hanley_mcneil(value.as_f64(), sizes), said(sizes)),
        (None, Some(n)) if n > 1 => (least_hanley_mcneil(value.as_f64(), n), format!("{n} rows in equal classes")),
        _ => return Some(plain(inside)),
    };
    let expected = two_sided_z(LEVEL) * expected;
    let narrow = half_width + slack < expected / WIDTH;
    let wide = sizes.is_some() && half_width - slack > expected * WIDTH;
    let mut check = plain(format!(
        "{inside}; its half-width is {half_width:.4}, Hanley & McNeil's for {whose} {expected:.4}{}",
        match (narrow, wide) {
            (true, _) => ": too narrow to be believed",
            (_, true) => ": wider than the rows explain",
            _ => "",
        }
    ));
    check.warning = narrow || wide;
    Some(check.assuming("a 95% interval; its width is judged as plausible or not, never as impossible"))
}

/// The stated split against what the rows say of the class sizes.
fn split_check(table: &PublishedTable, split: &StatedSplit, rounding: Option<Rounding>) -> Option<Check> {
    let set = table.test_set.first()?;
    let name = set.name.clone().unwrap_or_else(|| "test set 1".into());
    let rounding = rounding.or(set.rounding).unwrap_or(table.rounding);
    let subject = Subject { name: name.clone(), set, rounding, computed: table.computed };
    if table.computed == Some(Computed::Averaged) {
        return Some(Check::new("stated_split", name, Verdict::Untestable, "the values are means over runs"));
    }
    let rows: Vec<_> = set.row.iter().map(|r| subject.claims(r)).filter(|c| !c.is_empty()).collect();
    let exactly = split.test.value() * Exact::from(i128::from(split.total));
    let whole = |x: Exact| u64::try_from(x.to_integer()).unwrap_or(0);
    // One more either way: rounding of each class, and of the other parts.
    let (from, to) = (whole(exactly.floor()).saturating_sub(1), whole(exactly.ceil()) + 1);
    let share = split.n_pos.map(|pos| {
        let share = Exact::new(i128::from(pos), i128::from(split.total.max(1)));
        // One positive more or less.
        Interval::around(share, Exact::new(1, i128::from(from.max(1))))
    });
    let found = unknown::search(&rows, (from..=to).flat_map(|n| unknown::splits(n, share)));
    let balance = match split.n_pos {
        Some(pos) => format!(", {pos} of {} positive", split.total),
        None => ", any number of them positive".into(),
    };
    let stated = format!("a test set of {} of {} images ({from} to {to}{balance})", split.test, split.total);
    let mut detail = match found.count {
        0 => format!("no counts of {stated} give the rows of {name}"),
        n => format!("{n} class sizes of {stated} give the rows of {name}"),
    };
    if let Some(sizes) = set.n_pos.zip(set.n_neg).map(|(pos, neg)| Sizes { pos, neg })
        && !(from..=to).contains(&(sizes.pos + sizes.neg))
    {
        let n = sizes.pos + sizes.neg;
        detail += &format!("; {} are {:.1}% of {}", said(sizes), 100.0 * n as f64 / split.total as f64, split.total);
    }
    let mut check = Check::possible("stated_split", name, found.count > 0, detail);
    check.solutions = Some(found.count);
    check.witness = found.first.map(|(sizes, _)| said(sizes));
    Some(check.assuming("the test set is the stated share, to one image either way"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(text: &str) -> Vec<(&'static str, Verdict, bool)> {
        let card = format!("schema = \"roentgen/published/1\"\nsource = \"a table\"\n{text}");
        let table = PublishedTable::parse(&card, "card").unwrap();
        audit(&table, "card", None).checks.iter().map(|c| (c.check, c.verdict, c.warning)).collect()
    }

    #[test]
    fn intervals_hold_their_value_and_suit_the_rows() {
        use Verdict::{Inconsistent, NotInconsistent};
        let ci = |low: &str, high: &str| {
            let text = format!(
                "n = 22433\n[[label]]\nlabel = \"Effusion\"\nn_pos = 2754\nvalues = {{ auroc = \"0.8638\" }}\nci = {{ auroc = [\"{low}\", \"{high}\"] }}"
            );
            checks(&text).into_iter().find(|c| c.0 == "interval").map(|c| (c.1, c.2)).unwrap()
        };
        assert_eq!(ci("0.858", "0.870"), (NotInconsistent, false));
        assert_eq!(ci("0.8637", "0.8639"), (NotInconsistent, true));
        assert_eq!(ci("0.760", "0.960"), (NotInconsistent, true));
        assert_eq!(ci("0.870", "0.880"), (Inconsistent, false));
        assert_eq!(ci("0.870", "0.858"), (Inconsistent, false));
    }

    #[test]
    fn what_cannot_be_tested_is_no_error() {
        use Verdict::{Inconsistent, NotInconsistent, Untestable};
        let row = "[[test_set]]\nn_pos = 100\nn_neg = 200\n[[test_set.row]]\nvalues = { auroc = \"0.8123456\", accuracy = \"0.9\", sensitivity = \"0.855\" }";
        let verdict = |more: &str| {
            let found = checks(&format!("{more}{row}"));
            (found[0].1, found.iter().find(|c| c.0 == "auroc_fingerprint").map(|c| c.1))
        };
        // 0.855 is no share of 100; AUROCs of 100 and 200 come in steps of 0.000025.
        assert_eq!(verdict("computed = \"binned\"\n"), (Inconsistent, Some(Untestable)));
        assert_eq!(verdict("computed = \"averaged\"\n"), (Untestable, None));
        let exact = row.replace("0.8123456", "0.81234");
        assert_eq!(checks(&exact).last().map(|c| (c.0, c.1)), Some(("auroc_fingerprint", Inconsistent)));
        assert_eq!(checks(&exact.replace("0.81234", "0.81235")).last().map(|c| c.1), Some(NotInconsistent));
        assert_eq!(checks("[[label]]\nlabel = \"Mass\"\nvalues = { auroc = \"0.8\" }")[0].1, Untestable);
    }
}
