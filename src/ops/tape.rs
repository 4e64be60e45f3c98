//! What a network did to a batch, so that it can be undone for the gradients.
//!
//! Candle's own backward pass adds every gradient to a tensor of zeros and keeps all activations until it has ended, which
//! takes a quarter of a training step and twice the memory. A tape hands each gradient on as it is, lets ops change it in
//! place, and drops what an op has saved as soon as that is used. The loss before it and the optimiser behind it are
//! Candle's: see [`Tape::backward`].

use candle_core::backprop::GradStore;
use candle_core::{DType, Result, Tensor, Var};

use super::cpu;

/// The steps of a forward pass, in their order.
#[derive(Default)]
pub struct Tape {
    steps: Vec<Step>,
    parameters: Vec<(usize, Var)>,
    slots: usize,
    /// What products are computed in, where steps are composed of Candle's ops.
    composed: Option<DType>,
}

/// A tensor in a forward pass; without a slot it needs no gradient.
#[derive(Clone)]
pub struct Node {
    slot: Option<usize>,
    value: Tensor,
}

struct Step {
    inputs: Vec<Option<usize>>,
    output: usize,
    backward: Backward,
}

/// From the gradient of the output to one of the same type for each input. Fused steps change gradients in their place:
/// there nobody else holds the first, and none of the others shares its storage.
type Backward = Box<dyn FnOnce(Tensor) -> Result<Vec<Option<Tensor>>>>;

impl Node {
    /// The tensor, which tracks nothing.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// Whether anything before it has parameters.
    pub(super) fn is_tracked(&self) -> bool {
        self.slot.is_some()
    }
}

impl Tape {
    /// A tape whose steps are composed of Candle's own ops, on whichever device the values are, with the products of
    /// convolutions and dense layers in `precision` (f32, f16 or bf16) and all else in f32. The default tape's steps are
    /// fused, for f32 on the CPU only.
    pub fn composed(precision: DType) -> Self {
        Self { composed: Some(precision), ..Self::default() }
    }

    /// What products are computed in, where steps are composed of Candle's ops.
    pub(super) fn precision(&self) -> Option<DType> {
        self.composed
    }

    /// A tensor whose gradient nobody asks for, such as a batch of images.
    pub fn constant(&self, value: &Tensor) -> Node {
        Node { slot: None, value: value.detach() }
    }

    /// A parameter.
    pub fn parameter(&mut self, var: &Var) -> Node {
        let slot = self.slot();
        self.parameters.push((slot, var.clone()));
        Node { slot: Some(slot), value: var.as_detached_tensor() }
    }

    /// A step that made `value` out of `inputs`.
    pub(super) fn push(
        &mut self,
        inputs: &[&Node],
        value: Tensor,
        backward: impl FnOnce(Tensor) -> Result<Vec<Option<Tensor>>> + 'static,
    ) -> Node {
        let inputs: Vec<_> = inputs.iter().map(|node| node.slot).collect();
        if inputs.iter().all(Option::is_none) {
            return Node { slot: None, value };
        }
        let output = self.slot();
        self.steps.push(Step { inputs, output, backward: Box::new(backward) });
        Node { slot: Some(output), value }
    }

    /// Puts the gradients of all parameters that `node` depends on into `grads`, given `grad`, the gradient of `node`.
    ///
    /// A loss is computed from a `Var` of the node's value; its `backward` gives the gradients that come in here, and an
    /// optimiser takes what goes out.
    pub fn backward(mut self, node: Node, grad: &Tensor, grads: &mut GradStore) -> Result<()> {
        let mut held: Vec<Option<Tensor>> = vec![None; self.slots];
        if let Some(slot) = node.slot {
            held[slot] = Some(grad.detach().to_dtype(node.value.dtype())?.copy()?);
        }
        drop(node);
        while let Some(Step { inputs, output, backward }) = self.steps.pop() {
            let Some(grad) = held[output].take() else { continue };
            for (slot, part) in inputs.into_iter().zip(backward(grad)?) {
                let (Some(slot), Some(part)) = (slot, part) else { continue };
                held[slot] = Some(match held[slot].take() {
                    Some(sum) if self.composed.is_some() => (sum + part)?,
                    Some(sum) => add(sum, &part)?,
                    None => part,
                });
            }
        }
        for (slot, var) in self.parameters {
            if let Some(grad) = held[slot].take() {
                grads.insert(&var, grad);
            }
        }
        Ok(())
    }

    fn slot(&mut self) -> usize {
        self.slots += 1;
        self.slots - 1
    }
}

/// The sum of two gradients, in the first's place.
fn add(sum: Tensor, part: &Tensor) -> Result<Tensor> {
    cpu::write(&sum, |sum| {
        cpu::read(part, |part| {
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            Ok(())
        })
    })?;
    Ok(sum)
}
