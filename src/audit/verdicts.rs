//! The verdicts of a reproduction: each number's case, standard error and margin, put to the rule.

use super::claim::{Claim, Ours, Rows};
use super::counts::Sizes;
use super::interval::{Interval, to_f64};
use super::plausibility::hanley_mcneil;
use super::reproduction::{Case, Images, Item, Settings};
use super::rule::{Difference, Verdict, judge};
use crate::cards::printed::{Printed, Rounding};
use crate::cards::published::{Metric, PublishedTable};
use crate::metrics::auroc::Placements;
use crate::metrics::average::weighted_auroc;
use crate::metrics::compare::paired_average;
use crate::metrics::confidence::{LEVEL, two_sided_z};

/// Margins where neither card nor flag sets them: of the mean over labels, and of a label.
const MARGINS: (f64, f64) = (0.02, 0.03);

/// Equal digits count as evidence of the same model when chance would bring them less often than this.
const CHANCE: f64 = 1e-6;

/// One claim with all that its verdict needs.
pub(super) struct Pair<'a> {
    pub claim: Claim<'a>,
    pub rows: usize,
    pub ours: Ours,
    /// Theirs where their predictions are known: value and the standard error of the difference.
    pub paired: Option<(f64, Option<f64>)>,
    pub exact: bool,
}

/// What all items share.
pub(super) struct Context<'a> {
    pub table: &'a PublishedTable,
    pub settings: &'a Settings<'a>,
    pub rounding: Rounding,
    /// Why nothing is comparable; empty where it is.
    pub unfair: String,
}

impl Context<'_> {
    /// Which claims are of the same weights, images and labels: as the person says, or because so many digits agree
    /// that chance would not bring it.
    pub fn same_model(&self, pairs: &[Pair]) -> Vec<bool> {
        if self.settings.same_model {
            return vec![true; pairs.len()];
        }
        // How often a value with this error would fall on the printed digits.
        let chance = |p: &Pair| {
            let step = to_f64(p.claim.printed.unit());
            p.ours.se.filter(|se| *se > 0.0).map_or(1.0, |se| (0.4 * step / se).min(1.0))
        };
        let all_agree = pairs.iter().all(|p| p.exact) && pairs.iter().map(chance).product::<f64>() < CHANCE;
        // The predictions behind the table rank every row alike.
        let alike =
            |p: &Pair| p.exact && p.paired.is_some_and(|(theirs, se)| theirs == p.ours.value && se == Some(0.0));
        pairs.iter().map(|p| alike(p) || p.exact && (all_agree || chance(p) < CHANCE)).collect()
    }

    pub fn labels(&self, pairs: &[Pair], labels: &[(&str, Rows, Option<Rows>)], same: &[bool]) -> Vec<Item> {
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
        for i in open {
            self.settle(&mut items[i]);
            let (pair, item) = (&pairs[i], &mut items[i]);
            if let Some((theirs, _)) =
                pair.paired.filter(|(theirs, _)| !prints(*theirs, pair.claim.printed, self.rounding))
            {
                item.verdict = Verdict::NotComparable;
                item.reason =
                    Some(format!("the predictions said to be behind the table give {theirs:.6}, not what it prints"));
            }
        }
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
            let theirs = Sizes { pos: sizes.1, neg: sizes.0 - sizes.1 };
            // Clusters widen theirs as they widen ours.
            let widened = ours / hanley_mcneil(pair.ours.value, rows.sizes);
            Some(hanley_mcneil(pair.claim.printed.as_f64(), theirs) * widened.max(1.0))
        });
        Some(libm::hypot(ours, theirs.unwrap_or(ours)))
    }

    /// The mean AUROC over labels.
    pub fn mean(&self, pairs: &[Pair], labels: &[(&str, Rows, Option<Rows>)], items: &[Item]) -> Option<Item> {
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
                libm::hypot(se, ci.map_or(se, interval_error))
            }),
        };
        item.judgement = se
            .filter(|se| *se > 0.0)
            .and_then(|se| judge(&[Difference { value: item.difference, se, delta: item.delta }]).first().copied());
        self.settle(&mut item);
        Some(item)
    }

    pub fn notes(&self, pairs: &[Pair], items: &[Item], mean: Option<&Item>) -> Vec<String> {
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
    (high.as_f64() - low.as_f64()).abs() / (2.0 * two_sided_z(LEVEL))
}

/// Whether `value`, a double, prints as `printed`: to a few units in its last place.
pub(super) fn prints(value: f64, printed: &Printed, rounding: Rounding) -> bool {
    let within = Interval::of(printed, rounding);
    let slack = 8.0 * f64::EPSILON * value.abs();
    to_f64(within.low) - slack <= value && value <= to_f64(within.high) + slack
}
