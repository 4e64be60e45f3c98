//! A label broken down by an attribute: each group's AUROC, and how far it lies from that of all other rows.

use std::sync::Arc;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Wrap};

use crate::error::Result;
use crate::labels;
use crate::metrics::breakdown::{Breakdown, LabelOfGroup, breakdown};
use crate::tui::analysis::Analysis;
use crate::tui::jobs::News;
use crate::tui::shared::Shared;
use crate::tui::widgets::text::{cut, interval, number};

/// Which attribute, and what is known of its groups.
#[derive(Default)]
pub struct Subgroups {
    /// Its place among the table's attributes.
    attribute: Option<usize>,
    asked: Option<(Arc<Analysis>, usize)>,
    shown: Option<Result<Breakdown>>,
}

impl Subgroups {
    /// Whether groups are to be shown.
    pub fn on(&self) -> bool {
        self.attribute.is_some()
    }

    /// The next attribute; after the last one none.
    pub fn turn(&mut self, shared: &mut Shared) {
        let Some(analysis) = &shared.analysis else { return };
        let count = analysis.predictions.attributes.len();
        if count == 0 {
            return shared.say("the table has no attributes, as sex, age or view, to break labels down by");
        }
        self.attribute = self.attribute.map_or(Some(0), |i| Some(i + 1)).filter(|i| *i < count);
    }

    /// Takes in what was computed.
    pub fn hear(&mut self, of: &Arc<Analysis>, attribute: usize, found: Result<Breakdown>) {
        if self.asked.as_ref().is_some_and(|(table, i)| Arc::ptr_eq(table, of) && *i == attribute) {
            self.shown = Some(found);
        }
    }

    /// Draws the chosen label's groups.
    pub fn draw(&mut self, frame: &mut Frame, area: Rect, shared: &mut Shared) {
        let (Some(i), Some(analysis)) = (self.attribute, shared.analysis.clone()) else { return };
        let Some(attribute) = analysis.predictions.attributes.get(i).map(|a| a.name.clone()) else {
            return self.attribute = None;
        };
        if self.asked.as_ref().is_none_or(|(table, asked)| !Arc::ptr_eq(table, &analysis) || *asked != i) {
            (self.asked, self.shown) = (Some((analysis.clone(), i)), None);
            let (table, name) = (analysis.clone(), attribute.clone());
            shared.jobs.start(move |_| {
                let found = breakdown(&table.predictions, &name, table.overview.policy());
                News::BrokenDown(table, i, found)
            });
        }
        let theme = &shared.theme;
        let label = analysis.label(shared.label);
        let mut lines = vec![Line::styled(format!("{label} by {attribute} (g: the next attribute)"), theme.bold())];
        match &self.shown {
            None => lines.push(Line::raw("computing ...")),
            Some(Err(e)) => lines.push(Line::raw(e.to_string())),
            Some(Ok(found)) => {
                let header = format!(
                    "{:<14} {:>6} {:>5} {:>8} {:>5} {:<11} {:>6} 95% CI",
                    "group", "n", "pos", "patients", "AUROC", "95% CI", "-rest"
                );
                lines.push(Line::styled(header, theme.bold()));
                for group in &found.groups {
                    match group.labels.iter().find(|l| labels::same(&l.label, label)) {
                        Some(of) => lines
                            .extend(row(&group.value, of).map(|(text, dim)| {
                                if dim { Line::styled(text, theme.dim()) } else { Line::raw(text) }
                            })),
                        None => lines.push(Line::raw(format!("{:<14} has no rows that count", cut(&group.value, 14)))),
                    }
                }
            }
        }
        frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), area);
    }
}

/// The numbers of a group, and what must be known about them.
fn row(value: &str, of: &LabelOfGroup) -> impl Iterator<Item = (String, bool)> {
    let s = &of.subgroup;
    let patients = s.n_patients.map_or("-".into(), |n| n.to_string());
    let auroc = s.auroc.as_ref().map(|a| &a.estimate);
    let gap = s.gap.as_ref();
    let ends = gap.and_then(|g| g.ci_low.zip(g.ci_high)).map_or(String::new(), |(l, h)| format!("{l:+.3} to {h:+.3}"));
    let text = format!(
        "{:<14} {:>6} {:>5} {patients:>8} {:>5} {:<11} {:>6} {ends}",
        cut(value, 14),
        s.n,
        s.n_pos,
        number(auroc.map(|e| e.value)),
        interval(auroc),
        gap.map_or("-".into(), |g| format!("{:+.3}", g.value)),
    );
    std::iter::once((text.trim_end().to_owned(), false)).chain(s.warning.iter().map(|w| (format!("  {w}"), true)))
}
