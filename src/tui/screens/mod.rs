//! The panels, one a file. Each draws itself and carries out the actions of its keys.

pub mod columns;
pub mod curves;
pub mod distribution;
pub mod home;
pub mod picture;
pub mod published;
pub mod reliability;
pub mod run;
pub mod subgroups;
pub mod table;
pub mod threshold;
pub mod triage;
