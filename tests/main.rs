//! One binary for all integration tests.

mod architecture;
mod calibrate;
mod compare;
mod datasets;
mod demo;
mod evaluate;
mod formula;
mod hub;
mod imaging;
mod imaging_dicom;
mod metrics;
mod models;
mod onnx;
mod predictions;
mod real;
mod score;
mod support;
mod tui;
mod tui_terminal;
mod tui_tmux;
mod weights;
mod weights_damage;
mod weights_files;
