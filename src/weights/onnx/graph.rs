//! The graph of an ONNX file: nodes, constants, and who makes which value.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::super::mapped::Bytes;
use super::super::open::Named;
use super::super::program::{self, Program};
use super::super::values::Values;
use super::proto::{Fields, Value};
use super::reader::Reader;
use crate::error::{Error, Result};

/// A node.
pub(super) struct Node<'a> {
    pub op: &'a str,
    pub name: &'a str,
    pub inputs: Vec<&'a str>,
    pub outputs: Vec<&'a str>,
    pub attributes: Vec<Attribute<'a>>,
}

/// What a node is told besides its inputs.
pub(super) struct Attribute<'a> {
    pub name: &'a str,
    /// What it is, by the number that the format has for that.
    pub kind: u64,
    pub float: Option<f32>,
    pub ints: Vec<i64>,
    pub text: &'a str,
    pub tensor: Option<Constant>,
}

/// A constant: an initialiser or what a `Constant` node holds.
pub(super) struct Constant {
    pub shape: Vec<usize>,
    pub data: Data,
}

/// The values of a constant.
pub(super) enum Data {
    Floats(Values),
    Ints(Vec<i64>),
    Other,
}

impl Constant {
    /// Its values, if they are floats that fill the shape.
    pub fn floats(&self) -> Option<&Values> {
        match &self.data {
            Data::Floats(values) => Some(values),
            _ => None,
        }
    }

    /// Bytes that its floats take.
    fn bytes(&self) -> usize {
        self.floats().map_or(0, Values::bytes)
    }

    /// Its values, if they are whole numbers.
    pub fn ints(&self) -> Option<&[i64]> {
        match &self.data {
            Data::Ints(values) => Some(values),
            _ => None,
        }
    }
}

impl Node<'_> {
    /// The whole numbers of an attribute, or of its default.
    pub fn ints(&self, name: &str, default: &[i64]) -> Vec<i64> {
        let found = self.attributes.iter().find(|a| a.name == name);
        found.map_or_else(|| default.to_vec(), |a| a.ints.clone())
    }

    /// The float of an attribute, or its default.
    pub fn float(&self, name: &str, default: f32) -> f32 {
        self.attributes.iter().find(|a| a.name == name).and_then(|a| a.float).unwrap_or(default)
    }

    /// The text of an attribute; empty if there is none.
    pub fn text(&self, name: &str) -> &str {
        self.attributes.iter().find(|a| a.name == name).map_or("", |a| a.text)
    }

    /// The constant that a `Constant` node is.
    fn constant(&mut self) -> Option<Constant> {
        let attribute = self.attributes.iter_mut().find(|a| a.name.starts_with("value"))?;
        let ints = std::mem::take(&mut attribute.ints);
        Some(match (attribute.name, attribute.float) {
            ("value", _) => attribute.tensor.take()?,
            ("value_float", Some(float)) => {
                Constant { shape: Vec::new(), data: Data::Floats(Values::Numbers(vec![float])) }
            }
            ("value_int", _) => Constant { shape: Vec::new(), data: Data::Ints(vec![*ints.first()?]) },
            ("value_ints", _) => Constant { shape: vec![ints.len()], data: Data::Ints(ints) },
            _ => return None,
        })
    }

    /// The node without the file.
    fn detached(&self) -> program::Node {
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        // Some writers leave out what is 0.
        let value = |a: &Attribute| match a.kind {
            1 => Some(program::Attribute::Float(a.float.unwrap_or(0.0))),
            2 => Some(program::Attribute::Int(a.ints.last().copied().unwrap_or(0))),
            3 => Some(program::Attribute::Text(a.text.to_owned())),
            4 => match a.tensor.as_ref().map(|t| (t.ints(), t.floats().filter(|v| v.count() == 1).map(Values::as_f32)))
            {
                Some((Some([int]), _)) => Some(program::Attribute::Int(*int)),
                Some((_, Some(float))) => float.first().copied().map(program::Attribute::Float),
                _ => None,
            },
            7 => Some(program::Attribute::Ints(a.ints.clone())),
            _ => None,
        };
        program::Node {
            op: self.op.to_owned(),
            name: self.name.to_owned(),
            inputs: texts(&self.inputs),
            outputs: texts(&self.outputs),
            attributes: self.attributes.iter().filter_map(|a| Some((a.name.to_owned(), value(a)?))).collect(),
        }
    }

    /// What is wrong with this node, said of it.
    pub fn fault(&self, cause: impl std::fmt::Display) -> Error {
        Error::new(format!("node `{}` ({}) {cause}", self.name, self.op))
    }
}

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
