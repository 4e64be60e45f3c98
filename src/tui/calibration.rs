//! What the reliability panel shows of a label: bins and numbers, before and after its probabilities are mended.

use std::sync::Arc;

use crate::cards::model::ModelCard;
use crate::error::{Error, Result};
use crate::metrics::calibration::{Bin, Forecast, debiased_ece, ece, mce};
use crate::metrics::calibrator::{Calibrator, Method};
use crate::metrics::roc::Ranked;
use crate::metrics::smooth_ece::smece;
use crate::models;
use crate::predictions::Predictions;
use crate::tui::analysis::{Analysis, LabelData};
use crate::tui::shared::Shared;

/// How probabilities are mended before they are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mended {
    /// Not at all.
    Not,
    /// By the maps of the run itself: before is what the model said.
    Run,
    /// Each half of the patients by the map fitted on the other half: what calibration would do on new patients,
    /// without rows set apart for it.
    Crossed(Method),
}

/// What is looked at.
#[derive(Clone)]
pub struct Question {
    /// The table.
    pub table: Arc<Analysis>,
    /// Another one, whose same label is shown beside.
    pub pinned: Option<Arc<Analysis>>,
    /// The label.
    pub label: usize,
    /// Bins.
    pub bins: u16,
    /// Whether they hold as many rows each, else are as wide.
    pub equal_count: bool,
    /// What is done first.
    pub mended: Mended,
}

/// What is found.
pub struct Answer {
    /// Of what.
    pub to: Question,
    /// As it is, or before the run's calibration.
    pub before: Binned,
    /// Mended.
    pub after: Option<Binned>,
    /// The pinned table's, as it is.
    pub pinned: Option<Binned>,
}

/// Bins with their numbers.
pub struct Binned {
    /// Those that hold rows.
    pub bins: Vec<Bin>,
    /// Expected calibration error.
    pub ece: f64,
    /// The same less its bias.
    pub debiased: f64,
    /// Smooth ECE.
    pub smooth: f64,
    /// Maximum calibration error.
    pub mce: f64,
    /// Brier score.
    pub brier: f64,
    /// Log loss, nats.
    pub log_loss: f64,
}

impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        let same = |a: &Option<Arc<Analysis>>, b: &Option<Arc<Analysis>>| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        Arc::ptr_eq(&self.table, &other.table)
            && same(&self.pinned, &other.pinned)
            && (self.label, self.bins, self.equal_count, self.mended)
                == (other.label, other.bins, other.equal_count, other.mended)
    }
}

impl Question {
    /// Whether its table is the one that is open.
    pub fn table_is(&self, shared: &Shared) -> bool {
        shared.analysis.as_ref().is_some_and(|now| Arc::ptr_eq(now, &self.table))
    }

    /// Computes the answer. Errors where scores are no probabilities or no map can be fitted.
    pub fn answer(self) -> Result<Answer> {
        let label = &self.table.labels[self.label];
        let (before, after) = match self.mended {
            Mended::Not => (self.binned(label, &label.p)?, None),
            Mended::Run => (self.binned(label, &said(&self.table, label)?)?, Some(self.binned(label, &label.p)?)),
            Mended::Crossed(method) => {
                (self.binned(label, &label.p)?, Some(self.binned(label, &crossed(label, method)?)?))
            }
        };
        let other = self.pinned.as_ref().and_then(|b| Some(&b.labels[b.find(&label.name)?]));
        let pinned = other.map(|other| self.binned(other, &other.p)).transpose()?;
        Ok(Answer { before, after, pinned, to: self })
    }

    fn binned(&self, label: &LabelData, p: &[f64]) -> Result<Binned> {
        let forecast = Forecast::new(&label.y, p)?;
        let bins = match self.equal_count {
            true => forecast.equal_count(&Ranked::new(&label.y, p)?, self.bins),
            false => forecast.equal_width(self.bins),
        };
        Ok(Binned {
            ece: ece(&bins),
            debiased: debiased_ece(&bins),
            smooth: smece(&forecast),
            mce: mce(&bins),
            brier: forecast.brier(),
            log_loss: forecast.log_loss(),
            bins,
        })
    }
}

/// The probabilities that the model said before the run's calibration, from the logits of the table.
fn said(table: &Analysis, label: &LabelData) -> Result<Vec<f64>> {
    let missing = || Error::new("the run's table has no logits of the model to show what was before its calibration");
    let card = table.overview.description.as_ref().map(|d| &d.model).ok_or_else(missing)?;
    let place = card.labels.iter().position(|name| crate::labels::same(name, &label.name)).ok_or_else(missing)?;
    let logits = logits(card, &table.predictions).ok_or_else(missing)?;
    let of = |row: &u32| {
        // Logits are of 32 bits, and written so that nothing is lost.
        let row: Vec<f32> = logits.iter().map(|column| column[*row as usize] as f32).collect();
        models::probabilities(card.output, &row)[place]
    };
    Ok(label.rows.iter().map(of).collect())
}

/// The logits of every output of the model.
fn logits<'a>(card: &ModelCard, table: &'a Predictions) -> Option<Vec<&'a [f64]>> {
    card.labels.iter().map(|name| table.label(name)?.logits.as_deref()).collect()
}

/// See [`Mended::Crossed`]; the halves are the patients of even and odd numbers.
fn crossed(label: &LabelData, method: Method) -> Result<Vec<f64>> {
    let half = |row: usize| label.patients.as_ref().map_or(row as u32, |ids| ids[row]) % 2;
    let mut calibrated = label.p.clone();
    for fitted in [0, 1] {
        let rows: Vec<usize> = (0..label.p.len()).filter(|&row| half(row) == fitted).collect();
        let y: Vec<bool> = rows.iter().map(|&row| label.y[row]).collect();
        let p: Vec<f64> = rows.iter().map(|&row| label.p[row]).collect();
        let map = Calibrator::fit(method, &Forecast::new(&y, &p)?)?;
        for row in (0..label.p.len()).filter(|&row| half(row) != fitted) {
            calibrated[row] = map.apply(label.p[row]);
        }
    }
    Ok(calibrated)
}
