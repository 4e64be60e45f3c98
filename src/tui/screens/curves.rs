//! ROC and precision-recall curves, of one label or of all, with the chosen threshold on them.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use crate::metrics::operating_point::OperatingPoint;
use crate::tui::analysis::LabelData;
use crate::tui::keymap::Action;
use crate::tui::published::{self, Point};
use crate::tui::shared::Shared;
use crate::tui::widgets::labels::{self, Entry};
use crate::tui::widgets::plot::{Mark, Plot, SQUARE};
use crate::tui::widgets::text::{cut, number, with_interval};

/// Columns of the list beside the plot.
const LIST: u16 = 30;

/// The signs of printed points.
const LETTERS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

/// Printed points that are named beside the plot.
const NAMED: usize = 8;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    /// Sensitivity against 1 - specificity.
    Roc,
    /// Precision against recall.
    PrecisionRecall,
}

/// The panel's state.
pub struct CurveScreen {
    curve: Curve,
    all: bool,
    /// Doublings, from the corner of a perfect model.
    zoom: u32,
    /// Quarters of the shown part that it is moved right and up.
    pan: (i32, i32),
}

impl CurveScreen {
    /// The panel of one kind.
    pub fn new(curve: Curve) -> Self {
        Self { curve, all: false, zoom: 0, pan: (0, 0) }
    }

    /// Carries an action out.
    pub fn act(&mut self, action: Action, shared: &mut Shared) {
        match action {
            Action::Overlay => self.all = !self.all,
            Action::ZoomIn => self.zoom = (self.zoom + 1).min(5),
            Action::ZoomOut => (self.zoom, self.pan) = (self.zoom.saturating_sub(1), (0, 0)),
            Action::PanLeft => self.pan.0 = self.panned().0 - 1,
            Action::PanRight => self.pan.0 = self.panned().0 + 1,
            Action::PanDown => self.pan.1 = self.panned().1 - 1,
            Action::PanUp => self.pan.1 = self.panned().1 + 1,
            _ => shared.act_on_threshold(action, 0.01),
        }
    }

    /// Draws the panel.
    pub fn draw(&mut self, frame: &mut Frame, area: Rect, shared: &mut Shared) {
        let Some(analysis) = &shared.analysis else { return };
        let theme = &shared.theme;
        // Both axes are shares: a plot much wider than high would only stretch them.
        let wide = area.width.saturating_sub(LIST + 1).min(SQUARE * area.height);
        let [left, right] =
            Layout::horizontal([Constraint::Length(wide), Constraint::Min(LIST)]).spacing(1).areas(area);
        let chosen = shared.label;
        let label = &analysis.labels[chosen];
        let title = match self.curve {
            Curve::Roc => "sensitivity (up) against 1 - specificity",
            Curve::PrecisionRecall => "precision (up) against recall",
        };
        let [x, y] = self.visible();
        let mut marks = Vec::new();
        match (self.curve, label.ranked.as_ref()) {
            (Curve::Roc, _) => marks.push(Mark::Faint(vec![(0.0, 0.0), (1.0, 1.0)])),
            (Curve::PrecisionRecall, Some(ranked)) => {
                let prevalence = f64::from(ranked.n_pos()) / ranked.n() as f64;
                marks.push(Mark::Faint(vec![(0.0, prevalence), (1.0, prevalence)]));
            }
            (Curve::PrecisionRecall, None) => {}
        }
        if self.all {
            let others = analysis.labels.iter().enumerate().filter(|(i, _)| *i != chosen);
            marks.extend(others.map(|(i, l)| Mark::Curve(self.points(l), theme.curve(i))));
        } else if self.curve == Curve::Roc {
            marks.push(Mark::Faint(label.band().iter().map(|b| (b.fpr, b.low)).collect()));
            marks.push(Mark::Faint(label.band().iter().map(|b| (b.fpr, b.high)).collect()));
        }
        marks.extend(shared.pinned_rows().map(|pinned| Mark::Curve(self.points(pinned), theme.blue())));
        let colour = if self.all { theme.curve(chosen) } else { theme.orange() };
        let printed: Vec<Point> = printed(shared).into_iter().filter(|p| self.place_printed(p).is_some()).collect();
        let shown = printed.iter().zip(LETTERS).filter_map(|(p, letter)| Some((p, letter, self.place_printed(p)?)));
        for (point, _, (px, py)) in shown.clone().filter(|_| self.curve == Curve::Roc) {
            let across = point.specificity_ci.map(|(low, high)| ((1.0 - high, py), (1.0 - low, py)));
            let along = point.sensitivity_ci.map(|(low, high)| ((px, low), (px, high)));
            marks.extend(across.into_iter().chain(along).map(|(a, b)| Mark::Segment(a, b, theme.curve(3))));
        }
        marks.push(Mark::Curve(self.points(label), colour));
        let point = label.at(shared.thresholds[chosen]);
        if let Some((px, py)) = point.as_ref().and_then(|p| self.place(p)) {
            marks.push(Mark::Sign(px, py, theme.sign("◆", "O"), colour));
        }
        marks.extend(shown.map(|(_, letter, (px, py))| Mark::Sign(px, py, letter, theme.curve(3))));
        Plot::new(title, x, y, marks).draw(left, frame.buffer_mut(), theme);

        let beside = beside(shared, point.as_ref(), &printed, right.width);
        let [list, below] =
            Layout::vertical([Constraint::Min(3), Constraint::Length(beside.len() as u16)]).areas(right);
        let name = if self.curve == Curve::Roc { "AUROC" } else { "AP" };
        let title = format!("  label{name:>w$}", w = usize::from(right.width).saturating_sub(7));
        let entries: Vec<Entry> =
            (0..analysis.labels.len()).map(|i| self.entry(analysis.label(i), shared, i)).collect();
        let zones = labels::draw(&title, &entries, chosen, list, frame.buffer_mut(), theme);
        frame.render_widget(Paragraph::new(beside), below);
        shared.zones.extend(zones);
    }

    /// The pan, within what there is to see.
    fn panned(&self) -> (i32, i32) {
        let most = 4 * ((1 << self.zoom) - 1);
        match self.curve {
            Curve::Roc => (self.pan.0.clamp(0, most), self.pan.1.clamp(-most, 0)),
            Curve::PrecisionRecall => (self.pan.0.clamp(-most, 0), self.pan.1.clamp(-most, 0)),
        }
    }

    /// The ends of both axes.
    fn visible(&self) -> [[f64; 2]; 2] {
        let far = 0.5f64.powi(self.zoom as i32);
        let (right, up) = self.panned();
        let left = match self.curve {
            Curve::Roc => 0.0,
            Curve::PrecisionRecall => 1.0 - far,
        };
        let (left, low) = (left + far * f64::from(right) / 4.0, 1.0 - far + far * f64::from(up) / 4.0);
        [[left, left + far], [low, low + far]]
    }

    fn points<'a>(&self, label: &'a LabelData) -> &'a [(f64, f64)] {
        match self.curve {
            Curve::Roc => &label.roc,
            Curve::PrecisionRecall => &label.precision_recall,
        }
    }

    fn place(&self, point: &OperatingPoint) -> Option<(f64, f64)> {
        let m = &point.measures;
        match self.curve {
            Curve::Roc => Some((1.0 - m.specificity?, m.sensitivity?)),
            Curve::PrecisionRecall => Some((m.sensitivity?, m.ppv?)),
        }
    }

    fn place_printed(&self, point: &Point) -> Option<(f64, f64)> {
        match self.curve {
            Curve::Roc => Some((1.0 - point.specificity, point.sensitivity)),
            Curve::PrecisionRecall => Some((point.sensitivity, point.precision?)),
        }
    }

    fn entry(&self, name: &str, shared: &Shared, i: usize) -> Entry {
        let value = shared.entry(i).and_then(|of| match self.curve {
            Curve::Roc => of.auroc.as_ref().map(|a| a.estimate.value),
            Curve::PrecisionRecall => of.average_precision.map(|v| v.value),
        });
        let style = if self.all { Style::new().fg(shared.theme.curve(i)) } else { Style::new() };
        Entry { name: name.to_owned(), value: number(value), style }
    }
}

/// The points that the chosen published table prints of the chosen label.
fn printed(shared: &Shared) -> Vec<Point> {
    match (&shared.beside.published, &shared.analysis) {
        (Some(p), Some(a)) => published::points(&p.table, a.label(shared.label), a.labels.len() == 1),
        _ => Vec::new(),
    }
}

/// What the threshold does, the pinned run, and the printed points.
fn beside(shared: &Shared, point: Option<&OperatingPoint>, printed: &[Point], width: u16) -> Vec<Line<'static>> {
    let theme = &shared.theme;
    let mut lines = Vec::new();
    match point {
        Some(point) => {
            lines
                .push(Line::styled(format!("{} threshold {:.4}", theme.sign("◆", "O"), point.threshold), theme.bold()));
            let m = &point.measures;
            lines.push(Line::raw(format!("sens {}", with_interval(m.sensitivity, point.ci.sensitivity))));
            lines.push(Line::raw(format!("spec {}", with_interval(m.specificity, point.ci.specificity))));
            lines.push(Line::raw(format!("PPV  {}", with_interval(m.ppv, point.ci.ppv))));
        }
        None => lines.push(Line::styled(shared.why_not(), theme.dim())),
    }
    if let Some(pinned) = &shared.beside.pinned {
        lines.push(Line::styled(format!("B: {}", pinned.overview.name), Style::new().fg(theme.blue())));
        if let Some(d) = shared.beside.differences.get(shared.label).copied().flatten() {
            lines.push(Line::raw(format!("A-B  {}", with_interval(Some(d.difference), d.ci_low.zip(d.ci_high)))));
        }
    }
    if let Some(published) = &shared.beside.published {
        let width = usize::from(width);
        let style = Style::new().fg(theme.curve(3));
        lines.push(Line::styled(cut(&format!("P: {}", published.table.source), width), style));
        if printed.is_empty() {
            lines.push(Line::styled("no such point of this label", theme.dim()));
        }
        let named = printed.iter().zip(LETTERS).take(NAMED).map(|(p, letter)| {
            let rates = format!(" {:.3} {:.3}", p.sensitivity, p.specificity);
            let room = width.saturating_sub(rates.len() + 2);
            Line::styled(format!("{letter} {:<room$}{rates}", cut(&p.name, room)), style)
        });
        lines.extend(named);
    }
    lines
}
