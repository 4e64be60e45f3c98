//! Where in a picture a model finds what it says, and whether that can be trusted.

pub mod canvas;
pub mod colours;
pub mod explainer;
pub mod faithfulness;
pub mod gradcam;
pub mod integrated_gradients;
pub mod localization;
pub mod map;
pub mod npy;
pub mod overlay;
mod perturb;
pub mod randomization;
pub mod region;
pub mod trust;
pub mod uncertainty;

/// The file that `roentgen explain --out DIR` writes besides pictures: everything that it found, as JSON.
pub const FILE: &str = "explanations.json";
