//! Running a model over a dataset: decoding ahead, batches, and a journal that survives a kill.

pub mod device;
pub mod engine;
pub mod finding;
pub mod finish;
pub mod journal;
pub mod merge;
pub mod part;
pub mod prefetch;
pub mod session;
