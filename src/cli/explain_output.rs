//! What `roentgen explain` prints and writes down.

use std::path::PathBuf;

use serde::Serialize;

use crate::cards::model::ModelCard;
use crate::cli::csv;
use crate::cli::table::{Side, Table};
use crate::error::{Error, Result};
use crate::explain::localization::{Localization, Mean};
use crate::explain::map::Map;
use crate::explain::overlay::{Caption, EMPTY};
use crate::explain::trust::Trust;

/// One map.
#[derive(Serialize)]
pub struct Row {
    pub image: String,
    pub label: String,
    pub probability: f64,
    pub threshold: f64,
    pub positive: bool,
    /// The map's highest value, 0 where nothing speaks for the label.
    pub highest: f32,
    /// Column and row of the highest place in the picture; none where nothing speaks for the label.
    pub peak: Option<[usize; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completeness_error: Option<f64>,
    /// The overlay, in the folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

impl Row {
    /// Of a map, which is `over` over the picture's pixels.
    pub fn new(caption: &Caption, map: &Map, over: &Map, completeness_error: Option<f64>) -> Self {
        let top = over.highest();
        let peak = over.values.iter().position(|v| *v == top).filter(|_| top > 0.0);
        Self {
            image: caption.image.clone(),
            label: caption.label.clone(),
            probability: caption.probability,
            threshold: caption.threshold,
            positive: caption.probability >= caption.threshold,
            highest: map.highest(),
            peak: peak.map(|at| [at % over.width, at / over.width]),
            completeness_error,
            file: None,
        }
    }
}

/// Everything that was found; its JSON is the document of the verb.
#[derive(Serialize)]
pub struct Found {
    schema: &'static str,
    model: String,
    weights: String,
    method: String,
    pub rows: Vec<Row>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trust: Vec<Trust>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub localization: Vec<Localization>,
    #[serde(skip)]
    pub failed: usize,
    #[serde(skip)]
    out: Option<PathBuf>,
}

impl Found {
    /// Nothing yet.
    pub fn new(card: &ModelCard, method: &str, weights: &str, out: Option<PathBuf>) -> Self {
        Self {
            schema: "roentgen/explanations/1",
            model: card.name.clone(),
            weights: weights.to_owned(),
            method: method.to_owned(),
            rows: Vec::new(),
            trust: Vec::new(),
            localization: Vec::new(),
            failed: 0,
            out,
        }
    }

    pub fn json(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::new(e.to_string()).at("JSON"))?;
        Ok(text + "\n")
    }

    pub fn csv(&self) -> Result<String> {
        let header = ["image", "label", "probability", "threshold", "positive", "highest", "column", "row"];
        let header = header.into_iter().chain(["completeness_error", "file"]).map(str::to_owned).collect::<Vec<_>>();
        let rows = self.rows.iter().map(|row| {
            let peak = |i: usize| row.peak.map(|p| p[i].to_string()).unwrap_or_default();
            vec![
                row.image.clone(),
                row.label.clone(),
                row.probability.to_string(),
                row.threshold.to_string(),
                u8::from(row.positive).to_string(),
                row.highest.to_string(),
                peak(0),
                peak(1),
                row.completeness_error.map(|e| e.to_string()).unwrap_or_default(),
                row.file.clone().unwrap_or_default(),
            ]
        });
        csv(std::iter::once(header).chain(rows))
    }

    /// Tables for a person: localisation and trust where they were asked for, else every map.
    pub fn text(&self) -> String {
        let maps = if self.rows.len() == 1 { "map" } else { "maps" };
        let mut parts = vec![format!("{} of {}: {} {maps}\n", self.method, self.model, self.rows.len())];
        if !self.rows.is_empty() && self.localization.is_empty() && self.trust.is_empty() {
            parts.push(self.maps());
        }
        if !self.localization.is_empty() {
            parts.push(self.places());
        }
        if !self.trust.is_empty() {
            parts.push(self.tests());
        }
        if let Some(out) = &self.out {
            parts.push(format!("written to {}\n", out.display()));
        }
        parts.join("\n")
    }

    fn maps(&self) -> String {
        let integrated = self.rows.iter().any(|r| r.completeness_error.is_some());
        let mut header = vec![
            ("image", Side::Left),
            ("label", Side::Left),
            ("p", Side::Right),
            ("", Side::Left),
            ("threshold", Side::Left),
            ("highest at", Side::Left),
        ];
        header.extend(integrated.then_some(("completeness error", Side::Right)));
        let mut table = Table::new(&header);
        for row in &self.rows {
            let mut cells = vec![
                row.image.clone(),
                row.label.clone(),
                format!("{:.4}", row.probability),
                if row.positive { ">=" } else { "<" }.to_owned(),
                format!("{:.4}", row.threshold),
                row.peak.map_or(EMPTY.to_owned(), |[x, y]| format!("{x}, {y}")),
            ];
            if integrated {
                cells.push(row.completeness_error.map(|e| format!("{e:+.4}")).unwrap_or_default());
            }
            table.row(cells);
        }
        table.to_string()
    }

    fn places(&self) -> String {
        let mut table = Table::new(&[
            ("label", Side::Left),
            ("n", Side::Right),
            ("pointing game", Side::Left),
            ("centre", Side::Right),
            ("difference", Side::Left),
            ("energy", Side::Right),
            ("centre", Side::Right),
            ("IoU", Side::Right),
            ("centre", Side::Right),
        ]);
        let interval = |m: &Mean| match (m.ci_low, m.ci_high) {
            (Some(low), Some(high)) => format!("{:.3} [{low:.3}, {high:.3}]", m.value),
            _ => format!("{:.3}", m.value),
        };
        for l in &self.localization {
            let plain = |m: &Mean| format!("{:.3}", m.value);
            table.row([
                l.label.clone(),
                l.n.to_string(),
                interval(&l.pointing_game.map),
                plain(&l.pointing_game.centre),
                interval(&l.pointing_game.difference),
                plain(&l.energy.map),
                plain(&l.energy.centre),
                plain(&l.iou.map),
                plain(&l.iou.centre),
            ]);
        }
        format!(
            "{table}95% intervals over patients; IoU at a cut chosen on other patients; centre: a map of the middle\n"
        )
    }

    fn tests(&self) -> String {
        let mut table = Table::new(&[
            ("label", Side::Left),
            ("n", Side::Right),
            ("deletion", Side::Right),
            ("random", Side::Right),
            ("insertion", Side::Right),
            ("random", Side::Right),
            ("ROAD", Side::Right),
            ("random", Side::Right),
            ("p", Side::Right),
            ("random weights", Side::Right),
            ("", Side::Left),
        ]);
        let cell = |v: Option<f64>| v.map_or("-".to_owned(), |v| format!("{v:.3}"));
        for t in &self.trust {
            table.row([
                t.label.clone(),
                t.n.to_string(),
                cell(t.deletion),
                cell(t.deletion_random),
                cell(t.insertion),
                cell(t.insertion_random),
                cell(t.road),
                cell(t.road_random),
                t.p_value.map_or("-".to_owned(), |p| format!("{p:.2}")),
                cell(t.correlation_when_random.map(|[.., all]| all)),
                t.badge.to_string(),
            ]);
        }
        format!("{table}random: the mean of 19 random maps; random weights: rank correlation with their maps\n")
    }
}
