//! `roentgen score`: the complete evaluation of any program's predictions.

use serde::Serialize;

use crate::cli::args::{self, Format};
use crate::cli::{inputs, json, note, preflight, print, score_text};
use crate::error::{Error, Result};
use crate::metrics::breakdown::{Breakdown, breakdown};
use crate::metrics::calibration::Forecast;
use crate::metrics::dialect::{Dialect, Reading, readings};
use crate::metrics::evaluation::{self, Evaluation, Settings};
use crate::metrics::matching::{Match, matches};
use crate::metrics::policies::{UnderPolicies, under_policies};
use crate::metrics::risk_coverage::{RiskCoverage, risk_coverage};
use crate::metrics::roc::Ranked;
use crate::predictions::{self, Condition, Predictions};

/// Everything that was asked for; `--format json` prints it.
#[derive(Serialize)]
pub struct Document {
    /// The evaluation, its keys at the top level.
    #[serde(flatten)]
    pub evaluation: Evaluation,
    /// `--by`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subgroups: Vec<Breakdown>,
    /// `--policies`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<UnderPolicies>,
    /// `--dialect`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dialect: Vec<LabelReadings>,
    /// `--risk-coverage`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub risk_coverage: Vec<Selective>,
    /// `--match`: the numbers that print as the one given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matches: Option<Vec<Match>>,
}

/// Errors of a label at its first operating point, by how many images are kept.
#[derive(Serialize)]
pub struct Selective {
    /// The label.
    pub label: String,
    /// The column of the uncertainties.
    pub by: String,
    /// The threshold.
    pub threshold: f64,
    /// The curve, with its points where `--curves` asks for them.
    #[serde(flatten)]
    pub found: RiskCoverage,
}

/// One label in another library's conventions.
#[derive(Serialize)]
pub struct LabelReadings {
    /// The label.
    pub label: String,
    /// Its metrics.
    pub readings: Vec<Reading>,
}

/// Carries the verb out.
pub fn run(args: &args::Score) -> Result<()> {
    let selected = |table| inputs::selected(table, &args.selection);
    let predictions = selected(inputs::read(&args.predictions, &args.truth)?)?;
    let tuning = args.tuning.as_deref().map(|path| {
        let file = inputs::predictions_file(path)?;
        selected(predictions::read(&file, args.truth.id.as_deref())?)
    });
    let tuning = tuning.transpose()?;
    if let Some(tuning) = &tuning {
        warn_of_shared_patients(&predictions, tuning);
    }
    let settings = settings(args);
    let mut evaluation = evaluation::evaluate(&predictions, tuning.as_ref(), &settings)?;
    preflight::after(&predictions, &evaluation, settings.policy)?;
    if args.selection.unit == args::Unit::Study {
        evaluation.policy.unit = "study".into();
        evaluation.policy.aggregate = Some(inputs::aggregate(&args.selection));
    }
    evaluation.policy.conditions = args.selection.conditions.iter().map(Condition::to_string).collect();
    let document = Document {
        subgroups: args
            .by
            .iter()
            .map(|attribute| breakdown(&predictions, attribute, settings.policy))
            .collect::<Result<_>>()?,
        policies: if args.policies { under_policies(&predictions, &settings)? } else { Vec::new() },
        risk_coverage: match &args.risk_coverage {
            Some(column) => selective(column, &predictions, &evaluation, &settings)?,
            None => Vec::new(),
        },
        dialect: args.dialect.map_or(Ok(Vec::new()), |d| in_dialect(d, &predictions, &settings))?,
        matches: args.printed.map(|printed| matches(&predictions, printed, &settings)).transpose()?,
        evaluation,
    };
    print(&match args.format {
        Format::Text => score_text::text(&document),
        Format::Json => json(&document)?,
        Format::Csv => score_text::csv(&document.evaluation)?,
    })
}

fn settings(args: &args::Score) -> Settings {
    let defaults = Settings::default();
    Settings {
        policy: args.policy.resolve(),
        rank_only: args.scores == args::Scores::Rank,
        rules: if args.points.is_empty() { defaults.rules } else { args.points.clone() },
        prevalence: args.prevalence,
        bootstrap: (args.bootstrap, args.seed),
        curves: args.curves,
    }
}

fn warn_of_shared_patients(test: &Predictions, tuning: &Predictions) {
    let ids = |table: &Predictions| -> std::collections::HashSet<String> {
        table.patients.as_ref().unwrap_or(&table.images).iter().cloned().collect()
    };
    let shared = ids(test).intersection(&ids(tuning)).count();
    if shared > 0 {
        note(&format!("{shared} patients are in both tuning and test: thresholds chosen on them flatter the model"));
    }
}

fn in_dialect(dialect: args::Dialect, table: &Predictions, settings: &Settings) -> Result<Vec<LabelReadings>> {
    let dialect = match dialect {
        args::Dialect::Sklearn => Dialect::Sklearn,
        args::Dialect::Torchmetrics => Dialect::Torchmetrics,
        args::Dialect::Proc => Dialect::Proc,
    };
    let mut found = Vec::new();
    for label in &table.labels {
        let (Some(truths), Some(scores)) = (&label.truths, &label.scores) else { continue };
        let (rows, y) = settings.policy.rows(truths);
        let scores: Vec<f64> = rows.iter().map(|&row| scores[row as usize]).collect();
        if y.is_empty() {
            continue;
        }
        let ranked = Ranked::new(&y, &scores).map_err(|e| e.at(format_args!("label {}", label.name)))?;
        let forecast = Forecast::new(&y, &scores).ok().filter(|_| !settings.rank_only);
        found
            .push(LabelReadings { label: label.name.clone(), readings: readings(dialect, &ranked, forecast.as_ref()) });
    }
    Ok(found)
}

fn selective(
    column: &str,
    table: &Predictions,
    evaluation: &Evaluation,
    settings: &Settings,
) -> Result<Vec<Selective>> {
    let place = || format!("column `{column}`");
    let values = table.column(column).ok_or_else(|| {
        Error::usage("the predictions have no such column")
            .at(place())
            .mend("make it with `roentgen predict --uncertainty ... --format csv`, or name another")
    })?;
    let number = |(value, image): (&String, &String)| -> Result<f64> {
        let number = value.parse().ok().filter(|v: &f64| v.is_finite());
        number
            .ok_or_else(|| Error::new(format!("{value:?} is no number")).at(format_args!("image {image}")).at(place()))
    };
    let values = values.iter().zip(&table.images).map(number).collect::<Result<Vec<_>>>()?;
    let mut found = Vec::new();
    for label in &evaluation.labels {
        let Some((truths, scores)) = table.label(&label.label).and_then(|l| l.truths.as_ref().zip(l.scores.as_ref()))
        else {
            continue;
        };
        let Some(point) = label.operating_points.first() else { continue };
        let (rows, y) = settings.policy.rows(truths);
        let uncertainty: Vec<f64> = rows.iter().map(|row| values[*row as usize]).collect();
        let called = |row: &u32| scores[*row as usize] >= point.threshold;
        let wrong: Vec<bool> = rows.iter().zip(&y).map(|(row, y)| called(row) != *y).collect();
        if let Some(mut curve) = risk_coverage(&uncertainty, &wrong) {
            if !settings.curves {
                curve.curve.clear();
            }
            let (label, by) = (label.label.clone(), column.to_owned());
            found.push(Selective { label, by, threshold: point.threshold, found: curve });
        }
    }
    Ok(found)
}
