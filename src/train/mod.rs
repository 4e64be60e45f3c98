//! Training: what changes a network's weights.

mod optimizer;

pub use optimizer::Adam;
