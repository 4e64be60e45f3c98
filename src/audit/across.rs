//! Checks between tables: copies of one another, one label's fingerprints together, differences within noise.

use std::collections::BTreeMap;

use super::check::{Check, Verdict};
use super::counts::Sizes;
use super::fingerprint;
use super::interval::Interval;
use super::plausibility::hanley_mcneil;
use super::test_set::alternatives;
use crate::cards::published::{Metric, PublishedTable};
use crate::labels;

/// Fewer equal values than this may be chance.
const FEWEST: usize = 4;

/// What `table` has to do with another one, `name`.
pub fn against(table: &PublishedTable, name: &str, other: &PublishedTable) -> Vec<Check> {
    let mut checks = Vec::new();
    checks.extend(duplicate(table, name, other));
    if same_data(table, other) {
        checks.extend(joint_fingerprints(table, name, other));
        checks.extend(differences(table, name, other));
    }
    checks
}

/// The printed numbers of a table's labels: (label, metric) to digits.
fn printed(table: &PublishedTable) -> BTreeMap<(String, Metric), &str> {
    let of_label = table.label.iter().flat_map(|row| {
        row.values.iter().map(|(&metric, value)| ((labels::canonical(&row.label), metric), value.text()))
    });
    of_label.collect()
}

/// Two tables with equal columns are copies of one another.
pub fn duplicate(table: &PublishedTable, name: &str, other: &PublishedTable) -> Option<Check> {
    let (a, b) = (printed(table), printed(other));
    let common: Vec<_> = a.keys().filter(|key| b.contains_key(*key)).collect();
    let equal = common.iter().filter(|key| a[**key] == b[**key]).count();
    if common.len() < FEWEST || equal < common.len() {
        return None;
    }
    let detail = format!("all {equal} values equal those of {}: a copy, no second result", other.title());
    let mut check = Check::new("duplicate", name, Verdict::NotInconsistent, detail);
    check.warning = true;
    Some(check.assuming(format!("independent runs do not agree in {equal} printed values")))
}

/// Whether both say that they tested the same images by the same labels.
fn same_data(a: &PublishedTable, b: &PublishedTable) -> bool {
    let same = |x: &Option<String>, y: &Option<String>| x.is_some() && x == y;
    same(&a.dataset, &b.dataset)
        && a.n.is_some()
        && a.n == b.n
        && a.label_version == b.label_version
        && a.unit == b.unit
}

/// The positives that the unrounded AUROCs of both tables leave.
fn joint_fingerprints(table: &PublishedTable, name: &str, other: &PublishedTable) -> Vec<Check> {
    let Some(n) = table.n else { return Vec::new() };
    let candidates = |table: &PublishedTable, label: &str| {
        let row = table.label.iter().find(|row| labels::same(&row.label, label))?;
        let auroc = row.values.get(&Metric::Auroc)?;
        let exact = table.computed.is_none() && auroc.places() >= fingerprint::decimals_needed(n);
        let within = Interval::of(auroc, table.rounding);
        exact.then(|| fingerprint::positives(&within, n)).flatten()
    };
    let mut checks = Vec::new();
    for row in &table.label {
        let Some((a, b)) = candidates(table, &row.label).zip(candidates(other, &row.label)) else { continue };
        let both: Vec<u64> = a.iter().filter(|p| b.contains(p)).copied().collect();
        let detail = match both.is_empty() {
            true => format!(
                "the AUROCs of the two tables belong to {} and {} positives",
                alternatives(&a),
                alternatives(&b)
            ),
            false => format!("of {n} rows, {} are positives by both tables", alternatives(&both)),
        };
        let mut check =
            Check::possible("joint_fingerprint", format!("{name}, {}", row.label), !both.is_empty(), detail);
        check.solutions = Some(both.len() as u64);
        checks.push(
            check.assuming("both tables are of the same images and labels, their AUROCs Mann-Whitney's in doubles"),
        );
    }
    checks
}

/// How large the differences are against the sampling error of two unpaired AUROCs.
fn differences(table: &PublishedTable, name: &str, other: &PublishedTable) -> Option<Check> {
    let mut largest: Option<(f64, String)> = None;
    let (mut compared, mut beyond) = (0, 0);
    for row in &table.label {
        let Some(theirs) = other.label.iter().find(|o| labels::same(&o.label, &row.label)) else { continue };
        let (Some(a), Some(b)) = (row.values.get(&Metric::Auroc), theirs.values.get(&Metric::Auroc)) else { continue };
        let Some(sizes) = row.n_pos.zip(row.n_neg).map(|(pos, neg)| Sizes { pos, neg }) else { continue };
        if sizes.pos == 0 || sizes.neg == 0 {
            continue;
        }
        let (a, b) = (a.as_f64(), b.as_f64());
        let se = libm::hypot(hanley_mcneil(a, sizes), hanley_mcneil(b, sizes));
        let z = (a - b) / se;
        if !z.is_finite() {
            continue;
        }
        compared += 1;
        beyond += usize::from(z.abs() > 1.96);
        if largest.as_ref().is_none_or(|(most, _)| z.abs() > most.abs()) {
            largest = Some((z, format!("{} ({:+.4}, z {z:+.1})", row.label, a - b)));
        }
    }
    let (_, label) = largest?;
    let detail = format!(
        "against {}: {beyond} of {compared} AUROCs differ by more than 1.96 standard errors; most at {label}",
        other.title()
    );
    let check = Check::new("difference", name, Verdict::NotInconsistent, detail);
    Some(check.assuming(
        "Hanley & McNeil's errors, as if the two were of different images: on the same images pairing makes them smaller",
    ))
}
