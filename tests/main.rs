//! One binary for all integration tests.

mod architecture;
mod audit;
mod calibrate;
mod compare;
mod datasets;
mod demo;
mod evaluate;
mod explain_goldens;
mod formula;
mod imaging;
mod imaging_dicom;
mod metrics;
mod models;
mod predictions;
mod real;
mod report;
mod score;
mod shards;
mod support;
mod training;
mod tui;
mod tui_terminal;
mod tui_tmux;
