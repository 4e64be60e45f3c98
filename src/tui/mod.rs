//! The terminal UI: panels over a predictions table, triage of its errors, and inference as it goes.

pub mod analysis;
pub mod annotations;
pub mod app;
pub mod beside;
pub mod calibration;
pub mod compose;
pub mod event;
pub mod image;
pub mod inventory;
pub mod jobs;
pub mod keymap;
pub mod live;
pub mod published;
pub mod screens;
pub mod shared;
pub mod sources;
pub mod terminal;
pub mod theme;
pub mod training;
pub mod viewer;
pub mod watch;
pub mod widgets;
pub mod worklist;
