//! The columns of the table of labels.

use crate::audit::reproduction::Item;
use crate::metrics::compare::Comparison;
use crate::metrics::evaluation::LabelEvaluation;
use crate::metrics::operating_point::{Confusion, Measures};
use crate::tui::analysis::LabelData;
use crate::tui::screens::published;
use crate::tui::shared::Shared;
use crate::tui::widgets::text::{cut, interval, number, signed};

/// A column.
pub struct Column {
    /// Above it.
    pub name: &'static str,
    /// In characters.
    pub width: u16,
    /// Whether words stand in it, which begin at its left.
    pub words: bool,
    /// What stands in it.
    pub cell: fn(&Place) -> String,
    /// What it is sorted by; text columns by nothing.
    pub key: fn(&Place) -> Option<f64>,
}

/// A label with its threshold, the pinned run and the published table.
pub struct Place<'a> {
    entry: &'a LabelEvaluation,
    rows: Option<&'a LabelData>,
    threshold: f64,
    difference: Option<Comparison>,
    printed: Option<&'a Item>,
}

const COLUMNS: [Column; 13] = [
    Column { name: "label", width: 20, words: true, cell: |p| cut(&p.entry.label, 20), key: |_| None },
    Column { name: "n", width: 6, words: false, cell: |p| p.entry.n.to_string(), key: |p| Some(p.entry.n as f64) },
    Column {
        name: "pos",
        width: 5,
        words: false,
        cell: |p| p.entry.n_pos.to_string(),
        key: |p| Some(p.entry.n_pos as f64),
    },
    Column { name: "AUROC", width: 6, words: false, cell: |p| number(p.auroc()), key: |p| p.auroc() },
    Column {
        name: "95% CI",
        width: 11,
        words: false,
        cell: |p| interval(p.entry.auroc.as_ref().map(|a| &a.estimate)),
        key: |p| p.auroc(),
    },
    Column {
        name: "AP",
        width: 6,
        words: false,
        cell: |p| number(p.average_precision()),
        key: |p| p.average_precision(),
    },
    Column { name: "Brier", width: 6, words: false, cell: |p| number(p.entry.brier), key: |p| p.entry.brier },
    Column { name: "ECE", width: 6, words: false, cell: |p| number(p.ece()), key: |p| p.ece() },
    Column { name: "sens", width: 6, words: false, cell: |p| number(p.sensitivity()), key: |p| p.sensitivity() },
    Column { name: "spec", width: 6, words: false, cell: |p| number(p.specificity()), key: |p| p.specificity() },
    Column { name: "PPV", width: 6, words: false, cell: |p| number(p.ppv()), key: |p| p.ppv() },
    Column { name: "NPV", width: 6, words: false, cell: |p| number(p.npv()), key: |p| p.npv() },
    Column { name: "F1", width: 6, words: false, cell: |p| number(p.f1()), key: |p| p.f1() },
];

/// The label's column where there is less room.
const NARROW: Column =
    Column { name: "label", width: 18, words: true, cell: |p| cut(&p.entry.label, 18), key: |_| None };

/// Instead of calibration, when another run is pinned.
const COMPARED: [Column; 2] = [
    Column { name: "less B", width: 7, words: false, cell: |p| signed(p.gap()), key: |p| p.gap() },
    Column { name: "p", width: 6, words: false, cell: |p| number(p.p_value()), key: |p| p.p_value() },
];

/// When a published table is chosen.
const PRINTED: [Column; 3] = [
    Column {
        name: "printed",
        width: 7,
        words: false,
        cell: |p| p.printed.map_or("-".into(), |i| cut(&i.printed, 7)),
        key: |p| p.printed.and_then(|i| i.printed.parse().ok()),
    },
    Column {
        name: "less P",
        width: 7,
        words: false,
        cell: |p| signed(p.printed.map(|i| i.difference)),
        key: |p| p.printed.map(|i| i.difference),
    },
    Column {
        name: "verdict",
        width: 26,
        words: true,
        cell: |p| p.printed.map_or("-", |i| i.verdict.words()).to_owned(),
        key: |p| p.printed.map(|i| f64::from(i.verdict as u8)),
    },
];

impl Column {
    /// A text where it belongs in the column.
    pub fn aligned(&self, text: &str) -> String {
        let width = usize::from(self.width);
        if self.words { format!("{text:<width$}") } else { format!("{text:>width$}") }
    }
}

impl Place<'_> {
    fn auroc(&self) -> Option<f64> {
        self.entry.auroc.as_ref().map(|a| a.estimate.value)
    }

    fn average_precision(&self) -> Option<f64> {
        self.entry.average_precision.map(|v| v.value)
    }

    fn ece(&self) -> Option<f64> {
        self.entry.ece.map(|e| e.value)
    }

    /// What the threshold does: looked up, or stored, where the rows are not read yet.
    fn measures(&self) -> Option<Measures> {
        match self.rows {
            Some(rows) => rows.cut().map(|ranked| Confusion::at(ranked, self.threshold).measures()),
            None => self.entry.operating_points.iter().find(|p| p.threshold == self.threshold).map(|p| p.measures),
        }
    }

    fn sensitivity(&self) -> Option<f64> {
        self.measures()?.sensitivity
    }

    fn specificity(&self) -> Option<f64> {
        self.measures()?.specificity
    }

    fn ppv(&self) -> Option<f64> {
        self.measures()?.ppv
    }

    fn npv(&self) -> Option<f64> {
        self.measures()?.npv
    }

    fn f1(&self) -> Option<f64> {
        self.measures()?.f1
    }

    fn gap(&self) -> Option<f64> {
        self.difference.map(|d| d.difference)
    }

    fn p_value(&self) -> Option<f64> {
        self.difference.and_then(|d| d.p_value)
    }
}

impl Shared {
    /// What the columns show of label `i`.
    pub fn place<'a>(&'a self, entry: &'a LabelEvaluation, i: usize) -> Place<'a> {
        let rows = self.analysis.as_ref().and_then(|a| a.labels.get(i));
        let difference = self.beside.differences.get(i).copied().flatten();
        let printed = self.beside.published.as_ref().and_then(|p| published::auroc(p, &entry.label));
        Place { entry, rows, threshold: self.thresholds[i], difference, printed }
    }
}

/// The columns of the panel, the more important ones first.
pub fn columns(shared: &Shared) -> Vec<&'static Column> {
    let compared = if shared.beside.pinned.is_some() { &COMPARED[..] } else { &[] };
    match shared.beside.published {
        None => COLUMNS[..5].iter().chain(compared).chain(&COLUMNS[5..]).collect(),
        Some(_) => {
            let others = COLUMNS[1..3].iter().chain(&COLUMNS[5..]);
            std::iter::once(&NARROW).chain(&COLUMNS[3..5]).chain(&PRINTED).chain(compared).chain(others).collect()
        }
    }
}
