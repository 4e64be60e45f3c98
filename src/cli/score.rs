//! `roentgen score`: the complete evaluation of any program's predictions.

use serde::Serialize;

use crate::cli::args::{self, Format};
use crate::cli::{inputs, json, note, print, score_text};
use crate::error::Result;
use crate::metrics::breakdown::{Breakdown, breakdown};
use crate::metrics::calibration::Forecast;
use crate::metrics::dialect::{Dialect, Reading, readings};
use crate::metrics::evaluation::{self, Evaluation, Settings};
use crate::metrics::matching::{Match, matches};
use crate::metrics::policies::{UnderPolicies, under_policies};
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
    /// `--match`: the numbers that print as the one given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matches: Option<Vec<Match>>,
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
