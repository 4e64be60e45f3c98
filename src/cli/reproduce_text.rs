//! A reproduction as a text for people and as Markdown.

use crate::audit::reproduction::{Item, Reproduction};
use crate::cards::published::Metric;
use crate::cli::table::{Side, Table};

/// The table of the terminal.
pub fn text(found: &Reproduction) -> String {
    let header = COLUMNS.map(|c| (c, if matches!(c, "label" | "verdict") { Side::Left } else { Side::Right }));
    let mut table = Table::new(&header);
    items(found).for_each(|item| table.row(cells(item)));
    let mut text = format!("{}\n{}\n\n", head(found), fairness(found).join("\n"));
    if !found.not_comparable.is_empty() {
        text += &format!("{}\n\n", not_comparable(found));
    }
    text += &format!("{table}\n{}\n", found.summary());
    remarks(found).iter().for_each(|remark| text += &format!("{remark}\n"));
    text
}

/// The same for a document.
pub fn markdown(found: &Reproduction) -> String {
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | ").replace('_', "\\_"));
    let mut text = format!("## {}\n\n", head(found));
    fairness(found).iter().for_each(|line| text += &format!("- {}\n", line.trim()));
    if !found.not_comparable.is_empty() {
        text += &format!("\n**{}**\n", not_comparable(found));
    }
    text += "\n";
    text += &row(&COLUMNS.map(String::from));
    text += &row(&COLUMNS.map(|c| if matches!(c, "label" | "verdict") { "---".into() } else { "---:".into() }));
    items(found).for_each(|item| text += &row(&cells(item)));
    text += &format!("\n{}\n", found.summary());
    remarks(found).iter().for_each(|remark| text += &format!("\n{remark}\n"));
    text
}

const COLUMNS: [&str; 9] =
    ["label", "printed", "here", "difference", "95% CI", "Holm's CI", "delta", "shown within", "verdict"];

/// The mean first, the labels after.
fn items(found: &Reproduction) -> impl Iterator<Item = &Item> {
    found.macro_average.iter().chain(&found.labels)
}

fn cells(item: &Item) -> [String; 9] {
    let label = match item.metric {
        Metric::Auroc => item.label.clone(),
        metric => format!("{} {metric}", item.label),
    };
    let interval = |ci: Option<[f64; 2]>| ci.map_or("-".into(), |[low, high]| format!("{low:+.4} to {high:+.4}"));
    let judged = item.judgement.as_ref();
    [
        label,
        short(&item.printed),
        format!("{:.4}", item.ours),
        match item.difference.abs() {
            0.0 => "0".into(),
            d if d < 5e-5 => format!("{:+.0e}", item.difference),
            _ => format!("{:+.4}", item.difference),
        },
        interval(judged.map(|j| j.ci)),
        interval(judged.map(|j| j.ci_holm)),
        format!("{:.4}", item.delta),
        judged.map_or("-".into(), |j| format!("{:.4}", j.smallest_margin)),
        item.verdict.words().into(),
    ]
}

/// Unrounded numbers by their first decimals.
fn short(printed: &str) -> String {
    match printed.char_indices().nth(8) {
        Some((end, _)) => format!("{}..", &printed[..end]),
        None => printed.into(),
    }
}

fn head(found: &Reproduction) -> String {
    let patients = found.n_patients.map_or(String::new(), |n| format!(" of {n} patients"));
    format!("{} against predictions of {} images{patients}", found.title, found.n_images)
}

fn fairness(found: &Reproduction) -> Vec<String> {
    found.fairness.iter().map(|f| format!("  {}: {} ({})", f.what, f.status.words(), f.detail)).collect()
}

fn not_comparable(found: &Reproduction) -> String {
    format!("NOT COMPARABLE: {}", found.not_comparable.join("; "))
}

fn remarks(found: &Reproduction) -> Vec<String> {
    let table_reason = found.not_comparable.join("; ");
    let own = items(found).filter_map(|i| Some((i, i.reason.as_ref()?))).filter(|(_, reason)| **reason != table_reason);
    let own = own.map(|(item, reason)| format!("{}: {reason}", item.label));
    let left_out = found.left_out.iter().map(ToString::to_string);
    let notes = found.notes.iter().map(|note| format!("note: {note}"));
    own.chain(left_out).chain(notes).collect()
}
