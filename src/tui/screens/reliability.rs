//! Are the probabilities true? The reliability diagram, before and after calibration.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Wrap};

use crate::error::Result;
use crate::metrics::calibration::Bin;
use crate::metrics::calibrator::Method;
use crate::tui::calibration::{Answer, Binned, Mended, Question};
use crate::tui::jobs::News;
use crate::tui::keymap::Action;
use crate::tui::shared::Shared;
use crate::tui::widgets::plot::{Mark, ONE_ROW, Plot, SQUARE};
use crate::tui::widgets::text::cut;

/// Numbers of bins to choose from.
const BINS: [u16; 4] = [15, 10, 20, 30];

/// Columns of the numbers.
const NUMBERS: u16 = 32;

/// The panel's state.
#[derive(Default)]
pub struct ReliabilityScreen {
    bins: usize,
    equal_count: bool,
    /// Steps through what can be done to the probabilities.
    mended: usize,
    asked: Option<Question>,
    shown: Option<Result<Box<Answer>>>,
}

impl ReliabilityScreen {
    /// Carries an action out.
    pub fn act(&mut self, action: Action, shared: &mut Shared) {
        match action {
            Action::Bins => self.bins = (self.bins + 1) % BINS.len(),
            Action::Binning => self.equal_count = !self.equal_count,
            Action::Calibrate => self.mended += 1,
            _ => shared.move_label(action),
        }
    }

    /// Takes in what was computed; what is not asked for any more is dropped.
    pub fn hear(&mut self, of: &Question, answer: Result<Box<Answer>>) {
        if self.asked.as_ref() == Some(of) {
            self.shown = Some(answer);
        }
    }

    /// What the panel asks now.
    fn question(&self, shared: &Shared) -> Option<Question> {
        let table = shared.analysis.clone()?;
        let calibrated = table.overview.description.as_ref().is_some_and(|d| d.calibration.is_some());
        let crossed = [Method::Temperature, Method::Platt, Method::Isotonic].map(Mended::Crossed);
        let ways: Vec<Mended> =
            calibrated.then_some(Mended::Run).into_iter().chain([Mended::Not]).chain(crossed).collect();
        let mended = ways[self.mended % ways.len()];
        let (bins, equal_count, label) = (BINS[self.bins], self.equal_count, shared.label);
        Some(Question { table, pinned: shared.beside.pinned.clone(), label, bins, equal_count, mended })
    }

    /// Draws the panel.
    pub fn draw(&mut self, frame: &mut Frame, area: Rect, shared: &mut Shared) {
        let Some(question) = self.question(shared) else { return };
        if self.asked.as_ref() != Some(&question) {
            let (asked, label) = (question.clone(), question.table.label(question.label).to_owned());
            shared.jobs.start(move |_| {
                let answer = asked.clone().answer().map(Box::new).map_err(|e| e.at(format_args!("label {label}")));
                News::Calibrated(asked, answer)
            });
            self.asked = Some(question);
        }
        match &self.shown {
            Some(Ok(answer)) if answer.to.table_is(shared) => draw(answer, frame, area, shared),
            Some(Err(e)) => frame.render_widget(Paragraph::new(e.to_string()).wrap(Wrap { trim: true }), area),
            _ => frame.render_widget(Paragraph::new("computing ..."), area),
        }
    }
}

fn draw(answer: &Answer, frame: &mut Frame, area: Rect, shared: &Shared) {
    let theme = &shared.theme;
    let name = answer.to.table.label(answer.to.label);
    let wide = area.width.saturating_sub(NUMBERS + 1).min(SQUARE * area.height);
    let [left, right] = Layout::horizontal([Constraint::Length(wide), Constraint::Min(NUMBERS)]).spacing(1).areas(area);
    let [above, below] = Layout::vertical([Constraint::Fill(3), Constraint::Fill(1)]).areas(left);
    let title = format!("{name}: observed by predicted");
    let shown = answer.after.as_ref().unwrap_or(&answer.before);
    let mut marks = vec![Mark::Faint(vec![(0.0, 0.0), (1.0, 1.0)])];
    let path = |b: &Binned| b.bins.iter().map(|b| (b.mean, b.observed)).collect::<Vec<_>>();
    if answer.after.is_some() {
        marks.push(Mark::Faint(path(&answer.before)));
        marks.extend(signs(&answer.before.bins, theme.sign("○", "-"), theme.faint()));
    }
    if let Some(pinned) = &answer.pinned {
        marks.extend(signs(&pinned.bins, theme.sign("□", "B"), theme.curve(3)));
    }
    marks.extend(shown.bins.iter().map(|b| Mark::Segment((b.mean, b.ci_low), (b.mean, b.ci_high), theme.blue())));
    marks.extend(signs(&shown.bins, theme.sign("●", "o"), theme.orange()));
    Plot::new(title, [0.0, 1.0], [0.0, 1.0], marks).draw(above, frame.buffer_mut(), theme);
    let counts: Vec<(f64, f64)> = shown.bins.iter().map(|b| (b.mean, (b.n as f64).log10())).collect();
    let most = counts.iter().map(|c| c.1).fold(1.0, f64::max).ceil();
    let bars = counts.iter().map(|&(x, y)| Mark::Segment((x, ONE_ROW), (x, y), theme.curve(5))).collect();
    let counts = Plot { decades: true, ..Plot::new("rows in each bin", [0.0, 1.0], [ONE_ROW, most], bars) };
    counts.draw(below, frame.buffer_mut(), theme);
    frame.render_widget(Paragraph::new(beside(answer, shown, right.height, shared)), right);
}

fn signs<'a>(bins: &[Bin], sign: &'static str, colour: Color) -> impl Iterator<Item = Mark<'a>> {
    bins.iter().map(move |b| Mark::Sign(b.mean, b.observed, sign, colour))
}

fn beside(answer: &Answer, shown: &Binned, height: u16, shared: &Shared) -> Vec<Line<'static>> {
    let theme = &shared.theme;
    let way = if answer.to.equal_count { "of equal count" } else { "of equal width" };
    let (first, second) = match answer.to.mended {
        Mended::Not => ("as it is", ""),
        Mended::Run => ("model", "calibrated"),
        Mended::Crossed(Method::Temperature) => ("as it is", "temp."),
        Mended::Crossed(Method::Platt) => ("as it is", "Platt"),
        Mended::Crossed(Method::Isotonic) => ("as it is", "isotonic"),
    };
    let pinned = answer.pinned.as_ref();
    let row = |name: &str, of: fn(&Binned) -> f64| {
        let number = |binned: Option<&Binned>, width| match binned {
            Some(b) => format!("{:>width$.4}", of(b)),
            None => String::new(),
        };
        let cells = [number(Some(&answer.before), 8), number(answer.after.as_ref(), 11), number(pinned, 7)];
        Line::raw(format!("{name:<6}{}", cells.concat()).trim_end().to_owned())
    };
    let second = if second.is_empty() { String::new() } else { format!("{second:>11}") };
    let third = if pinned.is_some() { format!("{:>7}", "B") } else { String::new() };
    let mut lines = vec![
        Line::styled(format!("{} bins {way}", answer.to.bins), theme.bold()),
        Line::raw(""),
        Line::styled(format!("{:<6}{first:>8}{second}{third}", ""), theme.bold()),
        row("ECE", |b| b.ece),
        row("-bias", |b| b.debiased),
        row("smECE", |b| b.smooth),
        row("MCE", |b| b.mce),
        row("Brier", |b| b.brier),
        row("loss", |b| b.log_loss),
        Line::raw(""),
    ];
    let said = match answer.to.mended {
        Mended::Not => None,
        Mended::Run => Some(["before and after the maps that", "the run was calibrated with"]),
        Mended::Crossed(_) => Some(["each half of the patients by", "the map fitted on the other"]),
    };
    if let Some(said) = said {
        lines.extend(said.map(|text| Line::styled(text, theme.dim())));
        lines.push(Line::styled(
            format!("{} before  {} after", theme.sign("○", "-"), theme.sign("●", "o")),
            theme.dim(),
        ));
        lines.push(Line::raw(""));
    }
    if let Some(pinned) = &shared.beside.pinned {
        let text = cut(&format!("{} B: {}", theme.sign("□", "B"), pinned.overview.name), usize::from(NUMBERS));
        lines.push(Line::styled(text, Style::new().fg(theme.curve(3))));
        lines.push(Line::raw(""));
    }
    lines.push(Line::styled("  p mean  share        rows", theme.bold()));
    let room = usize::from(height).saturating_sub(lines.len());
    let bin = |b: &Bin| Line::raw(format!("{:>8.3} {:>6.3} {:>5}/{:<6}", b.mean, b.observed, b.n_pos, b.n));
    lines.extend(shown.bins.iter().take(room).map(bin));
    lines
}
