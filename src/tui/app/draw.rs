//! How the program is drawn: tabs, title, the panel, the command bar, boxes over all.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use super::{App, Popup, SMALLEST};
use crate::tui::keymap::{self, Screen};
use crate::tui::screens::distribution;
use crate::tui::widgets::popup;

impl App {
    /// Draws everything.
    pub fn draw(&mut self, frame: &mut Frame) {
        self.shared.picture = None;
        self.shared.zones.clear();
        let area = frame.area();
        if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
            return self.draw_too_small(frame, area);
        }
        let [tabs, title, body, bar] =
            Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)])
                .areas(area);
        self.draw_tabs(frame, tabs);
        self.draw_title(frame, title);
        self.draw_screen(frame, body);
        self.draw_bar(frame, bar);
        self.draw_popup(frame, body);
    }

    fn draw_too_small(&self, frame: &mut Frame, area: Rect) {
        let missing = |has: u16, needs: u16, what: &str| match needs.saturating_sub(has) {
            0 => None,
            n => Some(format!("{n} {what}")),
        };
        let missing = [missing(area.width, SMALLEST.0, "columns"), missing(area.height, SMALLEST.1, "rows")];
        let missing = missing.into_iter().flatten().collect::<Vec<_>>().join(" and ");
        let text = format!("roentgen needs {}x{} cells; {missing} are missing here", SMALLEST.0, SMALLEST.1);
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
    }

    fn draw_tabs(&mut self, frame: &mut Frame, area: Rect) {
        let theme = &self.shared.theme;
        self.tabs.clear();
        let mut x = area.x;
        for (i, screen) in Screen::ALL.into_iter().enumerate() {
            let name = if area.width < 100 { screen.short() } else { screen.name() };
            let text = format!(" {} {name}", (i + 1) % 10);
            let style = if screen == self.screen { theme.selected() } else { theme.dim() };
            let width = text.chars().count() as u16;
            let place = Rect::new(x, area.y, width.min(area.right().saturating_sub(x)), 1);
            frame.buffer_mut().set_stringn(x, area.y, text, usize::from(place.width), style);
            self.tabs.push((place, screen));
            x = (x + width).min(area.right());
        }
    }

    fn draw_title(&self, frame: &mut Frame, area: Rect) {
        let shared = &self.shared;
        let text = match (&shared.overview, &shared.evaluation) {
            (Some(o), Some(e)) => {
                let patients = e.n_patients.map(|n| format!(" of {n} patients")).unwrap_or_default();
                let label = e.labels.get(shared.label).map_or("", |l| l.label.as_str());
                format!(" {}: {} images{patients} | {label}", o.name, e.n_images)
            }
            (Some(o), None) => format!(" {}", o.name),
            (None, _) => " roentgen: a research tool, not a medical device".to_owned(),
        };
        frame.buffer_mut().set_stringn(area.x, area.y, text, usize::from(area.width), shared.theme.bold());
    }

    fn draw_screen(&mut self, frame: &mut Frame, area: Rect) {
        let shared = &mut self.shared;
        match self.screen {
            Screen::Picture => return self.picture.draw(frame, area, shared),
            Screen::Run => return self.run.draw(frame, area, shared),
            Screen::Home => return self.home.draw(frame, area, shared),
            _ => {}
        }
        let ready = shared.analysis.is_some() || (self.screen == Screen::Table && shared.evaluation.is_some());
        if self.failed.is_some() || !ready {
            let text = match &self.failed {
                Some(e) => format!("error: {e}"),
                None if shared.overview.is_some() => "reading the table ...".to_owned(),
                None => "no run is open: choose one on panel 9".to_owned(),
            };
            return frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
        }
        match self.screen {
            Screen::Table => self.table.draw(frame, area, shared),
            Screen::Roc => self.roc.draw(frame, area, shared),
            Screen::PrecisionRecall => self.precision_recall.draw(frame, area, shared),
            Screen::Threshold => self.threshold.draw(frame, area, shared),
            Screen::Reliability => self.reliability.draw(frame, area, shared),
            Screen::Distribution => distribution::draw(frame, area, shared),
            Screen::Triage => self.triage.draw(frame, area, shared),
            Screen::Picture | Screen::Run | Screen::Home => {}
        }
    }

    /// The main keys of the panel, or what was just said.
    fn draw_bar(&self, frame: &mut Frame, area: Rect) {
        let theme = &self.shared.theme;
        if let Some(message) = &self.shared.message {
            return frame.render_widget(Line::raw(message.as_str()), area);
        }
        let (own, common): (Vec<_>, Vec<_>) =
            keymap::on(self.screen).filter(|b| b.bar).partition(|b| b.scope != keymap::Scope::Everywhere);
        let width = |b: &keymap::Binding| b.keys[0].chars().count() + b.says.chars().count() + 3;
        let mut room = usize::from(area.width).saturating_sub(common.iter().copied().map(width).sum());
        let fitting = own.into_iter().take_while(|b| {
            let fits = width(b) <= room;
            room = room.saturating_sub(width(b));
            fits
        });
        let mut spans = Vec::new();
        for binding in fitting.chain(common) {
            spans.push(Span::styled(format!(" {}", binding.keys[0]), theme.key()));
            spans.push(Span::raw(format!(" {} ", binding.says)));
        }
        frame.render_widget(Line::from(spans), area);
    }

    fn draw_popup(&mut self, frame: &mut Frame, area: Rect) {
        let theme = self.shared.theme;
        let buffer = frame.buffer_mut();
        if let Some(prompt) = &self.shared.prompt {
            prompt.draw(area, buffer, &theme);
        }
        match &mut self.popup {
            Popup::None => {}
            Popup::Help(first) => {
                let line = |b: &keymap::Binding| {
                    let keys = b.keys.join(" ");
                    Line::from(vec![Span::styled(format!(" {keys:<14}"), theme.key()), Span::raw(b.says)])
                };
                let lines: Vec<Line> = keymap::on(self.screen).map(line).collect();
                let rows = usize::from(area.height).saturating_sub(2);
                *first = (*first).min(lines.len().saturating_sub(rows));
                let more = if lines.len() > rows { "; Down for more" } else { "" };
                let title = format!("keys on {}{more}", self.screen.name());
                let shown = lines.into_iter().skip(*first).take(rows).collect();
                popup::draw(&title, shown, 64, area, buffer, &theme);
            }
            Popup::Palette(chooser) | Popup::Tables(chooser) => chooser.draw(area, buffer, &theme),
        }
        // A picture over a box would hide it.
        if self.shared.prompt.is_some() || !matches!(self.popup, Popup::None) {
            self.shared.picture = None;
        }
    }
}
