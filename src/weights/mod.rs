//! Weight files to named f32 tensors in torchvision's naming.

mod naming;
mod open;
mod safetensors;
mod tensors;
mod torch;
mod values;

pub use open::{from_bytes, load};
pub use tensors::Tensors;
