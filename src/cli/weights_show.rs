//! `roentgen weights show`: what a model is and what a weight file holds.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

use crate::cards::model::{ModelCard, Step};
use crate::cli::table::{Side, Table};
use crate::cli::weights::Opened;
use crate::error::{Error, Result};
use crate::models::{self, Model};

/// Side of the image that shapes are shown for where the card leaves the size to the picture.
const SIDE: usize = 224;

/// What the card says, format, naming and hash; the layers where there is a card; a row of statistics for each part of the
/// network, or for `every` tensor.
pub fn text(opened: &Opened, every: bool) -> Result<String> {
    let mut text = String::new();
    if let Some(card) = &opened.card {
        text += &facts(card);
    }
    if let Some(origin) = opened.tensors.origin() {
        text += &format!("format        {}\n", origin.format);
        // A graph that is run node by node keeps its own names.
        if origin.program.is_none() {
            text += &format!("naming        {}\n", origin.naming);
        }
        if let Some(network) = &origin.network {
            text += &format!("recognised    {}\n", network.architecture);
        }
        if let Some(program) = &origin.program {
            text += &format!("graph         {} nodes, run one by one: {}\n", program.nodes.len(), program.why);
        }
        if !origin.prefix.is_empty() {
            text += &format!("wrapped in    {}\n", origin.prefix.trim_end_matches('.'));
        }
    }
    let values: usize = opened.tensors.shapes().map(|(_, shape)| shape.iter().product::<usize>()).sum();
    text += &format!(
        "sha256        {}\nvalues        {values} in {} tensors\n",
        opened.sha256,
        opened.tensors.shapes().len()
    );
    if let Some(card) = &opened.card {
        let model = models::build(card, opened.tensors.clone(), &Device::Cpu)
            .map_err(|e| e.at(format_args!("model `{}`", card.name)))?;
        text += &format!("\n{}", layers(card, &model, opened)?);
    }
    let table = if every { tensors(opened) } else { parts(opened) };
    Ok(format!("{text}\n{table}"))
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
fn layers(card: &ModelCard, model: &Model, opened: &Opened) -> Result<String> {
    // A graph may take pictures of one size only.
    let fixed = opened.tensors.origin().and_then(|origin| *origin.program.as_ref()?.sizes.get(2)?);
    let side = card.input_size().or(fixed).unwrap_or(SIDE);
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

/// What can be said of values of any kind together.
#[derive(Default)]
struct Range {
    tensors: usize,
    values: usize,
    finite: usize,
    least: f64,
    most: f64,
}

impl Range {
    fn add(&mut self, values: &[f32]) {
        self.tensors += 1;
        self.values += values.len();
        for v in values.iter().filter(|v| v.is_finite()).map(|v| f64::from(*v)) {
            let first = self.finite == 0;
            (self.least, self.most) = if first { (v, v) } else { (self.least.min(v), self.most.max(v)) };
            self.finite += 1;
        }
    }

    fn number(&self, v: f64) -> String {
        if self.finite == 0 { "-".to_owned() } else { format!("{v:.4}") }
    }

    /// Least, most, and how many are not finite.
    fn cells(&self) -> [String; 3] {
        let rest = self.values - self.finite;
        [self.number(self.least), self.number(self.most), if rest == 0 { String::new() } else { rest.to_string() }]
    }
}

/// A row a part of the network.
fn parts(opened: &Opened) -> Table {
    let mut parts: BTreeMap<_, (&str, Range)> = BTreeMap::new();
    for (name, _, values) in opened.tensors.iter() {
        let part = part(name);
        parts.entry(natural(part)).or_insert((part, Range::default())).1.add(&values);
    }
    let mut table = Table::new(&[
        ("part", Side::Left),
        ("tensors", Side::Right),
        ("values", Side::Right),
        ("least", Side::Right),
        ("most", Side::Right),
        ("not finite", Side::Right),
    ]);
    for (part, range) in parts.values() {
        let cells = [(*part).to_owned(), range.tensors.to_string(), range.values.to_string()];
        table.row(cells.into_iter().chain(range.cells()));
    }
    table
}

/// The part of the network that a tensor is of: its name up to the first number, or without its last word.
fn part(name: &str) -> &str {
    let numbered =
        name.match_indices('.').map(|(dot, _)| &name[..dot]).find(|n| n.ends_with(|c: char| c.is_ascii_digit()));
    numbered.or_else(|| Some(name.rsplit_once('.')?.0)).unwrap_or(name)
}

/// Sorts `features.2` before `features.10`.
fn natural(name: &str) -> Vec<(&str, u64)> {
    let split = |word: &'_ str| word.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    name.split('.').map(|word| (&word[..split(word)], word[split(word)..].parse().unwrap_or(0))).collect()
}

/// A row a tensor.
fn tensors(opened: &Opened) -> Table {
    let mut table = Table::new(&[
        ("tensor", Side::Left),
        ("shape", Side::Left),
        ("mean", Side::Right),
        ("deviation", Side::Right),
        ("least", Side::Right),
        ("most", Side::Right),
        ("not finite", Side::Right),
    ]);
    for (name, shape, values) in opened.tensors.iter() {
        let mut range = Range::default();
        range.add(&values);
        let finite = || values.iter().filter(|v| v.is_finite()).map(|v| f64::from(*v));
        let mean = finite().sum::<f64>() / range.finite as f64;
        let variance = finite().map(|v| (v - mean).powi(2)).sum::<f64>() / range.finite as f64;
        let shape: Vec<_> = shape.iter().map(usize::to_string).collect();
        let cells = [name.to_owned(), shape.join("x"), range.number(mean), range.number(variance.sqrt())];
        table.row(cells.into_iter().chain(range.cells()));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_networks() {
        for (name, expected) in [
            ("features.denseblock1.denselayer3.norm1.weight", "features.denseblock1"),
            ("features.10.conv.0.0.weight", "features.10"),
            ("layer4.1.conv2.weight", "layer4"),
            ("classifier.bias", "classifier"),
            ("bias", "bias"),
        ] {
            assert_eq!(part(name), expected);
        }
        let mut names = ["features.10", "layer1", "features.2", "features.conv0"];
        names.sort_by_key(|name| natural(name));
        assert_eq!(names, ["features.2", "features.10", "features.conv0", "layer1"]);
    }
}
