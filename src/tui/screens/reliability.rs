//! Are the probabilities true? The reliability diagram, before and after calibration.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use crate::error::{Error, Result};
use crate::metrics::calibration::{Bin, Forecast, debiased_ece, ece, mce};
use crate::metrics::calibrator::Calibrator;
use crate::metrics::roc::Ranked;
use crate::metrics::smooth_ece::smece;
use crate::tui::analysis::LabelData;
use crate::tui::shared::Shared;
use crate::tui::keymap::Action;
use crate::tui::theme::Theme;
use crate::tui::widgets::plot::{Mark, Plot};
use crate::tui::widgets::text::cut;

/// Numbers of bins to choose from.
const BINS: [u16; 4] = [15, 10, 20, 30];

/// How probabilities are mended before they are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mended {
    Not,
    Temperature,
    Platt,
    Isotonic,
}

/// The panel's state.
pub struct ReliabilityScreen {
    bins: usize,
    equal_count: bool,
    mended: Mended,
    /// What is drawn, and of what.
    shown: Option<(Of, Result<Shown>)>,
}

/// Label, bins, binning and calibration that something was computed for.
type Of = (usize, usize, bool, Mended);

/// What is drawn.
struct Shown {
    bins: Vec<Bin>,
    before: Numbers,
    after: Option<Numbers>,
}

struct Numbers {
    ece: f64,
    debiased: f64,
    smooth: f64,
    mce: f64,
    brier: f64,
    log_loss: f64,
}

impl Default for ReliabilityScreen {
    fn default() -> Self {
        Self { bins: 0, equal_count: false, mended: Mended::Not, shown: None }
    }
}

impl ReliabilityScreen {
    /// Carries an action out.
    pub fn act(&mut self, action: Action, shared: &mut Shared) {
        match action {
            Action::Bins => self.bins = (self.bins + 1) % BINS.len(),
            Action::Binning => self.equal_count = !self.equal_count,
            Action::Calibrate => {
                self.mended = match self.mended {
                    Mended::Not => Mended::Temperature,
                    Mended::Temperature => Mended::Platt,
                    Mended::Platt => Mended::Isotonic,
                    Mended::Isotonic => Mended::Not,
                }
            }
            _ => shared.move_label(action),
        }
    }

    /// Forgets what was computed: there is another table.
    pub fn forget(&mut self) {
        self.shown = None;
    }

    /// Draws the panel.
    pub fn draw(&mut self, frame: &mut Frame, area: Rect, shared: &mut Shared) {
        let Some(analysis) = &shared.analysis else { return };
        let theme = &shared.theme;
        let of = (shared.label, self.bins, self.equal_count, self.mended);
        if self.shown.as_ref().is_none_or(|(shown, _)| *shown != of) {
            let label = &analysis.labels[shared.label];
            // Smooth ECE knows no bins, and is the dearest.
            let smooth = match &self.shown {
                Some((before, Ok(shown))) if (before.0, before.3) == (of.0, of.3) => {
                    Some((shown.before.smooth, shown.after.as_ref().map(|n| n.smooth)))
                }
                _ => None,
            };
            self.shown = Some((of, look(label, BINS[self.bins], self.equal_count, self.mended, smooth)));
        }
        let shown = match &self.shown {
            Some((_, Ok(shown))) => shown,
            Some((_, Err(e))) => {
                let text = format!("{}: {e}", analysis.label(shared.label));
                let lines = Paragraph::new(text).wrap(ratatui::widgets::Wrap { trim: true });
                return frame.render_widget(lines, area);
            }
            None => return,
        };
        let [left, right] = Layout::horizontal([Constraint::Min(40), Constraint::Length(30)]).spacing(1).areas(area);
        let [above, below] = Layout::vertical([Constraint::Fill(3), Constraint::Fill(1)]).areas(left);
        let title = format!("{}: positives against probability", analysis.label(shared.label));
        Plot { title, x: [0.0, 1.0], y: [0.0, 1.0], marks: diagram(&shown.bins, theme) }.draw(
            above,
            frame.buffer_mut(),
            theme,
        );
        let counts: Vec<(f64, f64)> = shown.bins.iter().map(|b| (b.mean, (b.n as f64).log10())).collect();
        let most = counts.iter().map(|c| c.1).fold(1.0, f64::max).ceil();
        let bars = counts.iter().map(|&(x, y)| Mark::Segment((x, 0.0), (x, y), theme.curve(5))).collect();
        let title = "rows in each bin (log 10)".into();
        Plot { title, x: [0.0, 1.0], y: [0.0, most], marks: bars }.draw(below, frame.buffer_mut(), theme);
        frame.render_widget(Paragraph::new(self.beside(shown, right.height, theme)), right);
    }

    fn beside(&self, shown: &Shown, height: u16, theme: &Theme) -> Vec<Line<'static>> {
        let way = if self.equal_count { "of equal count" } else { "of equal width" };
        let (head, after) = match (&shown.after, self.mended) {
            (Some(after), Mended::Temperature) => ("temperature", Some(after)),
            (Some(after), Mended::Platt) => ("Platt", Some(after)),
            (Some(after), Mended::Isotonic) => ("isotonic", Some(after)),
            _ => ("", None),
        };
        let row = |name: &str, of: fn(&Numbers) -> f64| {
            let after = after.map_or(String::new(), |a| format!("{:>11.4}", of(a)));
            Line::raw(format!("{name:<10}{:>8.4}{after}", of(&shown.before)))
        };
        let mut lines = vec![
            Line::styled(format!("{} bins {way}", BINS[self.bins]), theme.bold()),
            Line::raw(""),
            Line::styled(format!("{:<10}{:>8}{head:>11}", "", "as it is"), theme.bold()),
            row("ECE", |n| n.ece),
            row("less bias", |n| n.debiased),
            row("smECE", |n| n.smooth),
            row("MCE", |n| n.mce),
            row("Brier", |n| n.brier),
            row("log loss", |n| n.log_loss),
            Line::raw(""),
        ];
        if after.is_some() {
            lines.push(Line::styled("each half of the patients by", theme.dim()));
            lines.push(Line::styled("the map fitted on the other", theme.dim()));
            lines.push(Line::raw(""));
        }
        lines.push(Line::styled("  p mean  share        rows", theme.bold()));
        let room = usize::from(height).saturating_sub(lines.len());
        lines.extend(
            shown
                .bins
                .iter()
                .take(room)
                .map(|b| Line::raw(cut(&format!("{:>8.3} {:>6.3} {:>5}/{:<6}", b.mean, b.observed, b.n_pos, b.n), 30))),
        );
        lines
    }
}

fn diagram<'a>(bins: &[Bin], theme: &Theme) -> Vec<Mark<'a>> {
    let mut marks = vec![Mark::Faint(vec![(0.0, 0.0), (1.0, 1.0)])];
    marks.extend(bins.iter().map(|b| Mark::Segment((b.mean, b.ci_low), (b.mean, b.ci_high), theme.blue())));
    let point = |b: &Bin| Mark::Sign(b.mean, b.observed, theme.sign("●", "o"), theme.orange());
    marks.extend(bins.iter().map(point));
    marks
}

/// Bins and numbers of a label, with the smooth ECEs before and after that are known already. Errors where the scores are
/// no probabilities or no map can be fitted.
fn look(
    label: &LabelData,
    bins: u16,
    equal_count: bool,
    mended: Mended,
    smooth: Option<(f64, Option<f64>)>,
) -> Result<Shown> {
    let before = Forecast::new(&label.y, &label.p)?;
    let binned = |p: &[f64], smooth: Option<f64>| -> Result<(Vec<Bin>, Numbers)> {
        let forecast = Forecast::new(&label.y, p)?;
        let bins = match equal_count {
            true => forecast.equal_count(&Ranked::new(&label.y, p)?, bins),
            false => forecast.equal_width(bins),
        };
        let numbers = Numbers {
            ece: ece(&bins),
            debiased: debiased_ece(&bins),
            smooth: smooth.unwrap_or_else(|| smece(&forecast)),
            mce: mce(&bins),
            brier: forecast.brier(),
            log_loss: forecast.log_loss(),
        };
        Ok((bins, numbers))
    };
    let (plain, numbers) = binned(before.p(), smooth.map(|s| s.0))?;
    if mended == Mended::Not {
        return Ok(Shown { bins: plain, before: numbers, after: None });
    }
    let (bins, after) = binned(&crossed(label, mended)?, smooth.and_then(|s| s.1))?;
    Ok(Shown { bins, before: numbers, after: Some(after) })
}

/// The probabilities of each half of the patients (even and odd numbers) by the map fitted on the other half: what
/// calibration would do on new patients, without rows set apart for it.
fn crossed(label: &LabelData, mended: Mended) -> Result<Vec<f64>> {
    let half = |row: usize| label.patients.as_ref().map_or(row as u32, |ids| ids[row]) % 2;
    let mut calibrated = label.p.clone();
    for fitted in [0, 1] {
        let rows: Vec<usize> = (0..label.p.len()).filter(|&row| half(row) == fitted).collect();
        let y: Vec<bool> = rows.iter().map(|&row| label.y[row]).collect();
        let p: Vec<f64> = rows.iter().map(|&row| label.p[row]).collect();
        let forecast = Forecast::new(&y, &p)?;
        let map = match mended {
            Mended::Temperature | Mended::Not => Calibrator::fit_temperature(&forecast),
            Mended::Platt => Calibrator::fit_platt(&forecast)?,
            Mended::Isotonic => Calibrator::fit_isotonic(&Ranked::new(&y, &p)?),
        };
        for row in (0..label.p.len()).filter(|&row| half(row) != fitted) {
            calibrated[row] = map.apply(label.p[row]);
        }
    }
    match calibrated.iter().all(|p| (0.0..=1.0).contains(p)) {
        true => Ok(calibrated),
        false => Err(Error::new("the fitted map gives no probabilities")),
    }
}
