//! The errors of a label one by one: a list, the picture, what the model says of it, and marks.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use crate::labels;
use crate::tui::analysis::Analysis;
use crate::tui::annotations::Kind;
use crate::tui::keymap::Action;
use crate::tui::shared::Shared;
use crate::tui::theme::Theme;
use crate::tui::viewer::{Look, Viewer};
use crate::tui::widgets::popup::{Ask, Prompt};
use crate::tui::widgets::text::{cut, tail};
use crate::tui::worklist::{Of, Order, Outcome, chosen, conditions, listed, siblings, sign, truth};

/// Attributes that a blind reader may know: others may be the truth by another name.
const NEUTRAL: [&str; 3] = ["age", "sex", "view"];

/// Labels that are listed under the picture at most, in two columns.
const LABELS: usize = 14;

/// The panel's state.
pub struct Triage {
    /// The picture.
    pub viewer: Viewer,
    outcome: Outcome,
    order: Order,
    search: String,
    condition: String,
    blind: bool,
    /// The row that is revealed although blind.
    revealed: Option<usize>,
    selected: usize,
    /// Another image of the selected one's patient.
    other: Option<usize>,
    /// Rows of the table, and what for.
    list: Option<(Of, Vec<usize>)>,
}

impl Default for Triage {
    fn default() -> Self {
        Self {
            viewer: Viewer::default(),
            outcome: Outcome::Errors,
            order: Order::Confidence,
            search: String::new(),
            condition: String::new(),
            blind: false,
            revealed: None,
            selected: 0,
            other: None,
            list: None,
        }
    }
}

impl Triage {
    /// Forgets the list: there is another table.
    pub fn forget(&mut self) {
        (self.list, self.selected, self.other, self.revealed) = (None, 0, None, None);
    }

    /// Carries an action out.
    pub fn act(&mut self, action: Action, shared: &mut Shared) {
        let last = self.list.as_ref().map_or(0, |(_, rows)| rows.len().saturating_sub(1));
        let to = match action {
            Action::Up => self.selected.saturating_sub(1),
            Action::Down => self.selected + 1,
            Action::PageUp => self.selected.saturating_sub(10),
            Action::PageDown => self.selected + 10,
            Action::First => 0,
            Action::Last => last,
            _ => return self.change(action, shared),
        };
        self.selected = to.min(last);
        (self.other, self.revealed) = (None, None);
    }

    fn change(&mut self, action: Action, shared: &mut Shared) {
        match action {
            Action::Outcome | Action::Order if self.blind => {
                shared.say("blind: all images are listed, in no order (b ends it)");
            }
            Action::Outcome => self.outcome = self.outcome.next(),
            Action::Order => self.order = self.order.next(shared.pinned.is_some()),
            Action::Search => shared.ask(Prompt::new(Ask::Search, "image, patient or attribute holds", &*self.search)),
            Action::Condition => {
                let hint = shared.analysis.as_deref().map(conditions).unwrap_or_default();
                let question = "subgroup: a condition, as view=PA or age>=60 (empty: all)";
                shared.ask(Prompt::new(Ask::Condition, question, &*self.condition).hint(hint));
            }
            Action::Blind => self.blind = !self.blind,
            Action::Reveal => self.revealed = self.row(),
            Action::SamePatient => self.next_of_patient(shared),
            Action::MarkLabel => self.mark(Kind::LabelLooksWrong, shared),
            Action::MarkArtefact => self.mark(Kind::Artefact, shared),
            Action::Note => {
                let Some((image, _)) = self.image(shared) else { return };
                let note = shared.annotations.of(&image).find(|a| a.kind == Kind::Note);
                let note = note.map(|a| a.note.clone()).unwrap_or_default();
                let name = if self.hidden() { "this image".to_owned() } else { tail(&image, 40) };
                shared.ask(Prompt::new(Ask::Note, format!("note on {name}"), note));
            }
            Action::MapLabel => {
                let count = shared.explainer().map_or(0, |e| e.card.labels.len());
                self.viewer.label = (count > 0).then(|| self.viewer.label.map_or(0, |l| (l + 1) % count));
            }
            _ if self.viewer.act(action) => {}
            _ => shared.act_on_threshold(action, 0.01),
        }
        if matches!(action, Action::Outcome | Action::Order | Action::Blind) {
            (self.selected, self.other, self.revealed) = (0, None, None);
        }
    }

    /// Takes the answer to a question.
    pub fn answer(&mut self, ask: Ask, text: &str, shared: &mut Shared) {
        match ask {
            Ask::Search => self.search = text.to_lowercase(),
            Ask::Condition => {
                let checked = match (text.trim(), &shared.analysis) {
                    ("", _) | (_, None) => Ok(()),
                    (text, Some(analysis)) => chosen(analysis, text).map(drop),
                };
                match checked {
                    Ok(()) => self.condition = text.trim().to_owned(),
                    Err(e) => shared.say(e.to_string()),
                }
            }
            Ask::Note => {
                let Some((image, _)) = self.image(shared) else { return };
                match shared.annotations.set_note(&image, text.trim()) {
                    Ok(()) => shared.say("kept in annotations.csv"),
                    Err(e) => shared.say(e.to_string()),
                }
            }
            _ => {}
        }
        if ask != Ask::Note {
            (self.selected, self.other) = (0, None);
        }
    }

    fn mark(&mut self, kind: Kind, shared: &mut Shared) {
        let Some((image, label)) = self.image(shared) else { return };
        let label = if kind == Kind::LabelLooksWrong { label } else { String::new() };
        match shared.annotations.toggle(kind, &image, &label) {
            Ok(true) => shared.say("marked, and kept in annotations.csv"),
            Ok(false) => shared.say("the mark is taken away"),
            Err(e) => shared.say(e.to_string()),
        }
    }

    /// Chooses the image of this place in the list.
    pub fn pick(&mut self, place: usize) {
        (self.selected, self.other, self.revealed) = (place, None, None);
    }

    /// Whether what is looked at must not tell of itself. Names and paths often do: `PNEUMONIA/person1_bacteria_2.jpeg`.
    fn hidden(&self) -> bool {
        self.blind && self.revealed != self.row()
    }

    /// The row that is looked at.
    fn row(&self) -> Option<usize> {
        self.other.or_else(|| self.list.as_ref()?.1.get(self.selected).copied())
    }

    /// The image that is looked at, and the label's name.
    fn image(&self, shared: &Shared) -> Option<(String, String)> {
        let analysis = shared.analysis.as_ref()?;
        Some((analysis.predictions.images.get(self.row()?)?.clone(), analysis.label(shared.label).to_owned()))
    }

    fn next_of_patient(&mut self, shared: &mut Shared) {
        let (Some(row), Some(analysis)) = (self.row(), &shared.analysis) else { return };
        let others = siblings(analysis, row);
        match others.iter().position(|&r| r == row) {
            Some(at) if others.len() > 1 => self.other = Some(others[(at + 1) % others.len()]),
            _ => shared.say("no other image of this patient is known"),
        }
    }

    /// Draws the panel.
    pub fn draw(&mut self, frame: &mut Frame, area: Rect, shared: &mut Shared) {
        let Some(analysis) = shared.analysis.clone() else { return };
        let of = Of {
            label: shared.label,
            threshold: shared.thresholds[shared.label],
            outcome: self.outcome,
            order: self.order,
            search: self.search.clone(),
            condition: self.condition.clone(),
            blind: self.blind,
            pinned: shared.pinned.is_some(),
        };
        if self.list.as_ref().is_none_or(|(made, _)| *made != of) {
            let rows = listed(&analysis, shared.pinned.as_deref(), &of);
            self.list = Some((of, rows));
        }
        let width = (area.width / 3).clamp(30, 48);
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
        let sample = match shared.sample(image) {
            Ok(Some(sample)) => sample,
            Ok(None) => return frame.render_widget(Paragraph::new("looking for the pictures ..."), area),
            Err(e) => {
                let text = if self.hidden() { "no picture".to_owned() } else { format!("no picture: {e}") };
                let lines = Paragraph::new(text).wrap(Wrap { trim: true });
                return frame.render_widget(lines.style(shared.theme.dim()), area);
            }
        };
        let explainer = shared.explainer();
        let column = explainer.as_ref().and_then(|e| labels::find(&e.card.labels, label));
        self.viewer.draw(&sample, explainer.as_ref(), column, area, frame, shared);
        if let Some(fault) = self.viewer.look(&sample).and_then(|l| l.fault.as_ref()) {
            let text = if self.hidden() { "the picture is at fault".to_owned() } else { fault.to_string() };
            let lines = Paragraph::new(text).wrap(Wrap { trim: true }).style(shared.theme.dim());
            frame.render_widget(lines, Rect { height: area.height.min(3), ..area });
        }
    }

    fn draw_list(&self, frame: &mut Frame, area: Rect, shared: &mut Shared) {
        let (Some(analysis), Some((of, rows))) = (shared.analysis.clone(), &self.list) else { return };
        let theme = &shared.theme;
        let name = analysis.label(of.label);
        let mut lines = vec![Line::styled(format!("{name} at {:.4}", of.threshold), theme.bold())];
        let what = match self.blind {
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
            let shown = !self.blind || self.revealed == Some(row);
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
            let all = siblings(analysis, row);
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
        if let (true, Some(look)) = (self.viewer.view.map, self.looked(image, shared)) {
            lines.extend(explained(look, self.viewer.label, analysis.label(shared.label), shared, theme));
        }
        lines
    }

    fn looked(&self, image: &str, shared: &Shared) -> Option<&Look> {
        self.viewer.look(&shared.known_sample(image)?)
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

/// One line about the map.
fn explained(look: &Look, forced: Option<usize>, label: &str, shared: &Shared, theme: &Theme) -> Option<Line<'static>> {
    let explainer = shared.explainer()?;
    let name = forced.and_then(|i| explainer.card.labels.get(i).cloned()).unwrap_or_else(|| label.to_owned());
    let time = look.explained.map(|t| format!(", {:.0} ms", 1000.0 * t.as_secs_f64())).unwrap_or_default();
    Some(Line::styled(format!("Grad-CAM of {name}, last layer{time}"), theme.dim()))
}
