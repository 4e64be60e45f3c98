//! ONNX graphs that are none of the known networks, run node by node.
//!
//! A node is run by our ops where candle-onnx has none, a slow one, one without gradients or one that is wrong, and else by
//! candle-onnx. Nothing that a node makes may be larger than [`LARGEST`], which is asked before it is made.

mod candle;
mod inputs;
mod own;
mod parts;
mod pool;
mod segment;
mod shapes;
mod window;

pub(super) use parts::{Parts, parts};
pub(super) use segment::Segment;

use candle_core::{Result, bail};

/// Values of one tensor, and of all that are alive at once, at most (256 MiB and 1 GiB of f32).
const LARGEST: usize = 1 << 26;
const ALIVE: usize = 1 << 28;

/// An error if a tensor of these sizes would be too large.
fn room(sizes: &[usize]) -> Result<()> {
    match sizes.iter().try_fold(1usize, |n, size| n.checked_mul(*size)).filter(|n| *n <= LARGEST) {
        Some(_) => Ok(()),
        None => bail!("would make a tensor of {sizes:?}"),
    }
}
