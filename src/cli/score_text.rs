//! What `roentgen score` prints: tables for people, and one row a label for spreadsheets.

use crate::cli;
use crate::cli::evaluation_table::{self, interval, number};
use crate::cli::score::{Document, LabelReadings, Selective};
use crate::cli::table::{Side, Table};
use crate::error::Result;
use crate::metrics::bootstrap::Percentile;
use crate::metrics::breakdown::Breakdown;
use crate::metrics::evaluation::{Evaluation, LabelEvaluation};
use crate::metrics::matching::Match;
use crate::metrics::operating_point::FittedOn;
use crate::metrics::policies::UnderPolicies;
use crate::metrics::risk_coverage::COVERAGES;

/// All tables of a document; of one that looks for a number, only what was found.
pub fn text(document: &Document) -> String {
    let evaluation = &document.evaluation;
    if let Some(found) = &document.matches {
        return matches(found);
    }
    let mut text = format!("{} {}s", evaluation.n_images, evaluation.policy.unit);
    if let Some(patients) = evaluation.n_patients {
        text += &format!(" of {patients} patients");
    }
    if !evaluation.policy.conditions.is_empty() {
        text += &format!(" where {}", evaluation.policy.conditions.join(" and "));
    }
    text += &format!("\n\n{}", evaluation_table::text(evaluation));
    text += &format!("\nOperating points\n\n{}", operating_points(evaluation));
    text += &bootstrap(evaluation);
    for found in &document.subgroups {
        text += &format!("\nBy {}\n\n{}", found.attribute, subgroups(found));
    }
    if !document.policies.is_empty() {
        text += &format!("\nAUROC by what uncertain labels count as\n\n{}", policies(&document.policies));
    }
    if let Some(first) = document.risk_coverage.first() {
        text += &format!("\nErrors by how many images are kept, lowest {} first\n\n", first.by);
        text += &selective(&document.risk_coverage).to_string();
    }
    if !document.dialect.is_empty() {
        text += &format!("\nIn another library's conventions\n\n{}", dialect(&document.dialect));
    }
    text
}

fn table(header: &[&str]) -> Table {
    let left = ["label", "rule", "fitted on", "group", "metric", "call", "where it differs", "label policy", "by"];
    let side = |h: &&str| if left.contains(h) { Side::Left } else { Side::Right };
    Table::new(&header.iter().map(|h| (*h, side(h))).collect::<Vec<_>>())
}

fn selective(labels: &[Selective]) -> Table {
    let kept = COVERAGES.map(|c| format!("keep {:.0}%", 100.0 * c));
    let header: Vec<&str> = ["label", "threshold"].into_iter().chain(kept.iter().map(String::as_str)).collect();
    let mut table = table(&[&header[..], &["AURC", "excess"]].concat());
    for Selective { label, threshold, found, .. } in labels {
        let numbers =
            [Some(*threshold)].into_iter().chain(found.risks).chain([found.aurc, found.excess_aurc].map(Some));
        table.row(std::iter::once(label.clone()).chain(numbers.map(number)));
    }
    table
}

fn operating_points(evaluation: &Evaluation) -> Table {
    let mut table = table(&[
        "label",
        "rule",
        "fitted on",
        "threshold",
        "TP",
        "FP",
        "FN",
        "TN",
        "sens",
        "95% CI",
        "spec",
        "95% CI",
        "PPV",
        "NPV",
        "F1",
        "MCC",
    ]);
    let pair = |ci: Option<(f64, f64)>| ci.map_or("-".into(), |(low, high)| format!("{low:.3}-{high:.3}"));
    let short = |v: Option<f64>| v.map_or("-".into(), |v| format!("{v:.3}"));
    for label in &evaluation.labels {
        for p in &label.operating_points {
            let rule = p.target.map_or(p.rule.to_owned(), |t| format!("{} {t}", p.rule));
            let fitted = match p.fitted_on {
                FittedOn::Same => "same",
                FittedOn::Tuning => "tuning",
                FittedOn::Given => "given",
            };
            let ties = if p.ties.is_empty() { String::new() } else { format!(" (+{} ties)", p.ties.len()) };
            table.row([
                label.label.clone(),
                rule,
                fitted.into(),
                format!("{:.4}{ties}", p.threshold),
                p.counts.tp.to_string(),
                p.counts.fp.to_string(),
                p.counts.fn_.to_string(),
                p.counts.tn.to_string(),
                short(p.measures.sensitivity),
                pair(p.ci.sensitivity),
                short(p.measures.specificity),
                pair(p.ci.specificity),
                short(p.measures.ppv),
                short(p.measures.npv),
                short(p.measures.f1),
                short(p.measures.mcc),
            ]);
        }
    }
    table
}

fn bootstrap(evaluation: &Evaluation) -> String {
    let Some(drawn) = evaluation.bootstrap else { return String::new() };
    let unit = if evaluation.n_patients.is_some() { "patients" } else { "images" };
    let mut table = table(&["label", "AP", "95% CI", "Brier", "95% CI", "ECE", "95% CI", "discarded draws"]);
    let pair = |p: Option<Percentile>| p.map_or("-".into(), |p| format!("{:.4}-{:.4}", p.low, p.high));
    for label in &evaluation.labels {
        let Some(b) = label.bootstrap else { continue };
        table.row([
            label.label.clone(),
            number(label.average_precision.map(|v| v.value)),
            pair(b.average_precision),
            number(label.brier),
            pair(b.brier),
            number(label.ece.map(|e| e.value)),
            pair(b.ece),
            b.auroc.map_or("-".into(), |a| a.discarded.to_string()),
        ]);
    }
    format!("\nBootstrap of {unit}: {} replicates, seed {}\n\n{table}", drawn.replicates, drawn.seed)
}

fn subgroups(found: &Breakdown) -> String {
    let mut table = table(&["label", "group", "n", "pos", "AUROC", "95% CI", "gap to the rest", "95% CI of the gap"]);
    let mut remarks = String::new();
    for group in &found.groups {
        for of in &group.labels {
            let s = &of.subgroup;
            table.row([
                of.label.clone(),
                group.value.clone(),
                s.n.to_string(),
                s.n_pos.to_string(),
                number(s.auroc.as_ref().map(|a| a.estimate.value)),
                interval(s.auroc.as_ref().map(|a| &a.estimate)),
                s.gap.map_or("-".into(), |g| format!("{:+.4}", g.value)),
                match s.gap.and_then(|g| g.ci_low.zip(g.ci_high)) {
                    Some((low, high)) => format!("{low:+.4} to {high:+.4}"),
                    None => "-".into(),
                },
            ]);
            remarks.extend(s.warning.iter().map(|w| format!("{}, {}: {w}\n", of.label, group.value)));
        }
    }
    format!("{table}{remarks}")
}

fn policies(rows: &[UnderPolicies]) -> Table {
    let mut table = table(&["label", "uncertain", "ignore", "zeros", "ones", "spread"]);
    for row in rows {
        let all = [row.ignore, row.zeros, row.ones];
        let known: Option<Vec<f64>> = all.into_iter().collect();
        let spread = known.map(|v| v.iter().fold(0.0, |s: f64, x| v.iter().fold(s, |s, y| s.max(x - y))));
        let cells = all.map(number);
        table.row([row.label.clone(), row.n_uncertain.to_string()].into_iter().chain(cells).chain([number(spread)]));
    }
    table
}

fn dialect(labels: &[LabelReadings]) -> Table {
    let mut table = table(&["label", "metric", "call", "theirs", "ours", "where it differs"]);
    for label in labels {
        for r in &label.readings {
            let (theirs, ours) = (number(r.value), number(r.ours));
            let differs = r.differs.unwrap_or_default().to_owned();
            table.row([label.label.clone(), r.metric.into(), r.call.into(), theirs, ours, differs]);
        }
    }
    table
}

fn matches(found: &[Match]) -> String {
    if found.is_empty() {
        return "no metric, average, label policy or threshold rule here gives this number\n".into();
    }
    let mut table = table(&["label", "metric", "value", "by", "label policy"]);
    for m in found {
        let policy = match m.policies.as_slice() {
            [] => "any".into(),
            some => some.iter().map(|p| p.to_string()).collect::<Vec<_>>().join(" or "),
        };
        table.row([m.label.clone(), m.metric.clone(), m.value.to_string(), m.by.into(), policy]);
    }
    table.to_string()
}

/// One row a label, full precision; empty where there is no number.
pub fn csv(evaluation: &Evaluation) -> Result<String> {
    let header = [
        "label",
        "n",
        "n_pos",
        "auroc",
        "auroc_se",
        "auroc_ci_low",
        "auroc_ci_high",
        "auroc_method",
        "average_precision",
        "average_precision_ci_low",
        "average_precision_ci_high",
        "pr_auc_trapezoid",
        "brier",
        "log_loss",
        "ece",
        "ece_equal_count",
        "ece_top_label",
        "ece_debiased",
        "smece",
        "mce",
        "not_evaluable",
    ];
    let cell = |v: Option<f64>| v.map_or(String::new(), |v| v.to_string());
    let row = |l: &LabelEvaluation| {
        let auroc = l.auroc.as_ref();
        let of = |f: fn(&crate::metrics::confidence::Estimate) -> Option<f64>| cell(auroc.and_then(|a| f(&a.estimate)));
        let method = auroc.and_then(|a| serde_json::to_value(a.method).ok());
        [
            l.label.clone(),
            l.n.to_string(),
            l.n_pos.to_string(),
            of(|e| Some(e.value)),
            of(|e| e.se),
            of(|e| e.ci_low),
            of(|e| e.ci_high),
            method.and_then(|m| m.as_str().map(str::to_owned)).unwrap_or_default(),
            cell(l.average_precision.map(|v| v.value)),
            cell(l.average_precision.and_then(|v| v.ci_low)),
            cell(l.average_precision.and_then(|v| v.ci_high)),
            cell(l.pr_auc_trapezoid),
            cell(l.brier),
            cell(l.log_loss),
            cell(l.ece.map(|e| e.value)),
            cell(l.ece_equal_count.map(|e| e.value)),
            cell(l.ece_top_label.map(|e| e.value)),
            cell(l.ece_debiased),
            cell(l.smece),
            cell(l.mce),
            l.not_evaluable.clone().unwrap_or_default(),
        ]
    };
    cli::csv(std::iter::once(header.map(str::to_owned)).chain(evaluation.labels.iter().map(row)))
}
