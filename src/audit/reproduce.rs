//! A published table against predictions: is the comparison fair, and does each number reproduce?

use super::claim::{Rows, claims};
use super::fairness::{Counted, Fairness, Sides, Status};
use super::reproduction::{Count, Images, LeftOut, Reproduction, SCHEMA, Settings};
use super::rule::Verdict;
use super::verdicts::{Context, Pair, prints};
use crate::cards::printed::Printed;
use crate::cards::published::{Metric, PublishedTable};
use crate::error::{Error, Result};
use crate::metrics::compare::paired_auroc;
use crate::predictions::Predictions;

/// Compares `table`, which the card at `place` holds, with `predictions`.
///
/// # Errors
/// No label of the table in the predictions; scores that are no numbers; their predictions on other rows.
pub fn reproduce(
    table: &PublishedTable,
    place: &str,
    predictions: &Predictions,
    settings: &Settings,
) -> Result<Reproduction> {
    if settings.theirs.is_some_and(|t| t.images != predictions.images) {
        return Err(Error::new("the other predictions are of other images, or in another order"));
    }
    let rounding = settings.rounding.unwrap_or(table.rounding);
    let mut scored = predictions.labels.iter().filter(|l| l.scores.is_some() && l.truths.is_some());
    let only = scored.next().filter(|_| scored.next().is_none()).map(|l| l.name.as_str());
    let patients = predictions.clusters();
    let all = claims(table, only);
    let mut left_out = Vec::new();
    let mut labels: Vec<(&str, Rows, Option<Rows>)> = Vec::new();
    for claim in &all {
        let seen =
            labels.iter().any(|l| l.0 == claim.label) || left_out.iter().any(|l: &LeftOut| l.label == claim.label);
        if seen {
            continue;
        }
        match Rows::of(predictions, claim.label, settings.policy, patients.as_deref())? {
            Ok(rows) => {
                let theirs =
                    settings.theirs.map(|t| their_rows(t, predictions, claim.label, settings, patients.as_deref()));
                labels.push((claim.label, rows, theirs.transpose()?.flatten()));
            }
            Err(reason) => left_out.push(LeftOut { label: claim.label.into(), metric: None, reason }),
        }
    }
    if labels.is_empty() {
        let mut why: Vec<String> = left_out.iter().map(|l| format!("{}: {}", l.label, l.reason)).collect();
        if all.is_empty() {
            why.push("the table has no value of a label: a `[[test_set]]` names it with `label`".into());
        }
        return Err(Error::new(format!("nothing of the table can be compared ({})", why.join("; "))).at(place));
    }
    let mut pairs = Vec::new();
    for claim in all {
        let Some(rows) = labels.iter().position(|l| l.0 == claim.label) else { continue };
        let (_, ours, theirs) = &labels[rows];
        let threshold = claim.threshold.map(Printed::as_f64);
        match ours.number(claim.metric, threshold) {
            Ok(number) => {
                let paired = theirs.as_ref().filter(|_| claim.metric == Metric::Auroc).map(|theirs| {
                    let c = paired_auroc(&ours.placements, &theirs.placements);
                    (c.auroc_b, c.se)
                });
                let exact = prints(number.value, claim.printed, rounding);
                pairs.push(Pair { claim, rows, ours: number, paired, exact });
            }
            Err(reason) => {
                left_out.push(LeftOut { label: claim.label.into(), metric: Some(claim.metric), reason });
            }
        }
    }
    let counted: Vec<Counted> = labels
        .iter()
        .filter_map(|(label, rows, _)| {
            let claim = &pairs.iter().find(|p| p.claim.label == *label)?.claim;
            Some(Counted { label, here: rows.sizes, n: claim.n, n_pos: claim.n_pos, row: claim.row })
        })
        .collect();
    let n_patients = patients.as_ref().map(|ids| ids.iter().max().map_or(0, |m| *m as usize + 1));
    let sides = Sides {
        table,
        place,
        counted: &counted,
        unit: settings.unit,
        patients: n_patients.map(|n| n as u64),
        run: settings.run,
    };
    let (fairness, list_known) = sides.compare();
    let not_comparable = reasons(&fairness, list_known, settings.images);
    let context = Context { table, settings, rounding, unfair: not_comparable.join("; ") };
    let same = context.same_model(&pairs);
    let items = context.labels(&pairs, &labels, &same);
    let macro_average = context.mean(&pairs, &labels, &items);
    let mut counts: Vec<Count> = Vec::new();
    for item in &items {
        match counts.iter_mut().find(|c| c.verdict == item.verdict) {
            Some(count) => count.labels += 1,
            None => counts.push(Count { verdict: item.verdict, labels: 1 }),
        }
    }
    counts.sort_by_key(|c| c.verdict);
    Ok(Reproduction {
        schema: SCHEMA,
        table: place.into(),
        title: table.title(),
        n_images: predictions.len(),
        n_patients,
        fairness,
        not_comparable,
        notes: context.notes(&pairs, &items, macro_average.as_ref()),
        macro_average,
        labels: items,
        counts,
        left_out,
    })
}

/// Their scores with our truths and patients.
fn their_rows(
    theirs: &Predictions,
    ours: &Predictions,
    label: &str,
    settings: &Settings,
    patients: Option<&[u32]>,
) -> Result<Option<Rows>> {
    let Some(truths) = ours.label(label).and_then(|l| l.truths.clone()) else { return Ok(None) };
    let Some(found) = theirs.label(label) else { return Ok(None) };
    let table = Predictions {
        images: theirs.images.clone(),
        labels: vec![crate::predictions::Label { truths: Some(truths), ..found.clone() }],
        ..Predictions::default()
    };
    Ok(Rows::of(&table, label, settings.policy, patients)?.ok())
}

/// Why the comparison is not fair.
fn reasons(fairness: &[Fairness], list_known: bool, images: Images) -> Vec<String> {
    let counted = ["rows", "positives", "patients", "fingerprint"];
    let mut found: Vec<String> = Vec::new();
    for item in fairness.iter().filter(|f| f.status == Status::Differs) {
        if images == Images::Other && counted.contains(&item.what) {
            continue;
        }
        // How many, without the list that stands with the item.
        let detail = item.detail.split(':').next().unwrap_or_default();
        found.push(match item.what {
            "positives" => format!("positives differ ({detail}): another label version or test list"),
            "fingerprint" => format!("AUROCs belong to other positives ({detail}): another label version or test list"),
            "rows" | "patients" => format!("{} differ ({detail}): another test list", item.what),
            "arithmetic" => detail.to_owned(),
            what => format!("the {what} differs ({detail})"),
        });
    }
    if found.is_empty() && !list_known && images == Images::ByCounts {
        found.push("test list unknown: the table states no positives by which it could be told".into());
    }
    found
}

impl Reproduction {
    /// How many labels have each verdict, and the mean's, on one line.
    pub fn summary(&self) -> String {
        let all = self.labels.len();
        let counts: Vec<String> =
            self.counts.iter().map(|c| format!("{} of {all} {}", c.labels, c.verdict.words())).collect();
        let mean = self.macro_average.as_ref().map(|m| format!("macro: {}; ", m.verdict.words()));
        format!("{}labels: {}", mean.unwrap_or_default(), counts.join(", "))
    }

    /// Whether the answer is no: the mean or a label is NOT REPRODUCED.
    pub fn refuted(&self) -> bool {
        self.macro_average.iter().chain(&self.labels).any(|i| i.verdict == Verdict::NotReproduced)
    }
}
