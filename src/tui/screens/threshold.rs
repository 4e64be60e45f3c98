//! What a threshold does: rates and net benefit along all of them, and the confusion matrix at the cursor.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::metrics::decision_curve::{net_benefit_at_prevalence, predictive_values};
use crate::metrics::operating_point::{Confusion, Measures, OperatingPoint, Rule};
use crate::metrics::roc::Ranked;
use crate::tui::keymap::Action;
use crate::tui::shared::Shared;
use crate::tui::theme::Theme;
use crate::tui::widgets::plot::{Mark, Plot, x_at};
use crate::tui::widgets::popup::{Ask, Prompt};
use crate::tui::widgets::text::{cut, number, with_interval};

/// Thresholds at which the curves are looked up: two to a column of a wide terminal.
const STEPS: usize = 240;

/// The curves, in the order of the theme's colours.
const NAMES: [&str; 5] = ["sensitivity", "specificity", "PPV", "NPV", "F1"];

/// The panel's state.
#[derive(Default)]
pub struct ThresholdScreen {
    zoom: u32,
    /// How many positives there are where the model is to be used; `None`: as in the data.
    prevalence: Option<f64>,
    /// Where the plots were drawn, and their thresholds.
    drawn: Option<(Rect, [f64; 2])>,
}

impl ThresholdScreen {
    /// Carries an action out.
    pub fn act(&mut self, action: Action, shared: &mut Shared) {
        let rule = match action {
            Action::ZoomIn => return self.zoom = (self.zoom + 1).min(10),
            Action::ZoomOut => return self.zoom = self.zoom.saturating_sub(1),
            Action::Sensitivity => return shared.ask(Prompt::new(Ask::Sensitivity, "sensitivity of at least", "0.95")),
            Action::Specificity => return shared.ask(Prompt::new(Ask::Specificity, "specificity of at least", "0.90")),
            Action::Prevalence => {
                let now = self.prevalence.map(|p| p.to_string()).unwrap_or_default();
                return shared.ask(Prompt::new(
                    Ask::Prevalence,
                    "prevalence where it is used (empty: the data's)",
                    now,
                ));
            }
            Action::Youden => Rule::Youden,
            Action::BestF1 => Rule::F1,
            _ => return shared.act_on_threshold(action, 0.01 * 0.5f64.powi(self.zoom as i32)),
        };
        shared.fit(rule);
    }

    /// Takes the answer to a question.
    pub fn answer(&mut self, ask: Ask, text: &str, shared: &mut Shared) {
        if ask == Ask::Prevalence && text.trim().is_empty() {
            self.prevalence = None;
            return;
        }
        match text.trim().parse::<f64>() {
            Ok(share) if (0.0..=1.0).contains(&share) => match ask {
                Ask::Sensitivity => shared.fit(Rule::Sensitivity(share)),
                Ask::Specificity => shared.fit(Rule::Specificity(share)),
                _ => self.prevalence = Some(share).filter(|p| *p > 0.0 && *p < 1.0),
            },
            _ => shared.say(format!("`{text}` is no share between 0 and 1")),
        }
    }

    /// The left button at a cell.
    pub fn click(&mut self, column: u16, row: u16, shared: &mut Shared) {
        if let Some((inner, x)) = self.drawn.filter(|(inner, _)| inner.contains((column, row).into())) {
            shared.set_threshold(x_at(inner, x, column), "by hand");
        }
    }

    /// Draws the panel.
    pub fn draw(&mut self, frame: &mut Frame, area: Rect, shared: &mut Shared) {
        self.drawn = None;
        let Some(label) = shared.rows() else { return };
        let theme = &shared.theme;
        let Some(ranked) = label.cut() else {
            return frame.render_widget(Paragraph::new(format!("{}: {}", label.name, shared.why_not())), area);
        };
        let [left, right] = Layout::horizontal([Constraint::Min(40), Constraint::Length(31)]).spacing(1).areas(area);
        let [above, below] = Layout::vertical([Constraint::Fill(3), Constraint::Fill(2)]).areas(left);
        let threshold = shared.thresholds[shared.label];
        let x = self.visible(label.range(), threshold);
        let prevalence = self.prevalence.unwrap_or(f64::from(ranked.n_pos()) / ranked.n() as f64);

        let curves = along(ranked, x, self.prevalence);
        let other = shared.pinned_rows().and_then(|l| l.cut());
        let cursor = |y: [f64; 2]| Mark::Segment((threshold, y[0]), (threshold, y[1]), theme.faint());
        let mut marks = vec![cursor([0.0, 1.0])];
        // The pinned run stands back.
        marks.extend(other.map(|other| along(other, x, self.prevalence)).into_iter().flatten().map(Mark::Faint));
        marks.extend(curves.iter().enumerate().map(|(i, c)| Mark::Curve(c, theme.curve(i))));
        let here = rates(&Confusion::at(ranked, threshold).measures(), self.prevalence);
        let signs = here.iter().enumerate().filter_map(|(i, v)| Some((i, (*v)?)));
        marks.extend(signs.map(|(i, v)| Mark::Sign(threshold, v, LETTERS[i], theme.curve(i))));
        let title = format!("{}: rates against the threshold", label.name);
        let inner = Plot::new(title, x, [0.0, 1.0], marks).draw(above, frame.buffer_mut(), theme);
        self.drawn = Some((inner, x));

        let benefit = Benefit::new(ranked, prevalence, x);
        let beside = other.map(|other| Benefit::new(other, prevalence, x).model);
        benefit.draw(x, cursor, beside, frame, below, theme);

        if let Some(point) = label.at(threshold) {
            let source = shared.sources[shared.label].as_str();
            let mut lines = self.beside(&point, ranked, prevalence, source, theme);
            if let (Some(other), Some(pinned)) = (other, &shared.beside.pinned) {
                let m = Confusion::at(other, threshold).measures();
                lines.push(Line::raw(""));
                lines.push(Line::styled(cut(&format!("B (faint): {}", pinned.overview.name), 31), theme.dim()));
                let [sens, spec, ppv, npv, f1] = rates(&m, self.prevalence).map(number);
                lines.push(Line::styled(format!("sens {sens} spec {spec}"), theme.dim()));
                lines.push(Line::styled(format!("PPV {ppv} NPV {npv} F1 {f1}"), theme.dim()));
            }
            frame.render_widget(Paragraph::new(lines), right);
        }
    }

    /// The thresholds that are shown: all, or a part around the cursor.
    fn visible(&self, (low, high): (f64, f64), threshold: f64) -> [f64; 2] {
        let span = (high - low) * 0.5f64.powi(self.zoom as i32);
        let start = (threshold - span / 2.0).clamp(low, (high - span).max(low));
        [start, start + span.max(f64::MIN_POSITIVE)]
    }

    fn beside(
        &self,
        point: &OperatingPoint,
        ranked: &Ranked,
        prevalence: f64,
        source: &str,
        theme: &Theme,
    ) -> Vec<Line<'static>> {
        let Confusion { tp, fp, fn_, tn } = point.counts;
        let rule = if source.is_empty() { String::new() } else { format!(" ({source})") };
        let mut lines = vec![Line::styled(format!("threshold {:.5}{rule}", point.threshold), theme.bold())];
        lines.push(Line::raw(""));
        lines.push(Line::styled("truth     called +   called -", theme.bold()));
        let row = |name: &str, a: u32, sign_a: &'static str, b: u32, sign_b: &'static str| {
            Line::from(vec![
                Span::raw(format!("{name:<9}")),
                Span::raw(format!("{a:>7} ")),
                Span::styled(sign_a, Style::new().fg(if sign_a == "T" { theme.blue() } else { theme.orange() })),
                Span::raw(format!("{b:>9} ")),
                Span::styled(sign_b, Style::new().fg(if sign_b == "T" { theme.blue() } else { theme.orange() })),
            ])
        };
        lines.push(row("positive", tp, "T", fn_, "F"));
        lines.push(row("negative", fp, "F", tn, "T"));
        lines.push(Line::raw(""));
        let m = &point.measures;
        let intervals = [point.ci.sensitivity, point.ci.specificity, point.ci.ppv, point.ci.npv, None];
        for (i, value) in rates(m, self.prevalence).into_iter().enumerate() {
            // Elsewhere the predictive values are not those of the data, whose intervals these are.
            let interval = intervals[i].filter(|_| i < 2 || self.prevalence.is_none());
            let name = format!("{} {:<6}", LETTERS[i], SHORT[i]);
            lines.push(Line::from(vec![
                Span::styled(name, Style::new().fg(theme.curve(i))),
                Span::raw(with_interval(value, interval)),
            ]));
        }
        lines.push(Line::raw(format!("  acc   {}", number(m.accuracy))));
        lines.push(Line::raw(format!("  MCC   {}", number(m.mcc))));
        lines.push(Line::raw(""));
        let own = f64::from(ranked.n_pos()) / ranked.n() as f64;
        lines.push(Line::raw(format!("prevalence in the data {own:.4}")));
        if self.prevalence.is_some() {
            let moved = moved(point.threshold, own, prevalence);
            lines.push(Line::raw(format!("         where used    {prevalence:.4}")));
            lines.push(Line::raw(format!("threshold there        {moved:.4}")));
        }
        lines
    }
}

const LETTERS: [&str; 5] = ["S", "C", "P", "N", "F"];
const SHORT: [&str; 5] = ["sens", "spec", "PPV", "NPV", "F1"];

/// In the order of [`NAMES`]; the last three where `prevalence` of the patients are positive.
fn rates(m: &Measures, prevalence: Option<f64>) -> [Option<f64>; NAMES.len()] {
    let Some(prevalence) = prevalence else { return [m.sensitivity, m.specificity, m.ppv, m.npv, m.f1] };
    let (ppv, npv) = predictive_values(m, prevalence);
    let f1 = ppv.zip(m.sensitivity).filter(|(p, s)| p + s > 0.0).map(|(p, s)| 2.0 * p * s / (p + s));
    [m.sensitivity, m.specificity, ppv, npv, f1]
}

/// The thresholds at which curves are looked up.
fn steps(x: [f64; 2]) -> impl Iterator<Item = f64> {
    (0..STEPS).map(move |k| x[0] + (x[1] - x[0]) * k as f64 / (STEPS - 1) as f64)
}

/// The rates along the thresholds, in the order of [`NAMES`].
fn along(ranked: &Ranked, x: [f64; 2], prevalence: Option<f64>) -> [Vec<(f64, f64)>; NAMES.len()] {
    let mut curves: [Vec<(f64, f64)>; NAMES.len()] = Default::default();
    for t in steps(x) {
        let values = rates(&Confusion::at(ranked, t).measures(), prevalence);
        for (curve, value) in curves.iter_mut().zip(values) {
            curve.extend(value.map(|v| (t, v)));
        }
    }
    curves
}

/// The threshold on probabilities moved from prevalence `own` to `there` that calls the same rows as `threshold` does
/// on those as they are: the log-odds move by the difference of the prevalences' log-odds.
fn moved(threshold: f64, own: f64, there: f64) -> f64 {
    let called = threshold * there * (1.0 - own);
    called / (called + (1.0 - threshold) * own * (1.0 - there))
}

/// Net benefit along the visible thresholds.
struct Benefit {
    model: Vec<(f64, f64)>,
    all: Vec<(f64, f64)>,
}

impl Benefit {
    fn new(ranked: &Ranked, prevalence: f64, x: [f64; 2]) -> Self {
        let own = f64::from(ranked.n_pos()) / ranked.n() as f64;
        let (mut model, mut all) = (Vec::new(), Vec::new());
        for t in steps(x) {
            if let [found] = net_benefit_at_prevalence(ranked, &[moved(t, own, prevalence)], prevalence)[..] {
                model.push((t, found.model));
                all.push((t, found.treat_all));
            }
        }
        Self { model, all }
    }

    fn draw<'a>(
        &'a self,
        x: [f64; 2],
        cursor: impl Fn([f64; 2]) -> Mark<'a>,
        pinned: Option<Vec<(f64, f64)>>,
        frame: &mut Frame,
        area: Rect,
        theme: &Theme,
    ) {
        let highest = self.model.iter().chain(&self.all).map(|p| p.1).fold(0.01, f64::max);
        let y = [-highest / 3.0, highest];
        let mut marks = vec![cursor(y), Mark::Faint(vec![(x[0], 0.0), (x[1], 0.0)])];
        marks.extend(pinned.map(Mark::Faint));
        marks.extend([Mark::Curve(&self.all, theme.blue()), Mark::Curve(&self.model, theme.orange())]);
        Plot::new("net benefit: model, all (falling), none (0)", x, y, marks).draw(area, frame.buffer_mut(), theme);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_the_prevalence_moves_the_log_odds() {
        let logit = |p: f64| (p / (1.0 - p)).ln();
        let found = moved(0.3, 0.2, 0.02);
        assert!((logit(found) - (logit(0.3) + logit(0.02) - logit(0.2))).abs() < 1e-12);
        assert!((moved(0.3, 0.2, 0.2) - 0.3).abs() < 1e-15);
    }
}
