//! Nodes that candle-onnx runs, each as a graph of its own.

use candle_core::{Error, Result, Tensor};
use candle_onnx::onnx::attribute_proto::AttributeType;
use candle_onnx::onnx::{AttributeProto, GraphProto, ModelProto, NodeProto, ValueInfoProto};

use super::room;
use super::segment::Run;
use crate::weights::{Attribute, Node};

/// The operators, and how many inputs each has at least.
pub(super) const KNOWN: &[(&str, usize)] = &[
    ("Abs", 1),
    ("Add", 2),
    ("Cast", 1),
    ("Ceil", 1),
    ("Concat", 1),
    ("Cos", 1),
    ("Div", 2),
    ("Equal", 2),
    ("Erf", 1),
    ("Exp", 1),
    ("Expand", 2),
    ("Floor", 1),
    ("Gather", 2),
    ("Greater", 2),
    ("HardSwish", 1),
    ("LeakyRelu", 1),
    ("Less", 2),
    ("Log", 1),
    ("LogSoftmax", 1),
    ("MatMul", 2),
    ("Min", 1),
    ("Mul", 2),
    ("Neg", 1),
    ("PRelu", 2),
    ("Pow", 2),
    ("ReduceL2", 1),
    ("ReduceMax", 1),
    ("ReduceMin", 1),
    ("ReduceSum", 1),
    ("Relu", 1),
    ("Selu", 1),
    ("Shape", 1),
    ("Sigmoid", 1),
    ("Sign", 1),
    ("Sin", 1),
    ("Slice", 3),
    ("Softmax", 1),
    ("Split", 1),
    ("Sqrt", 1),
    ("Sub", 2),
    ("Tanh", 1),
    ("Transpose", 1),
    ("Where", 3),
];

/// What the node does.
pub(super) fn run(node: &Node) -> Run {
    let op = node.op.clone();
    let name = |i: usize, given: &String| if given.is_empty() { String::new() } else { format!("in{i}") };
    let outputs: Vec<_> = (0..node.outputs.len()).map(|i| format!("out{i}")).collect();
    let axis = node.int("axis", 0);
    let proto = NodeProto {
        op_type: node.op.clone(),
        input: node.inputs.iter().enumerate().map(|(i, given)| name(i, given)).collect(),
        output: outputs.clone(),
        attribute: node.attributes.iter().map(|(name, value)| attribute(name, value)).collect(),
        ..NodeProto::default()
    };
    let output = outputs.iter().map(|name| ValueInfoProto { name: name.clone(), ..ValueInfoProto::default() });
    let graph = GraphProto { node: vec![proto], output: output.collect(), ..GraphProto::default() };
    let model = ModelProto { graph: Some(graph), ..ModelProto::default() };
    Box::new(move |inputs| {
        let given: Vec<_> = inputs.iter().flatten().collect();
        room(&largest(&op, axis, &given)?)?;
        let named = inputs.iter().enumerate().filter_map(|(i, value)| Some((format!("in{i}"), value.as_ref()?)));
        let whole = |(name, value): (String, &Tensor)| -> Result<_> { Ok((name, value.contiguous()?)) };
        let named = named.map(whole).collect::<Result<_>>()?;
        let mut made = candle_onnx::simple_eval(&model, named)?;
        let take = |name: &String| made.remove(name).ok_or_else(|| Error::Msg("makes too little".into()));
        outputs.iter().map(take).collect()
    })
}

fn attribute(name: &str, value: &Attribute) -> AttributeProto {
    let of = |kind: AttributeType| AttributeProto { name: name.to_owned(), r#type: kind.into(), ..Default::default() };
    match value {
        Attribute::Float(f) => AttributeProto { f: *f, ..of(AttributeType::Float) },
        Attribute::Int(i) => AttributeProto { i: *i, ..of(AttributeType::Int) },
        Attribute::Ints(ints) => AttributeProto { ints: ints.clone(), ..of(AttributeType::Ints) },
        Attribute::Text(text) => AttributeProto { s: text.clone().into_bytes(), ..of(AttributeType::String) },
    }
}

/// Sizes of a tensor at least as large as what the operator makes.
fn largest(op: &str, axis: i64, inputs: &[&Tensor]) -> Result<Vec<usize>> {
    let Some(first) = inputs.first() else { return Ok(Vec::new()) };
    Ok(match (op, inputs) {
        ("Concat", all) => vec![all.iter().fold(0, |sum: usize, x| sum.saturating_add(x.elem_count()))],
        ("Expand", [x, to, ..]) => {
            let to = to.to_vec1::<i64>()?.into_iter().map(|size| usize::try_from(size).unwrap_or(usize::MAX));
            broadcast(x.dims(), &to.collect::<Vec<_>>())
        }
        ("Gather", [x, indices, ..]) => {
            let size = x.dims().get(own_axis(axis, x.rank())).copied().unwrap_or(1).max(1);
            vec![x.elem_count() / size, indices.elem_count()]
        }
        ("MatMul", [a, b, ..]) => {
            let (rows, columns) = (a.dims().len().saturating_sub(2), b.dims().len().saturating_sub(2));
            let mut sizes = broadcast(&a.dims()[..rows], &b.dims()[..columns]);
            sizes.extend(a.dims()[rows..].first());
            sizes.extend(b.dims().last());
            sizes
        }
        (
            "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Equal" | "Greater" | "Less" | "Min" | "PRelu" | "Where",
            [_, rest @ ..],
        ) => rest.iter().fold(first.dims().to_vec(), |sizes, x| broadcast(&sizes, x.dims())),
        _ => first.dims().to_vec(),
    })
}

fn own_axis(axis: i64, rank: usize) -> usize {
    let axis = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    usize::try_from(axis).unwrap_or(usize::MAX)
}

/// The larger of each two sizes, the last ones side by side.
fn broadcast(a: &[usize], b: &[usize]) -> Vec<usize> {
    let (long, short) = if a.len() < b.len() { (b, a) } else { (a, b) };
    let ahead = long.len() - short.len();
    let size = |(i, size): (usize, &usize)| if i < ahead { *size } else { short[i - ahead].max(*size) };
    long.iter().enumerate().map(size).collect()
}
