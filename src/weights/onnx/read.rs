//! From an ONNX file to the network or the program that it is.

use std::path::Path;

use super::super::mapped::Bytes;
use super::super::origin::Network;
use super::super::program::Program;
use super::super::values::Named;
use super::graph::Graph;
use super::proto::{Fields, Value, broken};
use super::recognise::Matcher;
use super::{densenet, mobilenet, resnet};
use crate::error::Result;

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

/// Whether a file begins as ONNX files do: with the version of the format, or with what made it.
pub(in super::super) fn is_onnx(start: &[u8]) -> bool {
    matches!(start, [0x08, 1..=32, 0x12 | 0x1a | 0x22 | 0x3a | 0x42, ..])
}

/// What a graph is: one of the known networks, or a program.
pub(in super::super) enum Found {
    Network(Network),
    Program(Program),
}

/// The tensors of the network that the graph is, under torchvision's names, and which network that is; the floats of any
/// other graph under its own names, and the graph.
pub(in super::super) fn read(file: &Bytes, folder: Option<&Path>) -> Result<(Vec<Named>, Found)> {
    let mut graph = None;
    for field in Fields(file) {
        if let (7, Value::Bytes(message)) = field? {
            graph = Some(message);
        }
    }
    let graph = Graph::read(graph.ok_or_else(broken)?, file, folder)?;
    match recognise(&graph) {
        Ok((found, network)) => Ok((found, Found::Network(network))),
        Err(why) => {
            let (found, program) = graph.into_program(why.to_string())?;
            Ok((found, Found::Program(program)))
        }
    }
}

fn recognise(graph: &Graph) -> Result<(Vec<Named>, Network)> {
    if let Some(other) = graph.nodes.iter().find(|n| !KNOWN.contains(&n.op)) {
        return Err(other.fault("is in none of the known networks"));
    }
    let has = |op: &str| graph.nodes.iter().any(|node| node.op == op);
    let mut matcher = Matcher { graph, found: Vec::new(), head: Vec::new(), output: None };
    let (family, found) = match (has("Concat"), has("Clip")) {
        (true, _) => ("DenseNet", densenet::recognise(&mut matcher)),
        (_, true) => ("MobileNetV2", mobilenet::recognise(&mut matcher).map(|a| (a, Default::default()))),
        _ => ("ResNet", resnet::recognise(&mut matcher).map(|a| (a, Default::default()))),
    };
    let (architecture, options) = found.map_err(|e| e.at(format_args!("no {family} as torchvision builds it")))?;
    let Matcher { found, head, output, .. } = matcher;
    Ok((found, Network { architecture, options, head, output }))
}
