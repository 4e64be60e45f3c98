//! One binary for all integration tests.

mod architecture;
mod datasets;
mod demo;
mod evaluate;
mod imaging;
mod imaging_dicom;
mod predictions;
mod real;
mod support;
