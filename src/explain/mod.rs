//! Where in a picture a model finds what it says.

pub mod colours;
pub mod gradcam;
pub mod integrated_gradients;
pub mod map;
pub mod region;
