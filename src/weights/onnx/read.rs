//! From an ONNX file to the network that it is.

use std::path::Path;

use super::super::mapped::Bytes;
use super::super::open::{Named, Network};
use super::graph::Graph;
use super::proto::{Fields, Value, broken};
use super::recognise::Matcher;
use super::{densenet, mobilenet, resnet};
use crate::error::{Error, Result};

/// Operators that the known networks' graphs are made of.
const KNOWN: [&str; 19] = [
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Clip",
    "Concat",
    "Conv",
    "Dropout",
    "Flatten",
    "Gemm",
    "GlobalAveragePool",
    "Identity",
    "MatMul",
    "MaxPool",
    "ReduceMean",
    "Relu",
    "Reshape",
    "Sigmoid",
    "Softmax",
    "Squeeze",
];

/// Operators that an error names.
const LISTED: usize = 8;

/// Whether a file begins as ONNX files do: with the version of the format, or with what made it.
pub(in super::super) fn is_onnx(start: &[u8]) -> bool {
    matches!(start, [0x08, 1..=32, 0x12 | 0x1a | 0x22 | 0x3a | 0x42, ..])
}

/// The tensors of the network that the graph is, under torchvision's names, and which network that is.
pub(in super::super) fn read(file: &Bytes, folder: Option<&Path>) -> Result<(Vec<Named>, Network)> {
    let mut graph = None;
    for field in Fields(file) {
        if let (7, Value::Bytes(message)) = field? {
            graph = Some(message);
        }
    }
    let graph = Graph::read(graph.ok_or_else(broken)?, file, folder)?;
    let unknown: Vec<_> = graph.nodes.iter().filter(|n| !KNOWN.contains(&n.op)).collect();
    if !unknown.is_empty() {
        let told: Vec<_> = unknown.iter().take(LISTED).map(|n| format!("{} (node `{}`)", n.op, n.name)).collect();
        let more = if unknown.len() > LISTED { ", ..." } else { "" };
        return Err(Error::new(format!("{} unsupported operators: {}{more}", unknown.len(), told.join(", ")))
            .mend("DenseNets, ResNets and MobileNetV2 as torchvision builds them are read"));
    }
    let has = |op: &str| graph.nodes.iter().any(|node| node.op == op);
    let mut matcher = Matcher { graph: &graph, found: Vec::new(), head: Vec::new(), output: None };
    let (family, found) = match (has("Concat"), has("Clip")) {
        (true, _) => ("a DenseNet", densenet::recognise(&mut matcher)),
        (_, true) => ("a MobileNetV2", mobilenet::recognise(&mut matcher).map(|a| (a, Default::default()))),
        _ => ("a ResNet", resnet::recognise(&mut matcher).map(|a| (a, Default::default()))),
    };
    let (architecture, options) = found.map_err(|e| {
        e.at(format_args!("read as {family}")).mend(
            "DenseNets, ResNets and MobileNetV2 as torchvision builds them are read; give the weights as safetensors",
        )
    })?;
    let Matcher { found, head, output, .. } = matcher;
    Ok((found, Network { architecture, options, head, output }))
}
