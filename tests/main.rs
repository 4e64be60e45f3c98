//! One binary for all integration tests.

mod architecture;
mod audit;
mod calibrate;
mod compare;
mod datasets;
mod demo;
mod evaluate;
mod formula;
mod imaging;
mod imaging_dicom;
mod leakage;
mod metrics;
mod models;
mod predictions;
mod real;
mod reproduce;
mod score;
mod support;
mod tui;
mod tui_terminal;
mod tui_tmux;
