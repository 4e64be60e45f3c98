//! NVIDIA's cards through CUDA.

mod device;
mod libraries;
mod upload;

pub use device::{cards, memory, name, open, peak};
pub use upload::Upload;
