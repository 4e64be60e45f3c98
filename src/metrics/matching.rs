//! Which convention gives a printed number: every metric, average, label policy and threshold rule that rounds to it.

use serde::Serialize;

use super::calibration::Forecast;
use super::dialect::{Dialect, readings};
use super::evaluation::{Evaluation, LabelEvaluation, Settings, evaluate};
use super::operating_point::Rule;
use super::roc::Ranked;
use crate::error::{Error, Result};
use crate::predictions::{Policy, Predictions, Truth, Uncertain, Unmentioned};

/// A number as printed: its value and half a unit of its last digit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Printed {
    value: f64,
    half_unit: f64,
}

/// A number of ours that rounds to the printed one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Match {
    /// The label, or `macro`, `prevalence_weighted`, `micro`.
    pub label: String,
    /// The metric, with its threshold rule or its library's call.
    pub metric: String,
    /// The label policies under which it is this number; empty where the policy makes no difference.
    pub policies: Vec<Policy>,
    /// Our number.
    pub value: f64,
    /// `rounded`, or `truncated` where only cutting off gives the printed digits.
    pub by: &'static str,
}

impl std::str::FromStr for Printed {
    type Err = Error;

    /// Reads `0.8412` or `84.12%`.
    fn from_str(text: &str) -> Result<Self> {
        let fault = || Error::usage(format!("`{text}` is no printed number")).mend("write it as 0.8412 or 84.12%");
        let (digits, scale) = match text.trim().strip_suffix('%') {
            Some(percent) => (percent.trim(), 100.0),
            None => (text.trim(), 1.0),
        };
        let plain = |c: char| c.is_ascii_digit() || c == '.' || c == '-';
        let value: f64 = digits.parse().ok().filter(|_| digits.chars().all(plain)).ok_or_else(fault)?;
        let places = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let half_unit = 0.5 * 10f64.powi(-i32::try_from(places).map_err(|_| fault())?) / scale;
        Ok(Self { value: value / scale, half_unit })
    }
}

impl Printed {
    fn how(self, value: f64) -> Option<&'static str> {
        // A few ulps of slack: the printed decimal is itself rounded to binary.
        let slack = 4.0 * f64::EPSILON * value.abs().max(self.half_unit);
        if (value - self.value).abs() <= self.half_unit + slack {
            return Some("rounded");
        }
        let cut = value >= self.value && value < self.value + 2.0 * self.half_unit;
        cut.then_some("truncated")
    }
}

/// Every number of the evaluation of `predictions` that prints as `printed`: under each label policy that makes a
/// difference, for each label and average, in each library's convention, at each threshold rule.
pub fn matches(predictions: &Predictions, printed: Printed, settings: &Settings) -> Result<Vec<Match>> {
    let rules = [&settings.rules[..], &[Rule::F1]].concat();
    let mut found: Vec<Match> = Vec::new();
    let all = policies(predictions);
    for &policy in &all {
        let settings = Settings { policy, rules: rules.clone(), bootstrap: (0, 0), ..settings.clone() };
        let evaluation = evaluate(predictions, None, &settings)?;
        let mut add = |label: &str, metric: String, value: Option<f64>| {
            let Some((value, by)) = value.and_then(|v| Some((v, printed.how(v)?))) else { return };
            let same = |m: &&mut Match| m.label == label && m.metric == metric && m.value == value;
            match found.iter_mut().find(same) {
                Some(known) => known.policies.push(policy),
                None => found.push(Match { label: label.to_owned(), metric, policies: vec![policy], value, by }),
            }
        };
        averages(&evaluation, &mut add);
        for label in &evaluation.labels {
            of_label(label, &mut add);
        }
        for label in &predictions.labels {
            let (Some(truths), Some(scores)) = (&label.truths, &label.scores) else { continue };
            let (rows, y) = policy.rows(truths);
            let scores: Vec<f64> = rows.iter().map(|&row| scores[row as usize]).collect();
            let Ok(ranked) = Ranked::new(&y, &scores) else { continue };
            let forecast = Forecast::new(&y, &scores).ok().filter(|_| !settings.rank_only);
            for dialect in [Dialect::Sklearn, Dialect::Torchmetrics, Dialect::Proc] {
                for r in readings(dialect, &ranked, forecast.as_ref()).into_iter().filter(|r| r.value != r.ours) {
                    add(&label.name, format!("{} by {}", r.metric, r.call), r.value);
                }
            }
        }
    }
    found.iter_mut().filter(|m| m.policies.len() == all.len()).for_each(|m| m.policies.clear());
    Ok(found)
}

/// The policies that the table's truths can tell apart.
fn policies(predictions: &Predictions) -> Vec<Policy> {
    let has = |truth| predictions.labels.iter().filter_map(|l| l.truths.as_ref()).any(|t| t.contains(&truth));
    let uncertain: &[Uncertain] = match has(Truth::Uncertain) {
        true => &[Uncertain::Ignore, Uncertain::Zeros, Uncertain::Ones],
        false => &[Uncertain::Ignore],
    };
    let unmentioned: &[Unmentioned] = match has(Truth::Unmentioned) {
        true => &[Unmentioned::Zeros, Unmentioned::Ignore],
        false => &[Unmentioned::Zeros],
    };
    let pairs = uncertain.iter().flat_map(|u| unmentioned.iter().map(move |m| (*u, *m)));
    pairs.map(|(uncertain, unmentioned)| Policy { uncertain, unmentioned }).collect()
}

fn averages(evaluation: &Evaluation, add: &mut impl FnMut(&str, String, Option<f64>)) {
    let both = [("macro", &evaluation.macro_average), ("prevalence_weighted", &evaluation.prevalence_weighted)];
    for (name, average) in both {
        add(name, "auroc".into(), average.auroc.as_ref().map(|a| a.estimate.value));
        add(name, "average_precision".into(), average.average_precision.map(|v| v.value));
    }
    add("micro", "auroc".into(), evaluation.micro.auroc);
    add("micro", "average_precision".into(), evaluation.micro.average_precision);
}

fn of_label(label: &LabelEvaluation, add: &mut impl FnMut(&str, String, Option<f64>)) {
    let auroc = label.auroc.as_ref().map(|a| &a.estimate);
    for (metric, value) in [
        ("auroc", auroc.map(|e| e.value)),
        ("auroc.ci_low", auroc.and_then(|e| e.ci_low)),
        ("auroc.ci_high", auroc.and_then(|e| e.ci_high)),
        ("auroc_delong.ci_low", label.auroc_delong.and_then(|e| e.ci_low)),
        ("auroc_delong.ci_high", label.auroc_delong.and_then(|e| e.ci_high)),
        ("average_precision", label.average_precision.map(|v| v.value)),
        ("pr_auc_trapezoid", label.pr_auc_trapezoid),
        ("brier", label.brier),
        ("log_loss", label.log_loss),
        ("ece", label.ece.map(|e| e.value)),
        ("ece_equal_count", label.ece_equal_count.map(|e| e.value)),
        ("ece_top_label", label.ece_top_label.map(|e| e.value)),
        ("ece_debiased", label.ece_debiased),
        ("smece", label.smece),
        ("mce", label.mce),
    ] {
        add(&label.label, metric.into(), value);
    }
    for point in &label.operating_points {
        let m = point.measures;
        let rule = match point.target {
            Some(target) => format!("{} {target}", point.rule),
            None => format!("{} (threshold {})", point.rule, point.threshold),
        };
        for (metric, value) in [
            ("threshold", Some(point.threshold)),
            ("sensitivity", m.sensitivity),
            ("specificity", m.specificity),
            ("ppv", m.ppv),
            ("npv", m.npv),
            ("accuracy", m.accuracy),
            ("balanced_accuracy", m.balanced_accuracy),
            ("f1", m.f1),
            ("mcc", m.mcc),
        ] {
            add(&label.label, format!("{metric} at {rule}"), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predictions::Label;

    fn table(truths: Vec<Truth>, scores: Vec<f64>) -> Predictions {
        let images = (0..truths.len()).map(|i| i.to_string()).collect();
        let label = Label { name: "Edema".into(), truths: Some(truths), logits: None, scores: Some(scores) };
        Predictions { images, labels: vec![label], ..Predictions::default() }
    }

    #[test]
    fn printed_numbers() {
        let p = |text: &str| text.parse::<Printed>();
        assert_eq!(p("0.84").unwrap(), Printed { value: 0.84, half_unit: 0.005 });
        assert_eq!(p("84%").unwrap(), Printed { value: 0.84, half_unit: 0.005 });
        assert_eq!(p("0.84").unwrap().how(0.845), Some("rounded"));
        assert_eq!(p("0.84").unwrap().how(0.8499), Some("truncated"));
        assert_eq!(p("0.84").unwrap().how(0.8501), None);
        for wrong in ["", "eight", "1e3", "0.8.4", "inf", "--1"] {
            assert!(p(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_policy_that_gives_the_number_is_found() {
        use Truth::{Negative, Positive};
        let table =
            table(vec![Positive, Negative, Truth::Uncertain, Positive, Negative], vec![0.9, 0.2, 0.1, 0.4, 0.5]);
        let found = matches(&table, "0.8333".parse().unwrap(), &Settings::default()).unwrap();
        let auroc: Vec<_> = found.iter().filter(|m| m.label == "Edema" && m.metric == "auroc").collect();
        assert_eq!(auroc.len(), 1);
        assert_eq!(auroc[0].policies, [Policy { uncertain: Uncertain::Zeros, ..Policy::default() }]);
    }
}
