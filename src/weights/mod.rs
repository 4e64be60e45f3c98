//! Weight files to named f32 tensors in torchvision's naming.

mod keras;
mod mapped;
mod naming;
mod onnx;
mod open;
mod origin;
mod pickle;
mod program;
mod safetensors;
mod tensors;
mod torch;
mod torch_legacy;
mod torch_zip;
mod values;

pub use open::{from_bytes, load};
pub use origin::{Format, Network, Origin};
pub use program::{Attribute, Node, Program};
pub use safetensors::write_safetensors;
pub use tensors::Tensors;
