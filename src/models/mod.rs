//! The networks: torchvision's architectures with a head of dense layers.

mod build;
#[cfg(test)]
mod composed;
mod densenet;
mod gradients;
mod graph;
mod head;
mod initial;
mod layers;
mod load;
mod mobilenet;
mod model;
mod network;
mod part;
mod path;
mod registry;
mod resnet;

pub(crate) use build::fault;
pub use gradients::LayerGradients;
pub use head::probabilities;
pub use initial::{initial, put};
pub use layers::Layer;
pub use load::{load, load_as, load_changed, lock_of, tensors, weight_file};
pub use model::Model;
pub use network::{Network, Pass};
pub use registry::{build, build_as};
