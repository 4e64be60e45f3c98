//! From a card and its weights to a model.

use std::collections::HashMap;

use candle_core::{DType, Device};

use super::build::{Builder, Stage};
use super::graph::{self, Parts};
use super::head::{self, Head};
use super::model::Model;
use super::part::{Backbone, Emit, Holder};
use super::{densenet, mobilenet, resnet};
use crate::cards::model::{Architecture, HeadLayer, ModelCard, Options, Output};
use crate::error::{Error, Result};
use crate::weights::{Program, Tensors};

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
        Architecture::Onnx => Err(Error::new("its weights tell no network that is known here")
            .at("`architecture`")
            .mend("name the architecture: only an ONNX file of a known one tells it")),
    }
}

/// What is added to the variance in the card's batch norms.
pub(super) fn norm_eps(card: &ModelCard) -> f64 {
    card.options.norm_eps.unwrap_or(NORM_EPS)
}

/// The card with the network that the graph of its ONNX file is. A card that says something else of it is an error.
pub(super) fn recognised(card: &ModelCard, weights: &Tensors) -> Result<ModelCard> {
    let mut card = card.clone();
    let Some(origin) = weights.origin() else { return Ok(card) };
    if let Some(program) = origin.program.as_ref().filter(|_| card.architecture != Architecture::Onnx) {
        return Err(Error::new(format!("`{}`, but of the file: {}", card.architecture, program.why))
            .at("`architecture`")
            .mend("write `architecture = \"onnx\"` to run the graph as it is"));
    }
    let Some(network) = origin.network.clone() else { return Ok(card) };
    agrees(&card, network.output)?;
    let told = |layers: &[HeadLayer]| layers.iter().map(|l| (l.units, l.activation, l.bias)).collect::<Vec<_>>();
    if !network.head.is_empty() && !card.head.is_empty() && told(&network.head) != told(&card.head) {
        return Err(Error::new(format!("the graph has dense layers of other kinds: {:?}", told(&network.head)))
            .at("`head`")
            .mend("remove `head`, for the graph tells it"));
    }
    if card.head.is_empty() {
        card.head = network.head;
    }
    if card.architecture == Architecture::Onnx {
        card.architecture = network.architecture;
        card.options = network.options;
        if card.architecture == Architecture::MobilenetV2 {
            card.options.width = width(&card, weights);
        }
    }
    Ok(card)
}

/// Whether the end of a graph is what the card makes of the logits.
fn agrees(card: &ModelCard, output: Option<Output>) -> Result<()> {
    let Some(output) = output.filter(|output| *output != card.output) else { return Ok(()) };
    let [says, is] = [card.output, output].map(|output| format!("{output:?}").to_lowercase());
    let cause = format!("`{says}`, but the graph ends in a {is}");
    Err(Error::new(cause).at("`output`").mend(format!("write `output = \"{is}\"`")))
}

/// The width of the MobileNetV2 that has these weights, in hundredths: the narrowest, where several round to its
/// channels.
fn width(card: &ModelCard, weights: &Tensors) -> Option<f64> {
    let shapes: HashMap<_, _> = weights.shapes().collect();
    let fits = |width: &f64| {
        let options = Options { width: Some(*width), ..Options::default() };
        let emitted = mobilenet::describe(&options, card.input.channels, &mut |name, part| {
            part.holders(&name, &mut |holder| match holder {
                Holder::Conv(name, form)
                    if shapes.get(format!("{name}.weight").as_str()) != Some(&&form.shape()[..]) =>
                {
                    Err(Error::new("another width"))
                }
                _ => Ok(()),
            })
        });
        emitted.is_ok()
    };
    (5..=400).map(|hundredths| f64::from(hundredths) / 100.0).find(fits)
}

/// Builds the card's network on `device`. Tensors that are missing, left over or of the wrong shape are one error that
/// lists them.
pub fn build(card: &ModelCard, weights: Tensors, device: &Device) -> Result<Model> {
    build_as(card, weights, device, DType::F32)
}

/// The same network, computing in numbers of another type. A graph that is run node by node computes in f32 only.
pub fn build_as(card: &ModelCard, mut weights: Tensors, device: &Device, dtype: DType) -> Result<Model> {
    let card = &recognised(card, &weights)?;
    if let Some(program) = weights.origin().and_then(|origin| origin.program.clone()) {
        if dtype != DType::F32 {
            let cause = format!("its graph is run node by node, in f32 only, not in {}", dtype.as_str());
            return Err(Error::usage(cause).mend("leave --precision out"));
        }
        return run_through(card, &program, weights, device);
    }
    let b = &mut Builder { tensors: &mut weights, eps: norm_eps(card), device, dtype };
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
    Ok(Model { stages, head, channels, smallest, device: device.clone(), dtype })
}

/// The model that runs a graph node by node.
fn run_through(card: &ModelCard, program: &Program, mut weights: Tensors, device: &Device) -> Result<Model> {
    if !card.head.is_empty() {
        return Err(Error::new("the graph has its own head").at("`head`").mend("remove the tables"));
    }
    let Parts { maps, head, output } = graph::parts(program, &mut weights, device)?;
    agrees(card, output)?;
    let stages = maps.map(|(name, segment)| Stage::new(name, segment)).into_iter().collect();
    let head = Head::Graph(head, card.labels.len());
    let (channels, device) = (card.input.channels, device.clone());
    Ok(Model { stages, head, channels, smallest: 1, device, dtype: DType::F32 })
}
