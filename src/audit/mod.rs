//! The audit of published numbers: whether their arithmetic is possible, and whether predictions reproduce them.

pub mod across;
pub mod check;
pub mod claim;
pub mod counts;
pub mod fairness;
pub mod fingerprint;
pub mod from_csv;
pub mod interval;
pub mod leakage;
mod local_search;
pub mod means;
pub mod picture_look;
pub mod plausibility;
pub mod preflight;
pub mod programme;
pub mod reproduce;
pub mod reproduction;
pub mod roc_bounds;
pub mod rule;
mod set_curves;
mod set_means;
mod set_unknown;
pub mod table;
pub mod test_set;
pub mod unknown;
mod verdicts;
