//! An ONNX graph that is none of the known networks: what can be run of it node by node.

use std::collections::BTreeMap;

/// The graph. Its float constants are tensors of the same file, by their names.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// The nodes, in the file's order.
    pub nodes: Vec<Node>,
    /// Name of the image that it takes.
    pub input: String,
    /// Sizes of that image, as far as the file fixes them: `[n, channels, height, width]`.
    pub sizes: Vec<Option<usize>>,
    /// Name of what it puts out.
    pub output: String,
    /// Constants of whole numbers: shape and values, by name.
    pub integers: BTreeMap<String, (Vec<usize>, Vec<i64>)>,
    /// Why it is none of the known networks.
    pub why: String,
}

/// A node.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The operator.
    pub op: String,
    /// The node's own name, often empty.
    pub name: String,
    /// Names of the values that it takes; an empty one is left out.
    pub inputs: Vec<String>,
    /// Names of the values that it makes.
    pub outputs: Vec<String>,
    /// Its attributes. A tensor of one value is that value; other tensors and graphs are left out.
    pub attributes: BTreeMap<String, Attribute>,
}

/// What a node is told besides its inputs.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the variants say what they hold
pub enum Attribute {
    Float(f32),
    Int(i64),
    Ints(Vec<i64>),
    Text(String),
}

impl Node {
    /// A whole number, or its default.
    pub fn int(&self, name: &str, default: i64) -> i64 {
        match self.attributes.get(name) {
            Some(Attribute::Int(value)) => *value,
            _ => default,
        }
    }

    /// A float, or its default.
    pub fn float(&self, name: &str, default: f32) -> f32 {
        match self.attributes.get(name) {
            Some(Attribute::Float(value)) => *value,
            _ => default,
        }
    }

    /// Whole numbers; `None` if the attribute is not there.
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        match self.attributes.get(name) {
            Some(Attribute::Ints(values)) => Some(values),
            _ => None,
        }
    }

    /// A text; empty if the attribute is not there.
    pub fn text(&self, name: &str) -> &str {
        match self.attributes.get(name) {
            Some(Attribute::Text(text)) => text,
            _ => "",
        }
    }

    /// The operator, and the node's name or that of what it makes.
    pub fn place(&self) -> String {
        let name = if self.name.is_empty() { self.outputs.first().map_or("", String::as_str) } else { &self.name };
        format!("{} (node `{name}`)", self.op)
    }
}
