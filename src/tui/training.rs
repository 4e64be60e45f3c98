//! A training that another process does, or has done, watched through its folder.

use std::time::{Duration, Instant};

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::error::Error;
use crate::run::{Epoch, Training, TrainingFolder};
use crate::tui::theme::Theme;

/// How often its log is read.
const EVERY: Duration = Duration::from_millis(700);

/// Eight heights, for curves of one line.
const HEIGHTS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
const ASCII: [&str; 8] = ["_", "_", ".", ".", "-", "-", "^", "^"];

/// What was last seen of it.
pub struct TrainingWatch {
    folder: TrainingFolder,
    log: Result<Training, Error>,
    looked: Instant,
}

impl TrainingWatch {
    /// Of the training in a folder that has a log.
    pub fn new(folder: TrainingFolder) -> Self {
        let log = Training::read(&folder);
        Self { folder, log, looked: Instant::now() }
    }

    /// Reads the log when it is time to.
    pub fn tick(&mut self) {
        if self.looked.elapsed() >= EVERY {
            *self = Self::new(self.folder.clone());
        }
    }

    /// The epochs as text, the latest in view, at most `height` lines.
    pub fn lines(&self, height: usize, theme: &Theme) -> Vec<Line<'static>> {
        let log = match &self.log {
            Ok(log) => log,
            Err(e) => return vec![Line::raw(e.to_string())],
        };
        let state = match (self.folder.checkpoint().exists(), self.folder.readme().exists()) {
            (_, true) => "finished",
            (true, false) => "watched; another process trains it, or it was stopped",
            (false, false) => "watched; no checkpoint yet",
        };
        let parts: Vec<_> = log.parts.iter().map(|p| format!("{} {}", p.name, p.images)).collect();
        let mut lines = vec![
            Line::styled(format!("training {}: {state}", log.recipe), theme.bold()),
            Line::styled(self.folder.path().display().to_string(), theme.dim()),
            Line::raw(format!("images: {}; epochs: {} of {}", parts.join(", "), log.epochs.len(), log.epochs_at_most)),
            Line::raw(""),
        ];
        type Of = fn(&Epoch) -> f64;
        let curves: [(&str, Of); 4] = [
            ("loss", |e| e.loss),
            ("validation loss", |e| e.validation.loss),
            ("validation AUROC", |e| e.validation.auroc),
            ("learning rate", |e| e.rate),
        ];
        for (name, of) in curves {
            let curve = Span::styled(curve(&log.epochs, of, theme), Style::new().fg(theme.blue()));
            lines.push(Line::from(vec![Span::raw(format!("{name:<17} ")), curve]));
        }
        lines.push(Line::raw(""));
        let head = "epoch     loss      rate   val. loss   AUROC   AUPRC    sens    spec";
        lines.push(Line::styled(head, theme.bold()));
        let room = height.saturating_sub(lines.len());
        for e in log.epochs.iter().skip(log.epochs.len().saturating_sub(room)) {
            let v = &e.validation;
            let best = if log.best == Some(e.epoch) { "  best" } else { "" };
            lines.push(Line::raw(format!(
                "{:>5}  {:>7.4}  {:>8.2e}  {:>9.4}  {:>6.4}  {:>6.4}  {:>6.4}  {:>6.4}{best}",
                e.epoch, e.loss, e.rate, v.loss, v.auroc, v.average_precision, v.sensitivity, v.specificity
            )));
        }
        lines
    }
}

/// The last sixty epochs in one line, from their lowest to their highest value.
fn curve(epochs: &[Epoch], of: fn(&Epoch) -> f64, theme: &Theme) -> String {
    let values: Vec<f64> = epochs.iter().skip(epochs.len().saturating_sub(60)).map(of).collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let step = |value: &f64| {
        let share = (value - low) / (high - low).max(f64::MIN_POSITIVE);
        let at = (share * 7.0).round() as usize;
        theme.sign(HEIGHTS[at.min(7)], ASCII[at.min(7)])
    };
    let ends = values.first().zip(values.last()).map(|(a, b)| format!("  {a:.4} to {b:.4}")).unwrap_or_default();
    values.iter().map(step).collect::<String>() + &ends
}
