//! A run on many machines: the batch scripts of its shards, their submission to Slurm, and how far they are.

pub mod job;
pub mod script;
pub mod slurm;
pub mod status;
