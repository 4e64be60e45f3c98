//! How a model that was trained here came to be: curves over the epochs, and a table of them.

use super::chart::{Axis, Chart, Layer, Sign};
use super::surface::{COLOURS, Plot};
use super::table::{Cell, Column, Table};
use crate::run::{Epoch, Training};

/// One curve: its name and its value in an epoch.
type Curve = (&'static str, fn(&Epoch) -> f64);

/// The losses, the learning rate and the measures on the validation images.
pub fn plots(training: &Training) -> Vec<Plot> {
    if training.epochs.is_empty() {
        return Vec::new();
    }
    let unit = Some((0.0, 1.0));
    vec![
        plot(
            training,
            "training_loss",
            "Loss",
            None,
            &[("training", |e| e.loss), ("validation", |e| e.validation.loss)],
        ),
        plot(training, "training_rate", "Learning rate at the end of the epoch", None, &[("rate", |e| e.rate)]),
        plot(
            training,
            "training_measures",
            "On the validation images",
            unit,
            &[
                ("AUROC", |e| e.validation.auroc),
                ("AUPRC", |e| e.validation.average_precision),
                ("sensitivity at 0.5", |e| e.validation.sensitivity),
                ("specificity at 0.5", |e| e.validation.specificity),
            ],
        ),
    ]
}

/// Curves over the epochs on an axis from 0 to their highest value, or over the given range.
fn plot(training: &Training, name: &str, title: &str, range: Option<(f64, f64)>, curves: &[Curve]) -> Plot {
    let epochs = &training.epochs;
    let highest = curves.iter().flat_map(|(_, of)| epochs.iter().map(of)).fold(f64::MIN_POSITIVE, f64::max);
    let (low, high) = range.unwrap_or((0.0, 1.05 * highest));
    let mut layers = Vec::new();
    if let Some(best) = training.best {
        layers.push(Layer::Dashed([(best as f64, low), (best as f64, high)]));
    }
    let points = |of: fn(&Epoch) -> f64| epochs.iter().map(move |e| (e.epoch as f64, of(e)));
    for ((_, of), colour) in curves.iter().zip(COLOURS) {
        layers.push(Layer::Line(points(*of).collect(), colour));
        // A single epoch draws no line.
        layers.extend(points(*of).map(|point| Layer::Mark(point, colour)));
    }
    let mut legend: Vec<_> =
        curves.iter().zip(COLOURS).map(|((name, _), colour)| (Sign::Line, colour, (*name).to_owned())).collect();
    legend.extend(training.best.map(|best| (Sign::Dashed, COLOURS[7], format!("best: epoch {best}"))));
    let last = |of: &fn(&Epoch) -> f64| epochs.last().map_or(String::new(), |e| format!("{:.4}", of(e)));
    let words: Vec<_> = curves.iter().map(|(name, of)| format!("{name} {} in the end", last(of))).collect();
    Plot {
        name: name.into(),
        label: None,
        words: format!("{title} over {} epochs: {}", epochs.len(), words.join("; ")),
        figure: Box::new(Chart {
            title: title.into(),
            x: Axis { title: "epoch".into(), low: 0.0, high: epochs.len() as f64 },
            y: Axis { title: "".into(), low, high },
            layers,
            legend,
        }),
    }
}

/// A row an epoch.
pub fn table(training: Option<&Training>) -> Table {
    let number = |key, name| Column { key, name, words: false, interval: false };
    let row = |e: &Epoch| {
        let v = &e.validation;
        let values = [e.loss, v.loss, v.auroc, v.average_precision, v.sensitivity, v.specificity];
        let mut row = vec![Cell::Count(e.epoch), Cell::Number(Some(e.rate), 7)];
        row.extend(values.map(|value| Cell::Number(Some(value), 4)));
        row
    };
    Table {
        name: "training",
        title: "Training, epoch by epoch",
        columns: vec![
            number("epoch", "Epoch"),
            number("rate", "Rate"),
            number("loss", "Loss"),
            number("validation_loss", "Val. loss"),
            number("auroc", "AUROC"),
            number("average_precision", "AUPRC"),
            number("sensitivity", "Sens. at 0.5"),
            number("specificity", "Spec. at 0.5"),
        ],
        rows: training.map_or(Vec::new(), |t| t.epochs.iter().map(row).collect()),
    }
}
