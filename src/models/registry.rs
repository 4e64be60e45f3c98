//! From a card and its weights to a model.

use candle_core::Device;

use super::build::Builder;
use super::head::{self, Head};
use super::model::Model;
use super::part::{Backbone, Emit};
use super::{densenet, mobilenet, resnet};
use crate::cards::model::{Architecture, ModelCard, Options};
use crate::error::{Error, Result};
use crate::weights::Tensors;

/// Added to the variance in batch norms unless the card says otherwise: PyTorch's default.
const NORM_EPS: f64 = 1e-5;

/// Gives the parts of the card's network to `emit`, and what they do not tell.
pub(super) fn describe(card: &ModelCard, emit: Emit) -> Result<Backbone> {
    let (options, channels) = (&card.options, card.input.channels);
    match card.architecture {
        Architecture::Densenet121
        | Architecture::Densenet161
        | Architecture::Densenet169
        | Architecture::Densenet201 => densenet::describe(card.architecture, options, channels, emit),
        // Keras' paddings of ResNet (and DenseNet) are torchvision's; only MobileNetV2's differ.
        Architecture::Resnet18 | Architecture::Resnet34 | Architecture::Resnet50 => {
            resnet::describe(card.architecture, channels, emit)
        }
        Architecture::MobilenetV2 => mobilenet::describe(options, channels, emit),
        Architecture::Onnx => Err(Error::new("its weights are no ONNX file")
            .at("`architecture`")
            .mend("name the architecture, for other files do not tell it")),
    }
}

/// What is added to the variance in the card's batch norms.
pub(super) fn norm_eps(card: &ModelCard) -> f64 {
    card.options.norm_eps.unwrap_or(NORM_EPS)
}

/// The card with the network that the graph of its ONNX file is, where that is left to the file.
fn recognised(card: &ModelCard, weights: &Tensors) -> ModelCard {
    let mut card = card.clone();
    let network = weights.origin().and_then(|origin| origin.network.clone());
    if let (Architecture::Onnx, Some(network)) = (card.architecture, network) {
        card.architecture = network.architecture;
        card.options = Options { width: card.options.width, ..network.options };
    }
    card
}

/// Builds the card's network on `device`. Tensors that are missing, left over or of the wrong shape are one error that
/// lists them.
pub fn build(card: &ModelCard, mut weights: Tensors, device: &Device) -> Result<Model> {
    let card = &recognised(card, &weights);
    let b = &mut Builder { tensors: &mut weights, eps: norm_eps(card), device };
    let mut stages = Vec::new();
    let backbone = describe(card, &mut |name, part| {
        stages.push(b.stage(name, part)?);
        Ok(())
    })?;
    let Backbone { features, classifier, .. } = backbone;
    let numbered = head::is_numbered(b.tensors, classifier);
    let layers = head::describe(&card.head, card.labels.len(), features, classifier, numbered);
    let head = Head::new(b, &layers, backbone.before_pooling)?;
    weights.finish()?;
    let (channels, smallest) = (card.input.channels, backbone.smallest);
    Ok(Model { stages, head, channels, smallest, device: device.clone() })
}
