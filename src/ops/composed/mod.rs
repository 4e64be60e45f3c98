//! Steps of a network in training composed of Candle's own ops, so that they run wherever Candle does, in f32 or with
//! products in half precision (as PyTorch's `autocast`: norms and sums in f32, maps kept in half precision).
//!
//! Maps are `[channels, n, h, w]` here. A convolution is then one product of matrices without a copy of its result, the
//! moments of a channel are those of values that lie together, and channels are joined and cut without moving them.
//! Gradients are written out: those that Candle derives are wrong for max pooling and slow for convolutions.

mod batch_norm;
mod conv;
mod dense_block;
mod pool;
mod windows;

pub(super) use batch_norm::batch_norm;
pub(super) use conv::conv;
pub(super) use dense_block::{dense_block, swap};
pub(super) use pool::{avg_pool_2, global_average, max_pool_3};
