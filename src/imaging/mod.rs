//! Files to pixels to a network's input: decoding, windowing, resampling, preprocessing.

pub mod augment;
pub mod decode;
mod dicom;
pub mod encode;
mod jpeg;
pub mod picture;
pub mod preprocess;
mod raster;
pub mod resize;
pub mod windowing;
