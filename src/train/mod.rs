//! Training: what changes a network's weights.

mod memory;
mod optimizer;

pub use memory::keep_memory;
pub use optimizer::Adam;
