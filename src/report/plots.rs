//! The plots of a report.

use super::chart::{Axis, Chart, Layer, Pie, Row, Rows, Sign};
use super::document::Material;
use super::surface::{COLOURS, Plot};
use super::training;
use crate::files;
use crate::metrics::evaluation::{Curves, LabelEvaluation};
use crate::metrics::roc::RocPoint;

/// Every plot of the report.
pub fn all(material: &Material) -> Vec<Plot> {
    let evaluation = &material.document.evaluation;
    let mut plots = Vec::new();
    plots.extend(forest(material));
    for (i, (label, curves)) in evaluation.labels.iter().zip(&material.curves).enumerate() {
        let Some(curves) = curves else { continue };
        let mut add = |kind: &str, chart: Option<Chart>| {
            plots.extend(chart.map(|chart| Plot {
                name: format!("{kind}_{:02}_{}", i + 1, files::plain_name(&label.label)),
                label: Some(i),
                words: format!(
                    "{}: {}",
                    chart.title,
                    chart.legend.iter().map(|l| l.2.as_str()).collect::<Vec<_>>().join("; ")
                ),
                figure: Box::new(chart),
            }));
        };
        add("roc", Some(roc(label, curves)));
        add("pr", Some(precision_recall(label, curves)));
        add("reliability", reliability(label, curves));
        add("threshold", threshold(label, curves));
        add("decision", decision(label, curves));
    }
    plots.extend(distribution(material));
    plots.extend(material.description.training.iter().flat_map(training::plots));
    plots
}

fn forest(material: &Material) -> Option<Plot> {
    let evaluation = &material.document.evaluation;
    let row = |name: &str, auroc: Option<&crate::metrics::auroc::Auroc>| {
        let value = auroc.map(|a| a.estimate.value);
        let interval = auroc.and_then(|a| a.estimate.ci_low.zip(a.estimate.ci_high));
        let words = match (value, interval) {
            (Some(v), Some((low, high))) => format!("{v:.3} ({low:.3}–{high:.3})"),
            (Some(v), None) => format!("{v:.3}"),
            _ => "not evaluable".into(),
        };
        Row { name: name.into(), words, value, interval }
    };
    let mut rows: Vec<Row> = evaluation.labels.iter().map(|l| row(&l.label, l.auroc.as_ref())).collect();
    rows.push(row("macro average", evaluation.macro_average.auroc.as_ref()));
    let lowest = rows.iter().filter_map(|r| r.interval.map(|i| i.0).or(r.value)).fold(0.5, f64::min);
    rows.iter().any(|r| r.value.is_some()).then(|| Plot {
        name: "auroc".into(),
        label: None,
        words: rows.iter().map(|r| format!("{}: {}", r.name, r.words)).collect::<Vec<_>>().join("; "),
        figure: Box::new(Rows {
            title: "AUROC with 95% interval".into(),
            x: Axis { title: "AUROC".into(), low: (lowest * 10.0).floor() / 10.0, high: 1.0 },
            rows,
            bars: false,
            reference: Some(0.5),
        }),
    })
}

fn roc(label: &LabelEvaluation, curves: &Curves) -> Chart {
    let points = curves.roc.iter().map(|p| (p.fpr, p.tpr)).collect();
    let auroc = label.auroc.as_ref().map(|a| match a.estimate.ci_low.zip(a.estimate.ci_high) {
        Some((low, high)) => format!("AUROC {:.3} (95% CI {low:.3}–{high:.3})", a.estimate.value),
        None => format!("AUROC {:.3}", a.estimate.value),
    });
    let mut layers = vec![Layer::Dashed([(0.0, 0.0), (1.0, 1.0)]), Layer::Line(points, COLOURS[0])];
    let mut legend = vec![(Sign::Line, COLOURS[0], auroc.unwrap_or_default())];
    if let Some(point) = label.operating_points.iter().find(|p| p.rule == "youden")
        && let (Some(sensitivity), Some(specificity)) = (point.measures.sensitivity, point.measures.specificity)
    {
        layers.push(Layer::Mark((1.0 - specificity, sensitivity), COLOURS[1]));
        legend.push((Sign::Mark, COLOURS[1], format!("Youden {:.3}", point.threshold)));
    }
    Chart {
        title: format!("{}: ROC", label.label),
        x: Axis::unit("1 − specificity"),
        y: Axis::unit("sensitivity"),
        layers,
        legend,
    }
}

fn precision_recall(label: &LabelEvaluation, curves: &Curves) -> Chart {
    let prevalence = label.n_pos as f64 / label.n.max(1) as f64;
    let ap = label.average_precision.map_or(String::new(), |v| format!("AP {:.3}", v.value));
    Chart {
        title: format!("{}: precision and recall", label.label),
        x: Axis::unit("recall (sensitivity)"),
        y: Axis::unit("precision (PPV)"),
        layers: vec![
            Layer::Dashed([(0.0, prevalence), (1.0, prevalence)]),
            Layer::Line(curves.precision_recall.iter().map(|p| (p.recall, p.precision)).collect(), COLOURS[0]),
        ],
        legend: vec![(Sign::Line, COLOURS[0], ap), (Sign::Dashed, COLOURS[7], format!("prevalence {prevalence:.3}"))],
    }
}

fn reliability(label: &LabelEvaluation, curves: &Curves) -> Option<Chart> {
    let most = curves.reliability.iter().map(|b| b.n).max()? as f64;
    // The columns show where the images are; the tallest takes a quarter of the height.
    let mut layers: Vec<Layer> =
        curves.reliability.iter().map(|b| Layer::Column(b.low, b.high, 0.25 * b.n as f64 / most)).collect();
    layers.push(Layer::Dashed([(0.0, 0.0), (1.0, 1.0)]));
    layers
        .extend(curves.reliability.iter().map(|b| Layer::Bar((b.mean, b.observed), (b.ci_low, b.ci_high), COLOURS[0])));
    let value = |v: Option<f64>| v.map_or("-".into(), |v| format!("{v:.3}"));
    let words = format!("ECE {}, smECE {}", value(label.ece.map(|e| e.value)), value(label.smece));
    Some(Chart {
        title: format!("{}: reliability", label.label),
        x: Axis::unit("predicted probability"),
        y: Axis::unit("share of positives"),
        layers,
        legend: vec![(Sign::Mark, COLOURS[0], words), (Sign::Dashed, COLOURS[7], "calibrated".into())],
    })
}

fn threshold(label: &LabelEvaluation, curves: &Curves) -> Option<Chart> {
    let finite: Vec<&RocPoint> = curves.roc.iter().filter(|p| p.threshold.is_finite()).collect();
    let (high, low) = (finite.first()?.threshold, finite.last()?.threshold);
    let x = match low >= 0.0 && high <= 1.0 {
        true => Axis::unit("threshold"),
        false if high > low => Axis { title: "threshold".into(), low, high },
        false => return None,
    };
    let of = |value: fn(&RocPoint) -> f64| finite.iter().map(|p| (p.threshold, value(p))).collect();
    let ppv = curves.precision_recall.iter().map(|p| (p.threshold, p.precision)).collect();
    let (n_pos, n_neg) = (label.n_pos as f64, (label.n - label.n_pos) as f64);
    let npv = finite.iter().filter_map(|p| {
        let (missed, spared) = ((1.0 - p.tpr) * n_pos, (1.0 - p.fpr) * n_neg);
        // Of a handful of images it is noise.
        (missed + spared >= 5.0).then(|| (p.threshold, spared / (missed + spared)))
    });
    let lines: [(&str, Vec<(f64, f64)>); 4] =
        [("sensitivity", of(|p| p.tpr)), ("specificity", of(|p| 1.0 - p.fpr)), ("PPV", ppv), ("NPV", npv.collect())];
    let legend = lines.iter().zip(COLOURS).map(|((name, _), colour)| (Sign::Line, colour, (*name).to_owned()));
    Some(Chart {
        title: format!("{}: rates by threshold", label.label),
        x,
        y: Axis::unit("rate"),
        legend: legend.collect(),
        layers: lines.into_iter().zip(COLOURS).map(|((_, points), colour)| Layer::Line(points, colour)).collect(),
    })
}

fn decision(label: &LabelEvaluation, curves: &Curves) -> Option<Chart> {
    let highest = curves.decision.iter().map(|p| p.model.max(p.treat_all)).fold(f64::MIN, f64::max);
    if curves.decision.is_empty() || highest <= 0.0 {
        return None;
    }
    // Acting on all falls without end; what is far below zero is no choice.
    let low = -0.25 * highest;
    let shown = |value: fn(&crate::metrics::decision_curve::NetBenefit) -> f64| {
        let points = curves.decision.iter().map(|p| (p.threshold, value(p)));
        points.take_while(|p| p.1 >= low).collect()
    };
    Some(Chart {
        title: format!("{}: decision curve", label.label),
        x: Axis::unit("threshold probability"),
        y: Axis { title: "net benefit".into(), low, high: highest * 1.05 },
        layers: vec![
            Layer::Dashed([(0.0, 0.0), (1.0, 0.0)]),
            Layer::Line(shown(|p| p.treat_all), COLOURS[1]),
            Layer::Line(shown(|p| p.model), COLOURS[0]),
        ],
        legend: vec![
            (Sign::Line, COLOURS[0], "model".into()),
            (Sign::Line, COLOURS[1], "act on all".into()),
            (Sign::Dashed, COLOURS[7], "act on none".into()),
        ],
    })
}

/// The positives of each label as bars, and as shares of all positives.
fn distribution(material: &Material) -> Vec<Plot> {
    let counts = &material.document.counts.labels;
    let known: Vec<_> = counts.iter().filter(|l| l.positive + l.negative + l.uncertain + l.unmentioned > 0).collect();
    let most = known.iter().map(|l| l.positive).max().unwrap_or(0);
    if most == 0 {
        return Vec::new();
    }
    let images = material.document.counts.predicted.max(1) as f64;
    let row = |l: &&super::document::LabelCounts| Row {
        name: l.label.clone(),
        words: format!("{} ({:.1}%)", l.positive, 100.0 * l.positive as f64 / images),
        value: Some(l.positive as f64),
        interval: None,
    };
    let bars = Rows {
        title: "Images with each finding, and their share of all images".into(),
        x: Axis { title: "images".into(), low: 0.0, high: most as f64 },
        rows: known.iter().map(row).collect(),
        bars: true,
        reference: None,
    };
    let mut parts: Vec<(String, f64)> =
        known.iter().filter(|l| l.positive > 0).map(|l| (l.label.clone(), l.positive as f64)).collect();
    parts.sort_by(|a, b| b.1.total_cmp(&a.1));
    let title = match known.as_slice() {
        // Of one finding the rest says more than the whole.
        [only] => {
            let others =
                [("negative", only.negative), ("uncertain", only.uncertain), ("not mentioned", only.unmentioned)];
            parts.extend(others.iter().filter(|o| o.1 > 0).map(|(name, n)| ((*name).to_owned(), *n as f64)));
            "Images by what the data say"
        }
        _ => "Findings as shares of all findings",
    };
    let words = |what: &str| {
        format!(
            "{what}: {}",
            bars.rows.iter().map(|r| format!("{} {}", r.name, r.words)).collect::<Vec<_>>().join("; ")
        )
    };
    let pie = Pie { title: title.into(), parts };
    vec![
        Plot {
            name: "labels_bar".into(),
            label: None,
            words: words("Images with each finding"),
            figure: Box::new(bars.clone()),
        },
        Plot { name: "labels_pie".into(), label: None, words: words("Shares of the findings"), figure: Box::new(pie) },
    ]
}
