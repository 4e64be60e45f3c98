//! The graph of an ONNX file: nodes, constants, and who makes which value.

use std::collections::HashMap;
use std::path::Path;

use super::super::mapped::Bytes;
use super::super::values::{Kind, Values};
use super::proto::{Fields, Value, broken};
use crate::error::{Error, Result};

/// Nodes, names and numbers in a graph, at most: bounds on the memory that a file can take.
const BUDGET: usize = 1 << 16;

/// A node.
pub(super) struct Node<'a> {
    pub op: &'a str,
    pub name: &'a str,
    pub inputs: Vec<&'a str>,
    pub outputs: Vec<&'a str>,
    attributes: Vec<Attribute<'a>>,
}

struct Attribute<'a> {
    name: &'a str,
    float: Option<f32>,
    ints: Vec<i64>,
    text: &'a [u8],
    tensor: Option<Constant>,
}

/// A constant: an initialiser or what a `Constant` node holds.
pub(super) struct Constant {
    pub shape: Vec<usize>,
    data: Data,
}

enum Data {
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
    pub fn text(&self, name: &str) -> &[u8] {
        self.attributes.iter().find(|a| a.name == name).map_or(&[], |a| a.text)
    }

    /// The constant that an attribute holds.
    fn constant(&mut self) -> Option<Constant> {
        self.attributes.iter_mut().find(|a| a.name == "value").and_then(|a| a.tensor.take())
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
    makers: HashMap<&'a str, usize>,
    constants: HashMap<&'a str, Constant>,
}

impl<'a> Graph<'a> {
    /// Reads a `GraphProto`. Weights that it keeps in files of their own are looked for in `folder`.
    pub fn read(message: &'a [u8], file: &Bytes, folder: Option<&Path>) -> Result<Self> {
        let mut reader = Reader { file, folder, left: BUDGET, beside: HashMap::new() };
        let (mut nodes, mut outputs, mut constants) = (Vec::new(), Vec::new(), HashMap::new());
        for field in Fields(message) {
            match field? {
                (1, Value::Bytes(node)) => {
                    let mut node = reader.node(node)?;
                    match node.constant().filter(|_| node.op == "Constant") {
                        Some(constant) => drop(node.outputs.first().map(|name| constants.insert(*name, constant))),
                        None => nodes.push(node),
                    }
                }
                (5, Value::Bytes(tensor)) => {
                    let (name, constant) = reader.tensor(tensor)?;
                    constants.insert(name, constant);
                }
                (12, Value::Bytes(output)) => {
                    for field in Fields(output) {
                        if let (1, Value::Bytes(name)) = field? {
                            outputs.push(text(name)?);
                        }
                    }
                }
                _ => {}
            }
        }
        let makers = nodes.iter().enumerate().flat_map(|(i, n)| n.outputs.iter().map(move |o| (*o, i))).collect();
        Ok(Self { nodes, outputs, makers, constants })
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

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| broken())
}

struct Reader<'f> {
    file: &'f Bytes,
    folder: Option<&'f Path>,
    left: usize,
    /// Files that hold weights beside the graph's.
    beside: HashMap<String, Bytes>,
}

impl Reader<'_> {
    fn spend(&mut self) -> Result<()> {
        self.left = self.left.checked_sub(1).ok_or_else(|| Error::new("a graph larger than any network's"))?;
        Ok(())
    }

    fn node<'a>(&mut self, message: &'a [u8]) -> Result<Node<'a>> {
        self.spend()?;
        let mut node = Node { op: "", name: "", inputs: Vec::new(), outputs: Vec::new(), attributes: Vec::new() };
        for field in Fields(message) {
            if let (number @ 1..=5, Value::Bytes(bytes)) = field? {
                self.spend()?;
                match number {
                    1 => node.inputs.push(text(bytes)?),
                    2 => node.outputs.push(text(bytes)?),
                    3 => node.name = text(bytes)?,
                    4 => node.op = text(bytes)?,
                    _ => node.attributes.push(self.attribute(bytes)?),
                }
            }
        }
        Ok(node)
    }

    fn attribute<'a>(&mut self, message: &'a [u8]) -> Result<Attribute<'a>> {
        let mut attribute = Attribute { name: "", float: None, ints: Vec::new(), text: &[], tensor: None };
        for field in Fields(message) {
            match field? {
                (1, Value::Bytes(name)) => attribute.name = text(name)?,
                (2, Value::Fixed32(float)) => attribute.float = Some(f32::from_le_bytes(float)),
                (3 | 8, Value::Varint(int)) => {
                    self.spend()?;
                    attribute.ints.push(int as i64);
                }
                (4, Value::Bytes(text)) => attribute.text = text,
                (5, Value::Bytes(tensor)) => attribute.tensor = Some(self.tensor(tensor)?.1),
                (8, Value::Bytes(packed)) => self.packed(packed, &mut attribute.ints)?,
                _ => {}
            }
        }
        Ok(attribute)
    }

    fn packed(&mut self, message: &[u8], into: &mut Vec<i64>) -> Result<()> {
        let mut fields = Fields(message);
        while !fields.0.is_empty() {
            self.spend()?;
            into.push(fields.varint()? as i64);
        }
        Ok(())
    }

    /// A `TensorProto` and its name.
    fn tensor<'a>(&mut self, message: &'a [u8]) -> Result<(&'a str, Constant)> {
        self.spend()?;
        let (mut name, mut kind, mut dims, mut ints, mut raw) = ("", 0, Vec::new(), Vec::new(), None);
        let mut outside: Vec<(&str, &str)> = Vec::new();
        for field in Fields(message) {
            match field? {
                (1, Value::Varint(dim)) => {
                    self.spend()?;
                    dims.push(dim as i64);
                }
                (1, Value::Bytes(packed)) => self.packed(packed, &mut dims)?,
                (2, Value::Varint(number)) => kind = number,
                // `float_data`, packed, has the bytes of `raw_data`.
                (4 | 9, Value::Bytes(bytes)) => raw = Some(bytes),
                (7, Value::Bytes(packed)) => self.packed(packed, &mut ints)?,
                (8, Value::Bytes(bytes)) => name = text(bytes)?,
                (13, Value::Bytes(entry)) => {
                    self.spend()?;
                    outside.push(pair(entry)?);
                }
                _ => {}
            }
        }
        let at = |e: Error| e.at(format_args!("tensor `{name}`"));
        let shape: Option<Vec<_>> = dims.iter().map(|d| usize::try_from(*d).ok()).collect();
        let shape = shape.ok_or_else(|| at(broken()))?;
        let kind = match kind {
            1 => Kind::F32,
            10 => Kind::F16,
            11 => Kind::F64,
            16 => Kind::BF16,
            7 => {
                let raw = raw.unwrap_or_default().as_chunks().0.iter().map(|b| i64::from_le_bytes(*b));
                if ints.is_empty() && raw.len() <= self.left {
                    ints.extend(raw);
                    self.left -= ints.len();
                }
                return Ok((name, Constant { shape, data: Data::Ints(ints) }));
            }
            _ => return Ok((name, Constant { shape, data: Data::Other })),
        };
        let bytes = match (raw, outside.is_empty()) {
            (_, false) => self.outside(&outside).map_err(at)?,
            (Some(raw), true) => {
                let start = raw.as_ptr() as usize - self.file.as_ptr() as usize;
                self.file.piece(start, raw.len()).ok_or_else(|| at(broken()))?
            }
            (None, true) => self.file.piece(0, 0).ok_or_else(broken)?,
        };
        let count = super::super::tensors::elements(&shape).and_then(|n| n.checked_mul(kind.size()));
        if count != Some(bytes.len()) {
            return Err(at(Error::new(format!("shape {shape:?} has {} bytes", bytes.len()))));
        }
        Ok((name, Constant { shape, data: Data::Floats(Values::Stored(bytes, kind)) }))
    }

    /// Bytes in a file beside this one.
    fn outside(&mut self, entries: &[(&str, &str)]) -> Result<Bytes> {
        let entry = |key| entries.iter().find(|(k, _)| *k == key).map(|(_, value)| *value);
        let name = entry("location").unwrap_or_default();
        let folder = self.folder.filter(|_| !name.is_empty() && !name.contains(['/', '\\']) && name != "..");
        let Some(folder) = folder else {
            return Err(Error::new(format!("its values are in `{name}`, which is not beside the graph's file")));
        };
        if !self.beside.contains_key(name) {
            self.beside.insert(name.to_owned(), Bytes::map(&folder.join(name))?);
        }
        let file = &self.beside[name];
        let offset = entry("offset").unwrap_or("0").parse().map_err(|_| broken())?;
        let length = match entry("length") {
            Some(length) => length.parse().map_err(|_| broken())?,
            None => file.len().saturating_sub(offset),
        };
        file.piece(offset, length).ok_or_else(|| Error::new(format!("its values are not all in `{name}`")))
    }
}

/// A `StringStringEntryProto`.
fn pair(message: &[u8]) -> Result<(&str, &str)> {
    let mut pair = ("", "");
    for field in Fields(message) {
        match field? {
            (1, Value::Bytes(key)) => pair.0 = text(key)?,
            (2, Value::Bytes(value)) => pair.1 = text(value)?,
            _ => {}
        }
    }
    Ok(pair)
}
