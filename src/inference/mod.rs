//! Running a model over a dataset: decoding ahead, batches, and a journal that survives a kill.

pub mod device;
pub mod engine;
pub mod journal;
pub mod prefetch;
pub mod session;
