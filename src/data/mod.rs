//! Datasets: from a card and files to samples in a fixed order.

mod chexpert;
mod cohort;
mod csv_file;
mod dataset;
mod dicom;
mod folder;
mod images;
mod load;
pub mod manifest;
mod nih;
pub mod phantom;
pub mod regions;
mod root;
mod split;
mod table;
mod truth;

pub use dataset::{Dataset, Sample, Source};
pub use load::load;
