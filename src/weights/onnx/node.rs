//! The nodes of a graph and the constants among them.

use super::super::program;
use super::super::values::Values;
use crate::error::Error;

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
    pub fn bytes(&self) -> usize {
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
    pub fn constant(&mut self) -> Option<Constant> {
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
    pub fn detached(&self) -> program::Node {
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
