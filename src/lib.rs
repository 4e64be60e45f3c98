//! roentgen: evaluate chest X-ray classifiers so that anyone can recompute the numbers.
//!
//! The data's way:
//!
//! ```text
//! dataset card + files -> samples -> pixels -> tensor -> logits -> PREDICTIONS -> evaluation -> screen | report
//! model card + weights ------------------------^
//! ```
//!
//! The predictions table is the waist. Left of it are images, weights and devices; right of it only ids, patients,
//! truths and scores, so that everything there works from any program's predictions.
//!
//! Who may import whom is held by `tests/architecture.rs`: [`error`], [`labels`], [`files`], [`dicom_elements`],
//! [`predictions`], [`cards`], [`shard`] and [`run`] are the base; [`data`], [`imaging`], [`hub`] and [`weights`] stand on it
//! and not on each other; [`models`] add [`ops`]; [`inference`] joins them, on the CPU or on a card of [`gpu`], and [`cluster`] spreads it over machines;
//! [`explain`] looks into models, with [`data`] and
//! [`metrics`] for its tests; [`metrics`] know the predictions only; [`audit`] judges published tables by [`metrics`], and
//! looks for leakage in [`data`] and their pictures; [`report`] writes down what [`metrics`], the
//! tests of [`explain`] and the run say; [`tui`] may use all but [`cli`], which may use everything; only these two print.
//!
//! Four rooms are not in the first sketch of the layout: `files` (whole-or-nothing writes and hashes, which cards, runs
//! and reports share), `shard` (which images of a dataset a process takes), `run` (the run folder's places and description, which inference writes and reports read) and
//! `dicom_elements` (the walk over a DICOM file's tags, which readers and decoders share; it sets nothing aside for a
//! length that a file merely claims).

#![warn(missing_docs)]

pub mod audit;
pub mod cards;
pub mod cli;
pub mod cluster;
pub mod data;
pub mod device;
pub mod dicom_elements;
pub mod error;
pub mod explain;
pub mod files;
pub mod hub;
pub mod imaging;
pub mod inference;
pub mod labels;
pub mod metrics;
pub mod models;
pub mod ops;
pub mod predictions;
pub mod report;
pub mod rng;
pub mod run;
pub mod shard;
pub mod train;
pub mod tui;
pub mod weights;
