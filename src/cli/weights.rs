//! `roentgen weights`: the bundled model cards, and the reference statistics of a card.

use crate::audit::preflight;
use crate::cards::catalogue;
use crate::cards::model::Reference;
use crate::cli::preflight::facts;
use crate::cli::table::{Side, Table};
use crate::cli::{args, print};
use crate::data::{self, Dataset};
use crate::error::{Error, Result};
use crate::models;

/// Carries the verb out.
pub fn run(verb: &args::Weights) -> Result<()> {
    match verb {
        args::Weights::List => list(),
        args::Weights::Reference { model, data, root, split, pictures } => {
            let dataset = data::load(&catalogue::dataset(data)?, root.as_deref(), split.as_deref())?;
            reference(model, &dataset, *pictures)
        }
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

/// Prints the table that goes into the model card.
fn reference(model: &str, dataset: &Dataset, pictures: usize) -> Result<()> {
    #[derive(serde::Serialize)]
    struct Part {
        reference: Reference,
    }
    let (card, home) = catalogue::model(model)?;
    let (network, _) = models::load(&card, &home, &candle_core::Device::Cpu)?;
    let sample = facts(&card, Some(&network), dataset, pictures)?;
    let text = toml::to_string(&Part { reference: preflight::reference(&sample) });
    print(&text.map_err(|e| Error::new(e.to_string()))?)
}
