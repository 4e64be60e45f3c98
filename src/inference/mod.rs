//! Running a model over a dataset: decoding ahead, batches, and a journal that survives a kill.

pub(crate) mod batch;
pub mod engine;
pub mod finding;
pub mod finish;
pub mod journal;
pub mod merge;
pub mod part;
mod passes;
pub mod prefetch;
pub mod preflight;
pub mod prepare;
pub mod session;
