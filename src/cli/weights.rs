//! `roentgen weights`: the bundled model cards.

use crate::cards::catalogue;
use crate::cli::table::{Side, Table};
use crate::cli::{args, print};
use crate::error::Result;

/// Carries the verb out.
pub fn run(verb: &args::Weights) -> Result<()> {
    match verb {
        args::Weights::List => list(),
    }
}

fn list() -> Result<()> {
    let mut table = Table::new(&[
        ("model", Side::Left),
        ("architecture", Side::Left),
        ("labels", Side::Left),
        ("licence", Side::Left),
    ]);
    for name in catalogue::model_names() {
        let (card, _) = catalogue::model(name)?;
        table.row([card.name, card.architecture.to_string(), card.labels.join(", "), card.licence]);
    }
    print(&table.to_string())
}
