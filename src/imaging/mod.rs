//! Files to pixels to a network's input: decoding, windowing, resampling, preprocessing.

pub mod decode;
pub mod encode;
mod dicom;
mod jpeg;
pub mod preprocess;
pub mod resize;
pub mod windowing;
