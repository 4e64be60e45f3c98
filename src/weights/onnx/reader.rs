//! The messages of an ONNX file (<https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>) that make a graph.

use std::collections::HashMap;
use std::path::Path;

use super::super::mapped::Bytes;
use super::super::tensors::elements;
use super::super::values::{Kind, Values};
use super::node::{Attribute, Constant, Data, Node};
use super::proto::{Fields, Value, broken};
use crate::error::{Error, Result};

/// Names and numbers in a graph, at most, and how many of them a node counts for: bounds on the memory that a file can take.
const BUDGET: usize = 1 << 16;
const NODE: usize = 8;

/// Bytes of a name or text, at most.
const LONGEST: usize = 4096;

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| text.len() <= LONGEST).ok_or_else(broken)
}

/// Reads messages, within a budget.
pub(super) struct Reader<'f> {
    file: &'f Bytes,
    folder: Option<&'f Path>,
    left: usize,
    /// Files that hold weights beside the graph's.
    beside: HashMap<String, Bytes>,
}

impl<'f> Reader<'f> {
    /// For the messages of `file`. Values that it keeps elsewhere are in `folder`.
    pub fn new(file: &'f Bytes, folder: Option<&'f Path>) -> Self {
        Self { file, folder, left: BUDGET, beside: HashMap::new() }
    }

    /// Bytes of all files that were read.
    pub fn held(&self) -> usize {
        self.beside.values().fold(self.file.len(), |sum, file| sum.saturating_add(file.len()))
    }

    fn spend(&mut self) -> Result<()> {
        self.spend_all(1)
    }

    fn spend_all(&mut self, count: usize) -> Result<()> {
        self.left = self.left.checked_sub(count).ok_or_else(|| Error::new("a graph larger than any network's"))?;
        Ok(())
    }

    /// Name and sizes of a `ValueInfoProto`: its type's tensor's shape's sizes.
    pub fn value<'a>(&mut self, message: &'a [u8]) -> Result<(&'a str, Vec<Option<usize>>)> {
        self.spend()?;
        let (mut name, mut sizes) = ("", Vec::new());
        for field in Fields(message) {
            match field? {
                (1, Value::Bytes(bytes)) => name = text(bytes)?,
                (2, Value::Bytes(kind)) => {
                    let shape = within(kind, &[1, 2])?.unwrap_or_default();
                    for field in Fields(shape) {
                        let (1, Value::Bytes(size)) = field? else { continue };
                        self.spend()?;
                        let fixed = Fields(size).find_map(|field| match field {
                            Ok((1, Value::Varint(size))) => usize::try_from(size).ok(),
                            _ => None,
                        });
                        sizes.push(fixed);
                    }
                }
                _ => {}
            }
        }
        Ok((name, sizes))
    }

    /// A `NodeProto`.
    pub fn node<'a>(&mut self, message: &'a [u8]) -> Result<Node<'a>> {
        self.spend_all(NODE)?;
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
        let mut attribute = Attribute { name: "", kind: 0, float: None, ints: Vec::new(), text: "", tensor: None };
        // Old files do not tell the kind, but what is there does.
        let mut seen = 0;
        for field in Fields(message) {
            let field = field?;
            seen = match field.0 {
                2 => 1,
                3 => 2,
                4 => 3,
                8 => 7,
                _ => seen,
            };
            match field {
                (1, Value::Bytes(name)) => attribute.name = text(name)?,
                (2, Value::Fixed32(float)) => attribute.float = Some(f32::from_le_bytes(float)),
                (3 | 8, Value::Varint(int)) => {
                    self.spend()?;
                    attribute.ints.push(int as i64);
                }
                (4, Value::Bytes(bytes)) => attribute.text = text(bytes).unwrap_or("?"),
                (5, Value::Bytes(tensor)) => attribute.tensor = Some(self.tensor(tensor)?.1),
                (8, Value::Bytes(packed)) => self.packed(packed, &mut attribute.ints)?,
                (20, Value::Varint(kind)) => attribute.kind = kind,
                _ => {}
            }
        }
        if attribute.kind == 0 {
            attribute.kind = seen;
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
    pub fn tensor<'a>(&mut self, message: &'a [u8]) -> Result<(&'a str, Constant)> {
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
                if ints.is_empty() {
                    let raw = raw.unwrap_or_default().as_chunks().0;
                    self.spend_all(raw.len())?;
                    ints.extend(raw.iter().map(|b| i64::from_le_bytes(*b)));
                }
                if elements(&shape) != Some(ints.len()) {
                    return Err(at(Error::new(format!("shape {shape:?} has {} values", ints.len()))));
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
        let count = elements(&shape).and_then(|n| n.checked_mul(kind.size()));
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

/// The message at a path of fields inside a message.
fn within<'a>(message: &'a [u8], path: &[u64]) -> Result<Option<&'a [u8]>> {
    let Some((first, rest)) = path.split_first() else { return Ok(Some(message)) };
    for field in Fields(message) {
        match field? {
            (number, Value::Bytes(inner)) if number == *first => return within(inner, rest),
            _ => {}
        }
    }
    Ok(None)
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
