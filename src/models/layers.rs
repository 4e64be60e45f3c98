//! The layers at which a network can be looked into, by their names.
//!
//! Names are torchvision's; what torchvision has no name for has Keras' one, and where both have one, Keras' is an alias.

use super::Model;
use super::build::Stage;
use crate::error::{Error, Result};

/// An output inside a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// Other names of the same output.
    pub aliases: Vec<String>,
    /// Whole stages before it.
    pub(super) stages: usize,
    /// Layers of the dense block behind these that are before it too.
    pub(super) inside: Option<usize>,
    /// Channels that it is of, counted from the last one; all where it is `None`.
    pub(super) newest: Option<usize>,
    /// Whether it is what is pooled, behind the activation that an architecture has before its pooling.
    pub(super) pooled: bool,
}

impl Model {
    /// Every layer that has a name, in the network's order; the last is the one that is pooled.
    pub fn layers(&self) -> Vec<Layer> {
        let mut layers = Vec::new();
        for (before, stage) in self.stages.iter().enumerate() {
            let next = self.stages.get(before + 1).map(|s| s.name.as_str());
            layers.extend(inside(before, stage));
            let (name, aliases) = (stage.name.clone(), aliases(stage, next));
            layers.push(Layer { name, aliases, stages: before + 1, inside: None, newest: None, pooled: false });
        }
        if self.head.has_own_maps() && !layers.is_empty() {
            let (name, stages) = ("relu".to_owned(), self.stages.len());
            layers.push(Layer { name, aliases: Vec::new(), stages, inside: None, newest: None, pooled: true });
        }
        layers
    }

    /// The names of the stages that the network runs through, torchvision's.
    pub fn stage_names(&self) -> impl Iterator<Item = &str> {
        self.stages.iter().map(|stage| stage.name.as_str())
    }

    /// The layer of this name, or the one that is pooled when none is given. An unknown name is an error that lists those
    /// that exist.
    pub fn layer(&self, name: Option<&str>) -> Result<Layer> {
        let mut layers = self.layers();
        let none = || Error::usage("the model has no convolution, and so no maps").mend("use integrated-gradients");
        let Some(name) = name else { return layers.pop().ok_or_else(none) };
        if layers.is_empty() {
            return Err(none());
        }
        if let Some(at) = layers.iter().position(|l| l.name == name || l.aliases.iter().any(|a| a == name)) {
            return Ok(layers.swap_remove(at));
        }
        // Those inside of blocks are many.
        let listed: Vec<_> = layers.iter().filter(|l| l.inside.is_none()).map(|l| l.name.as_str()).collect();
        let blocks = layers.iter().find(|l| l.inside.is_some()).map(|l| l.name.as_str());
        let more = blocks.map(|b| format!(", and inside of the blocks {b} and so on")).unwrap_or_default();
        Err(Error::usage("the model has no such layer")
            .at(format_args!("layer `{name}`"))
            .mend(format!("it has {}{more}", listed.join(", "))))
    }
}

/// The layers of a dense block: what each adds (torchvision's) and all maps behind it (Keras').
fn inside(before: usize, stage: &Stage) -> Vec<Layer> {
    let Some(block) = &stage.block else { return Vec::new() };
    let number = number(&stage.name, "features.denseblock").unwrap_or_default();
    let layer = |name: String, j: usize, newest| {
        let inside = Some(j);
        Layer { name, aliases: Vec::new(), stages: before, inside, newest, pooled: false }
    };
    let mut layers = Vec::new();
    for (j, dense) in (1..).zip(&block.0) {
        layers.push(layer(format!("{}.denselayer{j}", stage.name), j, Some(dense.grow.outputs())));
        if j < block.0.len() {
            layers.push(layer(format!("conv{}_block{j}_concat", number + 1), j, None));
        }
    }
    layers
}

/// Other names of what a stage puts out; `next` is the stage behind it.
fn aliases(stage: &Stage, next: Option<&str>) -> Vec<String> {
    let name = stage.name.as_str();
    let mut names = Vec::new();
    if let Some(block) = &stage.block {
        let number = number(name, "features.denseblock").unwrap_or_default();
        names.push(format!("conv{}_block{}_concat", number + 1, block.0.len()));
    } else if let Some(i) = number(name, "features.transition") {
        names.push(format!("pool{}_pool", i + 1));
    } else if let Some((group, j)) = name.strip_prefix("layer").and_then(|rest| rest.split_once('.')) {
        let block = |n: &str| n.parse::<usize>().ok().map(|n| n + 1);
        if let (Some(group), Some(block)) = (block(group), block(j)) {
            names.push(format!("conv{group}_block{block}_out"));
        }
        if next.is_none_or(|next| !next.starts_with(&format!("layer{group}."))) {
            names.push(format!("layer{group}"));
        }
    } else if let Some(i) = number(name, "features.") {
        names.push(mobilenet(i));
        if next.is_none() {
            names.push("features".into());
        }
    }
    let fixed: &[&str] = match name {
        "features.relu0" => &["conv1_relu", "conv1/relu"],
        "features.pool0" => &["pool1"],
        "features.norm5" => &["features"],
        "relu" => &["conv1_relu"],
        "maxpool" => &["pool1_pool"],
        _ => &[],
    };
    names.extend(fixed.iter().map(|n| (*n).to_owned()));
    names
}

/// Keras' name of the output of torchvision's `features.{i}` of MobileNetV2.
fn mobilenet(i: usize) -> String {
    match i {
        0 => "Conv1_relu".into(),
        1 => "expanded_conv_project_BN".into(),
        // The first blocks of the groups change the number of channels and add nothing.
        2 | 4 | 7 | 11 | 14 | 17 => format!("block_{}_project_BN", i - 1),
        18 => "out_relu".into(),
        _ => format!("block_{}_add", i - 1),
    }
}

fn number(name: &str, prefix: &str) -> Option<usize> {
    name.strip_prefix(prefix)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use crate::cards::catalogue;
    use crate::models;
    use candle_core::Device;

    #[test]
    fn a_network_without_convolutions_has_no_layer() {
        let (card, home) = catalogue::model("phantom-densenet").unwrap();
        let (mut model, _) = models::load(&card, &home, &Device::Cpu).unwrap();
        model.stages.clear();
        assert_eq!(model.layers(), []);
        for name in [None, Some("relu")] {
            let says = model.layer(name).unwrap_err().to_string();
            assert_eq!(says, "the model has no convolution, and so no maps; use integrated-gradients");
        }
    }
}
