//! `roentgen weights show`: what a model is and what a weight file holds.

use candle_core::{DType, Device, Tensor};

use crate::cards::model::{ModelCard, Step};
use crate::cli::table::{Side, Table};
use crate::cli::weights::Opened;
use crate::error::{Error, Result};
use crate::models::{self, Model};

/// Side of the image that shapes are shown for where the card leaves the size to the picture.
const SIDE: usize = 224;

/// What the card says, format, naming and hash; the layers where there is a card; a row of statistics a tensor.
pub fn text(opened: &Opened) -> Result<String> {
    let mut text = String::new();
    if let Some(card) = &opened.card {
        text += &facts(card);
    }
    if let Some(origin) = opened.tensors.origin() {
        text += &format!("format        {}\nnaming        {}\n", origin.format, origin.naming);
        if let Some(network) = &origin.network {
            text += &format!("recognised    {}\n", network.architecture);
        }
        if !origin.prefix.is_empty() {
            text += &format!("wrapped in    {}\n", origin.prefix.trim_end_matches('.'));
        }
    }
    let (table, values) = statistics(opened);
    text += &format!(
        "sha256        {}\nvalues        {values} in {} tensors\n",
        opened.sha256,
        opened.tensors.shapes().len()
    );
    if let Some(card) = &opened.card {
        let model = models::build(card, opened.tensors.clone(), &Device::Cpu)
            .map_err(|e| e.at(format_args!("model `{}`", card.name)))?;
        text += &format!("\n{}", layers(card, &model)?);
    }
    Ok(text + "\n" + &table)
}

/// What the card says, a line each.
fn facts(card: &ModelCard) -> String {
    let mut facts = vec![
        ("model", card.name.clone()),
        ("architecture", card.architecture.to_string()),
        ("labels", card.labels.join(", ")),
        ("output", format!("{:?}", card.output).to_lowercase()),
        ("licence", card.licence.clone()),
    ];
    facts.extend(card.source.clone().map(|source| ("source", source)));
    let channels = card.input.channels;
    facts.push(("input", format!("{channels} channel{}", if channels == 1 { "" } else { "s" })));
    facts.extend(card.input.steps.iter().map(|s| ("", step(s))));
    facts.iter().map(|(name, value)| format!("{name:<13} {value}\n")).collect()
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

/// A row a tensor, and how many values there are in all.
fn statistics(opened: &Opened) -> (String, usize) {
    let mut table = Table::new(&[
        ("tensor", Side::Left),
        ("shape", Side::Left),
        ("mean", Side::Right),
        ("deviation", Side::Right),
        ("least", Side::Right),
        ("most", Side::Right),
        ("not finite", Side::Right),
    ]);
    let mut all = 0;
    for (name, shape, values) in opened.tensors.iter() {
        all += values.len();
        let finite = || values.iter().filter(|v| v.is_finite()).map(|v| f64::from(*v));
        let n = finite().count();
        let mean = finite().sum::<f64>() / n as f64;
        let variance = finite().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
        let number = |v: f64| if n == 0 { "-".to_owned() } else { format!("{v:.4}") };
        let shape: Vec<_> = shape.iter().map(usize::to_string).collect();
        table.row([
            name.to_owned(),
            shape.join("x"),
            number(mean),
            number(variance.sqrt()),
            number(finite().fold(f64::INFINITY, f64::min)),
            number(finite().fold(f64::NEG_INFINITY, f64::max)),
            if n == values.len() { String::new() } else { (values.len() - n).to_string() },
        ]);
    }
    (table.to_string(), all)
}
