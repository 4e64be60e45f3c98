//! The evaluation of a predictions table: every number that screens, reports and `evaluation.json` show.

use std::borrow::Cow;

use rayon::prelude::*;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::auroc::{Auroc, Placements, auroc_delong};
use super::average::{weighted_auroc, weighted_draws};
use super::bootstrap::{self, Draws, Percentile, Sample};
use super::calibrated_null::{CalibratedNull, calibrated_null};
use super::calibration::{Bin, BrierParts, Forecast, debiased_ece, ece, mce};
use super::confidence::{Estimate, LEVEL};
use super::decision_curve::{NetBenefit, net_benefit, net_benefit_at_prevalence, predictive_values};
use super::operating_point::{FittedOn, Name, OperatingPoint, Rule, rule_name};
use super::precision_recall::{
    PrecisionRecallPoint, average_precision, curve, pooled_average_precision, pr_auc_trapezoid,
};
use super::roc::{Ranked, RocPoint};
use super::smooth_ece::smece;
use crate::error::{Error, Result};
use crate::predictions::{Aggregate, Label, Policy, Predictions};

/// The schema that `evaluation.json` names.
pub const SCHEMA: &str = "roentgen/evaluation/1";

/// Bins of the calibration errors.
pub const BINS: u16 = 15;

/// The operating points of an evaluation that asks for no others.
pub const RULES: [Rule; 4] = [Rule::Youden, Rule::Sensitivity(0.95), Rule::Specificity(0.90), Rule::Fixed(0.5)];

/// Simulations of the test against the calibrated null, and their seed.
const NULL: (usize, u64) = (1000, 1);

/// How a table is evaluated.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What becomes of uncertain and unmentioned labels.
    pub policy: Policy,
    /// Whether scores only rank, so that calibration has no meaning.
    pub rank_only: bool,
    /// How the operating points are chosen.
    pub rules: Vec<Rule>,
    /// Another prevalence at which predictive values and net benefit are told too, in (0, 1).
    pub prevalence: Option<f64>,
    /// Replicates and seed of the patient bootstrap; none of them: no bootstrap.
    pub bootstrap: (usize, u64),
    /// Whether the curves are given point by point.
    pub curves: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            rank_only: false,
            rules: RULES.to_vec(),
            prevalence: None,
            bootstrap: (0, 0),
            curves: false,
        }
    }
}

/// An evaluation, in the order and with the keys of `evaluation.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Evaluation {
    /// Always [`SCHEMA`].
    #[serde(deserialize_with = "schema")]
    pub schema: Name,
    /// Rows of the table.
    pub n_images: usize,
    /// Distinct patients, when they are known.
    pub n_patients: Option<usize>,
    /// Which rows counted, and as what.
    pub policy: Selection,
    /// Replicates and seed of the patient bootstrap; `None` without one.
    pub bootstrap: Option<Replicates>,
    /// One a label of the table that has scores.
    pub labels: Vec<LabelEvaluation>,
    /// Means over the labels that could be evaluated, each counting the same.
    #[serde(rename = "macro")]
    pub macro_average: Averages,
    /// The same, each counting by its positives.
    pub prevalence_weighted: Averages,
    /// All labels' rows in one list.
    pub micro: Micro,
}

/// What a bootstrap drew.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Replicates {
    /// How often.
    pub replicates: usize,
    /// From which seed.
    pub seed: u64,
}

/// Which rows counted, and as what.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Selection {
    /// What became of uncertain and unmentioned labels.
    #[serde(flatten)]
    pub policy: Policy,
    /// What a row is: `image` or `study`.
    pub unit: String,
    /// How a study's score came from its images'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<Aggregate>,
    /// The conditions that rows had to meet.
    #[serde(rename = "where")]
    pub conditions: Vec<String>,
}

/// The evaluation of one label. What cannot be said is `None`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LabelEvaluation {
    /// As the table spells it.
    pub label: String,
    /// Rows that count under the policy.
    pub n: usize,
    /// Positives among them.
    pub n_pos: usize,
    /// Area under the ROC curve; its variance is over patients when they are known.
    pub auroc: Option<Auroc>,
    /// DeLong's, with Wald's interval.
    pub auroc_delong: Option<Estimate>,
    /// scikit-learn's average precision.
    pub average_precision: Option<Value>,
    /// The area under the precision-recall curve by trapezoids.
    pub pr_auc_trapezoid: Option<f64>,
    /// Brier score.
    pub brier: Option<f64>,
    /// Its parts over the equal-width bins.
    pub brier_parts: Option<BrierParts>,
    /// Log loss, nats.
    pub log_loss: Option<f64>,
    /// Expected calibration error over bins of equal width.
    pub ece: Option<Binned>,
    /// The same over bins of equal count.
    pub ece_equal_count: Option<Binned>,
    /// The same of the called class (Guo 2017).
    pub ece_top_label: Option<Binned>,
    /// The equal-width one less its bias.
    pub ece_debiased: Option<f64>,
    /// Smooth ECE.
    pub smece: Option<f64>,
    /// Maximum calibration error over bins of equal width.
    pub mce: Option<f64>,
    /// At the thresholds of the rules asked for.
    pub operating_points: Vec<OperatingPoint>,
    /// The same points at another prevalence, when one was given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at_prevalence: Vec<AtPrevalence>,
    /// The ECE against what it would be if the probabilities were true.
    pub calibrated_null: Option<CalibratedNull>,
    /// What the patient bootstrap says, when there was one.
    pub bootstrap: Option<Bootstrapped>,
    /// The curves, when they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curves: Option<Curves>,
    /// Why there is no calibration metric although the label could be evaluated.
    pub calibration_refused: Option<String>,
    /// Why there is nothing at all.
    pub not_evaluable: Option<String>,
}

/// A value whose interval only a bootstrap gives.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Value {
    /// The point estimate.
    pub value: f64,
    /// Lower end of the interval.
    pub ci_low: Option<f64>,
    /// Upper end of the interval.
    pub ci_high: Option<f64>,
}

/// A value that depends on a number of bins.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Binned {
    /// The value.
    pub value: f64,
    /// How many bins.
    pub bins: u16,
}

/// Percentile intervals of the patient bootstrap.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Bootstrapped {
    /// Of the AUROC.
    pub auroc: Option<Percentile>,
    /// Of the average precision.
    pub average_precision: Option<Percentile>,
    /// Of the Brier score.
    pub brier: Option<Percentile>,
    /// Of the ECE. Not centred on the estimate, which is biased upwards in every replicate.
    pub ece: Option<Percentile>,
}

/// An operating point carried to another prevalence.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct AtPrevalence {
    /// The rule of the operating point.
    #[serde(deserialize_with = "rule_name")]
    pub rule: Name,
    /// Its threshold.
    pub threshold: f64,
    /// The other prevalence.
    pub prevalence: f64,
    /// PPV there.
    pub ppv: Option<f64>,
    /// NPV there.
    pub npv: Option<f64>,
    /// Net benefit there of acting from this threshold on, which is then a threshold probability there too; `None`
    /// for scores that only rank.
    pub net_benefit: Option<f64>,
}

/// The curves of a label, point by point.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Curves {
    /// Receiver operating characteristic.
    pub roc: Vec<RocPoint>,
    /// Precision against recall.
    pub precision_recall: Vec<PrecisionRecallPoint>,
    /// The equal-width bins of the reliability diagram.
    pub reliability: Vec<Bin>,
    /// Net benefit at thresholds 0.01, 0.02, ... 0.99; acting on no one is 0.
    pub decision: Vec<NetBenefit>,
}

/// Means over labels.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Averages {
    /// Labels that the means are over.
    pub labels: usize,
    /// Mean AUROC.
    pub auroc: Option<Auroc>,
    /// Mean average precision.
    pub average_precision: Option<Value>,
}

/// All labels' rows in one list.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Micro {
    /// AUROC of the list.
    pub auroc: Option<f64>,
    /// Standard error, over patients when they are known, else over images.
    pub auroc_se: Option<f64>,
    /// Lower end of the interval on the logit scale.
    pub auroc_ci_low: Option<f64>,
    /// Upper end.
    pub auroc_ci_high: Option<f64>,
    /// Average precision of the list.
    pub average_precision: Option<f64>,
}

impl Evaluation {
    /// The text of `evaluation.json`, ending with a newline.
    pub fn to_json(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::new(e.to_string()).at("evaluation.json"))?;
        Ok(text + "\n")
    }
}

/// Reads the schema, which must be this one.
fn schema<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<&'static str, D::Error> {
    match String::deserialize(from)? {
        found if found == SCHEMA => Ok(SCHEMA),
        found => Err(D::Error::custom(format!("the schema is `{found}`, not `{SCHEMA}`"))),
    }
}

/// The labels of `predictions` that have scores, as places among its labels. Errors when there is none.
pub fn scored(predictions: &Predictions) -> Result<Vec<usize>> {
    let found: Vec<usize> = (0..predictions.labels.len()).filter(|&i| predictions.labels[i].scores.is_some()).collect();
    match found.is_empty() {
        true => Err(Error::new("the table has no label with scores").mend("give `p_LABEL` or `logit_LABEL` columns")),
        false => Ok(found),
    }
}

/// The rows of one label that count, sorted.
struct Case<'a> {
    name: &'a str,
    y: Vec<bool>,
    scores: Cow<'a, [f64]>,
    /// The patient's number of each row, or the row's own where patients are unknown.
    units: Cow<'a, [u32]>,
    ranked: Ranked,
    placements: Placements,
    /// Why the scores are no probabilities, where they are not.
    refused: Option<String>,
}

/// Evaluates every label of `predictions` that has scores. Thresholds are chosen on `tuning` when it is given, else on
/// the same rows. The labels share one bootstrap. Errors when no label has scores.
pub fn evaluate(predictions: &Predictions, tuning: Option<&Predictions>, settings: &Settings) -> Result<Evaluation> {
    let (replicates, seed) = settings.bootstrap;
    let patients = predictions.clusters();
    let case = |i: &usize| Case::new(&predictions.labels[*i], settings, patients.as_deref());
    let cases: Vec<Prepared> = scored(predictions)?.par_iter().map(case).collect::<Result<_>>()?;
    let evaluable: Vec<&Case> = cases.iter().filter_map(|c| c.as_ref().ok()).collect();
    let draws = draw(&evaluable, predictions, patients.as_deref(), settings)?;
    let mut draws_left = draws.iter();
    let with_draws: Vec<_> = cases.iter().map(|c| (c, c.is_ok().then(|| draws_left.next()).flatten())).collect();
    let per_label = || {
        let one = |(case, draws): &(&Prepared, Option<&Draws>)| match case {
            Ok(case) => {
                let tuning = tuning.and_then(|t| t.label(case.name)).map(|l| tuning_ranks(l, settings)).transpose()?;
                Ok(case.evaluate(tuning.flatten().as_ref(), settings, patients.is_some(), *draws))
            }
            Err(skipped) => Ok((**skipped).clone()),
        };
        with_draws.par_iter().map(one).collect::<Result<Vec<_>>>()
    };
    let (labels, micro) = rayon::join(per_label, || micro(&evaluable));
    let labels = labels?;
    let ones = vec![1.0; evaluable.len()];
    let positives: Vec<f64> = evaluable.iter().map(|c| f64::from(c.ranked.n_pos())).collect();
    Ok(Evaluation {
        schema: SCHEMA,
        n_images: predictions.len(),
        n_patients: patients.as_ref().map(|ids| ids.iter().max().map_or(0, |m| *m as usize + 1)),
        policy: Selection { policy: settings.policy, unit: "image".into(), aggregate: None, conditions: Vec::new() },
        bootstrap: (replicates > 0).then_some(Replicates { replicates, seed }),
        macro_average: averages(&evaluable, &labels, &draws, &ones),
        prevalence_weighted: averages(&evaluable, &labels, &draws, &positives),
        micro,
        labels,
    })
}

/// A label that can be evaluated, or all that can be said of one that cannot.
type Prepared<'a> = std::result::Result<Case<'a>, Box<LabelEvaluation>>;

impl<'a> Case<'a> {
    fn new(label: &'a Label, settings: &Settings, patients: Option<&'a [u32]>) -> Result<Prepared<'a>> {
        let skipped = |n, n_pos, reason: &str| LabelEvaluation {
            label: label.name.clone(),
            n,
            n_pos,
            not_evaluable: Some(reason.into()),
            ..LabelEvaluation::default()
        };
        let (Some(truths), Some(all)) = (&label.truths, &label.scores) else {
            return Ok(Err(Box::new(skipped(0, 0, "the data have no truths for it"))));
        };
        let (rows, y) = settings.policy.rows(truths);
        let n_pos = y.iter().filter(|y| **y).count();
        if y.is_empty() {
            return Ok(Err(Box::new(skipped(0, 0, "no row counts under this label policy"))));
        }
        let scores = chosen(all, &rows);
        let ranked = Ranked::new(&y, &scores).map_err(|e| e.at(format_args!("label {}", label.name)))?;
        let units = match patients {
            Some(ids) => chosen(ids, &rows),
            None => Cow::Owned(rows),
        };
        let placements = match patients {
            Some(_) => Placements::new(&ranked, Some(&units)),
            None => Placements::by_row(&ranked, &units),
        };
        let Some(placements) = placements else {
            let reason = if n_pos == 0 { "there is no positive row" } else { "there is no negative row" };
            return Ok(Err(Box::new(skipped(y.len(), n_pos, reason))));
        };
        let refused = match Forecast::new(&y, &scores) {
            _ if settings.rank_only => Some("the scores only rank (--scores rank)".into()),
            Ok(_) => None,
            Err(e) => Some(e.to_string()),
        };
        Ok(Ok(Self { name: &label.name, y, scores, units, ranked, placements, refused }))
    }

    /// The rows as probabilities, where they are.
    fn forecast(&self) -> Option<Forecast<'_>> {
        // Cannot fail where `refused` is None: `new` has tried it.
        self.refused.is_none().then(|| Forecast::new(&self.y, &self.scores).ok()).flatten()
    }

    fn evaluate(
        &self,
        tuning: Option<&Ranked>,
        settings: &Settings,
        clustered: bool,
        draws: Option<&Draws>,
    ) -> LabelEvaluation {
        let ranked = &self.ranked;
        let units = clustered.then_some(&*self.units);
        let (fit_on, fitted_on) = match tuning {
            Some(tuning) => (tuning, FittedOn::Tuning),
            None => (ranked, FittedOn::Same),
        };
        let bootstrap = draws.map(Bootstrapped::of);
        let percentile = bootstrap.and_then(|b| b.average_precision);
        let points = settings.rules.iter().filter_map(|r| r.evaluate(fit_on, fitted_on, ranked, units));
        let mut out = LabelEvaluation {
            label: self.name.into(),
            n: ranked.n(),
            n_pos: ranked.n_pos() as usize,
            auroc: Some(self.placements.headline()),
            auroc_delong: auroc_delong(ranked),
            average_precision: average_precision(ranked).map(|value| Value::with(value, percentile)),
            pr_auc_trapezoid: pr_auc_trapezoid(ranked),
            operating_points: points.collect(),
            bootstrap,
            calibration_refused: self.refused.clone(),
            ..LabelEvaluation::default()
        };
        if let Some(forecast) = self.forecast() {
            let bins = forecast.equal_width(BINS);
            let binned = |bins: &[_]| Some(Binned { value: ece(bins), bins: BINS });
            out.brier = Some(forecast.brier());
            out.brier_parts = Some(forecast.brier_parts(BINS));
            out.log_loss = Some(forecast.log_loss());
            out.ece = binned(&bins);
            out.ece_equal_count = binned(&forecast.equal_count(ranked, BINS));
            out.ece_top_label = binned(&forecast.top_label(BINS));
            out.ece_debiased = Some(debiased_ece(&bins));
            out.smece = Some(smece(&forecast));
            out.mce = Some(mce(&bins));
            out.calibrated_null = Some(calibrated_null(&forecast, BINS, NULL.0, NULL.1));
        }
        if let Some(prevalence) = settings.prevalence {
            out.at_prevalence = out.operating_points.iter().map(|p| self.carried(p, prevalence)).collect();
        }
        out.curves = settings.curves.then(|| self.curves());
        out
    }

    fn carried(&self, point: &OperatingPoint, prevalence: f64) -> AtPrevalence {
        let (ppv, npv) = predictive_values(&point.measures, prevalence);
        let benefit = |_| net_benefit_at_prevalence(&self.ranked, &[point.threshold], prevalence).first().copied();
        let net_benefit = self.forecast().and_then(benefit).map(|b| b.model);
        AtPrevalence { rule: point.rule, threshold: point.threshold, prevalence, ppv, npv, net_benefit }
    }

    fn curves(&self) -> Curves {
        let thresholds: Vec<f64> = (1..100).map(|percent| f64::from(percent) / 100.0).collect();
        let forecast = self.forecast();
        Curves {
            roc: self.ranked.roc_points(),
            precision_recall: curve(&self.ranked),
            reliability: forecast.map_or(Vec::new(), |f| f.equal_width(BINS)),
            decision: forecast.map_or(Vec::new(), |_| net_benefit(&self.ranked, &thresholds)),
        }
    }
}

/// The values of these rows, which are all rows more often than not.
fn chosen<'a, T: Copy>(values: &'a [T], rows: &[u32]) -> Cow<'a, [T]> {
    if rows.len() == values.len() {
        return Cow::Borrowed(values);
    }
    rows.iter().map(|&row| values[row as usize]).collect()
}

/// The tuning rows of a label that count; `None` where there are no scores or truths.
fn tuning_ranks(label: &Label, settings: &Settings) -> Result<Option<Ranked>> {
    let (Some(truths), Some(all)) = (&label.truths, &label.scores) else { return Ok(None) };
    let (rows, y) = settings.policy.rows(truths);
    Ranked::new(&y, &chosen(all, &rows)).map(Some).map_err(|e| e.at(format_args!("tuning, label {}", label.name)))
}

/// The joint bootstrap of all labels, or nothing where none was asked for.
fn draw(
    cases: &[&Case],
    predictions: &Predictions,
    patients: Option<&[u32]>,
    settings: &Settings,
) -> Result<Vec<Draws>> {
    let (replicates, seed) = settings.bootstrap;
    if replicates == 0 {
        return Ok(Vec::new());
    }
    let units = match patients {
        Some(ids) => ids.iter().max().map_or(0, |m| m + 1),
        None => predictions.len() as u32,
    };
    let samples = cases
        .par_iter()
        .map(|c| Sample::new(&c.ranked, &c.units, c.forecast().as_ref()))
        .collect::<Result<Vec<_>>>()?;
    bootstrap::draw(&samples, units, replicates, seed)
}

fn averages(cases: &[&Case], labels: &[LabelEvaluation], draws: &[Draws], weights: &[f64]) -> Averages {
    let placements: Vec<Placements> = cases.iter().map(|c| c.placements.clone()).collect();
    let values = labels.iter().filter_map(|l| Some(l.average_precision?.value));
    let weight: f64 = weights.iter().sum();
    let average_precision = (!cases.is_empty()).then(|| {
        let value = values.zip(weights).map(|(v, w)| v * w).sum::<f64>() / weight;
        let drawn = weighted_draws(draws, weights, |d| &d.average_precision);
        Value::with(value, bootstrap::percentile(&drawn, LEVEL))
    });
    Averages { labels: cases.len(), auroc: weighted_auroc(&placements, weights), average_precision }
}

/// An image's labels are not independent either, so that rows are clustered by image where patients are unknown.
fn micro(cases: &[&Case]) -> Micro {
    let labels: Vec<_> = cases.iter().map(|c| (&c.ranked, &*c.units)).collect();
    let ranked: Vec<&Ranked> = cases.iter().map(|c| &c.ranked).collect();
    // Counts of a cut are 32 bits wide.
    if ranked.iter().map(|r| r.n() as u64).sum::<u64>() > u64::from(u32::MAX) {
        return Micro::default();
    }
    let (estimate, average_precision) = rayon::join(
        || Placements::pooled(&labels).map(|p| p.headline().estimate),
        || pooled_average_precision(&ranked),
    );
    Micro {
        auroc: estimate.map(|e| e.value),
        auroc_se: estimate.and_then(|e| e.se),
        auroc_ci_low: estimate.and_then(|e| e.ci_low),
        auroc_ci_high: estimate.and_then(|e| e.ci_high),
        average_precision,
    }
}

impl Bootstrapped {
    fn of(draws: &Draws) -> Self {
        let percentile = |values: &[f64]| bootstrap::percentile(values, LEVEL);
        Self {
            auroc: percentile(&draws.auroc),
            average_precision: percentile(&draws.average_precision),
            brier: percentile(&draws.brier),
            ece: percentile(&draws.ece),
        }
    }
}

impl Value {
    fn with(value: f64, percentile: Option<Percentile>) -> Self {
        Self { value, ci_low: percentile.map(|p| p.low), ci_high: percentile.map(|p| p.high) }
    }
}
