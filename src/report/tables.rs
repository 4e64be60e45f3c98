//! The tables of a report.

use super::checklist::Checklist;
use super::document::{Document, Material};
use super::table::{Cell, Column, Table};
use super::training;
use crate::audit::reproduction::Item;
use crate::metrics::auroc::{Auroc, Method};
use crate::metrics::evaluation::{Averages, Evaluation};
use crate::metrics::operating_point::FittedOn;

/// Every table of the report that has rows, in the order of the report.
pub fn all(material: &Material) -> Vec<Table> {
    let d = &material.document;
    let mut tables = vec![
        discrimination(&d.evaluation),
        averages(&d.evaluation),
        operating_points(&d.evaluation),
        calibration(&d.evaluation),
        subgroups(d),
        published(d),
        labels(d),
        maps(d),
        failures(d),
        reliability(material),
        decision(material),
        training::table(material.description.training.as_ref()),
    ];
    tables.extend(d.checklists.iter().map(checklist));
    tables.retain(|table| !table.rows.is_empty());
    tables
}

fn text(key: &'static str, name: &'static str) -> Column {
    Column { key, name, words: true, interval: false }
}

fn number(key: &'static str, name: &'static str) -> Column {
    Column { key, name, words: false, interval: false }
}

fn interval(key: &'static str, name: &'static str) -> Column {
    Column { key, name, words: false, interval: true }
}

fn words(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

/// The AUROC and its interval, its method in words.
fn auroc(auroc: Option<&Auroc>) -> [Cell; 3] {
    let ends = auroc.and_then(|a| a.estimate.ci_low.zip(a.estimate.ci_high));
    let method = auroc.map_or("", |a| match a.method {
        Method::Delong => "DeLong",
        Method::Clustered => "by patient",
    });
    [Cell::Number(auroc.map(|a| a.estimate.value), 3), Cell::Interval(ends, 3), words(method)]
}

fn discrimination(evaluation: &Evaluation) -> Table {
    let rows = evaluation.labels.iter().map(|label| {
        let remark = label.not_evaluable.clone().or_else(|| label.auroc.as_ref().and_then(|a| a.warning.clone()));
        let ap = label.average_precision;
        let mut row = vec![words(&label.label), Cell::Count(label.n), Cell::Count(label.n_pos)];
        row.extend(auroc(label.auroc.as_ref()));
        row.extend([
            Cell::Number(ap.map(|v| v.value), 3),
            Cell::Interval(ap.and_then(|v| v.ci_low.zip(v.ci_high)), 3),
            Cell::Text(remark.unwrap_or_default()),
        ]);
        row
    });
    Table {
        name: "auroc",
        title: "AUROC and average precision, with 95% intervals",
        columns: vec![
            text("label", "Label"),
            number("n", "n"),
            number("n_pos", "Positive"),
            number("auroc", "AUROC"),
            interval("auroc_ci", "95% CI"),
            text("method", "Variance"),
            number("average_precision", "AP"),
            interval("average_precision_ci", "95% CI"),
            text("remark", "Remark"),
        ],
        rows: rows.collect(),
    }
}

/// The printed numbers of a published table beside the run's.
fn published(document: &Document) -> Table {
    let items = document.reproduction.iter().flat_map(|r| r.macro_average.iter().chain(&r.labels));
    let row = |item: &Item| {
        let judged = item.judgement.as_ref();
        vec![
            words(&item.label),
            Cell::Text(item.metric.to_string()),
            words(&item.printed),
            Cell::Number(Some(item.ours), 4),
            Cell::Number(Some(item.difference), 4),
            Cell::Interval(judged.map(|j| (j.ci[0], j.ci[1])), 4),
            Cell::Number(Some(item.delta), 4),
            Cell::Number(judged.map(|j| j.smallest_margin), 4),
            words(item.verdict.words()),
            Cell::Text(item.reason.clone().unwrap_or_default()),
        ]
    };
    Table {
        name: "published",
        title: "Printed numbers and the run's; the difference is ours less theirs",
        columns: vec![
            text("label", "Label"),
            text("metric", "Metric"),
            text("printed", "Printed"),
            number("here", "Here"),
            number("difference", "Difference"),
            interval("difference_ci", "95% CI"),
            number("delta", "Margin"),
            number("smallest_margin", "Shown within"),
            text("verdict", "Verdict"),
            text("reason", "Reason"),
        ],
        rows: items.map(row).collect(),
    }
}

fn averages(evaluation: &Evaluation) -> Table {
    let row = |name: &str, a: &Averages| {
        let mut row = vec![words(name), Cell::Count(a.labels)];
        row.extend(auroc(a.auroc.as_ref()));
        let ap = a.average_precision;
        row.extend([Cell::Number(ap.map(|v| v.value), 3), Cell::Interval(ap.and_then(|v| v.ci_low.zip(v.ci_high)), 3)]);
        row
    };
    let micro = &evaluation.micro;
    let labels = evaluation.macro_average.labels;
    let pooled = vec![
        words("micro: all labels' rows in one list"),
        Cell::Count(labels),
        Cell::Number(micro.auroc, 3),
        Cell::Interval(micro.auroc_ci_low.zip(micro.auroc_ci_high), 3),
        words(if evaluation.n_patients.is_some() { "by patient" } else { "by image" }),
        Cell::Number(micro.average_precision, 3),
        Cell::Interval(None, 3),
    ];
    Table {
        name: "averages",
        title: "Averages over the labels that could be evaluated",
        columns: vec![
            text("average", "Average"),
            number("labels", "Labels"),
            number("auroc", "AUROC"),
            interval("auroc_ci", "95% CI"),
            text("method", "Variance"),
            number("average_precision", "AP"),
            interval("average_precision_ci", "95% CI"),
        ],
        rows: vec![
            row("macro: each label counts the same", &evaluation.macro_average),
            row("weighted: each label counts by its positives", &evaluation.prevalence_weighted),
            pooled,
        ],
    }
}

fn operating_points(evaluation: &Evaluation) -> Table {
    let mut rows = Vec::new();
    for label in &evaluation.labels {
        for p in &label.operating_points {
            let rule = match p.target {
                Some(target) => format!("{} ≥ {target}", p.rule),
                None => p.rule.to_owned(),
            };
            let fitted = match p.fitted_on {
                FittedOn::Same => "the same images",
                FittedOn::Tuning => "tuning images",
                FittedOn::Given => "given",
            };
            let count = |n: u32| Cell::Count(n as usize);
            let m = &p.measures;
            rows.push(vec![
                words(&label.label),
                Cell::Text(rule),
                words(fitted),
                Cell::Number(Some(p.threshold), 3),
                count(p.counts.tp),
                count(p.counts.fp),
                count(p.counts.fn_),
                count(p.counts.tn),
                Cell::Number(m.sensitivity, 3),
                Cell::Interval(p.ci.sensitivity, 3),
                Cell::Number(m.specificity, 3),
                Cell::Interval(p.ci.specificity, 3),
                Cell::Number(m.ppv, 3),
                Cell::Number(m.npv, 3),
                Cell::Number(m.f1, 3),
                Cell::Number(m.mcc, 3),
            ]);
        }
    }
    Table {
        name: "operating_points",
        title: "Operating points: `score >= threshold` is called positive",
        columns: vec![
            text("label", "Label"),
            text("rule", "Rule"),
            text("fitted_on", "Threshold from"),
            number("threshold", "Threshold"),
            number("tp", "TP"),
            number("fp", "FP"),
            number("fn", "FN"),
            number("tn", "TN"),
            number("sensitivity", "Sens."),
            interval("sensitivity_ci", "95% CI"),
            number("specificity", "Spec."),
            interval("specificity_ci", "95% CI"),
            number("ppv", "PPV"),
            number("npv", "NPV"),
            number("f1", "F1"),
            number("mcc", "MCC"),
        ],
        rows,
    }
}

fn calibration(evaluation: &Evaluation) -> Table {
    let rows = evaluation.labels.iter().filter(|label| label.not_evaluable.is_none()).map(|label| {
        vec![
            words(&label.label),
            Cell::Number(label.brier, 4),
            Cell::Number(label.log_loss, 4),
            Cell::Number(label.ece.map(|e| e.value), 4),
            Cell::Number(label.ece_equal_count.map(|e| e.value), 4),
            Cell::Number(label.ece_debiased, 4),
            Cell::Number(label.smece, 4),
            Cell::Number(label.mce, 4),
            Cell::Number(label.calibrated_null.map(|c| c.p_value), 3),
            Cell::Text(label.calibration_refused.clone().unwrap_or_default()),
        ]
    });
    Table {
        name: "calibration",
        title: "Calibration: how true the probabilities are",
        columns: vec![
            text("label", "Label"),
            number("brier", "Brier"),
            number("log_loss", "Log loss"),
            number("ece", "ECE, 15 equal widths"),
            number("ece_equal_count", "ECE, 15 equal counts"),
            number("ece_debiased", "ECE, debiased"),
            number("smece", "smECE"),
            number("mce", "MCE"),
            number("calibrated_null_p", "p, if calibrated"),
            text("remark", "Remark"),
        ],
        rows: rows.collect(),
    }
}

fn subgroups(document: &Document) -> Table {
    let mut rows = Vec::new();
    for found in &document.subgroups {
        for group in &found.groups {
            for of in &group.labels {
                let s = &of.subgroup;
                let [value, ends, _] = auroc(s.auroc.as_ref());
                rows.push(vec![
                    words(&of.label),
                    words(&found.attribute),
                    words(&group.value),
                    Cell::Count(s.n),
                    Cell::Count(s.n_pos),
                    value,
                    ends,
                    Cell::Number(s.gap.map(|g| g.value), 3),
                    Cell::Interval(s.gap.and_then(|g| g.ci_low.zip(g.ci_high)), 3),
                    Cell::Text(s.warning.clone().unwrap_or_default()),
                ]);
            }
        }
    }
    // Labels together, attributes and groups in their order within.
    let place = |row: &[Cell]| {
        document.evaluation.labels.iter().position(|l| matches!(&row[0], Cell::Text(t) if *t == l.label))
    };
    rows.sort_by_key(|row| place(row));
    Table {
        name: "subgroups",
        title: "Subgroups: the AUROC of each group, and its gap to all other images",
        columns: vec![
            text("label", "Label"),
            text("attribute", "Attribute"),
            text("group", "Group"),
            number("n", "n"),
            number("n_pos", "Positive"),
            number("auroc", "AUROC"),
            interval("auroc_ci", "95% CI"),
            number("gap", "Gap"),
            interval("gap_ci", "95% CI of the gap"),
            text("remark", "Remark"),
        ],
        rows,
    }
}

fn labels(document: &Document) -> Table {
    let rows = document.counts.labels.iter().map(|l| {
        let known = l.positive + l.negative;
        let share = (known > 0).then(|| l.positive as f64 / known as f64);
        vec![
            words(&l.label),
            Cell::Count(l.positive),
            Cell::Count(l.negative),
            Cell::Count(l.uncertain),
            Cell::Count(l.unmentioned),
            Cell::Number(share, 4),
        ]
    });
    Table {
        name: "labels",
        title: "What the data say, over the images with predictions",
        columns: vec![
            text("label", "Label"),
            number("positive", "Positive"),
            number("negative", "Negative"),
            number("uncertain", "Uncertain"),
            number("unmentioned", "Not mentioned"),
            number("prevalence", "Positive of known"),
        ],
        rows: rows.collect(),
    }
}

fn maps(document: &Document) -> Table {
    let rows = document.maps.iter().flat_map(|maps| &maps.trust).map(|t| {
        vec![
            words(&t.label),
            Cell::Text(t.badge.to_string()),
            Cell::Count(t.n),
            Cell::Number(t.road, 3),
            Cell::Number(t.road_random, 3),
            Cell::Number(t.p_value, 2),
            Cell::Number(t.deletion, 3),
            Cell::Number(t.deletion_random, 3),
            Cell::Number(t.insertion, 3),
            Cell::Number(t.insertion_random, 3),
            Cell::Number(t.correlation_when_random.map(|[.., all]| all), 3),
        ]
    });
    Table {
        name: "maps",
        title: "Can the maps be trusted? Each beside the mean of random maps",
        columns: vec![
            text("label", "Label"),
            text("badge", "Badge"),
            number("n", "n"),
            number("road", "ROAD"),
            number("road_random", "random"),
            number("p", "p"),
            number("deletion", "Deletion"),
            number("deletion_random", "random"),
            number("insertion", "Insertion"),
            number("insertion_random", "random"),
            number("correlation_when_random", "Correlation with random weights"),
        ],
        rows: rows.collect(),
    }
}

fn failures(document: &Document) -> Table {
    Table {
        name: "failures",
        title: "Images that could not be read",
        columns: vec![text("image", "Image"), text("reason", "Reason")],
        rows: document.failures.iter().map(|f| vec![words(&f.image), words(&f.reason)]).collect(),
    }
}

fn reliability(material: &Material) -> Table {
    let mut rows = Vec::new();
    for (label, curves) in material.document.evaluation.labels.iter().zip(&material.curves) {
        for bin in curves.iter().flat_map(|c| &c.reliability) {
            rows.push(vec![
                words(&label.label),
                Cell::Interval(Some((bin.low, bin.high)), 3),
                Cell::Count(bin.n),
                Cell::Count(bin.n_pos),
                Cell::Number(Some(bin.mean), 4),
                Cell::Number(Some(bin.observed), 4),
                Cell::Interval(Some((bin.ci_low, bin.ci_high)), 4),
            ]);
        }
    }
    Table {
        name: "reliability",
        title: "The bins of the reliability diagrams",
        columns: vec![
            text("label", "Label"),
            interval("bin", "Bin"),
            number("n", "n"),
            number("n_pos", "Positive"),
            number("mean_probability", "Mean probability"),
            number("observed", "Share of positives"),
            interval("observed_ci", "95% CI"),
        ],
        rows,
    }
}

fn decision(material: &Material) -> Table {
    let mut rows = Vec::new();
    for (label, curves) in material.document.evaluation.labels.iter().zip(&material.curves) {
        for point in curves.iter().flat_map(|c| &c.decision) {
            rows.push(vec![
                words(&label.label),
                Cell::Number(Some(point.threshold), 2),
                Cell::Number(Some(point.model), 4),
                Cell::Number(Some(point.treat_all), 4),
            ]);
        }
    }
    Table {
        name: "decision",
        title: "Net benefit by threshold probability; acting on no one is 0",
        columns: vec![
            text("label", "Label"),
            number("threshold", "Threshold"),
            number("model", "Model"),
            number("treat_all", "Act on all"),
        ],
        rows,
    }
}

fn checklist(list: &Checklist) -> Table {
    let rows = list.items.iter().map(|item| {
        vec![words(item.number), words(item.topic), words(&item.answer.words()), words(&item.answer.pointer())]
    });
    Table {
        name: list.key,
        title: list.name,
        columns: vec![
            text("item", "Item"),
            text("topic", "Topic"),
            text("answered_by", "Answered by"),
            text("where", "Where"),
        ],
        rows: rows.collect(),
    }
}
