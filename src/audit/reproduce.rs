//! A published table against predictions: is the comparison fair, and does each number reproduce?

use serde::Serialize;

use super::claim::{Claim, Ours, Rows, claims};
use super::fairness::{Counted, Fairness, Sides, Status};
use super::interval::{Interval, to_f64};
use super::plausibility::hanley_mcneil;
use super::rule::{Difference, Judgement, Verdict, judge};
use crate::cards::printed::{Printed, Rounding};
use crate::cards::published::{Metric, PublishedTable, Unit};
use crate::error::{Error, Result};
use crate::metrics::auroc::Placements;
use crate::metrics::average::weighted_auroc;
use crate::metrics::compare::{paired_auroc, paired_average};
use crate::metrics::confidence::two_sided_z;
use crate::predictions::{Policy, Predictions};
use crate::run::Description;

/// The schema that the document names.
pub const SCHEMA: &str = "roentgen/reproduction/1";

/// Margins where neither card nor flag sets them: of the mean over labels, and of a label.
const MARGINS: (f64, f64) = (0.02, 0.03);

/// Equal digits count as evidence of the same model when chance would bring them less often than this.
const CHANCE: f64 = 1e-6;

/// What is known beforehand of the two sides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Images {
    /// Counts must show it.
    #[default]
    ByCounts,
    /// The person vouches that they are the same.
    Same,
    /// They are others of the same kind.
    Other,
}

/// How a table is compared.
pub struct Settings<'a> {
    /// What becomes of uncertain and unmentioned labels.
    pub policy: Policy,
    /// What a row of the predictions is.
    pub unit: Unit,
    /// Which images were tested.
    pub images: Images,
    /// Whether the predictions are of the weights behind the table.
    pub same_model: bool,
    /// Margin of the mean, in place of the card's.
    pub margin_macro: Option<f64>,
    /// Margin of a label, in place of the card's.
    pub margin_label: Option<f64>,
    /// How values became digits, in place of the card's.
    pub rounding: Option<Rounding>,
    /// The predictions behind the table, of the same images in the same order.
    pub theirs: Option<&'a Predictions>,
    /// The run that made the predictions.
    pub run: Option<&'a Description>,
}

/// What stands behind a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Case {
    /// A numeric check.
    #[serde(rename = "same weights, images and labels")]
    Same,
    /// Paired.
    #[serde(rename = "same images, both predictions")]
    Paired,
    /// Only the printed value.
    #[serde(rename = "same images, printed values only")]
    Printed,
    /// Both variances.
    #[serde(rename = "other images")]
    Other,
}

/// One printed number against ours.
#[derive(Debug, Clone, Serialize)]
pub struct Item {
    /// The label, or `macro`.
    pub label: String,
    /// Which metric.
    pub metric: Metric,
    /// As printed; of a mean that was not printed, the mean of the printed rows.
    pub printed: String,
    /// Here.
    pub ours: f64,
    /// Ours less theirs.
    pub difference: f64,
    /// The margin with half the printed step.
    pub delta: f64,
    /// What stands behind the difference.
    pub case: Case,
    /// Intervals and tests; `None` for a numeric check and where there is no standard error.
    #[serde(flatten)]
    pub judgement: Option<Judgement>,
    /// The rule's answer.
    #[serde(rename = "verdict")]
    pub verdict: Verdict,
    /// Why, where the rule's words do not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A label or value that could not be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The label.
    pub label: String,
    /// The metric, where only one is concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// Why.
    pub reason: String,
}

/// The whole comparison: what `reproduce --format json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct Reproduction {
    /// Always [`SCHEMA`].
    pub schema: &'static str,
    /// The card's file or name.
    pub table: String,
    /// The source and version.
    pub title: String,
    /// Rows of the predictions.
    pub n_images: usize,
    /// Their patients, when known.
    pub n_patients: Option<usize>,
    /// What must be the same, and whether it is.
    pub fairness: Vec<Fairness>,
    /// Why the comparison is not fair; empty where it is.
    pub not_comparable: Vec<String>,
    /// The mean over labels; `None` where the table has none and fewer than two labels.
    #[serde(rename = "macro")]
    pub macro_average: Option<Item>,
    /// The labels, in the table's order.
    pub labels: Vec<Item>,
    /// How many labels have each verdict.
    pub counts: Vec<(Verdict, usize)>,
    /// What could not be compared.
    pub left_out: Vec<LeftOut>,
    /// What a reader must know.
    pub notes: Vec<String>,
}

/// One claim with all that its verdict needs.
struct Pair<'a> {
    claim: Claim<'a>,
    rows: usize,
    ours: Ours,
    /// Theirs where their predictions are known: value and the standard error of the difference.
    paired: Option<(f64, Option<f64>)>,
    exact: bool,
}

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
    let mut counts: Vec<(Verdict, usize)> = Vec::new();
    for item in &items {
        match counts.iter_mut().find(|c| c.0 == item.verdict) {
            Some(count) => count.1 += 1,
            None => counts.push((item.verdict, 1)),
        }
    }
    counts.sort();
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

/// Whether `value`, a double, prints as `printed`: to a few units in its last place.
fn prints(value: f64, printed: &Printed, rounding: Rounding) -> bool {
    let within = Interval::of(printed, rounding);
    let slack = 8.0 * f64::EPSILON * value.abs();
    to_f64(within.low) - slack <= value && value <= to_f64(within.high) + slack
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

/// What all items share.
struct Context<'a> {
    table: &'a PublishedTable,
    settings: &'a Settings<'a>,
    rounding: Rounding,
    /// Why nothing is comparable; empty where it is.
    unfair: String,
}

impl Context<'_> {
    /// Which claims are of the same weights, images and labels: as the person says, or because so many digits agree
    /// that chance would not bring it.
    fn same_model(&self, pairs: &[Pair]) -> Vec<bool> {
        if self.settings.same_model {
            return vec![true; pairs.len()];
        }
        // How often a value with this error would fall on the printed digits.
        let chance = |p: &Pair| {
            let step = to_f64(p.claim.printed.unit());
            p.ours.se.filter(|se| *se > 0.0).map_or(1.0, |se| (0.4 * step / se).min(1.0))
        };
        let all_agree = pairs.iter().all(|p| p.exact) && pairs.iter().map(chance).product::<f64>() < CHANCE;
        pairs.iter().map(|p| p.exact && (all_agree || chance(p) < CHANCE)).collect()
    }

    fn labels(&self, pairs: &[Pair], labels: &[(&str, Rows, Option<Rows>)], same: &[bool]) -> Vec<Item> {
        let margin = self.settings.margin_label.or_else(|| Some(self.table.margin.as_ref()?.label.as_ref()?.as_f64()));
        let margin = margin.unwrap_or(MARGINS.1);
        let mut items: Vec<Item> = pairs
            .iter()
            .zip(same)
            .map(|(pair, &same)| {
                let printed = pair.claim.printed;
                let delta = margin + 0.5 * to_f64(printed.unit());
                let theirs = pair.paired.map_or(printed.as_f64(), |p| p.0);
                let item = Item {
                    label: pair.claim.label.into(),
                    metric: pair.claim.metric,
                    printed: printed.text().into(),
                    ours: pair.ours.value,
                    difference: pair.ours.value - theirs,
                    delta,
                    case: self.case(same, pair.paired.is_some()),
                    judgement: None,
                    verdict: Verdict::NotComparable,
                    reason: None,
                };
                self.numeric(item, same, pair.exact)
            })
            .collect();
        let open: Vec<usize> = (0..items.len()).filter(|&i| items[i].case != Case::Same).collect();
        let differences: Vec<(usize, Difference)> = open
            .iter()
            .filter_map(|&i| {
                let se = self.error(&pairs[i], &labels[pairs[i].rows].1).filter(|se| *se > 0.0)?;
                Some((i, Difference { value: items[i].difference, se, delta: items[i].delta }))
            })
            .collect();
        let judged = judge(&differences.iter().map(|d| d.1).collect::<Vec<_>>());
        for (&(i, _), judgement) in differences.iter().zip(judged) {
            items[i].judgement = Some(judgement);
        }
        open.into_iter().for_each(|i| self.settle(&mut items[i]));
        items
    }

    fn case(&self, same: bool, paired: bool) -> Case {
        match (same, paired, self.settings.images) {
            (true, ..) => Case::Same,
            (_, true, _) => Case::Paired,
            (_, _, Images::Other) => Case::Other,
            _ => Case::Printed,
        }
    }

    /// The verdict of a numeric check.
    fn numeric(&self, mut item: Item, same: bool, exact: bool) -> Item {
        if same {
            item.verdict = match exact {
                true => Verdict::Exact,
                false if self.unfair.is_empty() => Verdict::NotReproduced,
                false => Verdict::NotComparable,
            };
            item.reason = match item.verdict {
                Verdict::NotReproduced => Some("the same weights, images and labels give other digits".into()),
                Verdict::NotComparable => Some(self.unfair.clone()),
                _ => None,
            };
        }
        item
    }

    /// The verdict of an item that was judged.
    fn settle(&self, item: &mut Item) {
        (item.verdict, item.reason) = match &item.judgement {
            _ if !self.unfair.is_empty() => (Verdict::NotComparable, Some(self.unfair.clone())),
            None => (Verdict::NotComparable, Some("there is no standard error: too few patients of a class".into())),
            Some(judgement) => (judgement.verdict, None),
        };
    }

    /// Standard error of the difference.
    fn error(&self, pair: &Pair, rows: &Rows) -> Option<f64> {
        if let Some((_, se)) = pair.paired {
            return se;
        }
        let ours = pair.ours.se?;
        let theirs = pair.claim.ci.map(interval_error).or_else(|| {
            let other = self.settings.images == Images::Other && pair.claim.metric == Metric::Auroc;
            let sizes = pair.claim.n.zip(pair.claim.n_pos).filter(|(n, pos)| other && *pos > 0 && pos < n)?;
            let theirs = super::counts::Sizes { pos: sizes.1, neg: sizes.0 - sizes.1 };
            // Clusters widen theirs as they widen ours.
            let widened = ours / hanley_mcneil(pair.ours.value, rows.sizes);
            Some(hanley_mcneil(pair.claim.printed.as_f64(), theirs) * widened.max(1.0))
        });
        Some(ours.hypot(theirs.unwrap_or(ours)))
    }

    /// The mean AUROC over labels.
    fn mean(&self, pairs: &[Pair], labels: &[(&str, Rows, Option<Rows>)], items: &[Item]) -> Option<Item> {
        let of_auroc: Vec<usize> = (0..pairs.len())
            .filter(|&i| pairs[i].claim.metric == Metric::Auroc && pairs[i].claim.row.is_some())
            .collect();
        let stated = self.table.macro_average.as_ref().and_then(|m| Some((m, m.values.get(&Metric::Auroc)?)));
        if of_auroc.is_empty() || (stated.is_none() && of_auroc.len() < 2) {
            return None;
        }
        let placements: Vec<Placements> =
            of_auroc.iter().map(|&i| labels[pairs[i].rows].1.placements.clone()).collect();
        let ones = vec![1.0; placements.len()];
        let ours = weighted_auroc(&placements, &ones)?;
        let k = of_auroc.len() as f64;
        let row_mean = of_auroc.iter().map(|&i| pairs[i].claim.printed.as_f64()).sum::<f64>() / k;
        let half_step = match stated {
            Some((_, printed)) => 0.5 * to_f64(printed.unit()),
            None => of_auroc.iter().map(|&i| 0.5 * to_f64(pairs[i].claim.printed.unit())).sum::<f64>() / k,
        };
        let margin = self.settings.margin_macro;
        let margin = margin.or_else(|| Some(self.table.margin.as_ref()?.macro_average.as_ref()?.as_f64()));
        let same = of_auroc.iter().all(|&i| items[i].case == Case::Same);
        let paired: Option<Vec<(Placements, Placements)>> = of_auroc
            .iter()
            .map(|&i| {
                let (_, ours, theirs) = &labels[pairs[i].rows];
                Some((ours.placements.clone(), theirs.as_ref()?.placements.clone()))
            })
            .collect();
        let paired = paired.and_then(|pairs| paired_average(&pairs, &ones)).filter(|_| !same);
        let printed = stated.map_or(row_mean, |(_, printed)| printed.as_f64());
        let theirs = paired.map_or(printed, |p| p.auroc_b);
        let value = ours.estimate.value;
        let item = Item {
            label: "macro".into(),
            metric: Metric::Auroc,
            printed: stated.map_or_else(|| format!("{row_mean:.4}"), |(_, printed)| printed.text().into()),
            ours: value,
            difference: value - theirs,
            delta: margin.unwrap_or(MARGINS.0) + half_step,
            case: self.case(same, paired.is_some()),
            judgement: None,
            verdict: Verdict::NotComparable,
            reason: None,
        };
        let exact = match stated {
            Some((_, printed)) => prints(value, printed, self.rounding),
            None => (value - row_mean).abs() <= half_step + 8.0 * f64::EPSILON,
        };
        let mut item = self.numeric(item, same, exact);
        let over = stated.and_then(|(m, _)| m.labels).unwrap_or(self.table.label.len() as u64);
        if over != of_auroc.len() as u64 {
            item.verdict = Verdict::NotComparable;
            item.reason = Some(format!("the printed mean is over {over} labels, {} are here", of_auroc.len()));
            return Some(item);
        }
        if item.case == Case::Same {
            return Some(item);
        }
        let se = match paired {
            Some(comparison) => comparison.se,
            None => ours.estimate.se.map(|se| {
                let ci = stated.and_then(|(m, _)| m.ci.get(&Metric::Auroc));
                se.hypot(ci.map_or(se, interval_error))
            }),
        };
        item.judgement = se
            .filter(|se| *se > 0.0)
            .and_then(|se| judge(&[Difference { value: item.difference, se, delta: item.delta }]).first().copied());
        self.settle(&mut item);
        Some(item)
    }

    fn notes(&self, pairs: &[Pair], items: &[Item], mean: Option<&Item>) -> Vec<String> {
        let mut notes = Vec::new();
        let has = |case: Case| items.iter().chain(mean).any(|i| i.case == case);
        if has(Case::Printed) {
            notes.push(
                "only printed values are at hand: without pairing the standard error is too wide (1.6 times is usual), \
                 which leans to CONSISTENT"
                    .into(),
            );
        }
        if has(Case::Printed) || has(Case::Other) {
            notes.push("where no interval was printed, theirs is taken to be as uncertain as ours".into());
        }
        if !self.unfair.is_empty() && items.iter().any(|i| i.verdict == Verdict::Exact) {
            notes.push(
                "labels all of whose digits agree are reproduced although the table as a whole is not comparable"
                    .into(),
            );
        }
        if has(Case::Same) && !self.settings.same_model {
            let digits: u32 = pairs.iter().filter(|p| p.exact).map(|p| p.claim.printed.digits()).sum();
            notes.push(format!("same weights, images and labels: inferred from {digits} digits that agree"));
        }
        if !self.settings.same_model && (has(Case::Paired) || has(Case::Printed) || has(Case::Other)) {
            notes.push("of a model that was trained again, the variance between seeds is not covered".into());
        }
        notes
    }
}

/// The standard error behind a printed 95% interval.
fn interval_error([low, high]: &[Printed; 2]) -> f64 {
    (high.as_f64() - low.as_f64()).abs() / (2.0 * two_sided_z(0.95))
}

impl Reproduction {
    /// Whether the answer is no: the mean or a label is NOT REPRODUCED.
    pub fn refuted(&self) -> bool {
        self.macro_average.iter().chain(&self.labels).any(|i| i.verdict == Verdict::NotReproduced)
    }
}
