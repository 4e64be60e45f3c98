//! How triage is drawn: the list, the picture, and what the model says of it.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use super::Triage;
use crate::labels;
use crate::tui::analysis::Analysis;
use crate::tui::annotations::Kind;
use crate::tui::shared::Shared;
use crate::tui::widgets::text::{cut, tail, wrapped};
use crate::tui::worklist::{sign, truth};

/// Attributes that a blind reader may know: others may be the truth by another name.
const NEUTRAL: [&str; 3] = ["age", "sex", "view"];

/// Labels that are listed under the picture at most, in two columns.
const LABELS: usize = 14;

impl Triage {
    /// Draws the panel.
    pub fn draw(&mut self, frame: &mut Frame, area: Rect, shared: &mut Shared) {
        let Some(analysis) = shared.analysis.clone() else { return };
        self.refresh(&analysis, shared);
        let width = (area.width / 3).clamp(34, 48);
        let [left, right] = Layout::horizontal([Constraint::Length(width), Constraint::Min(40)]).spacing(1).areas(area);
        self.selected = self.selected.min(self.list.as_ref().map_or(0, |(_, r)| r.len().saturating_sub(1)));
        self.draw_list(frame, left, shared);
        let Some(row) = self.row() else { return };
        let below = self.below(&analysis, row, right.width, shared);
        let [above, under] =
            Layout::vertical([Constraint::Min(5), Constraint::Length(below.len() as u16)]).areas(right);
        frame.render_widget(Paragraph::new(below), under);
        let image = analysis.predictions.images[row].clone();
        let label = analysis.label(shared.label).to_owned();
        self.draw_picture(&image, &label, frame, above, shared);
    }

    fn draw_picture(&mut self, image: &str, label: &str, frame: &mut Frame, area: Rect, shared: &mut Shared) {
        shared.look_for_pictures();
        let told = |text: String| Paragraph::new(text).wrap(Wrap { trim: true });
        let sample = match shared.pictures.sample(image) {
            Ok(Some(sample)) => sample.clone(),
            Ok(None) => return frame.render_widget(told("looking for the pictures ...".into()), area),
            Err(e) => {
                let text = if self.hidden() { "no picture".to_owned() } else { format!("no picture: {e}") };
                let text = format!("{text}\nI gives the folder of the pictures here.");
                return frame.render_widget(told(text).style(shared.theme.dim()), area);
            }
        };
        let explainer = shared.explainer();
        let column = explainer.as_ref().and_then(|e| labels::find(&e.card.labels, label));
        self.viewer.draw(&sample, explainer.as_ref(), column, area, frame, shared);
        if let Some(fault) = self.viewer.look(&sample).and_then(|l| l.fault.as_ref()) {
            let text = if self.hidden() { "the picture is at fault".to_owned() } else { fault.to_string() };
            let place = Rect { height: area.height.min(3), ..area };
            frame.render_widget(told(text).style(shared.theme.dim()), place);
        }
    }

    fn draw_list(&self, frame: &mut Frame, area: Rect, shared: &mut Shared) {
        let theme = &shared.theme;
        let (Some(analysis), Some((of, rows))) = (shared.analysis.clone(), &self.list) else {
            return frame.render_widget(Line::styled("listing ...", theme.dim()), area);
        };
        let name = analysis.label(of.label);
        let mut lines = vec![Line::styled(format!("{name} at {:.4}", of.threshold), theme.bold())];
        let what = match of.blind {
            true => format!("{}, blind, in no order", rows.len()),
            false => format!("{} {}, {}", rows.len(), of.outcome.name(), of.order.name()),
        };
        lines.push(Line::styled(what, theme.dim()));
        let filters: Vec<&str> =
            [of.search.as_str(), of.condition.as_str()].into_iter().filter(|f| !f.is_empty()).collect();
        if !filters.is_empty() {
            lines.push(Line::styled(format!("only {}", filters.join(" and ")), theme.dim()));
        }
        if rows.is_empty() {
            lines.push(Line::raw("none"));
        }
        let room = usize::from(area.height).saturating_sub(lines.len());
        let first = (self.selected + 1).saturating_sub(room);
        let top = area.y + lines.len() as u16;
        shared.zones.extend((first..rows.len()).take(room).map(|i| {
            let y = top + (i - first) as u16;
            (Rect { y, height: 1, ..area }, i)
        }));
        let scores =
            analysis.predictions.labels[analysis.labels[of.label].column].scores.as_deref().unwrap_or_default();
        for (i, &row) in rows.iter().enumerate().skip(first).take(room) {
            let image = &analysis.predictions.images[row];
            let marked = if shared.annotations.of(image).next().is_some() { theme.sign("✎", "m") } else { " " };
            let shown = !of.blind || self.revealed == Some(row);
            let mut spans = Vec::new();
            if shown {
                let (sign, wrong) = sign(truth(&analysis, of.label, row), scores[row] >= of.threshold);
                let colour = if wrong { theme.orange() } else { theme.blue() };
                spans.push(Span::styled(sign, Style::new().fg(colour)));
                spans.push(Span::raw(format!(" {:.3} ", scores[row])));
            }
            let left = usize::from(area.width).saturating_sub(if spans.is_empty() { 2 } else { 11 });
            let name = if shown { tail(image, left) } else { format!("image {}", i + 1) };
            spans.push(Span::raw(format!("{marked} {name}")));
            let line = Line::from(spans);
            lines.push(if i == self.selected { line.style(theme.selected()) } else { line });
        }
        frame.render_widget(Paragraph::new(lines), area);
    }

    /// Under the picture: who, all labels' probabilities with truths, marks.
    fn below(&self, analysis: &Analysis, row: usize, width: u16, shared: &Shared) -> Vec<Line<'static>> {
        let theme = &shared.theme;
        let p = &analysis.predictions;
        let image = &p.images[row];
        let hidden = self.hidden();
        let name = if hidden { format!("image {}", self.selected + 1) } else { tail(image, usize::from(width)) };
        let mut lines = vec![Line::styled(name, theme.bold())];
        let mut who = Vec::new();
        if let Some(patients) = &p.patients {
            let all = analysis.siblings(row);
            let at = all.iter().position(|&r| r == row).map_or(1, |i| i + 1);
            let patient = if hidden { "this patient".to_owned() } else { format!("patient {}", patients[row]) };
            who.push(format!("{patient}, image {at} of {}", all.len()));
        }
        let told = |name: &str| !hidden || NEUTRAL.contains(&name);
        who.extend(p.attributes.iter().filter(|a| told(&a.name)).map(|a| format!("{} {}", a.name, a.values[row])));
        if !who.is_empty() {
            lines.push(Line::styled(who.join(", "), theme.dim()));
        }
        if hidden {
            lines.push(Line::raw("hidden; Enter reveals truth and prediction"));
        } else {
            lines.extend(self.probabilities(analysis, row, width, shared));
        }
        let marks: Vec<String> = shared
            .annotations
            .of(image)
            .map(|a| match a.kind {
                Kind::LabelLooksWrong => format!("{} looks wrong", a.label),
                Kind::Artefact => "artefact".to_owned(),
                Kind::Note | Kind::Threshold => a.note.clone(),
            })
            .collect();
        if !marks.is_empty() {
            lines.push(Line::raw(format!("{} {}", theme.sign("✎", "m"), marks.join("; "))));
        }
        if self.viewer.view.map {
            lines.extend(self.explained(image, analysis.label(shared.label), usize::from(width), shared));
        }
        lines
    }

    /// What is known of the map, and whether such maps can be trusted.
    fn explained(&self, image: &str, label: &str, width: usize, shared: &Shared) -> Vec<Line<'static>> {
        let (Some(explainer), Some(look)) =
            (shared.explainer(), self.sample(image, shared).and_then(|s| self.viewer.look(s)))
        else {
            return Vec::new();
        };
        let forced = self.viewer.label.and_then(|i| explainer.card.labels.get(i).cloned());
        let label = forced.unwrap_or_else(|| label.to_owned());
        let trust = match shared.pictures.trust() {
            Some(Ok(tested)) => match tested.trust.iter().find(|t| labels::same(&t.label, &label)) {
                Some(trust) => format!("{}: {}", tested.method, trust.line()),
                None => "its trust is not tested (explain --trust)".to_owned(),
            },
            Some(Err(e)) => e.to_string(),
            None => String::new(),
        };
        let told = look.map_line(&label).into_iter().chain([trust]);
        let lines = told.flat_map(|text| wrapped(&text, width));
        lines.map(|text| Line::styled(text, shared.theme.dim())).collect()
    }

    /// Two columns of the labels with score and truth; the chosen one is bold.
    fn probabilities(&self, analysis: &Analysis, row: usize, width: u16, shared: &Shared) -> Vec<Line<'static>> {
        let theme = &shared.theme;
        let half = usize::from(width / 2);
        let one = |i: usize| -> Vec<Span<'static>> {
            let scores = analysis.predictions.labels[analysis.labels[i].column].scores.as_deref().unwrap_or_default();
            let truth = truth(analysis, i, row);
            let (sign, wrong) = sign(truth, scores[row] >= shared.thresholds[i]);
            let room = half.saturating_sub(12);
            let name = cut(analysis.label(i), room);
            let style = if i == shared.label { theme.bold() } else { Style::new() };
            vec![
                Span::styled(sign, Style::new().fg(if wrong { theme.orange() } else { theme.blue() })),
                Span::styled(format!(" {name:<room$} {:.3}  ", scores[row]), style),
            ]
        };
        let count = analysis.labels.len().min(LABELS);
        let first = (shared.label + 1).saturating_sub(count);
        let shown: Vec<usize> = (first..first + count).collect();
        shown.chunks(2).map(|pair| Line::from(pair.iter().flat_map(|&i| one(i)).collect::<Vec<_>>())).collect()
    }
}
