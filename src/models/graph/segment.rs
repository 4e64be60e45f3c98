//! A part of a graph, from one value to another.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use candle_core::{Error, Module, Result, Tensor, bail};

use super::ALIVE;
use crate::ops::Layer;

/// What a node does: its inputs, those that are left out as `None`, to its outputs.
pub(super) type Run = Box<dyn Fn(&[Option<Tensor>]) -> Result<Vec<Tensor>> + Send + Sync>;

/// What tells where a network's maps end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Convolution,
    /// To one number a channel.
    Pooling,
    /// Of maps for dense layers.
    LiningUp,
    Other,
}

/// A node that is ready to run. Values are numbered.
pub(super) struct Step {
    /// Operator and name, for errors.
    pub place: String,
    pub kind: Kind,
    pub run: Run,
    pub inputs: Vec<Option<usize>>,
    pub outputs: Vec<usize>,
    /// Values that no later step takes.
    pub done: Vec<usize>,
}

impl Step {
    /// What the step makes of `values`. A panic inside an op is an error like others: graphs come from anywhere.
    pub fn evaluate(&self, values: &[Option<Tensor>]) -> Result<Vec<Tensor>> {
        let inputs: Vec<_> = self.inputs.iter().map(|slot| values[(*slot)?].clone()).collect();
        let made = catch_unwind(AssertUnwindSafe(|| (self.run)(&inputs)));
        let made = made.unwrap_or_else(|_| bail!("is not what this operator takes"));
        made.map_err(|e| Error::Msg(format!("{}: {}", self.place, e.to_string().lines().next().unwrap_or_default())))
    }
}

/// Steps from the value `input` to the value `output`.
pub(in super::super) struct Segment {
    pub(super) steps: Vec<Step>,
    /// The constants at their numbers, room for the values at theirs.
    pub(super) constants: Arc<Vec<Option<Tensor>>>,
    pub(super) input: usize,
    pub(super) output: usize,
    /// Sizes of the input as far as they are fixed; that of the batch does not matter.
    pub(super) sizes: Vec<Option<usize>>,
}

impl Segment {
    fn one(&self, x: &Tensor) -> Result<Tensor> {
        let other = |(axis, size): (usize, &Option<usize>)| size.is_some_and(|size| x.dims().get(axis) != Some(&size));
        if self.sizes.iter().enumerate().skip(1).any(other) {
            let sizes: Vec<_> = self.sizes.iter().map(|s| s.map_or("any".to_owned(), |s| s.to_string())).collect();
            bail!("the graph takes images of {}, these are of {:?}", sizes.join(" x "), x.dims());
        }
        let mut values = self.constants.to_vec();
        values[self.input] = Some(x.clone());
        let mut alive = 0;
        for step in &self.steps {
            for (slot, value) in step.outputs.iter().zip(step.evaluate(&values)?) {
                alive += value.elem_count();
                values[*slot] = Some(value);
            }
            if alive > ALIVE {
                bail!("{}: the graph keeps more values than fit into memory", step.place);
            }
            for slot in &step.done {
                alive -= values[*slot].take().map_or(0, |value| value.elem_count());
            }
        }
        values[self.output].take().ok_or_else(|| Error::Msg("the graph does not make its output".into()))
    }
}

impl Module for Segment {
    /// One image after the other: exporters often fix a batch of one.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match x.dim(0)? {
            1 => self.one(x),
            n => Tensor::cat(&(0..n).map(|i| self.one(&x.narrow(0, i, 1)?)).collect::<Result<Vec<_>>>()?, 0),
        }
    }
}

impl Layer for Segment {}
