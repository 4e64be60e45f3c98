//! Labels and their metrics, sortable, with all that is known of the selected one below.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};

use crate::metrics::evaluation::Evaluation;
use crate::tui::keymap::Action;
use crate::tui::screens::columns::{Column, columns};
use crate::tui::screens::published;
use crate::tui::screens::subgroups::Subgroups;
use crate::tui::shared::Shared;
use crate::tui::widgets::text::{interval, number, with_interval, wrapped};

/// The panel's state.
#[derive(Default)]
pub struct TableScreen {
    sort: usize,
    reversed: bool,
    selected: TableState,
    /// The chosen label by an attribute, instead of all labels.
    pub subgroups: Subgroups,
}

impl TableScreen {
    /// Carries an action out.
    pub fn act(&mut self, action: Action, shared: &mut Shared) {
        if action == Action::Subgroups {
            return self.subgroups.turn(shared);
        }
        let columns = columns(shared).len();
        let Some(evaluation) = &shared.evaluation else { return };
        let order = self.order(evaluation, shared);
        let at = order.iter().position(|&i| i == shared.label).unwrap_or(0);
        let last = order.len().saturating_sub(1);
        let to = match action {
            Action::Left => return self.sort = self.sort.saturating_sub(1),
            Action::Right => return self.sort = (self.sort + 1).min(columns - 1),
            Action::Reverse => return self.reversed = !self.reversed,
            Action::Up => at.saturating_sub(1),
            Action::Down => at + 1,
            Action::PageUp => at.saturating_sub(10),
            Action::PageDown => at + 10,
            Action::First => 0,
            Action::Last => last,
            _ => return,
        };
        shared.label = order.get(to.min(last)).copied().unwrap_or(0);
    }

    /// Draws the panel.
    pub fn draw(&mut self, frame: &mut Frame, area: Rect, shared: &mut Shared) {
        let details = match &shared.evaluation {
            Some(evaluation) => details(evaluation, area, shared),
            None => vec![Line::raw("evaluating ...")],
        };
        let grouped = self.subgroups.on() && shared.analysis.is_some();
        // The details follow the last label, or stand at the foot.
        let needed = if grouped { usize::MAX } else { shared.thresholds.len() + 1 };
        let room = usize::from(area.height).saturating_sub(details.len() + 1).max(4);
        let [above, below] =
            Layout::vertical([Constraint::Length(needed.min(room) as u16), Constraint::Min(0)]).areas(area);
        let lines = std::iter::once(Line::raw("")).chain(details).collect::<Vec<_>>();
        frame.render_widget(Paragraph::new(lines), below);
        if grouped {
            self.subgroups.draw(frame, above, shared);
        } else {
            self.draw_labels(frame, above, shared);
        }
    }

    fn draw_labels(&mut self, frame: &mut Frame, above: Rect, shared: &mut Shared) {
        let Some(evaluation) = &shared.evaluation else { return };
        let theme = &shared.theme;
        let mut room = above.width;
        let shown: Vec<&Column> = columns(shared)
            .into_iter()
            .take_while(|c| {
                let fits = room >= c.width;
                room = room.saturating_sub(c.width + 1);
                fits
            })
            .collect();
        self.sort = self.sort.min(shown.len() - 1);
        let order = self.order(evaluation, shared);
        let header = shown.iter().enumerate().map(|(i, c)| {
            let sign = match (i == self.sort, self.reversed) {
                (false, _) => "",
                (true, false) => theme.sign("▾", "v"),
                (true, true) => theme.sign("▴", "^"),
            };
            let name = format!("{}{sign}", c.name);
            Cell::from(c.aligned(&name))
        });
        let rows = order.iter().map(|&i| {
            let place = shared.place(&evaluation.labels[i], i);
            let cells = shown.iter().map(|c| c.aligned(&(c.cell)(&place)));
            Row::new(cells.map(Cell::from).collect::<Vec<_>>())
        });
        self.selected.select(order.iter().position(|&i| i == shared.label));
        let table = Table::new(rows, shown.iter().map(|c| Constraint::Length(c.width)))
            .header(Row::new(header).style(theme.bold()))
            .row_highlight_style(theme.selected())
            .column_spacing(1);
        frame.render_stateful_widget(table, above, &mut self.selected);
        let first = self.selected.offset();
        let rows = (above.y + 1..above.bottom()).zip(order.into_iter().skip(first));
        shared.zones.extend(rows.map(|(y, i)| (Rect { y, height: 1, ..above }, i)));
    }

    /// The labels as the panel lists them.
    fn order(&self, evaluation: &Evaluation, shared: &Shared) -> Vec<usize> {
        let mut order: Vec<usize> = (0..evaluation.labels.len()).collect();
        if self.sort > 0 {
            let column = columns(shared)[self.sort];
            let keys: Vec<Option<f64>> =
                order.iter().map(|&i| (column.key)(&shared.place(&evaluation.labels[i], i))).collect();
            // The highest first; what has no value last, whichever way round.
            order.sort_by(|&a, &b| match (keys[a], keys[b]) {
                (Some(a), Some(b)) if self.reversed => a.total_cmp(&b),
                (Some(a), Some(b)) => b.total_cmp(&a),
                (a, b) => b.is_some().cmp(&a.is_some()),
            });
        } else if self.reversed {
            order.sort_by_key(|&i| std::cmp::Reverse(i));
        }
        order
    }
}

/// The macro average and what is probably wrong, then the selected label's operating points and remarks, or how it compares
/// with the published table.
fn details(evaluation: &Evaluation, area: Rect, shared: &Shared) -> Vec<Line<'static>> {
    let theme = &shared.theme;
    let entry = &evaluation.labels[shared.label];
    let mean = &evaluation.macro_average;
    let auroc = mean.auroc.as_ref();
    let mut lines = vec![Line::styled(
        format!(
            "macro of {} labels: AUROC {} [{}], AP {}",
            mean.labels,
            number(auroc.map(|a| a.estimate.value)),
            interval(auroc.map(|a| &a.estimate)),
            number(mean.average_precision.map(|v| v.value)),
        ),
        theme.bold(),
    )];
    let warned =
        shared.warnings.iter().flatten().flat_map(|w| wrapped(&format!("check: {w}"), usize::from(area.width)));
    lines.extend(warned.map(|text| Line::styled(text, Style::new().fg(theme.orange()))));
    lines.push(Line::raw(""));
    if let Some(published) = &shared.beside.published {
        lines.extend(published::lines(published, &entry.label, (area.width, area.height), theme));
        return lines;
    }
    lines.push(Line::styled(
        format!("{:<20} {:>9}  {:<20}  {:<20} {:>5}", entry.label, "threshold", "sensitivity", "specificity", "PPV"),
        theme.bold(),
    ));
    for point in &entry.operating_points {
        let rule = match point.target {
            Some(target) => format!("{} {target}", point.rule),
            None => point.rule.to_owned(),
        };
        lines.push(Line::raw(format!(
            "  {rule:<18} {:>9.4}  {:<20}  {:<20} {:>5}",
            point.threshold,
            with_interval(point.measures.sensitivity, point.ci.sensitivity),
            with_interval(point.measures.specificity, point.ci.specificity),
            number(point.measures.ppv),
        )));
    }
    let warned = entry.auroc.as_ref().and_then(|a| a.warning.as_ref());
    let remarks = [entry.not_evaluable.as_ref(), entry.calibration_refused.as_ref(), warned];
    lines.extend(remarks.into_iter().flatten().map(|r| Line::styled(r.clone(), theme.dim())));
    lines
}
