//! `roentgen datasets`: the cards, and whether a copy of the data fits them.

use std::collections::HashSet;
use std::path::Path;

use crate::cards::catalogue;
use crate::cards::dataset::WHOLE;
use crate::cli::table::{Side, Table};
use crate::cli::{args, leakage, note, print};
use crate::data::{self, Dataset};
use crate::error::Result;
use crate::predictions::Truth;

/// Carries the verb out.
pub fn run(verb: &args::Datasets) -> Result<()> {
    match verb {
        args::Datasets::List => list(),
        args::Datasets::Show { card } => print(&catalogue::dataset_text(card)?),
        args::Datasets::Check { card, root, split } => check(card, root.as_deref(), split.as_deref()),
        args::Datasets::Leakage(args) => leakage::run(args),
    }
}

fn list() -> Result<()> {
    let mut table = Table::new(&[
        ("dataset", Side::Left),
        ("labels", Side::Right),
        ("images by split", Side::Left),
        ("licence", Side::Left),
    ]);
    for name in catalogue::dataset_names() {
        let card = catalogue::dataset(name)?;
        let counts = card.expected.iter().map(|(split, counts)| match split.as_str() {
            WHOLE => counts.images.to_string(),
            _ => format!("{split} {}", counts.images),
        });
        let counts = counts.collect::<Vec<_>>().join(", ");
        table.row([card.name, card.labels.len().to_string(), counts, card.licence]);
    }
    print(&table.to_string())
}

fn check(card: &str, root: Option<&Path>, split: Option<&str>) -> Result<()> {
    let dataset = data::load(&catalogue::dataset(card)?, root, split)?;
    dataset.notes.iter().for_each(|n| note(n));
    print(&overview(&dataset))
}

/// Images and patients, and how often each label has each truth.
fn overview(dataset: &Dataset) -> String {
    let mut text = format!("{}: {} images", dataset.name, dataset.samples.len());
    let patients: HashSet<_> = dataset.samples.iter().filter_map(|s| s.patient.as_deref()).collect();
    if !patients.is_empty() {
        text += &format!(" of {} patients", patients.len());
    }
    let kinds = [
        ("positive", Truth::Positive),
        ("negative", Truth::Negative),
        ("uncertain", Truth::Uncertain),
        ("not mentioned", Truth::Unmentioned),
    ];
    let mut header = vec![("label", Side::Left)];
    header.extend(kinds.map(|(name, _)| (name, Side::Right)));
    let mut table = Table::new(&header);
    for (i, label) in dataset.labels.iter().enumerate() {
        let count = |truth| dataset.samples.iter().filter(|s| s.truths[i] == truth).count().to_string();
        table.row(std::iter::once(label.clone()).chain(kinds.map(|(_, truth)| count(truth))));
    }
    format!("{text}\n\n{table}")
}
