//! What is probably wrong before a number is believed: outputs in another column, upside down, squashed twice or constant,
//! and pictures that the network was not trained on. Each warning names its evidence; none stops anything.

use serde::Serialize;

use crate::cards::model::{Reference, Spread};
use crate::error::Result;
use crate::metrics::evaluation::Evaluation;
use crate::metrics::roc::Ranked;
use crate::predictions::{Label, Policy, Predictions};

/// Own AUROCs from here on raise no suspicion of another column.
const GOOD: f64 = 0.7;

/// By how much another column must be better.
const BETTER: f64 = 0.1;

/// Rows by which columns are compared.
const MOST_ROWS: usize = 20_000;

/// Reference statistics are over images: a mean so many standard deviations off is no sampling.
const FAR: f64 = 3.0;

/// Pictures of a set of which this share looks wrong make it a warning.
const MOST: f64 = 0.8;

/// Something that is probably wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// What it may be.
    pub kind: Kind,
    /// What speaks for it.
    pub evidence: String,
}

/// What may be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the warnings' words say it
pub enum Kind {
    ConstantOutput,
    DoubleSigmoid,
    Polarity,
    ColumnOrder,
    PixelRange,
    InvertedPhotometric,
    Preprocessing,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.kind {
            Kind::ConstantOutput => "constant output",
            Kind::DoubleSigmoid => "probabilities put through a sigmoid twice",
            Kind::Polarity => "labels or scores upside down",
            Kind::ColumnOrder => "columns in another order",
            Kind::PixelRange => "pixels use little of their range",
            Kind::InvertedPhotometric => "pictures inverted",
            Kind::Preprocessing => "preprocessing other than in training",
        };
        write!(f, "{what}? {}", self.evidence)
    }
}

/// One label with its own AUROC and the standard error of it.
struct Case<'a> {
    label: &'a Label,
    scores: &'a [f64],
    auroc: f64,
    se: f64,
}

/// Looks at the outputs of a model, of which `evaluation` is.
pub fn outputs(predictions: &Predictions, evaluation: &Evaluation, policy: Policy) -> Result<Vec<Warning>> {
    let mut warnings = Vec::new();
    let scored: Vec<(&Label, &Vec<f64>)> =
        predictions.labels.iter().filter_map(|l| Some((l, l.scores.as_ref()?))).collect();
    let constant: Vec<&str> = scored
        .iter()
        .filter(|(_, s)| s.len() > 1 && s.windows(2).all(|w| w[0] == w[1]))
        .map(|(l, _)| l.name.as_str())
        .collect();
    if !constant.is_empty() {
        let evidence = format!("every image has the same score for {}", constant.join(", "));
        warnings.push(Warning { kind: Kind::ConstantOutput, evidence });
    }
    warnings.extend(double_sigmoid(&scored));
    let cases: Vec<Case> = scored
        .iter()
        .filter_map(|&(label, scores)| {
            let own = evaluation.labels.iter().find(|l| l.label == label.name)?.auroc.as_ref()?.estimate;
            Some(Case { label, scores, auroc: own.value, se: own.se? })
        })
        .collect();
    let upside_down: Vec<String> = cases
        .iter()
        .filter(|case| case.auroc + 3.0 * case.se < 0.45)
        .map(|case| format!("{} {:.3}", case.label.name, case.auroc))
        .collect();
    if !upside_down.is_empty() {
        let evidence = format!("AUROCs far below 0.5: {}", upside_down.join(", "));
        warnings.push(Warning { kind: Kind::Polarity, evidence });
    }
    warnings.extend(column_order(&cases, policy)?);
    Ok(warnings)
}

/// The sigmoid of a probability lies between 0.5 and 0.7311.
fn double_sigmoid(scored: &[(&Label, &Vec<f64>)]) -> Option<Warning> {
    let all = || scored.iter().flat_map(|(_, s)| s.iter().copied());
    let (low, high) = all().fold((f64::MAX, f64::MIN), |(low, high), s| (low.min(s), high.max(s)));
    let most = 1.0 / (1.0 + libm::exp(-1.0));
    let enough = all().take(20).count() == 20 && high > low;
    (enough && low >= 0.5 && high <= most).then(|| Warning {
        kind: Kind::DoubleSigmoid,
        evidence: format!(
            "all scores lie in {low:.4} to {high:.4}, where the sigmoid puts probabilities: 0.5 to {most:.4}"
        ),
    })
}

/// Labels whose truths another label's column tells clearly better, and that one's a third's, until the first is reached.
fn column_order(cases: &[Case], policy: Policy) -> Result<Option<Warning>> {
    let mut best: Vec<Option<usize>> = vec![None; cases.len()];
    for (i, case) in cases.iter().enumerate().filter(|(_, case)| case.auroc < GOOD) {
        let Some(truths) = &case.label.truths else { continue };
        let (rows, y) = policy.rows(truths);
        // So many rows tell enough.
        let step = rows.len().div_ceil(MOST_ROWS).max(1);
        let y: Vec<bool> = y.into_iter().step_by(step).collect();
        let mut most = case.auroc + BETTER.max(3.0 * case.se);
        for (j, other) in cases.iter().enumerate().filter(|(j, _)| *j != i) {
            let scores: Vec<f64> = rows.iter().step_by(step).map(|&row| other.scores[row as usize]).collect();
            let auroc = Ranked::new(&y, &scores)?.auroc();
            if let Some(auroc) = auroc.filter(|auroc| *auroc > most) {
                (most, best[i]) = (auroc, Some(j));
            }
        }
    }
    let back = |start: usize| {
        let mut at = start;
        for _ in 0..cases.len() {
            match best[at] {
                Some(next) if next == start => return true,
                Some(next) => at = next,
                None => return false,
            }
        }
        false
    };
    let name = |i: usize| cases[i].label.name.as_str();
    let swapped: Vec<String> = (0..cases.len())
        .filter(|&i| back(i))
        .filter_map(|i| best[i].map(|j| format!("{} by the column of {}", name(i), name(j))))
        .collect();
    let evidence = format!("told better by another label's scores: {}", swapped.join(", "));
    Ok((!swapped.is_empty()).then_some(Warning { kind: Kind::ColumnOrder, evidence }))
}

/// What is looked at of a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Facts {
    /// Least and greatest value that the decoder gave.
    pub values: [f32; 2],
    /// Least and greatest value that it could give.
    pub range: [f32; 2],
    /// Mean of the middle of both halves, where the lungs are, as a share of the picture's own range.
    pub lungs: f64,
    /// Mean of the column between them, where the spine is, likewise.
    pub spine: f64,
    /// Mean of the network's input.
    pub input_mean: f64,
    /// Its standard deviation.
    pub input_std: f64,
    /// Mean of the pooled features, where they were computed.
    pub features: Option<f64>,
}

/// Looks at a sample of the pictures, and holds them against what the model card says of those that it was trained on.
pub fn pictures(sample: &[Facts], reference: Option<&Reference>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if sample.is_empty() {
        return warnings;
    }
    let n = sample.len() as f64;
    let share = |test: &dyn Fn(&Facts) -> bool| sample.iter().filter(|f| test(f)).count() as f64 / n;
    let used = |f: &Facts| (f.values[1] - f.values[0]) / (f.range[1] - f.range[0]);
    if share(&|f| used(f) < 0.25) >= MOST {
        let most = sample.iter().map(|f| f.values[1]).fold(f32::MIN, f32::max);
        let of = sample[0].range[1];
        let evidence = format!(
            "no value is above {most} of {of} in {} pictures: give the model card a window, or its scale another range",
            sample.len()
        );
        warnings.push(Warning { kind: Kind::PixelRange, evidence });
    }
    // Among 340 frontal radiographs of children and adults the spine is brighter in all but one.
    let inverted = share(&|f| f.lungs > f.spine);
    if inverted >= MOST {
        let evidence =
            format!("in {:.0}% of {} pictures the lungs are brighter than the spine", 100.0 * inverted, sample.len());
        warnings.push(Warning { kind: Kind::InvertedPhotometric, evidence });
    }
    let Some(reference) = reference else { return warnings };
    let mut far = Vec::new();
    let mut compare = |name: &str, spread: Option<Spread>, values: Vec<f64>| {
        let Some(spread) = spread.filter(|_| !values.is_empty()) else { return };
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let off = (mean - spread.mean) / spread.std;
        if off.abs() > FAR {
            far.push(format!("{name} {mean:.4} here, {:.4} (SD {:.4}) in the card", spread.mean, spread.std));
        }
    };
    compare("mean input", reference.input_mean, sample.iter().map(|f| f.input_mean).collect());
    compare("standard deviation of the input", reference.input_std, sample.iter().map(|f| f.input_std).collect());
    compare("mean feature", reference.features, sample.iter().filter_map(|f| f.features).collect());
    if !far.is_empty() {
        warnings.push(Warning { kind: Kind::Preprocessing, evidence: far.join("; ") });
    }
    warnings
}

/// The reference statistics of a sample of pictures, for the model card.
pub fn reference(sample: &[Facts]) -> Reference {
    let spread = |values: Vec<f64>| {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (values.len() > 1).then(|| Spread { mean, std: variance.sqrt() }).filter(|s| s.std > 0.0)
    };
    Reference {
        input_mean: spread(sample.iter().map(|f| f.input_mean).collect()),
        input_std: spread(sample.iter().map(|f| f.input_std).collect()),
        features: spread(sample.iter().filter_map(|f| f.features).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::evaluation::{Settings, evaluate};
    use crate::predictions::Truth;
    use crate::rng::Rng;

    /// Three labels of 300 images, each told by its own scores.
    fn table() -> Predictions {
        let mut rng = Rng::new(3, 0);
        let label = |(i, name): (usize, &str)| {
            let y: Vec<bool> = (0..300).map(|row| row % (i + 3) == 0).collect();
            let scores = y.iter().map(|&y| 0.3 * rng.uniform() + if y { 0.4 } else { 0.2 }).collect();
            let truth = |y: &bool| if *y { Truth::Positive } else { Truth::Negative };
            Label { name: name.into(), truths: Some(y.iter().map(truth).collect()), logits: None, scores: Some(scores) }
        };
        let labels = ["Mass", "Edema", "Hernia"].into_iter().enumerate().map(label).collect();
        Predictions { images: (0..300).map(|i| i.to_string()).collect(), labels, ..Predictions::default() }
    }

    fn warnings(table: &Predictions) -> Vec<Warning> {
        let evaluation = evaluate(table, None, &Settings::default()).unwrap();
        outputs(table, &evaluation, Policy::default()).unwrap()
    }

    fn kinds(table: &Predictions) -> Vec<Kind> {
        warnings(table).into_iter().map(|w| w.kind).collect()
    }

    #[test]
    fn each_fault_is_named_and_health_is_not() {
        let healthy = table();
        assert_eq!(kinds(&healthy), []);
        let change = |label: usize, f: &dyn Fn(f64) -> f64| {
            let mut table = table();
            table.labels[label].scores.as_mut().unwrap().iter_mut().for_each(|s| *s = f(*s));
            table
        };
        assert_eq!(kinds(&change(1, &|_| 0.5)), [Kind::ConstantOutput]);
        assert_eq!(kinds(&change(2, &|s| 1.0 - s)), [Kind::Polarity]);
        let mut twice = table();
        for label in &mut twice.labels {
            label.scores.as_mut().unwrap().iter_mut().for_each(|s| *s = 1.0 / (1.0 + (-*s).exp()));
        }
        assert_eq!(kinds(&twice), [Kind::DoubleSigmoid]);
        let mut turned = table();
        let first = turned.labels[0].scores.take();
        turned.labels[0].scores = turned.labels[1].scores.take();
        turned.labels[1].scores = first;
        let warnings = warnings(&turned);
        assert_eq!(warnings.len(), 1);
        assert_eq!(warnings[0].kind, Kind::ColumnOrder);
        assert!(warnings[0].evidence.contains("Mass by the column of Edema, Edema by the column of Mass"));
    }

    #[test]
    fn pictures_are_held_against_the_card() {
        let usual = Facts {
            values: [0.0, 250.0],
            range: [0.0, 255.0],
            lungs: 0.3,
            spine: 0.6,
            input_mean: 0.01,
            input_std: 1.0,
            features: Some(0.4),
        };
        let sample: Vec<Facts> = (0..20).map(|i| Facts { input_mean: 0.01 * f64::from(i), ..usual }).collect();
        let card = reference(&sample);
        assert!(card.input_mean.is_some() && card.input_std.is_none());
        assert_eq!(pictures(&sample, Some(&card)), []);
        let kinds = |change: &dyn Fn(Facts) -> Facts| -> Vec<Kind> {
            let changed: Vec<Facts> = sample.iter().map(|f| change(*f)).collect();
            pictures(&changed, Some(&card)).into_iter().map(|w| w.kind).collect()
        };
        assert_eq!(kinds(&|f| Facts { range: [0.0, 65535.0], ..f }), [Kind::PixelRange]);
        assert_eq!(kinds(&|f| Facts { lungs: 0.9, ..f }), [Kind::InvertedPhotometric]);
        assert_eq!(kinds(&|f| Facts { input_mean: 100.0, ..f }), [Kind::Preprocessing]);
    }
}
