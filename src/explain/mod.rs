//! Where in a picture a model finds what it says.

pub mod gradcam;
pub mod region;
