//! `roentgen weights`: the bundled model cards, what is in a model, and the reference statistics of a card.

use candle_core::{DType, Device, Tensor};

use crate::audit::preflight;
use crate::cards::catalogue;
use crate::cards::model::{ModelCard, Reference, Step};
use crate::cli::preflight::facts;
use crate::cli::table::{Side, Table};
use crate::cli::{args, print};
use crate::data::{self, Dataset};
use crate::error::{Error, Result};
use crate::models::{self, Model};

/// Carries the verb out.
pub fn run(verb: &args::Weights) -> Result<()> {
    match verb {
        args::Weights::List => list(),
        args::Weights::Show { card } => show(card),
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

/// Side of the image that shapes are shown for where the card leaves the size to the picture.
const SIDE: usize = 224;

fn show(spec: &str) -> Result<()> {
    let (card, home) = catalogue::model(spec)?;
    let (model, sha256) = models::load(&card, &home, &Device::Cpu)?;
    let mut facts = vec![
        ("model", card.name.clone()),
        ("architecture", card.architecture.to_string()),
        ("labels", card.labels.join(", ")),
        ("output", format!("{:?}", card.output).to_lowercase()),
        ("licence", card.licence.clone()),
    ];
    facts.extend(card.source.clone().map(|source| ("source", source)));
    facts.push(("weights", format!("sha256 {sha256}")));
    let channels = card.input.channels;
    facts.push(("input", format!("{channels} channel{}", if channels == 1 { "" } else { "s" })));
    facts.extend(card.input.steps.iter().map(|s| ("", step(s))));
    let lines: String = facts.iter().map(|(name, value)| format!("{name:<13} {value}\n")).collect();
    print(&format!("{lines}\n{}", layers(&card, &model)?))
}

/// The layers and the shapes of their maps.
fn layers(card: &ModelCard, model: &Model) -> Result<String> {
    let side = card.input_size().unwrap_or(SIDE);
    let fault = |e: candle_core::Error| Error::new(e.to_string()).at("the layers' shapes");
    let x = Tensor::zeros((1, card.input.channels, side, side), DType::F32, &Device::Cpu).map_err(fault)?;
    let shape = format!("maps of {side} x {side} pixels");
    let mut table =
        Table::new(&[("layer (--layer)", Side::Left), (shape.as_str(), Side::Left), ("also named", Side::Left)]);
    for layer in model.layers() {
        let (channels, height, width) = model.layer_gradients(&x, &layer, &[])?.shape;
        table.row([layer.name, format!("{channels} x {height} x {width}"), layer.aliases.join(", ")]);
    }
    Ok(table.to_string())
}

/// A step of preprocessing as its card has it.
fn step(step: &Step) -> String {
    toml::to_string(step).map_or_else(|_| format!("{step:?}"), |text| text.trim_end().replace('\n', ", "))
}

/// Prints the table that goes into the model card.
fn reference(model: &str, dataset: &Dataset, pictures: usize) -> Result<()> {
    #[derive(serde::Serialize)]
    struct Part {
        reference: Reference,
    }
    let (card, home) = catalogue::model(model)?;
    let (network, _) = models::load(&card, &home, &Device::Cpu)?;
    let sample = facts(&card, Some(&network), dataset, pictures)?;
    let text = toml::to_string(&Part { reference: preflight::reference(&sample) });
    print(&text.map_err(|e| Error::new(e.to_string()))?)
}
