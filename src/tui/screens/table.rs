//! Labels and their metrics, sortable, with all that is known of the selected one below.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};

use crate::metrics::compare::Comparison;
use crate::metrics::evaluation::{Evaluation, LabelEvaluation};
use crate::metrics::operating_point::Confusion;
use crate::tui::analysis::LabelData;
use crate::tui::keymap::Action;
use crate::tui::screens::subgroups::Subgroups;
use crate::tui::shared::Shared;
use crate::tui::widgets::text::{cut, interval, number, with_interval};

/// The panel's state.
#[derive(Default)]
pub struct TableScreen {
    sort: usize,
    reversed: bool,
    selected: TableState,
    /// The chosen label by an attribute, instead of all labels.
    pub subgroups: Subgroups,
}

/// A column: its name, its width, what stands in it, and what it is sorted by (text columns by nothing).
struct Column {
    name: &'static str,
    width: u16,
    cell: fn(&Place) -> String,
    key: fn(&Place) -> Option<f64>,
}

/// A label with its threshold and the pinned run.
struct Place<'a> {
    entry: &'a LabelEvaluation,
    rows: Option<&'a LabelData>,
    threshold: f64,
    difference: Option<Comparison>,
}

const COLUMNS: [Column; 10] = [
    Column { name: "label", width: 20, cell: |p| cut(&p.entry.label, 20), key: |_| None },
    Column { name: "n", width: 6, cell: |p| p.entry.n.to_string(), key: |p| Some(p.entry.n as f64) },
    Column { name: "pos", width: 5, cell: |p| p.entry.n_pos.to_string(), key: |p| Some(p.entry.n_pos as f64) },
    Column { name: "AUROC", width: 6, cell: |p| number(p.auroc()), key: |p| p.auroc() },
    Column {
        name: "95% CI",
        width: 11,
        cell: |p| interval(p.entry.auroc.as_ref().map(|a| &a.estimate)),
        key: |p| p.auroc(),
    },
    Column { name: "AP", width: 6, cell: |p| number(p.average_precision()), key: |p| p.average_precision() },
    Column { name: "Brier", width: 6, cell: |p| number(p.entry.brier), key: |p| p.entry.brier },
    Column { name: "ECE", width: 6, cell: |p| number(p.ece()), key: |p| p.ece() },
    Column { name: "sens", width: 6, cell: |p| number(p.rates().0), key: |p| p.rates().0 },
    Column { name: "spec", width: 6, cell: |p| number(p.rates().1), key: |p| p.rates().1 },
];

/// Instead of calibration, when another run is pinned.
const COMPARED: [Column; 2] = [
    Column { name: "less B", width: 7, cell: |p| signed(p.gap()), key: |p| p.gap() },
    Column { name: "p", width: 6, cell: |p| number(p.p_value()), key: |p| p.p_value() },
];

fn signed(value: Option<f64>) -> String {
    value.map_or("-".into(), |v| format!("{v:+.3}"))
}

impl Place<'_> {
    fn auroc(&self) -> Option<f64> {
        self.entry.auroc.as_ref().map(|a| a.estimate.value)
    }

    fn average_precision(&self) -> Option<f64> {
        self.entry.average_precision.map(|v| v.value)
    }

    fn ece(&self) -> Option<f64> {
        self.entry.ece.map(|e| e.value)
    }

    /// Sensitivity and specificity at the threshold: looked up, or stored, where the rows are not read yet.
    fn rates(&self) -> (Option<f64>, Option<f64>) {
        let measures = match self.rows {
            Some(rows) => rows.cut().map(|ranked| Confusion::at(ranked, self.threshold).measures()),
            None => self.entry.operating_points.iter().find(|p| p.threshold == self.threshold).map(|p| p.measures),
        };
        (measures.and_then(|m| m.sensitivity), measures.and_then(|m| m.specificity))
    }

    fn gap(&self) -> Option<f64> {
        self.difference.map(|d| d.difference)
    }

    fn p_value(&self) -> Option<f64> {
        self.difference.and_then(|d| d.p_value)
    }
}

impl TableScreen {
    /// Carries an action out.
    pub fn act(&mut self, action: Action, shared: &mut Shared) {
        if action == Action::Subgroups {
            return self.subgroups.turn(shared);
        }
        let columns = columns(shared.pinned.is_some()).len();
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
            Some(evaluation) => details(evaluation, shared),
            None => vec![Line::raw("evaluating ...")],
        };
        let [above, below] =
            Layout::vertical([Constraint::Min(4), Constraint::Length(details.len() as u16 + 1)]).areas(area);
        let lines = std::iter::once(Line::raw("")).chain(details).collect::<Vec<_>>();
        frame.render_widget(Paragraph::new(lines), below);
        if self.subgroups.on() && shared.analysis.is_some() {
            self.subgroups.draw(frame, above, shared);
        } else {
            self.draw_labels(frame, above, shared);
        }
    }

    fn draw_labels(&mut self, frame: &mut Frame, above: Rect, shared: &mut Shared) {
        let Some(evaluation) = &shared.evaluation else { return };
        let theme = &shared.theme;
        let mut room = above.width;
        let shown: Vec<&Column> = columns(shared.pinned.is_some())
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
            Cell::from(if i == 0 { name } else { format!("{name:>w$}", w = usize::from(c.width)) })
        });
        let rows = order.iter().map(|&i| {
            let place = shared.place(&evaluation.labels[i], i);
            let cells = shown.iter().enumerate().map(|(k, c)| {
                let cell = (c.cell)(&place);
                if k == 0 { cell } else { format!("{cell:>w$}", w = usize::from(c.width)) }
            });
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
            let column = columns(shared.pinned.is_some())[self.sort];
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

impl Shared {
    fn place<'a>(&'a self, entry: &'a LabelEvaluation, i: usize) -> Place<'a> {
        let rows = self.analysis.as_ref().and_then(|a| a.labels.get(i));
        let difference = self.differences.get(i).copied().flatten();
        Place { entry, rows, threshold: self.thresholds[i], difference }
    }
}

fn columns(compared: bool) -> Vec<&'static Column> {
    match compared {
        false => COLUMNS.iter().collect(),
        true => COLUMNS[..5].iter().chain(&COMPARED).chain(&COLUMNS[5..]).collect(),
    }
}

/// The macro average, then the selected label's operating points and remarks.
fn details(evaluation: &Evaluation, shared: &Shared) -> Vec<Line<'static>> {
    let theme = &shared.theme;
    let entry = &evaluation.labels[shared.label];
    let mean = &evaluation.macro_average;
    let auroc = mean.auroc.as_ref();
    let mut lines = vec![
        Line::styled(
            format!(
                "macro of {} labels: AUROC {} [{}], AP {}",
                mean.labels,
                number(auroc.map(|a| a.estimate.value)),
                interval(auroc.map(|a| &a.estimate)),
                number(mean.average_precision.map(|v| v.value)),
            ),
            theme.bold(),
        ),
        Line::raw(""),
        Line::styled(
            format!(
                "{:<20} {:>9}  {:<20}  {:<20} {:>5}",
                entry.label, "threshold", "sensitivity", "specificity", "PPV"
            ),
            theme.bold(),
        ),
    ];
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
