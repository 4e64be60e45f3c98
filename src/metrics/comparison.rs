//! Two models on the same images: the difference of every metric, its tests, and the images that only one gets right.

use std::collections::HashSet;

use rayon::prelude::*;
use serde::Serialize;

use super::auroc::{FEW, Placements};
use super::average::weighted_draws;
use super::bootstrap::{self, Draws, Sample};
use super::calibration::{Forecast, ece};
use super::compare::{self, Comparison, Mcnemar, mcnemar, paired_auroc, paired_average, paired_differences};
use super::confidence::{LEVEL, holm};
use super::evaluation::BINS;
use super::operating_point::{FittedOn, Rule};
use super::precision_recall::average_precision;
use super::roc::Ranked;
use crate::error::{Error, Result};
use crate::predictions::{Label, Policy, Predictions, Truth};

/// The schema that the document names.
pub const SCHEMA: &str = "roentgen/comparison/1";

/// All that is said of two models, A and B, in the order and with the keys of `compare --format json`.
#[derive(Debug, Clone, Serialize)]
pub struct ModelComparison {
    /// Always [`SCHEMA`].
    pub schema: &'static str,
    /// Images that both have.
    pub n_images: usize,
    /// Their patients, when they are known.
    pub n_patients: Option<usize>,
    /// What became of uncertain and unmentioned labels.
    pub policy: Policy,
    /// The bootstrap behind the intervals of average precision, Brier score and ECE, if there was one.
    pub bootstrap: Option<Replicates>,
    /// One a label that could be compared, in A's order.
    pub labels: Vec<LabelComparison>,
    /// The mean over them.
    #[serde(rename = "macro")]
    pub macro_average: MacroComparison,
    /// The labels that could not.
    pub left_out: Vec<LeftOut>,
}

/// Size and seed of a bootstrap. Every replicate draws patients (images where these are unknown) once, for both models
/// and all labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Replicates {
    /// How many.
    pub replicates: usize,
    /// Of the random numbers.
    pub seed: u64,
}

/// One label of two models.
#[derive(Debug, Clone, Serialize)]
pub struct LabelComparison {
    /// As A's table spells it.
    pub label: String,
    /// Rows that count under the policy.
    pub n: usize,
    /// Positives among them.
    pub n_pos: usize,
    /// The AUROCs and the test of their difference; Holm's adjustment is over the labels of the document.
    #[serde(flatten)]
    pub auroc: Comparison,
    /// What a reader must know about the interval and the p-value of the AUROCs' difference, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// Average precision.
    pub average_precision: Difference,
    /// Brier score; lower is better.
    pub brier: Option<Difference>,
    /// Expected calibration error over equal-width bins; lower is better. Every replicate's is biased upwards, and what
    /// of it does not cancel between the models stays in the interval.
    pub ece: Option<Difference>,
    /// Why there is neither Brier score nor ECE.
    pub calibration_refused: Option<String>,
    /// Each model's calls at its own Youden threshold, chosen on these rows: optimistic for both.
    pub mcnemar: Option<Calls>,
    /// The calls of both at 0.5; `None` where the scores are no probabilities.
    pub mcnemar_half: Option<Calls>,
    /// The images that only one model gets right at its Youden threshold, in row order.
    #[serde(skip)]
    pub disagreements: Vec<Disagreement>,
}

/// A metric of both models, with the paired percentile interval of the difference where there was a bootstrap.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// A's value.
    pub a: f64,
    /// B's value.
    pub b: f64,
    /// A's less B's.
    pub difference: f64,
    /// The bootstrap's standard error of the difference.
    pub se: Option<f64>,
    /// Lower end of its 95% interval.
    pub ci_low: Option<f64>,
    /// Upper end.
    pub ci_high: Option<f64>,
    /// Replicates discarded because a draw had no positives.
    pub discarded: Option<usize>,
}

/// McNemar's test of the calls at a rule's thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Calls {
    /// The rule's name.
    pub rule: &'static str,
    /// Which rows chose the thresholds.
    pub fitted_on: FittedOn,
    /// A calls `score >= threshold_a` positive.
    pub threshold_a: f64,
    /// B calls `score >= threshold_b` positive.
    pub threshold_b: f64,
    /// The test.
    #[serde(flatten)]
    pub test: Mcnemar,
    /// Holm's adjustment over labels of the p-value over patients, or of the exact one where patients are unknown.
    pub p_holm: Option<f64>,
}

/// An image that only one model gets right.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Disagreement {
    /// Its id.
    pub image: String,
    /// 1 where it counts as positive, else 0.
    pub truth: u8,
    /// `a` or `b`.
    pub right: &'static str,
    /// A's score.
    pub score_a: f64,
    /// B's score.
    pub score_b: f64,
}

/// The means over labels, each label counting the same.
#[derive(Debug, Clone, Serialize)]
pub struct MacroComparison {
    /// Labels that the means are over.
    pub labels: usize,
    /// Mean AUROC, its variance over patients (images where these are unknown).
    #[serde(flatten)]
    pub auroc: Comparison,
    /// Mean average precision.
    pub average_precision: Difference,
}

/// A label that could not be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// As its table spells it.
    pub label: String,
    /// Why.
    pub reason: String,
}

/// One model's scores of the rows that count.
struct Side {
    scores: Vec<f64>,
    ranked: Ranked,
    placements: Placements,
}

/// One label of both models.
struct Pair<'a> {
    name: &'a str,
    rows: Vec<u32>,
    y: Vec<bool>,
    /// The patient's number of each row, or the row's own where patients are unknown.
    units: Vec<u32>,
    a: Side,
    b: Side,
    /// Why the scores of a model are no probabilities, where they are not.
    refused: Option<String>,
}

/// Compares two tables with the same images in the same order (see [`crate::predictions::align`]). A label's truths
/// may stand in either; its patients too.
///
/// # Errors
/// Truths or patients that the tables state differently, naming the first image; tables of other lengths; no label that
/// could be compared.
pub fn compare(
    a: &Predictions,
    b: &Predictions,
    policy: Policy,
    bootstrap: Option<Replicates>,
) -> Result<ModelComparison> {
    if a.len() != b.len() {
        return Err(Error::new(format!("{} images in one table, {} in the other", a.len(), b.len())));
    }
    let patients = patients(a, b)?;
    let known: HashSet<&str> = a.labels.iter().filter_map(|l| Some(b.label(&l.name)?.name.as_str())).collect();
    let only_b = b.labels.iter().filter(|l| !known.contains(l.name.as_str()));
    let pairs: Vec<_> = a
        .labels
        .par_iter()
        .map(|label| Pair::new(label, b.label(&label.name), a, policy, patients.as_deref()))
        .collect::<Result<_>>()?;
    let (mut found, mut left_out) = (Vec::new(), Vec::new());
    for pair in pairs {
        match pair {
            Ok(pair) => found.push(pair),
            Err(reason) => left_out.push(reason),
        }
    }
    left_out.extend(only_b.map(|l| LeftOut { label: l.name.clone(), reason: "only B has it".into() }));
    if found.is_empty() {
        let all: Vec<String> = left_out.iter().map(|l| format!("{}: {}", l.label, l.reason)).collect();
        return Err(Error::new(format!("no label can be compared ({})", all.join("; ")))
            .mend("both tables need scores of a label, and one of them (or --truth) its truths"));
    }
    let draws = draw(&found, a.len(), patients.as_deref(), bootstrap)?;
    let mut labels: Vec<LabelComparison> = found
        .par_iter()
        .enumerate()
        .map(|(i, pair)| pair.compare(&a.images, patients.is_some(), draws.get(2 * i).zip(draws.get(2 * i + 1))))
        .collect();
    adjust(&mut labels);
    Ok(ModelComparison {
        schema: SCHEMA,
        n_images: a.len(),
        n_patients: patients.as_ref().map(|ids| ids.iter().max().map_or(0, |m| *m as usize + 1)),
        policy,
        bootstrap,
        macro_average: macro_average(&found, &labels, &draws)?,
        labels,
        left_out,
    })
}

/// The patients that either table knows.
fn patients(a: &Predictions, b: &Predictions) -> Result<Option<Vec<u32>>> {
    if let (Some(of_a), Some(of_b)) = (&a.patients, &b.patients)
        && let Some(row) = (0..a.len()).find(|&row| of_a[row] != of_b[row])
    {
        let cause = format!("the patient is `{}` in A and `{}` in B", of_a[row], of_b[row]);
        return Err(Error::new(cause)
            .at(format_args!("image {}", a.images[row]))
            .mend("mend one, or leave the patient column out of one file"));
    }
    Ok(a.clusters().or_else(|| b.clusters()))
}

/// The truths that either table states.
fn truths<'a>(a: &'a Label, b: &'a Label, images: &[String]) -> Result<Option<&'a Vec<Truth>>> {
    if let (Some(of_a), Some(of_b)) = (&a.truths, &b.truths)
        && let Some(row) = (0..images.len()).find(|&row| of_a[row] != of_b[row])
    {
        let said = |truth: Truth| if truth == Truth::Unmentioned { "empty".into() } else { truth.to_string() };
        let cause = format!("the truth is {} in A and {} in B", said(of_a[row]), said(of_b[row]));
        return Err(Error::new(cause)
            .at(format_args!("image {}, label {}", images[row], a.name))
            .mend("give the truths in one file with --truth"));
    }
    Ok(a.truths.as_ref().or(b.truths.as_ref()))
}

impl<'a> Pair<'a> {
    fn new(
        a: &'a Label,
        b: Option<&'a Label>,
        table: &Predictions,
        policy: Policy,
        patients: Option<&[u32]>,
    ) -> Result<std::result::Result<Self, LeftOut>> {
        let left_out = |reason: &str| Ok(Err(LeftOut { label: a.name.clone(), reason: reason.into() }));
        let Some(b) = b else { return left_out("only A has it") };
        let (scores_a, scores_b) = match (&a.scores, &b.scores) {
            (Some(of_a), Some(of_b)) => (of_a, of_b),
            (Some(_), None) => return left_out("only A has scores of it"),
            (None, Some(_)) => return left_out("only B has scores of it"),
            (None, None) => return left_out("neither has scores of it"),
        };
        let Some(truths) = truths(a, b, &table.images)? else { return left_out("the data have no truths for it") };
        let (rows, y) = policy.rows(truths);
        if y.is_empty() {
            return left_out("no row counts under this label policy");
        }
        let units: Vec<u32> = match patients {
            Some(ids) => rows.iter().map(|&row| ids[row as usize]).collect(),
            None => rows.clone(),
        };
        let side = |all: &[f64]| -> Result<Option<Side>> {
            let scores: Vec<f64> = rows.iter().map(|&row| all[row as usize]).collect();
            let ranked = Ranked::new(&y, &scores).map_err(|e| e.at(format_args!("label {}", a.name)))?;
            let placements = match patients {
                Some(_) => Placements::new(&ranked, Some(&units)),
                None => Placements::by_row(&ranked, &units),
            };
            Ok(placements.map(|placements| Side { scores, ranked, placements }))
        };
        let (Some(side_a), Some(side_b)) = (side(scores_a)?, side(scores_b)?) else {
            return left_out(if y.contains(&true) { "there is no negative row" } else { "there is no positive row" });
        };
        let refusal = |(model, side): (&str, &Side)| {
            Forecast::new(&y, &side.scores).err().map(|_| format!("{model}'s scores are no probabilities"))
        };
        let refused = [("A", &side_a), ("B", &side_b)].into_iter().find_map(refusal);
        Ok(Ok(Self { name: &a.name, rows, y, units, a: side_a, b: side_b, refused }))
    }

    fn sides(&self) -> [&Side; 2] {
        [&self.a, &self.b]
    }

    /// Both models' rows as probabilities, where they are.
    fn forecasts(&self) -> Option<[Forecast<'_>; 2]> {
        Some([Forecast::new(&self.y, &self.a.scores).ok()?, Forecast::new(&self.y, &self.b.scores).ok()?])
    }

    fn compare(&self, images: &[String], clustered: bool, draws: Option<(&Draws, &Draws)>) -> LabelComparison {
        let mut auroc = paired_auroc(&self.a.placements, &self.b.placements);
        if self.a.scores == self.b.scores {
            auroc.p_value = Some(1.0); // also where there are too few rows for a standard error
        }
        let units = clustered.then_some(self.units.as_slice());
        let difference = |[a, b]: [f64; 2], pick: fn(&Draws) -> &[f64]| {
            Difference::new(a, b, draws.map(|(a, b)| paired_differences(pick(a), pick(b))))
        };
        let forecasts = self.forecasts();
        let ece = |f: &Forecast| ece(&f.equal_width(BINS));
        let youden = self.called(Rule::Youden, units);
        LabelComparison {
            label: self.name.into(),
            n: self.y.len(),
            n_pos: self.a.ranked.n_pos() as usize,
            auroc,
            warning: self.warning(),
            average_precision: difference(self.average_precision(), |d| &d.average_precision),
            brier: forecasts.as_ref().map(|f| difference(f.each_ref().map(Forecast::brier), |d| &d.brier)),
            ece: forecasts.as_ref().map(|f| difference(f.each_ref().map(ece), |d| &d.ece)),
            calibration_refused: self.refused.clone(),
            mcnemar: youden,
            mcnemar_half: forecasts.and_then(|_| self.called(Rule::Fixed(0.5), units)),
            disagreements: youden.map(|y| self.disagreements(&y, images)).unwrap_or_default(),
        }
    }

    fn warning(&self) -> Option<String> {
        let (pos, neg) = (self.a.ranked.n_pos(), self.a.ranked.n_neg());
        let (class, rows) = if pos <= neg { ("positive", pos) } else { ("negative", neg) };
        let rough = "interval and p-value of the AUROCs' difference, which take it as normal, are rough";
        (rows < FEW as u32).then(|| format!("{rows} {class} rows: {rough} below {FEW}"))
    }

    fn average_precision(&self) -> [f64; 2] {
        // There are positives: `new` has left out the labels without.
        self.sides().map(|side| average_precision(&side.ranked).unwrap_or(f64::NAN))
    }

    /// Each model's calls of the rows.
    fn calls(&self, thresholds: [f64; 2]) -> [Vec<bool>; 2] {
        let called = |i: usize| self.sides()[i].scores.iter().map(|s| *s >= thresholds[i]).collect();
        [called(0), called(1)]
    }

    fn called(&self, rule: Rule, units: Option<&[u32]>) -> Option<Calls> {
        let threshold = |side: &Side| rule.fit(&side.ranked).first().copied();
        let (threshold_a, threshold_b) = (threshold(&self.a)?, threshold(&self.b)?);
        let [a, b] = self.calls([threshold_a, threshold_b]);
        let fitted_on = if matches!(rule, Rule::Fixed(_)) { FittedOn::Given } else { FittedOn::Same };
        let test = mcnemar(&self.y, &a, &b, units);
        Some(Calls { rule: rule.name(), fitted_on, threshold_a, threshold_b, test, p_holm: None })
    }

    fn disagreements(&self, at: &Calls, images: &[String]) -> Vec<Disagreement> {
        let [a, b] = self.calls([at.threshold_a, at.threshold_b]);
        let (only_a, only_b) = compare::disagreements(&self.y, &a, &b);
        let mut all: Vec<(u32, &'static str)> = only_a.into_iter().map(|row| (row, "a")).collect();
        all.extend(only_b.into_iter().map(|row| (row, "b")));
        all.sort_unstable();
        let told = |(row, right): (u32, &'static str)| {
            let row = row as usize;
            Disagreement {
                image: images[self.rows[row] as usize].clone(),
                truth: u8::from(self.y[row]),
                right,
                score_a: self.a.scores[row],
                score_b: self.b.scores[row],
            }
        };
        all.into_iter().map(told).collect()
    }
}

impl Difference {
    fn new(a: f64, b: f64, differences: Option<Vec<f64>>) -> Self {
        let drawn = differences.and_then(|d| bootstrap::percentile(&d, LEVEL));
        Self {
            a,
            b,
            difference: a - b,
            se: drawn.map(|d| d.se),
            ci_low: drawn.map(|d| d.low),
            ci_high: drawn.map(|d| d.high),
            discarded: drawn.map(|d| d.discarded),
        }
    }
}

/// The draws of every pair, A's before B's; nothing where no bootstrap was asked for.
fn draw(pairs: &[Pair], rows: usize, patients: Option<&[u32]>, bootstrap: Option<Replicates>) -> Result<Vec<Draws>> {
    let Some(Replicates { replicates, seed }) = bootstrap else { return Ok(Vec::new()) };
    let units = match patients {
        Some(ids) => ids.iter().max().map_or(0, |m| m + 1),
        None => rows as u32,
    };
    let samples = pairs.par_iter().flat_map_iter(|pair| {
        let forecasts = pair.forecasts();
        let forecast = |i: usize| forecasts.as_ref().map(|f| &f[i]);
        let sample = |i: usize| Sample::new(&pair.sides()[i].ranked, &pair.units, forecast(i));
        [sample(0), sample(1)]
    });
    bootstrap::draw(&samples.collect::<Result<Vec<_>>>()?, units, replicates, seed)
}

/// Fills in what Holm makes of the labels' p-values.
fn adjust(labels: &mut [LabelComparison]) {
    let mut aurocs: Vec<Comparison> = labels.iter().map(|l| l.auroc).collect();
    compare::adjust(&mut aurocs);
    labels.iter_mut().zip(aurocs).for_each(|(label, auroc)| label.auroc = auroc);
    adjust_calls(labels.iter_mut().filter_map(|l| l.mcnemar.as_mut()).collect());
    adjust_calls(labels.iter_mut().filter_map(|l| l.mcnemar_half.as_mut()).collect());
}

fn adjust_calls(mut labels: Vec<&mut Calls>) {
    let adjusted = holm(&labels.iter().map(|c| c.p_value()).collect::<Vec<_>>());
    labels.iter_mut().zip(adjusted).for_each(|(calls, p)| calls.p_holm = Some(p));
}

impl Calls {
    /// The p-value over patients where they are known, else the exact one over rows.
    pub fn p_value(&self) -> f64 {
        self.test.p_clustered.unwrap_or(self.test.p_exact)
    }
}

fn macro_average(pairs: &[Pair], labels: &[LabelComparison], draws: &[Draws]) -> Result<MacroComparison> {
    let placements: Vec<_> = pairs.iter().map(|p| (p.a.placements.clone(), p.b.placements.clone())).collect();
    let ones = vec![1.0; pairs.len()];
    let auroc = paired_average(&placements, &ones).ok_or_else(|| Error::new("there is no label to average"))?;
    let mean = |pick: fn(&Difference) -> f64| {
        labels.iter().map(|l| pick(&l.average_precision)).sum::<f64>() / labels.len() as f64
    };
    let side = |first: usize| -> Vec<f64> {
        let of_side: Vec<Draws> = draws.iter().skip(first).step_by(2).cloned().collect();
        weighted_draws(&of_side, &ones, |d| &d.average_precision)
    };
    let differences = (!draws.is_empty()).then(|| paired_differences(&side(0), &side(1)));
    let average_precision = Difference::new(mean(|d| d.a), mean(|d| d.b), differences);
    Ok(MacroComparison { labels: labels.len(), auroc, average_precision })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(rows: &[(bool, u8, u8)], pick: fn(&(bool, u8, u8)) -> u8, truths: bool) -> Predictions {
        let label = Label {
            name: "Mass".into(),
            truths: truths.then(|| rows.iter().map(|r| if r.0 { Truth::Positive } else { Truth::Negative }).collect()),
            logits: None,
            scores: Some(rows.iter().map(|r| f64::from(pick(r)) / 20.0).collect()),
        };
        let images = (0..rows.len()).map(|i| format!("{i}.png")).collect();
        let patients = (0..rows.len()).map(|i| format!("p{}", i / 2)).collect();
        Predictions { images, patients: Some(patients), labels: vec![label], ..Predictions::default() }
    }

    const DRAWN: Option<Replicates> = Some(Replicates { replicates: 60, seed: 3 });

    proptest! {
        #[test]
        fn swapping_the_models_turns_every_sign(
            rows in prop::collection::vec((any::<bool>(), 0u8..=20, 0u8..=20), 8..60),
        ) {
            let (a, b) = (table(&rows, |r| r.1, true), table(&rows, |r| r.2, false));
            let Ok(ab) = compare(&a, &b, Policy::default(), DRAWN) else { return Ok(()) };
            let ba = compare(&b, &a, Policy::default(), DRAWN).unwrap();
            let (ab, ba) = (&ab.labels[0], &ba.labels[0]);
            prop_assert_eq!((ab.auroc.difference, ab.auroc.p_value), (-ba.auroc.difference, ba.auroc.p_value));
            for (x, y) in [(ab.average_precision, ba.average_precision), (ab.brier.unwrap(), ba.brier.unwrap())] {
                prop_assert_eq!(x.difference, -y.difference);
                let ends = [(x.ci_low, y.ci_high), (x.ci_high, y.ci_low)];
                prop_assert!(ends.iter().all(|(l, h)| (l.unwrap() + h.unwrap()).abs() < 1e-12), "{:?}", ends);
            }
            let (x, y) = (ab.mcnemar.unwrap().test, ba.mcnemar.unwrap().test);
            prop_assert_eq!((x.a_only, x.b_only, x.p_exact), (y.b_only, y.a_only, y.p_exact));
            prop_assert_eq!(ab.disagreements.len() as u32, x.a_only + x.b_only);
        }

        #[test]
        fn a_model_does_not_differ_from_itself(
            rows in prop::collection::vec((any::<bool>(), 0u8..=20, 0u8..=20), 2..40),
        ) {
            let a = table(&rows, |r| r.1, true);
            let Ok(same) = compare(&a, &a, Policy::default(), DRAWN) else { return Ok(()) };
            let label = &same.labels[0];
            prop_assert_eq!((label.auroc.difference, label.auroc.z, label.auroc.p_value), (0.0, None, Some(1.0)));
            for d in [label.average_precision, label.brier.unwrap(), label.ece.unwrap()] {
                prop_assert_eq!((d.difference, d.ci_low, d.ci_high), (0.0, Some(0.0), Some(0.0)));
            }
            prop_assert!(label.disagreements.is_empty());
        }
    }

    #[test]
    fn what_cannot_be_compared_is_told() {
        let rows = [(true, 9, 3), (false, 4, 8), (true, 7, 7), (false, 1, 2)];
        let (a, b) = (table(&rows, |r| r.1, true), table(&rows, |r| r.2, true));
        let told = |a: &Predictions, b: &Predictions| compare(a, b, Policy::default(), None).unwrap_err().to_string();
        let mut other = b.clone();
        other.labels[0].truths.as_mut().unwrap()[2] = Truth::Uncertain;
        insta::assert_snapshot!(told(&a, &other), @"image 2.png, label Mass: the truth is 1 in A and -1 in B; give the truths in one file with --truth");
        let mut other = b.clone();
        other.patients.as_mut().unwrap()[3] = "q".into();
        insta::assert_snapshot!(told(&a, &other), @"image 3.png: the patient is `p1` in A and `q` in B; mend one, or leave the patient column out of one file");
        let mut other = b.clone();
        other.labels[0].name = "Nodule".into();
        insta::assert_snapshot!(told(&a, &other), @"no label can be compared (Mass: only A has it; Nodule: only B has it); both tables need scores of a label, and one of them (or --truth) its truths");
        let none = |table: &Predictions| {
            let mut table = table.clone();
            table.labels[0].truths = None;
            table
        };
        insta::assert_snapshot!(told(&none(&a), &none(&b)), @"no label can be compared (Mass: the data have no truths for it); both tables need scores of a label, and one of them (or --truth) its truths");
        let mut ranks = b.clone();
        ranks.labels[0].scores.as_mut().unwrap()[0] = 7.0;
        let label = compare(&a, &ranks, Policy::default(), DRAWN).unwrap().labels.remove(0);
        assert_eq!(label.calibration_refused.as_deref(), Some("B's scores are no probabilities"));
        assert!(label.brier.is_none() && label.ece.is_none() && label.mcnemar_half.is_none());
    }
}
