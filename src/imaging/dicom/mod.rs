//! Pixels of DICOM files.

mod codecs;
mod pixels;

pub(super) use pixels::{decode, is_dicom};
