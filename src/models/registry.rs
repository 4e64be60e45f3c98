//! From a card and its weights to a model.

use candle_core::Device;

use super::build::Builder;
use super::head::Head;
use super::model::Model;
use super::{densenet, mobilenet, resnet};
use crate::cards::model::{Architecture, ModelCard, Options};
use crate::error::{Error, Result};
use crate::weights::Tensors;

/// Added to the variance in batch norms unless the card says otherwise: PyTorch's default.
const NORM_EPS: f64 = 1e-5;

/// Builds the card's network on `device`. Tensors that are missing, left over or of the wrong shape are one error that
/// lists them.
pub fn build(card: &ModelCard, mut weights: Tensors, device: &Device) -> Result<Model> {
    let recognised = weights.origin().and_then(|origin| origin.network.clone());
    let (architecture, options) = match (card.architecture, recognised) {
        (Architecture::Onnx, Some(network)) => {
            (network.architecture, Options { width: card.options.width, ..network.options })
        }
        (Architecture::Onnx, None) => {
            return Err(Error::new("its weights are no ONNX file")
                .at("`architecture`")
                .mend("name the architecture, for other files do not tell it"));
        }
        (architecture, _) => (architecture, card.options.clone()),
    };
    let eps = options.norm_eps.unwrap_or(NORM_EPS);
    let channels = card.input.channels;
    let b = &mut Builder { tensors: &mut weights, eps, device };
    let backbone = match architecture {
        Architecture::Densenet121
        | Architecture::Densenet161
        | Architecture::Densenet169
        | Architecture::Densenet201 => densenet::build(b, architecture, &options, channels)?,
        // Keras' paddings of ResNet (and DenseNet) are torchvision's; only MobileNetV2's differ.
        Architecture::Resnet18 | Architecture::Resnet34 | Architecture::Resnet50 => {
            resnet::build(b, architecture, channels)?
        }
        Architecture::MobilenetV2 | Architecture::Onnx => mobilenet::build(b, &options, channels)?,
    };
    let labels = card.labels.len();
    let head = Head::new(b, &card.head, labels, backbone.features, backbone.classifier, backbone.before_pooling)?;
    weights.finish()?;
    Ok(Model { stages: backbone.stages, head, channels, smallest: backbone.smallest, device: device.clone() })
}
