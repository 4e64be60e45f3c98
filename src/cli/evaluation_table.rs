//! The table of an evaluation.

use crate::cli::table::{Side, Table};
use crate::metrics::confidence::Estimate;
use crate::metrics::evaluation::Evaluation;

/// A row a label, the macro average, and under it why a label or an interval is missing.
pub fn text(evaluation: &Evaluation) -> String {
    let header = ["label", "n", "pos", "AUROC", "95% CI", "AP", "Brier", "ECE"];
    let mut table = Table::new(&header.map(|h| (h, if h == "label" { Side::Left } else { Side::Right })));
    let mut remarks = Vec::new();
    for label in &evaluation.labels {
        let auroc = label.auroc.as_ref();
        table.row([
            label.label.clone(),
            label.n.to_string(),
            label.n_pos.to_string(),
            number(auroc.map(|a| a.estimate.value)),
            interval(auroc.map(|a| &a.estimate)),
            number(label.average_precision.map(|v| v.value)),
            number(label.brier),
            number(label.ece.map(|e| e.value)),
        ]);
        let said = [&label.not_evaluable, &label.calibration_refused];
        let warned = auroc.and_then(|a| a.warning.as_ref());
        remarks.extend(said.into_iter().flatten().chain(warned).map(|r| format!("{}: {r}\n", label.label)));
    }
    let averages = &evaluation.macro_average;
    table.row([
        "macro".into(),
        String::new(),
        String::new(),
        number(averages.auroc.as_ref().map(|a| a.estimate.value)),
        interval(averages.auroc.as_ref().map(|a| &a.estimate)),
        number(averages.average_precision.map(|v| v.value)),
        String::new(),
        String::new(),
    ]);
    format!("{table}{}", remarks.concat())
}

/// Four decimals, or `-`.
pub fn number(value: Option<f64>) -> String {
    value.map_or("-".into(), |v| format!("{v:.4}"))
}

/// Both ends of the interval, or `-`.
pub fn interval(estimate: Option<&Estimate>) -> String {
    match estimate.and_then(|e| e.ci_low.zip(e.ci_high)) {
        Some((low, high)) => format!("{low:.4}-{high:.4}"),
        None => "-".into(),
    }
}
