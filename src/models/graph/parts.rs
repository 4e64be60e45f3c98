//! From a graph to its two parts: up to the maps that are pooled, and from there to the logits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::super::build::fault;
use super::segment::{Kind, Segment, Step};
use super::{LARGEST, candle, own};
use crate::cards::model::Output;
use crate::error::{Error, Result};
use crate::weights::{Node, Program, Tensors};

/// Operators that an error names.
const LISTED: usize = 8;

/// A graph in two parts.
pub(in super::super) struct Parts {
    /// Name of the maps that are pooled, and the part that makes them of the image; `None` if the graph pools nothing.
    pub maps: Option<(String, Segment)>,
    /// Makes the logits of these maps, or of the image.
    pub head: Segment,
    /// What the graph makes of the logits at its end, which is left to the card.
    pub output: Option<Output>,
}

/// The parts of the graph with its tensors, of which all are taken. Operators that cannot be run are one error that lists
/// them.
pub(in super::super) fn parts(program: &Program, weights: &mut Tensors, device: &Device) -> Result<Parts> {
    let known = |node: &Node| own::KNOWN.iter().chain(candle::KNOWN).find(|(op, _)| *op == node.op);
    let unknown: Vec<_> = program.nodes.iter().filter(|node| known(node).is_none()).collect();
    if !unknown.is_empty() {
        let told: Vec<_> = unknown.iter().take(LISTED).map(|node| node.place()).collect();
        let more = if unknown.len() > LISTED { ", ..." } else { "" };
        let s = if unknown.len() == 1 { "" } else { "s" };
        return Err(Error::new(format!("{} unsupported operator{s}: {}{more}", unknown.len(), told.join(", ")))
            .mend("export the network without them, or give its weights as safetensors if it is a known one"));
    }
    let last = program.nodes.iter().find(|node| node.outputs.contains(&program.output));
    let (output, end) = match last {
        Some(node) if node.op == "Sigmoid" => (Some(Output::Sigmoid), node.inputs.first()),
        Some(node) if node.op == "Softmax" => (Some(Output::Softmax), node.inputs.first()),
        _ => (None, Some(&program.output)),
    };
    let end = end.ok_or_else(|| Error::new("its last node has no input"))?;
    let mut slots = Slots::of(program, weights, device)?;
    let mut steps = Vec::new();
    for node in needed(program, end) {
        if node.inputs.len() < known(node).map_or(0, |(_, least)| *least) {
            return Err(Error::new("has too few inputs").at(node.place()));
        }
        if let Some(step) = slots.step(node)? {
            steps.push(step);
        }
    }
    let output_slot = slots.get(end)?;
    let cut = cut(&steps, output_slot).filter(|_| slots.constants[output_slot].is_none());
    let constants = Arc::new(slots.constants);
    let segment = |steps: Vec<Step>, input: usize, output: usize, sizes: &[Option<usize>]| {
        let (mut steps, constants, sizes) = (steps, constants.clone(), sizes.to_vec());
        let mut later = HashSet::from([output]);
        for step in steps.iter_mut().rev() {
            let values = step.outputs.iter().chain(step.inputs.iter().flatten()).copied();
            step.done = values.filter(|v| *v != input && constants[*v].is_none() && later.insert(*v)).collect();
        }
        Segment { steps, constants, input, output, sizes }
    };
    let Some((at, maps)) = cut else {
        return Ok(Parts { maps: None, head: segment(steps, INPUT, output_slot, &program.sizes), output });
    };
    let behind = steps.split_off(at);
    let name = slots.names.iter().find(|(_, slot)| **slot == maps).map_or("maps", |(name, _)| name.as_str());
    let before = segment(steps, INPUT, maps, &program.sizes);
    Ok(Parts { maps: Some((name.to_owned(), before)), head: segment(behind, maps, output_slot, &[]), output })
}

/// The number of the image.
const INPUT: usize = 0;

/// The nodes that `end` needs, in the file's order, which is one in which they can be run.
fn needed<'a>(program: &'a Program, end: &'a str) -> Vec<&'a Node> {
    let mut values = HashSet::from([end]);
    let mut nodes = Vec::new();
    for node in program.nodes.iter().rev() {
        if node.outputs.iter().any(|output| values.contains(output.as_str())) {
            values.extend(node.inputs.iter().map(String::as_str));
            nodes.push(node);
        }
    }
    nodes.reverse();
    nodes
}

/// The values of a graph by number.
struct Slots {
    names: HashMap<String, usize>,
    /// Those that are constant.
    constants: Vec<Option<Tensor>>,
    /// Values of constants that were made of others.
    made: usize,
}

impl Slots {
    fn of(program: &Program, weights: &mut Tensors, device: &Device) -> Result<Self> {
        let names = HashMap::from([(program.input.clone(), INPUT)]);
        let mut slots = Self { names, constants: vec![None], made: 0 };
        let shapes: Vec<_> = weights.shapes().map(|(name, shape)| (name.to_owned(), shape.to_vec())).collect();
        for (name, shape) in shapes {
            let values = weights.take(&name, &shape)?;
            slots.add(&name, Some(Tensor::from_vec(values, shape, device).map_err(fault)?))?;
        }
        for (name, (shape, values)) in &program.integers {
            let values = Tensor::from_slice(values, shape.as_slice(), device).map_err(fault)?;
            slots.add(name, Some(values))?;
        }
        Ok(slots)
    }

    fn add(&mut self, name: &str, value: Option<Tensor>) -> Result<usize> {
        let slot = self.constants.len();
        if !name.is_empty() && self.names.insert(name.to_owned(), slot).is_some() {
            return Err(Error::new(format!("`{name}` is made twice")));
        }
        self.constants.push(value);
        Ok(slot)
    }

    fn get(&self, name: &str) -> Result<usize> {
        let slot = self.names.get(name).copied();
        slot.ok_or_else(|| Error::new(format!("takes `{name}`, which nothing before it makes")))
    }

    /// The step of a node; `None` if it makes constants, which it has then made.
    fn step(&mut self, node: &Node) -> Result<Option<Step>> {
        let at = |e: Error| e.at(node.place());
        let slot = |name: &String| if name.is_empty() { Ok(None) } else { self.get(name).map(Some) };
        let inputs = node.inputs.iter().map(slot).collect::<Result<Vec<_>>>().map_err(at)?;
        let constant = |i: usize| self.constants[(*inputs.get(i)?)?].clone();
        let run = match own::run(node, &constant).map_err(at)? {
            Some(run) => run,
            None => candle::run(node),
        };
        let fixed = inputs.iter().flatten().all(|slot| self.constants[*slot].is_some());
        let kind = own::kind(node, &constant);
        let mut step = Step { place: node.place(), kind, run, inputs, outputs: Vec::new(), done: Vec::new() };
        let made = if fixed { step.evaluate(&self.constants).map_err(fault)? } else { Vec::new() };
        self.made += made.iter().map(Tensor::elem_count).sum::<usize>();
        if self.made > LARGEST {
            return Err(at(Error::new("makes larger constants than any network has")));
        }
        let mut made = made.into_iter();
        for output in &node.outputs {
            let slot = self.add(output, made.next()).map_err(at)?;
            step.outputs.push(slot);
        }
        Ok((!fixed).then_some(step))
    }
}

/// Where the maps are: the number of the step that pools them to one number a channel, and theirs. Else of the step that
/// lines them up for dense layers. A convolution must be before that step, and no other value may go past it.
fn cut(steps: &[Step], output: usize) -> Option<(usize, usize)> {
    let alone = |at: usize| {
        let value = (*steps[at].inputs.first()?)?;
        let made: HashSet<_> = steps[..at].iter().flat_map(|s| &s.outputs).copied().chain([INPUT]).collect();
        let taken = steps[at..].iter().flat_map(|s| s.inputs.iter().flatten()).chain([&output]);
        let mut past = taken.filter(|v| made.contains(*v));
        past.all(|v| *v == value).then_some((at, value))
    };
    let first = steps.iter().position(|step| step.kind == Kind::Convolution)?;
    let last = |kind: Kind| (first..steps.len()).rev().filter(|at| steps[*at].kind == kind).find_map(alone);
    last(Kind::Pooling).or_else(|| last(Kind::LiningUp))
}
