//! The networks: torchvision's architectures with a head of dense layers.

mod build;
mod densenet;
mod head;
mod load;
mod mobilenet;
mod model;
mod registry;
mod resnet;

pub use head::probabilities;
pub use load::{load, lock_of, tensors};
pub use model::Model;
pub use registry::build;
