//! One picture of any file: what a model finds in it, and where.

use std::path::Path;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use crate::data::{Sample, Source};
use crate::tui::keymap::Action;
use crate::tui::shared::Shared;
use crate::tui::viewer::{Explainer, Viewer};
use crate::tui::widgets::popup::{Ask, Prompt};
use crate::tui::widgets::text::{cut, tail};

/// Columns of the findings.
const FINDINGS: u16 = 34;

/// The panel's state.
#[derive(Default)]
pub struct PictureScreen {
    /// The picture.
    pub viewer: Viewer,
    sample: Option<Sample>,
    label: usize,
}

impl PictureScreen {
    /// Carries an action out.
    pub fn act(&mut self, action: Action, shared: &mut Shared) {
        let last = explainer(shared).map_or(0, |e| e.card.labels.len().saturating_sub(1));
        match action {
            Action::OpenFile => shared.ask(Prompt::new(Ask::File, "picture file (PNG, JPEG, TIFF, BMP, DICOM)", "")),
            Action::Up => self.label = self.label.saturating_sub(1),
            Action::Down | Action::MapLabel => self.label = if self.label < last { self.label + 1 } else { 0 },
            _ => drop(self.viewer.act(action)),
        }
    }

    /// Takes the answer to a question.
    pub fn answer(&mut self, text: &str) {
        let source = Source::File(Path::new(text).to_owned());
        let (id, attributes, truths) = (text.to_owned(), Vec::new(), Vec::new());
        self.sample = Some(Sample { id, patient: None, study: None, attributes, truths, source });
        self.viewer.view.map = true;
    }

    /// Draws the panel.
    pub fn draw(&mut self, frame: &mut Frame, area: Rect, shared: &mut Shared) {
        let Some(sample) = self.sample.clone() else {
            return frame.render_widget(Paragraph::new("press e and give a picture file"), area);
        };
        let explainer = explainer(shared);
        let [left, right] =
            Layout::horizontal([Constraint::Length(FINDINGS), Constraint::Min(40)]).spacing(1).areas(area);
        self.viewer.draw(&sample, explainer.as_ref(), Some(self.label), right, frame, shared);
        let theme = &shared.theme;
        let mut lines = vec![Line::styled(tail(&sample.id, usize::from(FINDINGS)), theme.bold())];
        let look = self.viewer.look(&sample);
        match &explainer {
            Some(e) => lines.push(Line::styled(format!("by {}", e.card.name), theme.dim())),
            None => lines.push(Line::styled("no model is chosen: m on panel 9", theme.dim())),
        }
        if let (Some(e), Some(found)) = (&explainer, look.and_then(|l| l.probabilities.as_ref())) {
            for (i, (name, p)) in e.card.labels.iter().zip(found).enumerate() {
                let bar = theme.sign("█", "#").repeat((p * 10.0).round() as usize);
                let style = if i == self.label { theme.bold() } else { Style::new() };
                lines.push(Line::from(vec![
                    Span::styled(format!("{:<17}{p:.3} ", cut(name, 16)), style),
                    Span::styled(bar, Style::new().fg(theme.orange())),
                ]));
            }
        } else if explainer.is_some() && look.is_none_or(|l| l.fault.is_none()) {
            lines.push(Line::raw("looking ..."));
        }
        let label = explainer.as_ref().and_then(|e| e.card.labels.get(self.label));
        let map = look.zip(label).and_then(|(look, label)| look.map_line(label));
        lines.extend(map.map(|text| Line::styled(text, theme.dim())));
        if let Some(fault) = look.and_then(|l| l.fault.as_ref()) {
            lines.push(Line::raw(fault.to_string()));
        }
        frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), left);
    }
}

/// The model that was chosen, else that of the opened run.
fn explainer(shared: &Shared) -> Option<Explainer> {
    shared.chosen_model.clone().or_else(|| shared.explainer())
}
