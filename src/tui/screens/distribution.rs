//! How truths and scores are spread: how often each label has each truth, and where the scores of its rows lie.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use crate::tui::analysis::{Analysis, LabelData};
use crate::tui::keymap::Action;
use crate::tui::shared::Shared;
use crate::tui::theme::Theme;
use crate::tui::widgets::plot::{Mark, ONE_ROW, Plot};
use crate::tui::widgets::text::cut;

/// Bars of a histogram.
const BARS: usize = 60;

/// Carries an action out.
pub fn act(action: Action, shared: &mut Shared) {
    shared.move_label(action);
}

/// Draws the panel.
pub fn draw(frame: &mut Frame, area: Rect, shared: &mut Shared) {
    let Some(analysis) = &shared.analysis else { return };
    let theme = &shared.theme;
    let labels = analysis.labels.len() as u16;
    let room = (labels + 1).min(area.height / 2);
    let [above, positive, negative] =
        Layout::vertical([Constraint::Length(room), Constraint::Fill(1), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Paragraph::new(counts(analysis, shared.label, above, theme)), above);
    let label = &analysis.labels[shared.label];
    let range = label.range();
    for (wanted, area, colour, name) in
        [(true, positive, theme.orange(), "positive"), (false, negative, theme.blue(), "negative")]
    {
        let bars = histogram(label, wanted, range);
        let most = bars.iter().map(|b| b.1).fold(1.0, f64::max).ceil();
        let marks = bars.into_iter().map(|(x, y)| Mark::Segment((x, ONE_ROW), (x, y), colour)).collect();
        let title = format!("{}: scores of its {name} rows", analysis.label(shared.label));
        let plot = Plot { decades: true, ..Plot::new(title, [range.0, range.1], [ONE_ROW, most], marks) };
        plot.draw(area, frame.buffer_mut(), theme);
    }
}

/// The middle of each bar that stands for any rows, and the logarithm of how many: most scores lie at one end.
fn histogram(label: &LabelData, wanted: bool, (low, high): (f64, f64)) -> Vec<(f64, f64)> {
    let width = ((high - low) / BARS as f64).max(f64::MIN_POSITIVE);
    let mut bars = vec![0.0; BARS];
    for (p, _) in label.p.iter().zip(&label.y).filter(|(_, y)| **y == wanted) {
        bars[(((p - low) / width) as usize).min(BARS - 1)] += 1.0;
    }
    let bars = bars.into_iter().enumerate().filter(|(_, n)| *n > 0.0);
    bars.map(|(i, n)| (low + (i as f64 + 0.5) * width, f64::log10(n))).collect()
}

/// A row a label: how often it has each truth, and a bar of the share of positives.
fn counts<'a>(analysis: &Analysis, chosen: usize, area: Rect, theme: &Theme) -> Vec<Line<'a>> {
    let header =
        format!("  {:<20} {:>9} {:>9} {:>9} {:>9}  positive", "label", "positive", "negative", "uncertain", "silent");
    let mut lines = vec![Line::styled(header, theme.bold())];
    let rows = usize::from(area.height).saturating_sub(1);
    let first = (chosen + 1).saturating_sub(rows);
    for (i, label) in analysis.labels.iter().enumerate().skip(first).take(rows) {
        let [p, n, u, s] = label.truths;
        let share = p as f64 / label.truths.iter().sum::<usize>().max(1) as f64;
        let room = f64::from(area.width.saturating_sub(70).min(40));
        let bar = theme.sign("█", "#").repeat((share * room).round() as usize);
        let sign = if i == chosen { theme.sign("▸", ">") } else { " " };
        let name = cut(analysis.label(i), 20);
        let text = format!("{sign} {name:<20} {p:>9} {n:>9} {u:>9} {s:>9}  {:>5.1}% {bar}", 100.0 * share);
        lines.push(Line::styled(text, if i == chosen { theme.bold() } else { Default::default() }));
    }
    lines
}
