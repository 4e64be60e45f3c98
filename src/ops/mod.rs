//! Candle custom ops for f32 on the CPU, fused, with compositions of Candle's own ops for other devices and numbers.
//!
//! Every op handles one image after the other, each spread over rayon's threads in parts that no two threads share, and
//! every sum is taken in an order fixed by the shapes alone: a result has the same bits whatever the number of threads.
//! Tensors have gradients; where none are tracked, networks go through [`Maps`] instead, layer by [`Layer`].

mod activation;
mod awake;
mod batch_norm;
mod composed;
mod conv;
mod conv_gradient;
mod conv_images;
mod conv_maps;
mod cpu;
mod dense_block;
mod dense_block_training;
#[cfg(test)]
mod differences;
mod geometry;
mod kernels;
mod linear;
mod maps;
mod norm;
mod places;
mod plan;
mod pool;
mod tape;
mod train;

pub use activation::{Activation, add_activation};
pub use awake::awake;
pub use batch_norm::BatchNorm;
pub use conv::{Conv2d, Form};
#[cfg(test)]
pub(crate) use cpu::composed;
pub use cpu::fused;
pub use dense_block::{DenseBlock, DenseLayer};
pub use dense_block_training::DenseLayerTraining;
pub use geometry::Padding;
pub use kernels::keep_memory;
pub use linear::Linear;
pub use maps::{Layer, Maps};
pub use norm::{ScaleShift, fold, fold_into};
pub use places::{Windows, largest, placed, places};
pub use pool::{MaxPool, avg_pool_2, global_average, max_pool_3};
pub use tape::{Node, Tape};
pub use train::update;
