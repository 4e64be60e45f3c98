//! Weights of the direct convolution, packed.

use super::buffer::Buffer;
use super::set::Set;

/// Blocks of output channels that the kernel computes together.
pub(in crate::ops) const GROUP: usize = 2;

/// Weights in the order in which the kernel reads them.
#[derive(Debug)]
pub(in crate::ops) struct Weights {
    pub(super) set: Set,
    /// `[outputs / GROUP blocks][inputs / span][taps][span][GROUP blocks]`, zeros after the last output. The last of a
    /// kind holds no more than there are.
    pub(super) values: Buffer,
    pub(super) bias: Buffer,
    pub(super) inputs: usize,
    outputs: usize,
    pub(super) taps: usize,
    /// Channels that lie together in the input: a register's worth, or 1.
    pub(super) span: usize,
}

impl Weights {
    /// From `weight`, `[outputs, inputs, taps]`, and `bias`, `[outputs]`.
    pub fn new(set: Set, weight: &[f32], bias: &[f32], inputs: usize, span: usize) -> Self {
        let (lanes, outputs) = (set.lanes(), bias.len());
        let taps = weight.len() / (outputs * inputs);
        let blocks = outputs.div_ceil(lanes);
        let mut values = Buffer::zeros(blocks * lanes * inputs * taps);
        let mut rest = &mut values[..];
        for group in (0..blocks).step_by(GROUP) {
            let width = GROUP.min(blocks - group) * lanes;
            for first in (0..inputs).step_by(span) {
                for tap in 0..taps {
                    for input in first..inputs.min(first + span) {
                        let (line, after) = rest.split_at_mut(width);
                        for (to, output) in line.iter_mut().zip(group * lanes..outputs) {
                            *to = weight[(output * inputs + input) * taps + tap];
                        }
                        rest = after;
                    }
                }
            }
        }
        let mut padded = Buffer::zeros(blocks * lanes);
        padded[..outputs].copy_from_slice(bias);
        Self { set, values, bias: padded, inputs, outputs, taps, span }
    }

    /// What the weights were packed for.
    pub fn set(&self) -> Set {
        self.set
    }

    /// Input channels.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Output channels.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Channels that lie together in the input.
    pub fn span(&self) -> usize {
        self.span
    }

    /// Blocks of output channels.
    pub fn blocks(&self) -> usize {
        self.outputs.div_ceil(self.set.lanes())
    }

    /// Groups of blocks of output channels.
    pub fn groups(&self) -> usize {
        self.blocks().div_ceil(GROUP)
    }
}
