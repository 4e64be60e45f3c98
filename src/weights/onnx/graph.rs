//! The graph of an ONNX file: nodes, constants, and who makes which value.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::super::mapped::Bytes;
use super::super::program::Program;
use super::super::values::Named;
use super::node::{Constant, Data, Node};
use super::proto::{Fields, Value};
use super::reader::Reader;
use crate::error::{Error, Result};

/// A graph.
pub(super) struct Graph<'a> {
    pub nodes: Vec<Node<'a>>,
    pub outputs: Vec<&'a str>,
    /// Inputs with their sizes as far as they are fixed; constants may be among them.
    inputs: Vec<(&'a str, Vec<Option<usize>>)>,
    makers: HashMap<&'a str, usize>,
    constants: HashMap<&'a str, Constant>,
}

impl<'a> Graph<'a> {
    /// Reads a `GraphProto`. Weights that it keeps in files of their own are looked for in `folder`.
    pub fn read(message: &'a [u8], file: &Bytes, folder: Option<&Path>) -> Result<Self> {
        let mut reader = Reader::new(file, folder);
        let (mut nodes, mut inputs, mut outputs, mut constants) = (Vec::new(), Vec::new(), Vec::new(), HashMap::new());
        for field in Fields(message) {
            match field? {
                (1, Value::Bytes(node)) => {
                    let mut node = reader.node(node)?;
                    let constant = if node.op == "Constant" { node.constant() } else { None };
                    match constant {
                        Some(constant) => drop(node.outputs.first().map(|name| constants.insert(*name, constant))),
                        None => nodes.push(node),
                    }
                }
                (5, Value::Bytes(tensor)) => {
                    let (name, constant) = reader.tensor(tensor)?;
                    constants.insert(name, constant);
                }
                (11, Value::Bytes(input)) => inputs.push(reader.value(input)?),
                (12, Value::Bytes(output)) => outputs.push(reader.value(output)?.0),
                _ => {}
            }
        }
        // Many views of one file beside this one could ask for any amount of memory.
        let held = reader.held();
        let claimed = constants.values().fold(0, |sum: usize, c: &Constant| sum.saturating_add(c.bytes()));
        if claimed > held.saturating_mul(2) {
            return Err(Error::new(format!("its tensors claim {claimed} bytes, the files have {held}")));
        }
        let makers = nodes.iter().enumerate().flat_map(|(i, n)| n.outputs.iter().map(move |o| (*o, i))).collect();
        Ok(Self { nodes, outputs, inputs, makers, constants })
    }

    /// The graph as it can be run, without its floats, which are given by name. `why` it is not one of the known networks.
    pub fn into_program(self, why: String) -> Result<(Vec<Named>, Program)> {
        let output = self.outputs.first().ok_or_else(|| Error::new("the graph has no output"))?;
        let input = self.inputs.iter().find(|(name, _)| !self.constants.contains_key(name));
        let (input, sizes) = input.ok_or_else(|| Error::new("the graph has no input"))?;
        let (mut floats, mut integers) = (Vec::new(), BTreeMap::new());
        let program = |integers| Program {
            nodes: self.nodes.iter().map(Node::detached).collect(),
            input: (*input).to_owned(),
            sizes: sizes.clone(),
            output: (*output).to_owned(),
            integers,
            why,
        };
        for (name, Constant { shape, data }) in self.constants {
            match data {
                Data::Floats(values) => floats.push((name.to_owned(), shape, values)),
                Data::Ints(values) => drop(integers.insert(name.to_owned(), (shape, values))),
                Data::Other => {}
            }
        }
        Ok((floats, program(integers)))
    }

    /// The node that makes a value, behind those that change nothing.
    pub fn maker(&self, value: &str) -> Result<&Node<'a>> {
        let mut value = value;
        // As many steps as there are nodes: a circle ends too.
        for _ in 0..=self.nodes.len() {
            let node = self.makers.get(value).map(|i| &self.nodes[*i]);
            let node = node.ok_or_else(|| Error::new(format!("no node makes `{value}`")))?;
            match (node.op, node.inputs.first()) {
                ("Identity" | "Dropout", Some(input)) => value = input,
                _ => return Ok(node),
            }
        }
        Err(Error::new(format!("the nodes that make `{value}` go in a circle")))
    }

    /// The first of a node's outputs, behind nodes that change nothing: what two uses of one value have in common.
    /// `None` for the graph's own inputs.
    pub fn source(&self, value: &str) -> Option<&'a str> {
        self.maker(value).ok().and_then(|node| node.outputs.first().copied())
    }

    /// The constant of this name.
    pub fn constant(&self, name: &str) -> Option<&Constant> {
        self.constants.get(name)
    }
}
