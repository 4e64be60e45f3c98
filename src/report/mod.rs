//! A run as one document that a reader can verify and recompute: `report.json`, what is drawn of it, and its signature.

mod agent;
pub mod bundle;
pub mod canonical;
mod chart;
pub mod checklist;
pub mod clinical;
pub mod document;
pub mod escape;
pub mod examples;
mod html;
mod methods;
mod plots;
mod redaction;
pub mod signature;
pub mod signers;
mod surface;
pub mod table;
mod tables;
mod training;
pub mod verify;
