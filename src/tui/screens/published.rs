//! The opened table beside a published one: what is printed of the chosen label, what stands here, and the verdicts.

use ratatui::text::Line;

use crate::audit::reproduction::{Item, Reproduction};
use crate::cards::published::Metric;
use crate::labels;
use crate::tui::beside::Published;
use crate::tui::theme::Theme;
use crate::tui::widgets::text::{cut, signed, wrapped};

/// Lines of why nothing is comparable, at most.
const REASONS: usize = 3;

/// Panels at least so high also say what was compared to know whether the comparison is fair.
const ROOMY: u16 = 30;

/// All that is said of the chosen `label` on a panel of this `size` (columns, rows).
pub fn lines(published: &Published, label: &str, size: (u16, u16), theme: &Theme) -> Vec<Line<'static>> {
    let width = usize::from(size.0);
    let mut lines = vec![Line::styled(cut(&format!("P: {}", published.table.title()), width), theme.bold())];
    let told = |text: &str| wrapped(text, width).into_iter().map(Line::raw).collect::<Vec<_>>();
    match &published.found {
        None => lines.push(Line::raw("comparing ...")),
        Some(Err(e)) => lines.extend(told(&e.to_string())),
        Some(Ok(found)) => {
            lines.extend(told(&found.summary()));
            if !found.not_comparable.is_empty() {
                let why = format!("NOT COMPARABLE: {}", found.not_comparable.join("; "));
                let dim = |text| Line::styled(text, theme.dim());
                lines.extend(wrapped(&why, width).into_iter().take(REASONS).map(dim));
            }
            lines.push(Line::raw(""));
            let header = format!(
                "{:<22} {:>9} {:>7} {:>7} {:<16} verdict",
                cut(label, 22),
                "printed",
                "here",
                "less P",
                "95% CI"
            );
            lines.push(Line::styled(header, theme.bold()));
            let items = found.macro_average.iter().chain(published.items(label));
            lines.extend(items.map(|item| row(item, width)));
            lines.extend(remarks(found, label).iter().flat_map(|text| told(text)));
            if size.1 >= ROOMY {
                lines.push(Line::raw(""));
                let fairness =
                    found.fairness.iter().map(|f| format!("{}: {} ({})", f.what, f.status.words(), f.detail));
                let told = fairness.chain(found.notes.iter().map(|note| format!("note: {note}")));
                let told = told.flat_map(|text| wrapped(&text, width));
                lines.extend(told.map(|text| Line::styled(text, theme.dim())));
            }
        }
    }
    lines
}

fn row(item: &Item, width: usize) -> Line<'static> {
    let name = match item.label.as_str() {
        "macro" => "macro AUROC".to_owned(),
        _ => item.metric.to_string(),
    };
    let ci = item.judgement.as_ref().map_or("-".into(), |j| format!("{:+.3} to {:+.3}", j.ci[0], j.ci[1]));
    let text = format!(
        "  {:<20} {:>9} {:>7.4} {:>7} {ci:<16} {}",
        name.replace('_', " ").replace("auroc", "AUROC"),
        cut(&item.printed, 9),
        item.ours,
        signed(Some(item.difference)),
        item.verdict.words(),
    );
    Line::raw(cut(&text, width))
}

/// Why values of the label, or the mean, have no verdict or no row.
fn remarks(found: &Reproduction, label: &str) -> Vec<String> {
    let all = found.not_comparable.join("; ");
    let about = |name: &str| name == "macro" || labels::same(name, label);
    let items = found.macro_average.iter().chain(&found.labels).filter(|i| about(&i.label));
    let mut reasons: Vec<String> = items.filter_map(|i| i.reason.clone()).filter(|reason| *reason != all).collect();
    reasons.dedup();
    let left_out = found.left_out.iter().filter(|l| about(&l.label)).map(|l| match l.metric {
        Some(metric) => format!("{metric} not compared: {}", l.reason),
        None => format!("not compared: {}", l.reason),
    });
    reasons.into_iter().chain(left_out).collect()
}

/// How the label's AUROC compares; `None` where the table prints none.
pub fn auroc<'a>(published: &'a Published, label: &'a str) -> Option<&'a Item> {
    published.items(label).find(|item| item.metric == Metric::Auroc)
}
